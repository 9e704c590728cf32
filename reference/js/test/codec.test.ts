/** The codec against an oracle, against arbitrary bytes, and against the shared vectors. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import * as cborg from "cborg";
import fc from "fast-check";
import { fromHex, toHex } from "../src/core/bytes.js";
import { decode, encode } from "../src/core/cbor.js";
import { Fault, Refused } from "../src/core/fault.js";
import { readFrame } from "../src/core/read.js";
import { compareValues, toValue, type Value } from "../src/core/value.js";
import { vector } from "../adapter/vectors.js";

const leaf: fc.Arbitrary<Value> = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.maxSafeInteger(),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => (Object.is(n, -0) ? 0 : n)),
  fc.float({ noNaN: true, noDefaultInfinity: true }).map((n) => (Object.is(n, -0) ? 0 : n)),
  fc.string({ unit: "grapheme" }),
  fc.uint8Array(),
);
const value: fc.Arbitrary<Value> = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    leaf,
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(fc.string(), tie("value"), { maxKeys: 4, noNullPrototype: true }),
  ),
})).value;

/** Whether some number in it is an integer that only a float holds: an oracle would write it as an integer. */
const hasWideInteger = (v: Value): boolean =>
  typeof v === "number"
    ? Number.isInteger(v) && !Number.isSafeInteger(v)
    : v !== null && typeof v === "object" && !(v instanceof Uint8Array) && Object.values(v).some(hasWideInteger);

test("a value is read as it was written", () => {
  fc.assert(fc.property(value, (v) => assert.deepEqual(decode(encode(v)), v)));
});

test("a value has the bytes that another encoder gives it", () => {
  fc.assert(
    fc.property(
      value.filter((v) => !hasWideInteger(v)),
      (v) => assert.equal(toHex(encode(v)), toHex(cborg.encode(v, cborg.rfc8949EncodeOptions))),
    ),
  );
});

test("bytes are refused with a fault, or are the one encoding of what they say", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      let v: Value;
      try {
        v = decode(bytes);
      } catch (fault) {
        assert(fault instanceof Fault);
        return;
      }
      assert.equal(toHex(encode(v)), toHex(bytes));
    }),
    { numRuns: 2000 },
  );
});

test("the total order of values is one", () => {
  fc.assert(
    fc.property(value, value, value, (a, b, c) => {
      assert.equal(Math.sign(compareValues(a, b)), -Math.sign(compareValues(b, a)) || 0);
      if (compareValues(a, b) <= 0 && compareValues(b, c) <= 0) assert(compareValues(a, c) <= 0);
    }),
  );
});

test("numbers that no value holds are refused to the application", () => {
  for (const n of [NaN, Infinity, -Infinity, 2n ** 53n, -(2n ** 53n)]) assert.throws(() => toValue(n), Refused);
  assert.equal(toValue(2n ** 53n - 1n), Number.MAX_SAFE_INTEGER);
  assert.throws(() => toValue("\ud800"), Refused);
  assert.throws(() => toValue(new Date()), Refused);
});

const folder = new URL("../../../../conformance/vectors/", import.meta.url);

/** The cases of the shared vectors that need nothing but bytes: kind, line and its words. */
function* cases(): Generator<{ name: string; kind: string; verdict: string; hex: string; rest: string }> {
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".vec"))) {
    let kind = "";
    for (const line of readFileSync(new URL(file, folder), "utf8").split("\n")) {
      if (line === "" || line.startsWith("#")) continue;
      const [verdict = "", name = "", , hex = "", ...rest] = line.split(" ");
      if (verdict === "kind") kind = name;
      else if (["value", "frame", "frame-agreed"].includes(kind))
        yield { name: `${file}/${name}`, kind, verdict, hex, rest: rest.join(" ") };
    }
  }
}

test("the shared vectors of values and frames", () => {
  let seen = 0;
  for (const { name, kind, verdict, hex, rest } of cases()) {
    const answer = vector(kind, hex);
    if (verdict === "valid") assert.deepEqual(answer, { hex }, name);
    else if (verdict === "invalid") assert.deepEqual(answer, { error: rest }, name);
    else assert("hex" in answer, name);
    seen++;
  }
  assert(seen > 400, `${seen} cases`);
});

test("a frame with a byte changed is refused with a fault, or is a frame", () => {
  const frames = [...cases()]
    .filter(({ kind, verdict, hex }) => kind !== "value" && verdict === "valid" && hex.length < 1000)
    .map(({ hex }) => fromHex(hex));
  const wire = { baseMs: 0, agreed: new Set([0, 1, 3, 4, 5, 6, 9, 10, 11, 12]) };
  fc.assert(
    fc.property(fc.constantFrom(...frames), fc.nat(), fc.nat(255), (frame, at, byte) => {
      const changed = frame.slice();
      changed[at % changed.length] = byte;
      try {
        readFrame(changed, () => wire);
      } catch (fault) {
        assert(fault instanceof Fault, String(fault));
      }
    }),
    { numRuns: 5000 },
  );
});
