/** The conformance adapter: one JSON object a line in, one a line out (conformance/README.md). */

import { createInterface } from "node:readline";
import { parse } from "./json.js";
import type { Command } from "./peers.js";
import { run } from "./run.js";

for await (const line of createInterface({ input: process.stdin })) {
  const command = parse(line) as Command;
  process.stdout.write(`${run(command).join("\n")}\n`);
  if (command["verb"] === "bye") break;
}
