/** Error codes and their classes (spec 10, `registries/errors.toml`). */

export const Code = {
  malformed: 1,
  notCanonical: 2,
  frameTooLarge: 3,
  unknownMessage: 4,
  unexpected: 5,
  version: 6,
  unauthorized: 7,
  forbidden: 8,
  unknownSpace: 9,
  replaced: 12,
  timeout: 13,
  criticalExtension: 17,
  clock: 32,
  stale: 34,
  unsupported: 36,
  duplicate: 38,
  skipped: 39,
  needs: 41,
} as const;

/** What an error says about trying again. */
export const Class = { never: 0, change: 1, wait: 2, credentials: 3 } as const;

const NAMES: ReadonlyMap<number, string> = new Map([
  [Code.malformed, "malformed"],
  [Code.notCanonical, "not-canonical"],
  [Code.unknownMessage, "unknown-message"],
  [Code.criticalExtension, "critical-extension"],
]);

/** A fault of the other side: what was received breaks the protocol. It ends the connection. */
export class Fault extends Error {
  /** @param detail the number that the registry asks of this code, or null (ERROR-2) */
  constructor(
    readonly code: number,
    text: string,
    readonly detail: number | null = null,
  ) {
    super(text);
  }

  /** The code's name in the registry, of those that decoding can end in. */
  get codeName(): string {
    return NAMES.get(this.code) ?? String(this.code);
  }
}

/** The application asked for what cannot be done; its store is as it was (MODEL-9). */
export class Refused extends Error {}

export const malformed = (text: string): Fault => new Fault(Code.malformed, text);
export const notCanonical = (text: string): Fault => new Fault(Code.notCanonical, text);
export const unexpected = (message: number): Fault => new Fault(Code.unexpected, `message ${message} is not expected here`, message);
