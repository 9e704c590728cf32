/** Changes of others that are held until they are settled: what is taken in, and what another side lacks (spec 21). */

import type { Hex } from "./bytes.js";
import { hashOf, isSkip, nextLink, startLink, type Change, type Pushed } from "./change.js";
import { HELD_CHANGES_MAX } from "./limits.js";
import type { Space } from "./space.js";

/** What came of an offered change. */
export type Taken =
  /** Held, known or left: nothing is to be said. */
  | "fine"
  /** Another chain of its author stays: the other side is to be told of it (PEER-12). */
  | "ours-stays"
  /** It stands under the own id, was not minted here, and stays (PEER-13). */
  | "fork";

/** The link of an author at `seq`, as it is held or settled; undefined where it is not known. */
export function linkAt(space: Space, author: Hex, seq: number): Hex | undefined {
  if (seq === 0) return startLink(space.name, author);
  if (author === space.meta.replica) return space.linkAt(seq);
  const held = space.overlay.heldOf(author);
  const first = held[0]?.change.seq ?? 0;
  const settled = space.settledOf.get(author);
  return held[seq - first]?.link ?? (settled?.seq === seq ? settled.link : undefined);
}

/** The last seq that is held or settled of an author. */
export function lastOf(space: Space, author: Hex): number {
  if (author === space.meta.replica) return space.minted;
  return space.overlay.heldOf(author).at(-1)?.change.seq ?? space.settledOf.get(author)?.seq ?? 0;
}

/** Holds the changes of a push that go on from what is held or settled; gives the worst that came of them (PEER-10). */
export function takePush(space: Space, author: Hex, before: Hex, changes: readonly Pushed[], now: number): Taken {
  let link = before;
  for (const pushed of changes) {
    // A skip has no rows to hold, and what comes behind it cannot be joined to the chain.
    if (isSkip(pushed)) return "fine";
    const next = nextLink(link, hashOf(pushed));
    const taken = takeChange(space, author, pushed, link, next, now);
    if (taken !== "fine") return taken;
    link = next;
  }
  return "fine";
}

function takeChange(space: Space, author: Hex, change: Change, before: Hex, link: Hex, now: number): Taken {
  const { seq } = change;
  const known = linkAt(space, author, seq);
  const settled = author === space.meta.replica ? space.meta.settled : (space.settledOf.get(author)?.seq ?? 0);
  if (seq <= settled || known === link) return "fine";
  if (linkAt(space, author, seq - 1) !== before) return "fine";
  if (known !== undefined && known < link) return "ours-stays";
  if (author === space.meta.replica) return "fork";
  if (known !== undefined)
    for (const gone of space.overlay.dropWhere(author, (held) => held.change.seq >= seq)) forgotten(space, author, gone.change);
  if (space.overlay.heldCount >= HELD_CHANGES_MAX) return "fine";
  space.overlay.hold(author, { change, link, behind: space.minted, nth: space.nextArrival() });
  space.dirty.add(`held ${author} ${seq}`);
  space.touchShown(change);
  space.observe(change.reading, now);
  return "fine";
}

function forgotten(space: Space, author: Hex, change: Change): void {
  space.dirty.add(`held ${author} ${change.seq}`);
  space.touchShown(change);
}

/** A change that may be offered, by the order in which it was minted or came. */
export interface Offer {
  readonly author: Hex;
  readonly change: Change;
  readonly behind: number;
  readonly nth: number;
}

/** All changes of the overlay, in the order in which they were minted or came (PEER-16). */
export function* offers(space: Space): Generator<Offer> {
  const held = [...space.overlay.held()].map(([author, { change, behind, nth }]): Offer => ({ author, change, behind, nth }));
  held.sort((a, b) => a.behind - b.behind || a.nth - b.nth);
  let at = 0;
  for (const { change, status } of space.own.slice(Math.max(0, Math.max(space.meta.settled, space.meta.inBase) - space.meta.floor.seq))) {
    while (at < held.length && (held[at] as Offer).behind < change.seq) yield held[at++] as Offer;
    // Behind a change that does not go out the chain would have a hole.
    if (status !== "waiting") break;
    yield { author: space.meta.replica, change, behind: change.seq, nth: -1 };
  }
  yield* held.slice(at);
}
