// An adapter of Syncline's conformance suite: one JSON object a line on stdin, one on stdout. Logs belong on stderr.
import { createInterface } from "node:readline";

type Fields = Record<string, unknown>;

/** What this implementation does not do yet. */
class Unsupported extends Error {}

/** Bytes that are refused; its message is a name from the registry of errors, such as `malformed`. */
class Fault extends Error {}

/** The bytes of one `value` or one `frame`, as your implementation holds them; throws Fault. */
function decode(kind: string, bytes: Uint8Array): unknown {
  throw new Unsupported(`decode of a ${kind} of ${bytes.length} bytes`);
}

/** What `decode` gave, as bytes. */
function encode(kind: string, decoded: unknown): Uint8Array {
  throw new Unsupported(`encode of a ${kind}: ${decoded}`);
}

function vectors(command: Fields): Fields {
  const kind = String(command.kind);
  try {
    if (!["value", "frame", "frame-agreed"].includes(kind)) throw new Unsupported(kind);
    const decoded = decode(kind, Buffer.from(String(command.hex), "hex"));
    return { hex: Buffer.from(encode(kind, decoded)).toString("hex") };
  } catch (error) {
    if (error instanceof Fault) return { error: error.message };
    if (error instanceof Unsupported) return { error: "unknown-kind" };
    throw error;
  }
}

// Each further verb of the README's table is a function more.
const verbs = new Map<unknown, (command: Fields) => Fields>([
  ["hello", () => ({ version: 1, name: "mine", profiles: ["core"], roles: [] })],
  ["vectors", vectors],
  ["bye", () => ({})],
]);

function parse(line: string): Fields | undefined {
  try {
    const command = JSON.parse(line);
    return typeof command?.id === "number" ? command : undefined;
  } catch {
    return undefined;
  }
}

function answer(command: Fields | undefined): Fields {
  if (!command) return { id: null, error: "no JSON object with an id" };
  const verb = verbs.get(command.verb);
  if (!verb) return { id: command.id, error: "unsupported" };
  try {
    return { id: command.id, ok: true, wake: null, ...verb(command) };
  } catch (error) {
    return { id: command.id, error: String(error) };
  }
}

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const command = parse(line);
  process.stdout.write(JSON.stringify(answer(command)) + "\n");
  if (command?.verb === "bye") lines.close();
});
