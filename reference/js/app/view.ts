/** The View: what the page shows. It knows no replica; it is handed what to show, and tells what was done by its elements. */

import type { Connection } from "../src/model/index.js";
import type { StatusReport } from "../src/index.js";
import type { Presence, Task } from "./board.js";
import type { Merge } from "./merges.js";
import { Rows } from "./rows.js";

export const element = <E extends HTMLElement = HTMLElement>(id: string): E => {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as E;
};

/** An element with text and attributes. */
export function make<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: { readonly [name: string]: string } = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const PRIORITIES = ["", "Low", "Medium", "High"];
const NARROW = matchMedia("(max-width: 720px)");
const WORDS: { readonly [state in Connection["state"]]: string } = {
  offline: "Offline",
  connecting: "Connecting",
  "catching-up": "Catching up",
  sending: "Sending",
  "in-sync": "In sync",
};

export class View {
  readonly selected = new Set<string>();
  #others: readonly Presence[] = [];
  #silence: ReturnType<typeof setTimeout> | undefined;
  readonly rows = new Rows<Task>(
    element("rows"),
    { key: ({ id }) => id, make: makeRow, update: (row, task) => this.#row(row, task) },
    "Tasks",
  );

  /** Says why nothing can be done here. */
  stopped(why: string): void {
    this.#status("offline", why);
    for (const input of document.querySelectorAll<HTMLInputElement>("input, button")) input.disabled = true;
  }

  status({ state, behind, pending, rejected, links }: Connection, stopped: boolean): void {
    element<HTMLInputElement>("offline").checked = stopped;
    const parts = [state === "catching-up" && behind === 0 ? "Comparing" : WORDS[state]];
    if (links > 0) parts.push(`${links} direct`);
    if (behind > 0) parts.push(`behind by ${behind}`);
    if (pending > 0) parts.push(`${pending} to send`);
    if (rejected > 0) parts.push(`${rejected} rejected`);
    this.#status(state, parts.join(", "));
  }

  #status(state: string, text: string): void {
    const status = element("status");
    status.dataset["state"] = state;
    const words = status.querySelector(".text");
    if (words && words.textContent !== text) words.textContent = text;
  }

  others(others: readonly Presence[]): void {
    this.#others = others;
    const names = others.map(({ name }) => name).sort();
    const whom = element("others");
    anew(whom, names.join("\n"), () =>
      names.length > 0 ? ["Here: ", ...names.map((name) => make("span", { class: "who" }, name))] : ["Nobody else is here"],
    );
    this.rows.ask();
  }

  /** Whom the others see here. */
  me(name: string): void {
    const input = element("me").querySelector("input");
    if (input && input !== document.activeElement) input.value = name;
  }

  lists(lists: readonly (readonly [id: string, title: string])[], current: string): void {
    const within = element("lists");
    const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset["list"] : undefined;
    const changed = anew(within, JSON.stringify([lists, current]), () =>
      lists.map(([id, title]) =>
        make("button", { "data-list": id, ...(id === current ? { "aria-current": "true" } : {}) }, title || "Untitled"),
      ),
    );
    if (!changed || focused === undefined) return;
    for (const button of within.querySelectorAll("button")) if (button.dataset["list"] === focused) button.focus();
  }

  tasks(tasks: readonly Task[], deleted: number): void {
    element("empty").hidden = tasks.length > 0;
    const [some, all] = [this.selected.size, tasks.length];
    text(element("count"), some > 0 ? `${some} selected` : `${all.toLocaleString("en")} ${all === 1 ? "task" : "tasks"}`);
    element("bar").classList.toggle("selecting", some > 0);
    const restore = element("restore");
    restore.hidden = deleted === 0;
    restore.textContent = `Restore ${deleted}`;
    this.rows.show(tasks);
  }

