/** A space on a channel of a connection to a server, as the client keeps it (spec 7, 8, 14 to 20). */

import { hashOf, nextLink, Profile, startLink, writePushed, type Change, type Row } from "./change.js";
import type { Hex } from "./bytes.js";
import { Writer } from "./cbor.js";
import { CatchUp, openCursor } from "./catchup.js";
import type { Event } from "./event.js";
import { malformed, unexpected } from "./fault.js";
import type { Line, Time } from "./line.js";
import { ACK_TIMEOUT_MS, CREDIT_BYTES, limit, LimitKey, RESET_INTERVAL_MS, type Limits } from "./limits.js";
import { CODES, type Cursor, type Message, type Of } from "./message.js";
import { Names, type RecordName } from "./names.js";
import { Neighbours } from "./neighbours.js";
import { Repair } from "./repair.js";
import { remint, settle, settleHeld, type Place } from "./settle.js";
import type { Space } from "./space.js";

/** What a channel needs of its client. */
export interface Host {
  readonly space: Space;
  readonly line: Line;
  readonly agreed: ReadonlySet<number>;
  /** What the server advertised. */
  readonly limits: Limits;
  tell(event: Event): void;
  /** Ends the channel with `shut` and opens the space on another: at once, or after a back-off. */
  reopen(soon: boolean): void;
  /** A mark came: attempts count from 0 again (SESS-10). */
  marked(): void;
  /** Base moved, or what is held. */
  moved(): void;
  /** The replica took a fresh id: its peer links end. */
  renamed(): void;
  /** Whether the application was told that it may write. */
  rights(write: boolean): void;
}

interface UnderWay {
  readonly seq: number;
  readonly bytes: number;
}

export class Channel {
  baseMs = 0;
  opened = false;
  /** Whether its client left it with `shut`. */
  ended = false;
  /** The history of the log that the server has open. */
  #history: Hex = "";
  /** The head of the log, as far as the server said. */
  head = 0;
  /** Whether a mark at the cursor said that base is equal. */
  equal = false;
  mayWrite = true;
  /** No change is pushed: base is to be replaced first, or the id to be left (HORIZON-12, IDENT-12). */
  #held = false;
  #sent = 0;
  #underWay: UnderWay[] = [];
  #underWayBytes = 0;
  /** When something came last on the channel, or a push set out. */
  #heardAt: number;
  /** There is something to push, and no credit for it (FLOW-6). */
  #starved = false;
  /** The bytes of data sent and let through, and taken in and granted (spec 15). */
  #cost = 0;
  #credit: number;
  #taken = 0;
  #granted = CREDIT_BYTES;
  readonly catchUp: CatchUp;
  readonly repair: Repair;
  readonly neighbours: Neighbours;
  /** What numbers stand for here; null where none may come (COMPACT-5). */
  readonly names: Names | null;
  /** How many names were said before the message that is taken in, and whether those that are kept go on otherwise. */
  #said: readonly [columns: number, replicas: number] = [0, 0];
  #namesAnew = false;
  #mark: Of<"mark"> | null = null;

  constructor(
    readonly host: Host,
    readonly number: number,
    time: Time,
  ) {
    this.#heardAt = time.now;
    this.#credit = limit(host.limits, LimitKey.credit);
    this.catchUp = new CatchUp(host.space);
    this.repair = new Repair(host.space);
    this.neighbours = new Neighbours(host.space);
    const cursor = openCursor(host.space, host.agreed);
    this.names = this.#namesFor(cursor);
    this.#open(cursor, time);
  }

