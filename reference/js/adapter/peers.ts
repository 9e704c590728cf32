/** The clients of an adapter: their stores, crash points and what they say (conformance/README.md, "The adapter"). */

import { fromHex, sha256, textCompare, toHex, utf8 } from "../src/core/bytes.js";
import { ZERO } from "../src/core/clock.js";
import { Client, type Time } from "../src/core/client.js";
import type { Effect, Event } from "../src/core/event.js";
import { Refused } from "../src/core/fault.js";
import type { Guard, RowWrite, RuleWrites } from "../src/core/local.js";
import { Rule } from "../src/core/op.js";
import type { Batch } from "../src/core/space.js";
import type { Value } from "../src/core/value.js";
import { asNumber, asText, fromJson, toJson, type Json } from "./json.js";

export type Command = { readonly [key: string]: Json };
export type Emit = (line: { [key: string]: Json }) => void;

/** Bytes that follow from a seed and nothing else. */
function randomFrom(seed: string): (n: number) => Uint8Array {
  let drawn = 0;
  return (n) => sha256(utf8(`${seed} ${drawn++}`)).slice(0, n);
}

/** A client on a store in memory, which it loses all but what was committed of when it dies. */
class Peer {
  store = new Map<string, Uint8Array>();
  client: Client | null;
  skew = 0;
  readonly #random: (n: number) => Uint8Array;
  #crash: { left: number; after: boolean } | null = null;

  constructor(
    readonly name: string,
    readonly space: string,
    readonly token: string | null,
    seed: string,
  ) {
    this.#random = randomFrom(seed);
    this.client = this.#open();
  }

  #open(): Client {
    return new Client(this.space, this.token, this.#random, this.store);
  }

  /** Opens again on what is committed. */
  reopen(): void {
    this.#crash = null;
    this.client = this.#open();
  }

  /** Dies at the `n`-th commit from here: in its place, or just after it. */
  crashAt(n: number, after: boolean): void {
    this.#crash = { left: n, after };
  }

  /** Commits what the turn wrote, then gives its effects; null where it died there. */
  settle(): readonly Effect[] | null {
    if (!this.client) return [];
    const { batch, effects } = this.client.take();
    if (batch.size > 0 && this.#crash && --this.#crash.left === 0) {
      if (this.#crash.after) this.#commit(batch);
      this.client = null;
      return null;
    }
    this.#commit(batch);
    return effects;
  }

  #commit(batch: Batch): void {
    for (const [key, bytes] of batch) {
      if (bytes === null) this.store.delete(key);
      else this.store.set(key, bytes);
    }
  }
}

/** Runs the commands that are about peers. */
export class Peers {
  readonly #peers = new Map<string, Peer>();
  readonly #saved = new Map<string, Map<string, Uint8Array>>();
  #now = 0;

  constructor(readonly emit: Emit) {}

