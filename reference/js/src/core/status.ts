/** What a client says of itself. */

import type { Hex } from "./bytes.js";

/** What a client is doing, and what it has (SYNC-21). */
export interface StatusReport {
  readonly replica: Hex;
  readonly state: "idle" | "waiting" | "connecting" | "greeting" | "opening" | "streaming";
  readonly inSync: boolean;
  readonly position: number | null;
  readonly history: Hex | null;
  readonly pending: number;
  readonly held: number;
  readonly links: number;
  readonly collections: readonly string[] | null;
  readonly rejected: number;
  readonly mayWrite: boolean;
  readonly fingerprint: Hex;
  readonly offset: number;
  /** The head of the log, as far as the server said; null while it is not known. */
  readonly head: number | null;
}
