/** A client: one replica of one space, its connection to a server and its peer links (spec 7). */

import { textCompare, type Hex } from "./bytes.js";
import { ChangeKey, Profile, type Wire } from "./change.js";
import { BackOff } from "./backoff.js";
import { offset } from "./clock.js";
import { Channel, type Host } from "./channel.js";
import type { Effect, Event } from "./event.js";
import { Class, Code, Fault, Refused, unexpected } from "./fault.js";
import { flush, load } from "./keep.js";
import * as max from "./limits.js";
import { Line, Outbox, type Time } from "./line.js";
import { Links } from "./links.js";
import { makeChange, type Guard, type RowWrite } from "./local.js";
import { CODES, type Message, type Of } from "./message.js";
import { channelOf, passOver, readFrame, unpacked } from "./read.js";
import { textBytes } from "./op.js";
import { remint, setAside } from "./settle.js";
import type { StatusReport } from "./status.js";
import type { Batch, Random, Space } from "./space.js";

export type { Time } from "./line.js";

/** The profiles that are claimed, in the order of their codes. */
export const OFFERED: readonly number[] = Object.values(Profile);

/** A connection to a server. */
interface Session {
  readonly line: Line;
  /** What was agreed, once `welcome` came. */
  agreed: ReadonlySet<number> | null;
  limits: max.Limits;
  /** When `hello` was sent. */
  readonly hello: Time;
  /** The number of the last channel opened. */
  number: number;
  channel: Channel | null;
  /** When the space is opened again, where it is to be. */
  reopenAt: number;
}

type State =
  | { readonly at: "idle" }
  | { readonly at: "waiting"; readonly until: number }
  | { readonly at: "connecting"; readonly until: number }
  | { readonly at: "connected"; readonly session: Session };

/** What a turn came to: what has to be durable first, and what follows once it is. */
export interface Outcome {
  readonly batch: Batch;
  readonly effects: readonly Effect[];
}

/**
 * The client's machine: no I/O, no clock, no chance of its own. Each call is a turn; `take` after it gives what the turn
 * wrote, to be committed as one transaction, and the effects that may follow only then (MODEL-3).
 */
export class Client {
  readonly space: Space;
  readonly #outbox = new Outbox();
  readonly #links: Links;
  /** The links that the application knows of. */
  #hadLinks = 0;
  #state: State = { at: "idle" };
  #time: Time = { now: 0, wall: 0 };
  #token: string | null;
  #tokenEnds: number | null = null;
  readonly #backOff: BackOff;
  #wasInSync = false;
  /** What the server last said of the right; until then, that there is one. */
  #mayWrite = true;

