/** Frames over a WebRTC data channel, and links to other clients whose offers and answers travel as signals (spec 11 and 23). */

import type { Hex } from "../core/bytes.js";
import { decode, encode } from "../core/cbor.js";
import { Fault } from "../core/fault.js";
import { FRAGMENT_BYTES_MAX, FRAME_BYTES_MAX, LINKS_MAX } from "../core/limits.js";
import type { Replica } from "../replica.js";
import type { Connection, Listener, Transport } from "./transport.js";

/** The protocol of the data channel. */
const PROTOCOL = "syncline.1";
/** So much may wait in the channel; what comes beyond it waits here. */
const BUFFERED_BYTES_MAX = 262_144;
/** An attempt that came to nothing by then is given up. */
const ATTEMPT_MS = 30_000;
/** So long after a link was lost, or an attempt at one, who meets others dials again. */
const AGAIN_MS = 1_000;
/** No frame: what no fragment can be part of counts as. */
const NO_FRAME = new Uint8Array();

/** The part of the browser's `RTCDataChannel` that is used. */
export type DataChannel = Pick<
  RTCDataChannel,
  "binaryType" | "readyState" | "protocol" | "bufferedAmount" | "bufferedAmountLowThreshold" | "send" | "close"
> & {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onbufferedamountlow: ((event: never) => void) | null;
};

/** The messages of a frame: a byte, 1 where more of it follows, and the next of its bytes (BIND-8). */
export function* fragments(frame: Uint8Array): Generator<Uint8Array<ArrayBuffer>> {
  const size = FRAGMENT_BYTES_MAX - 1;
  for (let at = 0; at === 0 || at < frame.length; at += size) {
    const part = frame.subarray(at, at + size);
    const message = new Uint8Array(1 + part.length);
    message[0] = at + size < frame.length ? 1 : 0;
    message.set(part, 1);
    yield message;
  }
}

/** Puts the messages of a channel together to frames (BIND-9). */
export class Defragmenter {
  #parts: Uint8Array[] = [];
  #size = 0;

