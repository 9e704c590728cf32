/** The Controller: what a person does becomes writes to the Model, and what the Model tells becomes what the View shows. */

import type { Board, Task } from "./board.js";
import { rowOf } from "./rows.js";
import { element, type View } from "./view.js";

/** The list that every board has, under one id, so that two devices that start alone make the same. */
const FIRST_LIST = "inbox";

/** Characters of a title. */
const TITLE_MAX = 1_000;
/** Where the browser keeps the name that others see. */
const NAME = "name";
/** Where it keeps whether this device links to others directly. */
const DIRECT = "direct";

export class Controller {
  #list = FIRST_LIST;
  #open = "";
  #asked = false;
  #led = false;

  constructor(
    readonly board: Board,
    readonly view: View,
  ) {}

  start(): void {
    const { board, view } = this;
    for (const name of ["add", "change", "remove"] as const) {
      board.tasks.on(name, () => this.#ask());
      board.lists.on(name, () => this.#ask());
    }
    board.tasks.on("conflict", ({ field, model }) => view.say(`Pick one: ${field ?? "a change"} of ${model.get("title")}`));
    board.models.on("status", () => this.#status());
    board.models.on("presence", () => this.#ask());
    board.tap.heard = () => this.#inspect();
    this.#forms();
    this.#rows();
    this.#detail();
    this.#keys();
    // Where another tab leads it has started, unless somebody went offline there.
    if (board.replica.leads) board.replica.start();
    this.#present();
    this.#status();
    this.#show();
  }

  /** Direct links are on in every tab or in none. */
  #direct(): void {
    const on = localStorage.getItem(DIRECT) === "on";
    element<HTMLInputElement>("direct").checked = on;
    this.board.direct = on;
  }

  #status(): void {
    const { models, replica } = this.board;
    this.view.status(models.status, replica.status.state === "idle");
    this.#inspect();
    // The tab that led has told who is here: it is gone.
    if (replica.leads && !this.#led) this.#present();
    this.#led = replica.leads;
  }

  /** Shows once before the next frame, however much has changed. */
  #ask(): void {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      this.#show();
    });
  }

