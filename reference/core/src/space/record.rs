//! A record's row, which holds its life and those of its cells that are small, and changes to it.
//!
//! Cells of one write share its position and stamp, which the row holds once. A record whose fields are read and written
//! together is so one row and one index entry. Cells of further rules, large values, and cells beyond so many stand apart,
//! so that the cost of a change does not grow with its record.

use super::cells::{cell_bytes, damaged, read_cell};
use super::fingerprint::Digests;
use super::{Cell, CellName, Life, RecordState, SCAN_PAGE, Space, after_prefix, escape};
use crate::change::{RecordName, read_fixed};
use crate::clock::{Reading, Replica, Stamp};
use crate::codec::{CodecError, Fault, Reader, Writer};
use crate::fault;
use crate::rules::lww::{Lww, write_stamp};
use crate::rules::{LWW, State};
use crate::store::{Store, StoreError};
use crate::value::Value;

/// Cells that a row holds at most.
const CELLS_MAX: usize = 64;
/// Bytes of a text or of bytes that a row holds at most.
const VALUE_BYTES_MAX: usize = 256;

/// Bytes of a row of a few fields.
const ROW_BYTES: usize = 256;

/// A record as its row keeps it.
#[derive(Debug, Default)]
pub(super) struct RecordRow {
    /// 0: the record is not there.
    pub life: u64,
    /// The position that last raised the life.
    pub position: u64,
    /// Whether any cell was ever put apart in this life.
    pub apart: bool,
    /// Cells of the rule `lww`, by name.
    pub cells: Vec<(CellName, Cell)>,
}

impl RecordRow {
    /// The row of a record, or that of one that is not there.
    pub fn load(space: &Space, store: &dyn Store, record: &RecordName) -> Result<Self, StoreError> {
        store.get(&space.cell_key(record, None))?.map_or(Ok(Self::default()), |bytes| Self::read(&bytes))
    }

    pub fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        read_row(bytes).map_err(damaged)
    }

    /// The beginning of a row.
    pub fn read_life(bytes: &[u8]) -> Result<Life, StoreError> {
        let mut r = Reader::new(bytes);
        let mut read = || Ok(Life { life: r.uint()?, position: r.uint()? });
        read().map_err(damaged)
    }

    /// A cell that stands in the row.
    pub fn cell(&self, name: &CellName) -> Option<&Cell> {
        let at = self.cells.binary_search_by(|(held, _)| held.cmp(name)).ok()?;
        Some(&self.cells[at].1)
    }

    /// The positions that last changed the life or a cell of the row, ascending.
    fn positions(&self) -> Vec<u64> {
        let life = (self.life > 0).then_some(self.position);
        let mut positions: Vec<u64> = life.into_iter().chain(self.cells.iter().map(|(_, cell)| cell.position)).collect();
        positions.sort_unstable();
        positions.dedup();
        positions
    }

    fn is_empty(&self) -> bool {
        self.life == 0 && self.cells.is_empty() && !self.apart
    }

    /// Whether a cell may stand in the row.
    fn has_room_for(&self, name: &CellName, state: &State) -> bool {
        let State::Stamped(Lww { value, .. }) = state else { return false };
        let small = match value {
            Some(Value::Text(text)) => text.len() <= VALUE_BYTES_MAX,
            Some(Value::Bytes(bytes)) => bytes.len() <= VALUE_BYTES_MAX,
            Some(Value::Array(_) | Value::Map(_)) => false,
            _ => true,
        };
        name.rule == LWW && small && self.cells.len() < CELLS_MAX
    }

    /// Puts in a cell that is not there.
    fn put(&mut self, name: CellName, cell: Cell) {
        let at = self.cells.partition_point(|(held, _)| *held < name);
        self.cells.insert(at, (name, cell));
    }

    fn take(&mut self, name: &CellName) -> Option<Cell> {
        let at = self.cells.binary_search_by(|(held, _)| held.cmp(name)).ok()?;
        Some(self.cells.remove(at).1)
    }

    /// Life, its position, whether cells stand apart, each position and stamp once, then each cell with the index of its own.
    pub fn bytes(&self) -> Vec<u8> {
        let mut heads: Vec<(u64, Stamp)> = Vec::new();
        let mut w = Writer::with_capacity(ROW_BYTES);
        for (name, cell) in &self.cells {
            let State::Stamped(Lww { stamp, value }) = &cell.state else { continue };
            let head = (cell.position, *stamp);
            let at = heads.iter().position(|known| *known == head).unwrap_or(heads.len());
            if at == heads.len() {
                heads.push(head);
            }
            w.text(&name.field);
            w.uint(2 * at as u64 + u64::from(value.is_some()));
            value.iter().for_each(|value| w.value(value));
        }
        let cells = w.finish();
        let mut w = Writer::with_capacity(ROW_BYTES + cells.len());
        w.uint(self.life);
        w.uint(self.position);
        w.bool(self.apart);
        w.uint(heads.len() as u64);
        for (position, stamp) in heads {
            w.uint(position);
            write_stamp(&mut w, &stamp);
        }
        w.uint(self.cells.len() as u64);
        w.raw(&cells);
        w.finish()
    }
}

