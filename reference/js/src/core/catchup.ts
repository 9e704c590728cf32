/** Catching up by `states`: staging parts, and taking them in at the last (spec 8 and 19). */

import { Profile } from "./change.js";
import type { Event } from "./event.js";
import { Code } from "./fault.js";
import type { Item } from "./items.js";
import { KEPT } from "./keep.js";
import type { Time } from "./line.js";
import { type Cursor, type Message } from "./message.js";
import { readFrame } from "./read.js";
import { encodeFrame } from "./write.js";
import { setAside, settle, settleHeld } from "./settle.js";
import type { Space } from "./space.js";
import { State } from "./state.js";

type States = Extract<Message, { type: "states" }>;
type Tell = (event: Event) => void;

/** The cursor to open with: null where base is to be replaced, or the authors' links have to be learned (SYNC-27, PEER-5). */
export function openCursor({ meta, stage, linked }: Space, agreed: ReadonlySet<number>): Cursor | null {
  const subscribes = agreed.has(Profile.subscribe);
  // Who cannot say what it knows starts from nothing (SUB-13).
  if (meta.known !== null && !subscribes) return null;
  if (agreed.has(Profile.peer) && !meta.authorsKnown && linked) return null;
  if (!stage) return meta.cursor;
  const position = stage.replaces ? 0 : Math.min(meta.cursor?.position ?? 0, stage.to);
  return { position, history: stage.history, staged: stage.to };
}

type Outcome = Extract<Item, { kind: "outcome" }>;

/** A base that grows part by part, and the items that say no cells, with the positions of their parts. */
interface Next {
  readonly base: State;
  readonly rest: [Item, number][];
}

/** Takes the cells of an item in, and the numbers that it gives to their records. */
export function takeCells(base: State, item: Item, to: number, wanted: (collection: string) => boolean): void {
  if (!("rows" in item)) return;
  base.take(item, to, wanted);
  base.numberRows(item.rows);
}

export class CatchUp {
  /** Whether the last part replaces base. */
  replaces = false;
  /** Whether base is replaced because the server forgot what it would have to say (HORIZON-12). */
  forgets = false;
  /** Whether the own chain was found to differ, and the outcomes say up to where it does not. */
  forked = false;
  /** What is to replace base, made of the parts as they come, so that little is left to do at the last. */
  #next: Next | null = null;
  /** The last own seq that the server has settled, by `opened`. */
  #serverSeq = 0;
  /** Where the log stood when the channel was opened. */
  #head = 0;

  constructor(readonly space: Space) {}

  /** Whether parts of another history were staged; they are dropped, and the space is to be opened again without them (SYNC-33). */
  isParted({ reset, history }: Extract<Message, { type: "opened" }>): boolean {
    const { stage } = this.space;
    const parted = reset === 0 && stage !== null && stage.history !== history;
    if (parted) this.space.dropStage();
    return parted;
  }

  /** `opened` came (SYNC-30, SYNC-31). */
  begin({ reset, seq, position }: Extract<Message, { type: "opened" }>): void {
    const { space } = this;
    this.#head = position;
    if (reset !== 0) space.dropStage();
    this.replaces = reset !== 0 || (space.stage?.replaces ?? false);
    this.forgets = reset === 3;
    this.#serverSeq = seq;
  }

  /** Whether base stands where live changes go on from it. */
  get underWay(): boolean {
    return this.replaces || this.space.stage !== null;
  }

  /** The server lost what it had acknowledged: it is offered again from behind `seq` (IDENT-17). */
  offerAgain(seq: number): void {
    const { space } = this;
    for (const own of space.own) {
      if (own.change.seq <= seq || own.status !== "accepted") continue;
      own.status = "waiting";
      own.position = 0;
      space.keepOwn(own);
    }
    space.set({ settled: seq });
    space.refillOverlay();
  }

