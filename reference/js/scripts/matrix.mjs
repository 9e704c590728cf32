// The interop matrix: each client with the server of the reference, and each pair of clients as devices and peers of one space.
//
//   npm run matrix     with Rust there; it also leaves a report of each run, and a page of all, in `dist/matrix`
//
// A cell counts the stories that play both sides (`role both`): the server is that of the reference, and no frame of them is the harness's.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const folder = join(root, "reference/js/dist/matrix");
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });

function conform(...args) {
  const cargo = ["run", "--quiet", "--package", "syncline-conformance", "--bin", "syncline-conform", "--", ...args];
  return spawnSync("cargo", cargo, { cwd: root, encoding: "utf8", maxBuffer: 1 << 28 });
}

/** The report of a run, and the file that holds it. */
function judge(config) {
  const file = join(folder, `${config.replace(/.*\//, "").replace(".toml", "")}.json`);
  const { stdout, stderr } = conform("run", "--impl", config, "--json", file);
  const { checks, summary } = JSON.parse(readFileSync(file, "utf8"));
  if (summary.passed === 0) throw new Error(`${config}: nothing was judged\n${stdout}${stderr}`);
  console.error(`${config}: ${summary.passed} passed, ${summary.failed} failed, ${summary.skipped} skipped`);
  if (summary.failed > 0) process.exitCode = 1;
  return { file, checks };
}

/** What a check plays: both sides, several clients, links between them. */
function story(id) {
  const path = join(root, "conformance/scenarios", id.replace(/@L3$/, ".scn"));
  const text = id.endsWith("@L3") && !id.startsWith("known/") ? readFileSync(path, "utf8") : "";
  const count = (form) => [...text.matchAll(form)].length;
  return { both: /^role both$/m.test(text), clients: count(/^client /gm) + count(/^clone /gm), linked: count(/^link /gm) > 0 };
}

/** How many of the stories that are `wanted` pass, in all of these reports. */
function cell(reports, wanted) {
  let [passed, all] = [0, 0];
  for (const { checks } of reports) {
    for (const { id, verdict } of checks) {
      if (!wanted(story(id))) continue;
      all++;
      if (verdict === "pass" || verdict === "warn") passed++;
    }
  }
  if (passed < all || all === 0) process.exitCode = 1;
  return `${passed} of ${all}`;
}

const rust = judge("conformance/reference.toml");
const js = judge("reference/js/interop.toml");
const mixed = ["peers", "peers-turned"].map((name) => judge(`reference/js/${name}.toml`));

const server = (reports) => cell(reports, ({ both }) => both);
const pair = (reports) =>
  `${cell(reports, ({ both, clients }) => both && clients > 1)}, linked ${cell(reports, ({ both, linked }) => both && linked)}`;
console.log("| stories that pass | with the Rust server | with Rust clients | with TypeScript clients |");
console.log("|---|---|---|---|");
console.log(`| Rust client | ${server([rust])} | ${pair([rust])} | ${pair(mixed)} |`);
console.log(`| TypeScript client | ${server([js])} | ${pair(mixed)} | ${pair([js])} |`);
const reports = [rust, js, ...mixed].map(({ file }) => file);
console.log(`\n${conform("matrix", ...reports, "--html", join(folder, "matrix.html")).stdout}`);
