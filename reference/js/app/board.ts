/** The Model: a board of lists and tasks over a replica. */

import { counter, lww, Models, multi, set, type Collection, type Model } from "../src/model/index.js";
import { IndexedDbStore, SharedReplica, WebRtcLinks, webSocket, type Replica, type Transport } from "../src/index.js";
import { Merges } from "./merges.js";
import { tapped, type Tap } from "./tap.js";

export const LIST = { title: lww(""), order: lww(0) };
export const TASK = {
  title: lww(""),
  done: lww(false),
  list: lww(""),
  order: lww(0),
  due: lww(""),
  assignee: lww(""),
  priority: lww<number>(0),
  notes: multi<string>(),
  tags: set<string>(),
  votes: counter(),
};
export type Task = Model<typeof TASK>;
export interface Presence {
  readonly name: string;
  /** The id of a task; empty: none. */
  readonly task: string;
}
export type Lists = Collection<typeof LIST>;
export type Tasks = Collection<typeof TASK>;

/** Rows of one change: well below what a server takes. */
const BATCH = 50;

export class Board {
  readonly lists: Lists;
  readonly tasks: Tasks;
  /** Tasks deleted on this page, by id, with what they held, so that they can be put back. */
  readonly deleted = new Map<string, ReturnType<typeof contents>>();
  readonly merges = new Merges();
  /** Each list's tasks in order, as long as none came, went or moved. */
  readonly #ordered = new Map<string, readonly Task[]>();

  /** What links this device to others directly; none in a tab that does not lead, or while that is off. */
  #links: WebRtcLinks | null = null;
  #direct = false;

  private constructor(
    readonly replica: SharedReplica,
    readonly models: Models,
    readonly tap: Tap,
    readonly led: { by: Replica | null; told: () => void },
  ) {
    led.told = () => this.#link();
    this.lists = models.collection("lists", LIST);
    this.tasks = models.collection("tasks", TASK);
    for (const name of ["add", "remove"] as const) this.tasks.on(name, () => this.#ordered.clear());
    this.tasks.on("change", ({ model, fields }) => {
      if (fields.includes("list") || fields.includes("order")) this.#ordered.clear();
      this.merges.changed(model, fields);
    });
  }

  static async open(space: string, url: string): Promise<Board> {
    const tap: Tap = { lines: [], heard: () => undefined };
    const transport: Transport = tapped(webSocket(url), tap);
    const led: Board["led"] = { by: null, told: () => undefined };
    const replica = await SharedReplica.open({
      space,
      name: space,
      store: () => IndexedDbStore.shared(space),
      transport,
      led: (replica) => ((led.by = replica), led.told()),
    });
    return new Board(replica, new Models(replica), tap, led);
  }

  /** Whether this device links to the others that are here, so that they go on together without the server. */
  set direct(is: boolean) {
    this.#direct = is;
    this.#link();
  }

  #link(): void {
    if (this.#direct && this.led.by && !this.#links) {
      this.#links = new WebRtcLinks(this.led.by);
      this.#links.meet();
    } else if (!this.#direct) {
      this.#links?.close();
      this.#links = null;
    }
  }

  /** The tasks of a list as they are ordered; ties by id, so that all devices show the same. */
  tasksOf(list: string): readonly Task[] {
    const known = this.#ordered.get(list);
    if (known) return known;
    const placed: [order: number, task: Task][] = [];
    for (const task of this.tasks) if (task.get("list") === list) placed.push([task.get("order"), task]);
    placed.sort(([a, { id: x }], [b, { id: y }]) => a - b || (x < y ? -1 : 1));
    const tasks = placed.map(([, task]) => task);
    this.#ordered.set(list, tasks);
    return tasks;
  }

  /** Who else is here, by name, and the task that is open there. What another application tells is left out. */
  get others(): Presence[] {
    return this.models.others.flatMap(({ value }) => {
      if (!Array.isArray(value)) return [];
      const [name, task] = value as readonly unknown[];
      return typeof name === "string" && typeof task === "string" ? [{ name: name.slice(0, 40), task }] : [];
    });
  }

  /** Writes the same to tasks as one change. */
  async set(tasks: readonly Task[], values: Parameters<Task["set"]>[0]): Promise<void> {
    const there = tasks.filter((task) => task.exists);
    const fields = Object.keys(values);
    for (const task of there) this.merges.begin(task, fields);
    await this.models.transaction(() => there.forEach((task) => void task.set(values)));
    for (const task of there) this.merges.end(task, fields);
  }

  /** Adds a task at the top. */
  async add(list: string, title: string): Promise<void> {
    const first = this.tasksOf(list)[0];
    await this.tasks.create({ title, list, order: (first?.get("order") ?? 0) - 1 });
  }

  /** Adds many at the end, in as few changes as they fit in. */
  async addMany(list: string, titles: readonly string[]): Promise<void> {
    const last = this.tasksOf(list).at(-1)?.get("order") ?? 0;
    for (let from = 0; from < titles.length; from += BATCH) {
      await this.models.transaction(() => {
        titles.slice(from, from + BATCH).forEach((title, i) => void this.tasks.create({ title, list, order: last + 1 + from + i }));
      });
    }
  }

  /** Swaps a task with its neighbour, as one change. */
  async move(task: Task, by: -1 | 1): Promise<void> {
    const all = this.tasksOf(task.get("list"));
    const other = all[all.indexOf(task) + by];
    if (!other) return;
    const [mine, theirs] = [task.get("order"), other.get("order")];
    await this.models.transaction(() => {
      void task.set({ order: mine === theirs ? theirs + by : theirs });
      if (mine !== theirs) void other.set({ order: mine });
    });
  }

  /** Deletes tasks as one change. */
  async delete(tasks: readonly Task[]): Promise<void> {
    const there = tasks.filter((task) => task.exists);
    for (const task of there) this.deleted.set(task.id, contents(task));
    await this.models.transaction(() => there.forEach((task) => void task.delete()));
  }

  /** Puts deleted tasks back, those that nobody else has put back. */
  async restore(): Promise<void> {
    const gone = [...this.deleted].filter(([id]) => !this.tasks.get(id));
    this.deleted.clear();
    await this.models.transaction(() => gone.forEach(([id, values]) => void this.tasks.create(values, id)));
  }
}

function contents(task: Task) {
  const { tags, votes, notes, ...fields } = task.attributes;
  return {
    ...fields,
    ...(tags.length > 0 ? { tags: tags.map((tag): [string, boolean] => [tag, true]) } : {}),
    ...(votes !== 0 ? { votes } : {}),
    ...(notes.length > 0 ? { notes } : {}),
  };
}
