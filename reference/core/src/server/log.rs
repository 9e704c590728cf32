//! A space's log in the store: entries, histories, what is settled of each replica. Spec 6 and 8.
//!
//! Keys behind the space's prefix:
//!
//! | key | value |
//! |---|---|
//! | `p` | the head |
//! | `n` | how many replicas are bound |
//! | `a` | the replica that the server writes as |
//! | `u` | how many records show, and how many bytes the accepted changes have |
//! | `h` number | history and its first position |
//! | `l` position | an entry: author, seq, code, detail, the literal change or nothing |
//! | `r` replica | subject, last seq, link |
//! | `q` replica seq | position, link, code, detail |
//! | `t`, `T`, `z` | samples of time and the horizon: see `horizon` |
//! | `w` position | the replica whose last settled change stands there |
//! | `o` replica seq link | the code under which this origin was settled |

use super::quota::Usage;
use crate::change::{Change, Origin, RecordName, read_fixed};
use crate::clock::{History, Replica};
use crate::codec::{CodecError, Reader, Writer};
use crate::fault;
use crate::hash::{Link, start_link};
use crate::registry::Code;
use crate::space::{Space, after_prefix, escape, unescape};
use crate::store::{Store, StoreError};

/// One space's log. Holds keys only; what it says is in the store.
#[derive(Debug, Clone)]
pub(super) struct Log {
    prefix: Vec<u8>,
    name: String,
}

/// What the server holds of a replica. (IDENT-2, IDENT-9)
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settled {
    pub subject: String,
    /// Whether the replica was ever opened; if not, the subject is that of the first who relayed its changes. (PEER-19)
    pub opened: bool,
    pub seq: u64,
    pub link: Link,
}

/// A verdict: accepted, or the code and detail of the rejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub code: Code,
    pub detail: Option<u64>,
}

impl Verdict {
    pub const ACCEPTED: Self = Self { code: Code::ACCEPTED, detail: None };

    /// Whether the same rows may not be judged again under another name. (IDENT-15)
    pub fn is_final(self) -> bool {
        !matches!(self.code, Code::CLOCK | Code::NEEDS | Code::SKIPPED)
    }

    pub fn rejected(code: Code, detail: Option<u64>) -> Self {
        Self { code, detail }
    }
}

/// A settled change by its name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SettledChange {
    pub seq: u64,
    pub position: u64,
    pub link: Link,
    pub verdict: Verdict,
}

/// A log entry.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub author: Replica,
    pub seq: u64,
    pub verdict: Verdict,
    /// The literal change; none for a skip.
    pub literal: Option<Vec<u8>>,
}

/// A history and the position it began at. (SYNC-2)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HistoryStart {
    pub history: History,
    pub first: u64,
    /// The base that stamps on the wire are relative to, in Unix milliseconds.
    pub base_ms: u64,
}

/// The number of a space by its name, or none.
pub(super) fn find_space(store: &dyn Store, name: &str) -> Result<Option<u64>, StoreError> {
    let stored = store.get(&space_name_key(name))?;
    stored.map(|bytes| Reader::new(&bytes).uint().map_err(damaged)).transpose()
}

/// Numbers a new space.
pub(super) fn create_space(store: &mut dyn Store, name: &str) -> Result<u64, StoreError> {
    let stored = store.get(b"n")?;
    let number = stored.map_or(Ok(0), |bytes| Reader::new(&bytes).uint()).map_err(damaged)? + 1;
    store.put(b"n", &uint_bytes(number))?;
    store.put(&space_name_key(name), &uint_bytes(number))?;
    Ok(number)
}

/// Every space's name and number, in the order of the names.
pub(super) fn space_names(store: &dyn Store) -> Result<Vec<(String, u64)>, StoreError> {
    let rows = store.scan(b"N", &after_prefix(b"N"), usize::MAX)?;
    let read = |(key, bytes): &(Vec<u8>, Vec<u8>)| {
        let (name, _) = unescape(&key[1..]).ok_or_else(|| StoreError("the name of a space is damaged".to_owned()))?;
        Ok((name, Reader::new(bytes).uint().map_err(damaged)?))
    };
    rows.iter().map(read).collect()
}

/// Removes all of a space, and remembers that it was deleted. (ACCESS-8)
pub(super) fn delete_space(store: &mut dyn Store, name: &str, number: u64) -> Result<(), StoreError> {
    let all = Log::new(name, number).prefix;
    store.delete_range(&all, &after_prefix(&all))?;
    store.delete(&space_name_key(name))?;
    store.put(&deleted_key(name), &[])
}

