/** Numbers for names, as a client reads them (spec 22). */

import assert from "node:assert/strict";
import { test } from "node:test";
import { fromHex, sha256, utf8 } from "../src/core/bytes.js";
import { encode } from "../src/core/cbor.js";
import { startLink } from "../src/core/change.js";
import { Client, OFFERED, type Time } from "../src/core/client.js";
import { readFrame } from "../src/core/read.js";
import type { Value } from "../src/core/value.js";
import { encodeFrame, encodeMessage } from "../src/core/write.js";

const NOW: Time = { now: 1_700_000_000_000, wall: 1_700_000_000_000 };
const HISTORY = "0102030405060708";
const R2 = "22".repeat(16);
const id2 = fromHex(R2);
const NAMES: Value = [22, 1, [["title", 0]], 1, [id2]];
const FIRST: Value = [8, 1, 1, 1, 0, [[1, "todos", "t1"], 1, "x"]];

/** A client on its first channel, with an empty base. */
class Story {
  readonly client = new Client("home", null, (n) => sha256(utf8("home")).slice(0, n));

  constructor() {
    this.client.start(NOW);
    this.client.connected("c", NOW);
    this.client.frame("c", encodeFrame(0, { type: "welcome", version: 1, profiles: OFFERED, limits: new Map(), time: NOW.wall }), NOW);
    this.sent();
    const replica = this.client.status.replica;
    const opened = { position: 0, history: HISTORY, seq: 0, link: startLink("home", replica), baseMs: NOW.wall, reset: 1 };
    this.client.frame("c", encodeFrame(1, { type: "opened", ...opened }), NOW);
    this.client.frame("c", encodeFrame(1, { type: "states", last: true, to: 0, history: HISTORY, items: [] }), NOW);
    this.sent();
  }

  /** One frame of these messages comes. */
  comes(...messages: Value[]): void {
    this.client.frame("c", Uint8Array.from([1, ...messages.flatMap((message) => [...encode(message)])]), NOW);
  }

  /** The types of the messages sent since, and the codes of errors among them. */
  sent(): (string | number)[] {
    const frames = this.client.take().effects.flatMap((effect) => (effect.kind === "frame" ? [effect.bytes] : []));
    const wire = { baseMs: NOW.wall, agreed: new Set(OFFERED) };
    const messages = frames.flatMap((bytes) => readFrame(bytes, () => wire).messages.map(({ message }) => message));
    return messages.map((message) => (message.type === "error" ? message.code : message.type));
  }

  shows(id: string): unknown {
    return this.client.space.show("todos", id)?.fields;
  }
}

test("what a frame announces, the rest of it may say by number", () => {
  const story = new Story();
  story.comes(NAMES, FIRST, [8, 2, 1, 2, 1, [1, 1, "y"]]);
  assert.deepEqual([story.shows("t1"), story.sent()], [{ title: "y" }, []]);
});

test("an ack numbers own records, for the messages behind it too", () => {
  const story = new Story();
  story.client.write([{ collection: "todos", id: "t2", fields: { title: "mine" } }], [], NOW);
  assert.deepEqual(story.sent(), ["push"]);
  const ack = encodeMessage({ type: "ack", seq: 1, position: 1, durability: 1, numbers: [4] }, 0);
  const change = encode([8, 2, 1, 1, 9, [4, 1, "theirs"]]);
  story.client.frame("c", Uint8Array.from([1, ...ack, ...encode(NAMES), ...change]), NOW);
  assert.deepEqual([story.shows("t2"), story.sent()], [{ title: "theirs" }, []]);
});

test("a number ends with the life that it is of", () => {
  const story = new Story();
  story.comes(NAMES, FIRST, [8, 2, 1, 2, 1, [1, 0, 2]], [8, 3, 1, 3, 2, [1, 0, 3, 1, "again"]]);
  assert.deepEqual([story.shows("t1"), story.sent(), story.client.space.meta.trustsNumbers], [undefined, [1], false]);
});

test("names that leave some out end the channel, and it opens again", () => {
  const story = new Story();
  story.comes(NAMES, FIRST);
  story.comes([22, 3, [["done", 0]], 2, []]);
  assert.deepEqual(story.sent(), ["shut"]);
  // What was under way to the channel says nothing to anybody.
  story.comes([8, 2, 1, 2, 1, [9, 9, "z"]]);
  assert.deepEqual([story.sent(), story.client.status.state], [[], "opening"]);
  // Names that are known in part are taken from where they go on.
  const other = new Story();
  other.comes(
    NAMES,
    [
      22,
      1,
      [
        ["title", 0],
        ["done", 0],
      ],
      1,
      [id2],
    ],
    [8, 1, 1, 1, 0, [[1, "todos", "t1"], 2, true]],
  );
  assert.deepEqual([other.shows("t1"), other.sent()], [{ done: true }, []]);
});

test("rows stand in the order of their names, not of their numbers", () => {
  const rows = (a: string, b: string): Value => [8, 1, 1, 1, 0, [[2, "todos", a], 1, "x"], [[1, "todos", b], 1, "y"]];
  const [fine, not] = [new Story(), new Story()];
  fine.comes(NAMES, rows("a", "b"), [8, 2, 1, 2, 1, [2, 1, "z"], [1, 1, "z"]]);
  not.comes(NAMES, rows("a", "b"), [8, 2, 1, 2, 1, [1, 1, "z"], [2, 1, "z"]]);
  assert.deepEqual([fine.sent(), not.sent()], [[], [1]]);
});

test("a frame whose literal form is too large is refused, its twin below that is not", () => {
  const field = "f".repeat(64);
  const names: Value = [22, 1, Array.from({ length: 1000 }, (_, i) => [`${String(i).padStart(4, "0")}${field.slice(4)}`, 0]), 1, [id2]];
  const columns = Array.from({ length: 1000 }, (_, i) => [i + 1, "x"]).flat();
  const changes = (n: number): Value[] => Array.from({ length: n }, (_, i) => [8, i + 2, 1, i + 2, i + 1, [1, ...columns]]);
  const [fine, not] = [new Story(), new Story()];
  for (const story of [fine, not]) story.comes(names, FIRST);
  fine.comes(...changes(14));
  not.comes(...changes(16));
  assert.deepEqual([fine.sent().filter((what) => what !== "credit"), not.sent()], [[], [1]]);
});