  /** The frame that ends with this message, or null. A message that is no fragment gives what is no frame, and is refused as that. */
  take(message: unknown): Uint8Array | null {
    if (!(message instanceof ArrayBuffer) || message.byteLength < 1 || message.byteLength > FRAGMENT_BYTES_MAX) return NO_FRAME;
    const bytes = new Uint8Array(message);
    const more = bytes[0] as number;
    if (more > 1) return NO_FRAME;
    this.#parts.push(bytes.subarray(1));
    this.#size += bytes.length - 1;
    // Too long is said of what came so far: no more of it is kept.
    if (more === 1 && this.#size <= FRAME_BYTES_MAX) return null;
    const frame = new Uint8Array(this.#size);
    let at = 0;
    for (const part of this.#parts) {
      frame.set(part, at);
      at += part.length;
    }
    [this.#parts, this.#size] = [[], 0];
    return frame;
  }
}

/** Frames over a data channel, which must be ordered and reliable. */
export function dataChannel(channel: DataChannel): Transport {
  return { trusted: true, connect: (listener) => connect(channel, listener) };
}

function connect(channel: DataChannel, listener: Listener): Connection {
  const [waiting, incoming] = [[] as Uint8Array<ArrayBuffer>[], new Defragmenter()];
  let over = false;
  const end = (): void => {
    if (over) return;
    over = true;
    waiting.length = 0;
    listener.closed();
  };
  const pump = (): void => {
    while (!over && waiting.length > 0 && channel.readyState === "open" && channel.bufferedAmount < BUFFERED_BYTES_MAX)
      channel.send(waiting.shift() as Uint8Array<ArrayBuffer>);
  };
  channel.binaryType = "arraybuffer";
  channel.bufferedAmountLowThreshold = BUFFERED_BYTES_MAX / 2;
  channel.onbufferedamountlow = pump;
  channel.onmessage = ({ data }: { readonly data: unknown }) => {
    const frame = over ? null : incoming.take(data);
    if (frame) listener.frame(frame);
  };
  channel.onclose = end;
  // Told in a turn of its own, as an event would be.
  if (channel.readyState === "open") queueMicrotask(() => !over && listener.opened());
  else channel.onopen = () => listener.opened();
  return {
    send: (frame) => {
      waiting.push(...fragments(frame));
      pump();
    },
    close: () => {
      channel.close();
      end();
    },
  };
}

export interface WebRtcOptions extends RTCConfiguration {
  /** The constructor; by default the browser's. */
  readonly RTCPeerConnection?: new (configuration: RTCConfiguration) => RTCPeerConnection;
  /** What was heard and is no offer or answer, or could not be taken. */
  readonly onError?: (error: unknown) => void;
}

interface Attempt {
  readonly peer: RTCPeerConnection;
  /** Its name, which the answer repeats. */
  readonly name: string;
  readonly timer: ReturnType<typeof setTimeout>;
}

/** An offer or an answer, with all candidates in it. */
type Said = readonly [name: string, kind: "offer" | "answer", sdp: string];

/**
 * Links a replica to others of its space without a server between: each says `meet`, or one asks another by `dial`. The server carries
 * the offer and the answer only, and a link that stands lives on without it.
 */
export class WebRtcLinks {
  readonly #attempts = new Map<Hex, Attempt>();
  readonly #peers = new Map<Hex, RTCPeerConnection>();
  readonly #ends: (() => void)[];
  #closed = false;
  /** Dials those that are present, once `meet` was called. */
  #meet: (() => void) | null = null;
  #again: ReturnType<typeof setTimeout> | null = null;

  constructor(
    readonly replica: Replica,
    readonly options: WebRtcOptions = {},
  ) {
    this.#ends = [
      replica.on("signal", ({ from, payload }) => {
        const said = readSaid(payload);
        // Other signals are the application's.
        if (said) void this.#hear(from, said).catch((error) => this.#failed(from, error));
      }),
    ];
  }

  /** The replicas to which a link stands. */
  get linked(): readonly Hex[] {
    return [...this.#peers.keys()];
  }

  /** Dials every replica that is present, of each pair the lesser one the greater. Both sides must be present (`Replica.present`). */
  meet(): void {
    if (this.#meet) return;
    this.#meet = () => {
      for (const [other] of this.replica.presence) if (this.replica.status.replica < other) this.dial(other);
    };
    this.#ends.push(this.replica.on("presence", this.#meet));
    this.#meet();
  }

  /** Asks another replica for a link; nothing where there is one or one is on the way, or there are as many as there may be. */
  dial(to: Hex): void {
    if (this.#closed || this.#peers.has(to) || this.#attempts.has(to) || this.#full) return;
    const { peer, name } = this.#attempt(to, crypto.randomUUID());
    const channel = peer.createDataChannel(PROTOCOL, { protocol: PROTOCOL });
    channel.onopen = () => this.#stands(to, peer, channel, true);
    this.#describe(to, peer, name, "offer").catch((error) => this.#failed(to, error));
  }

  /** Ends all links and makes no more. */
  close(): void {
    this.#closed = true;
    if (this.#again) clearTimeout(this.#again);
    for (const end of this.#ends) end();
    for (const { peer, timer } of this.#attempts.values()) (clearTimeout(timer), peer.close());
    for (const peer of this.#peers.values()) peer.close();
    this.#attempts.clear();
    this.#peers.clear();
  }

  /** Whoever is in the space may send offers, each of which costs a connection. */
  get #full(): boolean {
    return this.#attempts.size + this.#peers.size >= LINKS_MAX;
  }

  #attempt(with_: Hex, name: string): Attempt {
    const { RTCPeerConnection = globalThis.RTCPeerConnection, onError: _, ...configuration } = this.options;
    const peer = new RTCPeerConnection(configuration);
    const timer = setTimeout(() => this.#failed(with_, new Error(`no connection within ${ATTEMPT_MS} ms`)), ATTEMPT_MS);
    const attempt: Attempt = { peer, name, timer };
    this.#attempts.set(with_, attempt);
    return attempt;
  }

  async #hear(from: Hex, [name, kind, sdp]: Said): Promise<void> {
    if (this.#closed) return;
    const ours = this.#attempts.get(from);
    if (kind === "answer") {
      if (ours?.name === name) await ours.peer.setRemoteDescription({ type: "answer", sdp });
      return;
    }
    // Both dialled: the lesser one's offer goes on.
    if (ours && this.replica.status.replica < from) return;
    this.#giveUp(from);
    // Who offers anew has lost the link that stood.
    this.#peers.get(from)?.close();
    this.#peers.delete(from);
    if (this.#full) return;
    const { peer } = this.#attempt(from, name);
    peer.ondatachannel = ({ channel }) => {
      if (channel.protocol !== PROTOCOL) return channel.close();
      if (channel.readyState === "open") this.#stands(from, peer, channel, false);
      else channel.onopen = () => this.#stands(from, peer, channel, false);
    };
    await peer.setRemoteDescription({ type: "offer", sdp });
    await this.#describe(from, peer, name, "answer");
  }

  /** Sends the own description once all candidates are in it. */
  async #describe(to: Hex, peer: RTCPeerConnection, name: string, kind: "offer" | "answer"): Promise<void> {
    await peer.setLocalDescription();
    if (peer.iceGatheringState !== "complete")
      await new Promise<void>((resolve) => {
        peer.onicegatheringstatechange = () => peer.iceGatheringState === "complete" && resolve();
      });
    const sdp = peer.localDescription?.sdp;
    if (this.#closed || this.#attempts.get(to)?.peer !== peer || sdp === undefined) return;
    if (!this.replica.signal(to, encode([name, kind, sdp]))) throw new Error("no server carries signals");
  }

  #stands(to: Hex, peer: RTCPeerConnection, channel: DataChannel, dials: boolean): void {
    const attempt = this.#attempts.get(to);
    if (attempt?.peer !== peer) return peer.close();
    clearTimeout(attempt.timer);
    this.#attempts.delete(to);
    this.#peers.set(to, peer);
    const transport = dataChannel(channel);
    const gone = (): void => {
      peer.close();
      if (this.#peers.get(to) !== peer) return;
      this.#peers.delete(to);
      this.#meetAgain();
    };
    this.replica.link(
      {
        trusted: transport.trusted,
        connect: (listener) => transport.connect({ ...listener, closed: () => (gone(), listener.closed()) }),
      },
      dials,
    );
  }

  #giveUp(with_: Hex): void {
    const attempt = this.#attempts.get(with_);
    clearTimeout(attempt?.timer);
    attempt?.peer.close();
    this.#attempts.delete(with_);
  }

  #failed(with_: Hex, error: unknown): void {
    this.#giveUp(with_);
    this.options.onError?.(error);
    this.#meetAgain();
  }

  /** No event tells that one who was there all along can be dialled again. */
  #meetAgain(): void {
    if (this.#closed || !this.#meet) return;
    this.#again ??= setTimeout(() => ((this.#again = null), this.#meet?.()), AGAIN_MS);
  }
}

function readSaid(payload: Uint8Array): Said | null {
  try {
    const value = decode(payload);
    if (!Array.isArray(value) || value.length !== 3) return null;
    const [name, kind, sdp] = value as readonly unknown[];
    return typeof name === "string" && (kind === "offer" || kind === "answer") && typeof sdp === "string" ? [name, kind, sdp] : null;
  } catch (fault) {
    if (fault instanceof Fault) return null;
    throw fault;
  }
}
