/** Tabs that share a replica: one leads, and where it ends, whenever that is, nothing is lost and nothing is done twice. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Batch } from "../src/core/space.js";
import { MemoryStore, Refused, SharedReplica, type Channel, type Locks, type ReplicaLike } from "../src/index.js";

const never = new Promise<never>(() => undefined);

interface Wanted {
  readonly tab: Tab;
  readonly name: string;
  readonly held: () => Promise<void>;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** The tabs of one origin: their locks, their channel and their database. */
class Origin {
  readonly entries = new Map<string, Uint8Array>();
  readonly tabs: Tab[] = [];
  readonly held = new Map<string, Wanted>();
  waiting: Wanted[] = [];

  grant(): void {
    for (const wanted of [...this.waiting]) {
      if (this.held.has(wanted.name)) continue;
      this.waiting.splice(this.waiting.indexOf(wanted), 1);
      this.held.set(wanted.name, wanted);
      const end = (): void => {
        if (this.held.get(wanted.name) === wanted) this.held.delete(wanted.name);
        this.grant();
      };
      queueMicrotask(() => void wanted.held().then(wanted.resolve, wanted.reject).finally(end));
    }
  }

  async open(space = "home"): Promise<Tab> {
    const tab = new Tab(this);
    this.tabs.push(tab);
    tab.replica = await SharedReplica.open({ space, name: "home", ...tab.platform });
    return tab;
  }
}

/** What a tab does at a commit: nothing else, or it ends before it, or after it with nothing said of it. */
type End = "before" | "after" | null;

class Tab {
  replica!: SharedReplica;
  alive = true;
  /** How many commits it makes until it ends. */
  left = Infinity;
  end: End = null;
  listens: ((event: { readonly data: unknown }) => void) | null = null;

  constructor(readonly origin: Origin) {}

  /** The tab is gone, at once and without a word. */
  die(): void {
    this.alive = false;
    const { origin } = this;
    origin.waiting = origin.waiting.filter(({ tab }) => tab !== this);
    for (const [name, { tab }] of origin.held) if (tab === this) origin.held.delete(name);
    origin.grant();
  }

  get platform(): { store: () => Promise<MemoryStore>; locks: Locks; channel: () => Channel } {
    return { store: async () => new TabStore(this), locks: this.#locks, channel: () => this.#channel() };
  }

  readonly #locks: Locks = {
    request: (name, { signal }, held) =>
      new Promise((resolve, reject) => {
        const wanted = { tab: this, name, held, resolve, reject };
        this.origin.waiting.push(wanted);
        signal.addEventListener("abort", () => {
          const at = this.origin.waiting.indexOf(wanted);
          if (at < 0) return;
          this.origin.waiting.splice(at, 1);
          reject(new Error("aborted"));
        });
        this.origin.grant();
      }),
    query: async () => ({ held: [...this.origin.held.keys()].map((name) => ({ name })) }),
  };

  #channel(): Channel {
    const { origin } = this;
    const tab = this;
    return {
      set onmessage(listener: Channel["onmessage"]) {
        tab.listens = listener;
      },
      get onmessage() {
        return tab.listens;
      },
      postMessage(message) {
        if (!tab.alive) return;
        const data: unknown = structuredClone(message);
        for (const other of origin.tabs) if (other !== tab) setImmediate(() => other.alive && other.listens?.({ data }));
      },
      close: () => void (this.listens = null),
    };
  }
}

class TabStore extends MemoryStore {
  constructor(readonly tab: Tab) {
    super(tab.origin.entries);
  }

  override async load(): Promise<Iterable<readonly [string, Uint8Array]>> {
    const entries = await super.load();
    await new Promise((resolve) => setImmediate(resolve));
    return this.tab.alive ? entries : never;
  }

  override async commit(batch: Batch): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    if (!this.tab.alive) return never;
    const last = --this.tab.left <= 0;
    if (last && this.tab.end === "before") return (this.tab.die(), never);
    await super.commit(batch);
    if (last && this.tab.end === "after") return (this.tab.die(), never);
  }
}

const turns = async (n = 40): Promise<void> => {
  for (let i = 0; i < n; i++) await new Promise((resolve) => setImmediate(resolve));
};

const vote = (replica: ReplicaLike): Promise<number> =>
  replica.write([{ collection: "todos", id: "t1", columns: { votes: { counter: 1 } } }]);

const votes = (replica: ReplicaLike): unknown => replica.show("todos", "t1")?.columns["votes"]?.["counter"] ?? 0;

