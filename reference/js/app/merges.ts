/** What became of what was written on this page, where another device wrote the same field. */

import type { Task } from "./board.js";

type Field = keyof Task["attributes"];

export interface Merge {
  readonly field: string;
  /** What the field showed when this page had written it. */
  readonly mine: string;
  readonly shown: string;
  readonly how: string;
}

/** How each rule merges, in a few words. */
const HOW: { readonly [rule: string]: string } = {
  lww: "the last writer wins",
  counter: "all votes are added up",
  set: "each tag stands for itself",
  multi: "all stay until you pick one",
};
/** Tasks whose writes are remembered: the last ones. */
const TASKS_MAX = 500;

export class Merges {
  readonly #mine = new Map<string, Map<string, string>>();
  readonly #merges = new Map<string, Map<string, Merge>>();

  /** This page writes these fields: what shows from here on is its own. */
  begin(task: Task, fields: readonly string[]): void {
    for (const field of fields) {
      this.#mine.get(task.id)?.delete(field);
      this.#merges.get(task.id)?.delete(field);
    }
  }

  /** What was written shows. */
  end(task: Task, fields: readonly string[]): void {
    const mine = this.#mine.get(task.id) ?? new Map<string, string>();
    this.#mine.delete(task.id);
    this.#mine.set(task.id, mine);
    for (const field of fields) mine.set(field, words(task.get(field as Field)));
    const [oldest] = this.#mine.keys();
    if (this.#mine.size <= TASKS_MAX || oldest === undefined) return;
    this.#mine.delete(oldest);
    this.#merges.delete(oldest);
  }

  /** Fields show otherwise than before. */
  changed(task: Task, fields: readonly Field[]): void {
    for (const field of fields) {
      const mine = this.#mine.get(task.id)?.get(field);
      const shown = words(task.get(field));
      if (mine === undefined || mine === shown) continue;
      const merges = this.#merges.get(task.id) ?? new Map<string, Merge>();
      this.#merges.set(task.id, merges);
      merges.set(field, { field, mine, shown, how: HOW[task.collection.field(field).rule] ?? "" });
    }
  }

  of(id: string): Merge[] {
    return [...(this.#merges.get(id)?.values() ?? [])];
  }

  /** They were read. */
  dismiss(id: string): void {
    this.#merges.delete(id);
  }
}

function words(value: unknown): string {
  if (Array.isArray(value)) return value.length > 0 ? value.map(words).join(" | ") : "nothing";
  if (typeof value === "boolean") return value ? "yes" : "no";
  return value === "" ? "nothing" : String(value);
}
