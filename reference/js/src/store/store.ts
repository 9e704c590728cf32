/** What keeps a replica. */

import type { Batch } from "../core/space.js";

/** Keeps entries by key. One client at a time has it open: two would be one replica twice (IDENT-1). */
export interface Store {
  /** All entries, in any order. */
  load(): Promise<Iterable<readonly [string, Uint8Array]>>;
  /** Makes a batch durable, whole or not at all; null takes an entry out. */
  commit(batch: Batch): Promise<void>;
  close(): Promise<void>;
}
