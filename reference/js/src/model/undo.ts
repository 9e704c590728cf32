/** What takes a local change back. */

import type { RowWrite, RuleWrites } from "../core/local.js";
import { compareValues, type Value } from "../core/value.js";
import type { Columns, Shown } from "../core/view.js";

/** How to look at a record. */
export type Look = (collection: string, id: string) => Shown | null;

/** One record of a local change: what showed before, and what was written. */
export interface Done {
  readonly write: RowWrite;
  readonly before: Shown | null;
}

const same = (a: unknown, b: unknown): boolean =>
  a === undefined || b === undefined ? a === b : compareValues(a as Value, b as Value) === 0;

/**
 * The rows that take a change back. What others wrote over it since stays: a field is put back only where it shows what the
 * change wrote. Offers to `min` and `max` cannot be taken back.
 */
export function inverse(done: readonly Done[], look: Look): RowWrite[] {
  return done.flatMap(({ write, before }) => inverseRow(write, before, look(write.collection, write.id)) ?? []);
}

function inverseRow(write: RowWrite, before: Shown | null, now: Shown | null): RowWrite | null {
  const { collection, id } = write;
  if (write.delete) return now === null && before ? { collection, id, ...all(before) } : null;
  if (now === null) return null;
  if (before === null) return { collection, id, delete: true };
  const fields = Object.entries(write.fields ?? {})
    .filter(([name, value]) => same(now.fields[name], value))
    .map(([name]): [string, unknown] => [name, before.fields[name]]);
  const columns = Object.entries(write.columns ?? {})
    .map(([name, rules]): [string, RuleWrites] => [name, inverseRules(rules, before.columns[name] ?? {}, now.columns[name] ?? {})])
    .filter(([, rules]) => Object.keys(rules).length > 0);
  if (fields.length + columns.length === 0) return null;
  return { collection, id, fields: Object.fromEntries(fields), columns: Object.fromEntries(columns) };
}

function inverseRules(written: RuleWrites, before: Columns, now: Columns): RuleWrites {
  const { counter, set, map, multi } = written;
  const elements = (set ?? []).flatMap(([element, present]): [unknown, boolean][] => {
    const was = has(before.set, element);
    return was !== present && has(now.set, element) === present ? [[element, was]] : [];
  });
  const entries = Object.entries(map ?? {}).filter(([key, value]) => same(now.map?.[key], value) && !same(before.map?.[key], value));
  return {
    ...(counter !== undefined ? { counter: -Number(counter) } : {}),
    ...(elements.length > 0 ? { set: elements } : {}),
    ...(entries.length > 0 ? { map: Object.fromEntries(entries.map(([key]) => [key, before.map?.[key]])) } : {}),
    ...(multi && same(now.multi, multi) ? { multi: before.multi ?? [] } : {}),
  };
}

const has = (elements: readonly Value[] | undefined, element: unknown): boolean => elements?.some((each) => same(each, element)) ?? false;

/** All that a record showed, to be written again. */
function all({ fields, columns }: Shown): Pick<RowWrite, "fields" | "columns"> {
  const again = Object.entries(columns).map(([name, { set, counter, ...rest }]): [string, RuleWrites] => [
    name,
    { ...rest, ...(counter ? { counter } : {}), ...(set ? { set: set.map((element): [Value, boolean] => [element, true]) } : {}) },
  ]);
  return { fields, columns: Object.fromEntries(again) };
}
