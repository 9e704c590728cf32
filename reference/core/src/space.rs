//! The state of a space: its cells in a [`Store`], what a change does to them, and their fingerprint.
//!
//! A server keeps each space so, a client its base; spec 2, 5 and 8.
//! Keys below the prefix, names escaped so that they sort as their bytes do:
//!
//! | key | value |
//! |---|---|
//! | `c` collection id 0 | life and the position that last changed it |
//! | `c` collection id 1 field rule | a cell and the position that last changed it |
//! | `i` position collection id … | nothing; the cells by the position that last changed them |
//! | `f` collection | the collection's fingerprint |

use std::collections::BTreeMap;

use crate::change::{Change, Op, Payload, RecordName, Row, read_fixed};
use crate::clock::{Reading, Replica, Stamp};
use crate::codec::{CodecError, Reader, Writer};
use crate::hash::{Fingerprint, sha256};
use crate::rules::lww::{self, Lww};
use crate::rules::{LIFE, LWW, life};
use crate::store::{Store, StoreError};
use crate::value::Value;

/// A record's life and the position that last raised it; life 0 is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Life {
    /// Odd: alive; even: deleted; 0: never seen. (MERGE-1)
    pub life: u64,
    /// The log position of the change that raised it.
    pub position: u64,
}

/// An `lww` cell of the record's present life.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Stamp and value.
    pub lww: Lww,
    /// The log position of the change that wrote it.
    pub position: u64,
}

/// A cell found by the position that last changed it.
#[derive(Debug, Clone, PartialEq)]
pub enum Changed {
    /// The record's life was raised to this.
    Life(RecordName, u64),
    /// The field's cell, and the record's life.
    Field(RecordName, u64, String, Lww),
}

/// What a record is: its life and the fields of that life, set or unset.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RecordState {
    /// The record's life.
    pub life: u64,
    /// The cells of that life.
    pub fields: BTreeMap<String, Lww>,
}

impl RecordState {
    /// Applies one row of a change. (MERGE-2 to MERGE-4, MERGE-8 to MERGE-10)
    pub fn apply(&mut self, reading: Reading, author: Replica, row: &Row) {
        if row.life < self.life {
            return;
        }
        if row.life > self.life {
            self.life = row.life;
            self.fields.clear();
        }
        for op in &row.ops {
            let existing = self.fields.remove(&op.field);
            let cell = written(reading, author, op, existing);
            self.fields.insert(op.field.clone(), cell);
        }
    }

    /// The values shown, none when the record is not. (MODEL-14)
    pub fn view(&self) -> Option<BTreeMap<String, Value>> {
        life::is_alive(self.life).then(|| {
            let shown = |(name, cell): (&String, &Lww)| Some((name.clone(), cell.value.clone()?));
            self.fields.iter().filter_map(shown).collect()
        })
    }
}

