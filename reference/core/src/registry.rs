//! Codes that both sides know: `spec/registries/`. Spec 10.

use crate::fault;
use std::fmt;

/// An error code; open, since a peer may know more. 0 in an outcome says accepted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u64);

/// A retry class: what may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Nothing, until a person acts.
    Never,
    /// After the change that the code names.
    Change,
    /// After the milliseconds in the detail.
    Wait,
    /// After new credentials.
    Credentials,
}

impl Class {
    /// The class's number on the wire.
    pub fn code(self) -> u64 {
        match self {
            Self::Never => 0,
            Self::Change => 1,
            Self::Wait => 2,
            Self::Credentials => 3,
        }
    }

    /// The class of a number.
    pub fn from_code(code: u64) -> Option<Self> {
        [Self::Never, Self::Change, Self::Wait, Self::Credentials].into_iter().find(|class| class.code() == code)
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal, $class:ident;)*) => {
        impl Code {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// Every code of the registry.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The registry's name; `unknown` for a code it does not hold.
            pub fn name(self) -> &'static str {
                match self.0 {
                    $($code => $text,)*
                    _ => "unknown",
                }
            }

            /// The registry's class. (ERROR-1)
            pub fn class(self) -> Class {
                match self.0 {
                    $($code => Class::$class,)*
                    _ => Class::Never,
                }
            }
        }
    };
}

codes! {
    /// Bytes that are no frame. (CODEC-13)
    MALFORMED = 1, "malformed", Never;
    /// CBOR in another than the one encoding. (CODEC-12)
    NOT_CANONICAL = 2, "not-canonical", Never;
    /// (LIMIT-2)
    FRAME_TOO_LARGE = 3, "frame-too-large", Never;
    /// (FRAME-4)
    UNKNOWN_MESSAGE = 4, "unknown-message", Never;
    /// (FRAME-5)
    UNEXPECTED = 5, "unexpected", Never;
    /// (SESS-2)
    VERSION = 6, "version", Never;
    /// (SESS-5)
    UNAUTHORIZED = 7, "unauthorized", Credentials;
    /// (IDENT-9)
    FORBIDDEN = 8, "forbidden", Credentials;
    /// The space is not there and is not created.
    UNKNOWN_SPACE = 9, "unknown-space", Never;
    /// (IDENT-6)
    GAP = 10, "gap", Change;
    /// (IDENT-5)
    FORK = 11, "fork", Change;
    /// (IDENT-8)
    REPLACED = 12, "replaced", Change;
    /// (SESS-3, SESS-8)
    TIMEOUT = 13, "timeout", Wait;
    /// More than can be served now.
    BUSY = 14, "busy", Wait;
    /// The server failed.
    INTERNAL = 15, "internal", Wait;
    /// (SESS-16)
    TOO_MANY_CHANNELS = 16, "too-many-channels", Never;
    /// (FRAME-3)
    CRITICAL_EXTENSION = 17, "critical-extension", Never;
    /// The space binds no more replicas.
    TOO_MANY_REPLICAS = 18, "too-many-replicas", Never;
    /// The right to write came or went. (ACCESS-6)
    RIGHTS_CHANGED = 19, "rights-changed", Change;
    /// (CLOCK-10)
    CLOCK = 32, "clock", Change;
    /// (MERGE-5)
    DEPENDENCY = 33, "dependency", Never;
    /// Reserved for the horizon.
    STALE = 34, "stale", Never;
    /// Reserved for conditions.
    CONDITION = 35, "condition", Never;
    /// (FRAME-7, FRAME-8)
    UNSUPPORTED = 36, "unsupported", Never;
    /// (LIMIT-3, LIMIT-4)
    LIMIT = 37, "limit", Never;
    /// (IDENT-15)
    DUPLICATE = 38, "duplicate", Never;
    /// (IDENT-20)
    SKIPPED = 39, "skipped", Never;
    /// The space holds no more. (ACCESS-10)
    QUOTA = 40, "quota", Never;
    /// (IDENT-26)
    NEEDS = 41, "needs", Change;
}

impl Code {
    /// What an outcome says of an accepted change.
    pub const ACCEPTED: Self = Self(0);
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, if self.0 == 0 { "accepted" } else { self.name() })
    }
}

/// Why a base starts anew. (SYNC-4)
pub struct Reset;

impl Reset {
    /// It does not.
    pub const NONE: u64 = 0;
    /// No cursor was given.
    pub const NO_CURSOR: u64 = 1;
    /// The cursor's history is not known.
    pub const HISTORY: u64 = 2;
    /// The cursor lies before the horizon.
    pub const HORIZON: u64 = 3;
    /// The cursor lies beyond its history.
    pub const FUTURE: u64 = 4;
}

