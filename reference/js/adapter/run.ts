/** Runs one command of the adapter and gives the lines that answer it. */

import { asText, type Json } from "./json.js";
import { Peers, type Command } from "./peers.js";
import { vector } from "./vectors.js";

export const PROFILES = [
  "core",
  "rules",
  "presence",
  "conditions",
  "subscribe",
  "peer",
  "flow",
  "access",
  "repair",
  "signal",
  "compact",
  "packed",
];

let lines: string[] = [];
const peers = new Peers((line) => void lines.push(JSON.stringify(line)));

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

/** The lines that a command causes: the reply is the last. */
export function run(command: Command): string[] {
  const id = command["id"] ?? null;
  let reply: { [key: string]: Json };
  try {
    reply = { id, ok: true, ...answer(command) };
  } catch (error) {
    reply = { id, error: error instanceof Error ? error.message : String(error) };
    if (process.env["SYNCLINE_TRACE"]) console.error(error);
  }
  const written = [...lines, JSON.stringify(reply)];
  lines = [];
  return written;
}