  #show(): void {
    const { board, view } = this;
    const lists = [...board.lists].filter(({ id }) => id !== FIRST_LIST);
    lists.sort((a, b) => a.get("order") - b.get("order") || (a.id < b.id ? -1 : 1));
    const named = lists.map((list): [string, string] => [list.id, list.get("title")]);
    view.lists([[FIRST_LIST, "Inbox"], ...named], this.#list);
    const tasks = board.tasksOf(this.#list);
    for (const id of view.selected) if (!board.tasks.get(id)) view.selected.delete(id);
    const deleted = [...board.deleted.keys()].filter((id) => !board.tasks.get(id)).length;
    view.tasks(tasks, deleted);
    view.others(board.others);
    view.detail(board.tasks.get(this.#open), board.merges.of(this.#open));
  }

  /** Tells the others who this is, and what is open here. */
  #present(): void {
    const name = localStorage.getItem(NAME) || `guest ${this.board.replica.status.replica.slice(0, 4)}`;
    this.board.models.present([name, this.#open]);
    this.view.me(name);
  }

  #inspect(): void {
    if (element("inspector").hidden) return;
    const { replica, tap } = this.board;
    const rejections = replica.rejections.map((each): [number, string] => [each.seq, String(each.code)]);
    this.view.inspect(replica.status, tap.lines, rejections);
  }

  /** Does it, and tells what was refused. */
  #do(act: () => Promise<unknown>, said = ""): void {
    act().then(
      () => (said && this.view.say(said), this.#ask()),
      (error: unknown) => {
        this.view.say(error instanceof Error ? error.message : String(error), 10_000);
        this.#ask();
      },
    );
  }

  #forms(): void {
    const { board } = this;
    const submit = (id: string, act: (title: string) => Promise<unknown>): void => {
      const form = element<HTMLFormElement>(id);
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        const input = form.elements.namedItem("title") as HTMLInputElement;
        const title = input.value.trim();
        input.value = "";
        if (title) this.#do(() => act(title), `Saved ${title}`);
      });
    };
    submit("new-task", (title) => {
      element("rows").scrollTop = 0;
      return board.add(this.#list, title);
    });
    element("new-task").addEventListener("paste", (event) => {
      const titles = (event.clipboardData?.getData("text") ?? "").split("\n").map((line) => line.trim().slice(0, TITLE_MAX));
      const said = titles.filter(Boolean);
      if (said.length < 2) return;
      event.preventDefault();
      this.#do(() => board.addMany(this.#list, said), `Saved ${said.length} tasks`);
    });
    submit("new-list", async (title) => {
      const list = await board.lists.create({ title, order: board.lists.size });
      this.#list = list.id;
    });
    element("lists").addEventListener("click", ({ target }) => {
      const id = target instanceof HTMLElement ? target.dataset["list"] : undefined;
      if (id === undefined) return;
      this.#list = id;
      this.view.selected.clear();
      this.#show();
    });
    element<HTMLInputElement>("offline").addEventListener("change", ({ target }) => {
      if ((target as HTMLInputElement).checked) board.replica.stop();
      else board.replica.start();
      if (board.replica.leads) this.#status();
    });
    const direct = element<HTMLInputElement>("direct");
    direct.addEventListener("change", () => {
      localStorage.setItem(DIRECT, direct.checked ? "on" : "");
      this.#direct();
    });
    // Another tab of this browser turned it.
    addEventListener("storage", ({ key }) => key === DIRECT && this.#direct());
    if (typeof RTCPeerConnection === "function") this.#direct();
    else direct.disabled = true;
    element("me").addEventListener("change", ({ target }) => {
      localStorage.setItem(NAME, (target as HTMLInputElement).value.trim());
      this.#present();
    });
    element("undo").addEventListener("click", () => this.#undo());
    element("inspect").addEventListener("click", ({ currentTarget }) => {
      const inspector = element("inspector");
      inspector.hidden = !inspector.hidden;
      (currentTarget as HTMLElement).setAttribute("aria-expanded", String(!inspector.hidden));
      this.#inspect();
    });
    element("rejections").addEventListener("click", ({ target }) => {
      const seq = target instanceof HTMLElement ? target.dataset["seq"] : undefined;
      if (seq !== undefined) this.#do(() => board.replica.dismiss(Number(seq)).then(() => this.#inspect()));
    });
  }

  #undo(): void {
    this.#do(async () => this.view.say((await this.board.models.undo()) ? "Undone" : "Nothing to undo"));
  }

  #rows(): void {
    const { board, view } = this;
    const rows = element("rows");
    rows.addEventListener("click", ({ target }) => {
      const task = board.tasks.get(rowOf(target)?.dataset["id"] ?? "");
      if (!task || !(target instanceof HTMLElement)) return;
      if (target.classList.contains("select")) this.#select(task);
      else if (target.classList.contains("check")) this.#do(() => board.set([task], { done: !task.get("done") }));
      else if (target.classList.contains("vote")) this.#do(() => board.set([task], { votes: 1 }));
      else if (target.classList.contains("open")) this.#openTask(task.id);
    });
    element("bar").addEventListener("click", ({ target }) => {
      const act = target instanceof HTMLElement ? target.dataset["many"] : undefined;
      const tasks = [...view.selected].flatMap((id) => board.tasks.get(id) ?? []);
      if (act === "done" || act === "open") this.#do(() => board.set(tasks, { done: act === "done" }), `Saved ${tasks.length}`);
      else if (act === "delete") this.#do(() => board.delete(tasks), `Deleted ${tasks.length}`);
      if (act) view.selected.clear();
      this.#ask();
    });
    element("restore").addEventListener("click", () => this.#do(() => board.restore(), "Restored"));
  }

  #select(task: Task): void {
    if (!this.view.selected.delete(task.id)) this.view.selected.add(task.id);
    this.#ask();
  }

  #openTask(id: string): void {
    this.#open = id;
    this.#present();
    this.#show();
    if (id) element("detail").querySelector<HTMLElement>("[name=title]")?.focus();
    else this.view.rows.step(0);
  }

