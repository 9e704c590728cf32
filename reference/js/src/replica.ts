/** A replica at work: its machine, its store, its connection and its timers. */

import { Client, type Time } from "./core/client.js";
import type { StatusReport } from "./core/status.js";
import type { Hex } from "./core/bytes.js";
import type { Effect, Event } from "./core/event.js";
import { Refused } from "./core/fault.js";
import type { Guard, RowWrite } from "./core/local.js";
import type { Batch, Random, Rejection } from "./core/space.js";
import type { Shown } from "./core/view.js";
import type { Connection, Transport } from "./bind/transport.js";
import type { Store } from "./store/store.js";

export interface ReplicaOptions {
  /** The name of the space. */
  readonly space: string;
  readonly store: Store;
  /** How the server is reached; without one the replica works alone, and over peer links. */
  readonly transport?: Transport;
  readonly token?: string;
  /** What is random: by default the platform's. */
  readonly random?: Random;
  /** What time it is: `now` only rises and is near Unix ms. By default the platform's clocks. */
  readonly clock?: () => Time;
}

/** The store failed: nothing that was not durable is kept, and nothing more is sent until `start`. */
export interface StoreFailed {
  readonly name: "store-failed";
  readonly error: unknown;
}

export type ReplicaEvent = Event | StoreFailed;
export type EventOf<N extends ReplicaEvent["name"]> = Extract<ReplicaEvent, { name: N }>;

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** What was done since the last commit began. */
interface Pending {
  readonly batch: Batch;
  readonly effects: Effect[];
  readonly waiting: Waiting[];
}

/** What the model layer, and an application, need of a replica: this one, or one that several tabs share. */
export type ReplicaLike = Pick<
  Replica,
  | "status"
  | "show"
  | "ids"
  | "rejections"
  | "presence"
  | "on"
  | "write"
  | "start"
  | "stop"
  | "setToken"
  | "subscribe"
  | "present"
  | "signal"
  | "dismiss"
  | "wipe"
  | "close"
>;

