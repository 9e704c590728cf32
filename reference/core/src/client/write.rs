//! What the application writes: one atomic change a call. Spec 2 and 4.

use crate::fault;
use std::collections::{BTreeMap, BTreeSet};

use super::{Client, Edit, Event};
use crate::change::{Change, Condition, Op, Payload, RecordName, Row};
use crate::clock::{Now, Reading};
use crate::limits;
use crate::rules::{Key, LWW, State, life};
use crate::space::{CellName, RecordState};
use crate::store::{Store, StoreError};
use crate::value::Value;

/// One part of a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Sets and unsets fields of a record, creating it where it does not show.
    Put {
        /// The collection.
        collection: String,
        /// The record.
        id: String,
        /// Fields and their values; none unsets.
        fields: Vec<(String, Option<Value>)>,
    },
    /// Writes to fields of a record under the further rules, creating it where it does not show.
    Edit {
        /// The collection.
        collection: String,
        /// The record.
        id: String,
        /// Fields and what is done to them.
        edits: Vec<(String, Edit)>,
    },
    /// Deletes a record that shows.
    Delete {
        /// The collection.
        collection: String,
        /// The record.
        id: String,
    },
}

impl Write {
    fn record(&self) -> RecordName {
        let (Self::Put { collection, id, .. } | Self::Edit { collection, id, .. } | Self::Delete { collection, id }) = self;
        RecordName { collection: collection.clone(), id: id.clone() }
    }
}

/// A local write that breaks a limit or a rule; nothing was kept. (MODEL-9)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was found, where.
    pub found: String,
    /// What is allowed.
    pub allowed: String,
}

/// Why a write was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteError {
    /// The application asked for what cannot be.
    Refused(Refusal),
    /// The store failed; the open transaction is to be rolled back and the client loaded again.
    Store(StoreError),
}

impl std::fmt::Display for WriteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(Refusal { found, allowed }) => write!(f, "{found}; allowed: {allowed}"),
            Self::Store(error) => write!(f, "the store failed: {error}"),
        }
    }
}

impl std::error::Error for WriteError {}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

pub(super) fn refuse<T>(found: String, allowed: impl Into<String>) -> Result<T, WriteError> {
    Err(WriteError::Refused(Refusal { found, allowed: allowed.into() }))
}

impl Client {
    /// Writes one atomic change and returns its seq. It shows at once. (MODEL-1, MODEL-12, CLOCK-4)
    ///
    /// # Errors
    /// Where a limit is broken, a record to delete does not show, or the store fails.
    pub fn write(&mut self, now: Now, store: &mut dyn Store, writes: &[Write]) -> Result<u64, WriteError> {
        self.write_under(now, store, writes, &[])
    }

    /// The same, under conditions. (COND-1)
    pub(super) fn write_under(
        &mut self,
        now: Now,
        store: &mut dyn Store,
        writes: &[Write],
        conditions: &[Condition],
    ) -> Result<u64, WriteError> {
        if self.outbox.pending_count() >= limits::PENDING_CHANGES_MAX as u64 {
            return refuse("too many changes wait for the server".into(), format!("{} pending changes", limits::PENDING_CHANGES_MAX));
        }
        if fault::is("clock-refuses-writes") && self.clock.last().ms() > now.wall_ms + limits::CLOCK_ABSORB_MS {
            return refuse("a clock that was set back".into(), "a clock at or after the last reading");
        }
        let value_bytes_max = self.limit(3, limits::VALUE_BYTES_MAX);
        let mut wanted: BTreeMap<RecordName, Wanted> = BTreeMap::new();
        for write in writes {
            let record = write.record();
            check_name("collection name", &record.collection, limits::COLLECTION_NAME_BYTES_MAX)?;
            // SUB-16
            if !self.subscription.covers(&record.collection) && !fault::is("sub-writes-anywhere") {
                return refuse(format!("a write to {}, which is not subscribed", record.collection), "the collections subscribed");
            }
            check_name("record id", &record.id, limits::RECORD_ID_BYTES_MAX)?;
            let entry = wanted.entry(record).or_default();
            entry.merge(write, value_bytes_max)?;
        }
        if wanted.is_empty() {
            return refuse("a change without writes".into(), "at least one write");
        }
        let mut rows = Vec::new();
        for (record, wanted) in wanted {
            rows.push(self.row(store, record, wanted)?);
        }
        let mut change = self.stamped(now, store, rows)?;
        change.set_conditions(conditions);
        check_size(&change, self.limit(1, limits::CHANGE_OPS_MAX), self.limit(2, limits::CHANGE_BYTES_MAX))?;
        let names = change.rows.iter().map(|row| row.record.clone()).collect();
        let seq = self.outbox.mint(store, change)?;
        self.event(Event::Changed(names));
        self.push(now);
        self.pump_links(now, store)?;
        self.tell_in_sync();
        self.wake();
        Ok(seq)
    }

    /// The row in the life that the view calls for. (MERGE-6, MERGE-7)
    fn row(&self, store: &dyn Store, record: RecordName, wanted: Wanted) -> Result<Row, WriteError> {
        let state = self.overlaid(store, &record)?;
        let shown = life::is_alive(state.life);
        let next = match (shown, wanted.delete) {
            (true, false) => state.life,
            (true, true) if fault::is("merge-delete-raises-by-3") => state.life + 3,
            (false, false) if fault::is("merge-write-does-not-revive") => state.life.max(1),
            (true, true) | (false, false) => state.life + 1,
            (false, true) => return refuse(format!("{}/{} is not there to delete", record.collection, record.id), "a record that shows"),
        };
        if next > limits::LIFE_MAX {
            return refuse(format!("{}/{} was deleted too often", record.collection, record.id), format!("life {}", limits::LIFE_MAX));
        }
        let op = |(field, value): (String, Option<Value>)| {
            let value = value.filter(|value| *value != Value::Null || !fault::is("merge-null-is-unset"));
            let payload = value.map_or(Payload::Unset, Payload::Set);
            Op { field, rule: LWW, after: None, payload }
        };
        let mut ops: Vec<Op> = wanted.fields.into_iter().map(op).collect();
        let seen = if shown { state } else { RecordState::default() };
        for ((field, _), edit) in wanted.edits {
            ops.extend(edit.op(field, self.outbox.identity.replica, &seen)?);
        }
        // MODEL-6
        ops.sort_by(|a, b| (&a.field, a.rule).cmp(&(&b.field, b.rule)));
        Ok(Row { record, life: next, ops })
    }

