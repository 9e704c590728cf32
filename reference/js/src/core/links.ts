/** Peer links (spec 21). */
import type { Event } from "./event.js";
import type { Outbox, Time } from "./line.js";
import type { Space } from "./space.js";

export class Links {
  wake = Infinity;
  count = 0;
  constructor(readonly space: Space, readonly outbox: Outbox, readonly tell: (event: Event) => void, readonly served: () => boolean) {}
  add(_conn: string, _dials: boolean, _time: Time): void {}
  frame(_conn: string, _bytes: Uint8Array, _time: Time): void {}
  hangup(_conn: string, _time: Time): boolean {
    return false;
  }
  advance(_time: Time): void {}
  pump(_time: Time): void {}
  moved(_time: Time): void {}
  endAll(): void {}
}
