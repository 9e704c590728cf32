/** Finding the cells in which base differs from the server's state, and replacing them (spec 20). */

import { bytesCompare, DigestSum, sha256, toHex, type Hex } from "./bytes.js";
import { takeCells } from "./catchup.js";
import { Writer } from "./cbor.js";
import type { Item } from "./items.js";
import { REPAIR_LIST_MAX, RESET_INTERVAL_MS } from "./limits.js";
import type { Message, Range } from "./message.js";
import { addressOf, digestOf, type Cell, type RecordState } from "./record.js";
import type { Space } from "./space.js";
import { fingerprintOf } from "./state.js";

type Ranges = Extract<Message, { type: "ranges" }>;
type States = Extract<Message, { type: "states" }>;

/** So many ranges a range is parted into. */
const PARTS = 16;

interface Live {
  readonly address: Uint8Array;
  readonly digest: Uint8Array;
}

export class Repair {
  #seed: number | null = null;
  #begunAt = -Infinity;

  constructor(readonly space: Space) {}

  get asking(): boolean {
    return this.#seed !== null;
  }

  /** Begins a comparison; null where one was begun less than a minute ago (REPAIR-3, REPAIR-8). */
  ask(now: number): Ranges | null {
    if (now - this.#begunAt < RESET_INTERVAL_MS) return null;
    this.#begunAt = now;
    this.#seed = this.space.random(6).reduce((n, byte) => n * 256 + byte, 0);
    return this.#question(this.#split(this.#live(), new Uint8Array()));
  }

  /** Asks on where an answer differs; null where nothing is left to ask, or the server declined (REPAIR-4, REPAIR-9). */
  answer({ seed, ranges }: Ranges): Ranges | null {
    if (seed !== this.#seed) return null;
    const next: Range[] = [];
    const live = this.#live();
    let from = 0;
    for (const range of ranges) {
      const { bound } = range;
      let to = from;
      while (to < live.length && (bound.length === 0 || bytesCompare((live[to] as Live).address, bound) < 0)) to++;
      const mine = live.slice(from, to);
      from = to;
      const differs = range.kind === "fingerprint" && range.fingerprint !== fingerprint(mine);
      next.push(...(differs ? this.#split(mine, bound) : [{ kind: "nothing", bound } as const]));
    }
    if (next.some(({ kind }) => kind !== "nothing")) return this.#question(merged(next));
    this.#seed = null;
    return null;
  }

  #question(ranges: readonly Range[]): Ranges {
    return { type: "ranges", seed: this.#seed ?? 0, ranges };
  }

  /** The live cells of base under the seed, in the order of their addresses (REPAIR-1, REPAIR-2). */
  #live(): Live[] {
    const live: Live[] = [];
    const add = (record: RecordState, cell: Cell | null): void => {
      const digest = sha256(
        new Writer()
          .array(2)
          .int(this.#seed ?? 0)
          .binary(digestOf(record, cell))
          .bytes(),
      );
      live.push({ address: addressOf(record, cell), digest });
    };
    for (const record of this.space.base.records()) {
      if (!record.alive || !this.space.wants(record.collection)) continue;
      add(record, null);
      for (const cell of record.cells.values()) if (cell.value !== undefined) add(record, cell);
    }
    return live.sort((a, b) => bytesCompare(a.address, b.address));
  }

  /** A list where there are few cells, else parts of about as many each, up to `bound`. */
  #split(live: readonly Live[], bound: Uint8Array): Range[] {
    if (live.length <= REPAIR_LIST_MAX)
      return [{ kind: "list", bound, cells: live.map(({ address, digest }): [Uint8Array, Hex] => [address, toHex(digest)]) }];
    const cuts = Array.from({ length: PARTS + 1 }, (_, i) => Math.round((i * live.length) / PARTS));
    return cuts.slice(1).map((cut, i) => {
      const cells = live.slice(cuts[i], cut);
      return {
        kind: "fingerprint",
        bound: i === PARTS - 1 ? bound : (live[cut] as Live).address,
        count: cells.length,
        fingerprint: fingerprint(cells),
      };
    });
  }

  /** Puts the server's cells in the place of those in its ranges; the cursor stays (REPAIR-7). */
  replace({ replaced = [], items, to }: States): void {
    const { base } = this.space;
    const within = (address: Uint8Array): boolean =>
      replaced.some(([from, bound]) => bytesCompare(from, address) <= 0 && (bound.length === 0 || bytesCompare(address, bound) < 0));
    const named = new Set(items.flatMap(rowsOf).map(({ collection, id }) => `${collection}\n${id}`));
    for (const record of [...base.records()]) {
      if (within(addressOf(record, null)) && !named.has(`${record.collection}\n${record.id}`)) {
        base.drop(record);
        continue;
      }
      for (const [key, cell] of [...record.cells])
        if (within(addressOf(record, cell))) base.touch(record.collection, record.id).remove(key);
    }
    for (const item of items) takeCells(base, item, to, this.space.wanted);
  }
}

const rowsOf = (item: Item): readonly { collection: string; id: string }[] => ("rows" in item ? item.rows : []);

function fingerprint(live: readonly Live[]): Hex {
  const sum = new DigestSum();
  for (const { digest } of live) sum.add(digest, 1);
  return fingerprintOf(sum);
}

/** Neighbouring ranges of which nothing is asked are one. */
function merged(ranges: readonly Range[]): Range[] {
  return ranges.filter((range, i) => range.kind !== "nothing" || ranges[i + 1]?.kind !== "nothing");
}
