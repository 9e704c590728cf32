/** Models and collections: the records of a space, as the Model of a Model, a View and a Controller. */

import type { Rejection } from "../core/space.js";
import { compareValues, type Value } from "../core/value.js";
import type { Shown } from "../core/view.js";
import { Emitter } from "./events.js";
import { read, type Fields, type ShownOf, type WrittenTo } from "./field.js";
import type { Models } from "./models.js";

/** What was not merged in silence. */
export interface Conflict<F extends Fields> {
  readonly model: Model<F>;
  /** A field of the rule `multi` shows several values: pick one, or keep all. */
  readonly field?: keyof F & string;
  readonly values?: readonly Value[];
  /** A change to the record was rejected: it has no effect. */
  readonly rejection?: Rejection;
}

/** One record. Of one id there is one model, which stays when the record goes and comes back. */
export class Model<F extends Fields = Fields> extends Emitter<{ change: readonly (keyof F & string)[]; remove: null }> {
  #shown: Shown | null;

  /** @internal Made by its collection. */
  constructor(
    readonly collection: Collection<F>,
    readonly id: string,
    shown: Shown | null,
  ) {
    super();
    this.#shown = shown;
  }

  /** Whether the record is there. */
  get exists(): boolean {
    return this.#shown !== null;
  }

  /** What a field shows. */
  get<N extends keyof F & string>(name: N): ShownOf<F>[N] {
    return read(this.#shown, name, this.collection.field(name)) as ShownOf<F>[N];
  }

  /** What all fields show. */
  get attributes(): ShownOf<F> {
    return Object.fromEntries(Object.keys(this.collection.fields).map((name) => [name, this.get(name)])) as ShownOf<F>;
  }

  /** Writes to fields, each as its rule takes it: a value, an amount, elements. Kept once it is durable. */
  set(values: WrittenTo<F>): Promise<void> {
    return this.collection.models.write(this.collection.name, this.id, values, this.collection.fields);
  }

  /** Deletes the record. */
  delete(): Promise<void> {
    return this.collection.models.delete(this.collection.name, this.id);
  }

  /** @internal Takes in what shows from here on, and gives the fields that show otherwise. */
  update(shown: Shown | null): (keyof F & string)[] {
    const names = Object.keys(this.collection.fields) as (keyof F & string)[];
    const before = this.#shown;
    const changed = names.filter((name) => {
      const field = this.collection.field(name);
      return compareValues(read(before, name, field) as Value, read(shown, name, field) as Value) !== 0;
    });
    this.#shown = shown;
    return changed;
  }
}

type CollectionEvents<F extends Fields> = {
  add: Model<F>;
  change: { readonly model: Model<F>; readonly fields: readonly (keyof F & string)[] };
  remove: Model<F>;
  /** All that is shown here is what the server has, and nothing is unsent. */
  sync: null;
  conflict: Conflict<F>;
};

export class Collection<F extends Fields = Fields> extends Emitter<CollectionEvents<F>> {
  readonly #models = new Map<string, Model<F>>();

  /** @internal Made by `Models.collection`. */
  constructor(
    readonly models: Models,
    readonly name: string,
    readonly fields: F,
  ) {
    super();
    for (const id of models.replica.ids(name)) this.#models.set(id, new Model(this, id, models.replica.show(name, id)));
  }

  field<N extends keyof F & string>(name: N): F[N] {
    const field = this.fields[name];
    if (!field) throw new TypeError(`${this.name} has no field ${name}`);
    return field;
  }

  /** The model of a record that is there. */
  get(id: string): Model<F> | undefined {
    const model = this.#models.get(id);
    return model?.exists ? model : undefined;
  }

  /** The models of all records, in no order. */
  *[Symbol.iterator](): Generator<Model<F>> {
    for (const model of this.#models.values()) if (model.exists) yield model;
  }

  get size(): number {
    return [...this].length;
  }

  /** Makes a record, under an id of its own unless one is given. Kept once it is durable. */
  async create(values: WrittenTo<F>, id: string = crypto.randomUUID()): Promise<Model<F>> {
    await this.models.write(this.name, id, values, this.fields);
    return this.#model(id);
  }

  #model(id: string): Model<F> {
    let model = this.#models.get(id);
    if (!model) this.#models.set(id, (model = new Model(this, id, null)));
    return model;
  }

  /** @internal Records may show otherwise: these, or any. */
  refresh(ids: Iterable<string> | null): void {
    for (const id of ids ?? new Set([...this.#models.keys(), ...this.models.replica.ids(this.name)])) this.#refresh(id);
  }

  #refresh(id: string): void {
    const shown = this.models.replica.show(this.name, id);
    if (shown === null && !this.#models.has(id)) return;
    const model = this.#model(id);
    const existed = model.exists;
    const fields = model.update(shown);
    if (!existed && model.exists) this.emit("add", model);
    else if (existed && !model.exists) {
      model.emit("remove", null);
      this.emit("remove", model);
    } else if (fields.length > 0) {
      model.emit("change", fields);
      this.emit("change", { model, fields });
    }
    for (const field of fields) {
      const values = this.fields[field]?.rule === "multi" ? (model.get(field) as readonly Value[]) : [];
      if (values.length > 1) this.emit("conflict", { model, field, values });
    }
  }

  /** @internal A change that wrote here was rejected. */
  rejected(rejection: Rejection): void {
    for (const { collection, id } of rejection.change.rows)
      if (collection === this.name) this.emit("conflict", { model: this.#model(id), rejection });
  }
}
