/** What the application writes, as a change (spec 2, 4, 5, 6 and 16). */

import { textCompare } from "./bytes.js";
import { encode, Writer } from "./cbor.js";
import { ChangeKey, changeOps, compareRecords, writePushed, type Change, type Column, type Row } from "./change.js";
import { compareReadings, mint, type Reading } from "./clock.js";
import { Refused } from "./fault.js";
import * as max from "./limits.js";
import { Rule, sortEntries, textBytes, type Entry, type Op } from "./op.js";
import type { RecordState } from "./record.js";
import type { Space } from "./space.js";
import { toValue, type Value } from "./value.js";
import { cellsOfColumn, dotsIn } from "./view.js";

/** What is written to a field under further rules. */
export interface RuleWrites {
  /** An amount to add. */
  readonly counter?: unknown;
  readonly min?: unknown;
  readonly max?: unknown;
  /** Elements, each with whether it is to be present. */
  readonly set?: readonly (readonly [unknown, boolean])[];
  /** Entries; `undefined` unsets one. */
  readonly map?: { readonly [key: string]: unknown };
  /** The values to stand in the place of those that show. */
  readonly multi?: readonly unknown[];
}

/** What is written to one record: fields by name, of which `undefined` unsets; or that it is deleted. */
export interface RowWrite {
  readonly collection: string;
  readonly id: string;
  readonly fields?: { readonly [field: string]: unknown };
  readonly columns?: { readonly [field: string]: RuleWrites };
  readonly delete?: boolean;
}

/** That a field, or whether the record is there (`field` null), is still as it shows now (COND-1). */
export interface Guard {
  readonly collection: string;
  readonly id: string;
  readonly field: string | null;
}

function checkName(what: string, name: string, most: number): string {
  const bytes = textBytes(toValue(name) as string);
  if (bytes < 1 || bytes > most) throw new Refused(`a ${what} of ${bytes} bytes; 1 to ${most} are allowed`);
  return name;
}

const checkRecord = (collection: string, id: string): void => {
  checkName("collection's name", collection, max.COLLECTION_NAME_BYTES_MAX);
  checkName("record's id", id, max.RECORD_ID_BYTES_MAX);
};

/** Makes the change that writes these rows, or throws `Refused` and leaves all as it was (MODEL-9). */
export function makeChange(space: Space, writes: readonly RowWrite[], guards: readonly Guard[], now: number): Change {
  if (writes.length === 0) throw new Refused("a change without rows");
  if (space.own.length >= max.PENDING_CHANGES_MAX) throw new Refused(`${space.own.length} changes are kept already`);
  const reading = mint(space.meta.clock, now);
  const rows = writes.map((write) => makeRow(space, write, reading)).sort(compareRecords);
  rows.forEach((row, i) => {
    const before = rows[i - 1];
    if (before && compareRecords(before, row) === 0) throw new Refused(`${row.collection}/${row.id} is written twice`);
  });
  const seq = space.minted + 1;
  const rest = new Map<number, Uint8Array>(guards.length > 0 ? [[ChangeKey.conditions, conditions(space, guards)]] : []);
  const change: Change = { seq, reading, rows, needs: needsOf(space, rows), rest };
  checkLimits(space, change, guards.length);
  return change;
}

function makeRow(space: Space, write: RowWrite, reading: Reading): Row {
  const { collection, id } = write;
  checkRecord(collection, id);
  if (!space.wants(collection)) throw new Refused(`${collection} is not subscribed`);
  const view = space.view(collection, id);
  if (write.delete) {
    if (!view.alive) throw new Refused(`${collection}/${id} is not there`);
    return { collection, id, life: view.life + 1, columns: [] };
  }
  const life = view.alive ? view.life : view.life + 1;
  if (life >= max.LIFE_MAX) throw new Refused(`${collection}/${id} has no life left`);
  const columns: Column[] = Object.entries(write.fields ?? {}).map(([field, value]) => {
    const op: Op = { kind: "value", value: value === undefined ? undefined : toValue(value) };
    return { field, rule: Rule.lww, ...over(view, field, Rule.lww, null, reading), op };
  });
  for (const [field, rules] of Object.entries(write.columns ?? {})) columns.push(...ruleColumns(space, view, field, rules, reading));
  for (const { field } of columns) checkName("field's name", field, max.FIELD_NAME_BYTES_MAX);
  columns.sort((a, b) => textCompare(a.field, b.field) || a.rule - b.rule);
  return { collection, id, life, columns };
}

/** `after`, where the op overwrites what lies at or above the change's own reading (CLOCK-7). */
function over(view: RecordState, field: string, rule: number, key: Value, reading: Reading): { after?: Reading } {
  const held = view.alive ? view.find(field, rule, key)?.stamp : undefined;
  return held && compareReadings(held, reading) >= 0 ? { after: { ms: held.ms, counter: held.counter } } : {};
}

