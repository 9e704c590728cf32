// yjs with y-websocket, its client and the server that comes with it.

import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";

export async function join(url, { Socket }) {
  const doc = new Y.Doc();
  const provider = new WebsocketProvider(url, "bench", doc, { WebSocketPolyfill: Socket, disableBc: true });
  await new Promise((resolve) => provider.once("sync", resolve));
  const todos = doc.getMap("todos");
  return {
    get size() {
      return todos.size;
    },
    create: (group) =>
      doc.transact(() => {
        for (const [id, fields] of group) todos.set(id, new Y.Map(Object.entries(fields)));
      }),
    *records() {
      for (const record of todos.values()) yield record.values();
    },
    edit: (id, priority) => todos.get(id).set("priority", priority),
    value: (id) => todos.get(id).get("priority"),
    once: (told) => doc.once("update", told),
  };
}