  #detail(): void {
    const panel = element("detail");
    const task = (): Task | undefined => this.board.tasks.get(this.#open);
    panel.addEventListener("change", ({ target }) => {
      const open = task();
      const written = open && writeOf(open, target as HTMLInputElement);
      if (written) this.#do(() => this.board.set([open], written), `Saved ${open.get("title")}`);
    });
    panel.addEventListener("click", ({ target }) => {
      const open = task();
      if (!(target instanceof HTMLElement) || !open) return;
      const { act, pick } = target.dataset;
      if (target.classList.contains("close")) this.#openTask("");
      if (act === "dismiss") {
        this.board.merges.dismiss(open.id);
        this.#ask();
      }
      if (act === "up" || act === "down") this.#do(() => this.board.move(open, act === "up" ? -1 : 1));
      if (act === "delete") {
        this.#openTask("");
        this.#do(() => this.board.delete([open]), "Deleted");
      }
      if (pick === undefined) return;
      const notes = open.get("notes");
      this.#do(() => this.board.set([open], { notes: [pick === "all" ? notes.join("\n\n") : (notes[Number(pick)] ?? "")] }), "Picked");
    });
  }

  #keys(): void {
    document.addEventListener("keydown", (event) => {
      const { key, target } = event;
      if (key === "Escape") return this.#open ? this.#openTask("") : this.view.rows.step(0);
      if (target instanceof Element && target.closest("#detail, #inspector")) return;
      const writes = target instanceof HTMLElement && target.matches("input:not([type=checkbox]), textarea, select");
      if (writes || event.altKey) return;
      if ((event.ctrlKey || event.metaKey) && key === "z") {
        event.preventDefault();
        return this.#undo();
      }
      if (event.ctrlKey || event.metaKey) return;
      this.#key(event);
    });
  }

  #key(event: KeyboardEvent): void {
    const { rows } = this.view;
    const task = rows.active;
    const steps: { readonly [key: string]: number } = {
      ArrowDown: 1,
      j: 1,
      ArrowUp: -1,
      k: -1,
      PageDown: 10,
      PageUp: -10,
      Home: -Infinity,
      End: Infinity,
    };
    const by = steps[event.key];
    if (by !== undefined) rows.step(by);
    else if (event.key === "n") element("new-task").querySelector("input")?.focus();
    else if (event.key === "x" && task) this.#select(task);
    else if (event.key === "d" && task) this.#do(() => this.board.set([task], { done: !task.get("done") }));
    else if (event.key === "Delete" && task) this.#do(() => this.board.delete([task]), "Deleted");
    else return;
    event.preventDefault();
  }
}

/** What a field of the panel writes, as its rule takes it; null: nothing. */
function writeOf(task: Task, { name, value }: HTMLInputElement): Parameters<Task["set"]>[0] | null {
  if (name === "title" || name === "due" || name === "assignee") return { [name]: value };
  if (name === "priority") return { priority: Number(value) };
  if (name === "notes") return { notes: value ? [value] : [] };
  const wanted = new Set(
    value
      .split(",")
      .map((tag) => tag.trim())
      .filter(Boolean),
  );
  const had = task.get("tags");
  const tags = [
    ...[...wanted].filter((tag) => !had.includes(tag)).map((tag): [string, boolean] => [tag, true]),
    ...had.filter((tag) => !wanted.has(tag)).map((tag): [string, boolean] => [tag, false]),
  ];
  return tags.length > 0 ? { tags } : null;
}
