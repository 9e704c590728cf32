/** What a change writes to one cell, and what `states` says of it (spec 5 and 8). */

import { bytesCompare, utf8, type Hex } from "./bytes.js";
import { encode, Reader, Writer } from "./cbor.js";
import { compareReadings, type Reading } from "./clock.js";
import { malformed } from "./fault.js";
import { COUNTER_MAX, KEY_BYTES_MAX, UNIX_MS_MAX } from "./limits.js";
import type { Held, Value } from "./value.js";

/** Conflict rules by their codes (`registries/rules.toml`). */
export const Rule = { lww: 0, life: 1, min: 2, counter: 3, multi: 4, set: 8, max: 9, list: 12, map: 16, text: 20 } as const;

/** Joins: a rule's code modulo 8. */
export const Join = { stamp: 0, greatest: 1, least: 2, seq: 3, removed: 4 } as const;

export const joinOf = (rule: number): number => rule % 8;

/** Whether cells may be of this rule; a server judges any other and rejects it (RULES-3). */
export const holdsCells = (rule: number): boolean =>
  rule !== Rule.life && rule !== Rule.list && rule !== Rule.text && joinOf(rule) <= Join.removed;

/** The name of a value added to a `multi` field. */
export interface Dot {
  readonly author: Hex;
  readonly seq: number;
  readonly index: number;
}

export interface Entry {
  readonly key: Value;
  /** A set's element: true, or undefined where it is absent. */
  readonly value: Held;
  readonly after?: Reading;
}

export type Op =
  /** `lww`, `min`, `max`, an amount, or what an unknown rule of their joins holds. */
  | { readonly kind: "value"; readonly value: Held }
  /** `set`, `map`, and unknown rules of their join. */
  | { readonly kind: "entries"; readonly entries: readonly Entry[] }
  /** `multi` in a change: dots removed and values added. */
  | { readonly kind: "dots"; readonly removed: readonly Dot[]; readonly added: readonly Value[] }
  /** `multi` in states: the indexes removed, and those that hold a value. */
  | { readonly kind: "indexes"; readonly removed: readonly number[]; readonly held: readonly (readonly [number, Value])[] }
  /** Of a rule that was not agreed or that nobody keeps: any item. */
  | { readonly kind: "opaque"; readonly bytes: Uint8Array };

/** Where columns stand: in a change, or in an item of `states` (RULES-19). */
export type Place = "change" | "group" | "plain" | "keyed";

const JOINS_OF: Record<Exclude<Place, "change">, readonly number[]> = {
  group: [Join.stamp],
  plain: [Join.greatest, Join.least],
  keyed: [Join.seq, Join.removed],
};

export const compareDots = (a: Dot, b: Dot): number =>
  a.author < b.author ? -1 : a.author > b.author ? 1 : a.seq - b.seq || a.index - b.index;

/** Reads an op. `own` is the change's reading, below which no `after` may lie (CLOCK-8). */
export function readOp(r: Reader, rule: number, place: Place, agreed: boolean, own: Reading): Op {
  if (place === "change" && rule !== Rule.lww && (!agreed || !holdsCells(rule))) return { kind: "opaque", bytes: r.any() };
  if (place !== "change" && !belongs(rule, place, agreed)) throw malformed(`a column of rule ${rule} in this item`);
  if (rule === Rule.lww) return { kind: "value", value: r.held() };
  const join = joinOf(rule);
  if (join === Join.stamp) return readEntries(r, rule, place, own);
  if (join === Join.removed) return place === "change" ? readDots(r) : readIndexes(r);
  if (rule !== Rule.counter) return { kind: "value", value: r.value() };
  const amount = r.int();
  if (amount === 0 && place === "change") throw malformed("an amount of 0");
  return { kind: "value", value: amount };
}

const belongs = (rule: number, place: Exclude<Place, "change">, agreed: boolean): boolean =>
  holdsCells(rule) && JOINS_OF[place].includes(joinOf(rule)) && (agreed || rule === Rule.lww);

