/** A store in Node: a file to which each commit is appended, and written anew when most of it is superseded. */

import { open, readFile, rename, rm, writeFile, type FileHandle } from "node:fs/promises";
import { bytesCompare, sha256 } from "../core/bytes.js";
import { Reader, Writer } from "../core/cbor.js";
import { Refused } from "../core/fault.js";
import type { Batch } from "../core/space.js";
import { applyBatch } from "./memory.js";
import type { Store } from "./store.js";

/** Before each batch: its length, and the first bytes of its hash. */
const HEAD = 4 + 8;
/** A file smaller than this is not written anew. */
const REWRITE_BYTES = 1_048_576;

export class FileStore implements Store {
  #entries = new Map<string, Uint8Array>();
  #size = 0;
  /** The size after the file was last written whole. */
  #whole = 0;

  private constructor(
    readonly path: string,
    private file: FileHandle,
  ) {}

  /** Opens or makes the store, or throws `Refused` where a living process has it open. */
  static async open(path: string): Promise<FileStore> {
    await takeLock(`${path}.lock`);
    try {
      const store = new FileStore(path, await open(path, "a+"));
      await store.#read();
      return store;
    } catch (error) {
      await rm(`${path}.lock`, { force: true });
      throw error;
    }
  }

  /** Reads commit by commit. One that was cut off by a crash was never reported: it goes. */
  async #read(): Promise<void> {
    const bytes = await readFile(this.path);
    let at = 0;
    for (let batch = unframe(bytes, at); batch !== null; batch = unframe(bytes, at)) {
      applyBatch(this.#entries, unpack(batch));
      at += HEAD + batch.length;
    }
    if (at < bytes.length) await this.file.truncate(at);
    this.#size = this.#whole = at;
  }

  async load(): Promise<Iterable<readonly [string, Uint8Array]>> {
    return [...this.#entries];
  }

  async commit(batch: Batch): Promise<void> {
    const bytes = frame(pack(batch));
    try {
      await this.file.appendFile(bytes);
      await this.file.datasync();
    } catch (error) {
      // What may lie half-written there must not stand before a later commit.
      await this.file.truncate(this.#size);
      throw error;
    }
    applyBatch(this.#entries, batch);
    this.#size += bytes.length;
    if (this.#size > REWRITE_BYTES && this.#size > 4 * this.#whole) await this.#rewrite();
  }

  /** Writes what is there to a file of its own, which then takes the place of the first. */
  async #rewrite(): Promise<void> {
    const bytes = frame(pack(this.#entries));
    const path = `${this.path}.new`;
    const file = await open(path, "w");
    await file.writeFile(bytes);
    await file.sync();
    await file.close();
    await rename(path, this.path);
    await this.file.close();
    this.file = await open(this.path, "a+");
    this.#size = this.#whole = bytes.length;
  }

  async close(): Promise<void> {
    await this.file.close();
    await rm(`${this.path}.lock`, { force: true });
  }
}

function pack(batch: Batch): Uint8Array {
  const w = new Writer(1024).array(batch.size);
  for (const [key, bytes] of batch) w.array(2).text(key).value(bytes);
  return w.bytes();
}

function unpack(bytes: Uint8Array): Batch {
  const r = new Reader(bytes);
  const batch: Batch = new Map();
  for (let n = r.array(); n > 0; n--) {
    r.array();
    batch.set(r.text(), r.peek() === "null" ? r.null() : r.binary());
  }
  return batch;
}

function frame(batch: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEAD + batch.length);
  new DataView(bytes.buffer).setUint32(0, batch.length);
  bytes.set(sha256(batch).subarray(0, 8), 4);
  bytes.set(batch, HEAD);
  return bytes;
}

/** The batch at `at`, or null where none is there whole. */
function unframe(bytes: Uint8Array, at: number): Uint8Array | null {
  if (at + HEAD > bytes.length) return null;
  const length = new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(0);
  const batch = bytes.subarray(at + HEAD, at + HEAD + length);
  if (batch.length < length || bytesCompare(sha256(batch).subarray(0, 8), bytes.subarray(at + 4, at + HEAD)) !== 0) return null;
  return batch;
}

/** A lock file that names its process; one that a dead process left is taken over. */
async function takeLock(path: string): Promise<void> {
  try {
    await writeFile(path, String(process.pid), { flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    const owner = Number(await readFile(path, "utf8"));
    if (owner > 0 && isAlive(owner)) throw new Refused(`process ${owner} has the store open`);
    await writeFile(path, String(process.pid));
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
