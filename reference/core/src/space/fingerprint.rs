//! The fingerprint of a collection's live cells, kept with each cell that changes. (SYNC-18)

use super::cells::damaged;
use super::{CellName, SCAN_PAGE, Space, after_prefix, escape};
use crate::change::{RecordName, read_fixed};
use crate::codec::{CodecError, Reader, Writer};
use crate::hash::{Fingerprint, sha256};
use crate::rules::{LIFE, LWW, State, life};
use crate::store::{Store, StoreError};

/// Bytes that a cell is digested from, but for those with a large value.
const DIGESTED_BYTES: usize = 192;

/// A collection's fingerprint: of its lives and `lww` cells, and of the cells of all further rules.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Kept {
    core: Fingerprint,
    further: Fingerprint,
}

impl Kept {
    /// Where the cells of a rule count.
    fn of(&mut self, rule: u64) -> &mut Fingerprint {
        if rule == LWW { &mut self.core } else { &mut self.further }
    }

    fn add_to(&self, total: &mut Fingerprint, rules: bool) {
        total.merge(&self.core);
        if rules {
            total.merge(&self.further);
        }
    }
}

impl Space {
    /// The fingerprint of all collections together; without the further rules, of lives and `lww` cells. (SYNC-18, RULES-17)
    pub fn fingerprint(&self, store: &dyn Store, rules: bool) -> Result<Fingerprint, StoreError> {
        let mut total = Fingerprint::default();
        let mut from = self.key(b'f');
        let to = after_prefix(&from);
        loop {
            let page = store.scan(&from, &to, SCAN_PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(total) };
            from = [last.as_slice(), &[0]].concat();
            for (_, bytes) in &page {
                read_kept(bytes).map_err(damaged)?.add_to(&mut total, rules);
            }
        }
    }

    /// The same of these collections alone. (SUB-8)
    pub fn fingerprint_of<'a>(
        &self,
        store: &dyn Store,
        collections: impl IntoIterator<Item = &'a String>,
        rules: bool,
    ) -> Result<Fingerprint, StoreError> {
        let mut total = Fingerprint::default();
        for collection in collections {
            if let Some(bytes) = store.get(&self.fingerprint_key(collection))? {
                read_kept(&bytes).map_err(damaged)?.add_to(&mut total, rules);
            }
        }
        Ok(total)
    }

    pub(super) fn fingerprint_key(&self, collection: &str) -> Vec<u8> {
        let mut key = self.key(b'f');
        escape(&mut key, collection);
        key
    }

    pub(super) fn fingerprint_change(&self, store: &mut dyn Store, collection: &str, change: &Digests) -> Result<(), StoreError> {
        if *change == Digests::default() {
            return Ok(());
        }
        let key = self.fingerprint_key(collection);
        let mut kept = store.get(&key)?.map_or(Ok(Kept::default()), |bytes| read_kept(&bytes)).map_err(damaged)?;
        // What is forgotten may have been learnt in the same breath.
        kept.core.merge(&change.learnt.core);
        kept.core.part(&change.forgotten.core);
        kept.further.merge(&change.learnt.further);
        kept.further.part(&change.forgotten.further);
        store.put(&key, &kept_bytes(&kept))
    }
}

/// Digests that enter and leave a collection's fingerprint together.
#[derive(Default, PartialEq)]
pub(super) struct Digests {
    learnt: Kept,
    forgotten: Kept,
}

impl Digests {
    pub fn learn_life(&mut self, record: &RecordName, life: u64) {
        life_digest(record, life).iter().for_each(|digest| self.learnt.core.add(digest));
    }

    pub fn forget_life(&mut self, record: &RecordName, life: u64) {
        life_digest(record, life).iter().for_each(|digest| self.forgotten.core.add(digest));
    }

    pub fn learn(&mut self, record: &RecordName, life: u64, name: &CellName, state: &State) {
        cell_digest(record, life, name, state).iter().for_each(|digest| self.learnt.of(name.rule).add(digest));
    }

    pub fn forget(&mut self, record: &RecordName, life: u64, name: &CellName, state: &State) {
        cell_digest(record, life, name, state).iter().for_each(|digest| self.forgotten.of(name.rule).add(digest));
    }
}

/// What a record's life adds to the fingerprint: nothing unless it is alive. (SYNC-18)
pub(crate) fn life_digest(record: &RecordName, life: u64) -> Option<[u8; 32]> {
    life::is_alive(life).then(|| {
        let mut w = Writer::with_capacity(DIGESTED_BYTES);
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

/// What a cell adds to the fingerprint: nothing unless it holds something in an odd life. (SYNC-18)
pub(crate) fn cell_digest(record: &RecordName, life: u64, name: &CellName, state: &State) -> Option<[u8; 32]> {
    (life::is_alive(life) && !state.is_gone()).then(|| {
        let mut w = Writer::with_capacity(DIGESTED_BYTES);
        w.array(7);
        w.text(&record.collection);
        w.text(&record.id);
        w.text(&name.field);
        w.uint(name.rule);
        w.raw(name.key.as_bytes());
        w.uint(life);
        state.write_digested(&mut w);
        sha256(&w.finish())
    })
}

fn kept_bytes(kept: &Kept) -> Vec<u8> {
    let mut w = Writer::default();
    w.array(4);
    for fingerprint in [&kept.core, &kept.further] {
        w.uint(fingerprint.count);
        w.bytes(&fingerprint.sum);
    }
    w.finish()
}

fn read_kept(bytes: &[u8]) -> Result<Kept, CodecError> {
    let mut r = Reader::new(bytes);
    r.array()?;
    let mut read = || -> Result<Fingerprint, CodecError> {
        let count = r.uint()?;
        let sum = read_fixed(&mut r, "a sum of 32 bytes")?;
        Ok(Fingerprint { count, sum })
    };
    Ok(Kept { core: read()?, further: read()? })
}
