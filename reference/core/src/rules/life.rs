//! `life`: the existence of a record as a count. Spec 5.

use crate::limits::LIFE_MAX;

/// The join of two lives. (MERGE-1)
pub fn join(a: u64, b: u64) -> u64 {
    a.max(b)
}

/// Whether a record of this life shows: an odd one. (MODEL-14)
pub fn is_alive(life: u64) -> bool {
    life % 2 == 1
}

/// Whether a server admits a row of life `next` for a record of life `current`. (MERGE-5)
pub fn admit(current: u64, next: u64) -> bool {
    next <= current + 1 && next <= LIFE_MAX
}
