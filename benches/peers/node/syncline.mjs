// The TypeScript client with the server of the reference.

import { MemoryStore, Replica, webSocket } from "../../../reference/js/dist/src/index.js";
import "../../../reference/js/dist/src/node.js";

export async function join(url, { Socket }) {
  const replica = await Replica.open({ space: "bench", store: new MemoryStore(), transport: webSocket(url, { WebSocket: Socket }) });
  replica.start();
  if (!replica.status.inSync) await new Promise((resolve) => replica.on("in-sync", resolve));
  let told = () => undefined;
  replica.on("changed", () => told());
  return {
    get size() {
      return replica.ids("todos").length;
    },
    create: (group) => replica.write(group.map(([id, fields]) => ({ collection: "todos", id, fields }))),
    *records() {
      for (const id of replica.ids("todos")) yield Object.values(replica.show("todos", id).fields);
    },
    edit: (id, priority) => void replica.write([{ collection: "todos", id, fields: { priority } }]),
    value: (id) => replica.show("todos", id).fields.priority,
    once: (heard) => (told = heard),
  };
}
