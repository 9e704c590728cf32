/** Fields of a model: each has a conflict rule, what it shows and what is written to it (spec 5). */

import type { RuleWrites } from "../core/local.js";
import type { Value } from "../core/value.js";
import type { Columns, Shown } from "../core/view.js";

export type RuleName = "lww" | keyof Columns;

/** `S` is what the field shows, `W` what is written to it. */
export interface Field<S, W> {
  readonly rule: RuleName;
  /** What shows where nothing is there. */
  readonly fallback: S;
  /** Never there at run time: carries the type of what is written. */
  readonly written?: W;
}

/** The fields of a model by name. */
export type Fields = { readonly [name: string]: Field<unknown, unknown> };
export type ShownOf<F extends Fields> = { readonly [N in keyof F]: F[N] extends Field<infer S, unknown> ? S : never };
export type WrittenTo<F extends Fields> = { readonly [N in keyof F]?: F[N] extends Field<unknown, infer W> ? W : never };

/** The last writer wins; `undefined` unsets it. A narrower type is given in full: `lww<"low" | "high">("low")`. */
export function lww(fallback: string): Field<string, string | undefined>;
export function lww(fallback: number): Field<number, number | undefined>;
export function lww(fallback: boolean): Field<boolean, boolean | undefined>;
export function lww<T extends Value>(fallback: T): Field<T, T | undefined>;
export function lww<T extends Value>(fallback: T): Field<T, T | undefined> {
  return { rule: "lww", fallback };
}
/** A sum; an amount is written. */
export const counter = (): Field<number, number> => ({ rule: "counter", fallback: 0 });
/** The greatest of what was offered. */
export function greatest(fallback: number): Field<number, number>;
export function greatest<T extends Value>(fallback: T): Field<T, T>;
export function greatest<T extends Value>(fallback: T): Field<T, T> {
  return { rule: "max", fallback };
}
/** The least of what was offered. */
export function least(fallback: number): Field<number, number>;
export function least<T extends Value>(fallback: T): Field<T, T>;
export function least<T extends Value>(fallback: T): Field<T, T> {
  return { rule: "min", fallback };
}
/** Elements; pairs of an element and whether it is to be there are written. */
export const set = <T extends Value>(): Field<readonly T[], readonly (readonly [T, boolean])[]> => ({ rule: "set", fallback: [] });
/** Entries by name; `undefined` takes one out. */
export const map = <T extends Value>(): Field<{ readonly [key: string]: T }, { readonly [key: string]: T | undefined }> => ({
  rule: "map",
  fallback: {},
});
/** All values that nobody replaced; those to stand in their place are written. */
export const multi = <T extends Value>(): Field<readonly T[], readonly T[]> => ({ rule: "multi", fallback: [] });

/** What a field of a record shows. */
export function read(shown: Shown | null, name: string, { rule, fallback }: Field<unknown, unknown>): unknown {
  const found = rule === "lww" ? shown?.fields[name] : shown?.columns[name]?.[rule];
  return found === undefined ? fallback : found;
}

/** What is written to one record, in the forms of the core. */
export interface Writes {
  readonly fields: { [field: string]: unknown };
  readonly columns: { [field: string]: { -readonly [R in keyof RuleWrites]: RuleWrites[R] } };
}

/** Takes a write into what is written to the record already, as one op. */
export function write(into: Writes, name: string, { rule }: Field<unknown, unknown>, value: unknown): void {
  if (rule === "lww") {
    into.fields[name] = value;
    return;
  }
  const column = (into.columns[name] ??= {});
  if (rule === "counter") column.counter = Number(column.counter ?? 0) + Number(value);
  else if (rule === "set") column.set = mergedElements(column.set ?? [], value as readonly (readonly [unknown, boolean])[]);
  else if (rule === "map") column.map = { ...column.map, ...(value as object) };
  else if (rule === "multi") column.multi = value as readonly unknown[];
  else column[rule] = value;
}

/** The later word on an element counts. */
function mergedElements(
  before: readonly (readonly [unknown, boolean])[],
  later: readonly (readonly [unknown, boolean])[],
): (readonly [unknown, boolean])[] {
  const elements = new Map([...before, ...later].map((pair) => [JSON.stringify(pair[0]), pair]));
  return [...elements.values()];
}
