// The size of a bundle for the browser: the replica with every profile, WebSocket and IndexedDB, minified and compressed; and how many
// lines it is made of, comments and all, beside its two packages.
import { build } from "esbuild";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const root = new URL("..", import.meta.url).pathname;
const contents = 'export { Replica, webSocket, IndexedDbStore } from "./src/index.ts";';
const { outputFiles, metafile } = await build({
  stdin: { contents, resolveDir: root, loader: "ts" },
  bundle: true,
  minify: true,
  write: false,
  format: "esm",
  target: "es2022",
  metafile: true,
  absWorkingDir: root,
});
const bytes = outputFiles[0].contents;
const [output] = Object.values(metafile.outputs);
const ours = Object.keys(output.inputs).filter((path) => path.startsWith("src/"));
const lines = ours.map((path) => readFileSync(root + path, "utf8").split("\n").length - 1).reduce((sum, lines) => sum + lines, 0);
console.log(`${gzipSync(bytes, { level: 9 }).length} bytes gzipped, ${bytes.length} minified, ${lines} lines`);
for (const [path, { bytesInOutput }] of Object.entries(output.inputs).sort(([, a], [, b]) => b.bytesInOutput - a.bytesInOutput)) {
  console.log(`${String(bytesInOutput).padStart(8)}  ${path}`);
}
