//! The keys under which a space keeps its cells. They sort as the addresses of the cells do.

use super::{CellName, Space};
use crate::change::RecordName;
use crate::rules::Key;
use crate::store::StoreError;

impl Space {
    pub(super) fn key(&self, part: u8) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.prefix.len() + 64);
        key.extend(&self.prefix);
        key.push(part);
        key
    }

    pub(super) fn record_key(&self, part: u8, record: &RecordName) -> Vec<u8> {
        let mut key = self.key(part);
        push_record(&mut key, record);
        key
    }

    /// The key of a record's life, or of a cell of it.
    pub(super) fn cell_key(&self, record: &RecordName, name: Option<&CellName>) -> Vec<u8> {
        let mut key = self.key(b'c');
        push_address(&mut key, record, name);
        key
    }

    /// The record and cell in a key whose address starts `skip` bytes behind the prefix.
    pub(super) fn split(&self, key: &[u8], skip: usize) -> Result<(RecordName, Option<CellName>), StoreError> {
        let split = key.get(self.prefix.len() + skip..).and_then(split_address);
        split.ok_or_else(|| StoreError("a key of a cell is damaged".into()))
    }
}

/// The address of a record's life, or of a cell of it, as bytes that sort as addresses do.
pub(crate) fn address(record: &RecordName, name: Option<&CellName>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    push_address(&mut bytes, record, name);
    bytes
}

fn push_address(bytes: &mut Vec<u8>, record: &RecordName, name: Option<&CellName>) {
    escape(bytes, &record.collection);
    push_in_collection(bytes, &record.id, name);
}

/// Appends the part of an address that follows the collection.
pub(super) fn push_in_collection(bytes: &mut Vec<u8>, id: &str, name: Option<&CellName>) {
    escape(bytes, id);
    match name {
        None => bytes.push(0),
        Some(name) => {
            bytes.push(1);
            escape(bytes, &name.field);
            bytes.extend(name.rule.to_be_bytes());
            bytes.extend(name.key.as_bytes());
        }
    }
}

/// The record and cell of an address.
pub(crate) fn split_address(bytes: &[u8]) -> Option<(RecordName, Option<CellName>)> {
    let (collection, rest) = unescape(bytes)?;
    let (id, name) = split_in_collection(rest)?;
    Some((RecordName { collection, id }, name))
}

/// The record's id and the cell in the part of an address that follows the collection.
pub(super) fn split_in_collection(bytes: &[u8]) -> Option<(String, Option<CellName>)> {
    let (id, rest) = unescape(bytes)?;
    let (0, column) = rest.split_first().map(|(kind, rest)| (kind.wrapping_sub(1), rest))? else {
        return Some((id, None));
    };
    let (field, rest) = unescape(column)?;
    let (rule, key) = rest.split_first_chunk::<8>()?;
    Some((id, Some(CellName { field, rule: u64::from_be_bytes(*rule), key: Key::from_bytes(key) })))
}

fn push_record(key: &mut Vec<u8>, record: &RecordName) {
    escape(key, &record.collection);
    escape(key, &record.id);
}

/// Appends a name so that keys sort as the names' bytes do: 0 becomes 0 255, and 0 1 ends the name.
pub(crate) fn escape(key: &mut Vec<u8>, name: &str) {
    for (at, part) in name.as_bytes().split(|byte| *byte == 0).enumerate() {
        if at > 0 {
            key.extend([0, 255]);
        }
        key.extend_from_slice(part);
    }
    key.extend([0, 1]);
}

pub(crate) fn unescape(bytes: &[u8]) -> Option<(String, &[u8])> {
    let mut name = Vec::new();
    let mut rest = bytes;
    loop {
        let zero = rest.iter().position(|byte| *byte == 0)?;
        name.extend_from_slice(&rest[..zero]);
        let after = rest.get(zero + 2..)?;
        match rest[zero + 1] {
            1 => return Some((String::from_utf8(name).ok()?, after)),
            255 => name.push(0),
            _ => return None,
        }
        rest = after;
    }
}

/// The address of the life of the record inside which an address lies; none where it lies in no record.
pub(super) fn row_before(address: &[u8]) -> Option<Vec<u8>> {
    let (collection, rest) = unescape(address)?;
    let (id, _) = unescape(rest)?;
    Some(self::address(&RecordName { collection, id }, None))
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
