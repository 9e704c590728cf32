//! `lww`: the last writer wins. Spec 5.

use crate::clock::{Reading, Replica, Stamp};
use crate::codec::Writer;
use crate::fault;
use crate::value::Value;

/// A cell: who wrote it when, and the value or none where it was unset.
#[derive(Debug, Clone, PartialEq)]
pub struct Lww {
    /// The effective stamp of the write.
    pub stamp: Stamp,
    /// The value; none: unset. (MERGE-10)
    pub value: Option<Value>,
}

impl Lww {
    /// The join of two cells of one life: the greater stamp, then the greater encoding. (MERGE-8, MERGE-9)
    pub fn join(self, other: Self) -> Self {
        if fault::is("merge-unset-always-loses") && self.value.is_some() != other.value.is_some() {
            return if self.value.is_some() { self } else { other };
        }
        let encoded = |cell: &Self| cell.value.as_ref().map(Value::encoded).filter(|_| !fault::is("merge-tie-to-either"));
        let order = self.stamp.cmp(&other.stamp).then_with(|| encoded(&self).cmp(&encoded(&other)));
        let order = if fault::is("merge-lower-stamp") { order.reverse() } else { order };
        if order.is_lt() { other } else { self }
    }
}

/// The effective stamp of an op of a confirmed change with this reading. (CLOCK-7, CLOCK-9)
pub fn effective(reading: Reading, after: Option<Reading>, author: Replica, existing: Option<&Lww>) -> Stamp {
    let honoured =
        after.filter(|after| existing.is_some_and(|cell| cell.stamp.reading >= *after) || fault::is("clock-after-always-counts"));
    Stamp { reading: honoured.map_or(reading, Reading::next), author }
}

/// The effective stamp of an op of a change without a verdict: its `after` counts whatever was seen so far. (RULES-18)
pub fn effective_unconfirmed(reading: Reading, after: Option<Reading>, author: Replica) -> Stamp {
    Stamp { reading: after.map_or(reading, Reading::next), author }
}

/// Writes a stamp with absolute milliseconds, as three items.
pub fn write_stamp(w: &mut Writer, stamp: &Stamp) {
    w.uint(stamp.reading.ms());
    w.uint(u64::from(stamp.reading.counter()));
    w.bytes(&stamp.author.0);
}
