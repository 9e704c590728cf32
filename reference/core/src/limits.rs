//! Every bound, under the name it has in `spec/registries/limits.toml`. Spec 9.

/// The greatest integer a value or field can hold, 2^53 - 1; the least is its negative. (CODEC-3)
pub const INT_MAX: i64 = (1 << 53) - 1;

/// Bytes of one frame. (LIMIT-2)
pub const FRAME_BYTES_MAX: usize = 1 << 20;
/// Ops of one change. (LIMIT-3)
pub const CHANGE_OPS_MAX: usize = 1_000;
/// Bytes of one change as pushed. (LIMIT-3)
pub const CHANGE_BYTES_MAX: usize = 512 << 10;
/// Encoded bytes of one value. (LIMIT-4)
pub const VALUE_BYTES_MAX: usize = 256 << 10;
/// Bytes of one part of a catch-up. (SYNC-10)
pub const PART_BYTES_MAX: usize = 128 << 10;
/// Open channels of one connection. (SESS-16)
pub const CHANNELS_MAX: usize = 64;
/// Pushed changes without a verdict. (SESS-19)
pub const PUSH_WINDOW_CHANGES: usize = 256;
/// Bytes of pushed changes without a verdict. (SESS-19)
pub const PUSH_WINDOW_BYTES: usize = 1 << 20;
/// Bytes of data that a side lets the other send on a channel at first. (FLOW-2)
pub const CREDIT_BYTES: usize = 1 << 20;
/// Levels that arrays and maps nest in a value. (CODEC-10)
pub const DEPTH_MAX: usize = 16;
/// Bytes of a space's name. (MODEL-8)
pub const SPACE_NAME_BYTES_MAX: usize = 128;
/// Bytes of a record's id. (MODEL-8)
pub const RECORD_ID_BYTES_MAX: usize = 128;
/// Bytes of a collection's name. (MODEL-8)
pub const COLLECTION_NAME_BYTES_MAX: usize = 64;
/// Bytes of a field's name. (MODEL-8)
pub const FIELD_NAME_BYTES_MAX: usize = 64;
/// Encoded bytes of a set's element or a map's key. (RULES-12)
pub const KEY_BYTES_MAX: usize = 256;
/// Bytes of a token.
pub const TOKEN_BYTES_MAX: usize = 4_096;
/// Bytes of an error's text. (LIMIT-7)
pub const ERROR_TEXT_BYTES_MAX: usize = 256;
/// How far ahead a reading may be to move a clock, in milliseconds. (CLOCK-5)
pub const CLOCK_ABSORB_MS: u64 = 60_000;
/// How far ahead a server admits a reading, in milliseconds. (CLOCK-10)
pub const CLOCK_ADMIT_MS: u64 = 300_000;
/// The longest round trip an offset is taken from, in milliseconds. (CLOCK-13)
pub const CLOCK_RTT_MAX_MS: u64 = 2_000;
/// How long `hello` and `welcome` are waited for, in milliseconds. (SESS-3)
pub const HELLO_TIMEOUT_MS: u64 = 10_000;
/// Silence of one's own after which to ping, in milliseconds. (SESS-7)
pub const PING_INTERVAL_MS: u64 = 20_000;
/// Silence of the other side after which it is dead, in milliseconds. (SESS-8)
pub const SILENCE_TIMEOUT_MS: u64 = 45_000;
/// How long a verdict is waited for while nothing comes, in milliseconds. (SESS-14)
pub const ACK_TIMEOUT_MS: u64 = 15_000;
/// How long a connection may take to be made. (SESS-27)
pub const CONNECT_TIMEOUT_MS: u64 = 30_000;
/// The first back-off's bound, in milliseconds. (SESS-10)
pub const BACKOFF_BASE_MS: u64 = 500;
/// The greatest back-off's bound, in milliseconds. (SESS-10)
pub const BACKOFF_CAP_MS: u64 = 60_000;
/// Between two automatic resets, in milliseconds. (SYNC-22)
pub const RESET_INTERVAL_MS: u64 = 60_000;
/// Between two marks while changes flow, in milliseconds. (SYNC-19)
pub const MARK_INTERVAL_MS: u64 = 5_000;
/// From the last change to a mark, in milliseconds. (SYNC-19)
pub const MARK_QUIET_MS: u64 = 200;
/// Accepted changes that a client keeps at least. (IDENT-18)
pub const RETAINED_CHANGES_MIN: usize = 1_024;
/// Changes that may wait for a verdict.
pub const PENDING_CHANGES_MAX: usize = 1_000_000;
/// From a change of what a token grants to its effect on open connections, in milliseconds. (ACCESS-3, ACCESS-4)
pub const REVOKE_MS_MAX: u64 = 5_000;
/// How long before a token ends a new one is asked for, in milliseconds. (ACCESS-16)
pub const TOKEN_REFRESH_MS: u64 = 60_000;
/// Changes of other authors that a client holds. (PEER-11)
pub const HELD_CHANGES_MAX: usize = 1_000_000;
/// Links of one client. (PEER-21)
pub const LINKS_MAX: usize = 64;
/// Replicas that one space binds.
pub const SPACE_REPLICAS_MAX: usize = 65_536;
/// What a pushed change may need beyond its literal form.
pub const PUSHED_OVERHEAD_MAX: usize = 64;
/// Bytes of a signal. (SIGNAL-4)
pub const SIGNAL_BYTES_MAX: usize = 16 << 10;
/// Signals that a server relays for one channel in a minute. (SIGNAL-5)
pub const SIGNALS_PER_MINUTE_MAX: usize = 120;
/// The greatest life of a record.
pub const LIFE_MAX: u64 = INT_MAX as u64 - 1;
/// Collections of one space. (SUB-18)
pub const SPACE_COLLECTIONS_MAX: usize = 256;
/// Collections that one subscription names. (SUB-1)
pub const SUBSCRIPTION_COLLECTIONS_MAX: usize = 64;
/// Bytes of a presence's payload. (PRES-2)
pub const PRESENCE_BYTES_MAX: usize = 1_024;
/// The longest that a presence holds without being sent again, in milliseconds. (PRES-2)
pub const PRESENCE_TTL_MAX_MS: u64 = 60_000;
/// Authors whose presence a server holds for one space. (PRES-10)
pub const PRESENCE_AUTHORS_MAX: usize = 1_024;
/// How long a deletion is remembered, in milliseconds, unless the operator says otherwise. (HORIZON-2)
pub const RETENTION_MS: u64 = 90 * 24 * 3_600_000;
/// Positions behind the head that are never forgotten, unless the operator says otherwise. (HORIZON-2)
pub const HORIZON_POSITIONS_MIN: u64 = 1_024;
/// Cells looked at in one step of forgetting. (HORIZON-3)
pub const HORIZON_STEP_CELLS: usize = 4_096;
/// How long the horizon waits for a reader that catches up, in milliseconds. (HORIZON-6)
pub const HORIZON_WAIT_MS: u64 = 600_000;
/// Cells read for one question about ranges. (REPAIR-9)
pub const REPAIR_CELLS_MAX: usize = 1 << 20;
/// Cells read for a channel's questions about ranges in one minute. (REPAIR-9)
pub const REPAIR_CELLS_PER_MINUTE_MAX: usize = 1 << 22;
/// Ranges of one question or answer. (REPAIR-9)
pub const REPAIR_RANGES_MAX: usize = 4_096;
/// Names of each of a space's two tables that get a number. (COMPACT-1)
pub const NAMES_MAX: u64 = 4_096;
/// Cells of a range that are listed, and not split further. (REPAIR-4)
pub const REPAIR_LIST_MAX: usize = 32;

/// The key of `credit_bytes`, which each side may set lower. (FLOW-2)
pub(crate) const CREDIT_KEY: u64 = 8;

/// What `hello` and `welcome` advertise: the limits with a key, ascending. (LIMIT-1)
pub const ADVERTISED: &[(u64, u64)] = &[
    (0, FRAME_BYTES_MAX as u64),
    (1, CHANGE_OPS_MAX as u64),
    (2, CHANGE_BYTES_MAX as u64),
    (3, VALUE_BYTES_MAX as u64),
    (4, PART_BYTES_MAX as u64),
    (5, CHANNELS_MAX as u64),
    (6, PUSH_WINDOW_CHANGES as u64),
    (7, PUSH_WINDOW_BYTES as u64),
    (CREDIT_KEY, CREDIT_BYTES as u64),
];