/// The cell that `op` leaves behind where `existing` stood.
fn written(reading: Reading, author: Replica, op: &Op, existing: Option<Lww>) -> Lww {
    let stamp = lww::effective(reading, op.after, author, existing.as_ref());
    let value = match &op.payload {
        Payload::Set(value) => Some(value.clone()),
        Payload::Unset | Payload::Other(_) => None,
    };
    let new = Lww { stamp, value };
    match existing {
        Some(old) => old.join(new),
        None => new,
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
        let Some(bytes) = store.get(&self.cell_key(record, None))? else { return Ok(Life::default()) };
        read_life(&bytes).map_err(damaged)
    }

    /// A field's cell in the record's present life.
    pub fn cell(&self, store: &dyn Store, record: &RecordName, field: &str) -> Result<Option<Cell>, StoreError> {
        let Some(bytes) = store.get(&self.cell_key(record, Some(field)))? else { return Ok(None) };
        read_cell(&bytes).map(Some).map_err(damaged)
    }

    /// A record whole.
    pub fn record(&self, store: &dyn Store, record: &RecordName) -> Result<RecordState, StoreError> {
        let life = self.life(store, record)?.life;
        let fields = self.fields(store, record)?.into_iter().map(|(name, cell)| (name, cell.lww)).collect();
        Ok(RecordState { life, fields })
    }

    /// The records that were ever seen, deleted ones too, in order; those of `collection` only where given.
    pub fn records(&self, store: &dyn Store, collection: Option<&str>) -> Result<Vec<RecordName>, StoreError> {
        let mut from = self.key(b'c');
        if let Some(name) = collection {
            escape(&mut from, name);
        }
        let to = after_prefix(&from);
        let mut names = Vec::new();
        loop {
            let page = store.scan(&from, &to, SCAN_PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(names) };
            from = [last.as_slice(), &[0]].concat();
            for (key, _) in &page {
                let (record, field) = self.split(key, 1)?;
                if field.is_none() {
                    names.push(record);
                }
            }
        }
    }

    /// What the change must be rejected with for the lives it raises, if anything. (MERGE-5)
    pub fn raises_too_far(&self, store: &dyn Store, change: &Change) -> Result<bool, StoreError> {
        for row in &change.rows {
            if !life::admit(self.life(store, &row.record)?.life, row.life) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Applies an accepted change at its position. (MERGE-13)
    pub fn apply(&self, store: &mut dyn Store, author: Replica, change: &Change, position: u64) -> Result<(), StoreError> {
        for row in &change.rows {
            let current = self.life(store, &row.record)?.life;
            if row.life < current {
                continue;
            }
            if row.life > current {
                self.set_life(store, &row.record, row.life, position)?;
            }
            for op in row.ops.iter().filter(|op| op.rule == LWW) {
                let existing = self.cell(store, &row.record, &op.field)?;
                let old = existing.as_ref().map(|cell| cell.lww.clone());
                let new = written(change.reading, author, op, old.clone());
                if old.as_ref() != Some(&new) {
                    self.replace(store, &row.record, row.life, &op.field, existing, new, position)?;
                }
            }
        }
        Ok(())
    }

    /// Sets a record's life, and drops its cells when it rises. (MERGE-3)
    pub fn set_life(&self, store: &mut dyn Store, record: &RecordName, next: u64, position: u64) -> Result<(), StoreError> {
        let current = self.life(store, record)?;
        let mut change = FingerprintChange::default();
        if next > current.life {
            for (field, cell) in self.fields(store, record)? {
                change.forget(cell_digest(record, current.life, &field, &cell.lww));
                store.delete(&self.index_key(cell.position, record, Some(&field)))?;
                store.delete(&self.cell_key(record, Some(&field)))?;
            }
        }
        change.forget(life_digest(record, current.life));
        change.learn(life_digest(record, next));
        self.fingerprint_change(store, &record.collection, &change)?;
        if current.life > 0 {
            store.delete(&self.index_key(current.position, record, None))?;
        }
        store.put(&self.index_key(position, record, None), &[])?;
        store.put(&self.cell_key(record, None), &life_bytes(next, position))
    }

    /// Sets a field's cell of the record's present life, whatever was there. (SYNC-14)
    pub fn set_cell(&self, store: &mut dyn Store, record: &RecordName, field: &str, lww: Lww, position: u64) -> Result<(), StoreError> {
        let life = self.life(store, record)?.life;
        let existing = self.cell(store, record, field)?;
        self.replace(store, record, life, field, existing, lww, position)
    }

    #[allow(clippy::too_many_arguments, reason = "one cell's whole address, before and after")]
    fn replace(
        &self,
        store: &mut dyn Store,
        record: &RecordName,
        life: u64,
        field: &str,
        old: Option<Cell>,
        new: Lww,
        position: u64,
    ) -> Result<(), StoreError> {
        let mut change = FingerprintChange::default();
        if let Some(old) = old {
            store.delete(&self.index_key(old.position, record, Some(field)))?;
            change.forget(cell_digest(record, life, field, &old.lww));
        }
        change.learn(cell_digest(record, life, field, &new));
        self.fingerprint_change(store, &record.collection, &change)?;
        store.put(&self.index_key(position, record, Some(field)), &[])?;
        store.put(&self.cell_key(record, Some(field)), &cell_bytes(&new, position))
    }

    /// The cells that changed after `position`, by the position that last changed them, at most `limit`.
    pub fn changed_after(&self, store: &dyn Store, position: u64, limit: usize) -> Result<Vec<(u64, Changed)>, StoreError> {
        let mut from = self.key(b'i');
        let to = after_prefix(&from);
        from.extend((position + 1).to_be_bytes());
        let page = store.scan(&from, &to, limit)?;
        page.iter().map(|(key, _)| self.changed(store, key)).collect()
    }

    fn changed(&self, store: &dyn Store, key: &[u8]) -> Result<(u64, Changed), StoreError> {
        let at = self.prefix.len() + 1;
        let position = key.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        let position = position.ok_or_else(|| StoreError("a position index entry is damaged".into()))?;
        let (record, field) = self.split(key, 9)?;
        let life = self.life(store, &record)?.life;
        let Some(field) = field else { return Ok((position, Changed::Life(record, life))) };
        let cell = self.cell(store, &record, &field)?;
        let cell = cell.ok_or_else(|| StoreError(format!("the index names a cell that is not there: {record:?} {field:?}")))?;
        Ok((position, Changed::Field(record, life, field, cell.lww)))
    }

    /// The fingerprint of all collections together. (SYNC-18)
    pub fn fingerprint(&self, store: &dyn Store) -> Result<Fingerprint, StoreError> {
        let mut total = Fingerprint::default();
        let mut from = self.key(b'f');
        let to = after_prefix(&from);
        loop {
            let page = store.scan(&from, &to, SCAN_PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(total) };
            from = [last.as_slice(), &[0]].concat();
            for (_, bytes) in &page {
                total.merge(&read_fingerprint(bytes).map_err(damaged)?);
            }
        }
    }

    /// Forgets every cell. (SYNC-15)
    pub fn clear(&self, store: &mut dyn Store) -> Result<(), StoreError> {
        for part in [b'c', b'i', b'f'] {
            let from = self.key(part);
            store.delete_range(&from, &after_prefix(&from))?;
        }
        Ok(())
    }

    fn fields(&self, store: &dyn Store, record: &RecordName) -> Result<Vec<(String, Cell)>, StoreError> {
        let mut from = self.record_key(b'c', record);
        from.push(1);
        let to = after_prefix(&from);
        let mut fields = Vec::new();
        loop {
            let page = store.scan(&from, &to, SCAN_PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(fields) };
            from = [last.as_slice(), &[0]].concat();
            for (key, bytes) in &page {
                if let (_, Some(field)) = self.split(key, 1)? {
                    fields.push((field, read_cell(bytes).map_err(damaged)?));
                }
            }
        }
    }

    fn fingerprint_change(&self, store: &mut dyn Store, collection: &str, change: &FingerprintChange) -> Result<(), StoreError> {
        if change.is_empty() {
            return Ok(());
        }
        let mut key = self.key(b'f');
        escape(&mut key, collection);
        let stored = store.get(&key)?;
        let mut fingerprint = stored.map_or(Ok(Fingerprint::default()), |bytes| read_fingerprint(&bytes)).map_err(damaged)?;
        change.forgotten.iter().for_each(|digest| fingerprint.remove(digest));
        change.learnt.iter().for_each(|digest| fingerprint.add(digest));
        store.put(&key, &fingerprint_bytes(&fingerprint))
    }

    fn key(&self, part: u8) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.prefix.len() + 64);
        key.extend(&self.prefix);
        key.push(part);
        key
    }

    fn record_key(&self, part: u8, record: &RecordName) -> Vec<u8> {
        let mut key = self.key(part);
        escape(&mut key, &record.collection);
        escape(&mut key, &record.id);
        key
    }

    fn cell_key(&self, record: &RecordName, field: Option<&str>) -> Vec<u8> {
        let mut key = self.record_key(b'c', record);
        push_column(&mut key, field);
        key
    }

    fn index_key(&self, position: u64, record: &RecordName, field: Option<&str>) -> Vec<u8> {
        let mut key = self.key(b'i');
        key.extend(position.to_be_bytes());
        escape(&mut key, &record.collection);
        escape(&mut key, &record.id);
        push_column(&mut key, field);
        key
    }

    /// The record and field in a key whose names start `skip` bytes behind the prefix.
    fn split(&self, key: &[u8], skip: usize) -> Result<(RecordName, Option<String>), StoreError> {
        let broken = || StoreError("a key of a cell is damaged".into());
        let rest = key.get(self.prefix.len() + skip..).ok_or_else(broken)?;
        let (collection, rest) = unescape(rest).ok_or_else(broken)?;
        let (id, rest) = unescape(rest).ok_or_else(broken)?;
        let field = match rest.split_first().ok_or_else(broken)? {
            (0, _) => None,
            (_, name) => Some(unescape(name).ok_or_else(broken)?.0),
        };
        Ok((RecordName { collection, id }, field))
    }
}

