/** What is for Node only: a store in a file, and the platform's hash and unpacking, which are faster than those in script. */

import * as crypto from "node:crypto";
import { inflateRawSync, type InputType } from "node:zlib";
import { useSha256 } from "./core/bytes.js";
import { malformed } from "./core/fault.js";
import { useInflate } from "./core/inflate.js";

export { FileStore } from "./store/file.js";

// Node has it from 20.12 on. A text of 32 units comes in a quarter of the time of a buffer.
if (typeof crypto.hash === "function")
  useSha256((bytes) => {
    const text = crypto.hash("sha256", bytes, "binary");
    const digest = new Uint8Array(32);
    for (let i = 0; i < 32; i++) digest[i] = text.charCodeAt(i);
    return digest;
  });

/** With `info` it says besides how much it read, which its types do not tell. */
const inflateRaw = inflateRawSync as unknown as (
  bytes: InputType,
  options: { readonly maxOutputLength: number; readonly info: true },
) => { readonly buffer: Uint8Array; readonly engine: { readonly bytesWritten: number } };

useInflate((bytes, most) => {
  let unpacked;
  try {
    // A bound of 0 is none to it.
    unpacked = inflateRaw(bytes, { maxOutputLength: Math.max(1, most), info: true });
  } catch (error) {
    throw malformed(`what is packed does not unpack: ${String(error)}`);
  }
  const { buffer, engine } = unpacked;
  if (engine.bytesWritten !== bytes.length) throw malformed("bytes after the end of what is packed");
  if (buffer.length > most) throw malformed(`more than ${most} bytes are packed`);
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
});
