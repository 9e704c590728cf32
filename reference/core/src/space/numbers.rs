//! The numbers by which compact names know the records that show. Spec 22.
//!
//! | key | value |
//! |---|---|
//! | `d` collection id | the record's number and the position at which it got it |
//! | `e` number | the record |

use super::keys::{escape, unescape};
use super::{Space, after_prefix};
use crate::change::RecordName;
use crate::codec::{CodecError, Reader, Writer};
use crate::store::{Store, StoreError};

/// A record's number, which it has from when it comes to show until it is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbered {
    /// The number, from 1.
    pub number: u64,
    /// The position of the change that made the record show.
    pub position: u64,
}

impl Space {
    /// The number of a record that has one.
    pub fn number_of(&self, store: &dyn Store, record: &RecordName) -> Result<Option<Numbered>, StoreError> {
        store.get(&self.record_key(b'd', record))?.map(|bytes| read(&bytes).map_err(damaged)).transpose()
    }

    /// The record that has this number.
    pub fn numbered(&self, store: &dyn Store, number: u64) -> Result<Option<RecordName>, StoreError> {
        let Some(bytes) = store.get(&self.number_key(number))? else { return Ok(None) };
        let read = || {
            let (collection, rest) = unescape(&bytes)?;
            Some(RecordName { collection, id: unescape(rest)?.0 })
        };
        read().map(Some).ok_or_else(|| StoreError("the record of a number is damaged".into()))
    }

    /// Gives a record a number, which it has alone. (COMPACT-2)
    pub fn set_number(&self, store: &mut dyn Store, record: &RecordName, numbered: Numbered) -> Result<(), StoreError> {
        self.forget_number(store, record)?;
        if let Some(before) = self.numbered(store, numbered.number)? {
            self.forget_number(store, &before)?;
        }
        let mut w = Writer::default();
        w.array(2);
        w.uint(numbered.number);
        w.uint(numbered.position);
        store.put(&self.record_key(b'd', record), &w.finish())?;
        let mut name = Vec::new();
        escape(&mut name, &record.collection);
        escape(&mut name, &record.id);
        store.put(&self.number_key(numbered.number), &name)
    }

    /// Takes a record's number from it.
    pub(super) fn forget_number(&self, store: &mut dyn Store, record: &RecordName) -> Result<(), StoreError> {
        if let Some(Numbered { number, .. }) = self.number_of(store, record)? {
            store.delete(&self.record_key(b'd', record))?;
            store.delete(&self.number_key(number))?;
        }
        Ok(())
    }

    /// Takes the numbers of a collection's records from them.
    pub(super) fn forget_numbers_of(&self, store: &mut dyn Store, collection: &str) -> Result<(), StoreError> {
        let mut from = self.key(b'd');
        escape(&mut from, collection);
        let to = after_prefix(&from);
        loop {
            let page = store.scan(&from, &to, super::SCAN_PAGE)?;
            if page.is_empty() {
                return Ok(());
            }
            for (key, bytes) in page {
                store.delete(&self.number_key(read(&bytes).map_err(damaged)?.number))?;
                store.delete(&key)?;
            }
        }
    }

    fn number_key(&self, number: u64) -> Vec<u8> {
        [self.key(b'e').as_slice(), &number.to_be_bytes()].concat()
    }
}

fn read(bytes: &[u8]) -> Result<Numbered, CodecError> {
    let mut r = Reader::new(bytes);
    r.array()?;
    Ok(Numbered { number: r.uint()?, position: r.uint()? })
}

fn damaged(error: CodecError) -> StoreError {
    StoreError(format!("the number of a record is damaged: {error}"))
}
