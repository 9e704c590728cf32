/** Changes: their rows, their forms on the wire and in the chain (spec 2, 4 and 6). */

import { sha256, share, textCompare, toHex, type Hex } from "./bytes.js";
import { Reader, Writer } from "./cbor.js";
import { compareReadings, type Reading } from "./clock.js";
import { malformed } from "./fault.js";
import { COLLECTION_NAME_BYTES_MAX, COUNTER_MAX, FIELD_NAME_BYTES_MAX, RECORD_ID_BYTES_MAX, UNIX_MS_MAX } from "./limits.js";
import type { Names } from "./names.js";
import { joinOf, Join, opCount, readOp, Rule, writeOp, type Op, type Place } from "./op.js";

export interface Column {
  readonly field: string;
  readonly rule: number;
  /** The reading that an `lww` op overwrites, where it lies at or above the change's own (CLOCK-7). */
  readonly after?: Reading;
  readonly op: Op;
}

/** The part of a change that is about one record. */
export interface Row {
  readonly collection: string;
  readonly id: string;
  readonly life: number;
  readonly columns: readonly Column[];
  /** The record's number, as a server says it; where it says that alone, the names are empty until `Names.resolved` (spec 22). */
  readonly number?: number;
}

/** The name and link under which rows were first minted (IDENT-14). */
export interface Origin {
  readonly replica: Hex;
  readonly seq: number;
  readonly link: Hex;
}

export interface Change {
  readonly seq: number;
  readonly reading: Reading;
  readonly rows: readonly Row[];
  readonly origin?: Origin;
  /** The author's own changes that this one stands on (IDENT-25). */
  readonly needs: readonly number[];
  /** Further change keys, conditions among them, as they were encoded. */
  readonly rest: ReadonlyMap<number, Uint8Array>;
}

/** Offered in the place of a change that was rejected: its hash (IDENT-20). */
export interface Skip {
  readonly seq: number;
  readonly hash: Hex;
}

export type Pushed = Change | Skip;

export const isSkip = (pushed: Pushed): pushed is Skip => "hash" in pushed;

/** What has to be known of a channel to read what travels on it. */
export interface Wire {
  /** What its stamps are relative to. */
  readonly baseMs: number;
  readonly agreed: ReadonlySet<number>;
  /** What numbers stand for; without it none may come. */
  readonly names?: Names;
}

export const Profile = {
  core: 0,
  rules: 1,
  compact: 2,
  presence: 3,
  conditions: 4,
  subscribe: 5,
  peer: 6,
  packed: 8,
  flow: 9,
  access: 10,
  repair: 11,
  signal: 12,
} as const;

/** Change keys (`registries/change-keys.toml`). */
export const ChangeKey = { origin: 0, conditions: 1, needs: 4 } as const;

export function readReading(r: Reader, baseMs: number): Reading {
  let counter = 0;
  let ms: number;
  if (r.peek() === "array") {
    if (r.array() !== 2) throw malformed("a stamp has two items");
    ms = r.int();
    counter = r.int(1, COUNTER_MAX);
  } else ms = r.int();
  ms += baseMs;
  if (ms < 0 || ms > UNIX_MS_MAX) throw malformed(`a reading of ${ms} ms`);
  return { ms, counter };
}

export function writeReading(w: Writer, { ms, counter }: Reading, baseMs: number): void {
  if (counter === 0) w.int(ms - baseMs);
  else
    w.array(2)
      .int(ms - baseMs)
      .int(counter);
}

export const readCollection = (r: Reader): string => share(r.text(COLLECTION_NAME_BYTES_MAX, 1));

function readRecord(r: Reader): [string, string] {
  if (r.array() !== 2) throw malformed("a record is named by its collection and id");
  return [readCollection(r), r.text(RECORD_ID_BYTES_MAX, 1)];
}

/** The record of a row: by its name, announced with its number, or known by that alone (spec 22). */
function readNumbered(r: Reader, names: Names | undefined): Pick<Row, "collection" | "id" | "number"> {
  if (names && r.peek() === "int") return { collection: "", id: "", number: r.int(1) };
  const items = r.array();
  if (items !== 2 && !(names && items === 3)) throw malformed("a record is named by its collection and id");
  const number = items === 3 ? names?.announced(r.int(1)) : undefined;
  const record = { collection: readCollection(r), id: r.text(RECORD_ID_BYTES_MAX, 1) };
  return number === undefined ? record : { ...record, number };
}

/** An author: by its id, or by its number. */
export const readAuthor = (r: Reader, { names }: Wire): Hex => (names && r.peek() === "int" ? names.replica(r.int(1)) : r.hex(16));

