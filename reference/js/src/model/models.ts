/** The model layer: collections over a replica, with transactions, undo, presence and a status (no framework needed). */

import { decode, encode } from "../core/cbor.js";
import { Fault, Refused } from "../core/fault.js";
import type { RowWrite } from "../core/local.js";
import { toValue, type Value } from "../core/value.js";
import type { ReplicaLike } from "../replica.js";
import { Collection } from "./collection.js";
import { Emitter } from "./events.js";
import { write, type Fields, type Writes } from "./field.js";
import { inverse, type Done } from "./undo.js";

/** How this device stands to the server. */
export interface Connection {
  readonly state: "offline" | "connecting" | "catching-up" | "sending" | "in-sync";
  /** How many positions of the log are not here yet, as far as the server said. */
  readonly behind: number;
  /** Changes that the server has no verdict on. */
  readonly pending: number;
  /** Changes that were rejected and not dismissed. */
  readonly rejected: number;
  /** Peer links that stand: other devices reached without a server between. */
  readonly links: number;
}

/** Someone else who is there, and what they tell. */
export interface Other {
  readonly replica: string;
  readonly value: Value;
}

interface Draft extends Writes {
  readonly collection: string;
  readonly id: string;
  delete: boolean;
}

/** So many local changes can be taken back. */
const UNDO_MAX = 100;

export class Models extends Emitter<{ status: Connection; presence: readonly Other[] }> {
  readonly #collections = new Map<string, Collection<Fields>>();
  #draft: Map<string, Draft> | null = null;
  readonly #done: Done[][] = [];
  #status = "";
  readonly #ends: (() => void)[];

  constructor(readonly replica: ReplicaLike) {
    super();
    this.#ends = [
      replica.on("changed", ({ records }) => this.#changed(records)),
      replica.on("in-sync", () => this.#each((collection) => collection.emit("sync", null))),
      replica.on("rejected", ({ seq }) => {
        const rejection = replica.rejections.filter((each) => each.seq === seq).at(-1);
        if (rejection) this.#each((collection) => collection.rejected(rejection));
      }),
      replica.on("presence", () => this.emit("presence", this.others)),
      ...(["changed", "in-sync", "disconnected", "refused", "rejected", "store-failed", "links"] as const).map((name) =>
        replica.on(name, () => this.#tellStatus()),
      ),
    ];
  }

  /** Stops listening to the replica, which stays open. */
  end(): void {
    for (const end of this.#ends) end();
  }

  #each(act: (collection: Collection<Fields>) => void): void {
    for (const collection of this.#collections.values()) act(collection);
  }

  /** The collection of that name; its fields are those it was first asked for with. */
  collection<F extends Fields>(name: string, fields: F): Collection<F> {
    let collection = this.#collections.get(name);
    if (!collection) this.#collections.set(name, (collection = new Collection<Fields>(this, name, fields)));
    return collection as unknown as Collection<F>;
  }

  // ---- Writing ---------------------------------------------------------------------------------------------------

  /**
   * Makes all that `act` writes one change: it shows whole everywhere, or not at all. `act` must not wait, and sees what
   * showed before it. Kept once it is durable; where `act` throws, nothing is written.
   */
  async transaction(act: () => void): Promise<void> {
    if (this.#draft) throw new Refused("a transaction within a transaction");
    const draft = (this.#draft = new Map<string, Draft>());
    try {
      act();
    } finally {
      this.#draft = null;
    }
    await this.#commit([...draft.values()].map(rowOf));
  }

  /** @internal Writes to a record, in the transaction that is under way or as one of its own. */
  async write(collection: string, id: string, values: object, fields: Fields): Promise<void> {
    await this.#with(collection, id, (draft) => {
      if (draft.delete) throw new Refused(`${collection}/${id} is deleted in this transaction`);
      for (const [name, value] of Object.entries(values)) {
        const field = fields[name];
        if (!field) throw new TypeError(`${collection} has no field ${name}`);
        write(draft, name, field, value);
      }
    });
  }

  /** @internal Deletes a record, as `write` writes. */
  async delete(collection: string, id: string): Promise<void> {
    await this.#with(collection, id, (draft) => void (draft.delete = true));
  }

  async #with(collection: string, id: string, act: (draft: Draft) => void): Promise<void> {
    if (!this.#draft) return this.transaction(() => this.#draftOf(collection, id, act));
    this.#draftOf(collection, id, act);
  }

  #draftOf(collection: string, id: string, act: (draft: Draft) => void): void {
    const key = JSON.stringify([collection, id]);
    const draft = this.#draft?.get(key) ?? { collection, id, fields: {}, columns: {}, delete: false };
    act(draft);
    this.#draft?.set(key, draft);
  }

  async #commit(rows: readonly RowWrite[], undoable = true): Promise<void> {
    if (rows.length === 0) return;
    const done = rows.map((write): Done => ({ write, before: this.replica.show(write.collection, write.id) }));
    const durable = this.replica.write(rows);
    if (undoable && this.#done.push(done) > UNDO_MAX) this.#done.shift();
    try {
      await durable;
    } catch (error) {
      const at = this.#done.indexOf(done);
      if (at >= 0) this.#done.splice(at, 1);
      throw error;
    }
  }

  /** Takes the last local change back that was not yet: false where there is none. What others wrote over it stays. */
  async undo(): Promise<boolean> {
    const done = this.#done.pop();
    if (!done) return false;
    await this.#commit(
      inverse(done, (collection, id) => this.replica.show(collection, id)),
      false,
    );
    return true;
  }

  // ---- Others, and the server ------------------------------------------------------------------------------------

  /** Tells the others something, as long as this device is there; null takes it back. */
  present(value: unknown, ttlMs?: number): void {
    this.replica.present(value === null ? null : encode(toValue(value)), ttlMs);
  }

  /** Who else is there. What is no value is another application's, and left out. */
  get others(): Other[] {
    return this.replica.presence.flatMap(([replica, payload]) => {
      try {
        return [{ replica, value: decode(payload) }];
      } catch (fault) {
        if (fault instanceof Fault) return [];
        throw fault;
      }
    });
  }

  get status(): Connection {
    const { state, inSync, pending, rejected, links, head, position } = this.replica.status;
    const behind = head === null ? 0 : Math.max(0, head - (position ?? 0));
    const counts = { behind, pending, rejected, links };
    if (state === "idle" || state === "waiting") return { state: "offline", ...counts };
    if (state !== "streaming") return { state: "connecting", ...counts };
    if (inSync) return { state: "in-sync", ...counts };
    return { state: pending > 0 && behind === 0 ? "sending" : "catching-up", ...counts };
  }

  #changed(records: readonly (readonly [string, string])[] | null): void {
    if (records === null) return this.#each((collection) => collection.refresh(null));
    const byCollection = new Map<string, string[]>();
    for (const [name, id] of records) {
      const ids = byCollection.get(name);
      if (ids) ids.push(id);
      else byCollection.set(name, [id]);
    }
    for (const [name, ids] of byCollection) this.#collections.get(name)?.refresh(ids);
  }

  #tellStatus(): void {
    const { status } = this;
    const said = JSON.stringify(status);
    if (said === this.#status) return;
    this.#status = said;
    this.emit("status", status);
  }
}

const rowOf = ({ collection, id, fields, columns, delete: gone }: Draft): RowWrite =>
  gone ? { collection, id, delete: true } : { collection, id, fields, columns };
