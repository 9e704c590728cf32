/** A store that ends with its program. */

import type { Batch } from "../core/space.js";
import type { Store } from "./store.js";

/** Takes a batch into entries that are held in memory. */
export function applyBatch(entries: Map<string, Uint8Array>, batch: Batch): void {
  for (const [key, bytes] of batch) {
    if (bytes === null) entries.delete(key);
    else entries.set(key, bytes);
  }
}

export class MemoryStore implements Store {
  constructor(readonly entries = new Map<string, Uint8Array>()) {}

  async load(): Promise<Iterable<readonly [string, Uint8Array]>> {
    return [...this.entries];
  }

  async commit(batch: Batch): Promise<void> {
    applyBatch(this.entries, batch);
  }

  async close(): Promise<void> {}
}
