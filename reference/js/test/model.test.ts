/** The model layer: typed fields, events, transactions and undo. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryStore, Refused, Replica } from "../src/index.js";
import { counter, greatest, lww, map, Models, multi, set, type Conflict } from "../src/model/index.js";
import { pair } from "./link.js";

const FIELDS = {
  title: lww(""),
  done: lww(false),
  votes: counter(),
  best: greatest(0),
  tags: set<string>(),
  notes: multi<string>(),
  attrs: map<number>(),
};

async function open(): Promise<{ models: Models; replica: Replica; todos: ReturnType<typeof collection> }> {
  const replica = await Replica.open({ space: "home", store: new MemoryStore() });
  const models = new Models(replica);
  return { models, replica, todos: collection(models) };
}

const collection = (models: Models) => models.collection("todos", FIELDS);

test("fields show and take what their rules say", async () => {
  const { todos, replica } = await open();
  const todo = await todos.create({ title: "Buy milk", votes: 2, tags: [["food", true]], attrs: { a: 1 } });
  await todo.set({
    votes: -1,
    best: 5,
    tags: [
      ["shop", true],
      ["food", false],
    ],
    notes: ["one"],
    attrs: { a: undefined, b: 2 },
  });
  await todo.set({ best: 3, done: true, notes: ["two"] });
  assert.deepEqual(todo.attributes, { title: "Buy milk", done: true, votes: 1, best: 5, tags: ["shop"], notes: ["two"], attrs: { b: 2 } });
  const title: string = todo.get("title");
  assert.equal(title, "Buy milk");
  await todo.delete();
  assert.deepEqual([todo.exists, todos.get(todo.id), todos.size, todo.get("votes")], [false, undefined, 0, 0]);
  await replica.close();
});

test("events say what came, changed and went, once each", async () => {
  const { todos, models, replica } = await open();
  const said: string[] = [];
  todos.on("add", ({ id }) => said.push(`add ${id}`));
  todos.on("change", ({ model, fields }) => said.push(`change ${model.id} ${fields.join()}`));
  todos.on("remove", ({ id }) => said.push(`remove ${id}`));
  const todo = await todos.create({ title: "a" }, "t1");
  todo.on("change", (fields) => said.push(`model ${fields.join()}`));
  await todo.set({ title: "b", done: true });
  await todo.set({ title: "b" });
  await todo.delete();
  assert.deepEqual(said, ["add t1", "model title,done", "change t1 title,done", "remove t1"]);
  assert.deepEqual(models.status, { state: "offline", behind: 0, pending: 4, rejected: 0, links: 0 });
  await replica.close();
});

test("a transaction is one change, and none where it throws", async () => {
  const { todos, models, replica } = await open();
  const [a, b] = [await todos.create({ votes: 1 }, "a"), await todos.create({}, "b")];
  await models.transaction(() => {
    void a.set({ title: "first", votes: 2 });
    void a.set({ title: "last", votes: 3 });
    void b.delete();
  });
  assert.deepEqual([a.get("title"), a.get("votes"), b.exists, replica.status.pending], ["last", 6, false, 3]);
  await assert.rejects(
    models.transaction(() => {
      void a.set({ title: "never" });
      throw new Error("the controller changed its mind");
    }),
  );
  await assert.rejects(todos.create({ title: (2n ** 70n) as unknown as string }), Refused);
  assert.deepEqual([a.get("title"), replica.status.pending], ["last", 3]);
  await replica.close();
});

test("undo takes back what was written here, and leaves what others wrote since", async () => {
  const { todos, models, replica } = await open();
  const a = await todos.create({ title: "one", votes: 5, tags: [["x", true]] }, "a");
  await a.set({
    title: "two",
    votes: 2,
    tags: [
      ["x", false],
      ["y", true],
    ],
    notes: ["n"],
    attrs: { k: 1 },
  });
  await replica.write([{ collection: "todos", id: "a", fields: { title: "theirs" } }]);
  assert(await models.undo());
  assert.deepEqual(a.attributes, { title: "theirs", done: false, votes: 5, best: 0, tags: ["x"], notes: [], attrs: {} });
  await a.delete();
  await models.undo();
  assert.deepEqual([a.exists, a.get("votes"), a.get("tags"), a.get("title")], [true, 5, ["x"], "theirs"]);
  assert(await models.undo());
  assert.equal(a.exists, false);
  assert.equal(await models.undo(), false);
  await replica.close();
});

test("values written side by side are a conflict to pick from", async () => {
  const [here, there] = [await open(), await open()];
  const [left, right] = pair();
  await here.todos.create({ notes: ["mine"] }, "t1");
  await there.todos.create({ notes: ["theirs"] }, "t1");
  const conflict = new Promise<Conflict<typeof FIELDS>>((resolve) => here.todos.on("conflict", resolve));
  here.replica.link(left, true);
  there.replica.link(right, false);
  const { model, field, values } = await conflict;
  assert.deepEqual([field, [...(values ?? [])].sort()], ["notes", ["mine", "theirs"]]);
  await model.set({ notes: ["picked"] });
  assert.deepEqual(model.get("notes"), ["picked"]);
  await Promise.all([here.replica.close(), there.replica.close()]);
});
