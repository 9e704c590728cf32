/** Frames and messages as they are written (spec 3 and 7). */

import { Writer } from "./cbor.js";
import { changeItems, writeBody, writePushed } from "./change.js";
import { writeItem, writeVerdict } from "./items.js";
import type { Limits } from "./limits.js";
import { CODES, type Cursor, type Message, type Of, type Range, type Type } from "./message.js";

/** The bytes of one message. */
export function encodeMessage(message: Message, baseMs: number): Uint8Array {
  const w = new Writer();
  writeMessage(w, message, baseMs);
  return w.bytes();
}

/** A frame of one message, with absolute times. */
export function encodeFrame(channel: number, message: Message): Uint8Array {
  const w = new Writer().int(channel);
  writeMessage(w, message, 0);
  return w.bytes();
}

type Extensions = readonly (readonly [key: number, write: ((w: Writer) => void) | undefined])[];

/** The head of a message of `fields` fields, and what ends it: its extensions, where there are some. */
function head(w: Writer, type: Type, fields: number, extensions: Extensions = []): () => void {
  const present = extensions.filter(([, write]) => write !== undefined);
  w.array(1 + fields + (present.length > 0 ? 1 : 0)).int(CODES[type]);
  return () => {
    if (present.length === 0) return;
    w.map(present.length);
    for (const [key, write] of present) write?.(w.int(key));
  };
}

const when = <T>(x: T | undefined, write: (w: Writer, x: T) => void): ((w: Writer) => void) | undefined =>
  x === undefined ? undefined : (w) => write(w, x);

function writeUints(w: Writer, numbers: readonly number[]): Writer {
  w.array(numbers.length);
  for (const n of numbers) w.int(n);
  return w;
}

function writeNames(w: Writer, names: readonly string[]): void {
  w.array(names.length);
  for (const name of names) w.text(name);
}

function writeLimits(w: Writer, limits: Limits): Writer {
  w.map(limits.size);
  for (const [key, value] of [...limits].sort(([a], [b]) => a - b)) w.int(key).int(value);
  return w;
}

function writeCursor(w: Writer, cursor: Cursor | null): void {
  if (cursor === null) {
    w.null();
    return;
  }
  w.array(cursor.staged === undefined ? 2 : 3)
    .int(cursor.position)
    .hex(cursor.history);
  if (cursor.staged !== undefined) w.int(cursor.staged);
}

function writeRange(w: Writer, range: Range): void {
  if (range.kind === "nothing") w.array(2).binary(range.bound).int(0);
  else if (range.kind === "fingerprint") w.array(4).binary(range.bound).int(1).int(range.count).hex(range.fingerprint);
  else {
    w.array(2 + range.cells.length)
      .binary(range.bound)
      .int(2);
    for (const [address, digest] of range.cells) w.array(2).binary(address).hex(digest);
  }
}

const WRITERS: { [T in Type]: (w: Writer, m: Of<T>, baseMs: number) => void } = {
  hello(w, m) {
    head(w, m.type, 4);
    writeLimits(writeUints(writeUints(w, m.versions), m.profiles), m.limits);
    if (m.token === null) w.null();
    else w.text(m.token);
  },
  welcome(w, m) {
    head(w, m.type, 4);
    writeLimits(writeUints(w.int(m.version), m.profiles), m.limits).int(m.time);
  },
  open(w, m) {
    const end = head(w, m.type, 4, [
      [0, when(m.collections, writeNames)],
      [1, when(m.known, writeNames)],
      [2, when(m.names, (w, [columns, replicas]) => w.array(2).int(columns).int(replicas))],
    ]);
    w.text(m.space).hex(m.replica).int(m.settled);
    writeCursor(w, m.cursor);
    end();
  },
  opened(w, m) {
    const end = head(w, m.type, 6, [[0, when(m.rights, (w, n) => w.int(n))]]);
    w.int(m.position).hex(m.history).int(m.seq).hex(m.link).int(m.baseMs).int(m.reset);
    end();
  },
  shut: (w, m) => void head(w, m.type, 0),
  push(w, m, baseMs) {
    const end = head(w, m.type, (m.author ? 1 : 0) + m.changes.length, [[0, when(m.before, (w, link) => w.hex(link))]]);
    if (m.author) w.hex(m.author);
    for (const pushed of m.changes) writePushed(w, pushed, baseMs);
    end();
  },
  ack(w, m) {
    const end = head(w, m.type, 3, [[0, when(m.numbers, writeUints)]]);
    w.int(m.seq).int(m.position).int(m.durability);
    end();
  },
  reject(w, m) {
    head(w, m.type, 5);
    w.int(m.seq).int(m.position);
    writeVerdict(w, m.verdict);
  },
  change(w, m, baseMs) {
    w.array(changeItems(m.change, 4)).int(CODES.change).int(m.position).hex(m.author).int(m.change.seq);
    writeBody(w, m.change, baseMs);
  },
  void(w, m) {
    const end = head(w, m.type, 4, [[0, when(m.link, (w, link) => w.hex(link))]]);
    w.int(m.position).hex(m.author).int(m.seq).int(m.code);
    end();
  },
  states(w, m, baseMs) {
    const end = head(w, m.type, 3 + m.items.length, [
      [0, when(m.replaced, (w, bounds) => (w.array(bounds.length), bounds.forEach(([from, to]) => w.array(2).binary(from).binary(to))))],
    ]);
    w.bool(m.last).int(m.to).hex(m.history);
    for (const item of m.items) writeItem(w, item, baseMs);
    end();
  },
  names(w, m) {
    head(w, m.type, 4);
    w.int(m.firstColumn).array(m.columns.length);
    for (const [field, rule] of m.columns) w.array(2).text(field).int(rule);
    w.int(m.firstReplica).array(m.replicas.length);
    for (const replica of m.replicas) w.hex(replica);
  },
  mark(w, m) {
    const end = head(w, m.type, 3, [
      [1, when(m.backedUp, (w, n) => w.int(n))],
      [2, when(m.horizon, (w, n) => w.int(n))],
    ]);
    w.int(m.position).hex(m.history).hex(m.fingerprint);
    end();
  },
  ping(w, m) {
    head(w, m.type, 1);
    w.int(m.n);
  },
  pong(w, m) {
    head(w, m.type, 2);
    w.int(m.n).int(m.time);
  },
  error(w, m) {
    head(w, m.type, 4);
    w.int(m.code).int(m.class).intOrNull(m.detail).text(m.text);
  },
  bye(w, m) {
    head(w, m.type, 1);
    w.int(m.wait);
  },
  auth(w, m) {
    head(w, m.type, 1);
    w.text(m.token);
  },
  credit(w, m) {
    head(w, m.type, 1);
    w.int(m.bytes);
  },
  ranges(w, m) {
    head(w, m.type, 2);
    w.int(m.seed).array(m.ranges.length);
    for (const range of m.ranges) writeRange(w, range);
  },
  presence(w, m) {
    head(w, m.type, 4);
    w.hex(m.replica).int(m.counter).int(m.ttl).value(m.payload);
  },
  signal(w, m) {
    head(w, m.type, 2);
    w.hex(m.replica).binary(m.payload);
  },
};

export function writeMessage<T extends Type>(w: Writer, message: Of<T>, baseMs: number): void {
  const write = WRITERS[message.type] as (w: Writer, m: Of<T>, baseMs: number) => void;
  write(w, message, baseMs);
}
