/** Records and their cells: the joins of the rules, and what of a record counts in fingerprints (spec 5 and 8). */

import { bytesCompare, fromHex, sha256, share, toHex, utf8, type Hex } from "./bytes.js";
import { encode, Writer } from "./cbor.js";
import type { Column, Row } from "./change.js";
import { compareReadings, compareStamps, successor, type Reading, type Stamp } from "./clock.js";
import { NAMES_MAX } from "./limits.js";
import { Join, joinOf, Rule, type Dot, type Entry } from "./op.js";
import { compareValues, type Held, type Value } from "./value.js";

/** The smallest thing that merges. Which of its parts count is for the join of its rule to say. */
export interface Cell {
  readonly field: string;
  readonly rule: number;
  /** What tells apart the cells of one column: an element, an entry's key; null for rules that keep one cell. */
  readonly key: Value;
  /** Of join 0: the effective stamp. */
  readonly stamp?: Stamp;
  /** Of join 3: the author and the seq of the last op. Of join 4: the dot. */
  readonly dot?: Dot;
  /** The value, sum, or true for an element; undefined where it is unset, absent or removed. */
  readonly value: Held;
}

/** Who hears what comes to count in a fingerprint and what ceases to; a cell of null is the record's life. */
export type Ledger = (record: RecordState, cell: Cell | null, times: 1 | -1) => void;

/** Who wrote what is applied: the author and seq of the change, its reading, and the name of the dots that it adds. */
export interface Writing {
  readonly author: Hex;
  readonly seq: number;
  readonly reading: Reading;
  readonly name: { readonly author: Hex; readonly seq: number };
}

/** Whether changes come in the log's order, or as they are known: then nothing that is said is left out (RULES-18). */
export type Order = "log" | "overlay";

const cellKey = (rule: number, key: string, field: string): string => share(`${rule}:${key}:${field}`);
/** The keys of `lww` cells, which are most, by their fields. */
const lwwKeys = new Map<string, string>();

function lwwKey(field: string): string {
  let key = lwwKeys.get(field);
  if (key === undefined) {
    if (lwwKeys.size === NAMES_MAX) lwwKeys.clear();
    lwwKeys.set(field, (key = cellKey(Rule.lww, "", field)));
  }
  return key;
}

const hexOf = (key: Value): string => (key === null ? "" : toHex(encode(key)));

/** A record: its life, and the cells of that life. */
export class RecordState {
  life = 0;
  readonly cells = new Map<string, Cell>();
  /** The last position at which something of it changed, as far as is known. */
  at = 0;
  /** The number that the server gave it in this life, or 0 (spec 22). */
  number = 0;

  constructor(
    readonly collection: string,
    readonly id: string,
    readonly ledger?: Ledger,
  ) {}

  get alive(): boolean {
    return this.life % 2 === 1;
  }

  /** Takes the record to another life: cells of the one before are dropped (MERGE-3). */
  setLife(life: number): void {
    if (life === this.life) return;
    this.#tell(-1);
    this.cells.clear();
    this.life = life;
    this.#tell(1);
  }

  #tell(times: 1 | -1): void {
    if (!this.ledger || !this.alive) return;
    this.ledger(this, null, times);
    for (const cell of this.cells.values()) if (cell.value !== undefined) this.ledger(this, cell, times);
  }

  put(cell: Cell): void {
    this.#set(keyOf(cell), cell);
  }

  remove(key: string): void {
    this.#set(key, undefined);
  }

  #set(key: string, cell: Cell | undefined): void {
    if (this.ledger && this.alive) {
      const before = this.cells.get(key);
      if (before !== undefined && before.value !== undefined) this.ledger(this, before, -1);
      if (cell !== undefined && cell.value !== undefined) this.ledger(this, cell, 1);
    }
    if (cell === undefined) this.cells.delete(key);
    else this.cells.set(key, cell);
  }

  /** Fills a record that comes out of a store: the ledger knows of it. */
  load(life: number, at: number, cells: Iterable<Cell>): void {
    this.life = life;
    this.at = at;
    for (const cell of cells) this.cells.set(keyOf(cell), cell);
  }

  find(field: string, rule: number, key: Value): Cell | undefined {
    return this.cells.get(cellKey(rule, hexOf(key), field));
  }

  /** A copy that nobody's fingerprint counts. */
  copy(): RecordState {
    const copy = new RecordState(this.collection, this.id);
    copy.life = this.life;
    for (const [key, cell] of this.cells) copy.cells.set(key, cell);
    return copy;
  }

  /** Applies a row: a higher life drops what was, a lower one has no effect (MERGE-2 to MERGE-4). */
  apply(row: Row, by: Writing, order: Order): void {
    if (row.life < this.life) return;
    this.setLife(row.life);
    for (const column of row.columns) this.#applyColumn(column, by, order);
  }

  #applyColumn({ field, rule, after, op }: Column, by: Writing, order: Order): void {
    if (op.kind === "entries") for (const entry of op.entries) this.#applyEntry(field, rule, entry, by, order);
    else if (op.kind === "dots") {
      for (const dot of op.removed) this.#removeDot(field, rule, dot, order);
      op.added.forEach((value, index) => this.join({ field, rule, key: null, dot: { ...by.name, index }, value }));
    } else if (op.kind === "value" && rule === Rule.lww) {
      this.#applyEntry(field, rule, after ? { key: null, value: op.value, after } : { key: null, value: op.value }, by, order);
    } else if (op.kind === "value" && joinOf(rule) === Join.seq) this.#applyKeyed(field, rule, op.value, by);
    else if (op.kind === "value") this.join({ field, rule, key: null, value: op.value });
  }

  /** An op with `after` enters the join just past it, unless base holds nothing there that it could overwrite (CLOCK-9). */
  #applyEntry(field: string, rule: number, { key, value, after }: Entry, by: Writing, order: Order): void {
    const held = this.find(field, rule, key)?.stamp;
    const counts = after !== undefined && (order === "overlay" || (held !== undefined && compareReadings(held, after) >= 0));
    const { ms, counter } = counts ? successor(after) : by.reading;
    this.join({ field, rule, key, stamp: { ms, counter, author: by.author }, value });
  }

  /** Amounts add up; each counts once (RULES-9). */
  #applyKeyed(field: string, rule: number, value: Held, by: Writing): void {
    const dot = { author: by.author, seq: by.seq, index: 0 };
    const held = this.cells.get(keyOf({ field, rule, key: null, dot, value }));
    const sum = rule === Rule.counter && held ? (held.value as number) + (value as number) : value;
    this.join({ field, rule, key: null, dot, value: sum });
  }

  /** The removal of a dot that is not there leaves nothing, in the log's order (RULES-16). */
  #removeDot(field: string, rule: number, dot: Dot, order: Order): void {
    const cell: Cell = { field, rule, key: null, dot, value: undefined };
    if (order === "overlay" || this.cells.has(keyOf(cell))) this.put(cell);
  }

  /** The join of a cell with what is held (RULES-1). */
  join(cell: Cell): void {
    const held = this.cells.get(keyOf(cell));
    if (held === undefined || wins(cell, held)) this.put(cell);
  }

  /** The join with another state of the record (MERGE-1, MERGE-3). */
  joinState(other: RecordState): void {
    if (other.life < this.life) return;
    this.setLife(other.life);
    for (const cell of other.cells.values()) this.join(cell);
  }
}

