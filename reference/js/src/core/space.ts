/** A replica's store of one space: base, overlay, chain and cursor, and what of them has to become durable (spec 2 and 6). */

import type { Hex } from "./bytes.js";
import { hashOf, isSkip, nextLink, startLink, type Change, type Pushed } from "./change.js";
import { observe, ZERO, type Reading } from "./clock.js";
import { RETAINED_CHANGES_MIN, type Limits } from "./limits.js";
import type { Cursor } from "./message.js";
import { Names } from "./names.js";
import { Overlay } from "./overlay.js";
import { RecordState } from "./record.js";
import { State } from "./state.js";
import { show, type Shown } from "./view.js";
import { toHex } from "./bytes.js";

/** What a turn makes durable: key to bytes, null where the key goes. One transaction. */
export type Batch = Map<string, Uint8Array | null>;

/** `n` random bytes. */
export type Random = (n: number) => Uint8Array;

/** What became of an own change. `aside`: taken out of the view without a verdict (IDENT-29). */
export type Status = "waiting" | "accepted" | "rejected" | "aside";

/** An own change as it is kept. */
export interface Own {
  readonly change: Change;
  readonly hash: Hex;
  readonly link: Hex;
  status: Status;
  /** Where it was settled; 0 where it is not. */
  position: number;
  /** The seq of the change that replaced it, or 0. */
  replacedBy: number;
}

/** A change that has no effect and of which the application was told (IDENT-22). */
export interface Rejection {
  readonly replica: Hex;
  readonly seq: number;
  readonly code: number;
  readonly change: Change;
}

/** The parts of a catch-up that is not complete. */
export interface Stage {
  to: number;
  history: Hex;
  /** Whether it replaces base (SYNC-30). */
  readonly replaces: boolean;
  /** The `states` messages, with absolute times, in frames of their own. */
  readonly parts: Uint8Array[];
}

/** The last settled change of an author, and the position at which it was settled. */
export interface Settled {
  readonly seq: number;
  readonly link: Hex;
  readonly at: number;
}

/** What of a client is one small entry of its store. */
export interface Meta {
  replica: Hex;
  /** Before the first change that is retained. */
  floor: { seq: number; link: Hex };
  /** The last own seq whose verdict is known. */
  settled: number;
  /** The last own seq whose effect base holds. */
  inBase: number;
  /** The last reading minted or observed (CLOCK-3). */
  clock: Reading;
  /** The server's clock less the device's, in ms (CLOCK-13). */
  offset: number;
  cursor: Cursor | null;
  /** Histories that a server let base go on from, and up to where; 0 for those from before the last reset (PEER-7). */
  lineage: Map<Hex, number>;
  collections: readonly string[] | null;
  /** The collections that base holds at the cursor; null: all that are subscribed. */
  known: readonly string[] | null;
  /** Whether one change at a time is pushed, to find the one that nobody takes (IDENT-28). */
  probing: boolean;
  /** When base was last dropped because of a mark, in ms of `now` (SYNC-22); 0: never. */
  resetAt: number;
  /** What the server last met advertised (LIMIT-6). */
  limits: Limits;
  /** Where base stood after it was last replaced. */
  resetTo: number;
  /** Whether the settled seqs of all authors are known (PEER-5). */
  authorsKnown: boolean;
  /** Whether numbers may be asked for: none came that stood for nothing since base began (COMPACT-11). */
  trustsNumbers: boolean;
}

const freshMeta = (space: string, replica: Hex): Meta => ({
  replica,
  floor: { seq: 0, link: startLink(space, replica) },
  settled: 0,
  inBase: 0,
  clock: ZERO,
  offset: 0,
  cursor: null,
  lineage: new Map(),
  collections: null,
  known: null,
  probing: false,
  resetAt: 0,
  limits: new Map(),
  authorsKnown: true,
  trustsNumbers: true,
  resetTo: 0,
});

export class Space {
  base = new State();
  meta: Meta;
  /** Own changes behind the floor, in the order of seq. */
  own: Own[] = [];
  readonly overlay = new Overlay();
  rejections: Rejection[] = [];
  stage: Stage | null = null;
  /** The names that are kept with the cursor (COMPACT-6). */
  names = new Names();
  /** How many parts the store has, and whether they are of another stage. */
  partsKept = 0;
  stageAnew = false;
  readonly settledOf = new Map<Hex, Settled>();
  /** What is to be written of it besides records: see `keep.ts`. */
  readonly dirty = new Set<string>();
  /** What the application tells of itself while it is there; never kept. */
  presence: { readonly payload: Uint8Array; readonly ttl: number } | null = null;
  /** How many changes of others came to be held. */
  arrivals = 0;
  /** Whether peer links stand, so that the links of all authors are wanted. */
  linked = false;
  /** Records that may show otherwise than before; null: any may. */
  shownAnew: Map<string, readonly [string, string]> | null = new Map();

  constructor(
    readonly name: string,
    readonly random: Random,
  ) {
    this.meta = freshMeta(name, toHex(random(16)));
    this.dirty.add("meta");
  }

  /** Changes what is kept of the client as a whole. */
  set(change: Partial<Meta>): void {
    Object.assign(this.meta, change);
    this.dirty.add("meta");
  }

  get minted(): number {
    return this.meta.floor.seq + this.own.length;
  }

  ownAt(seq: number): Own | undefined {
    return this.own[seq - this.meta.floor.seq - 1];
  }

  /** The number of the next change that comes to be held. */
  nextArrival(): number {
    return this.arrivals++;
  }

  /** The link of the own chain at `seq`, where it is still known. */
  linkAt(seq: number): Hex | undefined {
    return seq === this.meta.floor.seq ? this.meta.floor.link : this.ownAt(seq)?.link;
  }

