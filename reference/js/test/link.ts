/** A connection within a program: what one end sends the other receives in a later turn of the event loop. */

import type { Connection, Listener, Transport } from "../src/index.js";

/** The two ends; both are open once both were asked for. */
export function pair(): [Transport, Transport] {
  const listeners: (Listener | undefined)[] = [undefined, undefined];
  const end = (mine: 0 | 1): Transport => ({
    trusted: true,
    connect(listener): Connection {
      listeners[mine] = listener;
      if (listeners[1 - mine]) queueMicrotask(() => listeners.forEach((each) => each?.opened()));
      return {
        send: (frame) => setImmediate(() => listeners[1 - mine]?.frame(frame.slice())),
        close: () => setImmediate(() => listeners[1 - mine]?.closed()),
      };
    },
  });
  return [end(0), end(1)];
}
