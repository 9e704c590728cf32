/** What a client tells its application. */

import type { Hex } from "./bytes.js";
import type { Change } from "./change.js";

export type Event =
  /** Records may show otherwise: these, or any where it is null. */
  | { readonly name: "changed"; readonly records: readonly (readonly [collection: string, id: string])[] | null }
  /** A change has no effect; it is kept until the application dismisses it (IDENT-22). */
  | { readonly name: "rejected"; readonly seq: number; readonly code: number; readonly change: Change }
  /** The replica took a fresh id; so many of its changes could not be offered again (IDENT-19). */
  | { readonly name: "forked"; readonly lost: number }
  | { readonly name: "in-sync" }
  /** Base differed again within a minute of a reset (SYNC-22). */
  | { readonly name: "mismatch" }
  | { readonly name: "reset"; readonly reason: number }
  /** The server refused; by its class the client does not come back by itself (SESS-12, SESS-24). */
  | { readonly name: "refused"; readonly code: number; readonly class: number }
  | { readonly name: "signal"; readonly from: Hex; readonly payload: Uint8Array }
  | { readonly name: "disconnected" }
  | { readonly name: "rights"; readonly write: boolean }
  | { readonly name: "token-wanted" }
  | { readonly name: "left"; readonly collections: readonly string[] }
  /** The presence of so many others changed. */
  | { readonly name: "presence"; readonly count: number }
  | { readonly name: "link-refused"; readonly code: number }
  /** So many peer links stand. */
  | { readonly name: "links"; readonly count: number };

/** What a client asks of its shell, in order, once what its turn wrote is durable (SESS-22, MODEL-3). */
export type Effect =
  | { readonly kind: "connect" }
  | { readonly kind: "frame"; readonly conn: string; readonly bytes: Uint8Array }
  | { readonly kind: "close"; readonly conn: string }
  | { readonly kind: "event"; readonly event: Event };
