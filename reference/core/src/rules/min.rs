//! `min`: the least value that was offered. Spec 5.

use crate::value::Value;

/// The join of two cells: the lesser value in the total order. (RULES-7)
pub fn join(a: Value, b: Value) -> Value {
    a.min(b)
}
