//! The cells of ranges of addresses: their digests, their states, and their replacement. Spec 20.

use std::collections::{BTreeMap, BTreeSet};

use super::cells::{read_cell, read_life};
use super::fingerprint::{Digests, cell_digest, life_digest};
use super::{CellName, Changed, SCAN_PAGE, Space, after_prefix};
use crate::change::RecordName;
use crate::rules::LWW;
use crate::store::{Store, StoreError};

/// Takes a row: address, record, cell, stored bytes; gives whether it wants more.
type SeeRow<'a> = dyn FnMut(&[u8], RecordName, Option<CellName>, &[u8]) -> Result<bool, StoreError> + 'a;

/// Which cells a comparison is about: those that the marks cover. (REPAIR-1, RULES-17, SUB-8)
#[derive(Debug, Clone, Copy)]
pub struct Covers<'a> {
    /// Whether the cells of all rules, or of `lww` and lives alone.
    pub rules: bool,
    /// The collections; none: all.
    pub collections: Option<&'a BTreeSet<String>>,
}

impl Covers<'_> {
    fn has(&self, collection: &str) -> bool {
        self.collections.is_none_or(|collections| collections.contains(collection))
    }

    /// Whether a cell is one of them.
    pub fn takes(&self, cell: &Changed) -> bool {
        match cell {
            Changed::Life(record, _) => self.has(&record.collection),
            Changed::Cell(record, _, name, _) => self.has(&record.collection) && (self.rules || name.rule == LWW),
        }
    }
}

/// A range of addresses: from a lower bound up to but not an upper one; an empty upper bound is none.
type Bounds<'a> = (&'a [u8], &'a [u8]);

impl Space {
    /// The range of all addresses of a record.
    pub fn addresses_of(record: &RecordName) -> (Vec<u8>, Vec<u8>) {
        let life = super::keys::address(record, None);
        let lower = life[..life.len() - 1].to_vec();
        let upper = after_prefix(&lower);
        (lower, upper)
    }

    /// Shows the address and digest of every live cell of a range, in order; stops with false once `limit` rows were read.
    /// Only of what `covers` says. (REPAIR-1)
    pub fn digests_in(
        &self,
        store: &dyn Store,
        bounds: Bounds,
        (covers, limit): (Covers, &mut usize),
        see: &mut dyn FnMut(&[u8], &[u8; 32]),
    ) -> Result<bool, StoreError> {
        let mut lives: (Option<RecordName>, u64) = (None, 0);
        self.rows_in(store, bounds, &mut |address, record, name, bytes| {
            if *limit == 0 {
                return Ok(false);
            }
            *limit -= 1;
            if !covers.has(&record.collection) {
                return Ok(true);
            }
            let digest = match &name {
                None => life_digest(&record, read_life(bytes)?.life),
                Some(name) if name.rule != LWW && !covers.rules => None,
                Some(name) => {
                    if lives.0.as_ref() != Some(&record) {
                        lives = (Some(record.clone()), self.life(store, &record)?.life);
                    }
                    cell_digest(&record, lives.1, name, &read_cell(name, bytes)?.state)
                }
            };
            if let Some(digest) = digest {
                see(address, &digest);
            }
            Ok(true)
        })
    }

    /// The cells and lives of a range with their addresses, those that are gone too, at most `limit`.
    pub fn cells_in(&self, store: &dyn Store, bounds: Bounds, limit: usize) -> Result<Vec<(Vec<u8>, Changed)>, StoreError> {
        let mut found = Vec::new();
        self.rows_in(store, bounds, &mut |address, record, name, bytes| {
            let life = self.life(store, &record)?.life;
            let changed = match name {
                None => Changed::Life(record, life),
                Some(name) => {
                    let state = read_cell(&name, bytes)?.state;
                    Changed::Cell(record, life, name, state)
                }
            };
            found.push((address.to_vec(), changed));
            Ok(found.len() < limit)
        })?;
        Ok(found)
    }

    /// Removes the cells of a range. A record whose life lies in it goes whole, unless it is one of `given`, with the life it
    /// has then. (REPAIR-6)
    pub fn remove_range(&self, store: &mut dyn Store, bounds: Bounds, given: &BTreeMap<RecordName, u64>) -> Result<(), StoreError> {
        let mut found = Vec::new();
        self.rows_in(store, bounds, &mut |_, record, name, _| {
            found.push((record, name));
            Ok(true)
        })?;
        for (record, name) in found {
            match name {
                None if !given.contains_key(&record) => self.remove_record(store, &record)?,
                None => {}
                Some(name) => self.remove_cell(store, &record, &name)?,
            }
        }
        Ok(())
    }

    fn remove_record(&self, store: &mut dyn Store, record: &RecordName) -> Result<(), StoreError> {
        for (name, _) in self.cells(store, record)? {
            self.remove_cell(store, record, &name)?;
        }
        let life = self.life(store, record)?;
        let mut digests = Digests::default();
        digests.forget_life(record, life.life);
        self.fingerprint_change(store, &record.collection, &digests)?;
        store.delete(&self.index_key(life.position, record, None))?;
        store.delete(&self.cell_key(record, None))
    }

    fn remove_cell(&self, store: &mut dyn Store, record: &RecordName, name: &CellName) -> Result<(), StoreError> {
        let Some(cell) = self.cell(store, record, name)? else { return Ok(()) };
        let mut digests = Digests::default();
        digests.forget(record, self.life(store, record)?.life, name, &cell.state);
        self.fingerprint_change(store, &record.collection, &digests)?;
        store.delete(&self.index_key(cell.position, record, Some(name)))?;
        store.delete(&self.cell_key(record, Some(name)))
    }

    /// Shows every row of a range: address, record, cell, stored bytes; until `see` gives false, which is given on.
    fn rows_in(&self, store: &dyn Store, (lower, upper): Bounds, see: &mut SeeRow) -> Result<bool, StoreError> {
        let all = self.key(b'c');
        let mut from = [all.as_slice(), lower].concat();
        let to = if upper.is_empty() { after_prefix(&all) } else { [all.as_slice(), upper].concat() };
        loop {
            let page = store.scan(&from, &to, SCAN_PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(true) };
            from = [last.as_slice(), &[0]].concat();
            for (key, bytes) in &page {
                let (record, name) = self.split(key, 1)?;
                if !see(&key[all.len()..], record, name, bytes)? {
                    return Ok(false);
                }
            }
        }
    }
}
