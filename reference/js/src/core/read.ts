/** Frames and messages as they are read (spec 3 and 7). */

import { bytesCompare, share, textCompare, type Hex } from "./bytes.js";
import { Reader } from "./cbor.js";
import { Profile, readAuthor, readChange, readCollection, readPushed, type Pushed, type Wire } from "./change.js";
import { Code, Fault, malformed } from "./fault.js";
import { readItem, readVerdict, type Item } from "./items.js";
import { inflate } from "./inflate.js";
import * as max from "./limits.js";
import type { ColumnName } from "./names.js";
import { TYPES, type Cursor, type Message, type Of, type Range, type Type } from "./message.js";

/** The code of packed messages (spec 24). */
const PACKED = 20;

/** The profiles that messages belong to, where it is not the core. */
const PROFILES: Partial<Record<Type, number>> = {
  auth: Profile.access,
  credit: Profile.flow,
  ranges: Profile.repair,
  presence: Profile.presence,
  signal: Profile.signal,
  names: Profile.compact,
};

/** What a message is read with: its reader, the channel, and how many of its items are left. */
class Fields {
  constructor(
    readonly r: Reader,
    readonly wire: Wire,
    public left: number,
  ) {}

  /** Counts off `n` fields. */
  take(n: number): Reader {
    if (this.left < n) throw malformed("a field is missing");
    this.left -= n;
    return this.r;
  }

  /** Whether an item comes that is not the map of extensions. */
  more(): boolean {
    return this.left > 0 && !(this.left === 1 && this.r.peek() === "map");
  }

  /** The extensions, if any: `known` reads the value of a key that it knows (FRAME-2, FRAME-3, FRAME-6). */
  extensions(known: (key: number) => boolean = () => false): void {
    if (this.left === 0) return;
    if (this.left > 1) throw malformed("a field too many");
    const n = this.r.intMap((key) => {
      if (key < 0) throw new Fault(Code.criticalExtension, `the extension ${key} is not known`);
      if (!known(key)) this.r.any();
    });
    if (n === 0) throw malformed("an empty map of extensions");
    this.left = 0;
  }

  /** The value that `read` gives, where `profile` is agreed and the key is `key`. */
  when(profile: number, at: number, key: number, read: () => void): boolean {
    if (key !== at || !this.wire.agreed.has(profile)) return false;
    read();
    return true;
  }
}

function readUints(r: Reader): number[] {
  return Array.from({ length: r.array() }, () => r.uint());
}

function readLimits(r: Reader): Map<number, number> {
  const limits = new Map<number, number>();
  r.intMap((key) => {
    if (key < 0) throw malformed(`the limit ${key}`);
    limits.set(key, r.uint());
  });
  return limits;
}

function readCursor(r: Reader): Cursor | null {
  if (r.peek() === "null") return r.null();
  const items = r.array();
  if (items !== 2 && items !== 3) throw malformed(`a cursor of ${items} items`);
  const cursor = { position: r.uint(), history: r.hex(8) };
  return items === 2 ? cursor : { ...cursor, staged: r.int(cursor.position) };
}

/** Names in ascending order, each once (SUB-1). */
function readNames(r: Reader, least: number): string[] {
  const names: string[] = [];
  const n = r.array();
  if (n < least || n > max.SUBSCRIPTION_COLLECTIONS_MAX) throw malformed(`${n} collections`);
  for (let i = 0; i < n; i++) {
    const name = readCollection(r);
    const before = names.at(-1);
    if (before !== undefined && textCompare(before, name) >= 0) throw malformed("collections out of order");
    names.push(name);
  }
  return names;
}

function readRanges(r: Reader): Range[] {
  const ranges: Range[] = [];
  for (let n = r.array(); n > 0; n--) {
    const items = r.array();
    const bound = r.binary();
    const before = ranges.at(-1)?.bound;
    if (before && (before.length === 0 || (bound.length > 0 && bytesCompare(before, bound) >= 0))) throw malformed("ranges out of order");
    const kind = r.int(0, 2);
    if (kind !== 2 && items !== (kind === 0 ? 2 : 4)) throw malformed(`a range of ${items} items`);
    if (kind === 0) ranges.push({ kind: "nothing", bound });
    else if (kind === 1) ranges.push({ kind: "fingerprint", bound, count: r.uint(), fingerprint: r.hex(16) });
    else ranges.push({ kind: "list", bound, cells: readCells(r, items - 2) });
  }
  return ranges;
}

function readCells(r: Reader, n: number): [Uint8Array, Hex][] {
  const cells: [Uint8Array, Hex][] = [];
  for (; n > 0; n--) {
    if (r.array() !== 2) throw malformed("an address and a digest were expected");
    const address = r.binary();
    const before = cells.at(-1)?.[0];
    if (before && bytesCompare(before, address) >= 0) throw malformed("cells out of order");
    cells.push([address, r.hex(32)]);
  }
  return cells;
}

