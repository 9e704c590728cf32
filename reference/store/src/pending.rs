//! Writes of the open transaction that SQLite does not have yet.
//!
//! A transaction of a server holds many changes, and each of them writes the same few keys: they come to SQLite once, in the
//! order of their keys, and the mark before each change costs nothing.

use std::collections::BTreeMap;
use std::ops::Bound;

/// A value, or that the key is to be removed.
pub type Write = Option<Vec<u8>>;

/// Keys and what is to become of them, seen before what SQLite has of them.
#[derive(Debug, Default)]
pub struct Pending {
    writes: BTreeMap<Vec<u8>, Write>,
    /// What stood here under each key that was written since the mark, newest last; none: nothing.
    undo: Vec<(Vec<u8>, Option<Write>)>,
    marked: bool,
    bytes: usize,
}

impl Pending {
    /// Notes a write.
    pub fn write(&mut self, key: &[u8], write: Write) {
        self.bytes += key.len() + write.as_ref().map_or(0, Vec::len);
        let before = self.writes.insert(key.to_vec(), write);
        if self.marked {
            self.undo.push((key.to_vec(), before));
        }
    }

    /// What is to become of a key, where it was written.
    pub fn get(&self, key: &[u8]) -> Option<&Write> {
        self.writes.get(key)
    }

    /// The writes from `from` up to but not `to`, ascending.
    pub fn range<'a>(&'a self, from: &[u8], to: &[u8]) -> impl Iterator<Item = (&'a Vec<u8>, &'a Write)> + use<'a> {
        let bounds = (from < to).then_some((Bound::Included(from), Bound::Excluded(to)));
        bounds.map(|bounds| self.writes.range::<[u8], _>(bounds)).into_iter().flatten()
    }

    /// Bytes that were written here, an upper bound of those that are kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Whether there is a mark.
    pub fn is_marked(&self) -> bool {
        self.marked
    }

    /// Marks the present.
    pub fn mark(&mut self) {
        self.undo.clear();
        self.marked = true;
    }

    /// Forgets the mark.
    pub fn forget_mark(&mut self) {
        self.undo.clear();
        self.marked = false;
    }

    /// Undoes what was written since the mark; gives what that was.
    pub fn back_to_mark(&mut self) -> BTreeMap<Vec<u8>, Write> {
        let mut after = BTreeMap::new();
        while let Some((key, before)) = self.undo.pop() {
            let undone = match before {
                Some(before) => self.writes.insert(key.clone(), before),
                None => self.writes.remove(&key),
            };
            // The first that is undone of a key is the last that was written.
            if let Some(undone) = undone {
                after.entry(key).or_insert(undone);
            }
        }
        after
    }

    /// Takes all writes, in the order of their keys.
    pub fn take(&mut self) -> BTreeMap<Vec<u8>, Write> {
        self.undo.clear();
        self.bytes = 0;
        std::mem::take(&mut self.writes)
    }
}
