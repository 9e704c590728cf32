/** A store in the browser: one IndexedDB database for each name. */

import { deleteDB, openDB, type DBSchema, type IDBPDatabase } from "idb";
import type { Batch } from "../core/space.js";
import { Refused } from "../core/fault.js";
import type { Store } from "./store.js";

interface Schema extends DBSchema {
  entries: { key: string; value: Uint8Array };
}

export class IndexedDbStore implements Store {
  private constructor(
    readonly db: IDBPDatabase<Schema>,
    readonly release: () => void,
  ) {}

  /** Opens the store, or throws `Refused` where another tab has it. */
  static async open(name: string): Promise<IndexedDbStore> {
    const release = await lock(`syncline ${name}`);
    try {
      return await IndexedDbStore.#open(name, release);
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Opens the store beside other tabs. Only for `SharedReplica`, which has one tab write. */
  static shared(name: string): Promise<IndexedDbStore> {
    return IndexedDbStore.#open(name, () => undefined);
  }

  static async #open(name: string, release: () => void): Promise<IndexedDbStore> {
    const db = await openDB<Schema>(`syncline ${name}`, 1, { upgrade: (db) => void db.createObjectStore("entries") });
    return new IndexedDbStore(db, release);
  }

  /** Takes the whole store away. It must not be open. */
  static async remove(name: string): Promise<void> {
    await deleteDB(`syncline ${name}`);
  }

  async load(): Promise<Iterable<readonly [string, Uint8Array]>> {
    const tx = this.db.transaction("entries");
    const [keys, values] = await Promise.all([tx.store.getAllKeys(), tx.store.getAll()]);
    return keys.map((key, i): [string, Uint8Array] => [key, values[i] as Uint8Array]);
  }

  async commit(batch: Batch): Promise<void> {
    const tx = this.db.transaction("entries", "readwrite", { durability: "strict" });
    // Each request fails with its transaction, which is what is awaited.
    for (const [key, bytes] of batch) void (bytes === null ? tx.store.delete(key) : tx.store.put(bytes, key)).catch(() => undefined);
    await tx.done;
  }

  async close(): Promise<void> {
    this.db.close();
    this.release();
  }
}

/** Takes a lock of this origin's tabs and gives what releases it. Without Web Locks nobody can tell. */
async function lock(name: string): Promise<() => void> {
  if (typeof navigator === "undefined" || !("locks" in navigator) || !navigator.locks) return () => undefined;
  return new Promise((resolve, reject) => {
    const held = navigator.locks.request(name, { ifAvailable: true }, async (granted) => {
      if (!granted) throw new Refused("another tab has this store open");
      await new Promise<void>((release) => resolve(release));
    });
    held.catch(reject);
  });
}
