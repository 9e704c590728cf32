/** Readings, stamps and the clock that makes them (spec 4). */

import { CLOCK_ABSORB_MS, CLOCK_RTT_MAX_MS, COUNTER_MAX, UNIX_MS_MAX } from "./limits.js";
import type { Hex } from "./bytes.js";

/** Unix milliseconds and a counter; readings compare as one number. */
export interface Reading {
  readonly ms: number;
  readonly counter: number;
}

/** A reading and its author: what orders writes. */
export interface Stamp extends Reading {
  readonly author: Hex;
}

export const ZERO: Reading = { ms: 0, counter: 0 };

export const compareReadings = (a: Reading, b: Reading): number => a.ms - b.ms || a.counter - b.counter;

export function compareStamps(a: Stamp, b: Stamp): number {
  const order = compareReadings(a, b);
  if (order !== 0) return order;
  return a.author < b.author ? -1 : a.author > b.author ? 1 : 0;
}

/** The reading just past `r`. */
export const successor = (r: Reading): Reading =>
  r.counter < COUNTER_MAX ? { ms: r.ms, counter: r.counter + 1 } : { ms: r.ms + 1, counter: 0 };

const within = (ms: number): number => Math.min(Math.max(Math.floor(ms), 0), UNIX_MS_MAX);

/** The reading of a new change: the last plus 1, or `now`; and `now` where the last lies too far ahead (CLOCK-2, CLOCK-6). */
export function mint(last: Reading, now: number): Reading {
  const present = { ms: within(now), counter: 0 };
  if (last.ms > now + CLOCK_ABSORB_MS) return present;
  const next = successor(last);
  return compareReadings(next, present) > 0 ? next : present;
}

/** The last reading after `seen` was received: one far ahead moves no clock (CLOCK-5). */
export function observe(last: Reading, now: number, seen: Reading): Reading {
  return seen.ms <= now + CLOCK_ABSORB_MS && compareReadings(seen, last) > 0 ? { ms: seen.ms, counter: seen.counter } : last;
}

/** The server's clock less the device's, or null where the exchange took too long to tell (CLOCK-13). */
export function offset(t0: number, t3: number, server: number): number | null {
  return t3 - t0 <= CLOCK_RTT_MAX_MS ? Math.floor(server - (t0 + t3) / 2) : null;
}