  #row(row: HTMLElement, task: Task): void {
    const { title, done, votes, due, assignee, priority, tags, notes } = task.attributes;
    const [select, check, open, hint, vote] = row.children as unknown as RowParts;
    row.classList.toggle("is-done", done);
    row.classList.toggle("selected", this.selected.has(task.id));
    select.checked = this.selected.has(task.id);
    label(select, `Select ${title}`);
    check.checked = done;
    label(check, `${title} is done`);
    text(open, title || "Untitled");
    text(vote, `▲ ${votes}`);
    label(vote, `Vote for ${title}, ${votes} so far`);
    const here = this.#others.filter((other) => other.task === task.id).map(({ name }) => name);
    const parts = [
      ...(notes.length > 1 ? [["split", `${notes.length} notes to pick from`]] : []),
      ...(priority > 0 ? [[`priority p${priority}`, PRIORITIES[priority] ?? ""]] : []),
      ...(due ? [["due", due]] : []),
      ...(assignee ? [["assignee", assignee]] : []),
      ...tags.map((tag) => ["tag", `#${tag}`]),
      ...here.map((name) => ["who", name]),
    ] as [kind: string, said: string][];
    anew(hint, JSON.stringify(parts), () => parts.map(([kind, said]) => make("span", { class: kind }, said)));
  }

  /** Shows a task, and leaves alone the field that is being written. */
  detail(task: Task | undefined, merges: readonly Merge[]): void {
    const panel = element("detail");
    panel.hidden = !task;
    // On a phone the panel covers the rest.
    for (const covered of document.querySelectorAll<HTMLElement>("header, nav, main")) covered.inert = task !== undefined && NARROW.matches;
    if (!task) return;
    const { title, due, assignee, priority, tags, notes } = task.attributes;
    const values = { title, due, assignee, priority: String(priority), tags: tags.join(", ") };
    for (const [name, value] of Object.entries(values)) {
      const field = panel.querySelector<HTMLInputElement>(`[name=${name}]`);
      if (field && field !== document.activeElement) field.value = value;
    }
    const here = this.#others.filter((other) => other.task === task.id).map(({ name }) => name);
    const watching = panel.querySelector(".watching");
    if (watching) text(watching, here.length > 0 ? `${here.join(", ")} here too` : "");
    this.#notes(task.id, notes);
    this.#merged(task.id, merges);
  }

  /** What others' writes made of what was written here. */
  #merged(id: string, merges: readonly Merge[]): void {
    const section = element("merged");
    section.hidden = merges.length === 0;
    anew(section, JSON.stringify([id, merges]), () => [
      make("h3", {}, "Merged with what others wrote"),
      make("ul", {}, ...merges.map(mergeLine)),
      make("button", { "data-act": "dismiss" }, "Dismiss"),
    ]);
  }

  #notes(id: string, notes: readonly string[]): void {
    const section = element("notes");
    const area = section.querySelector("textarea");
    if (section.dataset["of"] === id && area && area === document.activeElement && notes.length < 2) return;
    section.dataset["of"] = id;
    anew(section, JSON.stringify([id, notes]), () => (notes.length < 2 ? [notesField(notes[0] ?? "")] : versions(notes)));
  }

  inspect(report: StatusReport, lines: readonly string[], rejections: readonly (readonly [seq: number, code: string])[]): void {
    const facts = {
      Pending: report.pending,
      Cursor: report.position ?? "none",
      Head: report.head ?? "unknown",
      Fingerprint: report.fingerprint,
      Replica: report.replica,
      Links: report.links,
    };
    const pairs = Object.entries(facts).map(([name, value]) => [name, String(value)] as const);
    anew(element("facts"), JSON.stringify(pairs), () =>
      pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))),
    );
    anew(element("rejections"), JSON.stringify(rejections), () =>
      rejections.map(([seq, code]) =>
        make("li", {}, `Change ${seq} was rejected: ${code} `, make("button", { "data-seq": String(seq) }, "Dismiss")),
      ),
    );
    text(
      element("messages"),
      lines.length > 0 ? lines.join("\n") : "None in this tab. Another tab of this browser may have the connection.",
    );
  }

  /** Says what was done or refused, for a while and to a screen reader. */
  say(what: string, ms = 4_000): void {
    element("live").textContent = what;
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => element("live").replaceChildren(), ms);
  }
}

type RowParts = [select: HTMLInputElement, check: HTMLInputElement, open: HTMLElement, hint: HTMLElement, vote: HTMLElement];

function makeRow(): HTMLElement {
  return make(
    "li",
    {},
    make("input", { type: "checkbox", class: "select" }),
    make("input", { type: "checkbox", class: "check" }),
    make("button", { class: "open" }),
    make("span", { class: "hint" }),
    make("button", { class: "vote" }),
  );
}

function notesField(note: string): HTMLElement {
  const area = make("textarea", { name: "notes", maxlength: "10000" });
  area.value = note;
  return make("label", {}, "Notes ", area);
}

/** The values side by side, to pick one. */
function versions(notes: readonly string[]): HTMLElement[] {
  const articles = notes.map((note, i) =>
    make("article", {}, make("p", {}, note), make("button", { "data-pick": String(i) }, "Keep this")),
  );
  return [
    make("h3", {}, `${notes.length} notes were written at the same time`),
    make("div", { class: "versions" }, ...articles),
    make("button", { "data-pick": "all" }, "Keep all, one below the other"),
  ];
}

const mergeLine = ({ field, mine, shown, how }: Merge): HTMLElement =>
  make("li", {}, make("b", {}, field), ` was ${mine} here, is `, make("b", {}, shown), make("small", {}, how));

/** Replaces what an element holds where that says something else than before. */
function anew(into: HTMLElement, said: string, children: () => (Node | string)[]): boolean {
  if (into.dataset["said"] === said) return false;
  into.dataset["said"] = said;
  into.replaceChildren(...children());
  return true;
}

function text(into: Element, said: string): void {
  if (into.textContent !== said) into.textContent = said;
}

function label(of: Element, said: string): void {
  if (of.getAttribute("aria-label") !== said) of.setAttribute("aria-label", said);
}
