//! Readings, stamps and the hybrid logical clock. Spec 4.

use std::fmt;

use crate::fault;
use crate::limits;

/// A clock reading: 48 bits of Unix milliseconds and 16 of counter, compared as one number. (CLOCK-1)
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Reading(u64);

/// The greatest milliseconds of a reading, 2^47 - 1. (CLOCK-1)
pub const MS_MAX: u64 = (1 << 47) - 1;

impl Reading {
    /// The least reading.
    pub const ZERO: Self = Self(0);

    /// A reading, none where the milliseconds are out of range. (CLOCK-1)
    pub fn new(ms: u64, counter: u16) -> Option<Self> {
        (ms <= MS_MAX).then_some(Self(ms << 16 | u64::from(counter)))
    }

    /// Unix milliseconds.
    pub fn ms(self) -> u64 {
        self.0 >> 16
    }

    /// The counter within the millisecond.
    pub fn counter(self) -> u16 {
        self.0 as u16
    }

    /// The reading just past this one; the counter carries. The greatest stays.
    pub fn next(self) -> Self {
        Self((self.0 + 1).min(MS_MAX << 16 | 0xffff))
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.ms(), self.counter())
    }
}

/// The id of a replica. (IDENT-1)
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Replica(pub [u8; 16]);

impl fmt::Display for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The id of one unbroken run of a log. (SYNC-2)
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct History(pub [u8; 8]);

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What orders writes: a reading, then the author. (MERGE-8)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    /// When.
    pub reading: Reading,
    /// Who.
    pub author: Replica,
}

/// The present, twice: one clock may step, the other only runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// The device's clock in Unix milliseconds; it may step.
    pub wall_ms: u64,
    /// Milliseconds since some moment, for timers; it never steps.
    pub mono_ms: u64,
}

/// A replica's hybrid logical clock.
#[derive(Debug, Clone)]
pub struct Clock {
    last: Reading,
    offset_ms: i64,
}

impl Clock {
    /// The clock with the last reading and the offset that were kept. (CLOCK-3, CLOCK-13)
    pub fn new(last: Reading, offset_ms: i64) -> Self {
        Self { last, offset_ms }
    }

    /// The last reading, to be kept. (CLOCK-3)
    pub fn last(&self) -> Reading {
        self.last
    }

    /// The estimated offset of the server's clock from the device's, in milliseconds.
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms
    }

    /// The device's clock corrected by the offset, in Unix milliseconds, kept in a reading's range.
    pub fn now_ms(&self, now: &Now) -> u64 {
        now.wall_ms.saturating_add_signed(self.offset_ms).min(MS_MAX)
    }

    /// The reading of a new change. (CLOCK-2, CLOCK-4, CLOCK-6)
    pub fn mint(&mut self, now: Now) -> Reading {
        let now_ms = self.now_ms(&now);
        let present = Reading(now_ms << 16);
        let ahead = self.last.ms() > now_ms + limits::CLOCK_ABSORB_MS;
        let ahead = (ahead || fault::is("clock-forgets-its-last")) && !fault::is("clock-stays-ahead");
        self.last = if ahead { present } else { present.max(self.last.next()) };
        self.last
    }

    /// Takes a reading that was received into account. (CLOCK-5)
    pub fn observe(&mut self, now: Now, received: Reading) {
        let near = received.ms() <= self.now_ms(&now) + limits::CLOCK_ABSORB_MS;
        if near && !fault::is("clock-absorbs-nothing") || fault::is("clock-absorbs-all") {
            self.last = self.last.max(received);
        }
    }

    /// Sets the clock to the server's time where it stands further ahead of it than a clock may be. (CLOCK-12)
    pub fn keep_within(&mut self, now: Now, server_ms: u64) {
        if self.now_ms(&now) > server_ms.saturating_add(limits::CLOCK_ABSORB_MS) && !fault::is("clock-stays-off") {
            self.offset_ms = server_ms.min(MS_MAX) as i64 - now.wall_ms.min(MS_MAX) as i64;
        }
    }

    /// Estimates the offset from an exchange; false where it took too long to tell. (CLOCK-13)
    pub fn correct(&mut self, sent: Now, received: Now, server_ms: u64) -> bool {
        let round_trip_ms = received.mono_ms.saturating_sub(sent.mono_ms);
        let slow = round_trip_ms > limits::CLOCK_RTT_MAX_MS && !fault::is("clock-slow-exchange-counts");
        if slow || server_ms > MS_MAX {
            return false;
        }
        let middle_ms = received.wall_ms.saturating_sub(round_trip_ms / 2);
        self.offset_ms = server_ms as i64 - middle_ms.min(MS_MAX) as i64;
        true
    }
}