test("two tabs are one replica: what one writes shows in both, and the one that is left leads on", async () => {
  const origin = new Origin();
  const [a, b] = [await origin.open(), await origin.open()];
  assert.deepEqual([a.replica.leads, b.replica.leads], [true, false]);
  assert.equal(a.replica.status.replica, b.replica.status.replica);
  const told: unknown[] = [];
  b.replica.on("changed", ({ records }) => told.push([records, b.replica.status.pending]));
  await a.replica.write([{ collection: "todos", id: "t1", fields: { title: "from a" } }]);
  await b.replica.write([{ collection: "todos", id: "t2", fields: { title: "from b" } }]);
  await turns();
  for (const { replica } of [a, b]) assert.deepEqual(replica.ids("todos").sort(), ["t1", "t2"]);
  const [first, second] = [[["todos", "t1"]], [["todos", "t2"]]];
  assert.deepEqual(
    told,
    [
      [first, 1],
      [second, 2],
    ],
    "with how the replica stands once that is so",
  );
  const { replica } = a.replica.status;
  await a.replica.close();
  await turns();
  assert.deepEqual([b.replica.leads, b.replica.status.replica, b.replica.status.pending], [true, replica, 2]);
  assert.throws(() => a.replica.ids("todos"), Refused);
  const c = await origin.open();
  await c.replica.write([{ collection: "todos", id: "t1", delete: true }]);
  assert.deepEqual([b.replica.ids("todos"), c.replica.ids("todos")], [["t2"], ["t2"]]);
  await Promise.all([b.replica.close(), c.replica.close()]);
});

test("what the application may not do is refused in every tab", async () => {
  const origin = new Origin();
  const [a, b] = [await origin.open(), await origin.open()];
  for (const { replica } of [a, b]) await assert.rejects(replica.write([{ collection: "", id: "t1", fields: {} }]), Refused);
  await vote(b.replica);
  await assert.rejects(b.replica.wipe(), Refused);
  await b.replica.wipe(true);
  assert.deepEqual([votes(a.replica), votes(b.replica)], [0, 0]);
  await b.replica.close();
  await assert.rejects(vote(b.replica), Refused);
  await a.replica.close();
  await assert.rejects(SharedReplica.open({ space: "home", name: "home", ...a.platform, locks: undefined as never }), Refused);
});

for (const end of ["before", "after"] as const) {
  test(`a tab that leads and ends just ${end} a commit leaves each write of the others done once`, async () => {
    for (let at = 1; at <= 4; at++) {
      const origin = new Origin();
      const [a, b, c] = [await origin.open(), await origin.open(), await origin.open()];
      [a.left, a.end] = [at, end];
      const { replica } = a.replica.status;
      const written = [vote(b.replica), vote(c.replica), vote(b.replica), vote(c.replica)];
      await turns(3);
      written.push(vote(b.replica), vote(c.replica));
      const seqs = await Promise.all(written);
      await turns();
      if (a.alive) a.die();
      await turns();
      for (const tab of [b, c]) assert.deepEqual([votes(tab.replica), tab.replica.status.replica], [6, replica], `commit ${at}`);
      assert.deepEqual([...seqs].sort(), [1, 2, 3, 4, 5, 6]);
      assert.deepEqual([b.replica.leads, c.replica.leads], [true, false]);
      await Promise.all([b.replica.close(), c.replica.close()]);
    }
  });
}

const act = fc.oneof(
  fc.record({ act: fc.constant("open" as const) }),
  fc.record({ act: fc.constantFrom("vote" as const, "close" as const, "die" as const), tab: fc.nat(5) }),
  fc.record({
    act: fc.constant("ends" as const),
    tab: fc.nat(5),
    left: fc.integer({ min: 1, max: 3 }),
    end: fc.constantFrom("before", "after"),
  }),
  fc.record({ act: fc.constant("wait" as const), turns: fc.nat(8) }),
);

test("whatever tabs come and go, no write that was kept is lost, none counts twice, and there is one replica", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(act, { maxLength: 30 }), async (acts) => {
      const origin = new Origin();
      const first = await origin.open();
      const { replica } = first.replica.status;
      let [asked, kept] = [0, 0];
      const tabs = (): Tab[] => origin.tabs.filter((tab) => tab.alive && tab.listens !== null && tab.replica);
      for (const step of acts) {
        const alive = tabs();
        const tab = "tab" in step ? alive[step.tab % alive.length] : undefined;
        if (step.act === "open") void origin.open().catch(() => undefined);
        else if (step.act === "wait") await turns(step.turns);
        else if (tab && step.act === "vote") {
          asked++;
          void vote(tab.replica).then(
            () => kept++,
            () => undefined,
          );
        } else if (tab && step.act === "close") void tab.replica.close();
        else if (tab && step.act === "die") tab.die();
        else if (tab && step.act === "ends") [tab.left, tab.end] = [step.left, step.end as End];
      }
      for (const tab of origin.tabs) [tab.left, tab.end] = [Infinity, null];
      await turns(60);
      const last = await origin.open();
      await turns();
      const shown = votes(last.replica) as number;
      assert(shown >= kept && shown <= asked, `${shown} of ${kept} kept and ${asked} asked`);
      for (const tab of tabs()) assert.deepEqual([votes(tab.replica), tab.replica.status.replica], [shown, replica]);
      assert.equal(tabs().filter((tab) => tab.replica.leads).length, 1);
      for (const tab of tabs()) await tab.replica.close();
    }),
    { numRuns: 150 },
  );
});
