//! `max`: the greatest value that was offered. Spec 5.

use crate::value::Value;

/// The join of two cells: the greater value in the total order. (RULES-7)
pub fn join(a: Value, b: Value) -> Value {
    a.max(b)
}