  /** Whether a part up to `to` goes on from what came before, and ends where nothing is missing (SYNC-34). */
  follows({ to, last }: States): boolean {
    const { stage, meta } = this.space;
    const from = stage ? stage.to : this.replaces || meta.known !== null ? 0 : (meta.cursor?.position ?? Infinity);
    return to >= from && (!last || to >= this.#head);
  }

  /** Keeps a part (SYNC-13, SYNC-27). */
  stage(m: States): void {
    const { space } = this;
    if (this.replaces) this.#grow(m);
    space.stage ??= { to: 0, history: "", replaces: this.replaces, parts: [] };
    space.stage.to = m.to;
    space.stage.history = m.history;
    space.stage.parts.push(encodeFrame(1, m));
    space.dirty.add("stage");
  }

  /** Takes the parts in with the last of them, in one transaction (SYNC-14). */
  complete(m: States, time: Time, agreed: ReadonlySet<number>, tell: Tell): { forked: boolean } {
    const { space } = this;
    const before = space.base;
    const outcomes: Outcome[] = [];
    if (this.replaces) {
      const { base, rest } = this.#grow(m);
      this.#startAnew(base);
      for (const [item, to] of rest) this.#takeRest(item, to, time, outcomes);
    } else
      for (const part of this.#parts(m)) {
        for (const item of part.items) {
          takeCells(space.base, item, part.to, space.wanted);
          this.#takeRest(item, part.to, time, outcomes);
        }
      }
    space.dropStage();
    if (this.replaces) this.#noteGone(before);
    const { cursor, lineage } = space.meta;
    if (this.replaces) for (const history of [...lineage.keys()]) lineage.set(history, 0);
    if (cursor && cursor.history !== m.history) lineage.set(cursor.history, this.replaces ? 0 : cursor.position);
    const authorsKnown = agreed.has(Profile.peer) && (this.replaces || space.meta.authorsKnown);
    space.set({ cursor: { position: m.to, history: m.history }, known: null, authorsKnown, ...(this.replaces ? { resetTo: m.to } : {}) });
    const forked = this.#settleOutcomes(outcomes, m.to, time, tell) || this.forked;
    space.refillOverlay();
    if (this.forgets) this.#setStaleAside(before, tell);
    if (this.replaces) space.set({ trustsNumbers: true });
    this.replaces = false;
    this.forgets = false;
    return { forked };
  }

  /** Takes a part into what is to replace base; first those that came on another channel. */
  #grow(m: States): Next {
    const parts = this.#next ? [m] : this.#parts(m);
    const next = (this.#next ??= { base: new State(), rest: [] });
    for (const { items, to } of parts) {
      for (const item of items) {
        takeCells(next.base, item, to, this.space.wanted);
        // Of cells only the reading is of use beyond them.
        if (item.kind === "group") next.rest.push([{ ...item, rows: [] }, to]);
        else if (!("rows" in item)) next.rest.push([item, to]);
      }
    }
    return next;
  }

  #startAnew(base: State): void {
    const { space } = this;
    space.base = base;
    this.#next = null;
    for (const author of space.settledOf.keys()) {
      if (author === space.meta.replica) continue;
      space.settledOf.delete(author);
      space.dirty.add(`author ${author}`);
    }
    space.set({ inBase: this.#serverSeq });
  }

  /** What a reset does not name is gone (SYNC-15). */
  #noteGone(before: State): void {
    for (const record of before.records()) this.space.base.gone(record);
    for (const collection of before.collections.keys()) this.space.base.sumOf(collection);
  }

  /** The parts that are kept, and one more. */
  *#parts(last: States): Generator<States> {
    for (const bytes of this.space.stage?.parts ?? []) {
      for (const { message } of readFrame(bytes, () => KEPT).messages) if (message.type === "states") yield message;
    }
    yield last;
  }

  /** What of an item is no cell. */
  #takeRest(item: Item, to: number, time: Time, outcomes: Outcome[]): void {
    const { space } = this;
    if (item.kind === "outcome") outcomes.push(item);
    else if (item.kind === "settled") settleHeld(space, item.author, item.seq, item.link, to);
    if (item.kind === "group") space.observe(item.reading, time.wall + space.meta.offset);
  }

  /** Settles own changes as the outcomes say, up to where the links agree. True: they differ behind that (IDENT-11). */
  #settleOutcomes(outcomes: Outcome[], position: number, time: Time, tell: Tell): boolean {
    const { space } = this;
    for (const { seq, link, verdict } of outcomes.sort((a, b) => a.seq - b.seq)) {
      const own = space.ownAt(seq);
      if (space.linkAt(seq) !== link) return seq > space.meta.settled || own !== undefined;
      if (own && seq === space.meta.settled + 1) settle(space, own, verdict, { position, inBase: true, wall: time.wall }, tell);
    }
    return false;
  }

  /** Changes that write to a record in a life that base had and has no more were written without knowing of its end. */
  #setStaleAside(before: State, tell: Tell): void {
    const { space } = this;
    for (const own of space.waiting()) {
      const stale = own.change.rows.some(({ collection, id, life }) => {
        const had = before.find(collection, id)?.life ?? 0;
        return had === life && (space.base.find(collection, id)?.life ?? 0) !== life;
      });
      if (stale) setAside(space, own, Code.stale, tell);
    }
  }
}