/// An ack's durability: stored on this server.
pub const DURABILITY_STORED: u64 = 1;
/// An ack's durability: stored on several.
pub const DURABILITY_REPLICATED: u64 = 2;

/// Profiles by code and name.
pub const PROFILES: &[(u64, &str)] = &[
    (0, "core"),
    (1, "rules"),
    (2, "compact"),
    (3, "presence"),
    (4, "conditions"),
    (5, "subscribe"),
    (6, "peer"),
    (7, "sequence"),
    (8, "packed"),
    (9, "flow"),
    (10, "access"),
    (11, "repair"),
    (12, "signal"),
];

/// A set of profiles; `core` is always in it. (PROFILE-1)
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Profiles(u64);

impl Profiles {
    /// The core alone.
    pub const CORE: Self = Self(1);
    /// The core and the further conflict rules.
    pub const RULES: Self = Self::one(1);
    /// The core, the further rules, and numbers for names.
    pub const COMPACT: Self = Self(1 | 1 << 1 | 1 << 2);
    /// The core and what is never stored.
    pub const PRESENCE: Self = Self::one(3);
    /// The core and conditional changes.
    pub const CONDITIONS: Self = Self::one(4);
    /// The core and subscriptions to collections.
    pub const SUBSCRIBE: Self = Self::one(5);
    /// The core, the further rules, and direct sync of two clients, which needs changes whole. (PEER-22)
    pub const PEER: Self = Self(1 | 1 << 1 | 1 << 6);
    /// The core and frames that are compressed.
    pub const PACKED: Self = Self::one(8);
    /// The core and flow control by credit.
    pub const FLOW: Self = Self::one(9);
    /// The core and the renewal of tokens.
    pub const ACCESS: Self = Self::one(10);
    /// The core and repair by ranges.
    pub const REPAIR: Self = Self::one(11);
    /// The core and messages between replicas.
    pub const SIGNAL: Self = Self::one(12);
    /// All that this implementation offers and wants. (PROFILE-4)
    pub const OFFERED: Self = Self::RULES
        .and(Self::SUBSCRIBE)
        .and(Self::PRESENCE)
        .and(Self::ACCESS)
        .and(Self::SIGNAL)
        .and(Self::FLOW)
        .and(Self::CONDITIONS)
        .and(Self::PEER)
        .and(Self::REPAIR)
        .and(Self::COMPACT)
        .and(Self::PACKED);

    const fn one(code: u32) -> Self {
        Self(1 | 1 << code)
    }

    /// Both sets together.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The set without what a link between clients has not: numbers for names and packed frames. (COMPACT-12, PACK-5)
    pub fn of_links(self) -> Self {
        let compact = if fault::is("compact-on-links") { 0 } else { 1 << 2 };
        let packed = if fault::is("packed-on-links") { 0 } else { 1 << 8 };
        Self(self.0 & !(compact | packed))
    }

    /// The profiles of both sets: what is agreed. (SESS-4)
    pub const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether all of `other` is in the set.
    pub fn has(self, other: Self) -> bool {
        let other = if fault::is("peer-without-rules") && other == Self::PEER { Self::one(6) } else { other };
        self.0 & other.0 == other.0
    }

    /// The set of these codes; unknown ones are left out.
    pub fn from_codes(codes: &[u64]) -> Self {
        let known = |code: &&u64| PROFILES.iter().any(|(known, _)| known == *code);
        Self(codes.iter().filter(known).fold(1, |set, code| set | 1 << code))
    }

    /// The codes of the set, ascending.
    pub fn codes(self) -> Vec<u64> {
        PROFILES.iter().map(|(code, _)| *code).filter(|code| self.0 >> code & 1 == 1).collect()
    }

    /// The names of the set, in the order of their codes.
    pub fn names(self) -> Vec<&'static str> {
        PROFILES.iter().filter(|(code, _)| self.0 >> code & 1 == 1).map(|(_, name)| *name).collect()
    }
}

impl fmt::Debug for Profiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// Messages by code and name.
pub const MESSAGES: &[(u64, &str)] = &[
    (0, "hello"),
    (1, "welcome"),
    (2, "open"),
    (3, "opened"),
    (4, "shut"),
    (5, "push"),
    (6, "ack"),
    (7, "reject"),
    (8, "change"),
    (9, "states"),
    (10, "mark"),
    (11, "ping"),
    (12, "pong"),
    (13, "error"),
    (14, "bye"),
    (15, "auth"),
    (16, "credit"),
    (17, "ranges"),
    (18, "presence"),
    (19, "signal"),
    (20, "packed"),
    (21, "void"),
    (22, "names"),
];
