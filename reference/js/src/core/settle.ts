/** Verdicts on own changes: what is accepted, reported, replaced or minted again (spec 4 and 6). */

import { toHex, type Hex } from "./bytes.js";
import { startLink, type Column, type Origin, type Row } from "./change.js";
import { compareReadings, mint, type Reading } from "./clock.js";
import type { Event } from "./event.js";
import { Code } from "./fault.js";
import type { Verdict } from "./items.js";
import { CLOCK_ABSORB_MS, CLOCK_ADMIT_MS } from "./limits.js";
import { Rule } from "./op.js";
import type { Own, Space } from "./space.js";

/** Where a verdict is taken in: at its position in the log, or in a catch-up whose cells hold its effect already. */
export interface Place {
  readonly position: number;
  readonly inBase: boolean;
  /** The device's clock, in Unix ms. */
  readonly wall: number;
}

/** Takes the verdict on the next own change in, in the transaction in which base takes it in (MODEL-13). */
export function settle(space: Space, own: Own, verdict: Verdict, place: Place, tell: (event: Event) => void): void {
  const { seq } = own.change;
  const accepted = verdict.code === 0 || verdict.code === Code.duplicate;
  const known = own.status;
  own.position = place.position;
  own.status = accepted ? "accepted" : "rejected";
  space.keepOwn(own);
  space.set({ settled: seq, inBase: Math.max(space.meta.inBase, seq), probing: false });
  keepSettled(space, space.meta.replica, seq, own.link, place.position);
  if (verdict.code === 0 && !place.inBase) {
    space.base.apply(space.meta.replica, own.change, place.position, space.wanted);
  }
  space.refillOverlay();
  // What was rejected or set aside before was reported then, and is a skip now (IDENT-20, IDENT-22).
  if (accepted || verdict.code === Code.skipped || known !== "waiting") return;
  if (mayReplace(space, own, verdict, place.wall)) replace(space, own, place.wall);
  else report(space, own, verdict.code, tell);
}

/** Keeps the last settled change of an author (PEER-5). */
export function keepSettled(space: Space, author: Hex, seq: number, link: Hex, at: number): void {
  space.settledOf.set(author, { seq, link, at });
  space.dirty.add(`author ${author}`);
}

/** Keeps the settled seq and link of an author, and drops what is held of it there or on another chain (PEER-5). */
export function settleHeld(space: Space, author: Hex, seq: number, link: Hex, at: number): void {
  keepSettled(space, author, seq, link, at);
  const forked = space.overlay.heldOf(author).some((held) => held.change.seq === seq && held.link !== link);
  for (const { change } of space.overlay.dropWhere(author, (held) => forked || held.change.seq <= seq)) {
    space.dirty.add(`held ${author} ${change.seq}`);
    space.touchShown(change);
  }
}

function report(space: Space, own: Own, code: number, tell: (event: Event) => void): void {
  const { seq } = own.change;
  space.rejections.push({ replica: space.meta.replica, seq, code, change: own.change });
  space.dirty.add("rejections");
  tell({ name: "rejected", seq, code, change: own.change });
}

/** Takes a change that nobody takes out of the view, and offers a skip in its place (IDENT-29). */
export function setAside(space: Space, own: Own, code: number, tell: (event: Event) => void): void {
  own.status = "aside";
  space.keepOwn(own);
  space.refillOverlay();
  report(space, own, code, tell);
}

/** Whether a rejection is the clock's fault, or that of a change which was itself replaced (CLOCK-12, IDENT-27). */
function mayReplace(space: Space, { change }: Own, { code, detail }: Verdict, wall: number): boolean {
  if (code === Code.clock && detail !== null) {
    if (change.reading.ms <= detail + CLOCK_ADMIT_MS) return false;
    // A clock that is itself ahead takes the server's time first (CLOCK-15).
    if (wall + space.meta.offset > detail + CLOCK_ABSORB_MS) space.set({ offset: Math.floor(detail - wall) });
    return true;
  }
  return (
    code === Code.needs &&
    change.needs.every((seq) => {
      const needed = space.ownAt(seq);
      return needed === undefined || needed.status === "accepted" || needed.status === "waiting" || needed.replacedBy > 0;
    })
  );
}