export function keyOf({ field, rule, key, dot }: Cell): string {
  if (rule === Rule.lww) return lwwKey(field);
  const join = joinOf(rule);
  if (join === Join.seq && dot) return cellKey(rule, dot.author, field);
  if (join === Join.removed && dot) return cellKey(rule, `${dot.author}.${dot.seq}.${dot.index}`, field);
  return cellKey(rule, hexOf(key), field);
}

/** Whether `a` takes the place of `b`. */
function wins(a: Cell, b: Cell): boolean {
  switch (joinOf(a.rule)) {
    case Join.stamp:
      if (!a.stamp || !b.stamp) return false;
      return (compareStamps(a.stamp, b.stamp) || compareHeld(a.value, b.value)) > 0;
    case Join.greatest:
      return compareValues(a.value as Value, b.value as Value) > 0;
    case Join.least:
      return compareValues(a.value as Value, b.value as Value) < 0;
    case Join.seq:
      return (a.dot?.seq ?? 0) > (b.dot?.seq ?? 0);
    default:
      return b.value !== undefined && (a.value === undefined || compareHeld(a.value, b.value) > 0);
  }
}

/** By encoded bytes, unset being the least (MERGE-9). */
function compareHeld(a: Held, b: Held): number {
  if (a === undefined || b === undefined) return (a === undefined ? 0 : 1) - (b === undefined ? 0 : 1);
  return bytesCompare(encode(a), encode(b));
}

/** The key of a cell as a value, as addresses have it. */
export function keyValue({ rule, key, dot }: Cell): Value {
  const join = joinOf(rule);
  if (join === Join.seq && dot) return fromHex(dot.author);
  return join === Join.removed && dot ? [fromHex(dot.author), dot.seq, dot.index] : key;
}

const scratch = new Writer(1024);
/** Of whom the scratch begins with the names, and how long they are: its cells are digested one after the other. */
let [named, namesLength]: [RecordState | null, number] = [null, 0];

/** SHA-256 over a live cell with its address and life; of the life itself where `cell` is null (SYNC-18). */
export function digestOf(record: RecordState, cell: Cell | null): Uint8Array {
  const w = scratch;
  if (named !== record) {
    w.cut(0);
    namesLength = w.array(7).text(record.collection).text(record.id).length;
    named = record;
  } else w.cut(namesLength);
  if (cell === null) return sha256(w.null().int(Rule.life).null().int(record.life).null().view());
  w.text(cell.field).int(cell.rule).value(keyValue(cell)).int(record.life);
  const join = joinOf(cell.rule);
  if (join === Join.stamp && cell.stamp) {
    const { ms, counter, author } = cell.stamp;
    w.array(4).int(ms).int(counter).hex(author).value(cell.value);
  } else if (join === Join.seq && cell.dot) w.array(2).int(cell.dot.seq).value(cell.value);
  else w.array(1).value(cell.value);
  return sha256(w.view());
}

/** The address of a cell, or of a record's life, as bytes in order (spec 20). */
export function addressOf(record: RecordState, cell: Cell | null): Uint8Array {
  const out: number[] = [];
  const name = (text: string): void => {
    for (const byte of utf8(text)) out.push(...(byte === 0 ? [0, 255] : [byte]));
    out.push(0, 1);
  };
  name(record.collection);
  name(record.id);
  if (cell === null) out.push(0);
  else {
    out.push(1);
    name(cell.field);
    const rule = new DataView(new ArrayBuffer(8));
    rule.setBigUint64(0, BigInt(cell.rule));
    for (let i = 0; i < 8; i++) out.push(rule.getUint8(i));
    out.push(...encode(keyValue(cell)));
  }
  return Uint8Array.from(out);
}
