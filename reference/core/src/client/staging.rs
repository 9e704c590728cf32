//! The parts of a catch-up under way, kept so that a cut does not begin it again. Spec 8.
//!
//! Keys: `s` how far they reach, `t` number a part, `t` 255 number the numbers of records that it announced.

use crate::change::{RecordName, read_fixed};
use crate::clock::History;
use crate::codec::{CodecError, Reader, Writer};
use crate::message::{Item, Message, States, decode_frame, frame_of, message_bytes};
use crate::registry::Profiles;
use crate::space::after_prefix;
use crate::store::{Store, StoreError};

/// How far the kept parts of an incomplete catch-up reach. They are in the store, not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Staging {
    /// The `to` of the last part. (SYNC-27)
    pub to: u64,
    /// Its history.
    pub history: History,
    /// Whether base is replaced at the end. (SYNC-30)
    pub resets: bool,
    parts: u64,
}

/// Behind the parts, and gone with them.
const NUMBERS: &[u8] = &[b't', 255];
/// Stamps in a kept part are relative to this.
const BASE_MS: u64 = 0;

impl Staging {
    /// What is kept, if a catch-up is under way.
    pub fn load(store: &dyn Store) -> Result<Option<Self>, StoreError> {
        store.get(b"s")?.map(|bytes| read_staging(&bytes).map_err(|error| damaged(&error.to_string()))).transpose()
    }

    /// Keeps a part behind those that are kept. (SYNC-27)
    pub fn keep(store: &mut dyn Store, before: Option<Self>, resets: bool, part: States) -> Result<Self, StoreError> {
        let (to, history) = (part.to, part.history);
        let number = before.as_ref().map_or(0, |before| before.parts);
        store.put(&part_key(number), &frame_of(1, &message_bytes(&Message::States(part), BASE_MS)))?;
        let staging = Self { to, history, resets: before.map_or(resets, |before| before.resets), parts: number + 1 };
        store.put(b"s", &staging_bytes(&staging))?;
        Ok(staging)
    }

    /// Keeps the numbers of records that the last part announced. (COMPACT-8)
    pub fn keep_numbers(&self, store: &mut dyn Store, announced: &[(u64, RecordName)]) -> Result<(), StoreError> {
        let mut w = Writer::default();
        w.array(3 * announced.len());
        for (number, record) in announced {
            w.uint(*number);
            w.text(&record.collection);
            w.text(&record.id);
        }
        store.put(&[NUMBERS, &self.parts.to_be_bytes()].concat(), &w.finish())
    }

    /// The numbers that the kept parts announced, in their order.
    pub fn numbers(store: &dyn Store) -> Result<Vec<(u64, RecordName)>, StoreError> {
        let rows = store.scan(NUMBERS, &after_prefix(b"t"), usize::MAX)?;
        let read = |(_, bytes): &(Vec<u8>, Vec<u8>)| {
            let mut r = Reader::new(bytes);
            let one = |r: &mut Reader| Ok((r.uint()?, RecordName { collection: r.text()?.to_owned(), id: r.text()?.to_owned() }));
            (0..r.array()? / 3).map(|_| one(&mut r)).collect::<Result<Vec<_>, CodecError>>()
        };
        let kept = rows.iter().map(|row| read(row).map_err(|error| damaged(&error.to_string())));
        Ok(kept.collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// The numbers of the kept parts, in the order in which they came.
    pub fn parts(&self) -> impl Iterator<Item = u64> + use<> {
        0..self.parts
    }

    /// The items of one part.
    pub fn items(store: &dyn Store, number: u64) -> Result<Vec<Item>, StoreError> {
        let bytes = store.get(&part_key(number))?.ok_or_else(|| damaged(&format!("part {number} is not there")))?;
        let frame = decode_frame(&bytes, Profiles::OFFERED, |_| BASE_MS).map_err(|error| damaged(&error.text))?;
        match frame.messages.into_iter().next() {
            Some(Message::States(part)) => Ok(part.items),
            other => Err(damaged(&format!("part {number} is {other:?}"))),
        }
    }

    /// Forgets all that is kept. (SYNC-31)
    pub fn clear(store: &mut dyn Store) -> Result<(), StoreError> {
        store.delete(b"s")?;
        store.delete_range(b"t", &after_prefix(b"t"))
    }
}

fn part_key(number: u64) -> Vec<u8> {
    [b"t".as_slice(), &number.to_be_bytes()].concat()
}

fn staging_bytes(staging: &Staging) -> Vec<u8> {
    let mut w = Writer::default();
    w.array(4);
    w.uint(staging.to);
    w.bytes(&staging.history.0);
    w.uint(u64::from(staging.resets));
    w.uint(staging.parts);
    w.finish()
}

fn read_staging(bytes: &[u8]) -> Result<Staging, CodecError> {
    let mut r = Reader::new(bytes);
    r.array()?;
    let (to, history) = (r.uint()?, History(read_fixed(&mut r, "an id of its length")?));
    Ok(Staging { to, history, resets: r.uint()? == 1, parts: r.uint()? })
}

fn damaged(what: &str) -> StoreError {
    StoreError(format!("the parts that are kept of a catch-up are damaged: {what}"))
}