function* ruleColumns(space: Space, view: RecordState, field: string, writes: RuleWrites, reading: Reading): Generator<Column> {
  if (writes.counter !== undefined) {
    const value = toValue(writes.counter);
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value === 0) throw new Refused("an amount is an integer other than 0");
    const own = cellsOfColumn(view, field, Rule.counter).find(({ dot }) => dot?.author === space.meta.replica);
    if (!Number.isSafeInteger(((own?.value as number | undefined) ?? 0) + value))
      throw new Refused("the sum of the amounts leaves the range of integers");
    yield { field, rule: Rule.counter, op: { kind: "value", value } };
  }
  if (writes.min !== undefined) yield { field, rule: Rule.min, op: { kind: "value", value: toValue(writes.min) } };
  if (writes.max !== undefined) yield { field, rule: Rule.max, op: { kind: "value", value: toValue(writes.max) } };
  if (writes.set) {
    const entries = writes.set.map(([key, present]) => entryOf(view, field, Rule.set, key, present || undefined, reading));
    yield { field, rule: Rule.set, op: entriesOp(entries) };
  }
  if (writes.map) {
    const entries = Object.entries(writes.map).map(([key, value]) => entryOf(view, field, Rule.map, key, value, reading));
    yield { field, rule: Rule.map, op: entriesOp(entries) };
  }
  if (writes.multi) {
    const removed = view.alive ? dotsIn(cellsOfColumn(view, field, Rule.multi)).flatMap(({ dot }) => dot ?? []) : [];
    const added = writes.multi.map((value) => toValue(value));
    if (removed.length + added.length > 0) yield { field, rule: Rule.multi, op: { kind: "dots", removed, added } };
  }
}

function entryOf(view: RecordState, field: string, rule: number, name: unknown, value: unknown, reading: Reading): Entry {
  const key = toValue(name);
  if (encode(key).length > max.KEY_BYTES_MAX) throw new Refused(`a key of more than ${max.KEY_BYTES_MAX} bytes`);
  return { key, value: value === undefined ? undefined : toValue(value), ...over(view, field, rule, key, reading) };
}

function entriesOp(entries: readonly Entry[]): Op {
  const sorted = sortEntries(entries);
  const keys = new Set(sorted.map(({ key }) => JSON.stringify([...encode(key)])));
  if (keys.size === 0 || keys.size < sorted.length) throw new Refused("each element or entry is written once, and one at least");
  return { kind: "entries", entries: sorted };
}

/** The first own change without a verdict that raised each record to the life it is written in, or raised from (IDENT-25). */
export function needsOf(space: Space, rows: readonly Row[]): number[] {
  const needs = new Set<number>();
  for (const { collection, id, life } of rows) {
    const from = space.view(collection, id).life;
    const stood = Math.min(from, life);
    if (stood === 0 || (space.base.find(collection, id)?.life ?? 0) >= stood) continue;
    const raised = space
      .waiting()
      .find(({ change }) => change.rows.some((row) => row.collection === collection && row.id === id && row.life === stood));
    if (raised) needs.add(raised.change.seq);
  }
  return [...needs].sort((a, b) => a - b);
}

function conditions(space: Space, guards: readonly Guard[]): Uint8Array {
  const w = new Writer().array(guards.length);
  for (const { collection, id, field } of guards) {
    checkRecord(collection, id);
    const view = space.view(collection, id);
    w.array(field === null ? 2 : 3)
      .array(2)
      .text(collection)
      .text(id);
    if (field === null) {
      w.int(view.life);
      continue;
    }
    w.array(2)
      .text(checkName("field's name", field, max.FIELD_NAME_BYTES_MAX))
      .int(Rule.lww);
    const cell = view.alive ? view.find(field, Rule.lww, null) : undefined;
    if (!cell?.stamp || cell.value === undefined) w.null();
    else w.array(3).int(cell.stamp.ms).int(cell.stamp.counter).hex(cell.stamp.author);
  }
  return w.bytes();
}

/** Checks a change against what the server last met advertised (LIMIT-6). */
function checkLimits({ meta }: Space, change: Change, guards: number): void {
  const bound = (key: number): number => max.limit(meta.limits, key);
  const ops = changeOps(change) + guards;
  if (ops > bound(max.LimitKey.changeOps)) throw new Refused(`a change of ${ops} ops`);
  for (const value of valuesOf(change)) {
    const bytes = encode(value).length;
    if (bytes > bound(max.LimitKey.valueBytes)) throw new Refused(`a value of ${bytes} bytes`);
  }
  const w = new Writer();
  writePushed(w, change, 0);
  if (w.length > bound(max.LimitKey.changeBytes)) throw new Refused(`a change of ${w.length} bytes`);
}

function* valuesOf({ rows }: Change): Generator<Value> {
  for (const { columns } of rows) {
    for (const { op } of columns) {
      if (op.kind === "value" && op.value !== undefined) yield op.value;
      else if (op.kind === "dots") yield* op.added;
      else if (op.kind === "entries") for (const { value } of op.entries) if (value !== undefined) yield value;
    }
  }
}
