/** The state of a space: its records, and the fingerprints of its collections (spec 5 and 8). */

import { DigestSum, sha256, textCompare, toHex, type Hex } from "./bytes.js";
import { Writer } from "./cbor.js";
import type { Change, Column, Row } from "./change.js";
import type { Stamp } from "./clock.js";
import type { Item } from "./items.js";
import { Join, joinOf, Rule, sortEntries, type Dot } from "./op.js";
import { digestOf, RecordState, type Cell, type Writing } from "./record.js";
import type { Held, Value } from "./value.js";

/** The count and sum of digests as they stand on the wire. */
export const fingerprintOf = (sum: DigestSum): Hex =>
  toHex(sha256(new Writer().array(2).int(sum.count).binary(sum.bytes()).bytes())).slice(0, 32);

/** What a change writes with: its author, and the name that its dots have (RULES-14). */
export const writingOf = (author: Hex, { seq, reading, origin }: Change): Writing => ({
  author,
  seq,
  reading,
  name: origin ? { author: origin.replica, seq: origin.seq } : { author, seq },
});

/** Records by collection, with a running sum of the digests of their live cells. */
export class State {
  readonly collections = new Map<string, Map<string, RecordState>>();
  readonly #sums = new Map<string, DigestSum>();
  readonly #numbered = new Map<number, RecordState>();
  /** Records that changed since `takeChanged`. */
  #changed = new Set<RecordState>();