fn read_row(bytes: &[u8]) -> Result<RecordRow, CodecError> {
    let mut r = Reader::new(bytes);
    let (life, position, apart) = (r.uint()?, r.uint()?, r.bool()?);
    let mut heads = Vec::new();
    for _ in 0..r.uint()? {
        heads.push((r.uint()?, read_stamp(&mut r)?));
    }
    let mut cells = Vec::new();
    for _ in 0..r.uint()? {
        let field = r.text()?.to_owned();
        let head = r.uint()?;
        let Some(&(position, stamp)) = heads.get(head as usize / 2) else { return r.fault(Fault::Schema("a stamp of the row")) };
        let value = if head % 2 == 1 { Some(r.value(0)?) } else { None };
        cells.push((CellName::of_lww(field), Cell { state: State::Stamped(Lww { stamp, value }), position }));
    }
    Ok(RecordRow { life, position, apart, cells })
}

pub(super) fn read_stamp(r: &mut Reader) -> Result<Stamp, CodecError> {
    let (ms, counter) = (r.uint()?, r.uint()?);
    let author = Replica(read_fixed(r, "a replica of 16 bytes")?);
    Ok(Stamp { reading: Reading::new(ms, counter as u16).unwrap_or(Reading::ZERO), author })
}

/// A record that is being changed; what stands in its row is in the store once it is saved.
pub(super) struct OpenRecord<'a> {
    space: &'a Space,
    record: &'a RecordName,
    row: RecordRow,
    /// The positions under which the index has the row.
    indexed: Vec<u64>,
    digests: Digests,
}

impl<'a> OpenRecord<'a> {
    pub fn open(space: &'a Space, store: &dyn Store, record: &'a RecordName) -> Result<Self, StoreError> {
        let row = RecordRow::load(space, store, record)?;
        let indexed = row.positions();
        Ok(Self { space, record, row, indexed, digests: Digests::default() })
    }

    pub fn life(&self) -> u64 {
        self.row.life
    }

    /// A cell of the present life.
    pub fn cell(&self, store: &dyn Store, name: &CellName) -> Result<Option<Cell>, StoreError> {
        match self.row.cell(name) {
            Some(cell) => Ok(Some(cell.clone())),
            None if self.row.apart => self.space.cell_apart(store, self.record, name),
            None => Ok(None),
        }
    }

    /// Sets the life, and drops the cells when it is another. (MERGE-3, HORIZON-10)
    pub fn set_life(&mut self, store: &mut dyn Store, next: u64, position: u64) -> Result<(), StoreError> {
        let current = self.row.life;
        if next != current && current > 0 && !fault::is("compact-number-outlives-its-record") {
            self.space.forget_number(store, self.record)?;
        }
        if next != current && !fault::is("merge-old-cells-stay") {
            self.clear_cells(store)?;
        }
        self.digests.forget_life(self.record, current);
        self.digests.learn_life(self.record, next);
        (self.row.life, self.row.position) = (next, position);
        Ok(())
    }

    /// Removes the record with its cells.
    pub fn remove(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        self.clear_cells(store)?;
        self.digests.forget_life(self.record, self.row.life);
        (self.row.life, self.row.position) = (0, 0);
        Ok(())
    }

    fn clear_cells(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        for (name, cell) in std::mem::take(&mut self.row.cells) {
            self.digests.forget(self.record, self.row.life, &name, &cell.state);
        }
        if self.row.apart {
            for (name, cell) in self.space.cells_apart(store, self.record)? {
                self.digests.forget(self.record, self.row.life, &name, &cell.state);
                self.delete_apart(store, &name, cell.position)?;
            }
        }
        self.row.apart = false;
        Ok(())
    }

    /// Puts a cell in the place of what is there under its name.
    pub fn put(&mut self, store: &mut dyn Store, name: CellName, new: Cell) -> Result<(), StoreError> {
        self.digests.learn(self.record, self.row.life, &name, &new.state);
        self.remove_cell(store, &name)?;
        if self.row.has_room_for(&name, &new.state) {
            self.row.put(name, new);
            return Ok(());
        }
        self.row.apart = true;
        store.put(&self.space.index_key(new.position, self.record, Some(&name)), &[])?;
        store.put(&self.space.cell_key(self.record, Some(&name)), &cell_bytes(&new.state, new.position))
    }

    /// Removes a cell, where there is one.
    pub fn remove_cell(&mut self, store: &mut dyn Store, name: &CellName) -> Result<(), StoreError> {
        match self.row.take(name) {
            Some(old) => {
                self.digests.forget(self.record, self.row.life, name, &old.state);
                Ok(())
            }
            None => self.remove_apart(store, name),
        }
    }

