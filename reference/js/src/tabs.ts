/** What the tabs that share a replica say to each other, and what of that is in their store. */

import type { Hex } from "./core/bytes.js";
import { Reader, Writer } from "./core/cbor.js";
import type { Batch } from "./core/space.js";
import type { StatusReport } from "./core/status.js";
import type { ReplicaEvent } from "./replica.js";
import type { Store } from "./store/store.js";

/** The part of the browser's `LockManager` that is used. */
export interface Locks {
  request(name: string, options: { readonly signal: AbortSignal }, held: () => Promise<void>): Promise<unknown>;
  query(): Promise<{ readonly held?: readonly { readonly name?: string }[] }>;
}

/** The part of the browser's `BroadcastChannel` that is used. */
export interface Channel {
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  postMessage(message: unknown): void;
  close(): void;
}

export type Presence = readonly (readonly [Hex, Uint8Array])[];
export type Method = "write" | "start" | "stop" | "setToken" | "subscribe" | "present" | "signal" | "dismiss" | "wipe";

/** What a tab asks of the one that leads: its calls are numbered, and those below `open` are answered. */
export interface Call {
  readonly kind: "call";
  /** The tab that is asked: another that leads by then is asked again, in order. */
  readonly to: string;
  readonly tab: string;
  readonly n: number;
  readonly open: number;
  readonly method: Method;
  readonly args: readonly unknown[];
}

export type Said =
  /** A tab is there, and wants to know who leads. */
  | { readonly kind: "hello" }
  /** That tab leads. */
  | { readonly kind: "leads"; readonly tab: string; readonly status: StatusReport; readonly presence: Presence }
  /** The commit of that number. */
  | { readonly kind: "batch"; readonly n: number; readonly entries: Batch }
  | { readonly kind: "event"; readonly event: ReplicaEvent }
  | { readonly kind: "state"; readonly status: StatusReport; readonly presence: Presence }
  | Call
  | { readonly kind: "done"; readonly tab: string; readonly n: number; readonly result: unknown }
  | { readonly kind: "failed"; readonly tab: string; readonly n: number; readonly text: string; readonly refused: boolean };

/** The events of a replica that other tabs are told of. `changed` each tells itself. */
export const TOLD = [
  "rejected",
  "forked",
  "in-sync",
  "mismatch",
  "reset",
  "refused",
  "signal",
  "disconnected",
  "rights",
  "token-wanted",
  "left",
  "presence",
  "link-refused",
  "links",
] as const;

/** The number of the last commit: what followers know the place of a batch by. */
export const COMMIT = "commit";
/** Before the name of a tab: which of its writes are in the store, and under which seq. */
export const MARK = "tab ";

/** A store that numbers its commits, and tells of each once it is durable. */
export class ToldStore implements Store {
  constructor(
    readonly store: Store,
    private n: number,
    private readonly tell: (n: number, entries: Batch) => void,
  ) {}

  load(): Promise<Iterable<readonly [string, Uint8Array]>> {
    return this.store.load();
  }

  async commit(batch: Batch): Promise<void> {
    const n = this.n + 1;
    await this.store.commit(new Map([...batch, [COMMIT, new Writer().array(1).int(n).bytes()]]));
    this.n = n;
    this.tell(n, batch);
  }

  close(): Promise<void> {
    return this.store.close();
  }
}

/** The one small number that an entry holds. */
export function numberOf(bytes: Uint8Array | undefined): number {
  if (!bytes) return 0;
  const r = new Reader(bytes);
  r.array();
  return r.uint();
}

/** The seqs of a tab's writes that are in the store, by the numbers of its calls. */
export function readMark(bytes: Uint8Array): Map<number, number> {
  const r = new Reader(bytes);
  return new Map(Array.from({ length: r.array() / 2 }, (): [number, number] => [r.uint(), r.uint()]));
}

export function packMark(seqs: ReadonlyMap<number, number>): Uint8Array {
  const w = new Writer().array(2 * seqs.size);
  for (const [n, seq] of seqs) w.int(n).int(seq);
  return w.bytes();
}
