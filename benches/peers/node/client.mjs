// One client in a process of its own: `client.mjs SYSTEM (fill | read | live) URL COUNT [PID]`, the last being its server. Prints JSON.

import { readFileSync } from "node:fs";

import { WebSocket } from "ws";
import { groups, records } from "./data.mjs";

const [system, act, url, text, server] = process.argv.slice(2);
const count = Number(text);
const { join } = await import(`./${system}.mjs`);
/** Edits of a live client, each sent when the one before is seen. */
const EDITS = 500;

/** A client, and the bytes that come to it, as the application of a socket sees them. */
async function open() {
  const counted = { bytes: 0 };
  const heard = (data) => (counted.bytes += data.byteLength);
  class Socket extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { perMessageDeflate: false });
      this.on("message", heard);
    }
  }
  return [await join(url, { Socket, heard }), counted];
}

/** The CPU of a process so far, in milliseconds. */
function cpuOf(pid) {
  // The kernel counts hundredths of a second.
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(")").at(-1).trim().split(" ");
  return 10 * (Number(fields[11]) + Number(fields[12]));
}

/** Waits until that is so. */
async function until(client, isSo) {
  while (!isSo()) await new Promise((resolve) => client.once(resolve));
}

const acts = {
  /** Brings all records to the server, and sees them come from it. */
  async fill() {
    const [[writer], [reader]] = [await open(), await open()];
    for (const group of groups(count)) await writer.create(group);
    await until(reader, () => reader.size === count);
  },

  /** Brings all records into a fresh client, and reads each field once. */
  async read() {
    const [began, before] = [performance.now(), process.cpuUsage()];
    const [client, counted] = await open();
    await until(client, () => client.size === count);
    let length = 0;
    for (const values of client.records()) for (const value of values) length += String(value).length;
    const [ms, { user, system }] = [performance.now() - began, process.cpuUsage(before)];
    return { ms, cpu: (user + system) / 1000, bytes: counted.bytes, peak: process.resourceUsage().maxRSS * 1024, length };
  },

  /** One edits, another sees it. */
  async live() {
    const [[writer], [reader, counted]] = [await open(), await open()];
    for (const client of [writer, reader]) await until(client, () => client.size === count);
    const ids = [...records(count)].map(([id]) => id);
    const times = [];
    const [before, spent] = [counted.bytes, cpuOf(server)];
    for (let edit = 0; edit < EDITS; edit++) {
      // A stride that meets every record before it meets one again.
      const [id, value] = [ids[(edit * 7919) % count], 10 + edit];
      const began = performance.now();
      writer.edit(id, value);
      await until(reader, () => reader.value(id) === value);
      times.push(performance.now() - began);
    }
    const cpu = (cpuOf(server) - spent) / EDITS;
    return { ms: times.sort((a, b) => a - b)[EDITS / 2], bytes: (counted.bytes - before) / EDITS, cpu };
  },
};

console.log(JSON.stringify((await acts[act]()) ?? null));
process.exit(0);