/** Reads a row; `own` is the change's reading, of a change only. */
export function readRow(r: Reader, place: Place, wire: Wire, own: Reading): Row {
  let items = r.array() - 1;
  const record = readNumbered(r, wire.names);
  let life = 1;
  // A number of 1 or more is that of a column.
  if (items >= 2 && r.peek() === "int" && (!wire.names || r.buffer[r.pos] === 0)) {
    r.int(0, 0);
    life = r.int(2);
    items -= 2;
  }
  const columns: Column[] = [];
  if (items % 2 !== 0) throw malformed("a column without its op");
  if (items > 0 && life % 2 === 0) throw malformed("a row of an even life holds ops");
  for (; items > 0; items -= 2) columns.push(readColumn(r, place, wire, own, columns.at(-1)));
  const { collection, id, number } = record;
  return number === undefined ? { collection, id, life, columns } : { collection, id, number, life, columns };
}

/** A column's name, and whether an `after` comes: `[field, rule, ? after]`, and where numbers may come `number` or `[number, after]`. */
function readName(r: Reader, names: Names | undefined): [field: string, rule: number, after: boolean] {
  if (names && r.peek() === "int") return [...names.column(r.int(1)), false];
  const items = r.array();
  if (names && items === 2 && r.peek() === "int") return [...names.column(r.int(1)), true];
  if (items !== 2 && items !== 3) throw malformed(`a column of ${items} items`);
  return [share(r.text(FIELD_NAME_BYTES_MAX, 1)), r.uint(), items === 3];
}

function readColumn(r: Reader, place: Place, wire: Wire, own: Reading, before: Column | undefined): Column {
  const [field, rule, overwrites] = readName(r, wire.names);
  if (before && (textCompare(before.field, field) || before.rule - rule) >= 0) throw malformed("columns out of order");
  let after: Reading | undefined;
  if (overwrites) {
    if (rule !== Rule.lww || place !== "change") throw malformed("an `after` where none may stand");
    after = readReading(r, wire.baseMs);
    if (compareReadings(after, own) < 0) throw malformed("an `after` below the change's own reading");
  }
  const op = readOp(r, rule, place, wire.agreed.has(Profile.rules), own);
  return after ? { field, rule, after, op } : { field, rule, op };
}

/** Writes a row. The literal form has its life always, by itself, an `after` in full, and no number. */
export function writeRow(w: Writer, row: Row, baseMs: number, literal = false): void {
  const lifeItems = literal ? 1 : row.life === 1 ? 0 : 2;
  w.array(1 + lifeItems + 2 * row.columns.length);
  const number = literal ? undefined : row.number;
  if (number !== undefined && isUnresolved(row)) w.int(number);
  else {
    w.array(number === undefined ? 2 : 3);
    if (number !== undefined) w.int(number);
    w.text(row.collection).text(row.id);
  }
  if (lifeItems === 2) w.int(0);
  if (lifeItems > 0) w.int(row.life);
  for (const { field, rule, after, op } of row.columns) {
    w.array(after ? 3 : 2)
      .text(field)
      .int(rule);
    if (after && literal) w.array(2).int(after.ms).int(after.counter);
    else if (after) writeReading(w, after, baseMs);
    writeOp(w, rule, op);
  }
}

export const compareRecords = (a: Row, b: Row): number => textCompare(a.collection, b.collection) || textCompare(a.id, b.id);

/** Whether of a record only the number is read. */
export const isUnresolved = ({ collection }: Row): boolean => collection === "";

/** Rows stand in the order of their records, each once. */
export function checkOrder(rows: readonly Row[]): void {
  rows.forEach((row, i) => {
    const before = rows[i - 1];
    if (before && compareRecords(before, row) >= 0) throw malformed("rows out of order");
  });
}

/** The rest of a change behind its seq: `items` items. */
export function readChange(r: Reader, seq: number, items: number, wire: Wire): Change {
  const reading = readReading(r, wire.baseMs);
  const rows: Row[] = [];
  let keys: ChangeKeys = { needs: [], rest: new Map() };
  for (let left = items - 1; left > 0; left--) {
    if (left === 1 && rows.length > 0 && r.peek() === "map") {
      keys = readKeys(r, seq, wire);
      break;
    }
    const row = readRow(r, "change", wire, reading);
    rows.push(row);
  }
  // Where numbers stand for names, those come first.
  if (!rows.some(isUnresolved)) checkOrder(rows);
  if (rows.length === 0) throw malformed("a change without rows");
  return { seq, reading, rows, ...keys };
}

type ChangeKeys = Pick<Change, "origin" | "needs" | "rest">;

