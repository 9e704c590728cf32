//! Conflict rules: one file each. Spec 5.

pub mod life;
pub mod lww;

/// The code of `lww`.
pub const LWW: u64 = 0;
/// The code of `life`.
pub const LIFE: u64 = 1;

/// Rules by code and name.
pub const RULES: &[(u64, &str)] = &[
    (LWW, "lww"),
    (LIFE, "life"),
    (2, "min"),
    (3, "counter"),
    (4, "multi"),
    (8, "set"),
    (9, "max"),
    (12, "list"),
    (16, "map"),
    (20, "text"),
];

/// How the cells of a rule join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// The greater stamp.
    GreaterStamp,
    /// The greatest.
    Greatest,
    /// The least.
    Least,
    /// The greater seq.
    GreaterSeq,
    /// Removed wins.
    RemovedWins,
}

/// The join that a rule's code names: the code modulo 8.
pub fn join_of(rule: u64) -> Option<Join> {
    match rule % 8 {
        0 => Some(Join::GreaterStamp),
        1 => Some(Join::Greatest),
        2 => Some(Join::Least),
        3 => Some(Join::GreaterSeq),
        4 => Some(Join::RemovedWins),
        _ => None,
    }
}