  /** Opens on the entries of a store; none for a fresh replica. */
  constructor(space: string, token: string | null, random: Random, entries: Iterable<readonly [string, Uint8Array]> = []) {
    const bytes = textBytes(space);
    if (bytes < 1 || bytes > max.SPACE_NAME_BYTES_MAX) throw new Refused(`a space's name of ${bytes} bytes`);
    this.#token = token;
    this.space = load(space, random, entries);
    this.#backOff = new BackOff(random);
    this.#links = new Links(
      this.space,
      this.#outbox,
      (event) => this.#tell(event),
      () => this.#open !== null,
    );
  }

  // ---- What the application asks ---------------------------------------------------------------------------------

  /** Writes rows as one change and gives its seq, or throws `Refused` (MODEL-12). */
  write(rows: readonly RowWrite[], guards: readonly Guard[], time: Time): number {
    this.#time = time;
    const agreed = this.#session?.agreed;
    if (guards.length > 0 && agreed && !agreed.has(Profile.conditions)) throw new Refused("the server offers no conditions");
    const change = makeChange(this.space, rows, guards, time.wall + this.space.meta.offset);
    this.space.append(change);
    this.space.set({ clock: change.reading });
    this.#pump();
    return change.seq;
  }

  /** Connects, or opens the space again (SESS-12, SESS-24). */
  start(time: Time): void {
    this.#time = time;
    if (this.#state.at === "idle" || this.#state.at === "waiting") this.#connect();
  }

  /** Ends the connection, and makes no other until `start`. */
  stop(time: Time): void {
    this.#time = time;
    this.#disconnect({ at: "idle" });
  }

  /** New credentials, and their end in Unix ms where it is known (ACCESS-15, ACCESS-16). */
  token(token: string, expires: number | null, time: Time): void {
    this.#time = time;
    this.#token = token;
    this.#tokenEnds = expires;
    const session = this.#session;
    if (session?.agreed?.has(Profile.access)) session.line.send(0, { type: "auth", token }, time);
    this.start(time);
  }

  /** Syncs these collections only; null for all (SUB-11, SUB-12). */
  subscribe(collections: readonly string[] | null, time: Time): void {
    this.#time = time;
    const { space } = this;
    const names = collections && checkedNames(collections);
    const { meta } = space;
    const held = meta.known ?? meta.collections;
    const left = names ? space.collectionNames().filter((name) => !names.includes(name)) : [];
    const known = held === null ? null : names === null ? held : names.filter((name) => held.includes(name));
    const all = known !== null && names !== null && known.length === names.length;
    space.dropStage();
    space.set({ collections: names, known: all || meta.cursor === null ? null : known });
    for (const record of [...space.base.records()]) if (!space.wants(record.collection)) space.base.drop(record);
    space.shownAnew = null;
    if (left.length > 0) this.#tell({ name: "left", collections: left.sort() });
    if (names) this.#links.endAll();
    if (this.#session?.channel) this.reopen(true);
    this.#pump();
  }

  /** Tells the others of the space something for `ttl` ms, as long as this client is there; null takes it back (PRES-4). */
  present(payload: Uint8Array | null, ttl: number, time: Time): void {
    this.#time = time;
    if (payload && payload.length > max.PRESENCE_BYTES_MAX) throw new Refused(`a presence of ${payload.length} bytes`);
    if (payload && !(Number.isInteger(ttl) && ttl >= 1 && ttl <= max.PRESENCE_TTL_MAX_MS)) throw new Refused(`a presence for ${ttl} ms`);
    this.space.presence = payload && { payload, ttl };
    const channel = this.#open;
    if (channel && this.#session?.agreed?.has(Profile.presence)) channel.neighbours.renew(time, (presence) => channel.send(presence, time));
  }

  /** Sends a few bytes to a replica of the space; false where there is no way to. */
  signal(to: Hex, payload: Uint8Array, time: Time): boolean {
    this.#time = time;
    if (payload.length > max.SIGNAL_BYTES_MAX) throw new Refused(`a signal of ${payload.length} bytes`);
    if (!this.#open || !this.#session?.agreed?.has(Profile.signal)) return false;
    this.#open.send({ type: "signal", replica: to, payload }, time);
    return true;
  }

  /** Lets a rejection go (IDENT-22). */
  dismiss(seq: number): void {
    this.space.rejections = this.space.rejections.filter((rejection) => rejection.seq !== seq);
    this.space.dirty.add("rejections");
  }

  /** Forgets all, and begins as a fresh replica; gives how many changes without a verdict went (ACCESS-18). */
  wipe(force: boolean, time: Time): number {
    this.#time = time;
    const lost = this.space.waiting().length + this.space.overlay.heldCount;
    if (lost > 0 && !force) throw new Refused(`${lost} changes have no verdict`);
    this.#links.endAll();
    this.#disconnect({ at: "idle" });
    this.space.wipe();
    return lost;
  }

  /** The presence of the others, by replica. */
  get presence(): readonly (readonly [Hex, Uint8Array])[] {
    return [...(this.#session?.channel?.neighbours.present ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  get status(): StatusReport {
    const { meta, overlay, rejections, base } = this.space;
    return {
      replica: meta.replica,
      state: this.#phase,
      inSync: this.#inSync,
      position: meta.cursor?.position ?? null,
      history: meta.cursor?.history ?? null,
      pending: this.space.waiting().length,
      held: overlay.heldCount,
      links: this.#links.count,
      collections: meta.collections,
      rejected: rejections.length,
      mayWrite: this.#mayWrite,
      fingerprint: base.fingerprint(meta.collections),
      offset: meta.offset,
      head: this.#open?.head ?? null,
    };
  }

  get #phase(): StatusReport["state"] {
    const session = this.#session;
    if (!session) return this.#state.at as "idle" | "waiting" | "connecting";
    return session.agreed === null ? "greeting" : session.channel?.opened ? "streaming" : "opening";
  }

  get #inSync(): boolean {
    return (this.#open?.equal ?? false) && this.space.overlay.heldCount === 0 && !this.space.isWaiting;
  }

  get #session(): Session | null {
    return this.#state.at === "connected" ? this.#state.session : null;
  }

  /** The channel that is open. */
  get #open(): Channel | null {
    const channel = this.#session?.channel;
    return channel?.opened ? channel : null;
  }

  // ---- What the transport says -----------------------------------------------------------------------------------

  /** The connection that was asked for is made. */
  connected(conn: string, time: Time): void {
    this.#time = time;
    // An attempt that was given up may come to something all the same.
    if (this.#state.at !== "connecting" && this.#state.at !== "waiting") {
      this.#outbox.push({ kind: "close", conn });
      return;
    }
    const line = new Line(conn, this.#outbox, time);
    this.#state = {
      at: "connected",
      session: { line, agreed: null, limits: new Map(), hello: time, number: 0, channel: null, reopenAt: Infinity },
    };
    line.send(0, { type: "hello", versions: [1], profiles: OFFERED, limits: new Map(), token: this.#token }, time);
  }

  /** A frame arrived. */
  frame(conn: string, bytes: Uint8Array, time: Time): void {
    this.#time = time;
    const session = this.#session;
    if (session?.line.conn !== conn) {
      this.#links.frame(conn, bytes, time);
      this.#pump();
      return;
    }
    session.line.heard(time);
    try {
      if (bytes.length > max.FRAME_BYTES_MAX) throw new Fault(Code.frameTooLarge, `a frame of ${bytes.length} bytes`, max.FRAME_BYTES_MAX);
      const wire = { agreed: session.agreed ?? CORE, baseMs: 0 };
      const of = channelOf(bytes);
      if (of !== 0 && of !== session.channel?.number && of <= session.number) return passOver(bytes);
      bytes = unpacked(bytes, wire.agreed);
      const { channel, messages } = readFrame(bytes, (n) => (n === session.channel?.number ? wireOf(session.channel, bytes, wire) : wire));
      for (const { message, bytes: cost } of messages) if (this.#session === session) this.#take(session, channel, message, cost);
      if (this.#session === session) session.channel?.grant(time);
    } catch (fault) {
      if (!(fault instanceof Fault)) throw fault;
      if (session.channel?.names?.failed) this.space.set({ trustsNumbers: false });
      session.line.refuse(fault, time);
      this.#ended();
    }
    this.#pump();
  }

  /** A connection ended, or the attempt to make one failed; which, is of no matter to an attempt. */
  hangup(conn: string, time: Time): void {
    this.#time = time;
    if (this.#session?.line.conn === conn) this.#ended();
    else if (!this.#links.hangup(conn, time) && this.#state.at === "connecting") this.#wait();
  }

  /** A peer link stands: this client dialled, or was dialled (PEER-21, PEER-23). */
  link(conn: string, dials: boolean, time: Time): void {
    this.#time = time;
    this.#links.add(conn, dials, time);
    this.space.linked = this.#links.count > 0;
    // Base can be given only by who knows the settled links of all authors (PEER-5).
    if (this.space.linked && !this.space.meta.authorsKnown && this.#session?.agreed?.has(Profile.peer)) this.reopen(true);
    this.#pump();
  }

  /** What the other side of peer links has to show from here on, and what this side shows; null: nothing (PEER-2). */
  setLinkToken(token: string | null): void {
    this.#links.token = token;
  }

  /** The earliest time at which `advance` has something to do; null: none. */
  get wake(): number | null {
    const { session, until } = { session: null, until: Infinity, ...this.#state } as { session: Session | null; until: number };
    const channel = session?.channel;
    const greeting = session && session.agreed === null ? session.hello.now + max.HELLO_TIMEOUT_MS : Infinity;
    const ends = this.#tokenEnds === null ? Infinity : Math.max(this.#tokenEnds - max.TOKEN_REFRESH_MS, 0);
    const wake = Math.min(
      until,
      greeting,
      ends,
      session?.line.wake ?? Infinity,
      session?.reopenAt ?? Infinity,
      channel?.wake ?? Infinity,
      this.#links.wake,
    );
    return wake === Infinity ? null : wake;
  }

  /** Time passed. */
  advance(time: Time): void {
    this.#time = time;
    if (this.#tokenEnds !== null && time.now >= this.#tokenEnds - max.TOKEN_REFRESH_MS) {
      this.#tokenEnds = null;
      this.#tell({ name: "token-wanted" });
    }
    if (this.#state.at === "waiting" && time.now >= this.#state.until) this.#connect();
    else if (this.#state.at === "connecting" && time.now >= this.#state.until) this.#wait();
    const session = this.#session;
    if (session) this.#tick(session, time);
    this.#links.advance(time);
    this.#pump();
  }

  #tick(session: Session, time: Time): void {
    const late = session.agreed === null && time.now >= session.hello.now + max.HELLO_TIMEOUT_MS;
    if (late || !session.line.tick(time) || session.channel?.tick(time) === false) {
      session.line.close();
      this.#ended();
    } else if (time.now >= session.reopenAt) this.#openSpace(session);
  }

  /** What the turns since the last call wrote, and their effects. */
  take(): Outcome {
    if (this.#inSync !== this.#wasInSync) {
      this.#wasInSync = this.#inSync;
      if (this.#inSync) this.#tell({ name: "in-sync" });
    }
    if (this.#links.count !== this.#hadLinks) {
      this.#hadLinks = this.#links.count;
      this.#tell({ name: "links", count: this.#hadLinks });
    }
    const batch = flush(this.space);
    const { shownAnew } = this.space;
    if (shownAnew === null || shownAnew.size > 0) this.#tell({ name: "changed", records: shownAnew && [...shownAnew.values()] });
    this.space.shownAnew = new Map();
    return { batch, effects: this.#outbox.take() };
  }

  // ---- Connection ------------------------------------------------------------------------------------------------

  #tell(event: Event): void {
    this.#outbox.push({ kind: "event", event });
  }

  #connect(): void {
    this.#state = { at: "connecting", until: this.#time.now + max.CONNECT_TIMEOUT_MS };
    this.#outbox.push({ kind: "connect" });
  }

  /** Another attempt follows, after a back-off or within `least` ms where that is longer. */
  #wait(least = 0): void {
    this.#state = { at: "waiting", until: this.#time.now + this.#backOff.next(least) };
  }

  /** The connection is over. */
  #ended(least = 0): void {
    this.#disconnected();
    this.#wait(least);
  }

  #disconnect(state: State): void {
    this.#session?.line.close();
    if (this.#session) this.#disconnected();
    this.#state = state;
  }

  #disconnected(): void {
    if (this.presence.length > 0) this.#tell({ name: "presence", count: this.presence.length });
    this.#tell({ name: "disconnected" });
  }

  #take(session: Session, channel: number, message: Message, cost: number): void {
    if (message.type === "error") this.#onError(session, channel, message);
    else if (channel === 0) this.#onConnection(session, message);
    else if (channel === session.channel?.number) {
      if (message.type === "shut") this.reopen(false);
      else session.channel.take(message, cost, this.#time);
    } else if (channel > session.number) throw unexpected(CODES[message.type]);
  }

  #onConnection(session: Session, message: Message): void {
    if (message.type === "welcome" && session.agreed === null) this.#onWelcome(session, message);
    else if (session.agreed === null && message.type !== "bye") throw unexpected(CODES[message.type]);
    else if (message.type === "ping" || message.type === "pong") {
      const estimate = session.line.answer(message, this.#time);
      if (estimate !== null) this.space.set({ offset: estimate });
    } else if (message.type === "bye") {
      session.line.close();
      this.#ended(message.wait);
    } else throw unexpected(CODES[message.type]);
  }

  #onWelcome(session: Session, { version, profiles, limits, time }: Of<"welcome">): void {
    if (version !== 1) throw new Fault(Code.version, `version ${version} was not offered`, 1);
    const agreed = new Set([Profile.core, ...profiles.filter((code) => OFFERED.includes(code))]);
    if (!agreed.has(Profile.rules)) for (const code of [Profile.peer, Profile.compact]) agreed.delete(code);
    session.agreed = agreed;
    session.limits = limits;
    // CLOCK-14: before further changes are minted on this connection.
    const estimate = offset(session.hello.wall, this.#time.wall, time);
    this.space.set(estimate === null ? { limits } : { limits, offset: estimate });
    if (this.space.meta.collections !== null && !agreed.has(Profile.subscribe)) {
      // SUB-17: all of the space is what this server can give.
      this.#tell({ name: "refused", code: Code.unsupported, class: Class.never });
      this.#disconnect({ at: "idle" });
      return;
    }
    if (!agreed.has(Profile.conditions)) this.#setConditionsAside();
    this.#openSpace(session);
  }

  /** Changes with conditions are not for a server that offers none (COND-5). */
  #setConditionsAside(): void {
    for (const own of this.space.waiting()) {
      if (own.change.rest.has(ChangeKey.conditions)) setAside(this.space, own, Code.unsupported, (event) => this.#tell(event));
    }
  }

  #openSpace(session: Session): void {
    session.reopenAt = Infinity;
    session.number = (session.number % max.CHANNEL_MAX) + 1;
    session.channel = new Channel(this.#host(session), session.number, this.#time);
  }

  #host(session: Session): Host {
    return {
      space: this.space,
      line: session.line,
      agreed: session.agreed ?? CORE,
      limits: session.limits,
      tell: (event) => this.#tell(event),
      reopen: (soon) => this.reopen(soon),
      marked: () => this.#backOff.reset(),
      moved: () => this.#links.moved(this.#time),
      renamed: () => this.#links.endAll(),
      rights: (write) => {
        if (write !== this.#mayWrite) this.#tell({ name: "rights", write });
        this.#mayWrite = write;
      },
    };
  }

  /** Leaves the channel and opens the space on another: at once, or after a back-off (SESS-21). */
  reopen(soon: boolean): void {
    const session = this.#session;
    const channel = session?.channel;
    if (!session || !channel) return;
    channel.send({ type: "shut" }, this.#time);
    channel.ended = true;
    session.channel = null;
    const wait = soon ? 0 : this.#backOff.next();
    if (wait === 0) this.#openSpace(session);
    else session.reopenAt = this.#time.now + wait;
  }

  /** An error ends its channel or the connection: with one space a client then has no use for either. */
  #onError(session: Session, number: number, { code, class: kind, detail }: Of<"error">): void {
    if (number !== 0 && number !== session.channel?.number) return;
    const underWay = session.channel?.underWay ?? [];
    if (kind === Class.never && underWay.length > 0) this.#findWhatNobodyTakes(underWay, code);
    session.line.close();
    if (code === Code.replaced && number !== 0) {
      remint(this.space, this.space.meta.settled + 1, 0, (event) => this.#tell(event));
      this.#links.endAll();
    }
    if (kind === Class.never || kind === Class.credentials) {
      this.#disconnected();
      this.#state = { at: "idle" };
      this.#tell({ name: "refused", code, class: kind });
    } else this.#ended(kind === Class.wait ? Math.min(detail ?? 0, max.BACKOFF_CAP_MS) : 0);
  }

  /** One change at a time from here on; the one that was alone under way is it (IDENT-28, IDENT-29). */
  #findWhatNobodyTakes(underWay: readonly { readonly seq: number }[], code: number): void {
    const only = underWay.length === 1 && this.space.meta.probing ? this.space.ownAt(underWay[0]?.seq ?? 0) : undefined;
    if (only?.status === "waiting") setAside(this.space, only, code, (event) => this.#tell(event));
    this.space.set({ probing: only === undefined });
  }

  #pump(): void {
    this.#session?.channel?.pump(this.#time);
    this.#links.pump(this.#time);
  }
}

/** How a frame of an open channel is read. */
function wireOf({ baseMs, names }: Channel, frame: Uint8Array, wire: Wire): Wire {
  if (!names) return { ...wire, baseMs };
  names.literalBytes = frame.length;
  return { ...wire, baseMs, names };
}

const CORE: ReadonlySet<number> = new Set([Profile.core]);

function checkedNames(collections: readonly string[]): string[] {
  const names = [...new Set(collections)].sort(textCompare);
  if (names.length < 1 || names.length > max.SUBSCRIPTION_COLLECTIONS_MAX) throw new Refused(`${names.length} collections`);
  for (const name of names) {
    const bytes = textBytes(name);
    if (bytes < 1 || bytes > max.COLLECTION_NAME_BYTES_MAX) throw new Refused(`a collection's name of ${bytes} bytes`);
  }
  return names;
}