function readReplaced(r: Reader): [Uint8Array, Uint8Array][] {
  const n = r.array();
  if (n === 0) throw malformed("no range is replaced");
  return Array.from({ length: n }, () => {
    if (r.array() !== 2) throw malformed("two bounds were expected");
    return [r.binary(), r.binary()];
  });
}

function readCounts(r: Reader): [number, number] {
  if (r.array() !== 2) throw malformed("two counts of names were expected");
  return [r.uint(), r.uint()];
}

function readColumnName(r: Reader): ColumnName {
  if (r.array() !== 2) throw malformed("a column is named by its field and rule");
  return [share(r.text(max.FIELD_NAME_BYTES_MAX, 1)), r.uint()];
}

const READERS: { [T in Type]: (f: Fields) => Of<T> } = {
  hello(f) {
    const r = f.take(4);
    const versions = readUints(r);
    if (versions.length === 0) throw malformed("no version");
    const rest = { profiles: readUints(r), limits: readLimits(r) };
    const token = r.peek() === "null" ? r.null() : r.text(max.TOKEN_BYTES_MAX, 1);
    return { type: "hello", versions, ...rest, token };
  },
  welcome(f) {
    const r = f.take(4);
    return { type: "welcome", version: r.uint(), profiles: readUints(r), limits: readLimits(r), time: r.int(0, max.UNIX_MS_MAX) };
  },
  open(f) {
    const r = f.take(4);
    const open: Of<"open"> = {
      type: "open",
      space: r.text(max.SPACE_NAME_BYTES_MAX, 1),
      replica: r.hex(16),
      settled: r.uint(),
      cursor: readCursor(r),
    };
    const { subscribe } = Profile;
    f.extensions(
      (key) =>
        f.when(subscribe, 0, key, () => (open.collections = readNames(r, 1))) ||
        f.when(subscribe, 1, key, () => (open.known = readNames(r, 0))) ||
        f.when(Profile.compact, 2, key, () => (open.names = readCounts(r))),
    );
    const { collections, known } = open;
    if (collections && known?.some((name) => !collections.includes(name))) throw malformed("known is what is not wanted");
    return open;
  },
  opened(f) {
    const r = f.take(6);
    const opened: Of<"opened"> = {
      type: "opened",
      position: r.uint(),
      history: r.hex(8),
      seq: r.uint(),
      link: r.hex(16),
      baseMs: r.int(0, max.UNIX_MS_MAX),
      reset: r.int(0, 4),
    };
    f.extensions((key) => f.when(Profile.access, 0, key, () => (opened.rights = r.uint())));
    return opened;
  },
  shut: () => ({ type: "shut" }),
  push(f) {
    const push: Of<"push"> = { type: "push", changes: [] };
    if (f.left > 0 && f.r.peek() === "bytes") {
      if (!f.wire.agreed.has(Profile.peer)) throw malformed("a push of another's changes");
      push.author = f.take(1).hex(16);
    }
    const changes: Pushed[] = [];
    while (f.more()) changes.push(readPushed(f.take(1), f.wire));
    if (changes.length === 0) throw malformed("a push of nothing");
    push.changes = changes;
    f.extensions((key) => push.author !== undefined && f.when(Profile.peer, 0, key, () => (push.before = f.r.hex(16))));
    if (push.author !== undefined && push.before === undefined) throw malformed("a push without the link before it");
    return push;
  },
  ack(f) {
    const r = f.take(3);
    const ack: Of<"ack"> = { type: "ack", seq: r.int(1), position: r.uint(), durability: r.int(1, 2) };
    f.extensions((key) => f.when(Profile.compact, 0, key, () => (ack.numbers = readUints(r))));
    return ack;
  },
  reject(f) {
    const r = f.take(5);
    return { type: "reject", seq: r.int(1), position: r.uint(), verdict: readVerdict(r) };
  },
  change(f) {
    const r = f.take(4);
    const head = { position: r.uint(), author: readAuthor(r, f.wire) };
    const items = f.left + 1;
    f.left = 0;
    return { type: "change", ...head, change: readChange(r, r.int(1), items, f.wire) };
  },
  void(f) {
    const r = f.take(4);
    const gone: Of<"void"> = { type: "void", position: r.uint(), author: r.hex(16), seq: r.int(1), code: r.uint() };
    f.extensions((key) => f.when(Profile.peer, 0, key, () => (gone.link = r.hex(16))));
    return gone;
  },
  states(f) {
    const r = f.take(3);
    const head = { last: r.bool(), to: r.uint(), history: r.hex(8) };
    const items: Item[] = [];
    while (f.more()) items.push(readItem(f.take(1), f.wire));
    const states: Of<"states"> = { type: "states", ...head, items };
    f.extensions((key) => f.when(Profile.repair, 0, key, () => (states.replaced = readReplaced(r))));
    return states;
  },
  names(f) {
    const r = f.take(4);
    const columns = { firstColumn: r.int(1), columns: Array.from({ length: r.array() }, () => readColumnName(r)) };
    const replicas = { firstReplica: r.int(1), replicas: Array.from({ length: r.array() }, () => r.hex(16)) };
    return { type: "names", ...columns, ...replicas };
  },
  mark(f) {
    const r = f.take(3);
    const mark: Of<"mark"> = { type: "mark", position: r.uint(), history: r.hex(8), fingerprint: r.hex(16) };
    f.extensions(
      (key) =>
        f.when(Profile.core, 1, key, () => (mark.backedUp = r.uint())) || f.when(Profile.core, 2, key, () => (mark.horizon = r.uint())),
    );
    return mark;
  },
  ping: (f) => ({ type: "ping", n: f.take(1).uint() }),
  pong(f) {
    const r = f.take(2);
    return { type: "pong", n: r.uint(), time: r.int(0, max.UNIX_MS_MAX) };
  },
  error(f) {
    const r = f.take(4);
    return { type: "error", ...readVerdict(r), text: r.text(max.ERROR_TEXT_BYTES_MAX) };
  },
  bye: (f) => ({ type: "bye", wait: f.take(1).int(0, max.WAIT_MAX_MS) }),
  auth: (f) => ({ type: "auth", token: f.take(1).text(max.TOKEN_BYTES_MAX, 1) }),
  credit: (f) => ({ type: "credit", bytes: f.take(1).uint() }),
  ranges(f) {
    const r = f.take(2);
    return { type: "ranges", seed: r.uint(), ranges: readRanges(r) };
  },
  presence(f) {
    const r = f.take(4);
    const head = { replica: r.hex(16), counter: r.uint() };
    const ttl = r.int(0, max.PRESENCE_TTL_MAX_MS);
    if (ttl === 0) return { type: "presence", ...head, ttl, payload: r.null() };
    return { type: "presence", ...head, ttl, payload: r.binary(max.PRESENCE_BYTES_MAX) };
  },
  signal(f) {
    const r = f.take(2);
    return { type: "signal", replica: r.hex(16), payload: r.binary(max.SIGNAL_BYTES_MAX) };
  },
};

