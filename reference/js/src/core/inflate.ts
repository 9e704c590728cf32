/** DEFLATE (RFC 1951), unpacked at once and within a bound: the platforms' own is asynchronous, or does not say where it ended. */

import { malformed } from "./fault.js";

/** The most bits of a code. */
const BITS_MAX = 15;
const LENGTH_BASE = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258];
const LENGTH_EXTRA = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
/** The code lengths of a block's code lengths come in this order. */
const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const END = 256;

/** A canonical code: how many symbols have each length, and the symbols by their codes. */
interface Code {
  readonly counts: Uint16Array;
  readonly symbols: Uint16Array;
}

/** The code of these lengths. It must give every string of bits a symbol, save that of one symbol which is a bit long where `single` may be. */
function codeOf(lengths: ArrayLike<number>, single = true): Code {
  const counts = new Uint16Array(BITS_MAX + 1);
  for (let i = 0; i < lengths.length; i++) counts[lengths[i] as number]!++;
  const used = lengths.length - (counts[0] as number);
  let left = 1;
  const offsets = new Uint16Array(BITS_MAX + 2);
  for (let bits = 1; bits <= BITS_MAX; bits++) {
    left = 2 * left - (counts[bits] as number);
    if (left < 0) throw malformed("a code of too many symbols");
    offsets[bits + 1] = (offsets[bits] as number) + (counts[bits] as number);
  }
  if (left > 0 && used > 0 && !(single && used === 1 && counts[1] === 1)) throw malformed("a code of too few symbols");
  const symbols = new Uint16Array(used);
  for (let i = 0; i < lengths.length; i++) if (lengths[i] !== 0) symbols[offsets[lengths[i] as number]!++] = i;
  counts[0] = 0;
  return { counts, symbols };
}

const FIXED: readonly [Code, Code] = [
  codeOf(Array.from({ length: 288 }, (_, i) => (i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8))),
  codeOf(new Array<number>(32).fill(5)),
];

class Inflater {
  #at = 0;
  #bits = 0;
  #held = 0;
  #out: Uint8Array;
  #length = 0;

  constructor(
    readonly bytes: Uint8Array,
    readonly most: number,
  ) {
    this.#out = new Uint8Array(Math.min(most, 4 * bytes.length + 64));
  }

  /** All that the one stream holds. It ends with the last byte. */
  run(): Uint8Array {
    for (let last = false; !last;) {
      last = this.#take(1) === 1;
      const type = this.#take(2);
      if (type === 0) this.#stored();
      else if (type === 1) this.#block(...FIXED);
      else if (type === 2) this.#block(...this.#codes());
      else throw malformed("a block of no type");
    }
    if (this.#at < this.bytes.length) throw malformed("bytes after the end of what is packed");
    return this.#out.subarray(0, this.#length);
  }

  #byte(): number {
    const byte = this.bytes[this.#at];
    if (byte === undefined) throw malformed("what is packed ends too early");
    this.#at++;
    return byte;
  }

  /** The next `n` bits, the first of them lowest. */
  #take(n: number): number {
    while (this.#held < n) {
      this.#bits |= this.#byte() << this.#held;
      this.#held += 8;
    }
    const taken = this.#bits & ((1 << n) - 1);
    this.#bits >>>= n;
    this.#held -= n;
    return taken;
  }

  #symbol({ counts, symbols }: Code): number {
    let [code, first, index] = [0, 0, 0];
    for (let bits = 1; bits <= BITS_MAX; bits++) {
      code |= this.#take(1);
      const count = counts[bits] as number;
      if (code - count < first) return symbols[index + code - first] as number;
      index += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    throw malformed("bits that stand for no symbol");
  }

  #put(byte: number): void {
    this.#reserve(1);
    this.#out[this.#length++] = byte;
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed > this.most) throw malformed(`more than ${this.most} bytes are packed`);
    if (needed <= this.#out.length) return;
    const grown = new Uint8Array(Math.min(this.most, Math.max(needed, 2 * this.#out.length)));
    grown.set(this.#out.subarray(0, this.#length));
    this.#out = grown;
  }

  #stored(): void {
    this.#bits = this.#held = 0;
    const length = this.#byte() | (this.#byte() << 8);
    const inverse = this.#byte() | (this.#byte() << 8);
    if ((length ^ inverse) !== 0xffff) throw malformed("a stored block whose length is not sure");
    if (this.#at + length > this.bytes.length) throw malformed("what is packed ends too early");
    this.#reserve(length);
    this.#out.set(this.bytes.subarray(this.#at, this.#at + length), this.#length);
    this.#at += length;
    this.#length += length;
  }

  #codes(): [Code, Code] {
    const [literals, distances, n] = [this.#take(5) + 257, this.#take(5) + 1, this.#take(4) + 4];
    if (literals > 286 || distances > 30) throw malformed("a block of too many codes");
    const small = new Uint8Array(19);
    for (let i = 0; i < n; i++) small[ORDER[i] as number] = this.#take(3);
    const code = codeOf(small, false);
    const lengths = new Uint8Array(literals + distances);
    for (let i = 0; i < lengths.length;) {
      const symbol = this.#symbol(code);
      if (symbol < 16) {
        lengths[i++] = symbol;
        continue;
      }
      if (symbol === 16 && i === 0) throw malformed("a length is repeated before there is one");
      const length = symbol === 16 ? (lengths[i - 1] as number) : 0;
      const times = symbol === 16 ? 3 + this.#take(2) : symbol === 17 ? 3 + this.#take(3) : 11 + this.#take(7);
      if (i + times > lengths.length) throw malformed("a block of too many codes");
      lengths.fill(length, i, i + times);
      i += times;
    }
    if (lengths[END] === 0) throw malformed("a block without an end");
    return [codeOf(lengths.subarray(0, literals)), codeOf(lengths.subarray(literals))];
  }

  #block(literals: Code, distances: Code): void {
    for (;;) {
      const symbol = this.#symbol(literals);
      if (symbol === END) return;
      if (symbol < END) this.#put(symbol);
      else this.#copy(symbol - END - 1, distances);
    }
  }

  /** Says again what was said before. */
  #copy(at: number, distances: Code): void {
    const base = LENGTH_BASE[at];
    if (base === undefined) throw malformed("a length that there is not");
    const length = base + this.#take(LENGTH_EXTRA[at] as number);
    const symbol = this.#symbol(distances);
    if (symbol > 29) throw malformed("a distance that there is not");
    const extra = Math.max(0, (symbol >> 1) - 1);
    const distance = 1 + (symbol < 4 ? symbol : (2 + (symbol & 1)) << extra) + this.#take(extra);
    if (distance > this.#length) throw malformed("a distance beyond the beginning");
    this.#reserve(length);
    for (let i = 0; i < length; i++, this.#length++) this.#out[this.#length] = this.#out[this.#length - distance] as number;
  }
}

/** What bytes unpack to, which is `most` bytes at the most; a fault where they are not one whole stream (PACK-3, PACK-4). */
export type Inflate = (bytes: Uint8Array, most: number) => Uint8Array;

/** @internal */
export const inflateInScript: Inflate = (bytes, most) => new Inflater(bytes, most).run();

let chosen = inflateInScript;
export const inflate: Inflate = (bytes, most) => chosen(bytes, most);

/** Has the platform unpack, where it can at once. It must give the same. */
export function useInflate(faster: Inflate): void {
  chosen = faster;
}
