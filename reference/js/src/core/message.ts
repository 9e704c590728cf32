/** Messages: their fields, and their codes (spec 7, `syncline.cddl`). */

import type { Hex } from "./bytes.js";
import type { Change, Pushed } from "./change.js";
import type { Item, Verdict } from "./items.js";
import type { Limits } from "./limits.js";
import type { ColumnName } from "./names.js";

/** A position and the history it was reached in; with what is staged, where a catch-up is under way. */
export interface Cursor {
  readonly position: number;
  readonly history: Hex;
  readonly staged?: number;
}

export type Range =
  | { readonly kind: "nothing"; readonly bound: Uint8Array }
  | { readonly kind: "fingerprint"; readonly bound: Uint8Array; readonly count: number; readonly fingerprint: Hex }
  | { readonly kind: "list"; readonly bound: Uint8Array; readonly cells: readonly (readonly [Uint8Array, Hex])[] };

export type Message =
  | { type: "hello"; versions: readonly number[]; profiles: readonly number[]; limits: Limits; token: string | null }
  | { type: "welcome"; version: number; profiles: readonly number[]; limits: Limits; time: number }
  | {
      type: "open";
      space: string;
      replica: Hex;
      settled: number;
      cursor: Cursor | null;
      collections?: readonly string[];
      known?: readonly string[];
      /** How many names of columns and replicas are kept (COMPACT-3). */
      names?: readonly [columns: number, replicas: number];
    }
  | { type: "opened"; position: number; history: Hex; seq: number; link: Hex; baseMs: number; reset: number; rights?: number }
  | { type: "shut" }
  | { type: "push"; author?: Hex; before?: Hex; changes: readonly Pushed[] }
  | { type: "ack"; seq: number; position: number; durability: number; numbers?: readonly number[] }
  | { type: "reject"; seq: number; position: number; verdict: Verdict }
  | { type: "change"; position: number; author: Hex; change: Change }
  | { type: "void"; position: number; author: Hex; seq: number; code: number; link?: Hex }
  | {
      type: "states";
      last: boolean;
      to: number;
      history: Hex;
      items: readonly Item[];
      replaced?: readonly (readonly [Uint8Array, Uint8Array])[];
    }
  | {
      type: "names";
      firstColumn: number;
      columns: readonly ColumnName[];
      firstReplica: number;
      replicas: readonly Hex[];
    }
  | { type: "mark"; position: number; history: Hex; fingerprint: Hex; backedUp?: number; horizon?: number }
  | { type: "ping"; n: number }
  | { type: "pong"; n: number; time: number }
  | { type: "error"; code: number; class: number; detail: number | null; text: string }
  | { type: "bye"; wait: number }
  | { type: "auth"; token: string }
  | { type: "credit"; bytes: number }
  | { type: "ranges"; seed: number; ranges: readonly Range[] }
  | { type: "presence"; replica: Hex; counter: number; ttl: number; payload: Uint8Array | null }
  | { type: "signal"; replica: Hex; payload: Uint8Array };

export type Type = Message["type"];
export type Of<T extends Type> = Extract<Message, { type: T }>;

/** Message codes (`registries/messages.toml`). */
export const CODES: Record<Type, number> = {
  hello: 0,
  welcome: 1,
  open: 2,
  opened: 3,
  shut: 4,
  push: 5,
  ack: 6,
  reject: 7,
  change: 8,
  states: 9,
  mark: 10,
  ping: 11,
  pong: 12,
  error: 13,
  bye: 14,
  auth: 15,
  credit: 16,
  ranges: 17,
  presence: 18,
  signal: 19,
  void: 21,
  names: 22,
};

/** Types by their codes. */
export const TYPES: ReadonlyMap<number, Type> = new Map(Object.entries(CODES).map(([type, code]) => [code, type as Type]));
