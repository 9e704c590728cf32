//! The one encoding: deterministic CBOR, read in one strict pass. Spec 3.

mod float;
mod read;
mod write;

use crate::fault;
use std::fmt;

pub use read::Reader;
pub use write::Writer;

/// What is wrong with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An integer or a length is longer than it need be. (CODEC-1)
    LongInteger,
    /// A float is longer than it need be. (CODEC-1)
    LongFloat,
    /// A float is an integer that has an integer's form. (CODEC-2)
    FloatIsInteger,
    /// An integer outside ±(2^53 - 1). (CODEC-3)
    IntegerRange,
    /// NaN, an infinity or negative zero. (CODEC-4)
    FloatDomain,
    /// Map keys out of order or twice. (CODEC-5)
    KeyOrder,
    /// An indefinite length. (CODEC-6)
    Indefinite,
    /// Text that is not UTF-8. (CODEC-7)
    Utf8,
    /// A tag. (CODEC-8)
    Tag,
    /// A simple value that is not allowed here. (CODEC-8)
    Simple,
    /// A key that is not text. (CODEC-9)
    KeyType,
    /// Nested too deep. (CODEC-10)
    Depth,
    /// A head that CBOR reserves, or a break with nothing to end. (CODEC-13)
    Reserved,
    /// The bytes end too early. (CODEC-11)
    Truncated,
    /// Bytes remain. (CODEC-11)
    Trailing,
    /// A number that stands for no name that is known. (COMPACT-10)
    UnknownNumber,
    /// A well-encoded item that the schema does not allow here. (CODEC-13)
    Schema(&'static str),
}

impl Fault {
    /// Whether the bytes are well-formed CBOR in another than the one encoding. (CODEC-12)
    pub fn canonical_only(&self) -> bool {
        if fault::is("codec-all-malformed") {
            return false;
        }
        use Fault::{FloatDomain, FloatIsInteger, Indefinite, IntegerRange, KeyOrder, LongFloat, LongInteger};
        fault::is("codec-all-not-canonical")
            || matches!(self, LongInteger | LongFloat | FloatIsInteger | IntegerRange | FloatDomain | KeyOrder | Indefinite)
    }
}

/// The first fault met, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodecError {
    /// The offset in bytes of the item at fault.
    pub at: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            Fault::Schema(expected) => write!(f, "byte {}: expected {expected}", self.at),
            fault => write!(f, "byte {}: {fault:?}", self.at),
        }
    }
}

impl std::error::Error for CodecError {}

/// A major type of CBOR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Major {
    /// A non-negative integer.
    Uint,
    /// A negative integer.
    Nint,
    /// Bytes.
    Bytes,
    /// Text.
    Text,
    /// An array.
    Array,
    /// A map.
    Map,
    /// A tag.
    Tag,
    /// A float or a simple value.
    Simple,
}

const MAJORS: [Major; 8] = [Major::Uint, Major::Nint, Major::Bytes, Major::Text, Major::Array, Major::Map, Major::Tag, Major::Simple];

const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
pub(crate) const NULL: u8 = 0xf6;
const UNDEFINED: u8 = 0xf7;