/** Elements or entries, by ascending encoded keys (RULES-12). */
function readEntries(r: Reader, rule: number, place: Place, own: Reading): Op {
  const n = r.array();
  if (n === 0) throw malformed("an op without entries");
  const entries: Entry[] = [];
  let before: Uint8Array | undefined;
  for (let i = 0; i < n; i++) {
    const items = r.array();
    if (items !== 2 && !(items === 3 && place === "change")) throw malformed(`an entry of ${items} items`);
    const start = r.pos;
    const key = rule === Rule.map ? r.text() : r.value();
    const bytes = r.buffer.subarray(start, r.pos);
    if (bytes.length > KEY_BYTES_MAX) throw malformed(`a key of ${bytes.length} bytes`);
    if (before !== undefined && bytesCompare(before, bytes) >= 0) throw malformed("keys out of order");
    before = bytes;
    const value = rule === Rule.set ? r.bool() || undefined : r.held();
    entries.push(items === 2 ? { key, value } : { key, value, after: readMoment(r, own) });
  }
  return { kind: "entries", entries };
}

/** `[ms, counter]`, absolute. */
function readMoment(r: Reader, own: Reading): Reading {
  if (r.array() !== 2) throw malformed("a moment has two items");
  const after = { ms: r.int(0, UNIX_MS_MAX), counter: r.int(0, COUNTER_MAX) };
  if (compareReadings(after, own) < 0) throw malformed("an `after` below the change's own reading");
  return after;
}

function readDots(r: Reader): Op {
  const items = r.array();
  if (items === 0) throw malformed("an op without dots");
  const removed: Dot[] = [];
  for (let n = r.array(); n > 0; n--) {
    if (r.array() !== 3) throw malformed("a dot has three items");
    const dot = { author: r.hex(16), seq: r.int(1), index: r.uint() };
    const last = removed.at(-1);
    if (last && compareDots(last, dot) >= 0) throw malformed("dots out of order");
    removed.push(dot);
  }
  const added = Array.from({ length: items - 1 }, () => r.value());
  if (removed.length + added.length === 0) throw malformed("an op without dots and values");
  return { kind: "dots", removed, added };
}

function readIndexes(r: Reader): Op {
  const items = r.array();
  if (items === 0) throw malformed("an op without indexes");
  const removed: number[] = [];
  const held: [number, Value][] = [];
  for (let n = r.array(); n > 0; n--) removed.push(ascending(removed.at(-1), r.uint()));
  for (let i = 1; i < items; i++) {
    if (r.array() !== 2) throw malformed("an index and a value were expected");
    const index = ascending(held.at(-1)?.[0], r.uint());
    if (removed.includes(index)) throw malformed("an index that is removed and holds a value");
    held.push([index, r.value()]);
  }
  if (removed.length + held.length === 0) throw malformed("an op without indexes");
  return { kind: "indexes", removed, held };
}

function ascending(before: number | undefined, n: number): number {
  if (before !== undefined && before >= n) throw malformed("indexes out of order");
  return n;
}

export function writeOp(w: Writer, rule: number, op: Op): void {
  switch (op.kind) {
    case "value":
      w.value(op.value);
      break;
    case "entries":
      w.array(op.entries.length);
      for (const { key, value, after } of op.entries) {
        w.array(after ? 3 : 2).value(key);
        if (rule === Rule.set) w.bool(value !== undefined);
        else w.value(value);
        if (after) w.array(2).int(after.ms).int(after.counter);
      }
      break;
    case "dots":
      w.array(1 + op.added.length).array(op.removed.length);
      for (const dot of op.removed) w.array(3).hex(dot.author).int(dot.seq).int(dot.index);
      for (const value of op.added) w.value(value);
      break;
    case "indexes":
      w.array(1 + op.held.length).array(op.removed.length);
      for (const index of op.removed) w.int(index);
      for (const [index, value] of op.held) w.array(2).int(index).value(value);
      break;
    case "opaque":
      w.raw(op.bytes);
  }
}

/** How many ops this counts as (spec 9). */
export function opCount(op: Op): number {
  if (op.kind === "entries") return op.entries.length;
  return op.kind === "dots" ? op.removed.length + op.added.length : 1;
}

/** The entries of an op in the order in which they are written. */
export function sortEntries(entries: readonly Entry[]): Entry[] {
  const keyed = entries.map(({ key, value, after }) => ({ entry: after ? { key, value, after } : { key, value }, bytes: encode(key) }));
  return keyed.sort((a, b) => bytesCompare(a.bytes, b.bytes)).map(({ entry }) => entry);
}

/** The size of a text in its encoding's bytes. */
export const textBytes = (text: string): number => utf8(text).length;