  /** The names that this side goes on from: none where base begins, and null where it is to be sent literals (COMPACT-3, COMPACT-11). */
  #namesFor(cursor: Cursor | null): Names | null {
    const { space, agreed } = this.host;
    if (!agreed.has(Profile.compact) || !space.meta.trustsNumbers) return null;
    if (cursor === null || space.stage?.replaces) {
      this.#namesAnew = true;
      return new Names();
    }
    if (!space.base.allNumbered) return null;
    this.#said = [space.names.columns.length, space.names.replicas.length];
    return space.names.copy();
  }

  #open(cursor: Cursor | null, time: Time): void {
    const { space, agreed } = this.host;
    const { replica, settled, collections, known } = space.meta;
    const subscribes = agreed.has(Profile.subscribe);
    this.send(
      {
        type: "open",
        space: space.name,
        replica,
        settled,
        cursor,
        ...(subscribes && collections ? { collections } : {}),
        ...(subscribes && known && cursor ? { known } : {}),
        ...(this.names ? { names: this.#said } : {}),
      },
      time,
    );
  }

  send(message: Message, time: Time): number {
    return this.host.line.send(this.number, message, time, this.baseMs);
  }

  /** How many pushed changes have no verdict. */
  get underWay(): readonly UnderWay[] {
    return this.#underWay;
  }

  /** Takes a message in; `bytes` is what it costs. */
  take(message: Message, bytes: number, time: Time): void {
    this.#heardAt = time.now;
    if (message.type === "opened") this.#onOpened(message, time);
    else if (!this.opened) throw unexpected(CODES[message.type]);
    else {
      this.#account(message, bytes);
      this.#dispatch(this.names?.resolved(message, (n) => this.#knownRecord(message, n)) ?? message, time);
    }
  }

  /** The record that a message may say by its number alone: one that base had it for before (COMPACT-8). */
  #knownRecord(message: Message, n: number): RecordName | undefined {
    const anew = message.type === "states" && (this.catchUp.replaces || message.replaced !== undefined);
    return anew ? undefined : this.host.space.base.numbered(n);
  }

  #onNames(message: Of<"names">): void {
    if (!this.names) throw unexpected(CODES.names);
    if (!this.names.has(message)) return this.host.reopen(false);
    const { firstColumn, columns, firstReplica, replicas } = message;
    const [a, b] = this.#said;
    this.#said = [Math.max(a, firstColumn + columns.length - 1), Math.max(b, firstReplica + replicas.length - 1)];
  }

  /** Keeps the names that were said up to here, with what moves the cursor (COMPACT-6). */
  #keepNames(): void {
    const { space } = this.host;
    const [columns, replicas] = this.#said;
    const { names } = space;
    if (!this.names || (!this.#namesAnew && names.columns.length === columns && names.replicas.length === replicas)) return;
    this.#namesAnew = false;
    space.keepNames(new Names(this.names.columns.slice(0, columns), this.names.replicas.slice(0, replicas)));
  }

  #dispatch(message: Message, time: Time): void {
    switch (message.type) {
      case "names":
        return this.#onNames(message);
      case "states":
        return message.replaced ? this.repair.replace(message) : this.#onStates(message, time);
      case "change":
        return this.#onChange(message, time);
      case "void":
        return this.#onVoid(message);
      case "ack":
        return this.#onAck(message, time);
      case "reject":
        return this.#onReject(message, time);
      case "mark":
        return this.#onMark(message, time);
      case "credit":
        this.#credit = Math.max(this.#credit, message.bytes);
        return;
      case "ranges":
        return this.#onRanges(message, time);
      case "presence":
        return this.host.tell(this.neighbours.take(message));
      case "signal":
        return this.host.tell({ name: "signal", from: message.replica, payload: message.payload });
      default:
        throw unexpected(CODES[message.type]);
    }
  }

  /** Counts what came of data; it may begin within the credit only (FLOW-4). */
  #account({ type }: Message, bytes: number): void {
    if (!this.host.agreed.has(Profile.flow) || (type !== "change" && type !== "void" && type !== "states")) return;
    if (this.#taken >= this.#granted) throw unexpected(CODES[type]);
    this.#taken += bytes;
  }

  /** Lets more come once a frame is taken in and half of the credit is used up (FLOW-3). */
  grant(time: Time): void {
    if (this.ended || !this.host.agreed.has(Profile.flow) || this.#granted - this.#taken > CREDIT_BYTES / 2) return;
    this.#granted = this.#taken + CREDIT_BYTES;
    this.send({ type: "credit", bytes: this.#granted }, time);
  }

  #onOpened(m: Of<"opened">, time: Time): void {
    if (this.opened) throw unexpected(CODES.opened);
    const { agreed } = this.host;
    this.opened = true;
    this.baseMs = m.baseMs;
    this.#history = m.history;
    this.head = m.position;
    this.mayWrite = m.rights !== 1;
    this.host.rights(this.mayWrite);
    if (m.reset > 1) this.host.tell({ name: "reset", reason: m.reset });
    if (this.catchUp.isParted(m)) return this.host.reopen(true);
    this.catchUp.begin(m);
    this.#held = this.catchUp.forgets;
    if (m.reset !== 0) this.#forgetNames();
    this.#sent = m.seq;
    this.#compareChains(m);
    if (this.ended) return;
    if (agreed.has(Profile.presence)) this.neighbours.renew(time, (presence) => this.send(presence, time));
  }

  /** After a reset the server takes this side to know none. Those that are kept go once base does. */
  #forgetNames(): void {
    this.names?.columns.splice(0);
    this.names?.replicas.splice(0);
    [this.#said, this.#namesAnew] = [[0, 0], true];
  }

  /** Compares the server's link with the own chain: a fork, what it lost, or all is well (IDENT-11 to IDENT-19). */
  #compareChains({ seq, link }: Of<"opened">): void {
    const { space } = this.host;
    const { settled, floor } = space.meta;
    const own = space.linkAt(seq);
    if (seq > space.minted || (own !== undefined && own !== link)) {
      // The outcomes that are to come say up to where both agree (IDENT-13).
      if (seq > settled) [this.catchUp.forked, this.#held] = [true, true];
      else this.#rename(settled + 1, 0);
    } else if (seq < floor.seq) {
      this.#rename(seq + 1, floor.seq - seq);
    } else if (seq < settled) {
      this.catchUp.offerAgain(seq);
      this.#held ||= this.catchUp.replaces;
    }
  }

  /** Takes a fresh id and opens the space under it (IDENT-12, IDENT-19). */
  #rename(from: number, lost: number): void {
    remint(this.host.space, from, lost, this.host.tell.bind(this.host));
    this.host.renamed();
    this.host.reopen(true);
  }

  /** Pushes what the window, the credit and the right let through (SESS-19, FLOW-1, ACCESS-12). */
  pump(time: Time): void {
    const { space, limits, agreed } = this.host;
    if (!this.opened || this.ended || this.#held || !this.mayWrite) return;
    const most = space.meta.probing ? 1 : limit(limits, LimitKey.pushWindowChanges);
    const credit = (): boolean => !agreed.has(Profile.flow) || this.#cost < this.#credit;
    const carry = (seq: number): void => {
      if (agreed.has(Profile.peer) && !this.catchUp.underWay)
        this.neighbours.carry(seq, (push) => (this.#cost += this.send(push, time)), credit);
    };
    const mostBytes = limit(limits, LimitKey.pushWindowBytes);
    while (this.#underWay.length < most) {
      const own = space.ownAt(this.#sent + 1);
      carry(own ? own.change.seq : Infinity);
      const starved = own !== undefined && !credit();
      if (starved && !this.#starved && this.#underWay.length === 0) this.#heardAt = time.now;
      this.#starved = starved;
      if (!own || starved) break;
      const changes = [space.offerOf(own)] as const;
      const w = new Writer();
      writePushed(w, changes[0], this.baseMs);
      // A change that is longer than the whole window goes alone: else it would never go.
      if (this.#underWay.length > 0 && this.#underWayBytes + w.length > mostBytes) break;
      if (this.#underWay.length === 0) this.#heardAt = time.now;
      this.#cost += this.send({ type: "push", changes }, time);
      this.#sent++;
      this.#underWay.push({ seq: own.change.seq, bytes: w.length });
      this.#underWayBytes += w.length;
    }
  }

  #verdicts(upTo: number): void {
    while (this.#underWay[0] && this.#underWay[0].seq <= upTo) this.#underWayBytes -= this.#underWay.shift()?.bytes ?? 0;
  }

  /** Whether `position` is the one after the cursor, `settled` positions on; without that the channel is left (SESS-21). */
  #inOrder(position: number, settled = 1): boolean {
    const { cursor, collections } = this.host.space.meta;
    const follows =
      cursor !== null && (collections === null ? position === cursor.position + settled : position >= cursor.position + settled);
    if (follows && !this.catchUp.underWay) return true;
    this.host.reopen(false);
    return false;
  }

  #moveCursor(position: number): void {
    const { space } = this.host;
    const { cursor, lineage } = space.meta;
    if (cursor && cursor.history !== this.#history) lineage.set(cursor.history, cursor.position);
    space.set({ cursor: { position, history: this.#history } });
    this.#keepNames();
    this.head = Math.max(this.head, position);
    this.equal = false;
    this.host.moved();
  }

  #onChange({ position, author, change }: Of<"change">, time: Time): void {
    const { space } = this.host;
    if (author === space.meta.replica) throw unexpected(CODES.change);
    if (!this.#inOrder(position)) return;
    space.base.apply(author, change, position, space.wanted);
    space.base.numberRows(change.rows);
    space.observe(change.reading, time.wall + space.meta.offset);
    this.#settleAuthor(author, change, position);
    this.#moveCursor(position);
  }

  /** Keeps what is settled of another author, and drops what was held of it (PEER-5). */
  #settleAuthor(author: Hex, change: Change, position: number): void {
    const { space, agreed } = this.host;
    if (!agreed.has(Profile.peer)) {
      if (space.meta.authorsKnown) space.set({ authorsKnown: false });
      return;
    }
    const before = space.settledOf.get(author);
    const link = change.seq === 1 ? startLink(space.name, author) : before?.seq === change.seq - 1 ? before.link : undefined;
    if (link === undefined) space.set({ authorsKnown: false });
    else settleHeld(space, author, change.seq, nextLink(link, hashOf(change)), position);
  }

  #onVoid({ position, author, seq, link }: Of<"void">): void {
    const { space, agreed } = this.host;
    if (author === space.meta.replica) throw unexpected(CODES.void);
    if (!this.#inOrder(position)) return;
    if (link !== undefined) settleHeld(space, author, seq, link, position);
    else if (!agreed.has(Profile.peer) && space.meta.authorsKnown) space.set({ authorsKnown: false });
    this.#moveCursor(position);
  }

  #onAck({ seq, position, numbers }: Of<"ack">, time: Time): void {
    const { space } = this.host;
    const { settled } = space.meta;
    if (seq <= settled) return;
    if (seq > this.#sent) throw unexpected(CODES.ack);
    if (!this.#inOrder(position, seq - settled)) return;
    for (let at = settled + 1; at <= seq; at++) {
      const own = space.ownAt(at);
      const place: Place = { position: position - (seq - at), inBase: false, wall: time.wall };
      if (own) settle(space, own, ACCEPTED, place, (event) => this.host.tell(event));
    }
    if (numbers && this.names) this.#numberOwn(settled, seq, numbers);
    this.#verdicts(seq);
    this.#moveCursor(position);
  }

  /** Takes in the numbers that records got by own changes (COMPACT-9). */
  #numberOwn(settled: number, seq: number, numbers: readonly number[]): void {
    const { space } = this.host;
    const rows: Row[] = [];
    for (let at = settled + 1; at <= seq; at++) rows.push(...(space.ownAt(at)?.change.rows ?? []));
    if (numbers.length !== rows.length) throw malformed(`${numbers.length} numbers for ${rows.length} rows`);
    rows.forEach(({ collection, id }, i) => {
      const number = numbers[i] as number;
      if (number > 0) space.base.number(collection, id, number);
    });
  }

  #onReject({ seq, position, verdict }: Of<"reject">, time: Time): void {
    const { space } = this.host;
    const { settled } = space.meta;
    if (seq <= settled) return;
    const own = space.ownAt(seq);
    if (seq !== settled + 1 || seq > this.#sent || !own) throw unexpected(CODES.reject);
    if (!this.#inOrder(position)) return;
    settle(space, own, verdict, { position, inBase: false, wall: time.wall }, (event) => this.host.tell(event));
    this.#verdicts(seq);
    this.#moveCursor(position);
  }

  #onStates(m: Of<"states">, time: Time): void {
    const { space, agreed } = this.host;
    this.equal = false;
    if (!this.catchUp.follows(m)) return this.host.reopen(false);
    if (!m.last) {
      // What replaces base begins without names when it is gone on with.
      if (!this.catchUp.replaces) this.#keepNames();
      return this.catchUp.stage(m);
    }
    const anew = this.catchUp.replaces;
    const done = this.catchUp.complete(m, time, agreed, (event) => this.host.tell(event));
    if (anew) space.keepNames(new Names());
    this.#keepNames();
    this.host.moved();
    this.#verdicts(space.meta.settled);
    if (done.forked) return this.#rename(space.meta.settled + 1, 0);
    this.#held = false;
  }

  #onMark(m: Of<"mark">, time: Time): void {
    const { space } = this.host;
    const { cursor, collections } = space.meta;
    this.host.marked();
    if (m.backedUp !== undefined) space.forget(m.backedUp);
    if (this.catchUp.underWay || cursor === null || m.position < cursor.position) return;
    if (m.position > cursor.position) {
      if (collections === null) return this.host.reopen(false);
      this.#moveCursor(m.position);
    }
    this.#mark = m;
    this.#compare(time);
  }

  /** Compares base with the last mark, where that is at the cursor (SYNC-20). */
  #compare(time: Time): void {
    const { space, agreed } = this.host;
    const { cursor, collections, resetAt } = space.meta;
    const mark = this.#mark;
    if (!mark || mark.position !== cursor?.position) return;
    this.equal = mark.fingerprint === space.base.fingerprint(collections);
    if (this.equal || this.repair.asking) return;
    const question = agreed.has(Profile.repair) ? this.repair.ask(time.now) : null;
    if (question) this.send(question, time);
    else if (resetAt === 0 || time.now - resetAt >= RESET_INTERVAL_MS) {
      space.dropStage();
      space.set({ resetAt: time.now, cursor: null, known: null });
      this.host.reopen(true);
    } else this.host.tell({ name: "mismatch" });
  }

  #onRanges(m: Of<"ranges">, time: Time): void {
    const question = this.repair.answer(m);
    if (question) this.send(question, time);
    else this.#compare(time);
  }

  /** An answer is due: to `open`, to a push, or credit for one (SESS-14, FLOW-6). */
  get #waits(): boolean {
    return !this.opened || this.#underWay.length > 0 || this.#starved;
  }

  /** When this channel wants to be looked at. */
  get wake(): number {
    return Math.min(this.#waits ? this.#heardAt + ACK_TIMEOUT_MS : Infinity, this.opened ? this.neighbours.wake : Infinity);
  }

  /** False: an answer is overdue, and the connection is to be given up (SESS-14, FLOW-6). */
  tick(time: Time): boolean {
    if (this.#waits && time.now >= this.#heardAt + ACK_TIMEOUT_MS) return false;
    if (this.opened && this.host.agreed.has(Profile.presence)) this.neighbours.tick(time, (presence) => this.send(presence, time));
    return true;
  }
}

const ACCEPTED = { code: 0, class: 0, detail: null };
