/** The conformance adapter: one JSON object a line in, one a line out (conformance/README.md). */

import { createInterface } from "node:readline";
import { asText, parse, type Json } from "./json.js";
import { Peers, type Command } from "./peers.js";
import { vector } from "./vectors.js";

const PROFILES = ["core", "rules", "presence", "conditions", "subscribe", "peer", "flow", "access", "repair", "signal"];

let lines: string[] = [];
const write = (json: Json): void => void lines.push(JSON.stringify(json));
const peers = new Peers(write);

function answer(command: Command): { [key: string]: Json } {
  switch (command["verb"]) {
    case "hello":
      return { version: 1, name: "syncline js", profiles: PROFILES, roles: ["client", "peer"] };
    case "vectors":
      return vector(asText(command["kind"]), asText(command["hex"]));
    case "bye":
      return {};
    default:
      return peers.run(command);
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = parse(line) as Command;
  const id = command["id"] as Json;
  try {
    write({ id, ok: true, ...answer(command) });
  } catch (error) {
    write({ id, error: error instanceof Error ? error.message : String(error) });
    if (process.env["SYNCLINE_TRACE"]) console.error(error);
  }
  process.stdout.write(`${lines.join("\n")}\n`);
  lines = [];
  if (command["verb"] === "bye") break;
}
