//! The cells of ranges of addresses: their digests, their states, and their replacement. Spec 20.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::cells::read_cell;
use super::fingerprint::{cell_digest, life_digest};
use super::record::{OpenRecord, RecordRow};
use super::{CellName, Changed, SCAN_PAGE, Space, after_prefix, keys};
use crate::change::RecordName;
use crate::rules::LWW;
use crate::store::{Store, StoreError};

/// Takes a life or a cell with its address; gives whether it wants more.
type See<'a> = dyn FnMut(Vec<u8>, Changed) -> Result<bool, StoreError> + 'a;

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
        self.each_in(store, bounds, &mut |address, cell| {
            if *limit == 0 {
                return Ok(false);
            }
            *limit -= 1;
            if !covers.takes(&cell) {
                return Ok(true);
            }
            let digest = match &cell {
                Changed::Life(record, life) => life_digest(record, *life),
                Changed::Cell(record, life, name, state) => cell_digest(record, *life, name, state),
            };
            if let Some(digest) = digest {
                see(&address, &digest);
            }
            Ok(true)
        })
    }

    /// The cells and lives of a range with their addresses, those that are gone too, at most `limit`.
    pub fn cells_in(&self, store: &dyn Store, bounds: Bounds, limit: usize) -> Result<Vec<(Vec<u8>, Changed)>, StoreError> {
        let mut found = Vec::new();
        self.each_in(store, bounds, &mut |address, cell| {
            found.push((address, cell));
            Ok(found.len() < limit)
        })?;
        Ok(found)
    }

    /// Removes the cells of a range. A record whose life lies in it goes whole, unless it is one of `given`, with the life it
    /// has then. (REPAIR-6)
    pub fn remove_range(&self, store: &mut dyn Store, bounds: Bounds, given: &BTreeMap<RecordName, u64>) -> Result<(), StoreError> {
        let mut found: Vec<(RecordName, Option<CellName>)> = Vec::new();
        self.each_in(store, bounds, &mut |_, cell| {
            found.push(match cell {
                Changed::Life(record, _) => (record, None),
                Changed::Cell(record, _, name, _) => (record, Some(name)),
            });
            Ok(true)
        })?;
        for cells in found.chunk_by(|(a, _), (b, _)| a == b) {
            let record = &cells[0].0;
            let mut open = OpenRecord::open(self, store, record)?;
            if cells[0].1.is_none() && !given.contains_key(record) {
                open.remove(store)?;
            }
            for name in cells.iter().filter_map(|(_, name)| name.as_ref()) {
                open.remove_cell(store, name)?;
            }
            open.save(store)?;
        }
        Ok(())
    }

    /// Shows every life and cell of a range in the order of addresses, until `see` gives false, which is given on.
    fn each_in(&self, store: &dyn Store, bounds: Bounds, see: &mut See) -> Result<bool, StoreError> {
        let (lower, upper) = bounds;
        let all = self.key(b'c');
        // A range that begins inside a record begins in its row, which lies before it.
        let mut from = [all.as_slice(), keys::row_before(lower).as_deref().unwrap_or(lower)].concat();
        let to = if upper.is_empty() { after_prefix(&all) } else { [all.as_slice(), upper].concat() };
        let mut walk = Walk { bounds, life: 0, waiting: VecDeque::new(), see };
        loop {
            let page = store.scan(&from, &to, SCAN_PAGE)?;
            let Some((last, _)) = page.last() else { return walk.show_waiting(None) };
            from = [last.as_slice(), &[0]].concat();
            for (key, bytes) in &page {
                let (record, name) = self.split(key, 1)?;
                if !walk.row(&key[all.len()..], (record, name), bytes)? {
                    return Ok(false);
                }
            }
        }
    }
}

/// A way along the rows of a range. The cells of a record's row wait for those apart that come before them.
struct Walk<'a, 'b> {
    bounds: Bounds<'a>,
    /// The life of the record that was come to last.
    life: u64,
    waiting: VecDeque<(Vec<u8>, Changed)>,
    see: &'a mut See<'b>,
}

impl Walk<'_, '_> {
    fn row(&mut self, address: &[u8], (record, name): (RecordName, Option<CellName>), bytes: &[u8]) -> Result<bool, StoreError> {
        let Some(name) = name else {
            let goes_on = self.show_waiting(None)?;
            let row = RecordRow::read(bytes)?;
            self.life = row.life;
            self.waiting.push_back((address.to_vec(), Changed::Life(record.clone(), row.life)));
            for (name, cell) in row.cells {
                let address = keys::address(&record, Some(&name));
                self.waiting.push_back((address, Changed::Cell(record.clone(), row.life, name, cell.state)));
            }
            return Ok(goes_on);
        };
        let state = read_cell(&name, bytes)?.state;
        Ok(self.show_waiting(Some(address))? && self.show(address.to_vec(), Changed::Cell(record, self.life, name, state))?)
    }

    /// Shows what waits below an address; all without one.
    fn show_waiting(&mut self, below: Option<&[u8]>) -> Result<bool, StoreError> {
        let comes = |(address, _): &(Vec<u8>, Changed)| below.is_none_or(|below| address.as_slice() < below);
        while self.waiting.front().is_some_and(comes) {
            let (address, cell) = self.waiting.pop_front().expect("there is one in front");
            if !self.show(address, cell)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn show(&mut self, address: Vec<u8>, cell: Changed) -> Result<bool, StoreError> {
        let (lower, upper) = self.bounds;
        let inside = address.as_slice() >= lower && (upper.is_empty() || address.as_slice() < upper);
        if inside { (self.see)(address, cell) } else { Ok(true) }
    }
}
