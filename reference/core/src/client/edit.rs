//! Writes to columns of the further rules, and the ops they become. Spec 5.

use super::write::{WriteError, check_value, refuse};
use crate::change::{Entry, Op, Payload};
use crate::clock::Replica;
use crate::fault;
use crate::limits::{INT_MAX, KEY_BYTES_MAX};
use crate::rules::multi::Dot;
use crate::rules::{COUNTER, Key, MAP, MAX, MIN, MULTI, SET, State, counter, set};
use crate::space::{CellName, RecordState, sum_of};
use crate::value::Value;

/// A write to a field under one of the further rules.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// Adds an amount other than 0 to a counter.
    Add(i64),
    /// Offers a value of which the greatest stays.
    Max(Value),
    /// Offers a value of which the least stays.
    Min(Value),
    /// Puts elements into a set (true), or takes them out.
    Elements(Vec<(Value, bool)>),
    /// Sets entries of a map, or unsets them.
    Entries(Vec<(String, Option<Value>)>),
    /// Puts these values in the place of those that show side by side; none takes them away. (RULES-20)
    Values(Vec<Value>),
}

impl Edit {
    /// The code of the rule that it writes under.
    pub fn rule(&self) -> u64 {
        match self {
            Self::Add(_) => COUNTER,
            Self::Max(_) => MAX,
            Self::Min(_) => MIN,
            Self::Elements(_) => SET,
            Self::Entries(_) => MAP,
            Self::Values(_) => MULTI,
        }
    }

    /// This write and a later one to the same column as one.
    pub(super) fn then(self, later: Self) -> Self {
        match (self, later) {
            (Self::Add(a), Self::Add(b)) => Self::Add(a.saturating_add(b)),
            (Self::Max(a), Self::Max(b)) => Self::Max(a.max(b)),
            (Self::Min(a), Self::Min(b)) => Self::Min(a.min(b)),
            (Self::Elements(before), Self::Elements(later)) => Self::Elements([before, later].concat()),
            (Self::Entries(before), Self::Entries(later)) => Self::Entries([before, later].concat()),
            (_, later) => later,
        }
    }

    /// LIMIT-4, RULES-8, RULES-12
    pub(super) fn check(&self, field: &str, value_bytes_max: usize) -> Result<(), WriteError> {
        let value = |value: &Value| check_value(field, Some(value), value_bytes_max);
        match self {
            Self::Add(0) => refuse(format!("an amount of 0 for {field}"), "another amount"),
            Self::Add(amount) if !(-INT_MAX..=INT_MAX).contains(amount) => {
                refuse(format!("the amount {amount} for {field}"), format!("amounts up to {INT_MAX}"))
            }
            Self::Add(_) => Ok(()),
            Self::Max(offered) | Self::Min(offered) => value(offered),
            Self::Elements(elements) if elements.is_empty() => refuse(format!("no element for {field}"), "at least one"),
            Self::Elements(elements) => elements.iter().try_for_each(|(element, _)| check_key(field, element)),
            Self::Entries(entries) if entries.is_empty() => refuse(format!("no entry for {field}"), "at least one"),
            Self::Entries(entries) => entries.iter().try_for_each(|(key, entry)| {
                check_key(field, &Value::Text(key.clone()))?;
                entry.as_ref().map_or(Ok(()), value)
            }),
            Self::Values(values) => values.iter().try_for_each(value),
        }
    }

    /// The op that does it to the record that shows; none where it would do nothing.
    pub(super) fn op(self, field: String, author: Replica, shown: &RecordState) -> Result<Option<Op>, WriteError> {
        let rule = self.rule();
        let payload = match self {
            Self::Add(amount) => {
                let name = CellName { field: field.clone(), rule, key: Key::replica(author) };
                let before = shown.cells.get(&name).map_or(0, sum_of);
                if counter::sum(before, amount).is_none() {
                    return refuse(format!("the amounts of {field} leave the range of integers"), format!("sums up to {INT_MAX}"));
                }
                Payload::Add(amount)
            }
            Self::Max(value) | Self::Min(value) => Payload::Set(value),
            Self::Elements(elements) => entries(elements.into_iter().map(|(key, present)| (key, present.then_some(set::PRESENT)))),
            Self::Entries(pairs) => entries(pairs.into_iter().map(|(key, value)| (Value::Text(key), value))),
            Self::Values(added) => {
                let removed = if fault::is("rules-multi-adds") { Vec::new() } else { dots(shown, &field) };
                if removed.is_empty() && added.is_empty() {
                    return Ok(None);
                }
                Payload::Values { removed, added }
            }
        };
        Ok(Some(Op { field, rule, after: None, payload }))
    }
}

/// Entries in the order of their encoded keys; of one key the last. (RULES-12)
fn entries(pairs: impl Iterator<Item = (Value, Option<Value>)>) -> Payload {
    let by_key = pairs.map(|(key, value)| (key.encoded(), Entry { key, value, after: None }));
    let sorted: std::collections::BTreeMap<Vec<u8>, Entry> = by_key.collect();
    Payload::Entries(sorted.into_values().collect())
}

/// The dots that show in a `multi` field, ascending.
fn dots(shown: &RecordState, field: &str) -> Vec<Dot> {
    let live = |(name, state): (&CellName, &State)| {
        let wanted = name.field == field && name.rule == MULTI && !state.is_gone();
        if wanted { name.key.to_dot().ok() } else { None }
    };
    shown.cells.iter().filter_map(live).collect()
}

fn check_key(field: &str, key: &Value) -> Result<(), WriteError> {
    check_value(field, Some(key), KEY_BYTES_MAX)
}