function readMessage(r: Reader, wire: Wire): Message {
  const items = r.array();
  if (items === 0) throw malformed("an empty message");
  const code = r.uint();
  if (code === PACKED && wire.agreed.has(Profile.packed)) throw malformed("packed messages stand alone, and in no others");
  const type = TYPES.get(code);
  const profile = type && PROFILES[type];
  if (type === undefined || (profile !== undefined && !wire.agreed.has(profile)))
    throw new Fault(Code.unknownMessage, `message ${code} is not known here`, code);
  const fields = new Fields(r, wire, items - 1);
  const message = READERS[type](fields);
  fields.extensions();
  return message;
}

/**
 * Reads a frame of a channel that has ended, of which nothing is taken: its numbers stood for names that are gone (SESS-17, spec 22).
 * Throws where it is not in its one encoding.
 */
export function passOver(bytes: Uint8Array): void {
  const r = new Reader(bytes);
  while (!r.done) r.any();
}

/** The frame that packed messages stand for (PACK-1); any other frame is itself. */
export function unpacked(bytes: Uint8Array, agreed: ReadonlySet<number>): Uint8Array {
  if (!agreed.has(Profile.packed)) return bytes;
  const r = new Reader(bytes);
  const channel = r.int(0, max.CHANNEL_MAX);
  const head = r.pos;
  const items = r.array();
  if (channel === 0 || items === 0 || r.uint() !== PACKED) return bytes;
  const fields = new Fields(r, { agreed, baseMs: 0 }, items - 1);
  const codec = fields.take(2).uint();
  const packed = r.binary();
  fields.extensions();
  if (codec !== 0) throw malformed(`the codec ${codec}`);
  if (!r.done) throw malformed("packed messages stand alone, and in no others");
  const messages = inflate(packed, max.FRAME_BYTES_MAX - head);
  const frame = new Uint8Array(head + messages.length);
  frame.set(bytes.subarray(0, head));
  frame.set(messages, head);
  return frame;
}

/** The channel of a frame. */
export const channelOf = (bytes: Uint8Array): number => new Reader(bytes).int(0, max.CHANNEL_MAX);

export interface Frame {
  readonly channel: number;
  /** Each with the bytes of its encoding, which is what it costs of a credit. */
  readonly messages: readonly { readonly message: Message; readonly bytes: number }[];
}

/** Reads a whole frame or throws its first fault. `wireOf` says what has been agreed for its channel. */
export function readFrame(bytes: Uint8Array, wireOf: (channel: number) => Wire): Frame {
  const r = new Reader(bytes);
  const channel = r.int(0, max.CHANNEL_MAX);
  const messages: { message: Message; bytes: number }[] = [];
  let wire = wireOf(channel);
  do {
    const start = r.pos;
    const message = readMessage(r, wire);
    if (message.type === "opened") wire = { ...wire, baseMs: message.baseMs };
    else if (message.type === "names") wire.names?.learn(message);
    messages.push({ message, bytes: r.pos - start });
  } while (!r.done);
  return { channel, messages };
}
