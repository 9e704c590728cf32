/** A space as another has it: what that one commits is taken in, so that it shows here too. Nothing is written here. */

import { Reader } from "./cbor.js";
import { loadMeta, loadRecord, readHeld, readOwn, readRejection } from "./keep.js";
import type { Batch, Space } from "./space.js";

/** Takes a batch in that was committed, and notes in `shownAnew` what may show otherwise. */
export function absorb(space: Space, batch: Batch): void {
  const meta = batch.get("meta");
  if (meta) loadMeta(space, meta);
  const own: [seq: number, bytes: Uint8Array | null][] = [];
  for (const [key, bytes] of batch) {
    if (key.startsWith("record ")) absorbRecord(space, key, bytes);
    else if (key.startsWith("own ")) own.push([Number(key.slice(4)), bytes]);
    else if (key.startsWith("held ")) absorbHeld(space, key, bytes);
    else if (key === "rejections" && bytes) absorbRejections(space, bytes);
  }
  absorbOwn(space, own);
  space.refillOverlay();
}

/** What touched so much of the space that a list of it would be long is told as all of it. */
export function takeShownAnew(space: Space): (readonly [string, string])[] | null {
  const { shownAnew } = space;
  space.shownAnew = new Map();
  return shownAnew && [...shownAnew.values()];
}

/** `record LENGTH COLLECTION ID`: names hold any character, so the length tells them apart. */
function absorbRecord(space: Space, key: string, bytes: Uint8Array | null): void {
  const start = key.indexOf(" ", 7) + 1;
  const end = start + Number(key.slice(7, start - 1));
  const [collection, id] = [key.slice(start, end), key.slice(end + 1)];
  space.base.unload(collection, id);
  if (bytes) loadRecord(space, bytes);
  space.shownAnew?.set(`${collection}\n${id}`, [collection, id]);
}

/** Own changes are added behind, change their status, or go: by the floor in front, by another id all. */
function absorbOwn(space: Space, entries: [seq: number, bytes: Uint8Array | null][]): void {
  if (entries.length === 0) return;
  const gone = new Set(entries.flatMap(([seq, bytes]) => (bytes ? [] : [seq])));
  if (gone.size > 0) space.own = space.own.filter(({ change }) => !gone.has(change.seq));
  for (const [, bytes] of entries.sort(([a], [b]) => a - b)) {
    if (!bytes) continue;
    const r = new Reader(bytes);
    r.array();
    const own = readOwn(space, r);
    space.placeOwn(own);
    space.touchShown(own.change);
  }
}

function absorbHeld(space: Space, key: string, bytes: Uint8Array | null): void {
  const [, author = "", at] = key.split(" ");
  const seq = Number(at);
  for (const { change } of space.overlay.dropWhere(author, (held) => held.change.seq === seq)) space.touchShown(change);
  if (!bytes) return;
  const r = new Reader(bytes);
  r.array();
  const held = readHeld(r);
  space.overlay.hold(author, held);
  space.touchShown(held.change);
}

function absorbRejections(space: Space, bytes: Uint8Array): void {
  const r = new Reader(bytes);
  space.rejections = Array.from({ length: r.array() }, () => readRejection(r));
}
