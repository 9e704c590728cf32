/** Base as one client gives it to another, whole or since a cursor (spec 21). */

import type { Hex } from "./bytes.js";
import { Writer } from "./cbor.js";
import { writeItem, type Item } from "./items.js";
import type { Cursor } from "./message.js";
import { keepSettled, settleHeld } from "./settle.js";
import type { Space } from "./space.js";
import { itemsOf, State } from "./state.js";

/** The history of who has no base. */
export const NO_HISTORY: Hex = "0000000000000000";

/** Up to so many bytes of items stand in one message. */
const PART_BYTES = 65_536;

/** From where base has to be given to a side that stands at `theirs`: 0 for all of it, null for nothing (PEER-7). */
export function giveFrom({ meta }: Space, theirs: Cursor | null): number | null {
  const { cursor, lineage, resetTo, authorsKnown } = meta;
  if (cursor === null || cursor.position === 0 || !authorsKnown) return null;
  if (theirs === null) return 0;
  if (theirs.history === cursor.history) {
    if (theirs.position >= cursor.position) return null;
  } else {
    const reached = lineage.get(theirs.history);
    if (reached === undefined) return null;
    // A history from before the last reset: all that stands there may be gone.
    if (reached === 0) return 0;
    if (theirs.position > reached) return null;
  }
  return theirs.position < resetTo ? 0 : theirs.position;
}

/** The items that give base from `from`, in parts: what is given, what is settled, and the cells. */
export function* baseItems(space: Space, from: number): Generator<Item[]> {
  const since = ({ at }: { readonly at: number }): boolean => at > from || from === 0;
  yield [{ kind: "base", from }];
  const settled = [...space.settledOf].filter(([, last]) => since(last));
  yield* parted(settled.map(([author, { seq, link }]) => ({ kind: "settled", author, seq, link })));
  yield* parted(itemsOf([...space.base.records()].filter(since)));
}

function* parted(items: readonly Item[]): Generator<Item[]> {
  let part: Item[] = [];
  let size = 0;
  for (const item of items) {
    const w = new Writer();
    writeItem(w, item, 0);
    if (size + w.length > PART_BYTES && part.length > 0) {
      yield part;
      [part, size] = [[], 0];
    }
    part.push(item);
    size += w.length;
  }
  if (part.length > 0) yield part;
}

/** Takes a base in one transaction, where it goes on from where this one was said to stand (PEER-8). */
export function takeBase(
  space: Space,
  items: readonly Item[],
  { to, history }: { readonly to: number; readonly history: Hex },
  said: Cursor | null,
  now: number,
): "taken" | "left" | "fork" {
  const given = items.find((item) => item.kind === "base");
  const { cursor, replica } = space.meta;
  if (given === undefined || space.stage !== null) return "left";
  if (said?.position !== cursor?.position || said?.history !== cursor?.history) return "left";
  const position = cursor?.position ?? 0;
  if (given.from > position || (cursor?.history === history && to <= position)) return "left";
  const before = space.base;
  if (given.from === 0) space.base = new State();
  for (const item of items) {
    if (item.kind === "settled" && item.author === replica) {
      if (space.linkAt(item.seq) !== item.link && item.seq >= space.meta.floor.seq) return ((space.base = before), "fork");
    } else if (item.kind === "group") space.observe(item.reading, now);
    space.base.take(item, to);
  }
  if (given.from === 0) for (const record of before.records()) space.base.gone(record);
  const { lineage } = space.meta;
  if (cursor && cursor.history !== history) lineage.set(cursor.history, given.from === 0 ? 0 : cursor.position);
  space.set({ cursor: { position: to, history }, ...(given.from === 0 ? { resetTo: to } : {}) });
  for (const item of items) {
    if (item.kind !== "settled") continue;
    if (item.author !== replica) settleHeld(space, item.author, item.seq, item.link, to);
    else {
      keepSettled(space, replica, item.seq, item.link, to);
      space.set({ inBase: Math.max(space.meta.inBase, item.seq) });
    }
  }
  space.refillOverlay();
  return "taken";
}