/// Rows read in one call to the store.
const SCAN_PAGE: usize = 1_024;

/// Digests that enter and leave a collection's fingerprint together.
#[derive(Default)]
struct FingerprintChange {
    learnt: Vec<[u8; 32]>,
    forgotten: Vec<[u8; 32]>,
}

impl FingerprintChange {
    fn learn(&mut self, digest: Option<[u8; 32]>) {
        self.learnt.extend(digest);
    }

    fn forget(&mut self, digest: Option<[u8; 32]>) {
        self.forgotten.extend(digest);
    }

    fn is_empty(&self) -> bool {
        self.learnt.is_empty() && self.forgotten.is_empty()
    }
}

/// What a record's life adds to the fingerprint: nothing unless it is alive. (SYNC-18)
fn life_digest(record: &RecordName, life: u64) -> Option<[u8; 32]> {
    life::is_alive(life).then(|| {
        let mut w = Writer::default();
        w.array(7);
        w.text(&record.collection);
        w.text(&record.id);
        w.null();
        w.uint(LIFE);
        w.null();
        w.uint(life);
        w.null();
        sha256(&w.finish())
    })
}

/// What a cell adds to the fingerprint: nothing unless it holds a value in an odd life. (SYNC-18)
fn cell_digest(record: &RecordName, life: u64, field: &str, cell: &Lww) -> Option<[u8; 32]> {
    let value = cell.value.as_ref()?;
    life::is_alive(life).then(|| {
        let mut w = Writer::default();
        w.array(7);
        w.text(&record.collection);
        w.text(&record.id);
        w.text(field);
        w.uint(LWW);
        w.null();
        w.uint(life);
        w.array(4);
        write_stamp(&mut w, &cell.stamp);
        w.value(value);
        sha256(&w.finish())
    })
}

