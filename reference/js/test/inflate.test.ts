/** What is packed comes out as another packer put it in, and what is not whole is refused (PACK-3, PACK-4). */

import assert from "node:assert/strict";
import { test } from "node:test";
import { constants, deflateRawSync } from "node:zlib";
import fc from "fast-check";
import { Fault } from "../src/core/fault.js";
import { inflate, inflateInScript } from "../src/core/inflate.js";
import "../src/node.js";

const text = fc.string({ maxLength: 40 }).chain((part) => fc.nat(200).map((times) => part.repeat(times)));
const content = fc.oneof(
  fc.uint8Array({ maxLength: 3000 }),
  fc.array(text, { maxLength: 5 }).map((parts) => new TextEncoder().encode(parts.join(""))),
);
const packing = fc.record({
  level: fc.integer({ min: 0, max: 9 }),
  strategy: fc.constantFrom(constants.Z_DEFAULT_STRATEGY, constants.Z_FIXED, constants.Z_HUFFMAN_ONLY, constants.Z_RLE),
});

/** Both ways: that of the platform, and the one where there is none. They agree. */
function unpack(bytes: Uint8Array, most: number): Uint8Array | null {
  const [a, b] = [inflate, inflateInScript].map((inflate) => {
    try {
      return inflate(bytes, most).slice();
    } catch (fault) {
      if (fault instanceof Fault) return null;
      throw fault;
    }
  });
  assert.deepEqual(a, b);
  return b ?? null;
}

test("what is packed comes out whole, up to the bound and not beyond it", () => {
  fc.assert(
    fc.property(content, packing, (bytes, packing) => {
      const packed = new Uint8Array(deflateRawSync(bytes, packing));
      assert.deepEqual(unpack(packed, bytes.length), new Uint8Array(bytes));
      if (bytes.length > 0) assert.equal(unpack(packed, bytes.length - 1), null);
      assert.equal(unpack(packed.subarray(0, -1), 1 << 20), null);
      assert.equal(unpack(Uint8Array.of(...packed, 0), 1 << 20), null);
    }),
    { numRuns: 300 },
  );
});

test("whatever the bytes are, they are refused or unpack to no more than is allowed, as another unpacker has it", () => {
  const changed = fc.tuple(content, packing, fc.nat(), fc.nat(255)).map(([bytes, packing, at, byte]) => {
    const packed = new Uint8Array(deflateRawSync(bytes, packing));
    packed[at % packed.length] = byte;
    return packed;
  });
  fc.assert(
    fc.property(fc.oneof(changed, fc.uint8Array({ maxLength: 200 })), (bytes) => {
      assert((unpack(bytes, 10_000)?.length ?? 0) <= 10_000);
    }),
    { numRuns: 3000 },
  );
});
