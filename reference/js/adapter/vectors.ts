/** The verb `vectors`: bytes in, what they are or how they are refused out (conformance/vectors/README.md). */

import { fromHex, toHex, type Hex } from "../src/core/bytes.js";
import { Reader, Writer, decode, encode } from "../src/core/cbor.js";
import { hashOf, isSkip, nextLink, readChange, readPushed, readReading, startLink, writeReading, type Wire } from "../src/core/change.js";
import { mint, observe, offset, ZERO, type Reading } from "../src/core/clock.js";
import { Fault } from "../src/core/fault.js";
import { State } from "../src/core/state.js";
import { readFrame } from "../src/core/read.js";
import { encodeMessage } from "../src/core/write.js";
import { joinOf, Join, Rule } from "../src/core/op.js";
import { addressOf, keyValue, type Cell, type RecordState } from "../src/core/record.js";
import { bytesCompare, textCompare } from "../src/core/bytes.js";
import type { Held, Value } from "../src/core/value.js";
import { OFFERED } from "../src/core/client.js";

const all: Wire = { baseMs: 0, agreed: new Set(OFFERED) };
const core: Wire = { baseMs: 0, agreed: new Set([0]) };

/** The answer of one case: `hex`, or the name of the error. */
export function vector(kind: string, hex: string): { hex: string } | { error: string } {
  const compute = KINDS[kind];
  if (compute === undefined) return { error: "unknown-kind" };
  try {
    return { hex: toHex(compute(fromHex(hex))) };
  } catch (fault) {
    if (fault instanceof Fault) return { error: fault.codeName };
    throw fault;
  }
}

const KINDS: Record<string, (bytes: Uint8Array) => Uint8Array> = {
  value: (bytes) => encode(decode(bytes)),
  frame: (bytes) => frame(bytes, core),
  "frame-agreed": (bytes) => frame(bytes, all),
  link: (bytes) => links(new Reader(bytes)),
  fingerprint: (bytes) => new Writer().hex(readState(new Reader(bytes)).fingerprint(null)).bytes(),
  merge: (bytes) => merge(new Reader(bytes)),
  join: (bytes) => join(new Reader(bytes)),
  clock: (bytes) => clock(new Reader(bytes)),
};

function frame(bytes: Uint8Array, wire: Wire): Uint8Array {
  const { channel, messages } = readFrame(bytes, () => wire);
  const w = new Writer().int(channel);
  // Stamps behind an `opened` of the same frame are relative to its base-ms, as in reading.
  let baseMs = 0;
  for (const { message } of messages) {
    w.raw(encodeMessage(message, baseMs));
    if (message.type === "opened") baseMs = message.baseMs;
  }
  return w.bytes();
}

function links(r: Reader): Uint8Array {
  r.array();
  const space = r.text();
  const replica = r.hex(16);
  const wire = { ...all, baseMs: r.uint() };
  const chain: Hex[] = [startLink(space, replica)];
  for (let n = r.array(); n > 0; n--) {
    const pushed = readPushed(r, wire);
    chain.push(nextLink(chain.at(-1) as Hex, isSkip(pushed) ? pushed.hash : hashOf(pushed)));
  }
  const w = new Writer().array(chain.length);
  for (const link of chain) w.hex(link);
  return w.bytes();
}

function clock(r: Reader): Uint8Array {
  r.array();
  const question = r.text();
  const w = new Writer();
  if (question === "offset") w.intOrNull(offset(r.int(), r.int(), r.int()));
  else {
    const last = readReading(r, 0);
    const now = r.int();
    writeReading(w, question === "mint" ? mint(last, now) : observe(last, now, readReading(r, 0)), 0);
  }
  return w.bytes();
}

function merge(r: Reader): Uint8Array {
  r.array();
  const state = readState(r);
  const changes = r.array();
  for (let seq = 1; seq <= changes; seq++) {
    const items = r.array() - 1;
    const author = r.hex(16);
    state.apply(author, readChange(r, seq, items, all), 0);
  }
  return writeState(state);
}

function join(r: Reader): Uint8Array {
  r.array();
  const a = readState(r);
  for (const record of readState(r).records()) a.touch(record.collection, record.id).joinState(record);
  return writeState(a);
}

function readState(r: Reader): State {
  const state = new State();
  for (let n = r.array(); n > 0; n--) {
    const items = r.array();
    r.array();
    const record = state.touch(r.text(), r.text());
    record.setLife(r.uint());
    for (let n = r.map(); n > 0; n--) {
      const field = r.text();
      record.put(readCell(r, field, Rule.lww, null));
    }
    if (items === 4) for (let n = r.array(); n > 0; n--) (r.array(), record.put(readCell(r, r.text(), r.uint(), r.value())));
  }
  return state;
}

function readCell(r: Reader, field: string, rule: number, key: Value): Cell {
  const items = r.array();
  switch (joinOf(rule)) {
    case Join.stamp: {
      const reading: Reading = readReading(r, 0);
      return { field, rule, key, stamp: { ...reading, author: r.hex(16) }, value: r.held() };
    }
    case Join.seq:
      return { field, rule, key: null, dot: { author: toHex(key as Uint8Array), seq: r.uint(), index: 0 }, value: r.value() };
    case Join.removed: {
      const [author, seq, index] = key as [Uint8Array, number, number];
      return { field, rule, key: null, dot: { author: toHex(author), seq, index }, value: items === 0 ? undefined : r.value() };
    }
    default:
      return { field, rule, key: null, value: r.value() };
  }
}

function writeState(state: State): Uint8Array {
  const records = [...state.records()].sort((a, b) => textCompare(a.collection, b.collection) || textCompare(a.id, b.id));
  const w = new Writer().array(records.length);
  for (const record of records) writeRecord(w, record);
  return w.bytes();
}

function writeRecord(w: Writer, record: RecordState): void {
  const cells = [...record.cells.values()].sort((a, b) => bytesCompare(addressOf(record, a), addressOf(record, b)));
  const plain = cells.filter(({ rule }) => rule === Rule.lww).sort((a, b) => bytesCompare(encode(a.field), encode(b.field)));
  const further = cells.filter(({ rule }) => rule !== Rule.lww);
  w.array(further.length > 0 ? 4 : 3)
    .array(2)
    .text(record.collection)
    .text(record.id)
    .int(record.life)
    .map(plain.length);
  for (const cell of plain) writeCell(w.text(cell.field), cell);
  if (further.length === 0) return;
  w.array(further.length);
  for (const cell of further) writeCell(w.array(4).text(cell.field).int(cell.rule).value(keyValue(cell)), cell);
}

function writeCell(w: Writer, { rule, stamp, dot, value }: Cell): void {
  const held: Held = value;
  if (joinOf(rule) === Join.stamp) {
    writeReading(w.array(3), stamp ?? ZERO, 0);
    w.hex(stamp?.author ?? "").value(held);
  } else if (joinOf(rule) === Join.seq)
    w.array(2)
      .int(dot?.seq ?? 0)
      .value(held);
  else if (held === undefined) w.array(0);
  else w.array(1).value(held);
}
