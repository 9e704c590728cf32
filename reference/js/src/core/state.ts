/** The state of a space: its records, and the fingerprints of its collections (spec 5 and 8). */

import { DigestSum, sha256, toHex, type Hex } from "./bytes.js";
import { Writer } from "./cbor.js";
import type { Change, Row } from "./change.js";
import type { Item } from "./items.js";
import { Join, joinOf } from "./op.js";
import { digestOf, RecordState, type Cell, type Writing } from "./record.js";
import type { Value } from "./value.js";

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
  /** Records that changed since `takeChanged`. */
  #changed = new Set<RecordState>();

  readonly #count = (record: RecordState, cell: Cell | null, times: 1 | -1): void => {
    this.sumOf(record.collection).add(digestOf(record, cell), times);
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
    for (const row of item.rows) {
      if (!wanted(row.collection)) continue;
      const record = this.touch(row.collection, row.id);
      record.setLife(row.life);
      record.at = position;
      for (const cell of cellsOf(item, row)) record.put(cell);
    }
  }
}

/** The cells that a row of an item says. */
function* cellsOf(item: Exclude<Item, { kind: "settled" | "outcome" | "held" | "base" }>, row: Row): Generator<Cell> {
  for (const { field, rule, op } of row.columns) {
    if (op.kind === "entries" && item.kind === "group") {
      for (const { key, value } of op.entries) yield { field, rule, key, stamp: { ...item.reading, author: item.author }, value };
    } else if (op.kind === "indexes" && item.kind === "keyed") {
      const dot = (index: number): { dot: { author: Hex; seq: number; index: number } } => ({ dot: { author: item.author, seq: item.seq, index } });
      for (const index of op.removed) yield { field, rule, key: null, ...dot(index), value: undefined };
      for (const [index, value] of op.held) yield { field, rule, key: null, ...dot(index), value };
    } else if (op.kind === "value" && item.kind === "group") {
      yield { field, rule, key: null, stamp: { ...item.reading, author: item.author }, value: op.value };
    } else if (op.kind === "value" && item.kind === "keyed") {
      yield { field, rule, key: null, dot: { author: item.author, seq: item.seq, index: 0 }, value: op.value };
    } else if (op.kind === "value") yield { field, rule, key: null, value: op.value };
  }
}

/** The items that give records whole, each cell once (SYNC-12, RULES-19), for peers that take base. */
export function itemsOf(records: Iterable<RecordState>): Item[] {
  const items: Item[] = [];
  for (const record of records) {
    const { collection, id, life } = record;
    const one = (cell: Cell, value: Row["columns"][number]["op"]): Row[] => [{ collection, id, life, columns: [{ field: cell.field, rule: cell.rule, op: value }] }];
    items.push({ kind: "plain", rows: [{ collection, id, life, columns: [] }] });
    for (const cell of record.cells.values()) {
      const { stamp, dot, value, key, rule } = cell;
      if (stamp) {
        const op = rule === 0 ? ({ kind: "value", value } as const) : ({ kind: "entries", entries: [{ key, value }] } as const);
        items.push({ kind: "group", author: stamp.author, reading: { ms: stamp.ms, counter: stamp.counter }, rows: one(cell, op) });
      } else if (dot && joinOf(rule) === Join.removed) {
        const held: [number, Value][] = value === undefined ? [] : [[dot.index, value]];
        const op = { kind: "indexes", removed: value === undefined ? [dot.index] : [], held } as const;
        items.push({ kind: "keyed", author: dot.author, seq: dot.seq, rows: one(cell, op) });
      } else if (dot) items.push({ kind: "keyed", author: dot.author, seq: dot.seq, rows: one(cell, { kind: "value", value }) });
      else items.push({ kind: "plain", rows: one(cell, { kind: "value", value }) });
    }
  }
  return items;
}
