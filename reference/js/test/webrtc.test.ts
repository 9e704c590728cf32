/** Frames in fragments, over data channels that are played (BIND-8, BIND-9). */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { dataChannel, MemoryStore, Replica, type DataChannel } from "../src/index.js";
import { Defragmenter, fragments } from "../src/bind/webrtc.js";
import { FRAGMENT_BYTES_MAX, FRAME_BYTES_MAX } from "../src/core/limits.js";

const bufferOf = (bytes: Uint8Array): ArrayBuffer => bytes.slice().buffer as ArrayBuffer;

test("a frame of any size travels in fragments and comes out whole", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.nat(40_000), fc.constantFrom(0, 16_382, 16_383, 16_384, 32_766, 32_767, FRAME_BYTES_MAX)), { maxLength: 4 }),
      (sizes) => {
        const incoming = new Defragmenter();
        for (const size of sizes) {
          const frame = Uint8Array.from({ length: size }, (_, i) => i * 7);
          const messages = [...fragments(frame)];
          assert(messages.every(({ length }) => length <= FRAGMENT_BYTES_MAX));
          const out = messages.map((message) => incoming.take(bufferOf(message)));
          assert.deepEqual(
            out.slice(0, -1),
            Array.from({ length: out.length - 1 }, () => null),
          );
          assert.deepEqual(out.at(-1), frame);
        }
      },
    ),
    { numRuns: 60 },
  );
});

test("what is no fragment is no frame, and a frame that grows too long is given as far as it came", () => {
  const incoming = new Defragmenter();
  const none = new Uint8Array();
  for (const message of ["text", new ArrayBuffer(0), bufferOf(Uint8Array.of(2, 1)), new ArrayBuffer(FRAGMENT_BYTES_MAX + 1)])
    assert.deepEqual(incoming.take(message), none);
  const more = new Uint8Array(FRAGMENT_BYTES_MAX).fill(1);
  let frame: Uint8Array | null = null;
  let messages = 0;
  while (frame === null && messages < 1000) {
    frame = incoming.take(bufferOf(more));
    messages++;
  }
  assert(frame !== null && frame.length > FRAME_BYTES_MAX && frame.length <= FRAME_BYTES_MAX + FRAGMENT_BYTES_MAX, `${frame?.length}`);
});

/** One end of a data channel: what it sends waits until the other end reads it. */
class End implements DataChannel {
  binaryType: BinaryType = "blob";
  readyState: RTCDataChannelState = "open";
  readonly protocol = "syncline.1";
  bufferedAmount = 0;
  bufferedAmountLowThreshold = 0;
  most = 0;
  onopen = null;
  onmessage: ((event: never) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  onbufferedamountlow: ((event: never) => void) | null = null;
  other!: End;

  send(message: unknown): void {
    const data = bufferOf(message as Uint8Array);
    this.bufferedAmount += data.byteLength;
    this.most = Math.max(this.most, this.bufferedAmount);
    setImmediate(() => {
      const before = this.bufferedAmount;
      this.bufferedAmount -= data.byteLength;
      this.other.onmessage?.({ data } as never);
      const low = this.bufferedAmountLowThreshold;
      if (before > low && this.bufferedAmount <= low) this.onbufferedamountlow?.({} as never);
    });
  }

  close(): void {
    for (const end of [this, this.other]) {
      if (end.readyState === "closed") continue;
      end.readyState = "closed";
      setImmediate(() => end.onclose?.({} as never));
    }
  }
}

test("two replicas over a data channel become equal, and no end buffers more than it may", async () => {
  const [left, right] = [new End(), new End()];
  [left.other, right.other] = [right, left];
  const [a, b] = [
    await Replica.open({ space: "home", store: new MemoryStore() }),
    await Replica.open({ space: "home", store: new MemoryStore() }),
  ];
  for (let i = 0; i < 8; i++) await a.write([{ collection: "todos", id: `t${i}`, fields: { notes: "x".repeat(200_000) } }]);
  a.link(dataChannel(left), true);
  b.link(dataChannel(right), false);
  while (b.ids("todos").length < 8) await new Promise((resolve) => b.on("changed", resolve));
  assert(left.most <= 262_144 + FRAGMENT_BYTES_MAX, `${left.most} bytes were buffered`);
  const ended = new Promise((resolve) => setTimeout(resolve, 0));
  left.close();
  await ended;
  while (b.status.links > 0) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([a.status.links, b.status.links], [0, 0]);
  await Promise.all([a.close(), b.close()]);
});