  /** Runs one command and gives the fields of its reply. */
  run(command: Command): { [key: string]: Json } {
    this.#now = asNumber(command["now"]);
    const verb = asText(command["verb"]);
    if (verb === "advance") {
      for (const peer of this.#peers.values())
        this.#turn(peer, (client, time) => (client.wake ?? Infinity) <= time.now && client.advance(time));
      return this.#reply({});
    }
    if (verb === "open") {
      if (command["role"] !== "client") throw new Error(`no peer of the role ${JSON.stringify(command["role"])} is here`);
      const token = command["token"] ?? null;
      const peer = new Peer(
        asText(command["peer"]),
        asText(command["space"]),
        token === null ? null : asText(token),
        JSON.stringify(command["seed"]),
      );
      this.#peers.set(peer.name, peer);
      this.#turn(peer, () => undefined);
      return this.#reply({});
    }
    const peer = this.#peers.get(asText(command["peer"]));
    if (!peer) throw new Error(`no peer ${JSON.stringify(command["peer"])}`);
    return this.#reply(this.#runOn(peer, verb, command));
  }

  #runOn(peer: Peer, verb: string, command: Command): { [key: string]: Json } {
    const ask = ASKING[verb];
    const act = ACTING[verb];
    if (ask) return peer.client ? ask(peer.client, command) : {};
    if (act) return this.#turn(peer, (client, time) => act(client, command, time)) ?? {};
    switch (verb) {
      case "wall":
        peer.skew = asNumber(command["skew"]);
        return {};
      case "commit":
        peer.crashAt(asNumber(command["n"]), command["after"] === true);
        return {};
      case "save":
        this.#saved.set(asText(command["name"]), new Map(peer.store));
        return {};
      case "load":
        peer.store = new Map(this.#saved.get(asText(command["name"])));
        peer.reopen();
        return {};
      case "crash":
        peer.reopen();
        return {};
      default:
        throw new Error(`the verb ${verb} is not known`);
    }
  }

  /** A turn of a client that is alive: what it refuses is an answer, and what follows is written out. */
  #turn(peer: Peer, act: (client: Client, time: Time) => unknown): { [key: string]: Json } | undefined {
    if (!peer.client) return undefined;
    let answer: { [key: string]: Json } | undefined;
    try {
      answer = act(peer.client, { now: this.#now, wall: this.#now + peer.skew }) as { [key: string]: Json } | undefined;
    } catch (refused) {
      if (!(refused instanceof Refused)) throw refused;
      answer = { refused: refused.message };
    }
    const effects = peer.settle();
    if (effects === null) this.emit({ peer: peer.name, crashed: true });
    // The links are the harness's own: it knows how many stand.
    const told = (effects ?? []).filter((effect) => effect.kind !== "event" || effect.event.name !== "links");
    for (const effect of told) this.emit({ peer: peer.name, ...effectJson(effect) });
    return answer;
  }

  #reply(fields: { [key: string]: Json }): { [key: string]: Json } {
    const wakes = [...this.#peers.values()].flatMap(({ client }) => client?.wake ?? []);
    return { ...fields, wake: wakes.length > 0 ? Math.max(Math.min(...wakes), this.#now) : null };
  }
}

function effectJson(effect: Effect): { [key: string]: Json } {
  switch (effect.kind) {
    case "connect":
      return { connect: true };
    case "frame":
      return { conn: conn(effect.conn), frame: toHex(effect.bytes) };
    case "close":
      return { conn: conn(effect.conn), close: true };
    case "event":
      return eventJson(effect.event);
  }
}

/** A connection's label, as the harness gave it. */
const conn = (label: string): Json => JSON.parse(label) as Json;
const connOf = (command: Command): string => JSON.stringify(command["conn"] ?? null);

function eventJson(event: Event): { [key: string]: Json } {
  const { name } = event;
  switch (event.name) {
    case "rejected":
      return { event: name, seq: event.seq, code: event.code };
    case "forked":
      return { event: name, lost: event.lost };
    case "reset":
      return { event: name, reason: event.reason };
    case "refused":
      return { event: name, code: event.code, class: event.class };
    case "signal":
      return { event: name, from: event.from, payload: toJson(event.payload) };
    case "rights":
      return { event: name, write: event.write };
    case "left":
      return { event: name, collections: [...event.collections] };
    case "presence":
      return { event: name, count: event.count };
    case "link-refused":
      return { event: name, code: event.code };
    default:
      return { event: name };
  }
}

type Answer = { [key: string]: Json } | undefined | void;

/** Verbs that only look. */
const ASKING: Record<string, (client: Client, command: Command) => { [key: string]: Json }> = {
  state: ({ space }) => {
    const records: Json[] = [];
    for (const collection of space.collectionNames().sort(textCompare)) {
      for (const id of space.ids(collection).sort(textCompare)) {
        const shown = space.show(collection, id);
        if (!shown) continue;
        const fields = toJson(shown.fields);
        records.push(
          Object.keys(shown.columns).length > 0 ? [collection, id, fields, toJson(shown.columns as Value)] : [collection, id, fields],
        );
      }
    }
    return { records };
  },
  status: (client) => {
    const { inSync, mayWrite, head: _, collections, ...rest } = client.status;
    return { ...rest, in_sync: inSync, may_write: mayWrite, collections: collections && [...collections] };
  },
  rejections: ({ space }) => ({ rejections: space.rejections.map(({ seq, code }) => ({ seq, code })) }),
  presence: (client) => ({ presence: client.presence.map(([replica, payload]) => [replica, toHex(payload)]) }),
};

/** Verbs that do something; what they give is in the reply. */
const ACTING: Record<string, (client: Client, command: Command, time: Time) => Answer> = {
  start: (client, _, time) => client.start(time),
  stop: (client, _, time) => client.stop(time),
  link: (client, command, time) => client.link(connOf(command), command["dials"] === true, time),
  connect: (client, command, time) => client.connected(connOf(command), time),
  frame: (client, command, time) => client.frame(connOf(command), fromHex(asText(command["frame"])), time),
  hangup: (client, command, time) => client.hangup(connOf(command), time),
  write: (client, command, time) => ({ seq: client.write(rowsOf(command), guardsOf(command), time) }),
  dismiss: (client, command) => client.dismiss(asNumber(command["seq"])),
  subscribe: (client, command, time) => client.subscribe(command["collections"] as string[] | null, time),
  present: (client, command, time) => {
    const payload = command["payload"] ?? null;
    client.present(payload === null ? null : fromHex(asText(payload)), payload === null ? 0 : asNumber(command["ttl"]), time);
  },
  signal: (client, command, time) => ({ sent: client.signal(asText(command["to"]), fromHex(asText(command["payload"])), time) }),
  token: (client, command, time) => client.token(asText(command["token"]), (command["expires"] ?? null) as number | null, time),
  "link-token": (client, command) => client.setLinkToken((command["token"] ?? null) as string | null),
  wipe: (client, command, time) => ({ lost: client.wipe(command["force"] === true, time) }),
  spoil: ({ space }, command) => {
    const [collection, id] = command["record"] as [string, string];
    const field = (command["field"] ?? null) as string | null;
    const record = space.base.touch(collection, id);
    if (field === null) space.base.drop(record);
    else record.put({ field, rule: Rule.lww, key: null, stamp: { ...ZERO, author: space.meta.replica }, value: "spoilt" });
  },
};

function rowsOf(command: Command): RowWrite[] {
  return (command["rows"] as { [key: string]: Json }[]).map((row) => {
    const [collection, id] = row["record"] as [string, string];
    if (row["delete"] === true) return { collection, id, delete: true };
    const fields = fromJson(row["fields"] ?? {}) as { [field: string]: unknown };
    const columns = Object.entries((row["columns"] ?? {}) as { [field: string]: Json }).map(([field, rules]): [string, RuleWrites] => [
      field,
      fromJson(rules) as RuleWrites,
    ]);
    return { collection, id, fields, columns: Object.fromEntries(columns) };
  });
}

function guardsOf(command: Command): Guard[] {
  return ((command["if"] ?? []) as { [key: string]: Json }[]).map((guard) => {
    const [collection, id] = guard["record"] as [string, string];
    return { collection, id, field: (guard["field"] ?? null) as string | null };
  });
}
