/** The changes that are not settled and show: own ones, and those held of others (spec 2 and 21). */

import type { Hex } from "./bytes.js";
import type { Change, Row } from "./change.js";
import type { Writing } from "./record.js";
import { writingOf } from "./state.js";

/** A change held of another author, with its link. */
export interface Held {
  readonly change: Change;
  readonly link: Hex;
  /** The last own seq when it came, and its number among all that came: the order in which they are offered (PEER-16). */
  readonly behind: number;
  readonly nth: number;
}

interface Applied {
  readonly row: Row;
  readonly by: Writing;
}

const NONE: readonly Applied[] = [];

export class Overlay {
  #own: Change[] = [];
  #replica: Hex = "";
  /** By author, in the order of seq. */
  readonly #held = new Map<Hex, Held[]>();
  /** Rows by collection and record; null where it has to be made anew. */
  #rows: Map<string, Map<string, Applied[]>> | null = new Map();
  heldCount = 0;

  /** Adds an own change, the last. */
  add(replica: Hex, change: Change): void {
    this.#replica = replica;
    this.#own.push(change);
    if (change.origin) this.#rows = null;
    else if (this.#rows) this.#index(this.#rows, replica, change);
  }

  refill(replica: Hex, own: Change[]): void {
    this.#replica = replica;
    this.#own = own;
    this.#rows = null;
  }

  get own(): readonly Change[] {
    return this.#own;
  }

  heldOf(author: Hex): readonly Held[] {
    return this.#held.get(author) ?? [];
  }

  authors(): Hex[] {
    return [...this.#held.keys()];
  }

  *held(): Generator<[Hex, Held]> {
    for (const [author, changes] of this.#held) for (const held of changes) yield [author, held];
  }

  hold(author: Hex, held: Held): void {
    const changes = this.#held.get(author);
    if (changes) changes.push(held);
    else this.#held.set(author, [held]);
    this.heldCount++;
    this.#rows = null;
  }

  /** Drops what is held of an author and `goes` says, and gives it. */
  dropWhere(author: Hex, goes: (held: Held) => boolean): Held[] {
    const changes = this.#held.get(author) ?? [];
    const gone = changes.filter(goes);
    if (gone.length === 0) return gone;
    const left = changes.filter((held) => !goes(held));
    if (left.length > 0) this.#held.set(author, left);
    else this.#held.delete(author);
    this.heldCount -= gone.length;
    this.#rows = null;
    return gone;
  }

  dropHeld(): void {
    this.#held.clear();
    this.heldCount = 0;
    this.#rows = null;
  }

  of(collection: string, id: string): readonly Applied[] {
    return this.#ready().get(collection)?.get(id) ?? NONE;
  }

  ids(collection: string): Iterable<string> {
    return this.#ready().get(collection)?.keys() ?? [];
  }

  collections(): Iterable<string> {
    return this.#ready().keys();
  }

  #ready(): Map<string, Map<string, Applied[]>> {
    if (this.#rows) return this.#rows;
    const rows = new Map<string, Map<string, Applied[]>>();
    for (const [author, change] of this.#showing()) this.#index(rows, author, change);
    this.#rows = rows;
    return rows;
  }

  #index(rows: Map<string, Map<string, Applied[]>>, author: Hex, change: Change): void {
    const by = writingOf(author, change);
    for (const row of change.rows) {
      let records = rows.get(row.collection);
      if (!records) rows.set(row.collection, (records = new Map()));
      const applied = records.get(row.id);
      if (applied) applied.push({ row, by });
      else records.set(row.id, [{ row, by }]);
    }
  }

  /** Of changes with one origin the one of the least name shows, and none whose origin is there itself (PEER-15). */
  #showing(): [Hex, Change][] {
    const all: [Hex, Change][] = [...this.held()].map(([author, { change }]) => [author, change]);
    for (const change of this.#own) all.push([this.#replica, change]);
    all.sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x.seq - y.seq));
    const names = new Set(all.map(([author, { seq }]) => `${author} ${seq}`));
    return all.filter(([, { origin }]) => {
      if (!origin) return true;
      const name = `${origin.replica} ${origin.seq}`;
      if (names.has(name)) return false;
      names.add(name);
      return true;
    });
  }
}