  readonly #count = (record: RecordState, cell: Cell | null, times: 1 | -1): void => {
    this.sumOf(record.collection).add(digestOf(record, cell), times);
    // A number is that of a life.
    if (cell === null && times === -1) this.#numbered.delete(record.number);
    if (cell === null) record.number = 0;
  };

  find(collection: string, id: string): RecordState | undefined {
    return this.collections.get(collection)?.get(id);
  }

  /** The record, made at life 0 where it is not there, to be changed. */
  touch(collection: string, id: string): RecordState {
    let records = this.collections.get(collection);
    if (!records) this.collections.set(collection, (records = new Map()));
    let record = records.get(id);
    if (!record) records.set(id, (record = new RecordState(collection, id, this.#count)));
    this.#changed.add(record);
    return record;
  }

  /** A record of the store, whose cells count already. */
  load(collection: string, id: string): RecordState {
    const record = this.touch(collection, id);
    this.#changed.delete(record);
    return record;
  }

  /** Lets go of a record that stands otherwise in the store by now; the sums are the store's too. */
  unload(collection: string, id: string): void {
    const record = this.find(collection, id);
    if (!record) return;
    this.#numbered.delete(record.number);
    this.collections.get(collection)?.delete(id);
  }

  /** Takes a record out, as if it had never been. */
  drop(record: RecordState): void {
    record.setLife(0);
    this.collections.get(record.collection)?.delete(record.id);
    this.#changed.add(record);
  }

  /** Notes that a record of the state before is not in this one. */
  gone(record: RecordState): void {
    if (!this.find(record.collection, record.id)) this.#changed.add(record);
  }

  /** Notes the number that a server gave to a record, where that shows (spec 22). */
  number(collection: string, id: string, number: number): void {
    const record = this.find(collection, id);
    if (!record?.alive || record.number === number) return;
    this.#numbered.delete(record.number);
    this.loadNumber(record, number);
    this.#changed.add(record);
  }

  /** The number of a record of the store. */
  loadNumber(record: RecordState, number: number): void {
    record.number = number;
    this.#numbered.set(number, record);
  }

  /** Notes the numbers that rows say. */
  numberRows(rows: readonly Row[]): void {
    for (const { collection, id, number } of rows) if (number !== undefined) this.number(collection, id, number);
  }

  /** The record of a number. */
  numbered(number: number): RecordState | undefined {
    return this.#numbered.get(number);
  }

  /** Whether each record that shows has its number. */
  get allNumbered(): boolean {
    let alive = 0;
    for (const record of this.records()) if (record.alive) alive++;
    return alive === this.#numbered.size;
  }

  *records(): Generator<RecordState> {
    for (const records of this.collections.values()) yield* records.values();
  }

  takeChanged(): Set<RecordState> {
    const changed = this.#changed;
    this.#changed = new Set();
    return changed;
  }

  sumOf(collection: string): DigestSum {
    let sum = this.#sums.get(collection);
    if (!sum) this.#sums.set(collection, (sum = new DigestSum()));
    return sum;
  }

  setSum(collection: string, sum: DigestSum): void {
    this.#sums.set(collection, sum);
  }

  /** The fingerprint of these collections, or of all. */
  fingerprint(collections: readonly string[] | null): Hex {
    const total = new DigestSum();
    for (const name of collections ?? this.#sums.keys()) total.addSum(this.sumOf(name));
    return fingerprintOf(total);
  }

  /** Applies a change in the log's order; of rows that `wanted` does not name, nothing (SUB-9). */
  apply(author: Hex, change: Change, position: number, wanted: (collection: string) => boolean = () => true): void {
    const by = writingOf(author, change);
    for (const row of change.rows) {
      if (!wanted(row.collection)) continue;
      const record = this.touch(row.collection, row.id);
      record.apply(row, by, "log");
      record.at = position;
    }
  }

  /** Replaces cells by those of an item of `states`, and lives by theirs (SYNC-14, HORIZON-10). */
  take(item: Item, position: number, wanted: (collection: string) => boolean = () => true): void {
    if (item.kind !== "group" && item.kind !== "plain" && item.kind !== "keyed") return;
    // One stamp for all cells of a group: they are many.
    const stamp = item.kind === "group" ? { ...item.reading, author: item.author } : undefined;
    for (const row of item.rows) {
      if (!wanted(row.collection)) continue;
      const record = this.touch(row.collection, row.id);
      record.setLife(row.life);
      record.at = position;
      for (const column of row.columns) {
        const { field, rule, op } = column;
        // Most columns are one cell: they are not put in a list first.
        if (stamp && op.kind === "value") record.put({ field, rule, key: null, stamp, value: op.value });
        else for (const cell of cellsOf(item, column, stamp)) record.put(cell);
      }
    }
  }
}

/** The cells that a column of an item says; of a group, with its stamp. */
function* cellsOf(item: CellItem, { field, rule, op }: Column, stamp: Stamp | undefined): Generator<Cell> {
  const dot = (index: number): Dot | undefined => (item.kind === "keyed" ? { author: item.author, seq: item.seq, index } : undefined);
  const cell = (key: Value, value: Held, index = 0): Cell => {
    const name = stamp ?? dot(index);
    if (name === undefined) return { field, rule, key, value };
    return "ms" in name ? { field, rule, key, stamp: name, value } : { field, rule, key, dot: name, value };
  };
  if (op.kind === "value") yield cell(null, op.value);
  else if (op.kind === "entries") for (const { key, value } of op.entries) yield cell(key, value);
  else if (op.kind === "indexes") {
    for (const index of op.removed) yield cell(null, undefined, index);
    for (const [index, value] of op.held) yield cell(null, value, index);
  }
}

/** An item that says cells. */
type CellItem = Extract<Item, { kind: "group" | "plain" | "keyed" }>;

/** So many rows without cells stand in one item. */
const ROWS = 256;

/** The items that give records whole: each cell once, in the item of its author and stamp or seq (SYNC-12, RULES-19). */
export function itemsOf(records: Iterable<RecordState>): Item[] {
  const groups = new Map<string, { readonly name: Cell; readonly rows: Map<RecordState, Cell[]> }>();
  const lives: Row[] = [];
  for (const record of records) {
    if (record.cells.size === 0) lives.push({ collection: record.collection, id: record.id, life: record.life, columns: [] });
    for (const cell of record.cells.values()) {
      const { stamp, dot } = cell;
      const key = stamp ? `${stamp.author} ${stamp.ms} ${stamp.counter}` : dot ? `${dot.author} ${dot.seq}` : "";
      let group = groups.get(key);
      if (!group) groups.set(key, (group = { name: cell, rows: new Map() }));
      const cells = group.rows.get(record);
      if (cells) cells.push(cell);
      else group.rows.set(record, [cell]);
    }
  }
  const items: Item[] = [];
  for (let i = 0; i < lives.length; i += ROWS) items.push({ kind: "plain", rows: lives.slice(i, i + ROWS) });
  for (const { name, rows: cells } of groups.values()) {
    const rows = [...cells].map(([record, cells]): Row => ({
      collection: record.collection,
      id: record.id,
      life: record.life,
      columns: columnsOf(cells),
    }));
    const { stamp, dot } = name;
    if (stamp) items.push({ kind: "group", author: stamp.author, reading: { ms: stamp.ms, counter: stamp.counter }, rows });
    else if (dot) items.push({ kind: "keyed", author: dot.author, seq: dot.seq, rows });
    else items.push({ kind: "plain", rows });
  }
  return items;
}

/** The columns of a row that says these cells of one item. */
function columnsOf(cells: readonly Cell[]): Column[] {
  const columns = new Map<string, Cell[]>();
  for (const cell of cells) {
    const key = `${cell.rule} ${cell.field}`;
    const same = columns.get(key);
    if (same) same.push(cell);
    else columns.set(key, [cell]);
  }
  const made = [...columns.values()].map((same) => columnOf(same[0] as Cell, same));
  return made.sort((a, b) => textCompare(a.field, b.field) || a.rule - b.rule);
}

function columnOf({ field, rule, value }: Cell, cells: readonly Cell[]): Column {
  if (rule === Rule.lww || (joinOf(rule) !== Join.stamp && joinOf(rule) !== Join.removed))
    return { field, rule, op: { kind: "value", value } };
  if (joinOf(rule) === Join.stamp) return { field, rule, op: { kind: "entries", entries: sortEntries(cells) } };
  const byIndex = [...cells].sort((a, b) => (a.dot?.index ?? 0) - (b.dot?.index ?? 0));
  const removed = byIndex.flatMap(({ dot, value }) => (dot && value === undefined ? [dot.index] : []));
  const held = byIndex.flatMap(({ dot, value }): [number, Value][] => (dot && value !== undefined ? [[dot.index, value]] : []));
  return { field, rule, op: { kind: "indexes", removed, held } };
}