  /** The own changes without a verdict that show. */
  waiting(): Own[] {
    return this.own.slice(Math.max(0, this.meta.settled - this.meta.floor.seq)).filter(({ status }) => status === "waiting");
  }

  /** Whether an own change has no verdict and shows. The last one mostly tells. */
  get isWaiting(): boolean {
    for (let seq = this.minted; seq > this.meta.settled; seq--) if (this.ownAt(seq)?.status === "waiting") return true;
    return false;
  }

  /** How an own change is offered: itself, or a skip in its place (IDENT-20). */
  offerOf({ change, hash, status }: Own): Pushed {
    return status === "rejected" || status === "aside" ? { seq: change.seq, hash } : change;
  }

  wants(collection: string): boolean {
    return this.meta.collections === null || this.meta.collections.includes(collection);
  }

  readonly wanted = (collection: string): boolean => this.wants(collection);

  /** @internal Puts an own change in its place by its seq. */
  placeOwn(own: Own): void {
    this.own[own.change.seq - this.meta.floor.seq - 1] = own;
  }

  /** Takes a change of its own into the chain and the overlay. */
  append(change: Change): Own {
    const hash = hashOf(change);
    const own: Own = {
      change,
      hash,
      link: nextLink(this.linkAt(change.seq - 1) as Hex, hash),
      status: "waiting",
      position: 0,
      replacedBy: 0,
    };
    this.own.push(own);
    this.dirty.add(`own ${change.seq}`);
    this.overlay.add(this.meta.replica, change);
    this.touchShown(change);
    return own;
  }

  /** Says that an own change was altered in what is known of it. */
  keepOwn(own: Own): void {
    this.dirty.add(`own ${own.change.seq}`);
  }

  touchShown(change: Change): void {
    for (const { collection, id } of change.rows) this.shownAnew?.set(`${collection}\n${id}`, [collection, id]);
  }

  /** Takes a reading in that was received (CLOCK-5). */
  observe(reading: Reading, now: number): void {
    const clock = observe(this.meta.clock, now, reading);
    if (clock !== this.meta.clock) this.set({ clock });
  }

  /** The record as base and overlay show it together (MODEL-11, PEER-3). */
  view(collection: string, id: string): RecordState {
    const base = this.base.find(collection, id);
    const writings = this.overlay.of(collection, id);
    if (writings.length === 0) return base ?? new RecordState(collection, id);
    const view = base?.copy() ?? new RecordState(collection, id);
    for (const { row, by } of writings) view.apply(row, by, "overlay");
    return view;
  }

  show(collection: string, id: string): Shown | null {
    return this.wants(collection) ? show(this.view(collection, id)) : null;
  }

  /** The ids of the records that show in a collection, in no order. */
  ids(collection: string): string[] {
    if (!this.wants(collection)) return [];
    const ids = new Set(this.base.collections.get(collection)?.keys() ?? []);
    for (const id of this.overlay.ids(collection)) ids.add(id);
    return [...ids].filter((id) => this.view(collection, id).alive);
  }

  collectionNames(): string[] {
    return [...new Set([...this.base.collections.keys(), ...this.overlay.collections()])].filter(this.wanted);
  }

  /** Fills the overlay anew with own changes that have no verdict, and that base does not hold. */
  refillOverlay(): void {
    const { replica, settled, inBase, floor } = this.meta;
    const from = Math.max(settled, inBase);
    const behind = this.own.slice(Math.max(0, from - floor.seq));
    const shows = new Set(behind.filter(({ status }) => status === "waiting").map(({ change }) => change));
    const showed = new Set(this.overlay.own);
    for (const change of showed) if (!shows.has(change)) this.touchShown(change);
    for (const change of shows) if (!showed.has(change)) this.touchShown(change);
    this.overlay.refill(replica, [...shows]);
  }

  /** Forgets accepted changes that are backed up, or have enough later ones behind them (IDENT-18). The last is kept. */
  forget(backedUp: number): void {
    while (this.own.length > 1) {
      const [first, next] = this.own as [Own, Own];
      if (next.change.seq > this.meta.settled) return;
      if (first.position > backedUp && this.meta.settled - first.change.seq < RETAINED_CHANGES_MIN) return;
      this.own.shift();
      this.dirty.add(`own ${first.change.seq}`);
      this.set({ floor: { seq: first.change.seq, link: first.link } });
    }
  }

  /** Keeps other names, from the turn in which the cursor moves to where they were said (COMPACT-6). */
  keepNames(names: Names): void {
    this.names = names;
    this.dirty.add("names");
  }

  /** Drops what is staged of a catch-up (SYNC-31). */
  dropStage(): void {
    if (this.stage) {
      this.dirty.add("stage");
      this.stageAnew = true;
    }
    this.stage = null;
  }

  /** Begins as a fresh replica that holds nothing (ACCESS-18). */
  wipe(): void {
    const { collections } = this.meta;
    for (const { change } of this.own) this.dirty.add(`own ${change.seq}`);
    for (const author of this.settledOf.keys()) this.dirty.add(`author ${author}`);
    for (const [author, { change }] of this.overlay.held()) this.dirty.add(`held ${author} ${change.seq}`);
    for (const record of [...this.base.records()]) this.base.drop(record);
    this.dropStage();
    this.own = [];
    this.rejections = [];
    this.dirty.add("rejections");
    this.keepNames(new Names());
    this.settledOf.clear();
    this.overlay.dropHeld();
    this.meta = freshMeta(this.name, toHex(this.random(16)));
    this.set({ collections });
    this.refillOverlay();
    this.shownAnew = null;
  }
}

/** Whether a pushed item is a change with rows. */
export const isChange = (pushed: Pushed): pushed is Change => !isSkip(pushed);
