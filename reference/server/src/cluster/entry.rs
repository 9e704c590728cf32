//! What stands in a shard's stream: claims of the lead, and what each commit of the leader wrote.
//!
//! ```text
//! claim = [0, after, address]              ; the server at this address leads from here on; also its sign of life. "": nobody does
//! part  = [1, after, last: bool, [* write]] ; a part of a commit; it counts once the last part is there
//! whole = [2, after, last: bool, [* write]] ; the first part of a commit that writes all there is: what stood before is gone
//! write = [0, key, value] / [1, key] / [2, from, to]
//! ```
//!
//! `after` is the sequence of the entry before: a reader that missed one notices. Before a `whole` one may: the entries there are dropped.

use syncline::codec::{CodecError, Reader, Writer};
use syncline::store::{Store, StoreError};

/// Bytes of writes at which a part is full. With the largest single write it stays below `PAYLOAD_BYTES_MIN`.
const PART_BYTES: usize = 256 * 1024;
/// What the stream's servers must take as one entry: a part that is nearly full, and the largest change in the log.
pub(super) const PAYLOAD_BYTES_MIN: usize = 1024 * 1024;

/// One write to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Write {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    DeleteRange(Vec<u8>, Vec<u8>),
}

impl Write {
    pub fn bytes(&self) -> usize {
        match self {
            Self::Put(a, b) | Self::DeleteRange(a, b) => a.len() + b.len(),
            Self::Delete(key) => key.len(),
        }
    }

    /// Does it in the store's open transaction.
    pub fn apply(&self, store: &mut dyn Store) -> Result<(), StoreError> {
        match self {
            Self::Put(key, value) => store.put(key, value),
            Self::Delete(key) => store.delete(key),
            Self::DeleteRange(from, to) => store.delete_range(from, to),
        }
    }

    fn write(&self, w: &mut Writer) {
        let (kind, first, second) = match self {
            Self::Put(key, value) => (0, key, Some(value)),
            Self::Delete(key) => (1, key, None),
            Self::DeleteRange(from, to) => (2, from, Some(to)),
        };
        w.array(2 + usize::from(second.is_some()));
        w.uint(kind);
        w.bytes(first);
        if let Some(second) = second {
            w.bytes(second);
        }
    }

    fn read(r: &mut Reader) -> Result<Option<Self>, CodecError> {
        let items = r.array()?;
        let (kind, first) = (r.uint()?, r.bytes()?.to_vec());
        let second = if items == 3 { Some(r.bytes()?.to_vec()) } else { None };
        Ok(match (kind, second) {
            (0, Some(value)) => Some(Self::Put(first, value)),
            (1, None) => Some(Self::Delete(first)),
            (2, Some(to)) => Some(Self::DeleteRange(first, to)),
            _ => None,
        })
    }
}

/// An entry of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The sequence of the entry before it; 0 for the first.
    pub after: u64,
    pub kind: EntryKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EntryKind {
    /// With the address that the leader serves other members at; empty where it leaves the lead.
    Claim(String),
    Part {
        /// Whether it begins with a store that holds nothing.
        whole: bool,
        last: bool,
        writes: Vec<Write>,
    },
}

impl Entry {
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::default();
        match &self.kind {
            EntryKind::Claim(address) => {
                w.array(3);
                w.uint(0);
                w.uint(self.after);
                w.text(address);
            }
            EntryKind::Part { whole, last, writes } => {
                w.array(4);
                w.uint(1 + u64::from(*whole));
                w.uint(self.after);
                w.bool(*last);
                w.array(writes.len());
                writes.iter().for_each(|write| write.write(&mut w));
            }
        }
        w.finish()
    }

    /// The entry in these bytes.
    ///
    /// # Errors
    /// Where they are none: what was met first.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let r = &mut Reader::new(bytes);
        let entry = read(r).map_err(|error| error.to_string())?;
        let entry = entry.ok_or_else(|| format!("an entry of an unknown kind before byte {}", r.position()))?;
        r.end().map_err(|error| error.to_string())?;
        Ok(entry)
    }
}

fn read(r: &mut Reader) -> Result<Option<Entry>, CodecError> {
    let items = r.array()?;
    let (kind, after) = (r.uint()?, r.uint()?);
    let kind = match (kind, items) {
        (0, 3) => EntryKind::Claim(r.text()?.to_owned()),
        (1 | 2, 4) => {
            let last = r.bool()?;
            let mut writes = Vec::new();
            for _ in 0..r.array()? {
                let Some(write) = Write::read(r)? else { return Ok(None) };
                writes.push(write);
            }
            EntryKind::Part { whole: kind == 2, last, writes }
        }
        _ => return Ok(None),
    };
    Ok(Some(Entry { after, kind }))
}

/// The writes of a commit in parts, in order.
pub(super) fn parts(writes: impl IntoIterator<Item = Write>) -> impl Iterator<Item = Vec<Write>> {
    let mut writes = writes.into_iter();
    std::iter::from_fn(move || {
        let (mut part, mut bytes) = (Vec::new(), 0);
        while bytes < PART_BYTES
            && let Some(write) = writes.next()
        {
            bytes += write.bytes();
            part.push(write);
        }
        (!part.is_empty()).then_some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(bytes: usize) -> Write {
        Write::Put(b"key".to_vec(), vec![7; bytes])
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let writes = vec![put(3), Write::Delete(b"a".to_vec()), Write::DeleteRange(b"a".to_vec(), b"b".to_vec())];
        let part = |whole| EntryKind::Part { whole, last: true, writes: writes.clone() };
        for kind in [EntryKind::Claim("[::1]:7".to_owned()), part(false), part(true)] {
            let entry = Entry { after: 1 << 40, kind };
            let bytes = entry.encode();
            assert_eq!(Entry::decode(&bytes), Ok(entry));
            for cut in 0..bytes.len() {
                Entry::decode(&bytes[..cut]).expect_err("half an entry");
            }
            Entry::decode(&[bytes.as_slice(), &[0]].concat()).expect_err("more than an entry");
        }
        Entry::decode(&[0x82, 9, 0]).expect_err("an unknown kind");
    }

    #[test]
    fn a_commit_is_cut_into_parts_that_fit() {
        let largest = syncline::limits::CHANGE_BYTES_MAX + 128;
        let writes = vec![put(PART_BYTES - 4), put(largest), put(1), put(largest), put(2)];
        let parts: Vec<_> = parts(writes.clone()).collect();
        assert_eq!(parts.len(), 3);
        for writes in &parts {
            let kind = EntryKind::Part { whole: true, last: false, writes: writes.clone() };
            assert!(Entry { after: u64::from(u32::MAX), kind }.encode().len() < PAYLOAD_BYTES_MIN);
        }
        assert_eq!(parts.concat(), writes);
    }
}
