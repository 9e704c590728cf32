/** One replica that the tabs of an origin share: one of them leads and has the machine, the others follow it. */

import { Refused } from "./core/fault.js";
import { load } from "./core/keep.js";
import type { Guard, RowWrite } from "./core/local.js";
import { absorb, takeShownAnew } from "./core/mirror.js";
import type { Batch, Rejection, Space } from "./core/space.js";
import type { StatusReport } from "./core/status.js";
import type { Shown } from "./core/view.js";
import type { Hex } from "./core/bytes.js";
import { Replica, type EventOf, type ReplicaEvent, type ReplicaLike, type ReplicaOptions } from "./replica.js";
import type { Store } from "./store/store.js";
import {
  COMMIT,
  MARK,
  numberOf,
  packMark,
  readMark,
  TOLD,
  ToldStore,
  type Call,
  type Channel,
  type Locks,
  type Method,
  type Presence,
  type Said,
} from "./tabs.js";

export interface SharedOptions extends Omit<ReplicaOptions, "store"> {
  /** What the tabs that share a replica have in common: the name of their store. */
  readonly name: string;
  /** Opens what all of them read and the one that leads writes, such as `() => IndexedDbStore.shared(name)`. */
  readonly store: () => Promise<Store>;
  /** By default those of the browser. */
  readonly locks?: Locks;
  readonly channel?: (name: string) => Channel;
  /** Called in the tab that comes to lead, with the replica that it alone has: for peer links, which end with that tab. */
  readonly led?: (replica: Replica) => void;
}

type Seat =
  | { readonly at: "waits" }
  | { readonly at: "leads"; readonly replica: Replica }
  | { readonly at: "follows"; readonly leader: string; readonly space: Space; n: number; status: StatusReport; presence: Presence }
  | { readonly at: "closed" };

type Leads = Extract<Said, { kind: "leads" }>;

interface Open {
  readonly call: Omit<Call, "open" | "to">;
  readonly resolve: (result: never) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * A replica in each of several tabs that is one: one store, one id, one connection. Where the tab that leads goes, another leads on, and
 * what the others wrote meanwhile is written then, each write once.
 */
export class SharedReplica implements ReplicaLike {
  readonly #options: SharedOptions;
  readonly #tab = crypto.randomUUID();
  readonly #channel: Channel;
  readonly #locks: Locks;
  readonly #left = new AbortController();
  readonly #listeners = new Map<string, Set<(event: never) => void>>();
  #seat: Seat = { at: "waits" };
  /** What came while the store was read; null where nothing is read. */
  #inbox: Said[] | null = null;
  /** The store to read, while this tab follows. */
  #reads: Store | null = null;
  #calls = 0;
  readonly #open = new Map<number, Open>();
  /** Of each tab, as the one that leads knows it: its last call, and what of its writes is in the store. */
  readonly #heard = new Map<string, number>();
  readonly #marks = new Map<string, Map<number, number>>();

