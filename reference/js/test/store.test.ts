/** Stores keep what was committed and nothing else. */

import "fake-indexeddb/auto";
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Client } from "../src/core/client.js";
import { Refused } from "../src/core/fault.js";
import { sha256, utf8 } from "../src/core/bytes.js";
import type { Batch } from "../src/core/space.js";
import { IndexedDbStore, MemoryStore, type Store } from "../src/index.js";
import { FileStore } from "../src/node.js";

const batch = (entries: Record<string, number | null>): Batch =>
  new Map(Object.entries(entries).map(([key, n]) => [key, n === null ? null : Uint8Array.of(n)]));

const contents = async (store: Store): Promise<Record<string, number | undefined>> =>
  Object.fromEntries([...(await store.load())].map(([key, bytes]): [string, number | undefined] => [key, bytes[0]]).sort());

const folder = await mkdtemp(join(tmpdir(), "syncline-"));
test.after(() => rm(folder, { recursive: true }));

const stores: Record<string, (name: string) => Promise<Store>> = {
  file: (name) => FileStore.open(join(folder, name)),
  "indexed db": (name) => IndexedDbStore.open(name),
};

for (const [kind, open] of Object.entries(stores)) {
  test(`a store in a ${kind} holds what was committed, over its end`, async () => {
    const store = await open("one");
    await store.commit(batch({ a: 1, b: 2 }));
    await store.commit(batch({ a: null, b: 3, c: 4 }));
    assert.deepEqual(await contents(store), { b: 3, c: 4 });
    await store.close();
    const again = await open("one");
    assert.deepEqual(await contents(again), { b: 3, c: 4 });
    await again.close();
  });
}

test("a file that was cut anywhere holds a whole number of commits", async () => {
  const path = join(folder, "cut");
  const store = await FileStore.open(path);
  await store.commit(batch({ a: 1 }));
  const first = (await readFile(path)).length;
  await store.commit(batch({ a: 2, b: 2 }));
  await store.close();
  const whole = await readFile(path);
  for (let length = 0; length <= whole.length; length++) {
    await writeFile(path, whole.subarray(0, length));
    const cut = await FileStore.open(path);
    assert.deepEqual(await contents(cut), length < first ? {} : length < whole.length ? { a: 1 } : { a: 2, b: 2 });
    await cut.commit(batch({ z: 9 }));
    await cut.close();
    const after = await FileStore.open(path);
    assert.equal((await contents(after))["z"], 9);
    await after.close();
  }
});

test("a file is written anew when most of it is superseded", async () => {
  const path = join(folder, "long");
  const store = await FileStore.open(path);
  const large = new Uint8Array(100_000);
  for (let i = 0; i < 30; i++) await store.commit(new Map([["a", large.fill(i)]]));
  await store.close();
  assert((await readFile(path)).length < 1_500_000);
  const again = await FileStore.open(path);
  assert.deepEqual(await contents(again), { a: 29 });
  await again.close();
});

test("one client at a time has a file open", async () => {
  const store = await FileStore.open(join(folder, "locked"));
  await assert.rejects(FileStore.open(join(folder, "locked")), Refused);
  await store.close();
});

test("a client that is opened again on its store is as it was", async () => {
  let drawn = 0;
  const random = (n: number): Uint8Array => sha256(utf8(String(drawn++))).slice(0, n);
  const store = new MemoryStore();
  const client = new Client("home", null, random);
  const time = { now: 1_700_000_000_000, wall: 1_700_000_000_000 };
  client.write(
    [
      {
        collection: "todos",
        id: "t1",
        fields: { title: "a\u0000b", none: null },
        columns: {
          tags: {
            set: [
              ["x", true],
              [1.5, false],
            ],
          },
          notes: { multi: ["n", [1]] },
        },
      },
    ],
    [],
    time,
  );
  client.write(
    [
      {
        collection: "todos",
        id: "t2",
        columns: { votes: { counter: -3 }, best: { max: { a: 1 } }, attrs: { map: { k: undefined, l: 2 } } },
      },
    ],
    [{ collection: "todos", id: "t1", field: "title" }],
    time,
  );
  client.write([{ collection: "todos", id: "t1", delete: true }], [], time);
  await store.commit(client.take().batch);
  const again = new Client("home", null, random, await store.load());
  assert.deepEqual(again.status, client.status);
  for (const id of ["t1", "t2"]) assert.deepEqual(again.space.show("todos", id), client.space.show("todos", id));
  assert.deepEqual(again.space.own, client.space.own);
});
