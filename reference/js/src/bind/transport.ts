/** What carries frames. */

/** What a connection tells of itself. */
export interface Listener {
  readonly opened: () => void;
  readonly frame: (bytes: Uint8Array) => void;
  /** It ended, or the attempt failed. Said once, and nothing after it. */
  readonly closed: () => void;
}

export interface Connection {
  send(frame: Uint8Array): void;
  close(): void;
}

export interface Transport {
  /** Whether a token may travel: it is encrypted or does not leave the device (BIND-6). */
  readonly trusted: boolean;
  connect(listener: Listener): Connection;
}
