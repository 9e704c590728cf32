// The size of a bundle for the browser: the replica, WebSocket and IndexedDB, minified and compressed.
import { build } from "esbuild";
import { gzipSync } from "node:zlib";

const contents = 'export { Replica, webSocket, IndexedDbStore } from "./src/index.ts";';
const { outputFiles, metafile } = await build({
  stdin: { contents, resolveDir: new URL("..", import.meta.url).pathname, loader: "ts" },
  bundle: true,
  minify: true,
  write: false,
  format: "esm",
  target: "es2022",
  metafile: true,
});
const bytes = outputFiles[0].contents;
console.log(`${bytes.length} bytes minified, ${gzipSync(bytes, { level: 9 }).length} bytes gzipped`);
const [output] = Object.values(metafile.outputs);
for (const [path, { bytesInOutput }] of Object.entries(output.inputs).sort(([, a], [, b]) => b.bytesInOutput - a.bytesInOutput)) {
  console.log(`${String(bytesInOutput).padStart(8)}  ${path}`);
}
