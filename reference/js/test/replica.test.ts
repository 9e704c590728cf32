/** A replica at work: durability before all else, and peer links without a server. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryStore, Refused, Replica, type Transport } from "../src/index.js";
import type { Batch } from "../src/core/space.js";
import { pair } from "./link.js";

const changed = (replica: Replica): Promise<void> =>
  new Promise((resolve) => {
    const end = replica.on("changed", () => (end(), resolve()));
  });

async function until(replica: Replica, holds: () => boolean): Promise<void> {
  while (!holds()) await changed(replica);
}

test("two clients without a server show the same", async () => {
  const [a, b] = [
    await Replica.open({ space: "home", store: new MemoryStore() }),
    await Replica.open({ space: "home", store: new MemoryStore() }),
  ];
  await a.write([{ collection: "todos", id: "t1", fields: { title: "from a" } }]);
  await b.write([{ collection: "todos", id: "t2", fields: { title: "from b" } }]);
  const [left, right] = pair();
  a.link(left, true);
  b.link(right, false);
  await Promise.all([until(a, () => a.show("todos", "t2") !== null), until(b, () => b.show("todos", "t1") !== null)]);
  await b.write([{ collection: "todos", id: "t1", delete: true }]);
  await until(a, () => a.show("todos", "t1") === null);
  assert.deepEqual([a.ids("todos"), b.ids("todos")], [["t2"], ["t2"]]);
  await Promise.all([a.close(), b.close()]);
});

/** A store whose commits fail while it is told so. */
class Failing extends MemoryStore {
  fails = false;
  override async commit(batch: Batch): Promise<void> {
    if (this.fails) throw new Error("the disk is full");
    await super.commit(batch);
  }
}

test("a write whose commit failed never was, and nothing of it is sent", async () => {
  const store = new Failing();
  const sent: Uint8Array[] = [];
  const transport: Transport = {
    trusted: true,
    connect: (listener) => (queueMicrotask(listener.opened), { send: (frame) => void sent.push(frame), close: () => undefined }),
  };
  const replica = await Replica.open({ space: "home", store, transport });
  replica.start();
  await replica.write([{ collection: "todos", id: "t1", fields: { title: "kept" } }]);
  const before = sent.length;
  store.fails = true;
  let told = 0;
  replica.on("store-failed", () => void told++);
  await assert.rejects(replica.write([{ collection: "todos", id: "t2", fields: { title: "lost" } }]), /the disk is full/);
  assert.deepEqual([replica.ids("todos"), sent.length, told], [["t1"], before, 1]);
  store.fails = false;
  await replica.write([{ collection: "todos", id: "t3", fields: {} }]);
  assert.equal(replica.status.pending, 2);
  await replica.close();
});

test("what breaks a limit is refused and changes nothing", async () => {
  const replica = await Replica.open({ space: "home", store: new MemoryStore() });
  await assert.rejects(replica.write([{ collection: "todos", id: "", fields: {} }]), Refused);
  await assert.rejects(replica.write([{ collection: "todos", id: "t1", fields: { n: 2n ** 60n } }]), Refused);
  assert.deepEqual([replica.ids("todos"), replica.status.pending], [[], 0]);
  await replica.close();
});