/// Forgets that a space of this name was deleted.
pub(super) fn undelete_space(store: &mut dyn Store, name: &str) -> Result<(), StoreError> {
    store.delete(&deleted_key(name))
}

/// Whether the operator deleted a space of this name. (ACCESS-8)
pub(super) fn is_deleted(store: &dyn Store, name: &str) -> Result<bool, StoreError> {
    Ok(store.get(&deleted_key(name))?.is_some())
}

impl Log {
    /// The name of the space.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn new(name: &str, number: u64) -> Self {
        let mut prefix = b"S".to_vec();
        prefix.extend(number.to_be_bytes());
        Self { prefix, name: name.to_owned() }
    }

    /// The cells of the space.
    pub fn cells(&self) -> Space {
        Space::new(&self.prefix)
    }

    /// The last position given. (SYNC-1)
    pub fn head(&self, store: &dyn Store) -> Result<u64, StoreError> {
        let stored = store.get(&self.key(b'p'))?;
        stored.map_or(Ok(0), |bytes| Reader::new(&bytes).uint()).map_err(damaged)
    }

    /// Every history, oldest first.
    pub fn histories(&self, store: &dyn Store) -> Result<Vec<HistoryStart>, StoreError> {
        let from = self.key(b'h');
        let rows = store.scan(&from, &after_prefix(&from), usize::MAX)?;
        rows.iter().map(|(_, bytes)| read_history(bytes).map_err(damaged)).collect()
    }

    /// Begins a history at the head. (SYNC-2)
    pub fn begin_history(&self, store: &mut dyn Store, history: History, base_ms: u64) -> Result<HistoryStart, StoreError> {
        let first = self.head(store)?;
        let mut key = self.key(b'h');
        key.extend((self.histories(store)?.len() as u64).to_be_bytes());
        let mut w = Writer::default();
        w.array(3);
        w.bytes(&history.0);
        w.uint(first);
        w.uint(base_ms);
        store.put(&key, &w.finish())?;
        Ok(HistoryStart { history, first, base_ms })
    }

    /// What is settled of a replica; none when it was never seen.
    pub fn settled(&self, store: &dyn Store, replica: Replica) -> Result<Option<Settled>, StoreError> {
        let Some(bytes) = store.get(&self.replica_key(b'r', replica))? else { return Ok(None) };
        read_settled(&bytes).map(Some).map_err(damaged)
    }

    /// What is held of every replica.
    pub fn replicas(&self, store: &dyn Store) -> Result<Vec<(Replica, Settled)>, StoreError> {
        let from = self.key(b'r');
        let rows = store.scan(&from, &after_prefix(&from), usize::MAX)?;
        let read = |(key, bytes): &(Vec<u8>, Vec<u8>)| {
            let id = key[from.len()..].try_into().map_err(|_| StoreError("the key of a replica is damaged".to_owned()))?;
            Ok((Replica(id), read_settled(bytes).map_err(damaged)?))
        };
        rows.iter().map(read).collect()
    }

    /// Binds a replica to a subject: for good where that opens it. (IDENT-9, PEER-19)
    pub fn bind(&self, store: &mut dyn Store, replica: Replica, subject: &str, opened: bool) -> Result<Settled, StoreError> {
        if let Some(known) = self.settled(store, replica)? {
            let settled = Settled { subject: subject.to_owned(), opened, ..known };
            self.put_settled(store, replica, &settled)?;
            return Ok(settled);
        }
        let settled = Settled { subject: subject.to_owned(), opened, seq: 0, link: start_link(&self.name, replica) };
        store.put(&self.key(b'n'), &uint_bytes(self.replica_count(store)? + 1))?;
        self.put_settled(store, replica, &settled)?;
        Ok(settled)
    }

    /// How many replicas the space binds.
    pub fn replica_count(&self, store: &dyn Store) -> Result<u64, StoreError> {
        let stored = store.get(&self.key(b'n'))?;
        stored.map_or(Ok(0), |bytes| Reader::new(&bytes).uint()).map_err(damaged)
    }

    /// The replica that the server writes as, where it did.
    pub fn operator(&self, store: &dyn Store) -> Result<Option<Replica>, StoreError> {
        let stored = store.get(&self.key(b'a'))?;
        let read = |bytes: Vec<u8>| bytes.try_into().map(Replica).map_err(|_| StoreError("the server's own replica is damaged".to_owned()));
        stored.map(read).transpose()
    }

    /// Takes the replica that the server writes as.
    pub fn bind_operator(&self, store: &mut dyn Store, replica: Replica, subject: &str) -> Result<Replica, StoreError> {
        self.bind(store, replica, subject, true)?;
        store.put(&self.key(b'a'), &replica.0)?;
        Ok(replica)
    }

    /// Drops what the entries hold of a record's values; gives how many held some. (ACCESS-19)
    pub fn redact(&self, store: &mut dyn Store, record: &RecordName) -> Result<u64, StoreError> {
        let (mut position, mut held) = (0, 0);
        let mut usage = self.usage(store)?;
        loop {
            let page = self.entries_after(store, position, REDACT_PAGE)?;
            let Some((last, _)) = page.last() else { break };
            position = *last;
            for (at, entry) in page {
                let Some(redacted) = without(&entry, record)? else { continue };
                let bytes = |entry: &Entry| entry.literal.as_ref().map_or(0, |literal| literal.len() as u64);
                if entry.verdict == Verdict::ACCEPTED {
                    usage.bytes = (usage.bytes + bytes(&redacted)).saturating_sub(bytes(&entry));
                }
                store.put(&self.entry_key(at), &entry_bytes(&redacted))?;
                held += 1;
            }
        }
        self.put_usage(store, usage)?;
        Ok(held)
    }

    /// What the space holds of what a quota bounds.
    pub fn usage(&self, store: &dyn Store) -> Result<Usage, StoreError> {
        let Some(bytes) = store.get(&self.key(b'u'))? else { return Ok(Usage::default()) };
        let mut r = Reader::new(&bytes);
        let mut read = || -> Result<Usage, CodecError> {
            r.array()?;
            Ok(Usage { records: r.uint()?, bytes: r.uint()? })
        };
        read().map_err(damaged)
    }

    /// Keeps what the space holds.
    pub fn put_usage(&self, store: &mut dyn Store, usage: Usage) -> Result<(), StoreError> {
        let mut w = Writer::default();
        w.array(2);
        w.uint(usage.records);
        w.uint(usage.bytes);
        store.put(&self.key(b'u'), &w.finish())
    }

    /// The replica's settled changes after `seq`, at positions up to `position`, at most `limit`.
    pub fn settled_after(&self, store: &dyn Store, replica: Replica, seq: u64, limit: usize) -> Result<Vec<SettledChange>, StoreError> {
        let mut from = self.replica_key(b'q', replica);
        let to = after_prefix(&from);
        from.extend((seq + 1).to_be_bytes());
        let rows = store.scan(&from, &to, limit)?;
        rows.iter().map(|(key, bytes)| read_settled_change(key, bytes)).collect()
    }

    /// One settled change by its name.
    pub fn settled_change(&self, store: &dyn Store, replica: Replica, seq: u64) -> Result<Option<SettledChange>, StoreError> {
        let key = self.seq_key(replica, seq);
        store.get(&key)?.map(|bytes| read_settled_change(&key, &bytes)).transpose()
    }

    /// The last of the replica's settled changes from `from` to `last` that has a position up to `position`, or `from`.
    pub fn settled_by(&self, store: &dyn Store, replica: Replica, (from, last): (u64, u64), position: u64) -> Result<u64, StoreError> {
        let (mut low, mut high) = (from, last.max(from));
        // Positions rise with seqs.
        while low < high {
            let middle = high - (high - low) / 2;
            match self.settled_change(store, replica, middle)? {
                Some(settled) if settled.position <= position => low = middle,
                _ => high = middle - 1,
            }
        }
        Ok(low)
    }

    /// The replica's link at a settled seq, 0 included.
    pub fn link_at(&self, store: &dyn Store, replica: Replica, seq: u64) -> Result<Option<Link>, StoreError> {
        if seq == 0 {
            return Ok(Some(start_link(&self.name, replica)));
        }
        Ok(self.settled_change(store, replica, seq)?.map(|change| change.link))
    }

    /// The final code under which an origin was settled, under its own name or as another change's origin. (IDENT-15)
    pub fn origin_verdict(&self, store: &dyn Store, origin: &Origin) -> Result<Option<Code>, StoreError> {
        if let Some(own) = self.settled_change(store, origin.replica, origin.seq)?
            && own.link == origin.link
            && own.verdict.is_final()
        {
            return Ok(Some(own.verdict.code));
        }
        let stored = store.get(&self.origin_key(origin))?;
        stored.map(|bytes| Reader::new(&bytes).uint().map(Code).map_err(damaged)).transpose()
    }

    /// Appends an entry at the next position, with all that is settled by it. (IDENT-7, SYNC-1)
    pub fn append(&self, store: &mut dyn Store, entry: &Entry, link: Link, origin: Option<&Origin>) -> Result<u64, StoreError> {
        let position = self.head(store)? + if fault::is("sync-positions-skip") { 2 } else { 1 };
        store.put(&self.key(b'p'), &uint_bytes(position))?;
        store.put(&self.entry_key(position), &entry_bytes(entry))?;
        store.put(&self.seq_key(entry.author, entry.seq), &settled_change_bytes(position, link, entry.verdict))?;
        if let Some(origin) = origin
            && entry.verdict.is_final()
        {
            store.put(&self.origin_key(origin), &uint_bytes(entry.verdict.code.0))?;
        }
        let (subject, opened, before) = match self.settled(store, entry.author)? {
            Some(settled) => (settled.subject, settled.opened, settled.seq),
            None => (String::new(), true, 0),
        };
        if let Some(last) = self.settled_change(store, entry.author, before)? {
            store.delete(&self.author_key(last.position))?;
        }
        store.put(&self.author_key(position), &entry.author.0)?;
        self.put_settled(store, entry.author, &Settled { subject, opened, seq: entry.seq, link })?;
        Ok(position)
    }

    /// The replicas whose last settled change has a position above this one, by that position, at most `limit`. (PEER-18)
    pub fn authors_after(&self, store: &dyn Store, position: u64, limit: usize) -> Result<Vec<(u64, Replica)>, StoreError> {
        let rows = store.scan(&self.author_key(position + 1), &after_prefix(&self.key(b'w')), limit)?;
        let read = |(key, bytes): &(Vec<u8>, Vec<u8>)| {
            let position = key.last_chunk::<8>().copied().map(u64::from_be_bytes).unwrap_or_default();
            let replica = bytes.as_slice().try_into().map_err(|_| StoreError("a stored replica id is damaged".into()))?;
            Ok((position, Replica(replica)))
        };
        rows.iter().map(read).collect()
    }

    /// The entries after `position`, at most `limit`, each with its position.
    pub fn entries_after(&self, store: &dyn Store, position: u64, limit: usize) -> Result<Vec<(u64, Entry)>, StoreError> {
        let to = after_prefix(&self.key(b'l'));
        let rows = store.scan(&self.entry_key(position + 1), &to, limit)?;
        let numbered = rows.iter().zip(position + 1..);
        numbered.map(|((_, bytes), at)| Ok((at, read_entry(bytes).map_err(damaged)?))).collect()
    }

    fn author_key(&self, position: u64) -> Vec<u8> {
        [self.key(b'w').as_slice(), &position.to_be_bytes()].concat()
    }

    fn put_settled(&self, store: &mut dyn Store, replica: Replica, settled: &Settled) -> Result<(), StoreError> {
        let mut w = Writer::default();
        w.array(if settled.opened { 3 } else { 4 });
        w.text(&settled.subject);
        w.uint(settled.seq);
        w.bytes(&settled.link.0);
        if !settled.opened {
            w.bool(false);
        }
        store.put(&self.replica_key(b'r', replica), &w.finish())
    }

    pub(super) fn key(&self, part: u8) -> Vec<u8> {
        [self.prefix.as_slice(), &[part]].concat()
    }

    fn entry_key(&self, position: u64) -> Vec<u8> {
        [self.key(b'l').as_slice(), &position.to_be_bytes()].concat()
    }

    fn replica_key(&self, part: u8, replica: Replica) -> Vec<u8> {
        [self.key(part).as_slice(), &replica.0].concat()
    }

    fn seq_key(&self, replica: Replica, seq: u64) -> Vec<u8> {
        [self.replica_key(b'q', replica).as_slice(), &seq.to_be_bytes()].concat()
    }

    fn origin_key(&self, origin: &Origin) -> Vec<u8> {
        [self.replica_key(b'o', origin.replica).as_slice(), &origin.seq.to_be_bytes(), &origin.link.0].concat()
    }
}

