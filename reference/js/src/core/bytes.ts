/** Bytes as text and in order, and the hash of them. */

import { sha256 as portable } from "@noble/hashes/sha2.js";

const encoder = new TextEncoder();
const HEX = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, "0"));

/** A replica id, link, history or hash, in lower-case hex: it compares as its bytes do. */
export type Hex = string;

export const utf8 = (text: string): Uint8Array => encoder.encode(text);

export function toHex(bytes: Uint8Array): Hex {
  let out = "";
  for (const byte of bytes) out += HEX[byte] as string;
  return out;
}

export function fromHex(hex: Hex): Uint8Array {
  const out = new Uint8Array(hex.length >> 1);
  for (let i = 0; i < out.length; i++) out[i] = (digit(hex.charCodeAt(2 * i)) << 4) | digit(hex.charCodeAt(2 * i + 1));
  return out;
}

/** What a hex digit stands for, by its code: "9" is 57, "a" is 97. */
const digit = (code: number): number => (code <= 57 ? code - 48 : (code | 32) - 87);

/** Byte by byte, a prefix first. */
export function bytesCompare(a: Uint8Array, b: Uint8Array): number {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) {
    const order = (a[i] as number) - (b[i] as number);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

/** The order of two texts by their UTF-8 bytes, which is the order of their code points. */
export function textCompare(a: string, b: string): number {
  if (a === b) return 0;
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    // A surrogate stands for a code point above all that one unit holds.
    if (x !== y) return (x >= 0xd800 && x < 0xe000 ? x + 0x10000 : x) - (y >= 0xd800 && y < 0xe000 ? y + 0x10000 : y);
  }
  return a.length - b.length;
}

let hash: (bytes: Uint8Array) => Uint8Array = portable;

/** SHA-256. */
export const sha256 = (bytes: Uint8Array): Uint8Array => hash(bytes);

/** Has SHA-256 computed by what the platform offers, where that is faster. It must give the same. */
export function useSha256(faster: (bytes: Uint8Array) => Uint8Array): void {
  hash = faster;
}

/** So many texts are kept to be shared, then others. */
const SHARED_MAX = 4096;
const shared = new Map<string, string>();

/** The one copy of a text that stands in many places, such as the name of a field. */
export function share(text: string): string {
  const known = shared.get(text);
  if (known !== undefined) return known;
  if (shared.size === SHARED_MAX) shared.clear();
  shared.set(text, text);
  return text;
}

const ids = new Map<Hex, Uint8Array>();

/** The bytes of an id that stands in many places. Nobody may write to them. */
export function idBytes(hex: Hex): Uint8Array {
  let bytes = ids.get(hex);
  if (!bytes) {
    if (ids.size === SHARED_MAX) ids.clear();
    ids.set(hex, (bytes = fromHex(hex)));
  }
  return bytes;
}

/** A sum of SHA-256 digests modulo 2²⁵⁶, read as big-endian integers, and their count (SYNC-18). */
export class DigestSum {
  count = 0;
  /** Words of 16 bits, the least first. Each holds carries that `bytes` carries over: exact for 2³⁷ digests. */
  readonly #words = new Float64Array(16);

  /** Adds a digest, or takes one out. */
  add(digest: Uint8Array, times: 1 | -1): void {
    this.count += times;
    for (let i = 0; i < 16; i++) {
      const word = ((digest[30 - 2 * i] as number) << 8) | (digest[31 - 2 * i] as number);
      this.#words[i] = (this.#words[i] as number) + times * word;
    }
  }

  addSum(other: DigestSum): void {
    this.count += other.count;
    for (let i = 0; i < 16; i++) this.#words[i] = (this.#words[i] as number) + (other.#words[i] as number);
  }

  /** The sum as 32 bytes, big-endian. */
  bytes(): Uint8Array {
    const out = new Uint8Array(32);
    let carry = 0;
    for (let i = 0; i < 16; i++) {
      const sum = (this.#words[i] as number) + carry;
      carry = Math.floor(sum / 65_536);
      const word = sum - carry * 65_536;
      out[31 - 2 * i] = word & 0xff;
      out[30 - 2 * i] = word >> 8;
    }
    return out;
  }

  static from(count: number, bytes: Uint8Array): DigestSum {
    const sum = new DigestSum();
    sum.add(bytes, 1);
    sum.count = count;
    return sum;
  }
}
