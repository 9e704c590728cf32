/** The guide of the README: the package as it is packed, installed by its command, and the code as it stands, against a server. */

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Server } from "./server.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const run = promisify(execFile);

/** The first block of a language. */
const block = (text: string, language: string): string => new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``).exec(text)?.[1] ?? "";

test("the package holds its code, its types, its sources and its papers, and nothing else", async () => {
  const { stdout } = await run("npm", ["pack", "--dry-run", "--ignore-scripts", "--json"], { cwd: root });
  const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }];
  const paths = files.map(({ path }) => path);
  const odd = paths.filter((path) => !/^(dist\/src\/.*\.(js|d\.ts)(\.map)?|src\/.*\.ts|README\.md|LICENSE|package\.json)$/.test(path));
  assert.deepEqual(odd, []);
  for (const path of ["dist/src/index.js", "dist/src/index.d.ts", "dist/src/model/index.js", "dist/src/node.js", "README.md", "LICENSE"])
    assert(paths.includes(path), path);
  // What has no source any more is not packed.
  const made = paths.filter((path) => /^dist\/.*\.js$/.test(path)).map((path) => path.replace(/^dist\/(.*)\.js$/, "$1.ts"));
  assert.deepEqual(made.sort(), paths.filter((path) => path.startsWith("src/")).sort());
});

test("the guide of the README works as it stands, from the package that is installed, in no more than twenty lines", async () => {
  const server = await Server.start();
  const folder = await mkdtemp(join(tmpdir(), "syncline-guide-"));
  const readme = await readFile(join(root, "README.md"), "utf8");
  const [install = "", guide = ""] = [block(readme, "sh").trim(), block(readme, "js")];
  assert(guide.split("\n").filter((line) => line.trim() !== "").length <= 20);
  await run("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], { cwd: root });
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
  const [npm = "", ...args] = install.split(" ");
  await run(npm, [...args, "--prefer-offline", "--no-audit", "--no-fund"], { cwd: folder });
  // Node below 22 has no WebSocket of its own, and a guide does not end.
  const lines = [
    'import { WebSocket } from "ws";',
    "globalThis.WebSocket ??= WebSocket;",
    guide.replace("ws://127.0.0.1:7747/", server.url),
    'if (models.status.state !== "in-sync") await new Promise((resolve) => replica.on("in-sync", resolve));',
    'console.log("end", todos.size, todo.get("done"), models.status.state);',
    "await replica.close();",
  ];
  await writeFile(join(folder, "guide.js"), lines.join("\n"));
  const child = spawn(process.execPath, ["guide.js"], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.on("data", (text: Buffer) => (said += text.toString()));
  const code = await new Promise((resolve) => child.once("exit", resolve));
  await server.remove();
  await rm(folder, { recursive: true });
  assert.equal(code, 0, said);
  assert.match(said, /came Buy milk[^]*came Drink it[^]*end 1 false in-sync/);
});
