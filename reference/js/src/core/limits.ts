/** Every bound that this implementation keeps (spec 9, `registries/limits.toml`). */

export const FRAME_BYTES_MAX = 1_048_576;
export const CREDIT_BYTES = 1_048_576;
export const FRAGMENT_BYTES_MAX = 16_384;
export const DEPTH_MAX = 16;
export const SPACE_NAME_BYTES_MAX = 128;
export const RECORD_ID_BYTES_MAX = 128;
export const COLLECTION_NAME_BYTES_MAX = 64;
export const FIELD_NAME_BYTES_MAX = 64;
export const KEY_BYTES_MAX = 256;
export const TOKEN_BYTES_MAX = 4096;
export const ERROR_TEXT_BYTES_MAX = 256;
export const CLOCK_ABSORB_MS = 60_000;
export const CLOCK_ADMIT_MS = 300_000;
export const CLOCK_RTT_MAX_MS = 2_000;
export const HELLO_TIMEOUT_MS = 10_000;
export const PING_INTERVAL_MS = 20_000;
export const SILENCE_TIMEOUT_MS = 45_000;
export const ACK_TIMEOUT_MS = 15_000;
export const CONNECT_TIMEOUT_MS = 30_000;
export const BACKOFF_BASE_MS = 500;
export const BACKOFF_CAP_MS = 60_000;
export const RESET_INTERVAL_MS = 60_000;
export const MARK_INTERVAL_MS = 5_000;
export const RETAINED_CHANGES_MIN = 1_024;
export const PENDING_CHANGES_MAX = 1_000_000;
export const HELD_CHANGES_MAX = 1_000_000;
export const LINKS_MAX = 64;
export const TOKEN_REFRESH_MS = 60_000;
export const SIGNAL_BYTES_MAX = 16_384;
export const PRESENCE_BYTES_MAX = 1_024;
export const PRESENCE_TTL_MAX_MS = 60_000;
export const SUBSCRIPTION_COLLECTIONS_MAX = 64;
export const NAMES_MAX = 4_096;
export const REPAIR_LIST_MAX = 32;
export const LIFE_MAX = 9_007_199_254_740_990;
export const WAIT_MAX_MS = 86_400_000;
export const UNIX_MS_MAX = 2 ** 47 - 1;
export const COUNTER_MAX = 65_535;
export const CHANNEL_MAX = 65_535;

/** The bounds that a side advertises in `hello` and `welcome`, by their keys there. */
export const LimitKey = {
  frameBytes: 0,
  changeOps: 1,
  changeBytes: 2,
  valueBytes: 3,
  partBytes: 4,
  channels: 5,
  pushWindowChanges: 6,
  pushWindowBytes: 7,
  credit: 8,
} as const;

const DEFAULTS: readonly number[] = [FRAME_BYTES_MAX, 1_000, 524_288, 262_144, 131_072, 64, 256, 1_048_576, CREDIT_BYTES];

/** Limits as advertised: key to value. A key that is not known stays and says nothing (LIMIT-8). */
export type Limits = ReadonlyMap<number, number>;

/** What `limits` says of `key`, or the registry's value where it says nothing. */
export const limit = (limits: Limits, key: number): number => limits.get(key) ?? DEFAULTS[key] ?? 0;
