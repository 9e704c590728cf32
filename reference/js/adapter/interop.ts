/**
 * An adapter of two: clients and peers are this implementation's, servers those of another adapter, whose command follows.
 * So the stories of clients with a server are told across implementations.
 */

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { parse, type Json } from "./json.js";
import { PROFILES, run } from "./run.js";
import type { Command } from "./peers.js";

const [program, ...args] = process.argv.slice(2);
if (program === undefined) throw new Error("usage: interop.js COMMAND [ARGUMENT...], an adapter that has the role server");
const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
const replies = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
/** Who plays a peer: true for the other adapter. */
const theirs = new Map<string, boolean>();

/** Asks the other adapter: what it wrote before its reply, and the reply. */
async function ask(line: string, id: Json): Promise<{ before: string[]; reply: { [key: string]: Json } }> {
  child.stdin.write(`${line}\n`);
  const before: string[] = [];
  for (;;) {
    const next = await replies.next();
    if (next.done) throw new Error("the other adapter ended");
    const json = parse(next.value) as { [key: string]: Json };
    if (json["id"] === id) return { before, reply: json };
    before.push(next.value);
  }
}

const wakeOf = ({ wake }: { [key: string]: Json }): number => (typeof wake === "number" ? wake : Infinity);
let ourWake = Infinity;
let theirWake = Infinity;

async function answer(line: string, command: Command): Promise<string[]> {
  const { id = null, verb, peer } = command;
  if (verb === "hello") {
    const { reply } = await ask(line, id);
    const profiles = PROFILES.filter((name) => (reply["profiles"] as string[]).includes(name));
    return [
      JSON.stringify({ id, ok: true, version: 1, name: "syncline js with another server", profiles, roles: ["server", "client", "peer"] }),
    ];
  }
  if (verb === "open") theirs.set(String(peer), command["role"] === "server");
  const lines: string[] = [];
  let reply: { [key: string]: Json } = {};
  const all = verb === "advance" || verb === "bye";
  if (all || theirs.get(String(peer))) {
    const { before, reply: given } = await ask(line, id);
    lines.push(...before);
    theirWake = wakeOf((reply = given));
  }
  if (all || !theirs.get(String(peer))) {
    const ours = run(command);
    lines.push(...ours.slice(0, -1));
    const given = JSON.parse(ours.at(-1) as string) as { [key: string]: Json };
    if (verb !== "vectors") ourWake = wakeOf(given);
    reply = { ...reply, ...given };
  }
  const wake = Math.min(ourWake, theirWake);
  lines.push(JSON.stringify({ ...reply, wake: wake === Infinity ? null : wake }));
  return lines;
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = parse(line) as Command;
  process.stdout.write(`${(await answer(line, command)).join("\n")}\n`);
  if (command["verb"] === "bye") break;
}
child.stdin.end();
