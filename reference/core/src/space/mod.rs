//! The state of a space: its cells in a [`Store`], what a change does to them, and their fingerprint.
//!
//! A server keeps each space so, a client its base; spec 2, 5 and 8.
//! Keys below the prefix, names escaped so that they sort as their bytes do:
//!
//! | key | value |
//! |---|---|
//! | `c` collection id 0 | the record's row: its life and small cells, each with the position that last changed it |
//! | `c` collection id 1 field rule key | a cell that stands apart and the position that last changed it |
//! | `i` collection position id 0 | nothing; the rows by the positions that last changed what is in them |
//! | `i` collection position id 1 field rule key | nothing; the cells apart by the position that last changed them |
//! | `f` collection | the collection's fingerprints |
//! | `d`, `e` | the records' numbers: see `numbers` |

mod apply;
mod cells;
mod fingerprint;
mod gone;
mod index;
mod keys;
mod numbers;
mod range;
mod record;
mod upgrade;
mod view;

use std::collections::BTreeMap;

use crate::change::{Change, Condition, RecordName};
use crate::clock::Replica;
use crate::fault;
use crate::rules::lww::Lww;
use crate::rules::{Key, LWW, State, life};
use crate::store::{Store, StoreError};
use cells::read_cell;
use record::RecordRow;

pub use apply::{Minted, sum_of};
pub use gone::Forgotten;
pub(crate) use keys::{after_prefix, escape, unescape};
pub use numbers::Numbered;
pub use range::Covers;
pub use view::{Fields, Shown, View};

/// A record's life and the position that last raised it; life 0 is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Life {
    /// Odd: alive; even: deleted; 0: never seen. (MERGE-1)
    pub life: u64,
    /// The log position of the change that raised it.
    pub position: u64,
}

/// The part of a cell's address that follows its record's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellName {
    /// The field.
    pub field: String,
    /// The rule's code.
    pub rule: u64,
    /// What tells apart the cells of the column.
    pub key: Key,
}

impl CellName {
    /// The `lww` cell of a field.
    pub fn lww(field: &str) -> Self {
        Self::of_lww(field.to_owned())
    }

    fn of_lww(field: String) -> Self {
        Self { field, rule: LWW, key: Key::none() }
    }
}

/// A cell of the record's present life.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// What it holds.
    pub state: State,
    /// The log position of the change that wrote it.
    pub position: u64,
}

/// A cell found by the position that last changed it.
#[derive(Debug, Clone, PartialEq)]
pub enum Changed {
    /// The record's life was raised to this.
    Life(RecordName, u64),
    /// A cell, and the record's life.
    Cell(RecordName, u64, CellName, State),
}

/// What a record is: its life and the cells of that life, those that say that something is gone too.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RecordState {
    /// The record's life.
    pub life: u64,
    /// The cells of that life.
    pub cells: BTreeMap<CellName, State>,
}

impl RecordState {
    /// A field's `lww` cell.
    pub fn lww(&self, field: &str) -> Option<&Lww> {
        match self.cells.get(&CellName::lww(field)) {
            Some(State::Stamped(cell)) => Some(cell),
            _ => None,
        }
    }
}

/// The cells of one space below a key prefix.
#[derive(Debug, Clone)]
pub struct Space {
    prefix: Vec<u8>,
}

impl Space {
    /// The space whose keys start with `prefix`. No other key may start with it.
    pub fn new(prefix: &[u8]) -> Self {
        Self { prefix: prefix.to_vec() }
    }

    /// The life of a record. (MERGE-1)
    pub fn life(&self, store: &dyn Store, record: &RecordName) -> Result<Life, StoreError> {
        store.get(&self.cell_key(record, None))?.map_or(Ok(Life::default()), |bytes| RecordRow::read_life(&bytes))
    }

    /// The records that were ever seen, deleted ones too, in order; those of `collection` only where given.
    pub fn records(&self, store: &dyn Store, collection: Option<&str>) -> Result<Vec<RecordName>, StoreError> {
        let mut names = Vec::new();
        self.each_record(store, collection, &mut |record, _| {
            names.push(record);
            Ok(())
        })?;
        Ok(names)
    }

    /// Whether the change raises a record beyond its next life; one that is not held counts as at `absent`. (MERGE-5, HORIZON-9)
    pub fn raises_too_far(&self, store: &dyn Store, change: &Change, absent: u64) -> Result<bool, StoreError> {
        for row in &change.rows {
            let held = self.life(store, &row.record)?.life;
            if !life::admit(if held == 0 { absent } else { held }, row.life) && !fault::is("merge-raises-too-far") {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a condition holds. (COND-2)
    pub fn holds(&self, store: &dyn Store, condition: &Condition) -> Result<bool, StoreError> {
        match condition {
            Condition::Life { record, life } => Ok(self.life(store, record)?.life == *life),
            Condition::Cell { record, field, rule, key, stamp } => {
                let name = CellName { field: field.clone(), rule: *rule, key: key.clone() };
                let found = match self.cell(store, record, &name)?.map(|cell| cell.state) {
                    Some(State::Stamped(Lww { stamp, value: Some(_) })) => Some(stamp),
                    _ => None,
                };
                Ok(found == *stamp)
            }
        }
    }

    /// Whether the change writes to a record or, in its present life, to a cell that is not held. (HORIZON-8)
    pub fn writes_what_is_not_held(&self, store: &dyn Store, author: Replica, change: &Change) -> Result<bool, StoreError> {
        let minted = Minted::confirmed(author, change);
        for row in &change.rows {
            let held = self.life(store, &row.record)?.life;
            if held == 0 {
                return Ok(true);
            }
            if held != row.life {
                continue;
            }
            for name in row.ops.iter().flat_map(|op| apply::cells_written(&minted, op)) {
                if self.cell(store, &row.record, &name)?.is_none() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Forgets every cell. (SYNC-15)
    pub fn clear(&self, store: &mut dyn Store) -> Result<(), StoreError> {
        for part in [b'c', b'i', b'f', b'd', b'e'] {
            let from = self.key(part);
            store.delete_range(&from, &after_prefix(&from))?;
        }
        Ok(())
    }

    fn cells_apart(&self, store: &dyn Store, record: &RecordName) -> Result<Vec<(CellName, Cell)>, StoreError> {
        let mut from = self.record_key(b'c', record);
        from.push(1);
        let to = after_prefix(&from);
        let mut cells = Vec::new();
        loop {
            let page = store.scan(&from, &to, SCAN_PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(cells) };
            from = [last.as_slice(), &[0]].concat();
            for (key, bytes) in &page {
                if let (_, Some(name)) = self.split(key, 1)? {
                    let cell = read_cell(&name, bytes)?;
                    cells.push((name, cell));
                }
            }
        }
    }
}

/// Rows read in one call to the store.
const SCAN_PAGE: usize = 1_024;
