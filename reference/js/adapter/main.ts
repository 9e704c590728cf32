/** The conformance adapter: one JSON object a line in, one a line out (conformance/README.md). */

import { createInterface } from "node:readline";
import { asText, parse, type Json } from "./json.js";
import { vector } from "./vectors.js";

const write = (json: Json): void => void process.stdout.write(`${JSON.stringify(json)}\n`);

for await (const line of createInterface({ input: process.stdin })) {
  const command = parse(line) as { [key: string]: Json };
  const id = command["id"] as Json;
  if (command["verb"] === "bye") {
    write({ id, ok: true });
    process.exit(0);
  } else if (command["verb"] === "hello") write({ id, ok: true, version: 1, name: "syncline js", profiles: ["core", "rules"], roles: ["client", "peer"] });
  else if (command["verb"] === "vectors") write({ id, ok: true, ...vector(asText(command["kind"]), asText(command["hex"])) });
  else write({ id, error: "unknown verb" });
}
