// Builds the task board into dist/app, from where `syncline-server --app` serves it.
import { build } from "esbuild";
import { copyFile, mkdir, rm } from "node:fs/promises";

const at = (path) => new URL(`../${path}`, import.meta.url).pathname;
await rm(at("dist/app"), { recursive: true, force: true });
await mkdir(at("dist/app"), { recursive: true });
await build({
  entryPoints: [at("app/main.ts")],
  outfile: at("dist/app/main.js"),
  bundle: true,
  minify: true,
  sourcemap: true,
  format: "esm",
  target: "es2022",
});
for (const name of ["index.html", "style.css"]) await copyFile(at(`app/${name}`), at(`dist/app/${name}`));
