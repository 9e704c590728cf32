/** The other replicas of a space, as a channel shows them: presence, and changes carried for them (spec 18 and 21). */

import type { Hex } from "./bytes.js";
import type { Event } from "./event.js";
import { linkAt, offers } from "./holding.js";
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

  /** Pushes to a server what is held of others and came before the own change `seq`, as far as the credit goes (PEER-16). */
  carry(seq: number, send: (push: Message) => void, credit: () => boolean): void {
    const { space } = this;
    if (space.overlay.heldCount === 0 || space.meta.collections !== null) return;
    for (const { author, change, behind } of offers(space)) {
      if (author === space.meta.replica || behind >= seq) continue;
      const sent = this.#carried.get(author) ?? space.settledOf.get(author)?.seq ?? 0;
      const before = linkAt(space, author, change.seq - 1);
      if (change.seq !== sent + 1 || before === undefined || !credit()) continue;
      send({ type: "push", author, before, changes: [change] });
      this.#carried.set(author, change.seq);
    }
  }
}
