/** The reference server, for tests of interoperation: a process on a folder of its own and a free port. */

import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

export class Server {
  private constructor(
    readonly url: string,
    readonly folder: string,
    private readonly child: ChildProcess,
  ) {}

  /** Starts the program that `SYNCLINE_SERVER` names; `origin` is that of pages that may connect. */
  static async start(folder?: string, port = 0, origin?: string): Promise<Server> {
    const program = process.env["SYNCLINE_SERVER"];
    if (!program) throw new Error("SYNCLINE_SERVER must name the server's program: these tests are about it");
    const data = folder ?? (await mkdtemp(join(tmpdir(), "syncline-")));
    const config = join(data, "config.toml");
    await writeFile(config, `allow_origins = ${JSON.stringify(origin === undefined ? [] : [origin])}\n`);
    const child = spawn(program, ["--listen", `127.0.0.1:${port}`, "--data", data, "--config", config, "--open"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
      const url = /listening on (ws:\S+)/.exec(line)?.[1];
      if (url) return new Server(url, data, child);
    }
    throw new Error("the server ended before it listened");
  }

  /** Kills it, with no time to tidy up. */
  async kill(): Promise<void> {
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.kill("SIGKILL");
    await ended;
  }

  /** Kills it and takes its folder away. */
  async remove(): Promise<void> {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}
