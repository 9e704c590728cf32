//! What the application sees of a record: a pure function of its cells. Spec 2 and 5.

use crate::fault;
use std::collections::BTreeMap;

use super::{CellName, RecordState, sum_of};
use crate::rules::lww::Lww;
use crate::rules::multi::Dot;
use crate::rules::{COUNTER, LWW, MAP, MAX, MIN, MULTI, SET, State, counter, life, map, set};
use crate::value::{Value, ValueMap};

/// A record's fields by the rule `lww`.
pub type Fields = BTreeMap<String, Value>;

/// A record as it shows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct View {
    /// Its fields by the rule `lww`.
    pub fields: Fields,
    /// What its columns of further rules show, by field and rule.
    pub columns: BTreeMap<(String, u64), Shown>,
}

/// What a column of a further rule shows. A column without live cells does not show. (RULES-5)
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    /// The sum of a counter.
    Counter(i64),
    /// The greatest value offered.
    Max(Value),
    /// The least value offered.
    Min(Value),
    /// The elements of a set in the total order.
    Set(Vec<Value>),
    /// The entries of a map.
    Map(ValueMap),
    /// Values side by side, by their dots.
    Multi(Vec<(Dot, Value)>),
}

impl View {
    /// What a column shows.
    pub fn column(&self, field: &str, rule: u64) -> Option<&Shown> {
        self.columns.get(&(field.to_owned(), rule))
    }
}

impl RecordState {
    /// The record as it shows, none when it does not. (MODEL-14, RULES-5)
    pub fn view(self) -> Option<View> {
        let shows = life::is_alive(self.life) || fault::is("model-dead-shows") && self.life > 0;
        if !shows || fault::is("model-empty-is-gone") && self.cells.is_empty() {
            return None;
        }
        let mut view = View::default();
        let mut further = Vec::new();
        for (name, state) in self.cells.into_iter().filter(|(_, state)| !state.is_gone()) {
            match state {
                State::Stamped(Lww { value: Some(value), .. }) if name.rule == LWW => view.fields.extend([(name.field, value)]),
                state => further.push((name, state)),
            }
        }
        for column in further.chunk_by(|(a, _), (b, _)| (&a.field, a.rule) == (&b.field, b.rule)) {
            view.show(column);
        }
        Some(view)
    }
}

impl View {
    /// Takes in the live cells of one column of a further rule.
    fn show(&mut self, cells: &[(CellName, State)]) {
        let Some((first, state)) = cells.first() else { return };
        let values = || cells.iter().filter_map(|(name, state)| Some((name.key.to_value().ok()?, value_of(state)?.clone())));
        let shown = match first.rule {
            COUNTER => Shown::Counter(counter::view(cells.iter().map(|(_, state)| sum_of(state)))),
            MAX => value_of(state).cloned().map_or(Shown::Max(Value::Null), Shown::Max),
            MIN => value_of(state).cloned().map_or(Shown::Min(Value::Null), Shown::Min),
            SET => Shown::Set(set::view(values().map(|(element, _)| element).collect())),
            MAP => {
                let text = |(key, value)| if let Value::Text(key) = key { Some((key, value)) } else { None };
                Shown::Map(map::view(values().filter_map(text).collect()))
            }
            MULTI => {
                let value = |(name, state): &(CellName, State)| Some((name.key.to_dot().ok()?, value_of(state)?.clone()));
                Shown::Multi(cells.iter().filter_map(value).collect())
            }
            // What an unknown rule means is not known here: it is kept and not shown. (RULES-3)
            _ => return,
        };
        if fault::is("rules-one-rule-for-a-field") && self.fields.contains_key(&first.field) {
            return;
        }
        self.columns.insert((first.field.clone(), first.rule), shown);
    }
}

/// The value in a cell that is not gone.
fn value_of(state: &State) -> Option<&Value> {
    match state {
        State::Stamped(cell) => cell.value.as_ref(),
        State::Extreme(value) | State::Sequenced { value, .. } => Some(value),
        State::Dot(value) => value.as_ref(),
    }
}
