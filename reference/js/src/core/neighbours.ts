/** The other replicas of a space, as a channel shows them: presence, and changes carried for them (spec 18 and 21). */

import type { Hex } from "./bytes.js";
import { Profile, startLink } from "./change.js";
import type { Event } from "./event.js";
import type { Time } from "./line.js";
import type { Message } from "./message.js";
import type { Space } from "./space.js";

type Presence = Extract<Message, { type: "presence" }>;

export class Neighbours {
  readonly present = new Map<Hex, Uint8Array>();
  /** When the own presence has to be sent again. */
  wake = Infinity;
  #counter = 0;
  #said = false;
  /** The last seq carried of each author on this channel. */
  readonly #carried = new Map<Hex, number>();

  constructor(readonly space: Space) {}

  /** Another's presence, in place of what was known (PRES-11). */
  take({ replica, payload }: Presence): Event {
    if (payload === null) this.present.delete(replica);
    else this.present.set(replica, payload);
    return { name: "presence", count: 1 };
  }

  /** Sends what the application has set, or takes it back (PRES-4). */
  renew(time: Time, send: (presence: Presence) => void): void {
    const { presence, meta } = this.space;
    this.wake = presence ? time.now + Math.max(1, Math.floor(presence.ttl / 2) - 1) : Infinity;
    if (!presence && !this.#said) return;
    this.#said = presence !== null;
    const { payload, ttl } = presence ?? { payload: null, ttl: 0 };
    send({ type: "presence", replica: meta.replica, counter: ++this.#counter, ttl, payload });
  }

  tick(time: Time, send: (presence: Presence) => void): void {
    if (time.now >= this.wake) this.renew(time, send);
  }

  /** Pushes to a server what is held of others and continues what it has settled of them (PEER-16). */
  carry(send: (push: Message) => void, credit: () => boolean, agreed: ReadonlySet<number>): void {
    const { space } = this;
    if (!agreed.has(Profile.peer) || space.meta.collections !== null) return;
    for (const author of space.overlay.authors()) {
      for (const { change } of space.overlay.heldOf(author)) {
        const before = this.#carried.get(author) ?? space.settledOf.get(author)?.seq ?? 0;
        if (change.seq !== before + 1 || !credit()) continue;
        send({ type: "push", author, before: linkBefore(space, author, change.seq), changes: [change] });
        this.#carried.set(author, change.seq);
      }
    }
  }
}

/** The link of an author at the seq before `seq`, as it is held or settled. */
export function linkBefore(space: Space, author: Hex, seq: number): Hex {
  if (seq === 1) return startLink(space.name, author);
  if (author === space.meta.replica) return space.linkAt(seq - 1) ?? startLink(space.name, author);
  const held = space.overlay.heldOf(author).find(({ change }) => change.seq === seq - 1);
  return held?.link ?? space.settledOf.get(author)?.link ?? startLink(space.name, author);
}
