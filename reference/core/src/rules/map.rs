//! `map`: entries by text, each as an `lww` cell of its own. Spec 5.

use crate::value::{Value, ValueMap};

/// What a map shows: its entries that are set, in the order of their encoded keys. (RULES-13)
pub fn view(entries: Vec<(String, Value)>) -> ValueMap {
    ValueMap::new(entries).unwrap_or_default()
}
