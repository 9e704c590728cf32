/** Values, and the total order of them (spec 3). */

import { bytesCompare, utf8 } from "./bytes.js";
import { Refused } from "./fault.js";
import { DEPTH_MAX } from "./limits.js";

/**
 * What a cell holds. A number is an integer within ±(2⁵³−1), or a finite double that is no such integer; a `bigint` may
 * be written where it lies within that range, and is read back as a number.
 */
export type Value = null | boolean | number | string | Uint8Array | readonly Value[] | { readonly [key: string]: Value };

/** A value, or `undefined` for a cell that is unset. */
export type Held = Value | undefined;

/** Throws `Refused` unless `x` is a value of this domain (CODEC-15); gives it with each `-0` and `bigint` as its number. */
export function toValue(x: unknown, depth = 0): Value {
  switch (typeof x) {
    case "boolean":
      return x;
    case "string":
      if (!isWellFormed(x)) throw new Refused("text that is no valid Unicode");
      return x;
    case "bigint":
      if (x < -BigInt(Number.MAX_SAFE_INTEGER) || x > BigInt(Number.MAX_SAFE_INTEGER))
        throw new Refused(`the integer ${x} is out of range`);
      return Number(x);
    case "number":
      if (!Number.isFinite(x)) throw new Refused(`${x} is no value`);
      return x === 0 ? 0 : x;
    case "object":
      break;
    default:
      throw new Refused(`a ${typeof x} is no value`);
  }
  if (x === null) return null;
  if (x instanceof Uint8Array) return x.slice();
  if (depth === DEPTH_MAX) throw new Refused(`nested deeper than ${DEPTH_MAX}`);
  if (Array.isArray(x)) return Array.from(x, (item) => toValue(item, depth + 1));
  const proto: unknown = Object.getPrototypeOf(x);
  if (proto !== Object.prototype && proto !== null) throw new Refused("an object of a class is no value");
  return Object.fromEntries(Object.entries(x).map(([k, v]) => [toValue(k) as string, toValue(v, depth + 1)]));
}

/** Whether every surrogate of `text` stands in a pair, so that it has an encoding (CODEC-7). */
export const isWellFormed = (text: string): boolean => !/\p{Surrogate}/u.test(text);

const RANK = { null: 0, false: 1, true: 2, number: 3, bytes: 4, text: 5, array: 6, map: 7 };

function rank(v: Value): number {
  if (v === null) return RANK.null;
  if (typeof v === "boolean") return v ? RANK.true : RANK.false;
  if (typeof v === "number") return RANK.number;
  if (typeof v === "string") return RANK.text;
  if (v instanceof Uint8Array) return RANK.bytes;
  return Array.isArray(v) ? RANK.array : RANK.map;
}

/** The total order of values: negative, 0 or positive. */
export function compareValues(a: Value, b: Value): number {
  const kind = rank(a);
  if (kind !== rank(b)) return kind - rank(b);
  switch (kind) {
    case RANK.number:
      return (a as number) - (b as number) || 0;
    case RANK.bytes:
      return bytesCompare(a as Uint8Array, b as Uint8Array);
    case RANK.text:
      return bytesCompare(utf8(a as string), utf8(b as string));
    case RANK.array:
      return compareLists(a as readonly Value[], b as readonly Value[]);
    case RANK.map:
      return compareLists(pairs(a as Record<string, Value>), pairs(b as Record<string, Value>));
    default:
      return 0;
  }
}

function compareLists(a: readonly Value[], b: readonly Value[]): number {
  for (let i = 0; i < a.length && i < b.length; i++) {
    const order = compareValues(a[i] as Value, b[i] as Value);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

/** The keys of a map in the order of their encodings: the shorter first, then by their bytes (CODEC-5). */
export function sortedKeys(map: { readonly [key: string]: Value }): [string, Uint8Array][] {
  const keys = Object.keys(map).map((key): [string, Uint8Array] => [key, utf8(key)]);
  return keys.sort(([, a], [, b]) => a.length - b.length || bytesCompare(a, b));
}

const pairs = (map: Record<string, Value>): Value[] => sortedKeys(map).map(([key]) => [key, map[key] as Value]);
