// A server of automerge-repo without storage, on a free port, with the document that all share.

import { createServer } from "node:http";
import { Repo } from "@automerge/automerge-repo";
import { WebSocketServerAdapter } from "@automerge/automerge-repo-network-websocket";
import { WebSocketServer } from "ws";

const http = createServer();
const repo = new Repo({ network: [new WebSocketServerAdapter(new WebSocketServer({ server: http }))], sharePolicy: async () => false });
const { url } = repo.create({ todos: {} });
http.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ url: `ws://127.0.0.1:${http.address().port}#${url}` })));
