/** One end of a connection: what is sent and when something was last heard (spec 7). */

import { Writer } from "./cbor.js";
import type { Effect } from "./event.js";
import { Class, type Fault } from "./fault.js";
import { offset } from "./clock.js";
import { PING_INTERVAL_MS, SILENCE_TIMEOUT_MS } from "./limits.js";
import { type Message } from "./message.js";
import { encodeMessage } from "./write.js";

/** A moment: `now` for waits, which only rises, and the device's clock. Both in ms. */
export interface Time {
  readonly now: number;
  readonly wall: number;
}

/** Up to so many bytes of messages share a frame. */
const FRAME_SHARE_BYTES = 65_536;

/** Effects in order; messages of one connection and channel that follow each other share a frame. */
export class Outbox {
  #effects: Effect[] = [];
  #conn = "";
  #channel = 0;
  #frame: Writer | null = null;

  push(effect: Effect): void {
    this.#close();
    this.#effects.push(effect);
  }

  send(conn: string, channel: number, bytes: Uint8Array): void {
    const full = this.#frame !== null && this.#frame.length + bytes.length > FRAME_SHARE_BYTES;
    if (full || conn !== this.#conn || channel !== this.#channel) this.#close();
    this.#frame ??= new Writer().int(channel);
    this.#frame.raw(bytes);
    [this.#conn, this.#channel] = [conn, channel];
  }

  #close(): void {
    if (this.#frame) this.#effects.push({ kind: "frame", conn: this.#conn, bytes: this.#frame.bytes() });
    this.#frame = null;
  }

  take(): Effect[] {
    this.#close();
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }
}

export class Line {
  #heard: number;
  #sent: number;
  #pings = 0;
  /** When `ping` was sent, by the device's clock. */
  #pingedAt = 0;

  constructor(
    readonly conn: string,
    readonly outbox: Outbox,
    time: Time,
  ) {
    this.#heard = time.now;
    this.#sent = time.now;
  }

  /** Sends a message and gives what it cost. */
  send(channel: number, message: Message, time: Time, baseMs = 0): number {
    const bytes = encodeMessage(message, baseMs);
    this.outbox.send(this.conn, channel, bytes);
    this.#sent = time.now;
    return bytes.length;
  }

  heard(time: Time): void {
    this.#heard = time.now;
  }

  /** Sends the error that says what the other side did, and closes (SESS-9). */
  refuse(fault: Fault, time: Time): void {
    this.send(0, { type: "error", code: fault.code, class: Class.never, detail: fault.detail, text: fault.message.slice(0, 80) }, time);
    this.close();
  }

  close(): void {
    this.outbox.push({ kind: "close", conn: this.conn });
  }

  /** Answers `ping`; of `pong`, gives the offset that it tells, if any (SESS-6, CLOCK-13). */
  answer(message: Message, time: Time): number | null {
    if (message.type === "ping") this.send(0, { type: "pong", n: message.n, time: Math.max(0, Math.floor(time.wall)) }, time);
    else if (message.type === "pong" && message.n === this.#pings) return offset(this.#pingedAt, time.wall, message.time);
    return null;
  }

  /** When this line wants to be looked at: to ping, or to be taken for dead. */
  get wake(): number {
    return Math.min(this.#sent + PING_INTERVAL_MS, this.#heard + SILENCE_TIMEOUT_MS);
  }

  /** Pings where nothing was sent for long (SESS-7). False: nothing was heard for too long (SESS-8). */
  tick(time: Time): boolean {
    if (time.now >= this.#heard + SILENCE_TIMEOUT_MS) return false;
    if (time.now >= this.#sent + PING_INTERVAL_MS) {
      this.#pingedAt = time.wall;
      this.send(0, { type: "ping", n: ++this.#pings }, time);
    }
    return true;
  }
}
