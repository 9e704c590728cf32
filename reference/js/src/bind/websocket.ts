/** Frames over WebSocket (spec 11). */

import type { Connection, Listener, Transport } from "./transport.js";

const SUBPROTOCOL = "syncline.1";
/** No frame: what a text message counts as (BIND-3). */
const NO_FRAME = new Uint8Array();

/** The part of the browser's `WebSocket` that is used; the package `ws` has it too. */
export interface Socket {
  binaryType: string;
  readonly protocol: string;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(bytes: Uint8Array<ArrayBuffer>): void;
  close(): void;
}

export interface WebSocketOptions {
  /** The constructor; by default the one of the browser, which Node has from version 22 on. */
  readonly WebSocket?: new (url: string, protocol: string) => Socket;
  /** Whether tokens may travel over a plain connection that leaves the device (BIND-6). */
  readonly allowPlain?: boolean;
}

const isLoopback = (host: string): boolean =>
  host === "localhost" || host.endsWith(".localhost") || host === "[::1]" || /^127(\.\d+){3}$/.test(host);

/** Connects to a server at a `ws:` or `wss:` address. */
export function webSocket(url: string, options: WebSocketOptions = {}): Transport {
  const { protocol, hostname } = new URL(url);
  const WebSocket = options.WebSocket ?? (globalThis.WebSocket as unknown as WebSocketOptions["WebSocket"]);
  if (!WebSocket) throw new TypeError("no WebSocket here: give one in the options, such as that of the package ws");
  return {
    trusted: protocol === "wss:" || isLoopback(hostname) || options.allowPlain === true,
    connect: (listener) => connect(new WebSocket(url, SUBPROTOCOL), listener),
  };
}

function connect(socket: Socket, listener: Listener): Connection {
  let over = false;
  const end = (): void => {
    if (over) return;
    over = true;
    listener.closed();
  };
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    if (socket.protocol === SUBPROTOCOL) listener.opened();
    else socket.close();
  };
  socket.onmessage = (event: { readonly data: unknown }) => {
    if (!over) listener.frame(event.data instanceof ArrayBuffer ? new Uint8Array(event.data) : NO_FRAME);
  };
  socket.onclose = end;
  // An error is followed by a close; without a listener some implementations throw it.
  socket.onerror = () => undefined;
  return {
    send: (frame) => socket.send(frame as Uint8Array<ArrayBuffer>),
    close: () => {
      socket.close();
      end();
    },
  };
}
