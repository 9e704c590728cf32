/** The store's entries: what a space keeps, as keys and bytes, and back (spec 2, SYNC-5). */

import { DigestSum, share, type Hex } from "./bytes.js";
import { Reader, Writer } from "./cbor.js";
import { hashOf, isSkip, nextLink, Profile, readPushed, writePushed, type Change, type Wire } from "./change.js";
import { malformed } from "./fault.js";
import { Names, type ColumnName } from "./names.js";
import { Join, joinOf } from "./op.js";
import type { Cell, RecordState } from "./record.js";
import type { Held } from "./overlay.js";
import { Space, type Batch, type Own, type Random, type Rejection, type Status } from "./space.js";

/** Changes are kept with all that any profile may put into them, and absolute times. */
export const KEPT: Wire = { baseMs: 0, agreed: new Set(Object.values(Profile)), names: new Names() };
const STATUSES: readonly Status[] = ["waiting", "accepted", "rejected", "aside"];

/** So many changed records are told one by one. */
const TOLD_MAX = 1024;

const pad = (n: number): string => String(n).padStart(16, "0");
const recordKey = (collection: string, id: string): string => `record ${collection.length} ${collection} ${id}`;

/** What changed since the last flush. It is one transaction (SYNC-5, MODEL-13). */
export function flush(space: Space): Batch {
  const batch: Batch = new Map();
  const collections = new Set<string>();
  const changed = space.base.takeChanged();
  // Of so many it is cheaper to say that any may show otherwise.
  if (changed.size > TOLD_MAX) space.shownAnew = null;
  for (const record of changed) {
    space.shownAnew?.set(`${record.collection}\n${record.id}`, [record.collection, record.id]);
    const kept = space.base.find(record.collection, record.id) === record;
    batch.set(recordKey(record.collection, record.id), kept ? packRecord(record) : null);
    collections.add(record.collection);
  }
  for (const name of collections) {
    const sum = space.base.sumOf(name);
    batch.set(`sum ${name}`, new Writer().array(2).int(sum.count).binary(sum.bytes()).bytes());
  }
  for (const what of space.dirty) flushEntry(space, what, batch);
  space.dirty.clear();
  return batch;
}

function flushEntry(space: Space, what: string, batch: Batch): void {
  const [kind, a = "", b = ""] = what.split(" ");
  switch (kind) {
    case "meta":
      batch.set("meta", packMeta(space));
      break;
    case "own": {
      const own = space.ownAt(Number(a));
      batch.set(`own ${pad(Number(a))}`, own ? packOwn(own) : null);
      break;
    }
    case "held": {
      const held = space.overlay.heldOf(a).find(({ change }) => change.seq === Number(b));
      batch.set(
        `held ${a} ${pad(Number(b))}`,
        held ? packChange(new Writer().array(4).hex(held.link).int(held.behind).int(held.nth), held.change) : null,
      );
      break;
    }
    case "author": {
      const settled = space.settledOf.get(a);
      batch.set(what, settled ? new Writer().array(3).int(settled.seq).hex(settled.link).int(settled.at).bytes() : null);
      break;
    }
    case "names":
      batch.set("names", packTables(space.names));
      break;
    case "rejections":
      batch.set("rejections", packRejections(space));
      break;
    case "stage":
      flushStage(space, batch);
      break;
  }
}

const packChange = (w: Writer, change: Change): Uint8Array => {
  writePushed(w, change, 0);
  return w.bytes();
};

const packOwn = (own: Own): Uint8Array =>
  packChange(new Writer().array(4).int(STATUSES.indexOf(own.status)).int(own.position).int(own.replacedBy), own.change);

/** Parts are only ever added, or all of them go. */
function flushStage(space: Space, batch: Batch): void {
  const { stage } = space;
  const before = space.partsKept;
  const now = stage?.parts.length ?? 0;
  for (let i = now; i < before; i++) batch.set(`part ${pad(i)}`, null);
  for (let i = space.stageAnew ? 0 : before; i < now; i++) {
    const part = stage?.parts[i];
    if (part) batch.set(`part ${pad(i)}`, part);
  }
  space.partsKept = now;
  space.stageAnew = false;
  batch.set("stage", stage ? new Writer().array(3).int(stage.to).hex(stage.history).bool(stage.replaces).bytes() : null);
}

