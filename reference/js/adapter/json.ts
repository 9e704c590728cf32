/** Values in the adapter's JSON (conformance/README.md, "The adapter"). */

import { fromHex, toHex } from "../src/core/bytes.js";
import { Refused } from "../src/core/fault.js";
import type { Held } from "../src/core/value.js";

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** What JSON stands for; `undefined` for an unset field. Integers come as bigint where a number does not hold them. */
export function fromJson(json: Json): unknown {
  if (Array.isArray(json)) return json.map(fromJson);
  if (json === null || typeof json !== "object") return json;
  if (typeof json["$bytes"] === "string") return fromHex(json["$bytes"]);
  if (json["$unset"] === true) return undefined;
  if (typeof json["$int"] === "string") return BigInt(json["$int"]);
  if (typeof json["$float"] === "string") return Number(json["$float"].replace("inf", "Infinity"));
  const entries = Array.isArray(json["$map"]) ? (json["$map"] as [string, Json][]) : Object.entries(json);
  return Object.fromEntries(entries.map(([key, value]) => [key, fromJson(value)]));
}

export function toJson(value: Held): Json {
  if (value === undefined) return { $unset: true };
  if (value instanceof Uint8Array) return { $bytes: toHex(value) };
  if (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value)) return { $float: value.toExponential() };
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map((item) => toJson(item));
  const entries = Object.entries(value).map(([key, item]): [string, Json] => [key, toJson(item)]);
  return entries.some(([key]) => key.startsWith("$")) ? { $map: entries } : Object.fromEntries(entries);
}

const INTEGER = /^-?\d+$/;

/** Parses JSON in which an integer that no number holds becomes a `$int`. */
export function parse(line: string): Json {
  // A number outside of text: only text may hold a quote, and it is matched first.
  const kept = line.replace(/"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/g, (token) => {
    if (!INTEGER.test(token) || Number.isSafeInteger(Number(token))) return token;
    return `{"$int":"${token}"}`;
  });
  return JSON.parse(kept) as Json;
}

export const asText = (json: Json | undefined): string => {
  if (typeof json !== "string") throw new Refused("text was expected");
  return json;
};

export const asNumber = (json: Json | undefined): number => {
  if (typeof json !== "number") throw new Refused("a number was expected");
  return json;
};
