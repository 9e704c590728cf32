/** The client's machine against whatever a server or a peer may send: it refuses or takes it, and never fails of itself. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { sha256, toHex, utf8 } from "../src/core/bytes.js";
import { Client, OFFERED, type Time } from "../src/core/client.js";
import { startLink, type Change, type Row } from "../src/core/change.js";
import type { Item } from "../src/core/items.js";
import type { Message } from "../src/core/message.js";
import { encodeFrame } from "../src/core/write.js";

const BASE_MS = 1_700_000_000_000;
const [R1, R2] = ["11".repeat(16), "22".repeat(16)] as [string, string];
const HISTORY = "0102030405060708";

const time = (now: number): Time => ({ now: BASE_MS + now, wall: BASE_MS + now });
const small = fc.nat(6);
const replica = fc.constantFrom(R1, R2);
/** What the first replica id of each run is. */
const OWN = toHex(sha256(utf8("0 0")).slice(0, 16));
const hash = fc.constantFrom("00".repeat(16), "ab".repeat(16), startLink("home", OWN), startLink("home", R2));
const literal: fc.Arbitrary<Row> = fc.record({
  collection: fc.constant("todos"),
  id: fc.constantFrom("t1", "t2"),
  life: fc.constantFrom(1, 2, 3),
  columns: fc.constant([]),
});
const number = fc.integer({ min: 1, max: 3 });
const row = fc.oneof(
  literal,
  fc.tuple(literal, number).map(([row, number]): Row => ({ ...row, number })),
  fc.tuple(literal, number).map(([row, number]): Row => ({ ...row, collection: "", id: "", number })),
);
const verdict = fc.record({
  code: fc.constantFrom(0, 32, 34, 38, 39, 41, 200),
  class: small.map((n) => n % 4),
  detail: fc.option(fc.constant(BASE_MS)),
});
const change: fc.Arbitrary<Change> = fc.record({
  seq: fc.integer({ min: 1, max: 4 }),
  reading: fc.record({ ms: fc.constantFrom(BASE_MS, BASE_MS + 1), counter: small }),
  rows: row.map((row) => [row]),
  needs: fc.constant([]),
  rest: fc.constant(new Map()),
});
const item: fc.Arbitrary<Item> = fc.oneof(
  fc.record({ kind: fc.constant("plain" as const), rows: row.map((row) => [row]) }),
  fc.record({
    kind: fc.constant("group" as const),
    author: replica,
    reading: fc.constant({ ms: BASE_MS, counter: 0 }),
    rows: row.map((row) => [row]),
  }),
  fc.record({ kind: fc.constant("outcome" as const), seq: fc.integer({ min: 1, max: 4 }), link: hash, verdict }),
  fc.record({ kind: fc.constant("settled" as const), author: replica, seq: fc.integer({ min: 1, max: 4 }), link: hash }),
  fc.record({ kind: fc.constant("held" as const), author: replica, seq: small, link: hash }),
  fc.record({ kind: fc.constant("base" as const), from: small }),
);
const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({
    type: fc.constant("opened" as const),
    position: small,
    history: fc.constant(HISTORY),
    seq: small,
    link: hash,
    baseMs: fc.constant(BASE_MS),
    reset: small.map((n) => n % 5),
  }),
  fc.record({
    type: fc.constant("states" as const),
    last: fc.boolean(),
    to: small,
    history: fc.constant(HISTORY),
    items: fc.array(item, { maxLength: 3 }),
  }),
  fc.record({ type: fc.constant("change" as const), position: small, author: replica, change }),
  fc.record({
    type: fc.constant("void" as const),
    position: small,
    author: replica,
    seq: fc.integer({ min: 1, max: 4 }),
    code: fc.constant(33),
    link: hash,
  }),
  fc.record(
    {
      type: fc.constant("ack" as const),
      seq: fc.integer({ min: 1, max: 4 }),
      position: small,
      durability: fc.constant(1),
      numbers: fc.array(small, { minLength: 1, maxLength: 3 }),
    },
    { requiredKeys: ["type", "seq", "position", "durability"] },
  ),
  fc.record({
    type: fc.constant("names" as const),
    firstColumn: number,
    columns: fc.subarray([["n", 0] as const, ["votes", 3] as const]),
    firstReplica: number,
    replicas: fc.subarray([R1, R2]),
  }),
  fc.record({ type: fc.constant("reject" as const), seq: fc.integer({ min: 1, max: 4 }), position: small, verdict }),
  fc.record({ type: fc.constant("mark" as const), position: small, history: fc.constant(HISTORY), fingerprint: hash, backedUp: small }),
  fc.record({ type: fc.constant("push" as const), author: replica, before: hash, changes: change.map((change) => [change]) }),
  fc.record({
    type: fc.constant("ranges" as const),
    seed: small,
    ranges: fc.constantFrom([], [{ kind: "fingerprint" as const, bound: new Uint8Array(), count: 1, fingerprint: "00".repeat(16) }]),
  }),
  fc.record({
    type: fc.constant("error" as const),
    code: fc.constantFrom(8, 10, 12, 15),
    class: small.map((n) => n % 4),
    detail: fc.constant(null),
    text: fc.constant(""),
  }),
  fc.record({
    type: fc.constant("presence" as const),
    replica,
    counter: small,
    ttl: fc.constant(9),
    payload: fc.constant(Uint8Array.of(1)),
  }),
  fc.record({ type: fc.constantFrom("shut" as const) }),
);

