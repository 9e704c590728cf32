/** What is for Node only. */

export { FileStore } from "./store/file.js";
