/** What is for Node only: a store in a file, and the platform's hash, which is faster than one in script. */

import * as crypto from "node:crypto";
import { useSha256 } from "./core/bytes.js";

export { FileStore } from "./store/file.js";

// Node has it from 20.12 on.
if (typeof crypto.hash === "function") useSha256((bytes) => crypto.hash("sha256", bytes, "buffer"));