function packNames(w: Writer, names: readonly string[] | null): void {
  if (names === null) w.null();
  else {
    w.array(names.length);
    for (const name of names) w.text(name);
  }
}

const readNames = (r: Reader): string[] | null => (r.peek() === "null" ? r.null() : list(r, () => r.text()));
const list = <T>(r: Reader, item: () => T): T[] => Array.from({ length: r.array() }, item);

function packMeta({ meta: m }: Space): Uint8Array {
  const w = new Writer().array(17).hex(m.replica).int(m.floor.seq).hex(m.floor.link).int(m.settled).int(m.inBase);
  w.array(3).int(m.clock.ms).int(m.clock.counter).int(m.offset);
  if (m.cursor === null) w.null();
  else w.array(2).int(m.cursor.position).hex(m.cursor.history);
  w.array(m.lineage.size);
  for (const [history, position] of m.lineage) w.array(2).hex(history).int(position);
  packNames(w, m.collections);
  packNames(w, m.known);
  w.bool(m.probing).int(m.resetAt).array(m.limits.size);
  for (const [key, value] of m.limits) w.array(2).int(key).int(value);
  return w.bool(m.authorsKnown).int(m.resetTo).bool(m.trustsNumbers).bytes();
}

/** @internal */
export function loadMeta(space: Space, bytes: Uint8Array): void {
  const r = new Reader(bytes);
  r.array();
  const replica = r.hex(16);
  const floor = { seq: r.uint(), link: r.hex(16) };
  const settled = r.uint();
  const inBase = r.uint();
  r.array();
  const clock = { ms: r.uint(), counter: r.uint() };
  const offset = r.int();
  const cursor = r.peek() === "null" ? r.null() : (r.array(), { position: r.uint(), history: r.hex(8) });
  const lineage = new Map(list(r, (): [Hex, number] => (r.array(), [r.hex(8), r.uint()])));
  const collections = readNames(r);
  const known = readNames(r);
  const probing = r.bool();
  const resetAt = r.uint();
  const limits = new Map(list(r, (): [number, number] => (r.array(), [r.uint(), r.uint()])));
  space.meta = {
    replica,
    floor,
    settled,
    inBase,
    clock,
    offset,
    cursor,
    lineage,
    collections,
    known,
    probing,
    resetAt,
    limits,
    authorsKnown: r.bool(),
    resetTo: r.uint(),
    trustsNumbers: r.bool(),
  };
}

function packTables({ columns, replicas }: Names): Uint8Array {
  const w = new Writer().array(2).array(columns.length);
  for (const [field, rule] of columns) w.array(2).text(field).int(rule);
  w.array(replicas.length);
  for (const replica of replicas) w.hex(replica);
  return w.bytes();
}

function packRejections(space: Space): Uint8Array {
  const w = new Writer().array(space.rejections.length);
  for (const { replica, seq, code, change } of space.rejections) {
    w.array(4).hex(replica).int(seq).int(code);
    writePushed(w, change, 0);
  }
  return w.bytes();
}

function readOwnChange(r: Reader): Change {
  const pushed = readPushed(r, KEPT);
  if (isSkip(pushed)) throw malformed("a skip in the store");
  return pushed;
}

const scratch = new Writer(4096);

/** A record with its cells, by the joins of their rules. */
function packRecord(record: RecordState): Uint8Array {
  const w = scratch
    .array(6)
    .text(record.collection)
    .text(record.id)
    .int(record.life)
    .int(record.at)
    .int(record.number)
    .array(record.cells.size);
  for (const { field, rule, key, stamp, dot, value } of record.cells.values()) {
    w.array(6).text(field).int(rule);
    if (stamp) w.value(key).array(3).int(stamp.ms).int(stamp.counter).hex(stamp.author);
    else if (dot) w.null().array(3).hex(dot.author).int(dot.seq).int(dot.index);
    else w.null().null();
    w.bool(value !== undefined).value(value ?? null);
  }
  return w.take().slice();
}

