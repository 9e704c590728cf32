// The server with the built board, and browsers on it.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const at = (path) => new URL(`../../${path}`, import.meta.url).pathname;
const program = process.env.SYNCLINE_SERVER ?? at("../../target/debug/syncline-server");
if (!existsSync(program)) throw new Error(`the browser tests need the server, named by SYNCLINE_SERVER: there is no ${program}`);

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
const onPath = (process.env.PATH ?? "").split(":").flatMap((folder) => NAMES.map((name) => join(folder, name)));
const executablePath = process.env.CHROMIUM ?? onPath.find((path) => existsSync(path));
if (!executablePath || !existsSync(executablePath))
  throw new Error(`the browser tests need Chromium, named by CHROMIUM or on PATH as ${NAMES.join(", ")}: they did not run`);

const options = {
  executablePath,
  headless: true,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // Names of the local network would have to be resolved: the device's own address will do.
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--allow-loopback-in-peer-connection",
  ],
};

export const folder = () => mkdtemp(join(tmpdir(), "syncline-"));

export class Server {
  /** Starts it on a port of its own, or on the one it had. */
  static async start(data, port = 0) {
    const flags = ["--listen", `127.0.0.1:${port}`, "--data", data, "--app", at("dist/app")];
    const child = spawn(program, flags, { stdio: ["ignore", "pipe", "ignore"] });
    for await (const line of createInterface({ input: child.stdout })) {
      const url = /open (http:\S+)/.exec(line)?.[1];
      if (url) return Object.assign(new Server(), { child, data, url, port: new URL(url).port });
    }
    throw new Error("the server ended before it listened");
  }

  async kill() {
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.kill("SIGKILL");
    await ended;
  }
}

/** Runs a test with a server, and takes all away that it started. */
export async function withServer(act) {
  const data = await folder();
  const started = [await Server.start(data)];
  const browser = await chromium.launch(options);
  const device = async (viewport = { width: 1280, height: 800 }, colorScheme = "light") => {
    const page = await (await browser.newContext({ viewport, colorScheme })).newPage();
    await page.goto(started.at(-1).url);
    await inSync(page);
    return page;
  };
  const restart = async () => void started.push(await Server.start(data, started.at(-1).port));
  try {
    await act({ server: () => started.at(-1), restart, device });
  } finally {
    await browser.close();
    if (started.at(-1).child.exitCode === null && started.at(-1).child.signalCode === null) await started.at(-1).kill();
    await rm(data, { recursive: true, force: true });
  }
}

/** A browser with a profile that outlives it, whose processes can be killed. */
export class KillableBrowser {
  static async start(path) {
    const flags = [...options.args, "--headless", "--remote-debugging-port=0", `--user-data-dir=${path}`];
    const child = spawn(executablePath, flags, { stdio: ["ignore", "ignore", "pipe"], detached: true });
    for await (const line of createInterface({ input: child.stderr })) {
      const url = /DevTools listening on (ws:\S+)/.exec(line)?.[1];
      if (!url) continue;
      child.stderr.destroy();
      return Object.assign(new KillableBrowser(), { child, browser: await chromium.connectOverCDP(url) });
    }
    throw new Error("Chromium ended before it listened");
  }

  async open(url) {
    const page = await this.browser.contexts()[0].newPage();
    await page.goto(url);
    return page;
  }

  /** Kills it and all its processes. */
  async kill() {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    process.kill(-this.child.pid, "SIGKILL");
    await ended;
  }
}

export const inSync = (page) => page.waitForSelector('#status[data-state="in-sync"]');

export async function add(page, title) {
  await page.fill("#new-task input", title);
  await page.press("#new-task input", "Enter");
  await row(page, title).waitFor();
}

export const row = (page, title) => page.locator("#rows li", { has: page.locator(".open", { hasText: new RegExp(`^${title}$`) }) });
export const titles = (page) => page.locator("#rows .open").allTextContents();
export const offline = (page, is) => page.setChecked("#offline", is);

/** The fingerprint that the inspector shows. */
export async function fingerprint(page) {
  if (await page.locator("#inspector").isHidden()) await page.click("#inspect");
  return page.locator("#facts dd").nth(3).textContent();
}
