// automerge-repo with its WebSocket adapter. Texts are scalars, as they are in the others.

import { ImmutableString } from "@automerge/automerge";
import { Repo } from "@automerge/automerge-repo";
import { WebSocketClientAdapter } from "@automerge/automerge-repo-network-websocket";

export async function join(url, { heard }) {
  const [server, document] = url.split("#");
  // The adapter makes its sockets itself.
  class Adapter extends WebSocketClientAdapter {
    receiveMessage(bytes) {
      heard(bytes);
      super.receiveMessage(bytes);
    }
  }
  const repo = new Repo({ network: [new Adapter(server)] });
  const handle = await repo.find(document);
  const scalars = (fields) =>
    Object.fromEntries(
      Object.entries(fields).map(([name, value]) => [name, typeof value === "string" ? new ImmutableString(value) : value]),
    );
  return {
    get size() {
      return Object.keys(handle.doc().todos).length;
    },
    create: (group) =>
      handle.change(({ todos }) => {
        for (const [id, fields] of group) todos[id] = scalars(fields);
      }),
    *records() {
      for (const record of Object.values(handle.doc().todos)) yield Object.values(record);
    },
    edit: (id, priority) =>
      handle.change(({ todos }) => {
        todos[id].priority = priority;
      }),
    value: (id) => handle.doc().todos[id].priority,
    once: (told) => handle.once("change", told),
  };
}