function readCell(r: Reader): Cell {
  r.array();
  const field = share(r.text());
  const rule = r.uint();
  const join = joinOf(rule);
  const key = r.value();
  let name: Pick<Cell, "stamp" | "dot"> = {};
  if (join === Join.stamp) name = (r.array(), { stamp: { ms: r.uint(), counter: r.uint(), author: share(r.hex(16)) } });
  else if (join === Join.seq || join === Join.removed) name = (r.array(), { dot: { author: r.hex(16), seq: r.uint(), index: r.uint() } });
  else r.null();
  const held = r.bool();
  const value = r.value();
  return { field, rule, key, ...name, value: held ? value : undefined };
}

/** @internal A record of the store, which is not there yet. */
export function loadRecord(space: Space, bytes: Uint8Array): void {
  const r = new Reader(bytes);
  r.array();
  const record = space.base.load(share(r.text()), r.text());
  const life = r.uint();
  const at = r.uint();
  const number = r.uint();
  record.load(
    life,
    at,
    list(r, () => readCell(r)),
  );
  if (number > 0) space.base.loadNumber(record, number);
}

/** Opens a space on the entries of its store, in whatever order they come; on none it is a fresh replica. */
export function load(name: string, random: Random, entries: Iterable<readonly [string, Uint8Array]>): Space {
  const space = new Space(name, random);
  const sorted: [string, Uint8Array][] = [];
  for (const [key, bytes] of entries) {
    if (key.startsWith("record ")) loadRecord(space, bytes);
    else sorted.push([key, bytes]);
  }
  sorted.sort(([a], [b]) => (a < b ? -1 : 1));
  const meta = sorted.find(([key]) => key === "meta");
  if (meta) {
    loadMeta(space, meta[1]);
    space.dirty.clear();
  }
  const parts: Uint8Array[] = [];
  for (const [key, bytes] of sorted) {
    if (key.startsWith("part ")) parts.push(bytes);
    else if (key !== "meta") loadEntry(space, key, new Reader(bytes), parts);
  }
  space.partsKept = parts.length;
  space.refillOverlay();
  return space;
}

/** @internal An own change behind the one before it; the array's head is read. */
export function readOwn(space: Space, r: Reader): Own {
  const status = STATUSES[r.uint()] ?? "waiting";
  const position = r.uint();
  const replacedBy = r.uint();
  const change = readOwnChange(r);
  const hash = hashOf(change);
  return { change, hash, link: nextLink(space.linkAt(change.seq - 1) as Hex, hash), status, position, replacedBy };
}

/** @internal A change held of another author; the array's head is read. */
export function readHeld(r: Reader): Held {
  const link = r.hex(16);
  const behind = r.uint();
  return { link, behind, nth: r.uint(), change: readOwnChange(r) };
}

/** @internal */
export function readRejection(r: Reader): Rejection {
  r.array();
  return { replica: r.hex(16), seq: r.uint(), code: r.uint(), change: readOwnChange(r) };
}

function loadEntry(space: Space, what: string, r: Reader, parts: Uint8Array[]): void {
  const [kind, a = ""] = what.split(" ");
  const items = r.array();
  switch (kind) {
    case "own":
      space.own.push(readOwn(space, r));
      break;
    case "held": {
      const held = readHeld(r);
      space.overlay.hold(a, held);
      space.arrivals = Math.max(space.arrivals, held.nth + 1);
      break;
    }
    case "author":
      space.settledOf.set(a, { seq: r.uint(), link: r.hex(16), at: r.uint() });
      break;
    case "names": {
      const columns = list(r, (): ColumnName => (r.array(), [share(r.text()), r.uint()]));
      space.names = new Names(
        columns,
        list(r, () => r.hex(16)),
      );
      break;
    }
    case "rejections":
      space.rejections = Array.from({ length: items }, () => readRejection(r));
      break;
    case "stage":
      space.stage = { to: r.uint(), history: r.hex(8), replaces: r.bool(), parts };
      break;
    case "sum": {
      const count = r.uint();
      space.base.setSum(what.slice(4), DigestSum.from(count, r.binary()));
    }
  }
}
