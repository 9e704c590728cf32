//! The storage seam: ordered keys and values, and one in memory.
//!
//! The core reads and stages; the shell commits. Reads see what the open transaction staged.

use crate::fault;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

/// The store failed or holds what it cannot have been given; says what, where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError(pub String);

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Ordered keys and values, seen from inside the open transaction.
pub trait Store {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// Keys from `from` up to but not `to`, ascending, at most `limit`.
    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError>;
    /// Sets a key.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError>;
    /// Removes a key.
    fn delete(&mut self, key: &[u8]) -> Result<(), StoreError>;
    /// Removes the keys from `from` up to but not `to`.
    fn delete_range(&mut self, from: &[u8], to: &[u8]) -> Result<(), StoreError>;
    /// Marks the present of the open transaction. A mark before it is forgotten; the transaction's end forgets it too.
    fn mark(&mut self);
    /// Undoes what was staged since the mark.
    ///
    /// # Errors
    /// Where that is no longer possible: the transaction has to be rolled back whole.
    fn back_to_mark(&mut self) -> Result<(), StoreError>;
}

/// A store whose open transaction can be ended: the shell's side.
pub trait Transact: Store {
    /// Makes what was staged durable.
    fn commit(&mut self) -> Result<(), StoreError>;
    /// Forgets what was staged.
    fn rollback(&mut self);
}

/// A key, shared with the tree so that the way back of a large transaction is small, and what stood under it; none: nothing.
type Before = (Arc<[u8]>, Option<Box<[u8]>>);

/// A store in memory. A clone is a copy of all of it.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    /// What stands, the open transaction's writes among it.
    present: BTreeMap<Arc<[u8]>, Box<[u8]>>,
    /// What stood there before each write of the open transaction, newest last.
    undo: Vec<Before>,
    /// How many of these lie before the mark, where one was made.
    mark: Option<usize>,
    commits: u64,
}

impl MemoryStore {
    /// What a crash leaves: the committed part.
    pub fn durable(&self) -> Self {
        let mut store = self.clone();
        store.rollback();
        if fault::is("ident-torn-transaction") {
            let written: BTreeSet<&Arc<[u8]>> = self.undo.iter().map(|(key, _)| key).collect();
            let half = written.len() / 2;
            store.present.extend(written.into_iter().skip(half).filter_map(|key| Some((Arc::clone(key), self.present.get(key)?.clone()))));
        }
        store
    }

    /// Commits that had something to keep.
    pub fn commits(&self) -> u64 {
        self.commits
    }

    /// Whether the open transaction holds anything.
    pub fn is_dirty(&self) -> bool {
        !self.undo.is_empty()
    }

    fn undo_to(&mut self, length: usize) {
        while self.undo.len() > length {
            match self.undo.pop() {
                Some((key, Some(before))) => self.present.insert(key, before),
                Some((key, None)) => self.present.remove(&key),
                None => return,
            };
        }
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.present.get(key).map(|value| value.to_vec()))
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let rows = self.present.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        Ok(rows.take(limit).map(|(key, value)| (key.to_vec(), value.to_vec())).collect())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let key: Arc<[u8]> = key.into();
        let before = self.present.insert(Arc::clone(&key), value.into());
        self.undo.push((key, before));
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), StoreError> {
        self.undo.extend(self.present.remove_entry(key).map(|(key, value)| (key, Some(value))));
        Ok(())
    }

    fn delete_range(&mut self, from: &[u8], to: &[u8]) -> Result<(), StoreError> {
        for (key, _) in self.scan(from, to, usize::MAX)? {
            self.delete(&key)?;
        }
        Ok(())
    }

    fn mark(&mut self) {
        self.mark = Some(self.undo.len());
    }

    fn back_to_mark(&mut self) -> Result<(), StoreError> {
        self.undo_to(self.mark.unwrap_or(usize::MAX));
        Ok(())
    }
}

impl Transact for MemoryStore {
    fn commit(&mut self) -> Result<(), StoreError> {
        self.commits += u64::from(!self.undo.is_empty());
        (self.undo, self.mark) = (Vec::new(), None);
        Ok(())
    }

    fn rollback(&mut self) {
        self.undo_to(0);
        self.mark = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The store is a map; what was staged is seen at once and is gone after a rollback.
        #[test]
        fn a_store_is_a_map_with_a_way_back(steps in vec((0u8..8, 0u8..8, 0u8..8), 0..40), limit in 0usize..6) {
            let mut store = MemoryStore::default();
            let (mut model, mut durable) = (BTreeMap::new(), BTreeMap::new());
            let mut marked = None;
            for (step, a, b) in steps {
                match step {
                    0 | 1 => {
                        store.put(&[a], &[b]).expect("memory does not fail");
                        model.insert(vec![a], vec![b]);
                    }
                    2 => {
                        store.delete(&[a]).expect("memory does not fail");
                        model.remove([a].as_slice());
                    }
                    3 => {
                        store.delete_range(&[a], &[b]).expect("memory does not fail");
                        model.retain(|key, _| key[0] < a || key[0] >= b);
                    }
                    4 => {
                        store.commit().expect("memory does not fail");
                        durable = model.clone();
                        marked = None;
                    }
                    5 => {
                        store.mark();
                        marked = Some(model.clone());
                    }
                    6 => {
                        store.back_to_mark().expect("memory does not fail");
                        model = marked.clone().unwrap_or(model);
                    }
                    _ => {
                        store.rollback();
                        model = durable.clone();
                        marked = None;
                    }
                }
                let inside = |(key, _): &(&Vec<u8>, &Vec<u8>)| (a..b).contains(&key[0]);
                let expected: Vec<Entry> = model.iter().filter(inside).take(limit).map(|(key, value)| (key.clone(), value.clone())).collect();
                prop_assert_eq!(store.scan(&[a], &[b], limit), Ok(expected));
                prop_assert_eq!(store.get(&[a]), Ok(model.get([a].as_slice()).cloned()));
                prop_assert_eq!(store.durable().scan(&[], &[255], usize::MAX), Ok(durable.clone().into_iter().collect()));
            }
        }
    }
}
