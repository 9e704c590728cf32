//! `set`: elements, of each of which the last writer says whether it is there. Spec 5.

use crate::fault;
use crate::value::Value;

/// What a cell of a present element holds; that of an absent one holds nothing.
pub const PRESENT: Value = Value::Bool(true);

/// What a set shows: its elements in the total order. (RULES-13)
pub fn view(mut elements: Vec<Value>) -> Vec<Value> {
    elements.sort();
    if fault::is("rules-set-shown-unsorted") {
        elements.reverse();
    }
    elements
}
