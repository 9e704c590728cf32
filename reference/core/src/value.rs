//! What a field can hold, and the total order of it. Spec 3.

use std::cmp::Ordering;

use crate::fault;
use crate::limits::INT_MAX;

/// A value. Each has exactly one form here and one encoding on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Null; not the same as an unset field. (MERGE-11)
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer within ±(2^53 - 1); use [`Value::int`].
    Int(i64),
    /// A number that is no such integer.
    Float(Float),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Text, not normalised.
    Text(String),
    /// An array.
    Array(Vec<Value>),
    /// A map from text.
    Map(ValueMap),
}

/// A finite number that is not an integer within ±(2^53 - 1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Float(f64);

/// The pairs of a map, in the order of their encoded keys, each key once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ValueMap(Vec<(String, Value)>);

// A float here is never NaN, so that equality is total.
impl Eq for Float {}

impl Float {
    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl ValueMap {
    /// The map of these pairs; none when a key stands twice.
    pub fn new(mut pairs: Vec<(String, Value)>) -> Option<Self> {
        pairs.sort_by(|(a, _), (b, _)| key_order(a, b));
        let unique = pairs.windows(2).all(|pair| pair[0].0 != pair[1].0);
        unique.then_some(Self(pairs))
    }

    /// The pairs in the order of the wire.
    pub fn pairs(&self) -> &[(String, Value)] {
        &self.0
    }
}

/// The order of encoded text keys: shorter first, then byte by byte. (CODEC-5)
pub(crate) fn key_order(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.as_bytes().cmp(b.as_bytes()))
}

impl Value {
    /// An integer, none outside ±(2^53 - 1). (CODEC-15)
    pub fn int(number: i64) -> Option<Self> {
        let number = if fault::is("codec-local-integers-clamped") { number.clamp(-INT_MAX, INT_MAX) } else { number };
        (-INT_MAX..=INT_MAX).contains(&number).then_some(Self::Int(number))
    }

    /// A number, an integer where it is one; none for NaN and the infinities. (CODEC-2, CODEC-4, CODEC-15)
    pub fn number(number: f64) -> Option<Self> {
        if !number.is_finite() {
            return None;
        }
        let integral = number.fract() == 0.0 && number.abs() <= INT_MAX as f64;
        Some(if integral { Self::Int(number as i64) } else { Self::Float(Float(number)) })
    }

    /// Levels of arrays and maps, 0 for a scalar. (CODEC-10)
    pub fn depth(&self) -> usize {
        match self {
            Self::Array(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Self::Map(map) => 1 + map.0.iter().map(|(_, value)| value.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// The kind's place in the total order.
    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Int(_) | Self::Float(_) => 2,
            Self::Bytes(_) => 3,
            Self::Text(_) => 4,
            Self::Array(_) => 5,
            Self::Map(_) => 6,
        }
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => a.0.total_cmp(&b.0),
            // An integer in range is exact as a float.
            (Self::Int(a), Self::Float(b)) => (*a as f64).total_cmp(&b.0),
            (Self::Float(a), Self::Int(b)) => a.0.total_cmp(&(*b as f64)),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Self::Array(a), Self::Array(b)) => a.cmp(b),
            (Self::Map(a), Self::Map(b)) => a.0.cmp(&b.0),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
