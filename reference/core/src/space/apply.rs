//! What a change does to cells. Spec 5.

use crate::fault;
use std::collections::BTreeMap;

use super::record::OpenRecord;
use super::{Cell, CellName, RecordState, Space};
use crate::change::{Change, Op, Payload, Row};
use crate::clock::{Reading, Replica, Stamp};
use crate::rules::lww::{self, Lww};
use crate::rules::multi::Dot;
use crate::rules::{Key, Shape, State, counter, shape};
use crate::store::{Store, StoreError};
use crate::value::Value;

/// Whose change it is, and whether the log holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minted {
    /// The author.
    pub author: Replica,
    /// The change's seq.
    pub seq: u64,
    /// The change's reading.
    pub reading: Reading,
    /// The name its values are known under: its origin's, or its own. (RULES-14)
    pub first: (Replica, u64),
    /// Whether it has its place in the log. If not, it is applied so that the order among authors makes no difference.
    pub confirmed: bool,
}

impl Minted {
    /// The minted of an accepted change, which is applied in the order of the log. (MERGE-13)
    pub fn confirmed(author: Replica, change: &Change) -> Self {
        let first = change
            .origin
            .as_ref()
            .filter(|_| !fault::is("rules-values-by-the-last-name"))
            .map_or((author, change.seq), |origin| (origin.replica, origin.seq));
        Self { author, seq: change.seq, reading: change.reading, first, confirmed: true }
    }

    /// The minted of a change without a verdict. (RULES-18)
    pub fn unconfirmed(author: Replica, change: &Change) -> Self {
        Self { confirmed: false, ..Self::confirmed(author, change) }
    }
}

impl RecordState {
    /// Applies one row of a change. (MERGE-2 to MERGE-4, MERGE-8 to MERGE-10)
    pub fn apply(&mut self, minted: &Minted, row: &Row) {
        if row.life < self.life {
            return;
        }
        if row.life > self.life && !fault::is("merge-row-does-not-raise") {
            self.life = row.life;
            self.cells.retain(|_, _| fault::is("merge-old-cells-stay"));
        }
        for (name, write) in row.ops.iter().flat_map(|op| writes(minted, op)) {
            let existing = self.cells.remove(&name);
            if let Some(state) = written(minted, name.rule, write, existing) {
                self.cells.insert(name, state);
            }
        }
    }

    /// The joined states of two lives of a record. (MERGE-1, MERGE-3)
    pub fn join(self, other: Self) -> Self {
        if self.life != other.life {
            return if (self.life > other.life) != fault::is("merge-lower-life") { self } else { other };
        }
        let mut cells: BTreeMap<CellName, State> = self.cells;
        for (name, theirs) in other.cells {
            let joined = match cells.remove(&name) {
                Some(ours) => ours.join(theirs, name.rule),
                None => theirs,
            };
            cells.insert(name, joined);
        }
        Self { life: self.life, cells }
    }
}

impl Space {
    /// Applies an accepted change at its position. (MERGE-13)
    pub fn apply(&self, store: &mut dyn Store, author: Replica, change: &Change, position: u64) -> Result<(), StoreError> {
        let minted = Minted::confirmed(author, change);
        for row in &change.rows {
            let mut open = OpenRecord::open(self, store, &row.record)?;
            let current = open.life();
            if row.life < current && !fault::is("merge-old-life-writes") {
                continue;
            }
            if row.life > current && !fault::is("merge-row-does-not-raise") {
                open.set_life(store, row.life, position)?;
            }
            for (name, write) in row.ops.iter().flat_map(|op| writes(&minted, op)) {
                let old = open.cell(store, &name)?.map(|cell| cell.state);
                let Some(state) = written(&minted, name.rule, write, old.clone()) else { continue };
                if old.as_ref() != Some(&state) {
                    open.put(store, name, Cell { state, position })?;
                }
            }
            open.save(store)?;
        }
        Ok(())
    }

