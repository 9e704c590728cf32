/** The guide of the README, run as it stands against a server. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFile, rm, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Server } from "./server.js";

const root = new URL("../../../", import.meta.url);

test("the guide of the README works as it stands", async () => {
  const server = await Server.start();
  const readme = await readFile(new URL("README.md", root), "utf8");
  const guide = /```js\n([^]*?)```/.exec(readme)?.[1] ?? "";
  // Node below 22 has no WebSocket of its own, and a guide does not end.
  const lines = [
    'import { WebSocket } from "ws";',
    "globalThis.WebSocket ??= WebSocket;",
    guide.replace("ws://127.0.0.1:7747/", server.url),
    'await new Promise((resolve) => replica.on("in-sync", resolve));',
    'console.log("end", todos.size, todo.get("done"), models.status.state);',
    "await replica.close();",
  ];
  const path = fileURLToPath(new URL("dist/guide.mjs", root));
  await writeFile(path, lines.join("\n"));
  const child = spawn(process.execPath, [path], { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.on("data", (text: Buffer) => (said += text.toString()));
  const code = await new Promise((resolve) => child.once("exit", resolve));
  await rm(path);
  await server.remove();
  assert.equal(code, 0, said);
  assert.match(said, /came Buy milk[^]*came Drink it[^]*end 1 false in-sync/);
});
