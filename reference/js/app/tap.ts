/** Shows what goes over a connection: the last frames in CBOR's diagnostic notation. */

import { decodeFirst } from "cborg";
import type { Transport } from "../src/index.js";

const LINES_MAX = 40;
const LINE_CHARACTERS_MAX = 600;

export interface Tap {
  readonly lines: string[];
  heard: () => void;
}

export function tapped(transport: Transport, tap: Tap): Transport {
  const note = (way: string, bytes: Uint8Array): void => {
    tap.lines.unshift(`${way} ${shorten(edn(bytes))}`);
    tap.lines.length = Math.min(tap.lines.length, LINES_MAX);
    tap.heard();
  };
  return {
    trusted: transport.trusted,
    connect(listener) {
      const connection = transport.connect({
        opened: () => listener.opened(),
        frame: (bytes) => (note("◀", bytes), listener.frame(bytes)),
        closed: () => listener.closed(),
      });
      return { send: (bytes) => (note("▶", bytes), connection.send(bytes)), close: () => connection.close() };
    },
  };
}

const shorten = (line: string): string => (line.length > LINE_CHARACTERS_MAX ? `${line.slice(0, LINE_CHARACTERS_MAX)}…` : line);

/** A frame as a sequence of items; what is no CBOR is told as bytes. */
export function edn(bytes: Uint8Array): string {
  const items: string[] = [];
  try {
    for (let rest = bytes; rest.length > 0;) {
      const [item, after] = decodeFirst(rest, { useMaps: true }) as [unknown, Uint8Array];
      items.push(print(item));
      rest = after;
    }
    return items.join(", ");
  } catch {
    return hex(bytes);
  }
}

const hex = (bytes: Uint8Array): string => `h'${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}'`;

function print(item: unknown): string {
  if (item instanceof Uint8Array) return hex(item);
  if (Array.isArray(item)) return `[${item.map(print).join(", ")}]`;
  if (item instanceof Map) return `{${[...item].map(([key, value]) => `${print(key)}: ${print(value)}`).join(", ")}}`;
  if (typeof item === "string") return JSON.stringify(item);
  return String(item);
}
