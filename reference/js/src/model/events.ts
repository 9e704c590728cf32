/** Listeners by the name of an event. */

export class Emitter<Events extends { readonly [name: string]: unknown }> {
  readonly #listeners = new Map<keyof Events, Set<(event: never) => void>>();

  /** Calls `listener` at each event of that name; gives what ends it. */
  on<N extends keyof Events>(name: N, listener: (event: Events[N]) => void): () => void {
    let listeners = this.#listeners.get(name);
    if (!listeners) this.#listeners.set(name, (listeners = new Set()));
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  emit<N extends keyof Events>(name: N, event: Events[N]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) listener(event as never);
  }
}
