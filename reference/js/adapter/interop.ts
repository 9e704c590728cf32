/**
 * An adapter of two: clients and peers are this implementation's, servers those of another adapter, whose command follows.
 * So the stories of clients with a server are told across implementations. With `--peers` the clients b, d, … are the other's as well,
 * with `--peers=turned` a, c, …: so clients meet clients.
 */

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { parse, type Json } from "./json.js";
import { PROFILES, run } from "./run.js";
import type { Command } from "./peers.js";

const [flag, ...rest] = process.argv.slice(2);
/** The clients of the other: of an even or odd last letter, or none. */
const theirTurn = flag === "--peers" ? 0 : flag === "--peers=turned" ? 1 : null;
const [program, ...args] = theirTurn === null ? process.argv.slice(2) : rest;
if (program === undefined)
  throw new Error("usage: interop.js [--peers[=turned]] COMMAND [ARGUMENT...], an adapter that has the role server");
const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
const replies = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
/** Who plays a peer: true for the other adapter. */
const theirs = new Map<string, boolean>();
/** How each peer was opened, and who has what was saved under a name. */
const opened = new Map<string, Command>();
const saved = new Map<string, boolean>();

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

/** A copy can be opened by whoever made it: a peer that is to open it becomes that one's. */
async function handOver(name: string, toThem: boolean, { now = 0 }: Command): Promise<void> {
  const open = opened.get(name);
  if (open === undefined || theirs.get(name) === toThem) return;
  const [left, begun]: Command[] = [
    { id: "left", verb: "crash", peer: name, now },
    { ...open, id: "begun", now },
  ] as Command[];
  for (const [command, them] of [
    [left, !toThem],
    [begun, toThem],
  ] as const) {
    if (them) await ask(JSON.stringify(command), command?.["id"] ?? null);
    else run(command as Command);
  }
  theirs.set(name, toThem);
}

async function answer(line: string, command: Command): Promise<string[]> {
  const { id = null, verb, peer } = command;
  if (verb === "hello") {
    const { reply } = await ask(line, id);
    const profiles = PROFILES.filter((name) => (reply["profiles"] as string[]).includes(name));
    return [
      JSON.stringify({ id, ok: true, version: 1, name: "syncline js with another server", profiles, roles: ["server", "client", "peer"] }),
    ];
  }
  const name = String(peer);
  if (verb === "open") {
    theirs.set(name, command["role"] === "server" || (name.charCodeAt(name.length - 1) & 1) === theirTurn);
    opened.set(name, command);
  } else if (verb === "save") saved.set(String(command["name"]), theirs.get(name) ?? false);
  else if (verb === "load") await handOver(name, saved.get(String(command["name"])) ?? false, command);
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
