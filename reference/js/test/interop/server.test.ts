/** Clients of this package and the reference server, over real sockets and real stores. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WebSocket } from "ws";
import { MemoryStore, Replica, webSocket, type Socket, type Store } from "../../src/index.js";
import { FileStore } from "../../src/node.js";
import { Server } from "./server.js";

let server: Server;
before(async () => void (server = await Server.start()));
after(() => server.remove());

const socket = WebSocket as unknown as new (url: string, protocol: string) => Socket;

async function replica(space: string, store: Store = new MemoryStore()): Promise<Replica> {
  return Replica.open({ space, store, transport: webSocket(server.url, { WebSocket: socket }) });
}

/** Waits until `holds`, looking again at each event that may change it. */
async function until(at: Replica, holds: () => boolean): Promise<void> {
  if (holds()) return;
  await new Promise<void>((resolve) => {
    const ends = (["changed", "in-sync", "disconnected", "presence"] as const).map((name) =>
      at.on(name, () => {
        if (!holds()) return;
        for (const end of ends) end();
        resolve();
      }),
    );
  });
}

test("what one client writes shows on the other, and both are in sync", async () => {
  const [a, b] = [await replica("live"), await replica("live")];
  a.start();
  b.start();
  await until(a, () => a.status.inSync);
  await until(b, () => b.status.inSync);
  await a.write([{ collection: "todos", id: "t1", fields: { title: "Buy milk" }, columns: { votes: { counter: 2 } } }]);
  await until(b, () => b.show("todos", "t1") !== null);
  await b.write([{ collection: "todos", id: "t1", fields: { done: true }, columns: { votes: { counter: 3 } } }]);
  const done = { fields: { title: "Buy milk", done: true }, columns: { votes: { counter: 5 } } };
  await until(a, () => a.show("todos", "t1")?.fields["done"] === true && a.status.inSync);
  await until(b, () => b.status.inSync);
  assert.deepEqual([a.show("todos", "t1"), b.show("todos", "t1")], [done, done]);
  assert.equal(a.status.fingerprint, b.status.fingerprint);
  await Promise.all([a.close(), b.close()]);
});

test("what was written offline lands once the server is there again, and the store keeps it", async () => {
  const folder = await mkdtemp(join(tmpdir(), "syncline-"));
  const path = join(folder, "replica");
  const offline = await Replica.open({ space: "offline", store: await FileStore.open(path) });
  await offline.write([{ collection: "todos", id: "t1", fields: { title: "written offline" } }]);
  await offline.close();

  const a = await replica("offline", await FileStore.open(path));
  assert.equal(a.show("todos", "t1")?.fields["title"], "written offline");
  a.start();
  await until(a, () => a.status.inSync);
  const b = await replica("offline");
  b.start();
  await until(b, () => b.status.inSync);
  assert.equal(b.show("todos", "t1")?.fields["title"], "written offline");
  await Promise.all([a.close(), b.close()]);
  await rm(folder, { recursive: true });
});

test("a server that is killed and comes back finds every client again", async () => {
  const [a, b] = [await replica("killed"), await replica("killed")];
  a.start();
  b.start();
  await until(a, () => a.status.inSync);
  await server.kill();
  await until(a, () => a.status.state !== "streaming");
  await a.write([{ collection: "todos", id: "t1", fields: { title: "meanwhile" } }]);
  server = await Server.start(server.folder, Number(new URL(server.url).port));
  await until(a, () => a.status.inSync);
  await until(b, () => b.show("todos", "t1") !== null && b.status.inSync);
  assert.equal(a.status.fingerprint, b.status.fingerprint);
  await Promise.all([a.close(), b.close()]);
});

test("presence shows who is there, and ends with them", async () => {
  const [a, b] = [await replica("present"), await replica("present")];
  a.start();
  b.start();
  await until(a, () => a.status.inSync);
  b.present(Uint8Array.of(7));
  await until(a, () => a.presence.length === 1);
  assert.deepEqual(a.presence, [[b.status.replica, Uint8Array.of(7)]]);
  await b.close();
  await until(a, () => a.presence.length === 0);
  await a.close();
});