  private constructor(options: SharedOptions, locks: Locks, channel: Channel) {
    [this.#options, this.#locks, this.#channel] = [options, locks, channel];
    channel.onmessage = ({ data }) => this.#hear(data as Said);
  }

  /** Opens the replica in this tab, once some tab leads. Throws `Refused` where the platform has no locks or no channels. */
  static async open(options: SharedOptions): Promise<SharedReplica> {
    const locks = options.locks ?? (globalThis.navigator as { locks?: Locks } | undefined)?.locks;
    const name = `syncline ${options.name}`;
    if (!locks || !(options.channel ?? globalThis.BroadcastChannel)) throw new Refused("tabs share by Web Locks and BroadcastChannel");
    const channel = options.channel?.(name) ?? (new BroadcastChannel(name) as Channel);
    const shared = new SharedReplica(options, locks, channel);
    try {
      await shared.#takeSeat(name);
    } catch (error) {
      await shared.close();
      throw error;
    }
    return shared;
  }

  /** Waits for the lock of who leads, and meanwhile follows. Whoever has the lock by name has the store. */
  async #takeSeat(name: string): Promise<void> {
    const { signal } = this.#left;
    const left = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    // As long as a tab is there it has a lock of its own: that says which marks are of no use any more.
    void this.#locks.request(`${name} ${MARK}${this.#tab}`, { signal }, () => left).catch(() => undefined);
    const follows = new Promise<void>((resolve) => (this.#seated = resolve));
    const leads = this.#locks.request(name, { signal }, async () => {
      if (this.#seat.at === "closed") return;
      await this.#lead(name);
      this.#seated();
      await left;
      // Who leads next opens the store: it is closed by then.
      await this.#ended;
    });
    this.#say({ kind: "hello" });
    await Promise.race([follows, leads]);
    leads.catch((error) => this.#seat.at !== "closed" && this.#tell({ name: "store-failed", error }));
  }

  #seated: () => void = () => undefined;
  #ended: Promise<void> = Promise.resolve();
  /** The store is being read to follow. */
  #following: Promise<void> = Promise.resolve();

  /** Whether this tab has the machine and the connection. */
  get leads(): boolean {
    return this.#seat.at === "leads";
  }

  // ---- Reading ---------------------------------------------------------------------------------------------------

  #here(): Extract<Seat, { at: "leads" | "follows" }> {
    if (this.#seat.at === "closed" || this.#seat.at === "waits") throw new Refused("the replica is closed");
    return this.#seat;
  }

  get status(): StatusReport {
    const seat = this.#here();
    return seat.at === "leads" ? seat.replica.status : seat.status;
  }

  show(collection: string, id: string): Shown | null {
    const seat = this.#here();
    return (seat.at === "leads" ? seat.replica : seat.space).show(collection, id);
  }

  ids(collection: string): string[] {
    const seat = this.#here();
    return (seat.at === "leads" ? seat.replica : seat.space).ids(collection);
  }

  get rejections(): readonly Rejection[] {
    const seat = this.#here();
    return (seat.at === "leads" ? seat.replica : seat.space).rejections;
  }

  get presence(): Presence {
    const seat = this.#here();
    return (seat.at === "leads" ? seat.replica : seat).presence;
  }

  on<N extends ReplicaEvent["name"]>(name: N, listener: (event: EventOf<N>) => void): () => void {
    let listeners = this.#listeners.get(name);
    if (!listeners) this.#listeners.set(name, (listeners = new Set()));
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  #tell(event: ReplicaEvent): void {
    for (const listener of [...(this.#listeners.get(event.name) ?? [])]) {
      try {
        listener(event as never);
      } catch (error) {
        fail(error);
      }
    }
  }

  // ---- Doing -----------------------------------------------------------------------------------------------------

  /** Writes rows as one change. It shows, and the promise is kept, once the tab that leads made it durable. */
  write(rows: readonly RowWrite[], guards: readonly Guard[] = []): Promise<number> {
    return this.#call("write", [rows, guards]);
  }

  start(): void {
    this.#call("start", []).catch(fail);
  }

  stop(): void {
    this.#call("stop", []).catch(fail);
  }

  setToken(token: string, expires: number | null = null): void {
    this.#call("setToken", [token, expires]).catch(fail);
  }

  subscribe(collections: readonly string[] | null): Promise<void> {
    return this.#call("subscribe", [collections]);
  }

  present(payload: Uint8Array | null, ttlMs?: number): void {
    this.#call("present", ttlMs === undefined ? [payload] : [payload, ttlMs]).catch(fail);
  }

  /** Sends a signal by the tab that leads; false where that has no way to, as far as it said. */
  signal(to: Hex, payload: Uint8Array): boolean {
    const ready = this.status.state === "streaming";
    this.#call("signal", [to, payload]).catch(fail);
    return ready;
  }

  dismiss(seq: number): Promise<void> {
    return this.#call("dismiss", [seq]);
  }

  wipe(force = false): Promise<void> {
    return this.#call("wipe", [force]);
  }

  /** Leaves: where this tab leads, another does from here on. */
  async close(): Promise<void> {
    const seat = this.#seat;
    if (seat.at === "closed") return;
    this.#seat = { at: "closed" };
    for (const { reject } of this.#open.values()) reject(new Refused("the replica is closed"));
    this.#open.clear();
    this.#ended = seat.at === "leads" ? seat.replica.close() : (this.#reads?.close() ?? Promise.resolve());
    this.#left.abort();
    this.#channel.onmessage = null;
    await this.#ended;
    this.#channel.close();
  }

  async #call<T>(method: Method, args: readonly unknown[]): Promise<T> {
    const seat = this.#here();
    if (seat.at === "leads") return (await this.#perform(seat.replica, method, args)) as T;
    const call = { kind: "call", tab: this.#tab, n: ++this.#calls, method, args } as const;
    return new Promise<T>((resolve, reject) => {
      this.#open.set(call.n, { call, resolve, reject });
      this.#say({ ...call, to: seat.leader, open: this.#firstOpen });
    });
  }

  get #firstOpen(): number {
    return this.#open.keys().next().value ?? this.#calls + 1;
  }

  async #perform(replica: Replica, method: Method, args: readonly unknown[]): Promise<unknown> {
    return (replica[method] as (...args: readonly unknown[]) => unknown)(...args);
  }

  // ---- Between the tabs ------------------------------------------------------------------------------------------

  #say(said: Said): void {
    if (this.#seat.at !== "closed") this.#channel.postMessage(said);
  }

  #hear(said: Said): void {
    if (this.#seat.at === "leads") this.#hearAsLeader(this.#seat.replica, said);
    else if (said.kind === "leads") this.#onLeads(said);
    else if (this.#inbox) this.#inbox.push(said);
    else if (this.#seat.at === "follows") this.#hearAsFollower(this.#seat, said);
  }

  /** Somebody leads: mostly the one that is followed already, who told another tab. */
  #onLeads(said: Leads): void {
    if (this.#inbox) this.#inbox.push(said);
    else if (this.#seat.at !== "follows" || this.#seat.leader !== said.tab) this.#following = this.#follow(said);
  }

  #hearAsLeader(replica: Replica, said: Said): void {
    if (said.kind === "hello") this.#say({ kind: "leads", tab: this.#tab, status: replica.status, presence: replica.presence });
    else if (said.kind === "call" && said.to === this.#tab) void this.#answer(replica, said);
  }

  /** Does what another tab asks, a write once: what the one that led before made durable is known by the tab's mark. */
  async #answer(replica: Replica, { tab, n, open, method, args }: Call): Promise<void> {
    if (n <= (this.#heard.get(tab) ?? 0)) return;
    this.#heard.set(tab, n);
    const known = this.#marks.get(tab)?.get(n);
    try {
      let result: unknown = known;
      if (known === undefined && method === "write") {
        const [rows, guards] = args as [readonly RowWrite[], readonly Guard[]];
        result = await replica.writeMarked(rows, guards, (seq) => [[`${MARK}${tab}`, this.#mark(tab, n, open, seq)]]);
      } else if (known === undefined) result = await this.#perform(replica, method, args);
      this.#say({ kind: "done", tab, n, result });
    } catch (error) {
      this.#marks.get(tab)?.delete(n);
      this.#say({
        kind: "failed",
        tab,
        n,
        text: error instanceof Error ? error.message : String(error),
        refused: error instanceof Refused,
      });
    }
  }

  #mark(tab: string, n: number, open: number, seq: number): Uint8Array {
    const seqs = new Map([...(this.#marks.get(tab) ?? []), [n, seq] as const].filter(([at]) => at >= open));
    this.#marks.set(tab, seqs);
    return packMark(seqs);
  }

  #hearAsFollower(seat: Extract<Seat, { at: "follows" }>, said: Said): void {
    if (said.kind === "batch") this.#onBatch(seat, said.n, said.entries);
    else if (said.kind === "event") this.#tell(said.event);
    else if (said.kind === "state") [seat.status, seat.presence] = [said.status, said.presence];
    else if ((said.kind === "done" || said.kind === "failed") && said.tab === this.#tab) {
      const open = this.#open.get(said.n);
      this.#open.delete(said.n);
      if (said.kind === "done") open?.resolve(said.result as never);
      else open?.reject(said.refused ? new Refused(said.text) : new Error(said.text));
    }
  }

  #onBatch(seat: Extract<Seat, { at: "follows" }>, n: number, entries: Batch): void {
    if (n <= seat.n) return;
    if (n > seat.n + 1) {
      // One was missed: the store has it.
      this.#following = this.#follow({ kind: "leads", tab: seat.leader, status: seat.status, presence: seat.presence });
      return;
    }
    seat.n = n;
    absorb(seat.space, entries);
    this.#tell({ name: "changed", records: takeShownAnew(seat.space) });
  }

  /** Reads what the tab that leads made durable, and goes on from there by what it says. */
  async #follow({ tab, status, presence }: Leads): Promise<void> {
    const inbox: Said[] = (this.#inbox = []);
    try {
      const store = (this.#reads ??= await this.#options.store());
      const entries = new Map(await store.load());
      if (this.#seat.at === "closed") return store.close();
      const space = load(this.#options.space, (n) => new Uint8Array(n), entries);
      this.#seat = { at: "follows", leader: tab, space, n: numberOf(entries.get(COMMIT)), status, presence };
    } catch (error) {
      this.#tell({ name: "store-failed", error });
    } finally {
      this.#inbox = null;
    }
    for (const said of inbox) this.#hear(said);
    this.#tell({ name: "changed", records: null });
    this.#seated();
    for (const { call } of this.#open.values()) this.#say({ ...call, to: tab, open: this.#firstOpen });
  }

  /** Opens the store to write it, and does first what this tab asked and nobody answered. */
  async #lead(name: string): Promise<void> {
    await this.#following;
    const before = this.#seat;
    const store = this.#reads ?? (await this.#options.store());
    this.#reads = null;
    const entries = new Map(await store.load());
    await this.#readMarks(name, store, entries);
    const told = new ToldStore(store, numberOf(entries.get(COMMIT)), (n, entries) => {
      this.#sayState();
      this.#say({ kind: "batch", n, entries });
    });
    const replica = await Replica.open({ ...this.#options, store: told });
    if (this.#seat.at === "closed") return replica.close();
    for (const event of TOLD) replica.on(event, (said) => this.#onEvent(said));
    replica.on("store-failed", (said) => this.#onEvent({ ...said, error: String(said.error) }));
    replica.on("changed", (said) => this.#tell(said));
    this.#seat = { at: "leads", replica };
    this.#finishOwn(replica);
    if (before.at === "follows" && before.status.state !== "idle") replica.start();
    this.#say({ kind: "leads", tab: this.#tab, status: replica.status, presence: replica.presence });
    this.#tell({ name: "changed", records: null });
    this.#options.led?.(replica);
  }

  /** What this tab asked of the one that led, and may have been done. */
  #finishOwn(replica: Replica): void {
    const seqs = this.#marks.get(this.#tab);
    for (const [n, { call, resolve, reject }] of this.#open) {
      this.#open.delete(n);
      const known = seqs?.get(n);
      if (known !== undefined) resolve(known as never);
      else this.#perform(replica, call.method, call.args).then((result) => resolve(result as never), reject);
    }
  }

  /** Takes the marks of tabs in, and lets those go whose tab is not there any more. */
  async #readMarks(name: string, store: Store, entries: ReadonlyMap<string, Uint8Array>): Promise<void> {
    const there = new Set((await this.#locks.query()).held?.map((lock) => lock.name));
    const gone: Batch = new Map();
    this.#marks.clear();
    for (const [key, bytes] of entries) {
      if (!key.startsWith(MARK)) continue;
      if (there.has(`${name} ${key}`)) this.#marks.set(key.slice(MARK.length), readMark(bytes));
      else gone.set(key, null);
    }
    if (gone.size > 0) await store.commit(gone);
  }

  #onEvent(event: ReplicaEvent): void {
    this.#sayState();
    this.#say({ kind: "event", event });
    this.#tell(event);
  }

  /** Tells the others how the one that leads stands: before what has them look at it. */
  #sayState(): void {
    if (this.#seat.at === "leads") this.#say({ kind: "state", status: this.#seat.replica.status, presence: this.#seat.replica.presence });
  }
}

/** The application's fault, or one that nobody waits for: it is the platform's to report. */
function fail(error: unknown): void {
  if (error instanceof Refused && error.message === "the replica is closed") return;
  queueMicrotask(() => {
    throw error;
  });
}