/// Entries read in one call to the store.
const REDACT_PAGE: usize = 256;

/// The entry without the values of a record, where it holds some. Its link is kept apart, and stays.
fn without(entry: &Entry, record: &RecordName) -> Result<Option<Entry>, StoreError> {
    let Some(mut change) = entry_change(entry)? else { return Ok(None) };
    let rows = change.rows.iter_mut().filter(|row| row.record == *record && !row.ops.is_empty());
    let cleared = rows.map(|row| row.ops.clear()).count();
    // The key of a condition may be an element that was written.
    let mut conditions = change.conditions();
    let listed = conditions.len();
    conditions.retain(|condition| condition.record() != record);
    if cleared == 0 && conditions.len() == listed {
        return Ok(None);
    }
    change.set_conditions(&conditions);
    Ok(Some(Entry { literal: Some(change.literal()), ..entry.clone() }))
}

/// The change of an entry.
pub(super) fn entry_change(entry: &Entry) -> Result<Option<Change>, StoreError> {
    let Some(literal) = &entry.literal else { return Ok(None) };
    Change::from_bytes(literal).map(Some).map_err(damaged)
}

fn space_name_key(name: &str) -> Vec<u8> {
    let mut key = b"N".to_vec();
    escape(&mut key, name);
    key
}

