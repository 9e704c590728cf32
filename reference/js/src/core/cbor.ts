/** The one encoding of the protocol in CBOR, written and read strictly (spec 3). */

import { bytesCompare, fromHex, idBytes, toHex, utf8, type Hex } from "./bytes.js";
import { malformed, notCanonical } from "./fault.js";
import { DEPTH_MAX } from "./limits.js";
import { sortedKeys, type Held, type Value } from "./value.js";

const Major = { uint: 0, negative: 1, bytes: 2, text: 3, array: 4, map: 5, tag: 6, simple: 7 } as const;
const FALSE = 20;
const NULL = 22;
const UNDEFINED = 23;
/** Text of up to so many units is written without an encoder. */
const SHORT_TEXT = 64;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Writes items, each in its one encoding. */
export class Writer {
  #buffer: Uint8Array;
  #view: DataView;
  #length = 0;

  constructor(capacity = 256) {
    this.#buffer = new Uint8Array(capacity);
    this.#view = new DataView(this.#buffer.buffer);
  }

  get length(): number {
    return this.#length;
  }

  /** A copy of what was written. */
  bytes(): Uint8Array {
    return this.#buffer.slice(0, this.#length);
  }

  /** What was written, until the next item is. */
  view(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  /** What was written, until the next item is; the writer begins anew. */
  take(): Uint8Array {
    const written = this.view();
    this.cut(0);
    return written;
  }

  /** Lets go of what was written behind so many bytes. */
  cut(length: number): void {
    this.#length = length;
  }

  #reserve(more: number): number {
    const at = this.#length;
    this.#length += more;
    if (this.#length > this.#buffer.length) {
      const grown = new Uint8Array(Math.max(this.#length, 2 * this.#buffer.length));
      grown.set(this.#buffer.subarray(0, at));
      this.#buffer = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }

  /** A head in its shortest form (CODEC-1). */
  #head(major: number, n: number): void {
    const top = major << 5;
    if (n < 24) {
      const at = this.#reserve(1);
      this.#buffer[at] = top | n;
    } else if (n < 0x100) {
      const at = this.#reserve(2);
      this.#buffer[at] = top | 24;
      this.#buffer[at + 1] = n;
    } else if (n < 0x1_0000) {
      const at = this.#reserve(3);
      this.#buffer[at] = top | 25;
      this.#view.setUint16(at + 1, n);
    } else if (n < 0x1_0000_0000) {
      const at = this.#reserve(5);
      this.#buffer[at] = top | 26;
      this.#view.setUint32(at + 1, n);
    } else {
      const at = this.#reserve(9);
      this.#buffer[at] = top | 27;
      this.#view.setUint32(at + 1, Math.floor(n / 0x1_0000_0000));
      this.#view.setUint32(at + 5, n >>> 0);
    }
  }

  /** An integer from −(2⁵³−1) to 2⁵³−1. */
  int(n: number): this {
    if (n < 0) this.#head(Major.negative, -1 - n);
    else this.#head(Major.uint, n);
    return this;
  }

  array(items: number): this {
    this.#head(Major.array, items);
    return this;
  }

  map(entries: number): this {
    this.#head(Major.map, entries);
    return this;
  }

  text(text: string): this {
    const n = text.length;
    if (n > SHORT_TEXT) return this.#string(Major.text, utf8(text));
    // Most text is short and ASCII: its bytes are its units.
    const before = this.#length;
    this.#head(Major.text, n);
    const at = this.#reserve(n);
    for (let i = 0; i < n; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 0x7f) {
        this.#length = before;
        return this.#string(Major.text, utf8(text));
      }
      this.#buffer[at + i] = unit;
    }
    return this;
  }

  binary(bytes: Uint8Array): this {
    return this.#string(Major.bytes, bytes);
  }

  hex(hex: Hex): this {
    return this.binary(hex.length === 32 ? idBytes(hex) : fromHex(hex));
  }

  #string(major: number, bytes: Uint8Array): this {
    this.#head(major, bytes.length);
    return this.raw(bytes);
  }

  /** Bytes as they are, without a head. */
  hexRaw(hex: Hex): this {
    return this.raw(fromHex(hex));
  }

  /** Bytes that are encoded items already. */
  raw(bytes: Uint8Array): this {
    const at = this.#reserve(bytes.length);
    this.#buffer.set(bytes, at);
    return this;
  }

  bool(b: boolean): this {
    this.#head(Major.simple, b ? FALSE + 1 : FALSE);
    return this;
  }

  null(): this {
    this.#head(Major.simple, NULL);
    return this;
  }

  /** An integer or null. */
  intOrNull(n: number | null): this {
    return n === null ? this.null() : this.int(n);
  }

  /** A value, or `undefined` for an unset cell. */
  value(v: Held): this {
    if (v === undefined) this.#head(Major.simple, UNDEFINED);
    else if (v === null) this.null();
    else if (typeof v === "boolean") this.bool(v);
    else if (typeof v === "number") this.#number(v);
    else if (typeof v === "string") this.text(v);
    else if (v instanceof Uint8Array) this.binary(v);
    else if (Array.isArray(v)) {
      this.array(v.length);
      for (const item of v as readonly Value[]) this.value(item);
    } else this.#object(v as { readonly [key: string]: Value });
    return this;
  }

  #object(map: { readonly [key: string]: Value }): void {
    const keys = sortedKeys(map);
    this.map(keys.length);
    for (const [key, bytes] of keys) {
      this.#string(Major.text, bytes);
      this.value(map[key]);
    }
  }

  /** A number: an integer where it is one of the range (CODEC-2), else the shortest float that holds it. */
  #number(n: number): void {
    if (Number.isSafeInteger(n)) {
      this.int(n);
      return;
    }
    const half = toHalf(n);
    if (half !== undefined) {
      const at = this.#reserve(3);
      this.#buffer[at] = 0xf9;
      this.#view.setUint16(at + 1, half);
    } else if (Math.fround(n) === n) {
      const at = this.#reserve(5);
      this.#buffer[at] = 0xfa;
      this.#view.setFloat32(at + 1, n);
    } else {
      const at = this.#reserve(9);
      this.#buffer[at] = 0xfb;
      this.#view.setFloat64(at + 1, n);
    }
  }
}

