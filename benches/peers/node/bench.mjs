// The TypeScript client beside yjs and automerge-repo, each with its server over WebSocket, on the same data in one run.
//
//   node bench.mjs COUNT...     a row of JSON a line: workload, measure, unit, and a figure of each system that ended in time
//
// SYNCLINE_SERVER names the server's program. The packages must be there, and the TypeScript package be built: `cargo bench-peers node` sees to it.

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const here = new URL(".", import.meta.url).pathname;
const SYSTEMS = ["syncline", "yjs", "automerge"];
/** The middle one of so many runs counts. */
const RUNS = 3;
/** A client that has not ended by then is left out. */
const PATIENCE_MS = 60_000;

/** Runs a client to its end, and gives what it printed; null where it took too long. */
async function client(...args) {
  const child = spawn(process.execPath, [join(here, "client.mjs"), ...args.map(String)], { stdio: ["ignore", "pipe", "inherit"] });
  const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
  let said = "";
  child.stdout.on("data", (text) => (said += text));
  const [code, signal] = await new Promise((resolve) => child.once("close", (...end) => resolve(end)));
  clearTimeout(timer);
  if (signal === "SIGKILL") return null;
  if (code !== 0) throw new Error(`${args.join(" ")} ended with ${code}`);
  return { ...JSON.parse(said) };
}

/** The server of a system: its address, its process, and what ends it. */
async function serve(system) {
  const data = await mkdtemp(join(tmpdir(), "syncline-"));
  const [program, args] = {
    syncline: [process.env.SYNCLINE_SERVER, ["--listen", "127.0.0.1:0", "--data", data, "--open"]],
    yjs: [process.execPath, [join(here, "yjs-server.cjs")]],
    automerge: [process.execPath, [join(here, "automerge-server.mjs")]],
  }[system];
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "ignore"] });
  const end = async () => {
    child.kill();
    await rm(data, { recursive: true, force: true, maxRetries: 5 });
  };
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /ws:[^\s"]+/.exec(line)?.[0];
    if (url) return { url, pid: child.pid, end };
  }
  throw new Error(`the server of ${system} ended before it listened`);
}

const middle = (numbers) => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

/** What a system takes to bring so many records into a fresh client, and for an edit of one of them; null where it took too long. */
async function measure(system, count) {
  const server = await serve(system);
  try {
    if (!(await client(system, "fill", server.url, count))) return null;
    const reads = [];
    for (let run = 0; run < RUNS; run++) reads.push(await client(system, "read", server.url, count));
    const live = await client(system, "live", server.url, count, server.pid);
    if (reads.includes(null) || !live) return null;
    const of = (name) => middle(reads.map((read) => read[name]));
    return {
      ms: of("ms"),
      cpu: of("cpu"),
      bytes: of("bytes"),
      peak: of("peak"),
      length: of("length"),
      live,
    };
  } finally {
    await server.end();
  }
}

for (const count of process.argv.slice(2).map(Number)) {
  const figures = {};
  for (const system of SYSTEMS) {
    const measured = await measure(system, count);
    if (measured) figures[system] = measured;
    else process.stderr.write(`${system}: ${count} records take more than ${PATIENCE_MS / 1000} s, left out\n`);
  }
  const lengths = new Set(Object.values(figures).map(({ length }) => length));
  if (lengths.size > 1) throw new Error(`they read ${[...lengths].join(" and ")} characters`);
  const row = (workload, measure, unit, of) =>
    console.log(
      JSON.stringify({
        workload,
        measure: `TypeScript, ${measure}, ${count} records`,
        unit,
        figures: Object.entries(figures).map(([system, measured]) => [system, of(measured)]),
      }),
    );
  row("W1", "bytes to another client of an edit", "B", ({ live }) => live.bytes);
  row("W1", "until another client shows an edit", "ms", ({ live }) => live.ms);
  row("W1", "server CPU of an edit, both clients' marks and acks in it", "ms", ({ live }) => live.cpu);
  row("W3", "until all is read", "ms", ({ ms }) => ms);
  row("W3", "CPU of the client for that, all its threads", "ms", ({ cpu }) => cpu);
  row("W3", "bytes of a record", "B", ({ bytes }) => bytes / count);
  row("W3", "peak of memory", "MB", ({ peak }) => peak / 1e6);
}