    /// Whether the change takes one of its author's counters out of the range of integers. (RULES-10)
    pub fn sums_too_far(&self, store: &dyn Store, author: Replica, change: &Change) -> Result<bool, StoreError> {
        for row in &change.rows {
            let current = self.life(store, &row.record)?.life;
            for op in &row.ops {
                let Payload::Add(amount) = op.payload else { continue };
                let name = CellName { field: op.field.clone(), rule: op.rule, key: Key::replica(author) };
                let held = if row.life == current { self.cell(store, &row.record, &name)? } else { None };
                let before = held.map_or(0, |cell| sum_of(&cell.state));
                if row.life >= current && counter::sum(before, amount).is_none() && !fault::is("rules-sums-wrap") {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

/// The sum in a counter's cell.
pub fn sum_of(state: &State) -> i64 {
    match state {
        State::Sequenced { value: Value::Int(sum), .. } => *sum,
        _ => 0,
    }
}

/// What an op does to one cell.
enum Write<'a> {
    Stamp { after: Option<Reading>, value: Option<&'a Value> },
    Offer(&'a Value),
    Amount(i64),
    Sequence(&'a Value),
    Add(&'a Value),
    Remove,
}

/// The cells that an op writes, and what it does to each. (RULES-2)
fn writes<'a>(minted: &Minted, op: &'a Op) -> Vec<(CellName, Write<'a>)> {
    let named = |key: Key| CellName { field: op.field.clone(), rule: op.rule, key };
    let one = |key: Key, write: Write<'a>| vec![(named(key), write)];
    match (shape(op.rule), &op.payload) {
        (Some(Shape::Field), Payload::Set(value)) => one(Key::none(), Write::Stamp { after: op.after, value: Some(value) }),
        (Some(Shape::Field), Payload::Unset) => one(Key::none(), Write::Stamp { after: op.after, value: None }),
        (Some(Shape::Offer), Payload::Set(value)) => one(Key::none(), Write::Offer(value)),
        (Some(Shape::Amount), Payload::Add(amount)) => one(Key::replica(minted.author), Write::Amount(*amount)),
        (Some(Shape::Sequenced), Payload::Set(value)) => one(Key::replica(minted.author), Write::Sequence(value)),
        (Some(Shape::Elements | Shape::Entries | Shape::Keyed), Payload::Entries(entries)) => {
            let entry = |entry: &'a crate::change::Entry| {
                (named(Key::value(&entry.key)), Write::Stamp { after: entry.after, value: entry.value.as_ref() })
            };
            entries.iter().map(entry).collect()
        }
        (Some(Shape::Dots), Payload::Values { removed, added }) => {
            let (author, seq) = minted.first;
            let dot = |(index, value): (usize, &'a Value)| (named(Key::dot(&Dot { author, seq, index: index as u64 })), Write::Add(value));
            // What a change adds and removes at once is removed, in whatever order others see it.
            let removed = removed.iter().map(|dot| (named(Key::dot(dot)), Write::Remove));
            added.iter().enumerate().map(dot).chain(removed).collect()
        }
        // An accepted change holds no other pair. (RULES-3, FRAME-8)
        _ => Vec::new(),
    }
}

/// The cells that an op writes; a removed dot is not written. (HORIZON-8)
pub(super) fn cells_written(minted: &Minted, op: &Op) -> Vec<CellName> {
    writes(minted, op).into_iter().filter(|(_, write)| !matches!(write, Write::Remove)).map(|(name, _)| name).collect()
}

/// The state that a write leaves behind where `existing` stood; none where nothing stood and nothing is left.
fn written(minted: &Minted, rule: u64, write: Write, existing: Option<State>) -> Option<State> {
    let new = match write {
        Write::Stamp { after, value } => State::Stamped(Lww { stamp: stamp(minted, after, existing.as_ref()), value: value.cloned() }),
        Write::Offer(value) => State::Extreme(value.clone()),
        Write::Amount(amount) => return Some(counted(minted.seq, amount, existing)),
        Write::Sequence(value) => State::Sequenced { seq: minted.seq, value: value.clone() },
        Write::Add(value) => State::Dot(Some(value.clone())),
        // RULES-16: in the log's order a removed dot was there before, or never was.
        Write::Remove if existing.is_none() && minted.confirmed && !fault::is("rules-absent-dots-stay") => return None,
        Write::Remove => State::Dot(None),
    };
    Some(match existing {
        Some(old) => old.join(new, rule),
        None => new,
    })
}

fn stamp(minted: &Minted, after: Option<Reading>, existing: Option<&State>) -> Stamp {
    if !minted.confirmed && !fault::is("rules-after-counts-once-seen") {
        return lww::effective_unconfirmed(minted.reading, after, minted.author);
    }
    let existing = match existing {
        Some(State::Stamped(cell)) => Some(cell),
        _ => None,
    };
    lww::effective(minted.reading, after, minted.author, existing)
}

/// An author's counter after one more of its changes; those are applied in the order of seq. (RULES-9)
fn counted(seq: u64, amount: i64, existing: Option<State>) -> State {
    let Some(State::Sequenced { seq: last, value }) = existing else {
        return State::Sequenced { seq, value: Value::Int(amount) };
    };
    if last >= seq && !fault::is("rules-counts-twice") {
        return State::Sequenced { seq: last, value };
    }
    let before = if let Value::Int(sum) = value { sum } else { 0 };
    // RULES-10 keeps the sums of the log in range; others show the bound they reach.
    let sum = counter::view([before, amount].into_iter());
    State::Sequenced { seq, value: Value::Int(sum) }
}
