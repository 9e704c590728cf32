/** A list that holds only the rows in sight, whatever its length. */

export interface RowView<T> {
  readonly key: (item: T) => string;
  readonly make: (key: string) => HTMLElement;
  readonly update: (row: HTMLElement, item: T) => void;
}

const ROW_PX = 56;
/** Rows kept above and below those in sight. */
const MARGIN = 6;

export class Rows<T> {
  #items: readonly T[] = [];
  readonly #shown = new Map<string, HTMLElement>();
  readonly #spacer = document.createElement("ul");
  #active = "";
  #asked = false;

  constructor(
    readonly scroller: HTMLElement,
    readonly view: RowView<T>,
    label: string,
  ) {
    this.#spacer.setAttribute("role", "list");
    this.#spacer.setAttribute("aria-label", label);
    scroller.append(this.#spacer);
    scroller.addEventListener("scroll", () => this.render(), { passive: true });
    new ResizeObserver(() => this.render()).observe(scroller);
    scroller.addEventListener("focusin", (event) => {
      this.#active = rowOf(event.target)?.dataset["id"] ?? this.#active;
      this.ask();
    });
  }

  get items(): readonly T[] {
    return this.#items;
  }

  /** The item whose row has, or last had, the focus. */
  get active(): T | undefined {
    return this.#items.find((item) => this.view.key(item) === this.#active);
  }

  show(items: readonly T[]): void {
    this.#items = items;
    this.#spacer.style.height = `${items.length * ROW_PX}px`;
    this.ask();
  }

  /** Renders once before the next frame, however often it is asked. */
  ask(): void {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      this.render();
    });
  }

  render(): void {
    const from = Math.max(0, Math.floor(this.scroller.scrollTop / ROW_PX) - MARGIN);
    const to = Math.min(this.#items.length, Math.ceil((this.scroller.scrollTop + this.scroller.clientHeight) / ROW_PX) + MARGIN);
    const places = Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);
    this.#keepFocus(places);
    const keys = places.map((at) => this.view.key(this.#items[at] as T));
    const kept = new Set(keys);
    for (const [key, row] of this.#shown) {
      if (kept.has(key)) continue;
      row.remove();
      this.#shown.delete(key);
    }
    // One row can be reached by Tab, and the arrows move on from it.
    const entry = kept.has(this.#active) ? this.#active : keys[0];
    let next = this.#spacer.firstElementChild;
    places.forEach((at, i) => {
      const row = this.#place(at, keys[i] as string, keys[i] === entry);
      // In the order in which they show, for whoever does not see where they are.
      if (row === next) next = next.nextElementSibling;
      else this.#spacer.insertBefore(row, next);
    });
  }

  /** Keeps the row that has the focus in the page, also where it is out of sight. */
  #keepFocus(places: number[]): void {
    const focused = rowOf(document.activeElement)?.dataset["id"];
    if (focused === undefined) return;
    const at = this.#items.findIndex((item) => this.view.key(item) === focused);
    if (at < 0 || places.includes(at)) return;
    if (at < (places[0] ?? Infinity)) places.unshift(at);
    else places.push(at);
  }

  #place(at: number, key: string, entry: boolean): HTMLElement {
    const item = this.#items[at] as T;
    let row = this.#shown.get(key);
    if (!row) {
      this.#shown.set(key, (row = this.view.make(key)));
      row.dataset["id"] = key;
    }
    row.style.transform = `translateY(${at * ROW_PX}px)`;
    row.setAttribute("aria-setsize", String(this.#items.length));
    row.setAttribute("aria-posinset", String(at + 1));
    for (const control of row.querySelectorAll<HTMLElement>("button, input")) control.tabIndex = entry ? 0 : -1;
    this.view.update(row, item);
    return row;
  }

  /** Moves the focus up or down, and what is in sight with it. */
  step(by: number): void {
    const at = this.#items.findIndex((item) => this.view.key(item) === this.#active);
    const next = Math.min(this.#items.length - 1, at < 0 ? 0 : Math.max(0, at + by));
    const item = this.#items[next];
    if (!item) return;
    const [top, bottom] = [next * ROW_PX, (next + 1) * ROW_PX];
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    if (bottom > this.scroller.scrollTop + this.scroller.clientHeight) this.scroller.scrollTop = bottom - this.scroller.clientHeight;
    this.render();
    this.#shown.get(this.view.key(item))?.querySelector<HTMLElement>(".open")?.focus();
  }
}

export const rowOf = (target: EventTarget | null): HTMLElement | null =>
  target instanceof Element ? target.closest<HTMLElement>("[data-id]") : null;
