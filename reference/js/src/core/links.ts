/** Peer links: connections to other clients of the space, without a server between (spec 21). */

import type { Hex } from "./bytes.js";
import { Profile, startLink, writePushed, type Change, type Wire } from "./change.js";
import { Writer } from "./cbor.js";
import type { Event } from "./event.js";
import { Class, Code, Fault, malformed, unexpected } from "./fault.js";
import { linkAt, lastOf, offers, takePush } from "./holding.js";
import { takeBase, giveFrom, baseItems, NO_HISTORY } from "./givebase.js";
import type { Item } from "./items.js";
import { FRAME_BYTES_MAX, HELLO_TIMEOUT_MS, LINKS_MAX, MARK_INTERVAL_MS } from "./limits.js";
import { Line, type Outbox, type Time } from "./line.js";
import { CODES, type Cursor, type Message, type Of } from "./message.js";
import { readFrame } from "./read.js";
import { remint } from "./settle.js";
import type { Space } from "./space.js";

const AGREED: ReadonlySet<number> = new Set([Profile.core, Profile.rules, Profile.peer]);
const CHANNEL = 1;
/** Up to so many bytes of changes stand in one push. */
const PUSH_BYTES = 65_536;

interface Link {
  readonly line: Line;
  readonly since: number;
  at: "hello" | "open" | "welcome" | "opened" | "joined";
  baseMs: number;
  /** Where the other side's base stands, as far as it said; null: nowhere, or not said yet. */
  theirs: Cursor | null;
  /** What the other side has of each author, as it said or as it was sent. */
  readonly has: Map<Hex, number>;
  /** Whether its report came. */
  reported: boolean;
  /** The items of a report that is not complete. */
  readonly items: Item[];
  /** Where base was last said to stand. */
  said: Cursor | null;
  reportAt: number;
  giveAt: number;
}

export class Links {
  readonly #links = new Map<string, Link>();
  #saidAt = -Infinity;
  /** What a peer link has to show, and shows, where this client is set to want one (PEER-2). */
  token: string | null = null;

  constructor(
    readonly space: Space,
    readonly outbox: Outbox,
    readonly tell: (event: Event) => void,
    /** Whether a channel to a server is open. */
    readonly served: () => boolean,
  ) {}

  get count(): number {
    return this.#links.size;
  }

  get wake(): number {
    let wake = Infinity;
    for (const link of this.#links.values()) {
      const greeting = link.at === "joined" ? Infinity : link.since + HELLO_TIMEOUT_MS;
      wake = Math.min(wake, link.line.wake, greeting, link.reportAt, link.giveAt);
    }
    return wake;
  }

