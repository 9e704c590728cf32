/** Models, collections and their fields, on top of a replica. */

export { Models, type Connection, type Other } from "./models.js";
export { Collection, Model, type Conflict } from "./collection.js";
export { counter, greatest, least, lww, map, multi, set, type Field, type Fields, type ShownOf, type WrittenTo } from "./field.js";