const randomBytes: Random = (n) => crypto.getRandomValues(new Uint8Array(n));
const platformClock = (): Time => ({ now: performance.timeOrigin + performance.now(), wall: Date.now() });
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export class Replica {
  readonly #options: ReplicaOptions;
  readonly #random: Random;
  readonly #clock: () => Time;
  #client: Client;
  #pending: Pending = { batch: new Map(), effects: [], waiting: [] };
  #committing = false;
  #closed = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #connections = new Map<string, Connection>();
  #named = 0;
  readonly #listeners = new Map<string, Set<(event: never) => void>>();

  private constructor(options: ReplicaOptions, entries: Iterable<readonly [string, Uint8Array]>) {
    this.#options = options;
    this.#random = options.random ?? randomBytes;
    this.#clock = options.clock ?? platformClock;
    this.#client = this.#machine(entries);
  }

  /** Opens a replica on its store. It connects when `start` is called. */
  static async open(options: ReplicaOptions): Promise<Replica> {
    if (options.token !== undefined && options.transport?.trusted === false)
      throw new Refused("a token would travel over a plain connection");
    const replica = new Replica(options, await options.store.load());
    await replica.#turn(() => undefined).durable;
    return replica;
  }

  #machine(entries: Iterable<readonly [string, Uint8Array]>): Client {
    return new Client(this.#options.space, this.#options.token ?? null, this.#random, entries);
  }

  // ---- Reading ---------------------------------------------------------------------------------------------------

  get status(): StatusReport {
    return this.#client.status;
  }

  /** A record as it shows, or null. */
  show(collection: string, id: string): Shown | null {
    return this.#client.space.show(collection, id);
  }

  /** The ids of a collection's records, in no order. */
  ids(collection: string): string[] {
    return this.#client.space.ids(collection);
  }

  get rejections(): readonly Rejection[] {
    return this.#client.space.rejections;
  }

  /** Who else is there, and what they tell. */
  get presence(): readonly (readonly [Hex, Uint8Array])[] {
    return this.#client.presence;
  }

  /** Calls `listener` at each event of that name; gives what ends it. */
  on<N extends ReplicaEvent["name"]>(name: N, listener: (event: EventOf<N>) => void): () => void {
    let listeners = this.#listeners.get(name);
    if (!listeners) this.#listeners.set(name, (listeners = new Set()));
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  // ---- Doing -----------------------------------------------------------------------------------------------------

  /** Writes rows as one change. It shows at once; the promise is kept once it is durable (MODEL-12). */
  async write(rows: readonly RowWrite[], guards: readonly Guard[] = []): Promise<number> {
    return this.writeMarked(rows, guards, () => []);
  }

  /** @internal Writes, and commits an entry of another's with it. */
  async writeMarked(
    rows: readonly RowWrite[],
    guards: readonly Guard[],
    mark: (seq: number) => Iterable<readonly [string, Uint8Array]>,
  ): Promise<number> {
    const { result, durable } = this.#turn((client, time) => client.write(rows, guards, time), mark);
    await durable;
    return result;
  }

  start(): void {
    this.#turn((client, time) => client.start(time));
  }

  stop(): void {
    this.#turn((client, time) => client.stop(time));
  }

  /** Gives new credentials, and connects. */
  setToken(token: string, expires: number | null = null): void {
    if (this.#options.transport?.trusted === false) throw new Refused("a token would travel over a plain connection");
    this.#turn((client, time) => client.token(token, expires, time));
  }

  async subscribe(collections: readonly string[] | null): Promise<void> {
    await this.#turn((client, time) => client.subscribe(collections, time)).durable;
  }

  /** Tells the others of the space something while this replica is there; null takes it back. */
  present(payload: Uint8Array | null, ttlMs = 30_000): void {
    this.#turn((client, time) => client.present(payload, ttlMs, time));
  }

  signal(to: Hex, payload: Uint8Array): boolean {
    return this.#turn((client, time) => client.signal(to, payload, time)).result;
  }

  async dismiss(seq: number): Promise<void> {
    await this.#turn((client) => client.dismiss(seq)).durable;
  }

  /** Forgets all. Throws `Refused` while changes have no verdict, unless it is forced. */
  async wipe(force = false): Promise<void> {
    await this.#turn((client, time) => client.wipe(force, time)).durable;
  }

  /** Takes a connection to another client of the space as a peer link; `dials`: this side made it. */
  link(transport: Transport, dials: boolean): void {
    const conn = this.#attach(transport, (conn) => this.#turn((client, time) => client.link(conn, dials, time)));
    if (this.#closed) this.#connections.get(conn)?.close();
  }

  /** What the other side of a peer link has to show from here on, and what this side shows; null: nothing. */
  setLinkToken(token: string | null): void {
    this.#turn((client) => client.setLinkToken(token));
  }

  /** Ends the connection and closes the store, with all that was written. */
  async close(): Promise<void> {
    if (this.#closed) return;
    const { durable } = this.#turn((client, time) => client.stop(time));
    this.#closed = true;
    clearTimeout(this.#timer);
    await durable.catch(() => undefined);
    for (const connection of [...this.#connections.values()]) connection.close();
    await this.#options.store.close();
  }

  // ---- Turns -----------------------------------------------------------------------------------------------------

  /** Runs one turn of the machine. What it wrote is durable before its effects are let go (MODEL-3). */
  #turn<T>(
    act: (client: Client, time: Time) => T,
    mark: (result: T) => Iterable<readonly [string, Uint8Array]> = () => [],
  ): { result: T; durable: Promise<void> } {
    if (this.#closed) throw new Refused("the replica is closed");
    const result = act(this.#client, this.#clock());
    const { batch, effects } = this.#client.take();
    for (const [key, bytes] of batch) this.#pending.batch.set(key, bytes);
    for (const [key, bytes] of mark(result)) this.#pending.batch.set(key, bytes);
    this.#pending.effects.push(...effects);
    const durable = new Promise<void>((resolve, reject) => void this.#pending.waiting.push({ resolve, reject }));
    // Whoever does not wait for it learns of a failure by its event.
    durable.catch(() => undefined);
    if (!this.#committing) void this.#commit();
    this.#setTimer();
    return { result, durable };
  }

  /** Commits what is pending, and what comes while it does so, one transaction after the other. */
  async #commit(): Promise<void> {
    this.#committing = true;
    while (this.#pending.waiting.length > 0) {
      const { batch, effects, waiting } = this.#pending;
      this.#pending = { batch: new Map(), effects: [], waiting: [] };
      try {
        if (batch.size > 0) await this.#options.store.commit(batch);
      } catch (error) {
        await this.#failed(error, waiting);
        break;
      }
      for (const effect of effects) this.#effect(effect);
      for (const { resolve } of waiting) resolve();
    }
    this.#committing = false;
  }

  /** The machine is ahead of what is kept: it is opened again on that. */
  async #failed(error: unknown, waiting: readonly Waiting[]): Promise<void> {
    const lost = [...waiting, ...this.#pending.waiting];
    this.#pending = { batch: new Map(), effects: [], waiting: [] };
    for (const connection of [...this.#connections.values()]) connection.close();
    this.#connections.clear();
    this.#client = this.#machine(await this.#options.store.load());
    for (const { reject } of lost) reject(error);
    this.#tell({ name: "store-failed", error });
    this.#tell({ name: "changed", records: null });
  }

  #setTimer(): void {
    clearTimeout(this.#timer);
    const { wake } = this.#client;
    if (wake === null || this.#closed) return;
    const wait = Math.min(Math.max(0, Math.ceil(wake - this.#clock().now)), LONGEST_TIMER_MS);
    this.#timer = setTimeout(() => this.#turn((client, time) => client.advance(time)), wait);
  }

  #effect(effect: Effect): void {
    switch (effect.kind) {
      case "connect":
        if (this.#options.transport)
          this.#attach(this.#options.transport, (conn) => this.#turn((client, time) => client.connected(conn, time)));
        break;
      case "frame":
        this.#connections.get(effect.conn)?.send(effect.bytes);
        break;
      case "close": {
        const connection = this.#connections.get(effect.conn);
        // The machine knows of this end.
        this.#connections.delete(effect.conn);
        connection?.close();
        break;
      }
      case "event":
        this.#tell(effect.event);
    }
  }

  /** Makes a connection that reports to the machine while it is this replica's. */
  #attach(transport: Transport, opened: (conn: string) => void): string {
    const conn = String(++this.#named);
    const connection = transport.connect({
      opened: () => (this.#closed ? connection.close() : opened(conn)),
      frame: (bytes) => {
        if (!this.#closed && this.#connections.has(conn)) this.#turn((client, time) => client.frame(conn, bytes, time));
      },
      closed: () => {
        if (this.#connections.delete(conn) && !this.#closed) this.#turn((client, time) => client.hangup(conn, time));
      },
    });
    this.#connections.set(conn, connection);
    return conn;
  }

  #tell(event: ReplicaEvent): void {
    for (const listener of [...(this.#listeners.get(event.name) ?? [])]) {
      try {
        listener(event as never);
      } catch (error) {
        // The application's fault is its own: it must not hold back what other listeners and the server wait for.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