  /** A peer link stands; who subscribes a part of the space takes no part (PEER-21, PEER-23). */
  add(conn: string, dials: boolean, time: Time): void {
    if (this.#links.size >= LINKS_MAX || this.space.meta.collections !== null) {
      this.outbox.push({ kind: "close", conn });
      return;
    }
    const line = new Line(conn, this.outbox, time);
    this.#links.set(conn, {
      line,
      since: time.now,
      at: dials ? "welcome" : "hello",
      baseMs: 0,
      theirs: null,
      has: new Map(),
      reported: false,
      items: [],
      said: null,
      reportAt: Infinity,
      giveAt: Infinity,
    });
    if (dials) line.send(0, { type: "hello", versions: [1], profiles: [...AGREED], limits: new Map(), token: this.token }, time);
  }

  frame(conn: string, bytes: Uint8Array, time: Time): void {
    const link = this.#links.get(conn);
    if (!link) return;
    link.line.heard(time);
    try {
      if (bytes.length > FRAME_BYTES_MAX) throw new Fault(Code.frameTooLarge, `a frame of ${bytes.length} bytes`, FRAME_BYTES_MAX);
      const wire: Wire = { agreed: AGREED, baseMs: link.baseMs };
      for (const { message } of readFrame(bytes, () => wire).messages) if (this.#links.has(conn)) this.#take(link, message, time);
    } catch (fault) {
      if (!(fault instanceof Fault)) throw fault;
      link.line.refuse(fault, time);
      this.#links.delete(conn);
    }
  }

  hangup(conn: string, _time: Time): boolean {
    return this.#links.delete(conn);
  }

  /** The replica took a fresh id, or takes no part any more. */
  endAll(): void {
    for (const { line } of this.#links.values()) line.close();
    this.#links.clear();
  }

  #end(link: Link): void {
    link.line.close();
    this.#links.delete(link.line.conn);
  }

  #take(link: Link, message: Message, time: Time): void {
    if (message.type === "error") return this.#onError(link, message);
    if (message.type === "bye" || message.type === "shut") return this.#end(link);
    const { at } = link;
    if (at === "hello" && message.type === "hello") this.#onHello(link, message, time);
    else if (at === "welcome" && message.type === "welcome") this.#onWelcome(link, message, time);
    else if (at === "open" && message.type === "open") this.#onOpen(link, message, time);
    else if (at === "opened" && message.type === "opened") this.#onOpened(link, message, time);
    else if (at === "joined" && message.type === "states") this.#onStates(link, message, time);
    else if (at === "joined" && message.type === "push") this.#onPush(link, message, time);
    // CLOCK: a peer's time says nothing of the server's (PEER-4).
    else if (at !== "hello" && at !== "welcome" && (message.type === "ping" || message.type === "pong")) link.line.answer(message, time);
    else throw unexpected(CODES[message.type]);
  }

  #onError(link: Link, { code }: Of<"error">): void {
    this.#end(link);
    this.tell({ name: "link-refused", code });
    if (code === Code.replaced) this.#rename();
  }

  #rename(): void {
    this.endAll();
    remint(this.space, this.space.meta.settled + 1, 0, this.tell);
  }

  #onHello(link: Link, { versions, profiles, token }: Of<"hello">, time: Time): void {
    if (!versions.includes(1)) throw new Fault(Code.version, "version 1 is spoken here", 1);
    if (this.token !== null && token !== this.token) return this.#refuse(link, 0, Code.unauthorized, Class.credentials, time);
    this.#needPeer(profiles, CODES.hello);
    link.at = "open";
    link.line.send(0, { type: "welcome", version: 1, profiles: [...AGREED], limits: new Map(), time: this.#now(time) }, time);
  }

  #refuse(link: Link, channel: number, code: number, kind: number, time: Time): void {
    link.line.send(channel, { type: "error", code, class: kind, detail: null, text: "" }, time);
    this.#end(link);
  }

  /** PEER-1, PEER-22. */
  #needPeer(profiles: readonly number[], message: number): void {
    if (!profiles.includes(Profile.peer) || !profiles.includes(Profile.rules)) throw unexpected(message);
  }

  #now(time: Time): number {
    return Math.max(0, Math.floor(time.wall + this.space.meta.offset));
  }

  #onWelcome(link: Link, { profiles }: Of<"welcome">, time: Time): void {
    this.#needPeer(profiles, CODES.welcome);
    const { replica, settled, cursor } = this.space.meta;
    link.at = "opened";
    link.line.send(CHANNEL, { type: "open", space: this.space.name, replica, settled, cursor }, time);
  }

  #onOpen(link: Link, { space, replica, cursor }: Of<"open">, time: Time): void {
    const { meta, name } = this.space;
    if (space !== name) return this.#refuse(link, CHANNEL, Code.unknownSpace, Class.never, time);
    if (replica === meta.replica) return this.#refuse(link, CHANNEL, Code.replaced, Class.change, time);
    link.baseMs = this.#now(time);
    const { position, history } = meta.cursor ?? { position: 0, history: NO_HISTORY };
    link.line.send(
      CHANNEL,
      { type: "opened", position, history, seq: 0, link: startLink(name, replica), baseMs: link.baseMs, reset: 0 },
      time,
    );
    link.theirs = cursor;
    this.#joined(link, time);
  }

  #onOpened(link: Link, { baseMs, position, history }: Of<"opened">, time: Time): void {
    link.baseMs = baseMs;
    link.theirs = position === 0 ? null : { position, history };
    this.#joined(link, time);
  }

  #joined(link: Link, time: Time): void {
    const { meta, overlay } = this.space;
    link.at = "joined";
    const items = [...(this.space.minted > 0 ? [meta.replica] : []), ...overlay.authors()].map((author) => this.#heldItem(author));
    this.#report(link, items, time);
  }

  #heldItem(author: Hex): Item {
    const seq = lastOf(this.space, author);
    return { kind: "held", author, seq, link: linkAt(this.space, author, seq) ?? startLink(this.space.name, author) };
  }

  /** Says where base stands, and the items (PEER-6). */
  #report(link: Link, items: readonly Item[], time: Time): void {
    const { cursor } = this.space.meta;
    const { position, history } = cursor ?? { position: 0, history: NO_HISTORY };
    link.said = cursor;
    link.line.send(CHANNEL, { type: "states", last: true, to: position, history, items }, time, link.baseMs);
  }

  #onStates(link: Link, m: Of<"states">, time: Time): void {
    link.items.push(...m.items);
    if (!m.last) return;
    const items = link.items.splice(0);
    const first = !link.reported;
    link.reported = true;
    link.theirs = m.to === 0 ? null : { position: m.to, history: m.history };
    for (const item of items) if (item.kind === "held") this.#onHeld(link, item);
    if (!this.#links.has(link.line.conn)) return;
    const taken = this.served() ? "left" : takeBase(this.space, items, m, link.said, this.#now(time));
    if (taken === "fork") return this.#rename();
    if (taken === "taken") this.moved(time);
    if (first) this.#give(link, time);
    else if (giveFrom(this.space, link.theirs) !== null) link.giveAt = Math.min(link.giveAt, time.now + MARK_INTERVAL_MS);
  }

  /** The other side says what it holds of an author. */
  #onHeld(link: Link, { author, seq, link: theirs }: Extract<Item, { kind: "held" }>): void {
    const ours = linkAt(this.space, author, seq);
    // More under the own id than was minted: somebody else has it too (PEER-13).
    if (author === this.space.meta.replica && seq > this.space.minted) this.#rename();
    // Where the links differ, both send their chains and compare them (PEER-12).
    else if (ours === undefined || ours === theirs) link.has.set(author, seq);
    else link.has.set(author, 0);
  }

  #onPush(link: Link, { author, before, changes }: Of<"push">, time: Time): void {
    if (author === undefined || before === undefined) throw malformed("a push without an author");
    const taken = takePush(this.space, author, before, changes, this.#now(time));
    if (taken === "fork") return this.#rename();
    if (taken === "ours-stays") {
      this.#report(link, [this.#heldItem(author)], time);
      link.has.set(author, 0);
    } else link.has.set(author, Math.max(link.has.get(author) ?? 0, changes.at(-1)?.seq ?? 0));
  }

  /** Sends what the other sides lack (PEER-16). */
  pump(time: Time): void {
    for (const link of this.#links.values()) if (link.at === "joined" && link.reported) this.#push(link, time);
  }

  #push(link: Link, time: Time): void {
    let author: Hex = "";
    let changes: Change[] = [];
    let size = 0;
    const send = (): void => {
      const first = changes[0];
      if (!first) return;
      const before = linkAt(this.space, author, first.seq - 1) ?? startLink(this.space.name, author);
      link.line.send(CHANNEL, { type: "push", author, before, changes }, time, link.baseMs);
      changes = [];
      size = 0;
    };
    for (const offer of offers(this.space)) {
      if (offer.change.seq <= (link.has.get(offer.author) ?? 0)) continue;
      const w = new Writer();
      writePushed(w, offer.change, link.baseMs);
      if (offer.author !== author || size + w.length > PUSH_BYTES) send();
      author = offer.author;
      changes.push(offer.change);
      size += w.length;
      link.has.set(author, offer.change.seq);
    }
    send();
  }

  /** Base moved: the other sides hear of it before long (PEER-7). */
  moved(time: Time): void {
    for (const link of this.#links.values()) {
      if (link.at === "joined") link.reportAt = Math.min(link.reportAt, Math.max(time.now, this.#saidAt + MARK_INTERVAL_MS));
    }
  }

  /** Gives base to a side that stands behind. */
  #give(link: Link, time: Time): void {
    link.giveAt = Infinity;
    const from = giveFrom(this.space, link.theirs);
    if (from === null) return;
    const { cursor } = this.space.meta;
    if (cursor === null) return;
    link.said = cursor;
    const parts = [...baseItems(this.space, from)];
    parts.forEach((items, i) => {
      const states: Message = { type: "states", last: i === parts.length - 1, to: cursor.position, history: cursor.history, items };
      link.line.send(CHANNEL, states, time, link.baseMs);
    });
    link.theirs = cursor;
  }

  advance(time: Time): void {
    for (const link of this.#links.values()) {
      const late = link.at !== "joined" && time.now >= link.since + HELLO_TIMEOUT_MS;
      if (late || !link.line.tick(time)) {
        this.#end(link);
        continue;
      }
      if (time.now >= link.reportAt) {
        link.reportAt = Infinity;
        this.#saidAt = time.now;
        this.#report(link, [], time);
        if (giveFrom(this.space, link.theirs) !== null) link.giveAt = Math.min(link.giveAt, time.now + MARK_INTERVAL_MS);
      }
      if (time.now >= link.giveAt) this.#give(link, time);
    }
  }
}