/** The bits of `n` in half precision where that holds it exactly. */
function toHalf(n: number): number | undefined {
  const sign = n < 0 ? 0x8000 : 0;
  const size = Math.abs(n);
  if (size > 65_504) return undefined;
  if (size < 2 ** -14) {
    const fraction = size * 2 ** 24;
    return Number.isInteger(fraction) ? sign | fraction : undefined;
  }
  const exponent = Math.floor(Math.log2(size));
  const fraction = (size / 2 ** exponent - 1) * 1024;
  return Number.isInteger(fraction) ? sign | ((exponent + 15) << 10) | fraction : undefined;
}

function fromHalf(bits: number): number {
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** What stands next, by its first byte. */
export type Kind = "int" | "bytes" | "text" | "array" | "map" | "null" | "undefined" | "bool" | "float" | "other";

const KINDS: readonly Kind[] = ["int", "int", "bytes", "text", "array", "map", "other"];

/** Reads items in the order of bytes and throws the first `Fault` it meets (CODEC-12, CODEC-13). */
export class Reader {
  pos = 0;
  readonly #view: DataView;

  constructor(readonly buffer: Uint8Array) {
    this.#view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  }

  get done(): boolean {
    return this.pos === this.buffer.length;
  }

  /** The bytes from `start` to here. */
  since(start: number): Uint8Array {
    return this.buffer.slice(start, this.pos);
  }

  peek(): Kind {
    const byte = this.buffer[this.pos];
    if (byte === undefined) throw malformed("the frame ends before its last item does");
    if (byte >> 5 < Major.simple) return KINDS[byte >> 5] as Kind;
    if (byte === 0xf4 || byte === 0xf5) return "bool";
    if (byte === 0xf6) return "null";
    if (byte === 0xf7) return "undefined";
    return byte >= 0xf9 && byte <= 0xfb ? "float" : "other";
  }

  #take(n: number): number {
    const at = this.pos;
    if (n > this.buffer.length - at) throw malformed("the frame ends before its last item does");
    this.pos += n;
    return at;
  }

  /** The argument of a head that is no float. */
  #argument(info: number): number {
    if (info < 24) return info;
    if (info === 31) throw notCanonical("a length that is not given");
    if (info > 27) throw malformed(`additional information ${info}`);
    const size = 1 << (info - 24);
    const at = this.#take(size);
    let n: number;
    if (size === 1) n = this.#view.getUint8(at);
    else if (size === 2) n = this.#view.getUint16(at);
    else if (size === 4) n = this.#view.getUint32(at);
    else n = this.#view.getUint32(at) * 0x1_0000_0000 + this.#view.getUint32(at + 4);
    const least = size === 1 ? 24 : 2 ** (4 * size);
    if (n < least) throw notCanonical("a number that is not in its shortest form");
    return n;
  }

  /** The next head: what is canonical of it is checked before anybody asks what it is (CODEC-12). */
  #next(): [major: number, argument: number] {
    const kind = this.peek();
    const byte = this.buffer[this.pos++] as number;
    const major = byte >> 5;
    const info = byte & 31;
    if (major === Major.simple) return [major, kind === "float" ? this.#float(info) : info];
    if (major === Major.tag) throw malformed("a tag");
    if (info === 31 && major < Major.bytes) throw malformed("an integer without a size");
    const argument = this.#argument(info);
    if (major === Major.uint && argument > Number.MAX_SAFE_INTEGER) throw notCanonical("an integer above 2^53-1");
    if (major === Major.negative && argument >= Number.MAX_SAFE_INTEGER) throw notCanonical("an integer below -(2^53-1)");
    return [major, argument];
  }

  #float(info: number): number {
    const at = this.#take(1 << (info - 24));
    let n: number;
    let short: boolean;
    if (info === 25) {
      n = fromHalf(this.#view.getUint16(at));
      short = true;
    } else if (info === 26) {
      n = this.#view.getFloat32(at);
      short = toHalf(n) === undefined;
    } else {
      n = this.#view.getFloat64(at);
      short = Math.fround(n) !== n;
    }
    if (!Number.isFinite(n)) throw notCanonical("a float that is no number");
    if (Number.isSafeInteger(n)) throw notCanonical("an integer as a float");
    if (!short) throw notCanonical("a float that is not in its shortest form");
    return n;
  }

  #expect(major: number, what: string): number {
    const [found, argument] = this.#next();
    if (found !== major) throw malformed(`${what} was expected`);
    return argument;
  }

  /** An integer from `least` to `most`. */
  int(least = -Number.MAX_SAFE_INTEGER, most = Number.MAX_SAFE_INTEGER): number {
    const [major, argument] = this.#next();
    if (major > Major.negative) throw malformed("an integer was expected");
    const n = major === Major.uint ? argument : -1 - argument;
    if (n < least || n > most) throw malformed(`${n} does not lie from ${least} to ${most}`);
    return n;
  }

  uint(): number {
    return this.int(0);
  }

  intOrNull(): number | null {
    return this.peek() === "null" ? this.null() : this.uint();
  }

  array(): number {
    return this.#length(Major.array, "an array", 1);
  }

  map(): number {
    return this.#length(Major.map, "a map", 2);
  }

  /** A count of items, each of a byte at least: no more can come than bytes are there (CODEC-14). */
  #length(major: number, what: string, bytes: number): number {
    const n = this.#expect(major, what);
    if (n * bytes > this.buffer.length - this.pos) throw malformed("the frame ends before its last item does");
    return n;
  }

  /** Text of `least` to `most` bytes. */
  text(most = Infinity, least = 0): string {
    const n = this.#expect(Major.text, "text");
    if (n < least || n > most) throw malformed(`text of ${n} bytes`);
    const at = this.#take(n);
    try {
      return decoder.decode(this.buffer.subarray(at, this.pos));
    } catch {
      throw malformed("text that is not UTF-8");
    }
  }

  binary(most = Infinity, least = 0): Uint8Array {
    const n = this.#expect(Major.bytes, "bytes");
    if (n < least || n > most) throw malformed(`${n} bytes`);
    const at = this.#take(n);
    return this.buffer.slice(at, this.pos);
  }

  /** Exactly `size` bytes. */
  hex(size: number): Hex {
    const n = this.#expect(Major.bytes, "bytes");
    if (n !== size) throw malformed(`${n} bytes where ${size} were expected`);
    const at = this.#take(n);
    return toHex(this.buffer.subarray(at, this.pos));
  }

  bool(): boolean {
    if (this.peek() !== "bool") {
      this.#next();
      throw malformed("a boolean was expected");
    }
    return this.buffer[this.pos++] === 0xf5;
  }

  null(): null {
    if (this.peek() !== "null") {
      this.#next();
      throw malformed("null was expected");
    }
    this.pos++;
    return null;
  }

  /** A value, or `undefined` where a cell may be unset. */
  held(): Held {
    if (this.peek() !== "undefined") return this.value();
    this.pos++;
    return undefined;
  }

  value(depth = 0): Value {
    const kind = this.peek();
    if (kind === "text") return this.text();
    if (kind === "bytes") return this.binary();
    if (kind === "bool") return this.bool();
    if (kind === "null") return this.null();
    if (kind === "array") {
      const n = this.array();
      if (depth === DEPTH_MAX) throw malformed(`nested deeper than ${DEPTH_MAX}`);
      return Array.from({ length: n }, () => this.value(depth + 1));
    }
    if (kind === "map") return this.#object(depth);
    if (kind === "int") return this.int();
    const [, n] = this.#next();
    if (kind !== "float") throw malformed("an item that is no value");
    return n;
  }

  #object(depth: number): Value {
    const entries: [string, Value][] = [];
    const n = this.map();
    if (depth === DEPTH_MAX) throw malformed(`nested deeper than ${DEPTH_MAX}`);
    this.#entries(n, () => {
      const key = this.text();
      return () => void entries.push([key, this.value(depth + 1)]);
    });
    return Object.fromEntries(entries);
  }

  /** `n` entries with ascending keys (CODEC-5): `key` reads a key and gives what reads its value. */
  #entries(n: number, key: () => () => void): void {
    let before: Uint8Array | undefined;
    for (let i = 0; i < n; i++) {
      const start = this.pos;
      const value = key();
      const bytes = this.buffer.subarray(start, this.pos);
      if (before !== undefined && bytesCompare(before, bytes) >= 0) throw notCanonical("keys of a map out of order");
      before = bytes;
      value();
    }
  }

  /** A map with integer keys: `entry` reads the value of each. */
  intMap(entry: (key: number) => void): number {
    const n = this.map();
    this.#entries(n, () => {
      const key = this.int();
      return () => entry(key);
    });
    return n;
  }

  /** Passes over any item in its one encoding and gives its bytes. */
  any(depth = 0): Uint8Array {
    const start = this.pos;
    const kind = this.peek();
    if (kind === "array" || kind === "map") {
      const n = kind === "array" ? this.array() : this.map();
      if (depth === DEPTH_MAX) throw malformed(`nested deeper than ${DEPTH_MAX}`);
      if (kind === "array") for (let i = 0; i < n; i++) this.any(depth + 1);
      else this.#entries(n, () => (this.any(depth + 1), () => void this.any(depth + 1)));
    } else if (kind === "text") this.text();
    else if (kind === "bytes") this.binary();
    else if (kind === "other") throw malformed("an item that no value has");
    else this.#next();
    return this.since(start);
  }
}

/** The one encoding of a value. */
export const encode = (v: Held): Uint8Array => new Writer(32).value(v).bytes();

/** The value that these bytes are, and nothing after it (CODEC-11). */
export function decode(bytes: Uint8Array): Value {
  const reader = new Reader(bytes);
  const value = reader.value();
  if (!reader.done) throw malformed("bytes after the last item");
  return value;
}