    fn remove_apart(&mut self, store: &mut dyn Store, name: &CellName) -> Result<(), StoreError> {
        if !self.row.apart {
            return Ok(());
        }
        let Some(old) = self.space.cell_apart(store, self.record, name)? else { return Ok(()) };
        self.digests.forget(self.record, self.row.life, name, &old.state);
        self.delete_apart(store, name, old.position)
    }

    fn delete_apart(&self, store: &mut dyn Store, name: &CellName, position: u64) -> Result<(), StoreError> {
        store.delete(&self.space.index_key(position, self.record, Some(name)))?;
        store.delete(&self.space.cell_key(self.record, Some(name)))
    }

    /// Writes the row, its index entries and what the changes make of the fingerprint.
    pub fn save(self, store: &mut dyn Store) -> Result<(), StoreError> {
        let Self { space, record, row, indexed, digests } = self;
        let positions = row.positions();
        for position in indexed.iter().filter(|position| positions.binary_search(position).is_err()) {
            store.delete(&space.index_key(*position, record, None))?;
        }
        for position in positions.iter().filter(|position| indexed.binary_search(position).is_err()) {
            store.put(&space.index_key(*position, record, None), &[])?;
        }
        space.fingerprint_change(store, &record.collection, &digests)?;
        let key = space.cell_key(record, None);
        if row.is_empty() { store.delete(&key) } else { store.put(&key, &row.bytes()) }
    }
}

impl Space {
    /// A record whole.
    pub fn record(&self, store: &dyn Store, record: &RecordName) -> Result<RecordState, StoreError> {
        self.with_apart(store, record, RecordRow::load(self, store, record)?)
    }

    fn with_apart(&self, store: &dyn Store, record: &RecordName, row: RecordRow) -> Result<RecordState, StoreError> {
        let apart = if row.apart { self.cells_apart(store, record)? } else { Vec::new() };
        let cells = row.cells.into_iter().chain(apart).map(|(name, cell)| (name, cell.state)).collect();
        Ok(RecordState { life: row.life, cells })
    }

    /// Shows every record that was ever seen, in order; those of `collection` only where given.
    pub fn each_record(
        &self,
        store: &dyn Store,
        collection: Option<&str>,
        see: &mut dyn FnMut(RecordName, RecordState) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut from = self.key(b'c');
        collection.iter().for_each(|name| escape(&mut from, name));
        let to = after_prefix(&from);
        loop {
            let page = store.scan(&from, &to, SCAN_PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            from = [last.as_slice(), &[0]].concat();
            for (key, bytes) in &page {
                let (record, None) = self.split(key, 1)? else { continue };
                let row = RecordRow::read(bytes)?;
                let state = self.with_apart(store, &record, row)?;
                see(record, state)?;
            }
        }
    }

    /// A cell of the record's present life.
    pub fn cell(&self, store: &dyn Store, record: &RecordName, name: &CellName) -> Result<Option<Cell>, StoreError> {
        OpenRecord::open(self, store, record)?.cell(store, name)
    }

    fn cell_apart(&self, store: &dyn Store, record: &RecordName, name: &CellName) -> Result<Option<Cell>, StoreError> {
        store.get(&self.cell_key(record, Some(name)))?.map(|bytes| read_cell(name, &bytes)).transpose()
    }

    /// Sets a record's life, and drops its cells when it is another. (MERGE-3, HORIZON-10)
    pub fn set_life(&self, store: &mut dyn Store, record: &RecordName, next: u64, position: u64) -> Result<(), StoreError> {
        let mut open = OpenRecord::open(self, store, record)?;
        open.set_life(store, next, position)?;
        open.save(store)
    }

    /// Sets a cell of the record's present life, whatever was there. (SYNC-14)
    pub fn set_cell(
        &self,
        store: &mut dyn Store,
        record: &RecordName,
        name: CellName,
        state: State,
        position: u64,
    ) -> Result<(), StoreError> {
        let mut open = OpenRecord::open(self, store, record)?;
        open.put(store, name, Cell { state, position })?;
        open.save(store)
    }

    /// Takes in cells of a record as they stand in the state of the space; those of other lives are dropped. (SYNC-14, HORIZON-10)
    pub fn take(
        &self,
        store: &mut dyn Store,
        record: &RecordName,
        (life, cells): (u64, Vec<(CellName, State)>),
        position: u64,
    ) -> Result<(), StoreError> {
        let mut open = OpenRecord::open(self, store, record)?;
        let held = open.life();
        let keeps = fault::is("horizon-client-keeps-greater-lives") && held > life || fault::is("sync-lives-kept") && held > 0;
        if held != life && !keeps {
            open.set_life(store, life, position)?;
        }
        for (name, state) in cells {
            open.put(store, name, Cell { state, position })?;
        }
        open.save(store)
    }
}
