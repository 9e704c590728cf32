//! `multi`: all values that were written side by side, until someone who saw them removes them. Spec 5.

use crate::clock::Replica;
use crate::codec::{CodecError, Fault, Reader, Writer};
use crate::fault;
use crate::value::Value;

/// The name of an added value: the change that added it first, and the place among those it added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// The replica that added it.
    pub author: Replica,
    /// The seq of its change.
    pub seq: u64,
    /// The place among the values of the op, from 0.
    pub index: u64,
}

impl Dot {
    /// Writes the dot.
    pub fn write(&self, w: &mut Writer) {
        w.array(3);
        w.bytes(&self.author.0);
        w.uint(self.seq);
        w.uint(self.index);
    }

    /// Reads a dot.
    pub fn read(r: &mut Reader) -> Result<Self, CodecError> {
        let at = r.position();
        if r.array()? != 3 {
            return Err(CodecError { at, fault: Fault::Schema("a dot of three items") });
        }
        let author = read_replica(r)?;
        let at = r.position();
        let (seq, index) = (r.uint()?, r.uint()?);
        if seq == 0 { Err(CodecError { at, fault: Fault::Schema("a seq of 1 or more") }) } else { Ok(Self { author, seq, index }) }
    }
}

/// Reads the 16 bytes of a replica.
pub(super) fn read_replica(r: &mut Reader) -> Result<Replica, CodecError> {
    let at = r.position();
    let bytes = r.bytes()?.try_into();
    bytes.map(Replica).map_err(|_| CodecError { at, fault: Fault::Schema("a replica of 16 bytes") })
}

/// The join of two cells of one dot: removed wins; of two values the greater encoding. (RULES-15)
pub fn join(a: Option<Value>, b: Option<Value>) -> Option<Value> {
    if fault::is("rules-removed-comes-back") {
        return a.or(b);
    }
    let (a, b) = (a?, b?);
    Some(if a.encoded() < b.encoded() { b } else { a })
}
