"use strict";
// Asks once a second while the page is looked at. All that comes from clients is set as text, never as markup.
const PAUSE_MS = 1000;
const at = (id) => document.getElementById(id);
let chosen = null;

function cell(content) {
  const td = document.createElement("td");
  td.append(content);
  return td;
}

function row(...contents) {
  const tr = document.createElement("tr");
  tr.append(...contents.map((content) => cell(content instanceof Node ? content : String(content))));
  return tr;
}

function choose(name) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = name;
  button.addEventListener("click", () => { chosen = name; show().catch(fail); });
  return button;
}

function counts(status) {
  const memory = status.memory_bytes === null ? "unknown" : `${(status.memory_bytes / 1048576).toFixed(1)} MiB`;
  const shown = [["Connections", status.connections], ["Accepted", status.accepted], ["Rejected", status.rejected],
    ["Refusals", status.refusals], ["Catch-ups", status.catch_ups], ["Mismatches", status.fingerprint_mismatches], ["Memory", memory]];
  return shown.map(([name, value]) => {
    const [box, dt, dd] = ["div", "dt", "dd"].map((kind) => document.createElement(kind));
    dt.textContent = name;
    dd.textContent = String(value);
    box.append(dt, dd);
    return box;
  });
}

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store" });
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
  return answer.json();
}

// A table under the pointer or the keyboard is not built anew where nothing changed.
const last = new Map();
function fill(id, rows, value) {
  const text = JSON.stringify(value);
  if (last.get(id) === text) return;
  last.set(id, text);
  at(id).replaceChildren(...rows(value));
}

async function show() {
  const status = await ask("status");
  fill("counts", counts, status);
  fill("spaces", (spaces) => spaces.map((space) => row(choose(space.space), space.position, space.readers, space.lag)), status.spaces);
  at("none").hidden = status.spaces.length > 0;
  if (chosen !== null) {
    const space = await ask(`space/${encodeURIComponent(chosen)}`);
    at("space").hidden = false;
    at("space-title").textContent = `Space ${space.space}, position ${space.position}`;
    fill("log", (log) => log.toReversed().map((entry) =>
      row(entry.position, entry.author.slice(0, 8), entry.seq, entry.verdict, entry.records.join(", "))), space.log);
    fill("replicas", (replicas) => replicas.map((replica) => row(replica.replica, replica.subject, replica.seq)), space.replicas);
  }
  at("state").textContent = status.draining ? "stopping" : "running";
  at("state").className = "";
}

function fail(error) {
  at("state").textContent = `no answer (${error.message})`;
  at("state").className = "bad";
}

async function run() {
  if (!document.hidden) await show().catch(fail);
  setTimeout(run, PAUSE_MS);
}
run();
