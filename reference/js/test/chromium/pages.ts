/** A site of one empty page that has the package, and a browser on it. */

import { build } from "esbuild";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium, type Browser, type BrowserContext } from "playwright-core";

const PATHS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** The browser that `CHROMIUM` names, or one where they mostly are. */
export function executable(): string {
  const path = process.env["CHROMIUM"] ?? PATHS.find((path) => existsSync(path));
  if (path === undefined) throw new Error(`these tests need Chromium: CHROMIUM names none, and there is none of ${PATHS.join(", ")}`);
  return path;
}

export class Site {
  private constructor(
    readonly origin: string,
    readonly browser: Browser,
    private readonly server: Server,
  ) {}

  static async open(): Promise<Site> {
    const root = fileURLToPath(new URL("../../../", import.meta.url));
    const { outputFiles } = await build({
      stdin: { contents: 'export * from "./src/index.ts";', resolveDir: root, loader: "ts" },
      bundle: true,
      write: false,
      format: "iife",
      globalName: "syncline",
      target: "es2022",
    });
    const script = outputFiles[0]?.text ?? "";
    const server = createServer((request, response) => {
      const isScript = request.url === "/syncline.js";
      response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
      response.end(isScript ? script : '<!doctype html><script src="/syncline.js"></script>');
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"];
    // Names of the local network would have to be resolved: the device's own address will do.
    args.push("--disable-features=WebRtcHideLocalIpsWithMdns", "--allow-loopback-in-peer-connection");
    const browser = await chromium.launch({ executablePath: executable(), args });
    return new Site(origin, browser, server);
  }

  /** A profile of its own. Without these permissions a browser names no address of a device that has no route to the world. */
  profile(): Promise<BrowserContext> {
    return this.browser.newContext({ permissions: ["microphone", "camera"] });
  }

  async close(): Promise<void> {
    await this.browser.close();
    this.server.close();
  }
}
