/** What the package weighs in a browser, held to what the README states. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** The two numbers that a text says in this form. */
function numbers(text: string, form: RegExp): [number, number] {
  const said = form.exec(text);
  assert(said, `nothing of the form ${form.source}`);
  return [Number(said[1]), Number((said[2] ?? "").replace(",", ""))];
}

test("the bundle for a browser is no larger than the README states, and not so much smaller that it states too much", async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [join(root, "scripts/size.mjs")]);
  const [bytes, lines] = numbers(stdout, /^(\d+) bytes gzipped, \d+ minified, (\d+) lines/);
  const [kilobytes, stated] = numbers(await readFile(join(root, "README.md"), "utf8"), /(\d+\.\d) kB gzipped, made of ([\d,]+) lines/);
  assert(bytes <= 1000 * kilobytes && lines <= stated, `${bytes} bytes, ${lines} lines`);
  assert(bytes > 1000 * kilobytes - 1000 && lines > stated - 200, `the README states more than ${bytes} bytes and ${lines} lines`);
});
