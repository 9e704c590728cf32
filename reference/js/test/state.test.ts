/** The state of a space: one from any order, one by changes and by states, one by its running fingerprint. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Change, Column, Row } from "../src/core/change.js";
import { Rule, sortEntries } from "../src/core/op.js";
import { RecordState } from "../src/core/record.js";
import { itemsOf, State } from "../src/core/state.js";

const AUTHORS = ["11".repeat(16), "22".repeat(16), "33".repeat(16)];

const column: fc.Arbitrary<Column> = fc.oneof(
  fc.record({
    field: fc.constantFrom("a", "b"),
    rule: fc.constant(Rule.lww),
    op: fc.record({ kind: fc.constant("value" as const), value: fc.option(fc.nat(3), { nil: undefined }) }),
  }),
  fc.record({
    field: fc.constant("n"),
    rule: fc.constant(Rule.counter),
    op: fc.record({ kind: fc.constant("value" as const), value: fc.integer({ min: 1, max: 9 }) }),
  }),
  fc.record({
    field: fc.constant("m"),
    rule: fc.constantFrom(Rule.max, Rule.min),
    op: fc.record({ kind: fc.constant("value" as const), value: fc.nat(9) }),
  }),
  fc.record({
    field: fc.constant("s"),
    rule: fc.constant(Rule.set),
    op: fc
      .uniqueArray(fc.record({ key: fc.nat(3), value: fc.constantFrom(true, undefined) }), {
        minLength: 1,
        maxLength: 3,
        selector: ({ key }) => key,
      })
      .map((entries) => ({ kind: "entries" as const, entries: sortEntries(entries) })),
  }),
  fc.record({
    field: fc.constant("v"),
    rule: fc.constant(Rule.multi),
    op: fc.array(fc.nat(3), { minLength: 1, maxLength: 2 }).map((added) => ({ kind: "dots" as const, removed: [], added })),
  }),
);

const row: fc.Arbitrary<Row> = fc
  .tuple(
    fc.constantFrom("r1", "r2"),
    fc.constantFrom(1, 1, 1, 2, 3),
    fc.uniqueArray(column, { maxLength: 3, selector: ({ field, rule }) => `${field} ${rule}` }),
  )
  .map(([id, life, columns]): Row => ({ collection: "c", id, life, columns: life % 2 === 0 ? [] : columns }));

/** The changes of each author, in the order of their seqs. */
const logs = fc
  .tuple(...AUTHORS.map(() => fc.array(fc.tuple(fc.nat(20), row), { maxLength: 5 })))
  .map((authors) =>
    authors.map((changes) =>
      changes.map(([ms, row], i): Change => ({ seq: i + 1, reading: { ms, counter: 0 }, rows: [row], needs: [], rest: new Map() })),
    ),
  );

/** One interleaving of the authors' changes, as `picks` says. */
function interleave(authors: readonly (readonly Change[])[], picks: readonly number[]): [string, Change][] {
  const left = authors.map((changes) => [...changes]);
  const order: [string, Change][] = [];
  for (let i = 0; left.some((changes) => changes.length > 0); i++) {
    const open = left.flatMap((changes, at) => (changes.length > 0 ? [at] : []));
    const at = open[(picks[i % picks.length] ?? 0) % open.length] as number;
    order.push([AUTHORS[at] as string, left[at]?.shift() as Change]);
  }
  return order;
}

function applied(order: readonly [string, Change][]): State {
  const state = new State();
  order.forEach(([author, change], i) => state.apply(author, change, i + 1));
  return state;
}

test("any order of changes that keeps each author's gives one state", () => {
  fc.assert(
    fc.property(logs, fc.array(fc.nat(2), { minLength: 1 }), fc.array(fc.nat(2), { minLength: 1 }), (authors, one, other) => {
      assert.equal(applied(interleave(authors, one)).fingerprint(null), applied(interleave(authors, other)).fingerprint(null));
    }),
  );
});

test("states that are given whole make an equal state", () => {
  fc.assert(
    fc.property(logs, (authors) => {
      const given = applied(interleave(authors, [0]));
      const taken = new State();
      for (const item of itemsOf(given.records())) taken.take(item, 9);
      assert.equal(taken.fingerprint(null), given.fingerprint(null));
    }),
  );
});

test("the running fingerprint is that of the cells", () => {
  fc.assert(
    fc.property(logs, (authors) => {
      const state = applied(interleave(authors, [1]));
      const anew = new State();
      for (const record of state.records()) anew.touch(record.collection, record.id).joinState(record);
      assert.equal(state.fingerprint(null), anew.fingerprint(null));
    }),
  );
});

test("the join of two records is the same from both sides, and twice changes nothing", () => {
  fc.assert(
    fc.property(logs, (authors) => {
      const [a, b] = [applied(interleave([authors[0] ?? [], [], []], [0])), applied(interleave([[], authors[1] ?? [], []], [0]))];
      for (const id of ["r1", "r2"]) {
        const [x, y] = [a.find("c", id) ?? new RecordState("c", id), b.find("c", id) ?? new RecordState("c", id)];
        const [xy, yx] = [x.copy(), y.copy()];
        xy.joinState(y);
        yx.joinState(x);
        yx.joinState(y);
        assert.deepEqual([xy.life, new Map([...xy.cells].sort())], [yx.life, new Map([...yx.cells].sort())]);
      }
    }),
  );
});
