/** The numbers that stand for names in what a server sends (spec 22). */

import type { Hex } from "./bytes.js";
import { Writer } from "./cbor.js";
import { checkOrder, isUnresolved, type Row } from "./change.js";
import { malformed, type Fault } from "./fault.js";
import type { Item } from "./items.js";
import { FRAME_BYTES_MAX, NAMES_MAX } from "./limits.js";
import type { Message, Of } from "./message.js";

/** A column as its names say it: its field and rule. */
export type ColumnName = readonly [field: string, rule: number];

/** The tables of columns and replicas: the name of number 1 comes first. */
export class Names {
  /** Whether a number came that stands for nothing (COMPACT-11). */
  failed = false;
  /** The size of the literal form of the frame that is read, as far as it is known (COMPACT-10). */
  literalBytes = 0;

  constructor(
    readonly columns: ColumnName[] = [],
    readonly replicas: Hex[] = [],
  ) {}

  copy(): Names {
    return new Names([...this.columns], [...this.replicas]);
  }

  /** Learns names that go on from those it has, or from before their end; others it leaves. */
  learn({ firstColumn, columns, firstReplica, replicas }: Of<"names">): void {
    const last = Math.max(firstColumn + columns.length, firstReplica + replicas.length) - 1;
    if (last > NAMES_MAX) throw malformed(`a name of number ${last}`);
    if (firstColumn <= this.columns.length + 1) this.columns.push(...columns.slice(this.columns.length + 1 - firstColumn));
    if (firstReplica <= this.replicas.length + 1) this.replicas.push(...replicas.slice(this.replicas.length + 1 - firstReplica));
  }

  /** Whether it has the names of a message, as it does not where that leaves some out. */
  has({ firstColumn, columns, firstReplica, replicas }: Of<"names">): boolean {
    return firstColumn + columns.length - 1 <= this.columns.length && firstReplica + replicas.length - 1 <= this.replicas.length;
  }

  column(n: number): ColumnName {
    const name = this.columns[n - 1];
    if (name === undefined) throw this.#unknown("column", n);
    this.#grow(n, (w) => w.text(name[0]).int(name[1]));
    return name;
  }

  replica(n: number): Hex {
    const name = this.replicas[n - 1];
    if (name === undefined) throw this.#unknown("replica", n);
    this.#grow(n, (w) => w.hex(name));
    return name;
  }

  /** The message with the names of records where it says numbers alone: those that it announced itself, or that `known` finds. */
  resolved(message: Message, known: (n: number) => RecordName | undefined): Message {
    const announced = new Map<number, RecordName>();
    const named = (row: Row): Row => {
      if (row.number === undefined) return row;
      if (!isUnresolved(row)) {
        announced.set(row.number, row);
        return row;
      }
      const name = announced.get(row.number) ?? known(row.number);
      if (name === undefined) throw this.#unknown("record", row.number);
      const { collection, id } = name;
      this.#grow(row.number, (w) => w.array(2).text(collection).text(id));
      return { ...row, collection, id };
    };
    if (message.type === "change") {
      const rows = message.change.rows.map(named);
      checkOrder(rows);
      message = { ...message, change: { ...message.change, rows } };
    } else if (message.type === "states") {
      message = { ...message, items: message.items.map((item): Item => ("rows" in item ? { ...item, rows: item.rows.map(named) } : item)) };
    }
    if (this.literalBytes > FRAME_BYTES_MAX) throw malformed(`a frame whose literal form has ${this.literalBytes} bytes`);
    return message;
  }

  /** The number that stands before a record's name, which the literal form has not. */
  announced(n: number): number {
    this.literalBytes -= size((w) => w.int(n));
    return n;
  }

  #grow(n: number, literal: (w: Writer) => void): void {
    this.literalBytes += size(literal) - size((w) => w.int(n));
  }

  #unknown(what: string, n: number): Fault {
    this.failed = true;
    return malformed(`number ${n} stands for no ${what}`);
  }
}

/** What a record is called. */
export type RecordName = Pick<Row, "collection" | "id">;

const scratch = new Writer();

function size(write: (w: Writer) => void): number {
  write(scratch);
  return scratch.take().length;
}