fn deleted_key(name: &str) -> Vec<u8> {
    let mut key = b"D".to_vec();
    escape(&mut key, name);
    key
}

fn uint_bytes(number: u64) -> Vec<u8> {
    let mut w = Writer::default();
    w.uint(number);
    w.finish()
}

fn entry_bytes(entry: &Entry) -> Vec<u8> {
    let mut w = Writer::default();
    w.array(5);
    w.bytes(&entry.author.0);
    w.uint(entry.seq);
    w.uint(entry.verdict.code.0);
    write_detail(&mut w, entry.verdict.detail);
    w.bytes(entry.literal.as_deref().unwrap_or_default());
    w.finish()
}

fn read_entry(bytes: &[u8]) -> Result<Entry, CodecError> {
    let mut r = Reader::new(bytes);
    r.array()?;
    let author = Replica(read_fixed(&mut r, "an id of its length")?);
    let seq = r.uint()?;
    let verdict = Verdict { code: Code(r.uint()?), detail: read_detail(&mut r)? };
    let literal = r.bytes()?;
    Ok(Entry { author, seq, verdict, literal: (!literal.is_empty()).then(|| literal.to_vec()) })
}

fn settled_change_bytes(position: u64, link: Link, verdict: Verdict) -> Vec<u8> {
    let mut w = Writer::default();
    w.array(4);
    w.uint(position);
    w.bytes(&link.0);
    w.uint(verdict.code.0);
    write_detail(&mut w, verdict.detail);
    w.finish()
}

