/** What the application sees of a record (spec 2 and 5). */

import { bytesCompare } from "./bytes.js";
import { encode } from "./cbor.js";
import { compareDots, Rule } from "./op.js";
import type { Cell, RecordState } from "./record.js";
import { compareValues, type Value } from "./value.js";

/** A field's columns of further rules, each as its rule shows it (RULES-5). */
export interface Columns {
  counter?: number;
  min?: Value;
  max?: Value;
  set?: Value[];
  map?: { [key: string]: Value };
  multi?: Value[];
}

/** A record as it shows: its `lww` fields, and by field what its columns of further rules show. */
export interface Shown {
  readonly fields: { readonly [field: string]: Value };
  readonly columns: { readonly [field: string]: Columns };
}

/** What a record shows, or null where its life does not (MODEL-14). */
export function show(record: RecordState): Shown | null {
  if (!record.alive) return null;
  const fields: [string, Value][] = [];
  const columns = new Map<string, Map<number, Cell[]>>();
  for (const cell of record.cells.values()) {
    if (cell.value === undefined) continue;
    if (cell.rule === Rule.lww) fields.push([cell.field, cell.value]);
    else if (RULES.has(cell.rule)) {
      let rules = columns.get(cell.field);
      if (!rules) columns.set(cell.field, (rules = new Map()));
      const cells = rules.get(cell.rule);
      if (cells) cells.push(cell);
      else rules.set(cell.rule, [cell]);
    }
  }
  const shown = [...columns].map(([field, rules]): [string, Columns] => [field, Object.fromEntries([...rules].map(column)) as Columns]);
  return { fields: Object.fromEntries(fields), columns: Object.fromEntries(shown) };
}

const RULES: ReadonlyMap<number, keyof Columns> = new Map([
  [Rule.counter, "counter"],
  [Rule.min, "min"],
  [Rule.max, "max"],
  [Rule.set, "set"],
  [Rule.map, "map"],
  [Rule.multi, "multi"],
]);

function column([rule, cells]: [number, Cell[]]): [string, Value] {
  const name = RULES.get(rule) as string;
  switch (rule) {
    case Rule.counter:
      return [name, clampedSum(cells.map(({ value }) => value as number))];
    case Rule.set:
      return [name, cells.map(({ key }) => key).sort(compareValues)];
    case Rule.map: {
      const sorted = cells.sort((a, b) => bytesCompare(encode(a.key), encode(b.key)));
      return [name, Object.fromEntries(sorted.map(({ key, value }) => [key as string, value as Value]))];
    }
    case Rule.multi:
      return [name, dotsIn(cells).map(({ value }) => value as Value)];
    default:
      return [name, cells[0]?.value as Value];
  }
}

/** The cells of a `multi` column that hold a value, by their dots. */
export const dotsIn = (cells: Iterable<Cell>): Cell[] =>
  [...cells].filter(({ dot, value }) => dot && value !== undefined).sort((a, b) => (a.dot && b.dot ? compareDots(a.dot, b.dot) : 0));

/** A sum, and where it leaves the range of integers the bound that it passes (RULES-11). */
function clampedSum(sums: readonly number[]): number {
  const exact = sums.reduce((sum, n) => sum + BigInt(n), 0n);
  const most = BigInt(Number.MAX_SAFE_INTEGER);
  return Number(exact > most ? most : exact < -most ? -most : exact);
}

export const cellsOfColumn = (record: RecordState, field: string, rule: number): Cell[] =>
  [...record.cells.values()].filter((cell) => cell.field === field && cell.rule === rule);