function open(entries: Iterable<readonly [string, Uint8Array]> = []): {
  client: Client;
  store: Map<string, Uint8Array>;
  settle: () => void;
} {
  let drawn = 0;
  const store = new Map(entries);
  const client = new Client("home", null, (n) => sha256(utf8(`${store.size} ${drawn++}`)).slice(0, n), store);
  const settle = (): void => {
    for (const [key, bytes] of client.take().batch) {
      if (bytes === null) store.delete(key);
      else store.set(key, bytes);
    }
  };
  return { client, store, settle };
}

/** Sends `messages` on the channels that a client opens, and lets it connect again whenever it wants to. */
function play(messages: readonly Message[]): void {
  const { client, store, settle } = open();
  client.write([{ collection: "todos", id: "t1", fields: { n: 1 } }], [], time(0));
  client.start(time(0));
  settle();
  let now = 0;
  messages.forEach((message, i) => {
    now += 1000;
    if (client.status.state === "idle") client.start(time(now));
    if (client.status.state === "waiting") client.advance(time((now += 60_001)));
    if (client.status.state === "connecting") {
      client.connected(`conn ${i}`, time(now));
      client.frame(
        `conn ${i}`,
        encodeFrame(0, { type: "welcome", version: 1, profiles: OFFERED, limits: new Map(), time: BASE_MS }),
        time(now),
      );
    }
    // Whatever its channel's number is by now, one of these is it.
    for (let conn = 0; conn <= i; conn++)
      for (let channel = 1; channel <= 3; channel++) client.frame(`conn ${conn}`, encodeFrame(channel, message), time(now));
    settle();
    if (i % 3 === 0) client.write([{ collection: "todos", id: "t2", columns: { votes: { counter: 1 } } }], [], time(now));
    settle();
  });
  // What was kept opens again, to the same.
  const again = open(store).client;
  assert.deepEqual(
    { ...again.status, state: "" },
    { ...client.status, state: "", inSync: false, head: null, mayWrite: again.status.mayWrite },
  );
  assert.deepEqual([again.space.names.columns, again.space.names.replicas], [client.space.names.columns, client.space.names.replicas]);
  for (const n of [1, 2, 3]) assert.equal(again.space.base.numbered(n)?.id, client.space.base.numbered(n)?.id);
  for (const id of ["t1", "t2"]) assert.deepEqual(again.space.show("todos", id), client.space.show("todos", id));
}

test("whatever a server sends, a client goes on, and its store opens to what it shows", () => {
  fc.assert(fc.property(fc.array(message, { maxLength: 12 }), play), { numRuns: 500 });
});

test("whatever a peer sends, a client goes on", () => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 12 }), (messages) => {
      const { client, settle } = open();
      client.write([{ collection: "todos", id: "t1", fields: { n: 1 } }], [], time(0));
      messages.forEach((message, i) => {
        if (client.status.links === 0) {
          client.link(`link ${i}`, false, time(i));
          client.frame(
            `link ${i}`,
            encodeFrame(0, { type: "hello", versions: [1], profiles: [0, 1, 6], limits: new Map(), token: null }),
            time(i),
          );
          client.frame(`link ${i}`, encodeFrame(1, { type: "open", space: "home", replica: R1, settled: 0, cursor: null }), time(i));
        }
        for (let link = 0; link <= i; link++) client.frame(`link ${link}`, encodeFrame(1, message), time(i));
        client.advance(time(i * 5000));
        settle();
      });
      assert(client.status.pending >= 0);
    }),
    { numRuns: 500 },
  );
});