fn write_stamp(w: &mut Writer, stamp: &Stamp) {
    w.uint(stamp.reading.ms());
    w.uint(u64::from(stamp.reading.counter()));
    w.bytes(&stamp.author.0);
}

fn life_bytes(life: u64, position: u64) -> Vec<u8> {
    let mut w = Writer::default();
    w.array(2);
    w.uint(life);
    w.uint(position);
    w.finish()
}

fn read_life(bytes: &[u8]) -> Result<Life, CodecError> {
    let mut r = Reader::new(bytes);
    r.array()?;
    Ok(Life { life: r.uint()?, position: r.uint()? })
}

fn cell_bytes(cell: &Lww, position: u64) -> Vec<u8> {
    let mut w = Writer::default();
    w.array(if cell.value.is_some() { 5 } else { 4 });
    w.uint(position);
    write_stamp(&mut w, &cell.stamp);
    if let Some(value) = &cell.value {
        w.value(value);
    }
    w.finish()
}

fn read_cell(bytes: &[u8]) -> Result<Cell, CodecError> {
    let mut r = Reader::new(bytes);
    let items = r.array()?;
    let position = r.uint()?;
    let (ms, counter) = (r.uint()?, r.uint()?);
    let author = read_fixed(&mut r, "a replica of 16 bytes")?;
    let reading = Reading::new(ms, counter as u16).unwrap_or(Reading::ZERO);
    let value = if items == 5 { Some(r.value(0)?) } else { None };
    Ok(Cell { lww: Lww { stamp: Stamp { reading, author: Replica(author) }, value }, position })
}

fn fingerprint_bytes(fingerprint: &Fingerprint) -> Vec<u8> {
    let mut w = Writer::default();
    w.array(2);
    w.uint(fingerprint.count);
    w.bytes(&fingerprint.sum);
    w.finish()
}

fn read_fingerprint(bytes: &[u8]) -> Result<Fingerprint, CodecError> {
    let mut r = Reader::new(bytes);
    r.array()?;
    let count = r.uint()?;
    let sum = read_fixed(&mut r, "a sum of 32 bytes")?;
    Ok(Fingerprint { count, sum })
}

fn damaged(error: CodecError) -> StoreError {
    StoreError(format!("a stored cell is damaged: {error}"))
}

fn push_column(key: &mut Vec<u8>, field: Option<&str>) {
    match field {
        None => key.push(0),
        Some(name) => {
            key.push(1);
            escape(key, name);
            key.extend(LWW.to_be_bytes());
        }
    }
}

/// Appends a name so that keys sort as the names' bytes do: 0 becomes 0 255, and 0 1 ends the name.
pub(crate) fn escape(key: &mut Vec<u8>, name: &str) {
    for &byte in name.as_bytes() {
        key.push(byte);
        if byte == 0 {
            key.push(255);
        }
    }
    key.extend([0, 1]);
}

fn unescape(bytes: &[u8]) -> Option<(String, &[u8])> {
    let mut name = Vec::new();
    let mut at = 0;
    loop {
        match (bytes.get(at)?, bytes.get(at + 1)) {
            (0, Some(1)) => return Some((String::from_utf8(name).ok()?, &bytes[at + 2..])),
            (0, Some(255)) => {
                name.push(0);
                at += 2;
            }
            (0, _) => return None,
            (byte, _) => {
                name.push(*byte);
                at += 1;
            }
        }
    }
}

/// The first key after all that start with `prefix`, whose last byte is not 255.
pub(crate) fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut key = prefix.to_vec();
    while key.last() == Some(&255) {
        key.pop();
    }
    if let Some(last) = key.last_mut() {
        *last += 1;
    }
    key
}
