/** How long a client waits before it tries again (spec 7). */

import { BACKOFF_BASE_MS, BACKOFF_CAP_MS } from "./limits.js";
import type { Random } from "./space.js";

/** So many attempts in a row reach the longest wait, whatever the limits. */
const ATTEMPTS_MAX = 32;

export class BackOff {
  /** Attempts in a row (SESS-10). */
  #attempts = 0;

  constructor(readonly random: Random) {}

  /** Draws the wait before the next attempt evenly from 0 to what the attempts so far allow, or to `least` where that is longer (SESS-11). */
  next(least = 0): number {
    const most = Math.max(least, Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** this.#attempts));
    this.#attempts = Math.min(this.#attempts + 1, ATTEMPTS_MAX);
    const fraction = this.random(6).reduce((n, byte) => n * 256 + byte, 0) / 2 ** 48;
    return Math.floor(fraction * (most + 1));
  }

  /** A mark came. */
  reset(): void {
    this.#attempts = 0;
  }
}