function replace(space: Space, own: Own, wall: number): void {
  const { change, link } = own;
  const reading = mint(space.meta.clock, wall + space.meta.offset);
  const needs = new Set<number>();
  for (const seq of change.needs) {
    const needed = space.ownAt(seq);
    if (needed && needed.replacedBy > 0) needs.add(needed.replacedBy);
    else if (needed?.status === "waiting") needs.add(seq);
  }
  const seq = space.minted + 1;
  const origin = change.origin ?? { replica: space.meta.replica, seq: change.seq, link };
  space.append({ ...change, seq, reading, rows: restamped(space, change.rows, reading), origin, needs: [...needs].sort((a, b) => a - b) });
  space.set({ clock: reading });
  own.replacedBy = seq;
}

/** The same rows at another reading, each `after` as it has to be there (CLOCK-7, CLOCK-8). */
function restamped(space: Space, rows: readonly Row[], reading: Reading): Row[] {
  return rows.map((row) => {
    const view = space.view(row.collection, row.id);
    const over = (field: string, rule: number, key: Parameters<typeof view.find>[2]): { after?: Reading } => {
      const stamp = view.life === row.life ? view.find(field, rule, key)?.stamp : undefined;
      return stamp && compareReadings(stamp, reading) >= 0 ? { after: { ms: stamp.ms, counter: stamp.counter } } : {};
    };
    return {
      ...row,
      columns: row.columns.map(({ field, rule, op }): Column => {
        if (rule === Rule.lww) return { field, rule, ...over(field, rule, null), op };
        if (op.kind !== "entries") return { field, rule, op };
        return { field, rule, op: { ...op, entries: op.entries.map(({ key, value }) => ({ key, value, ...over(field, rule, key) })) } };
      }),
    };
  });
}

/**
 * Takes a fresh replica id and mints what is unsettled again under it, in order and with its readings (IDENT-12 to
 * IDENT-14, IDENT-19, IDENT-24). `from` is the first own seq that counts as unsettled; `lost` of them cannot be offered.
 */
export function remint(space: Space, from: number, lost: number, tell: (event: Event) => void): void {
  const { replica: old } = space.meta;
  const again = space.own.filter(({ change, status }) => change.seq >= from && (status === "waiting" || status === "accepted"));
  const before = new Map<number, Own>(space.own.map((own) => [own.change.seq, own]));
  for (const { change } of space.own) space.dirty.add(`own ${change.seq}`);
  const replica = toHex(space.random(16));
  space.own = [];
  space.dropStage();
  space.set({ replica, floor: { seq: 0, link: startLink(space.name, replica) }, settled: 0, inBase: 0, probing: false });
  space.refillOverlay();
  const left = new Map(again.map((own) => [own.change.seq, own]));
  const work: Reminting = { old, names: new Map(), left, before, tell };
  for (const own of again) mintAgain(space, own, work);
  space.refillOverlay();
  tell({ name: "forked", lost });
}

interface Reminting {
  readonly old: Hex;
  /** The new seq of each change that was minted again. */
  readonly names: Map<number, number>;
  /** The changes that are still to be minted again, by their old seqs. */
  readonly left: Map<number, Own>;
  readonly before: ReadonlyMap<number, Own>;
  readonly tell: (event: Event) => void;
}

/** Under which seq something is now that may have been replaced. */
function latest(before: ReadonlyMap<number, Own>, seq: number): number {
  const by = before.get(seq)?.replacedBy ?? 0;
  return by > 0 ? latest(before, by) : seq;
}

/** Mints a change again, behind what it needs (IDENT-31). */
function mintAgain(space: Space, own: Own, work: Reminting): void {
  const { change, link } = own;
  const { old, names, left, before, tell } = work;
  if (!left.delete(change.seq)) return;
  const origin: Origin = change.origin ?? { replica: old, seq: change.seq, link };
  const needs = new Set<number>();
  for (const first of change.needs) {
    const need = latest(before, first);
    const needed = left.get(need);
    if (needed) mintAgain(space, needed, work);
    const name = names.get(need);
    if (name !== undefined) needs.add(name);
    else if ((before.get(need)?.status ?? "accepted") !== "accepted") {
      // It needs what has no effect: it is reported, and not minted again.
      space.rejections.push({ replica: old, seq: change.seq, code: Code.needs, change });
      space.dirty.add("rejections");
      tell({ name: "rejected", seq: change.seq, code: Code.needs, change });
      return;
    }
  }
  const seq = space.minted + 1;
  names.set(change.seq, seq);
  space.append({ ...change, seq, origin, needs: [...needs].sort((a, b) => a - b) });
}
