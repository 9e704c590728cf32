/** Items of `states`: groups of cells, lives, outcomes (spec 8, 20 and 21). */

import type { Hex } from "./bytes.js";
import type { Reader, Writer } from "./cbor.js";
import { Profile, readAuthor, readReading, readRow, writeReading, writeRow, type Row, type Wire } from "./change.js";
import { ZERO, type Reading } from "./clock.js";
import { malformed } from "./fault.js";
import type { Place } from "./op.js";

/** A verdict as `states` and `reject` carry it; code 0 says accepted. */
export interface Verdict {
  readonly code: number;
  readonly class: number;
  readonly detail: number | null;
}

export type Item =
  /** Cells that one author wrote at one stamp. */
  | { readonly kind: "group"; readonly author: Hex; readonly reading: Reading; readonly rows: readonly Row[] }
  /** The last settled change of an author (peer profile). */
  | { readonly kind: "settled"; readonly author: Hex; readonly seq: number; readonly link: Hex }
  /** What became of a change of the receiver. */
  | { readonly kind: "outcome"; readonly seq: number; readonly link: Hex; readonly verdict: Verdict }
  /** Lives, and cells of `min` and `max`. */
  | { readonly kind: "plain"; readonly rows: readonly Row[] }
  /** Cells that one author wrote with one seq: counters and dots. */
  | { readonly kind: "keyed"; readonly author: Hex; readonly seq: number; readonly rows: readonly Row[] }
  /** Up to where the sender holds an author's changes (peer profile). */
  | { readonly kind: "held"; readonly author: Hex; readonly seq: number; readonly link: Hex }
  /** Base is given from here (peer profile). */
  | { readonly kind: "base"; readonly from: number };

const Tag = { settled: -2, outcome: -3, plain: -4, keyed: -5, held: -6, base: -7 } as const;

export function readVerdict(r: Reader): Verdict {
  return { code: r.uint(), class: r.int(0, 3), detail: r.intOrNull() };
}

export function writeVerdict(w: Writer, { code, class: kind, detail }: Verdict): void {
  w.int(code).int(kind).intOrNull(detail);
}

export function readItem(r: Reader, wire: Wire): Item {
  const items = r.array();
  if (items === 0) throw malformed("an empty item");
  // A tag is negative; an author may be a number from 1.
  if (r.peek() === "bytes" || (wire.names && r.peek() === "int" && (r.buffer[r.pos] as number) < 0x20)) {
    const author = readAuthor(r, wire);
    if (items < 3) throw malformed("a group without rows");
    return { kind: "group", author, reading: readReading(r, wire.baseMs), rows: readRows(r, items - 2, "group", wire) };
  }
  const tag = r.int();
  const of = (profile: number, exactly: number): void => {
    if (!wire.agreed.has(profile)) throw malformed(`item ${tag} of a profile that was not agreed`);
    if (exactly > 0 && items !== exactly) throw malformed(`item ${tag} of ${items} items`);
  };
  switch (tag) {
    case Tag.outcome:
      of(Profile.core, 6);
      return { kind: "outcome", seq: r.int(1), link: r.hex(16), verdict: readVerdict(r) };
    case Tag.plain:
      return { kind: "plain", rows: readRows(r, items - 1, "plain", wire) };
    case Tag.keyed:
      of(Profile.rules, 0);
      return { kind: "keyed", author: readAuthor(r, wire), seq: r.int(1), rows: readRows(r, items - 3, "keyed", wire) };
    case Tag.settled:
      of(Profile.peer, 4);
      return { kind: "settled", author: r.hex(16), seq: r.int(1), link: r.hex(16) };
    case Tag.held:
      of(Profile.peer, 4);
      return { kind: "held", author: r.hex(16), seq: r.uint(), link: r.hex(16) };
    case Tag.base:
      of(Profile.peer, 2);
      return { kind: "base", from: r.uint() };
    default:
      throw malformed(`the item ${tag}`);
  }
}

function readRows(r: Reader, n: number, place: Place, wire: Wire): Row[] {
  if (n < 1) throw malformed("an item without rows");
  return Array.from({ length: n }, () => readRow(r, place, wire, ZERO));
}

export function writeItem(w: Writer, item: Item, baseMs: number): void {
  switch (item.kind) {
    case "group":
      w.array(2 + item.rows.length).hex(item.author);
      writeReading(w, item.reading, baseMs);
      break;
    case "plain":
      w.array(1 + item.rows.length).int(Tag.plain);
      break;
    case "keyed":
      w.array(3 + item.rows.length)
        .int(Tag.keyed)
        .hex(item.author)
        .int(item.seq);
      break;
    case "outcome":
      w.array(6).int(Tag.outcome).int(item.seq).hex(item.link);
      writeVerdict(w, item.verdict);
      return;
    case "settled":
      w.array(4).int(Tag.settled).hex(item.author).int(item.seq).hex(item.link);
      return;
    case "held":
      w.array(4).int(Tag.held).hex(item.author).int(item.seq).hex(item.link);
      return;
    case "base":
      w.array(2).int(Tag.base).int(item.from);
      return;
  }
  for (const row of item.rows) writeRow(w, row, baseMs);
}