function readKeys(r: Reader, seq: number, wire: Wire): ChangeKeys {
  let origin: Origin | undefined;
  const needs: number[] = [];
  const rest = new Map<number, Uint8Array>();
  const n = r.intMap((key) => {
    if (key < 0) throw malformed(`the change key ${key}`);
    if (key === ChangeKey.origin) {
      if (r.array() !== 3) throw malformed("an origin has three items");
      origin = { replica: r.hex(16), seq: r.int(1), link: r.hex(16) };
    } else if (key === ChangeKey.needs) {
      for (let n = r.array(); n > 0; n--) needs.push(r.int((needs.at(-1) ?? 0) + 1, seq - 1));
      if (needs.length === 0) throw malformed("needs of nothing");
    } else if (key === ChangeKey.conditions && wire.agreed.has(Profile.conditions)) {
      rest.set(key, readConditions(r));
    } else rest.set(key, r.any());
  });
  if (n === 0) throw malformed("an empty change map");
  return origin ? { origin, needs, rest } : { needs, rest };
}

/** Checks the form of conditions (COND-3) and gives their bytes. */
function readConditions(r: Reader): Uint8Array {
  const start = r.pos;
  const n = r.array();
  if (n === 0) throw malformed("a list of no conditions");
  for (let i = 0; i < n; i++) {
    const items = r.array();
    readRecord(r);
    if (items === 2) r.uint();
    else if (items === 3) readCellCondition(r);
    else throw malformed(`a condition of ${items} items`);
  }
  return r.since(start);
}

function readCellCondition(r: Reader): void {
  const items = r.array();
  r.text(FIELD_NAME_BYTES_MAX, 1);
  const rule = r.uint();
  if (joinOf(rule) !== Join.stamp || items !== (rule === Rule.lww ? 2 : 3)) throw malformed("a condition on a cell that has no stamp");
  if (items === 3) r.value();
  if (r.peek() === "null") {
    r.null();
    return;
  }
  if (r.array() !== 3) throw malformed("a stamp has three items");
  r.int(0, UNIX_MS_MAX);
  r.int(0, COUNTER_MAX);
  r.hex(16);
}

/** How many items `writeBody` writes. */
const bodyItems = (change: Change): number => 1 + change.rows.length + (keyCount(change) > 0 ? 1 : 0);

const keyCount = ({ origin, needs, rest }: Change): number => (origin ? 1 : 0) + (needs.length ? 1 : 0) + rest.size;

/** The reading, rows and map of a change, as they travel. */
export function writeBody(w: Writer, change: Change, baseMs: number): void {
  writeReading(w, change.reading, baseMs);
  for (const row of change.rows) writeRow(w, row, baseMs);
  if (keyCount(change) > 0) writeKeys(w, change);
}

function writeKeys(w: Writer, change: Change): void {
  const { origin, needs, rest } = change;
  const keys = [...rest.keys(), ...(origin ? [ChangeKey.origin] : []), ...(needs.length ? [ChangeKey.needs] : [])];
  w.map(keys.length);
  for (const key of keys.sort((a, b) => a - b)) {
    w.int(key);
    const bytes = rest.get(key);
    if (bytes) w.raw(bytes);
    else if (key === ChangeKey.needs) {
      w.array(needs.length);
      for (const seq of needs) w.int(seq);
    } else if (origin) w.array(3).hex(origin.replica).int(origin.seq).hex(origin.link);
  }
}

/** `change` has its fields before the body: `head` of them. */
export function changeItems(change: Change, head: number): number {
  return head + bodyItems(change);
}

export function readPushed(r: Reader, wire: Wire): Pushed {
  const items = r.array();
  const seq = r.int(1);
  if (items === 2 && r.peek() === "bytes") return { seq, hash: r.hex(32) };
  if (items < 3) throw malformed("a change without rows");
  return readChange(r, seq, items - 1, wire);
}

export function writePushed(w: Writer, pushed: Pushed, baseMs: number): void {
  if (isSkip(pushed)) w.array(2).int(pushed.seq).hex(pushed.hash);
  else {
    w.array(changeItems(pushed, 1)).int(pushed.seq);
    writeBody(w, pushed, baseMs);
  }
}

/** SHA-256 over the literal change. */
export function hashOf(change: Change): Hex {
  const w = new Writer();
  w.array(5).int(change.seq).int(change.reading.ms).int(change.reading.counter).array(change.rows.length);
  for (const row of change.rows) writeRow(w, row, 0, true);
  if (keyCount(change) > 0) writeKeys(w, change);
  else w.map(0);
  return toHex(sha256(w.bytes()));
}

/** Link 0 of a replica in a space. */
export const startLink = (space: string, replica: Hex): Hex =>
  toHex(sha256(new Writer().array(3).text("syncline").text(space).hex(replica).bytes())).slice(0, 32);

/** The link at a change, from the link before it and its hash. */
export const nextLink = (before: Hex, hash: Hex): Hex => toHex(sha256(new Writer().hexRaw(before).hexRaw(hash).bytes())).slice(0, 32);

/** The ops of a change as limits count them (spec 9). */
export const changeOps = (change: Change): number =>
  change.rows.reduce(
    (sum, row) =>
      sum +
      Math.max(
        1,
        row.columns.reduce((n, { op }) => n + opCount(op), 0),
      ),
    0,
  );