fn read_settled_change(key: &[u8], bytes: &[u8]) -> Result<SettledChange, StoreError> {
    let seq = key.last_chunk::<8>().copied().map(u64::from_be_bytes).unwrap_or_default();
    let mut r = Reader::new(bytes);
    let mut read = || -> Result<SettledChange, CodecError> {
        r.array()?;
        let position = r.uint()?;
        let link = Link(read_fixed(&mut r, "an id of its length")?);
        Ok(SettledChange { seq, position, link, verdict: Verdict { code: Code(r.uint()?), detail: read_detail(&mut r)? } })
    };
    read().map_err(damaged)
}

fn read_settled(bytes: &[u8]) -> Result<Settled, CodecError> {
    let mut r = Reader::new(bytes);
    let opened = r.array()? == 3;
    Ok(Settled { subject: r.text()?.to_owned(), opened, seq: r.uint()?, link: Link(read_fixed(&mut r, "an id of its length")?) })
}

fn read_history(bytes: &[u8]) -> Result<HistoryStart, CodecError> {
    let mut r = Reader::new(bytes);
    r.array()?;
    Ok(HistoryStart { history: History(read_fixed(&mut r, "an id of its length")?), first: r.uint()?, base_ms: r.uint()? })
}

fn write_detail(w: &mut Writer, detail: Option<u64>) {
    match detail {
        Some(detail) => w.uint(detail),
        None => w.null(),
    }
}

fn read_detail(r: &mut Reader) -> Result<Option<u64>, CodecError> {
    if r.is_null() { r.null().map(|()| None) } else { r.uint().map(Some) }
}

fn damaged(error: CodecError) -> StoreError {
    StoreError(format!("a stored log entry is damaged: {error}"))
}