    /// A change of these rows, under the next seq and a new reading. (CLOCK-2, CLOCK-6, CLOCK-7)
    pub(super) fn stamped(&mut self, now: Now, store: &dyn Store, mut rows: Vec<Row>) -> Result<Change, StoreError> {
        let reading = self.clock.mint(now);
        self.outbox.note_clock(&self.clock);
        for row in &mut rows {
            let state = self.overlaid(store, &row.record)?;
            for op in &mut row.ops {
                let seen = |name: &CellName| match state.cells.get(name).filter(|_| state.life == row.life) {
                    Some(State::Stamped(cell)) => {
                        Some(cell.stamp.reading).filter(|seen: &Reading| *seen >= reading && !fault::is("clock-no-after"))
                    }
                    _ => None,
                };
                if op.rule == LWW {
                    op.after = seen(&CellName::lww(&op.field));
                }
                let Payload::Entries(entries) = &mut op.payload else { continue };
                for entry in entries {
                    entry.after = seen(&CellName { field: op.field.clone(), rule: op.rule, key: Key::value(&entry.key) });
                }
            }
        }
        let needs = self.needs(store, &rows)?;
        let mut change = Change { seq: self.outbox.next_seq(), reading, rows, origin: None, extra: Vec::new() };
        change.set_needs(&needs);
        Ok(change)
    }
}

/// What one change is to do with one record.
#[derive(Default)]
struct Wanted {
    fields: BTreeMap<String, Option<Value>>,
    edits: BTreeMap<(String, u64), Edit>,
    delete: bool,
    puts: bool,
}

impl Wanted {
    fn merge(&mut self, write: &Write, value_bytes_max: usize) -> Result<(), WriteError> {
        match write {
            Write::Delete { .. } => self.delete = true,
            Write::Edit { .. } => {}
            Write::Put { fields, .. } => {
                self.puts = true;
                for (field, value) in fields {
                    check_name("field name", field, limits::FIELD_NAME_BYTES_MAX)?;
                    check_value(field, value.as_ref(), value_bytes_max)?;
                    self.fields.insert(field.clone(), value.clone());
                }
            }
        }
        if let Write::Edit { edits, .. } = write {
            self.puts = true;
            for (field, edit) in edits {
                check_name("field name", field, limits::FIELD_NAME_BYTES_MAX)?;
                let at = (field.clone(), edit.rule());
                let edit = match self.edits.remove(&at) {
                    Some(before) => before.then(edit.clone()),
                    None => edit.clone(),
                };
                edit.check(field, value_bytes_max)?;
                self.edits.insert(at, edit);
            }
        }
        if self.puts && self.delete {
            let record = write.record();
            return refuse(format!("{}/{} is written and deleted in one change", record.collection, record.id), "one of the two");
        }
        Ok(())
    }
}

/// SUB-1
pub(super) fn check_subscription(names: &BTreeSet<String>, collections_max: usize) -> Result<(), WriteError> {
    if names.is_empty() || names.len() > collections_max {
        return refuse(format!("a subscription to {} collections", names.len()), format!("1 to {collections_max} collections"));
    }
    names.iter().try_for_each(|name| check_name("collection name", name, limits::COLLECTION_NAME_BYTES_MAX))
}

/// MODEL-8
fn check_name(what: &str, name: &str, bytes_max: usize) -> Result<(), WriteError> {
    match name.len() {
        0 => refuse(format!("an empty {what}"), format!("1 to {bytes_max} bytes")),
        bytes if bytes > bytes_max => refuse(format!("a {what} of {bytes} bytes"), format!("1 to {bytes_max} bytes")),
        _ => Ok(()),
    }
}

/// CODEC-10, LIMIT-4
pub(super) fn check_value(field: &str, value: Option<&Value>, bytes_max: usize) -> Result<(), WriteError> {
    let Some(value) = value else { return Ok(()) };
    let depth = value.depth();
    if depth > limits::DEPTH_MAX {
        return refuse(format!("the value of {field} is nested {depth} deep"), format!("{} levels", limits::DEPTH_MAX));
    }
    let bytes = value.encoded().len();
    if bytes > bytes_max {
        return refuse(format!("the value of {field} has {bytes} bytes"), format!("{bytes_max} bytes"));
    }
    Ok(())
}

/// LIMIT-3. The literal form is never shorter than the pushed one by more than its head.
fn check_size(change: &Change, ops_max: usize, bytes_max: usize) -> Result<(), WriteError> {
    if fault::is("model-local-size-unchecked") {
        return Ok(());
    }
    if change.op_count() > ops_max {
        return refuse(format!("a change of {} ops", change.op_count()), format!("{ops_max} ops"));
    }
    let bytes = change.literal().len() + limits::PUSHED_OVERHEAD_MAX;
    if bytes > bytes_max {
        return refuse(format!("a change of {bytes} bytes"), format!("{bytes_max} bytes"));
    }
    Ok(())
}
