//! Conflict rules: one file each. Spec 5.

pub mod counter;
pub mod life;
pub mod lww;
pub mod map;
pub mod max;
pub mod min;
pub mod multi;
pub mod set;

use std::borrow::Cow;

use crate::clock::Replica;
use crate::codec::{CodecError, NULL, Reader, Writer};
use crate::fault;
use crate::value::Value;
pub use lww::Lww;
use multi::Dot;

/// The code of `lww`.
pub const LWW: u64 = 0;
/// The code of `life`.
pub const LIFE: u64 = 1;
/// The code of `min`.
pub const MIN: u64 = 2;
/// The code of `counter`.
pub const COUNTER: u64 = 3;
/// The code of `multi`.
pub const MULTI: u64 = 4;
/// The code of `set`.
pub const SET: u64 = 8;
/// The code of `max`.
pub const MAX: u64 = 9;
/// The code of `list`.
pub const LIST: u64 = 12;
/// The code of `map`.
pub const MAP: u64 = 16;
/// The code of `text`.
pub const TEXT: u64 = 20;

/// Rules by code and name.
pub const RULES: &[(u64, &str)] = &[
    (LWW, "lww"),
    (LIFE, "life"),
    (MIN, "min"),
    (COUNTER, "counter"),
    (MULTI, "multi"),
    (SET, "set"),
    (MAX, "max"),
    (LIST, "list"),
    (MAP, "map"),
    (TEXT, "text"),
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
        _ if fault::is("rules-join-5-as-a-value") => Some(Join::Greatest),
        _ => None,
    }
}

/// What the ops of a rule hold. (RULES-2)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A value, or unset: `lww`.
    Field,
    /// A value: `max`, `min`, and unknown rules of their joins.
    Offer,
    /// An amount: `counter`.
    Amount,
    /// A value: unknown rules of the counter's join.
    Sequenced,
    /// Elements, present or absent: `set`.
    Elements,
    /// Entries by text: `map`.
    Entries,
    /// Entries by any key: unknown rules of the join of `lww`.
    Keyed,
    /// Dots removed and values added: `multi`, and unknown rules of its join.
    Dots,
}

/// What the ops of a rule hold; none where the rule cannot be kept: its join is unknown, or more than a join. (RULES-3)
pub fn shape(rule: u64) -> Option<Shape> {
    match rule {
        LWW => return Some(Shape::Field),
        LIFE | LIST | TEXT => return None,
        COUNTER => return Some(Shape::Amount),
        SET => return Some(Shape::Elements),
        MAP => return Some(Shape::Entries),
        _ => {}
    }
    let known = !fault::is("rules-unknown-are-unsupported") || RULES.iter().any(|(code, _)| *code == rule);
    join_of(rule).filter(|_| known).map(|join| match join {
        Join::GreaterStamp => Shape::Keyed,
        Join::Greatest | Join::Least => Shape::Offer,
        Join::GreaterSeq => Shape::Sequenced,
        Join::RemovedWins => Shape::Dots,
    })
}

/// What tells apart the cells of one column: the encoding of an item, of null for the only cell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Cow<'static, [u8]>);

impl Key {
    /// The key of a rule that keeps one cell for a field.
    pub fn none() -> Self {
        // Most cells have it: it takes no memory of its own.
        Self(Cow::Borrowed(&[NULL]))
    }

    /// A set's element, a map's text, an unknown rule's key.
    pub fn value(value: &Value) -> Self {
        Self(value.encoded().into())
    }

    /// The author that a cell belongs to.
    pub fn replica(replica: Replica) -> Self {
        Self::value(&Value::Bytes(replica.0.to_vec()))
    }

    /// The dot of a value.
    pub fn dot(dot: &Dot) -> Self {
        let mut w = Writer::default();
        dot.write(&mut w);
        Self(w.finish().into())
    }

    /// The key with this encoding.
    pub fn from_bytes(encoded: &[u8]) -> Self {
        if encoded == [NULL] { Self::none() } else { Self(encoded.to_vec().into()) }
    }

    /// The encoding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key as a value; for the rules whose keys are values.
    pub fn to_value(&self) -> Result<Value, CodecError> {
        Reader::new(&self.0).value(0)
    }

    /// The key as an author.
    pub fn to_replica(&self) -> Result<Replica, CodecError> {
        multi::read_replica(&mut Reader::new(&self.0))
    }

    /// The key as a dot.
    pub fn to_dot(&self) -> Result<Dot, CodecError> {
        Dot::read(&mut Reader::new(&self.0))
    }
}

/// The state of a cell, by the join of its rule.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// Who wrote it when, and what: the greater stamp.
    Stamped(Lww),
    /// The greatest or least value so far.
    Extreme(Value),
    /// What its author made of it last: the greater seq.
    Sequenced {
        /// The author's seq.
        seq: u64,
        /// A counter's sum, or an unknown rule's value.
        value: Value,
    },
    /// The value of a dot; none where it was removed.
    Dot(Option<Value>),
}

impl State {
    /// The join of two states of one cell. (RULES-1)
    pub fn join(self, other: Self, rule: u64) -> Self {
        match (self, other) {
            (Self::Stamped(ours), Self::Stamped(theirs)) => Self::Stamped(ours.join(theirs)),
            (Self::Extreme(ours), Self::Extreme(theirs)) if join_of(rule) == Some(Join::Least) && !fault::is("rules-one-join-for-all") => {
                Self::Extreme(min::join(ours, theirs))
            }
            (Self::Extreme(ours), Self::Extreme(theirs)) => Self::Extreme(max::join(ours, theirs)),
            (Self::Sequenced { seq, value }, Self::Sequenced { seq: theirs_seq, value: theirs }) => {
                let (seq, value) = counter::join((seq, value), (theirs_seq, theirs));
                Self::Sequenced { seq, value }
            }
            (Self::Dot(ours), Self::Dot(theirs)) => Self::Dot(multi::join(ours, theirs)),
            // A cell has one rule, and a rule one kind of state.
            (ours, _) => ours,
        }
    }

    /// Whether the cell says only that something is not there: unset, absent or removed. (SYNC-18)
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Stamped(Lww { value: None, .. }) | Self::Dot(None))
    }

    /// Writes what the fingerprint covers of a cell that is not gone. (SYNC-18)
    pub fn write_digested(&self, w: &mut Writer) {
        match self {
            Self::Stamped(cell) => {
                w.array(4);
                lww::write_stamp(w, &cell.stamp);
                write_or_null(w, cell.value.as_ref());
            }
            Self::Extreme(value) => {
                w.array(1);
                w.value(value);
            }
            Self::Sequenced { seq, value } => {
                w.array(2);
                w.uint(*seq);
                w.value(value);
            }
            Self::Dot(value) => {
                w.array(1);
                write_or_null(w, value.as_ref());
            }
        }
    }
}

fn write_or_null(w: &mut Writer, value: Option<&Value>) {
    match value {
        Some(value) => w.value(value),
        None => w.null(),
    }
}
