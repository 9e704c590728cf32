//! The cells of each collection by the position that last changed them, and the merge of several collections. Spec 8, 17.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};

use super::record::RecordRow;
use super::{CellName, Changed, Space, after_prefix, escape, keys};
use crate::change::{Change, RecordName};
use crate::store::{Store, StoreError};

/// Index entries read of a collection in one call to the store, at the least.
const RUN_PAGE_MIN: usize = 16;
/// And at the most: an entry may stand for many cells.
const RUN_PAGE_MAX: usize = 512;

/// The index entries of one collection, ascending, read in pages.
struct Run {
    collection: String,
    rows: VecDeque<Vec<u8>>,
    from: Vec<u8>,
    to: Vec<u8>,
}

impl Space {
    /// The cells that changed, by the position that last changed them, at most `limit`; of each collection those above the
    /// position that `above` gives, none of those that it gives none. (SYNC-8, SUB-5, SUB-6)
    pub fn changed_after(
        &self,
        store: &dyn Store,
        above: impl Fn(&str) -> Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, Changed)>, StoreError> {
        let wanted = self.collections(store)?.into_iter().filter_map(|name| above(&name).map(|position| (name, position)));
        let wanted: Vec<(String, u64)> = wanted.collect();
        let page = (limit / wanted.len().max(1)).clamp(RUN_PAGE_MIN.min(limit), limit.clamp(1, RUN_PAGE_MAX));
        let mut runs = Vec::new();
        let mut next = BinaryHeap::new();
        for (collection, position) in wanted {
            let prefix = self.index_of(&collection);
            let from = [prefix.as_slice(), &(position + 1).to_be_bytes()].concat();
            let mut run = Run { collection, rows: VecDeque::new(), from, to: after_prefix(&prefix) };
            if let Some(position) = run.peek(store, page)? {
                next.push(Reverse((position, runs.len())));
            }
            runs.push(run);
        }
        let mut changed = Vec::new();
        while let (Some(Reverse((position, at))), true) = (next.pop(), changed.len() < limit) {
            let run = &mut runs[at];
            let key = run.rows.pop_front().expect("a run in the heap has a row");
            self.changed(store, (&run.collection, position), &key, &mut changed)?;
            if let Some(position) = run.peek(store, page)? {
                next.push(Reverse((position, at)));
            }
        }
        changed.truncate(limit);
        Ok(changed)
    }

    /// The collections that hold cells, deleted records too, ascending.
    pub fn collections(&self, store: &dyn Store) -> Result<Vec<String>, StoreError> {
        let mut from = self.key(b'i');
        let (to, skip) = (after_prefix(&from), from.len());
        let mut names = Vec::new();
        while let Some((key, _)) = store.scan(&from, &to, 1)?.first() {
            let (name, _) = key.get(skip..).and_then(keys::unescape).ok_or_else(damaged)?;
            from = after_prefix(&self.index_of(&name));
            names.push(name);
        }
        Ok(names)
    }

    /// Whether the change would make the space one of more than `collections_max` collections. (SUB-18)
    pub fn has_too_many_collections(&self, store: &dyn Store, change: &Change, collections_max: usize) -> Result<bool, StoreError> {
        let mut new = BTreeSet::new();
        for collection in change.rows.iter().map(|row| &row.record.collection) {
            if !new.contains(collection) && store.get(&self.fingerprint_key(collection))?.is_none() {
                new.insert(collection);
            }
        }
        if new.is_empty() {
            return Ok(false);
        }
        let from = self.key(b'f');
        let known = store.scan(&from, &after_prefix(&from), collections_max + 1)?.len();
        Ok(known + new.len() > collections_max)
    }

    /// Forgets every cell of a collection. (SUB-12)
    pub fn clear_collection(&self, store: &mut dyn Store, collection: &str) -> Result<(), StoreError> {
        self.forget_numbers_of(store, collection)?;
        for part in [b'c', b'i', b'f'] {
            let mut from = self.key(part);
            escape(&mut from, collection);
            store.delete_range(&from, &after_prefix(&from))?;
        }
        Ok(())
    }

    pub(super) fn index_key(&self, position: u64, record: &RecordName, name: Option<&CellName>) -> Vec<u8> {
        let mut key = self.index_of(&record.collection);
        key.extend(position.to_be_bytes());
        keys::push_in_collection(&mut key, &record.id, name);
        key
    }

    fn index_of(&self, collection: &str) -> Vec<u8> {
        let mut key = self.key(b'i');
        escape(&mut key, collection);
        key
    }

    /// Adds what an entry of the index stands for: a cell apart, or what the position last changed of a record's row.
    fn changed(
        &self,
        store: &dyn Store,
        (collection, position): (&str, u64),
        key: &[u8],
        found: &mut Vec<(u64, Changed)>,
    ) -> Result<(), StoreError> {
        let rest = key.get(self.index_of(collection).len() + 8..).ok_or_else(damaged)?;
        let (id, name) = keys::split_in_collection(rest).ok_or_else(damaged)?;
        let record = RecordName { collection: collection.to_owned(), id };
        let Some(name) = name else {
            let row = RecordRow::load(self, store, &record)?;
            let before = found.len();
            if row.life > 0 && row.position == position {
                found.push((position, Changed::Life(record.clone(), row.life)));
            }
            for (name, cell) in row.cells.into_iter().filter(|(_, cell)| cell.position == position) {
                found.push((position, Changed::Cell(record.clone(), row.life, name, cell.state)));
            }
            let names_something = found.len() > before;
            return names_something.then_some(()).ok_or_else(|| StoreError(format!("the index names a row that is not there: {record:?}")));
        };
        let life = self.life(store, &record)?.life;
        let cell = self.cell(store, &record, &name)?;
        let cell = cell.ok_or_else(|| StoreError(format!("the index names a cell that is not there: {record:?} {name:?}")))?;
        found.push((position, Changed::Cell(record, life, name, cell.state)));
        Ok(())
    }
}

impl Run {
    /// The position of the next row, which is read where it has to be; none at the end.
    fn peek(&mut self, store: &dyn Store, page: usize) -> Result<Option<u64>, StoreError> {
        if self.rows.is_empty() && self.from < self.to {
            let rows = store.scan(&self.from, &self.to, page)?;
            self.from = match rows.last() {
                Some((last, _)) if rows.len() == page => [last.as_slice(), &[0]].concat(),
                _ => self.to.clone(),
            };
            self.rows.extend(rows.into_iter().map(|(key, _)| key));
        }
        let at = self.to.len();
        let position = |key: &Vec<u8>| key.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        self.rows.front().map(|key| position(key).ok_or_else(damaged)).transpose()
    }
}

fn damaged() -> StoreError {
    StoreError("a position index entry is damaged".into())
}
