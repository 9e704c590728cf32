//! The leader's store: a cache in SQLite, whose commits stand in the stream before they stand in the cache.

use std::fs;
use std::time::Instant;

use syncline::codec::{Reader, Writer};
use syncline::store::{Entry as Row, Store, StoreError, Transact};
use syncline_store::SqliteStore;
use tracing::{info, warn};

use super::entry::{EntryKind, Write, parts};
use super::stream::Stream;
use super::{RENEW, WHOLE_RATIO};
use crate::log::Log;

/// The key of the cache's own row. The keys of the core begin with letters.
const APPLIED: &[u8] = &[0];
/// All other keys lie between these.
const FIRST: &[u8] = &[1];
const LAST: &[u8] = &[u8::MAX];
/// Rows that are read at a time.
const ROWS: usize = 256;

/// Up to where a cache holds a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Applied {
    /// Which stream: the time it was created.
    pub stream: String,
    /// The sequence of the last entry that is in the cache; 0 for none.
    pub sequence: u64,
}

impl Applied {
    /// What the cache says of itself; none for one that is empty.
    pub fn of(cache: &dyn Store) -> Result<Option<Self>, StoreError> {
        let Some(bytes) = cache.get(APPLIED)? else { return Ok(None) };
        let mut r = Reader::new(&bytes);
        let mut read = || {
            r.array()?;
            Ok(Self { stream: r.text()?.to_owned(), sequence: r.uint()? })
        };
        read().map(Some).map_err(|error: syncline::codec::CodecError| StoreError(format!("the cache's own row is damaged: {error}")))
    }

    pub fn put(&self, cache: &mut dyn Store) -> Result<(), StoreError> {
        let mut w = Writer::default();
        w.array(2);
        w.text(&self.stream);
        w.uint(self.sequence);
        cache.put(APPLIED, &w.finish())
    }
}

/// Forgets which stream a copy was a cache of: it is a store of its own from then on.
pub(crate) fn forget_stream(copy: &mut SqliteStore) -> Result<(), StoreError> {
    copy.delete(APPLIED)?;
    copy.commit()
}

/// The time at which the stream that a store is a cache of was created; none for a store of its own.
pub(crate) fn stream_of(store: &dyn Store) -> Result<Option<String>, StoreError> {
    Ok(Applied::of(store)?.map(|applied| applied.stream))
}

/// Whether a store holds nothing.
pub(super) fn is_empty(store: &dyn Store) -> Result<bool, StoreError> {
    Ok(store.scan(FIRST, LAST, 1)?.is_empty())
}

/// Takes an entry into the cache. What lacks its last part when another takes the lead never counts.
pub(super) fn take(cache: &mut SqliteStore, entry: &EntryKind, applied: &Applied) -> Result<(), StoreError> {
    let EntryKind::Part { whole, last, writes } = entry else {
        cache.rollback();
        return Ok(());
    };
    if *whole {
        cache.rollback();
        cache.delete_range(FIRST, LAST)?;
    }
    writes.iter().try_for_each(|write| write.apply(cache))?;
    if *last {
        applied.put(cache)?;
        cache.commit()?;
    }
    Ok(())
}

/// Appends all that a store holds as one commit; gives the sequence of its first part. Nothing before it is needed any more. It writes
/// nothing to the store; a shared reference to one cannot be held by a task.
///
/// # Errors
/// The store cannot be read, or the stream did not take it: part of it may stand there and does not count.
pub(super) async fn append_whole(store: &mut SqliteStore, stream: &mut Stream) -> Result<u64, String> {
    let mut first = None;
    let mut next = FIRST.to_vec();
    loop {
        let rows = store.scan(&next, LAST, ROWS).map_err(|error| error.to_string())?;
        let last = rows.len() < ROWS;
        if let Some((key, _)) = rows.last() {
            next = [key.as_slice(), &[0]].concat();
        }
        for writes in parts(rows.into_iter().map(|(key, value)| Write::Put(key, value))) {
            stream.append(EntryKind::Part { whole: first.is_none(), last: false, writes }).await?;
            first.get_or_insert(stream.last());
        }
        if last {
            stream.append(EntryKind::Part { whole: first.is_none(), last: true, writes: Vec::new() }).await?;
            return Ok(first.unwrap_or(stream.last()));
        }
    }
}

/// The store of the shard's leader.
pub(super) struct Shared {
    cache: SqliteStore,
    stream: Stream,
    /// What the open transaction wrote, and how much of it lies before the mark.
    staged: Vec<Write>,
    mark: usize,
    lost: bool,
    /// When the last append that succeeded began: the lead was this server's then.
    appended: Instant,
    /// Bytes of the stream above which it may be written anew.
    log_bytes: u64,
}

impl Shared {
    pub fn new(cache: SqliteStore, stream: Stream, log_bytes: u64) -> Self {
        // At once shown that it leads: the claim may have been long under way.
        let appended = Instant::now().checked_sub(RENEW).unwrap_or_else(Instant::now);
        Self { cache, stream, staged: Vec::new(), mark: 0, lost: false, appended, log_bytes }
    }

    /// Appends to the stream, or gives up the lead: whether a failed append stands in the stream is seen by who reads it.
    fn append(&mut self, kind: EntryKind) -> Result<(), StoreError> {
        if self.lost {
            return Err(StoreError("another server may lead this shard".to_owned()));
        }
        let began = Instant::now();
        let appended = self.stream.blocking(async |stream| stream.append(kind).await);
        self.lost = appended.is_err();
        self.appended = began;
        appended.map_err(|error| StoreError(format!("the stream did not take a commit: {error}")))
    }

    fn publish(&mut self) -> Result<(), StoreError> {
        let mut parts = parts(std::mem::take(&mut self.staged)).peekable();
        while let Some(writes) = parts.next() {
            self.append(EntryKind::Part { whole: false, last: parts.peek().is_none(), writes })?;
        }
        Ok(())
    }

    /// Writes the stream anew: all there is as one commit, and nothing before it. Nothing else is done meanwhile.
    fn shorten(&mut self, erase: bool) -> Result<(), StoreError> {
        let cache = &mut self.cache;
        let done = self.stream.blocking(async |stream| {
            let first = append_whole(cache, stream).await?;
            stream.drop_before(first, erase).await
        });
        self.lost |= done.is_err();
        done.map_err(|error| StoreError(format!("the stream was not written anew: {error}")))?;
        self.keep()
    }

    /// Whether the stream is much larger than what it stands for.
    fn is_long(&self) -> bool {
        let store_bytes = fs::metadata(self.cache.path()).map_or(0, |file| file.len());
        self.stream.bytes() > self.log_bytes.max(WHOLE_RATIO * store_bytes)
    }

    /// Commits the cache, with its place in the stream.
    fn keep(&mut self) -> Result<(), StoreError> {
        let kept = self.stream.applied().put(&mut self.cache).and_then(|()| self.cache.commit());
        // What is in the stream and not in the cache is read again from the stream.
        self.lost |= kept.is_err();
        kept
    }

    fn stage(&mut self, write: Write) -> Result<(), StoreError> {
        write.apply(&mut self.cache)?;
        self.staged.push(write);
        Ok(())
    }
}

impl Store for Shared {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.cache.get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        self.cache.scan(from, to, limit)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.stage(Write::Put(key.to_vec(), value.to_vec()))
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), StoreError> {
        self.stage(Write::Delete(key.to_vec()))
    }

    fn delete_range(&mut self, from: &[u8], to: &[u8]) -> Result<(), StoreError> {
        self.stage(Write::DeleteRange(from.to_vec(), to.to_vec()))
    }

    fn mark(&mut self) {
        self.mark = self.staged.len();
        self.cache.mark();
    }

    fn back_to_mark(&mut self) -> Result<(), StoreError> {
        self.cache.back_to_mark()?;
        self.staged.truncate(self.mark);
        Ok(())
    }
}

impl Transact for Shared {
    /// Durable is what a majority of the stream's servers holds; the cache only follows.
    fn commit(&mut self) -> Result<(), StoreError> {
        self.mark = 0;
        if self.staged.is_empty() {
            return self.cache.commit();
        }
        self.publish()?;
        self.keep()
    }

    fn rollback(&mut self) {
        (self.staged, self.mark) = (Vec::new(), 0);
        self.cache.rollback();
    }
}

impl Log for Shared {
    fn is_clean(&self) -> bool {
        self.staged.is_empty()
    }

    /// From the cache and from the stream. A member that follows drives it out of its own cache as it drops what was written before.
    fn scrub(&mut self) -> Result<bool, StoreError> {
        Ok(self.cache.scrub()? && self.shorten(true).map(|()| true)?)
    }

    fn renew(&mut self) {
        if self.appended.elapsed() >= RENEW {
            let claim = EntryKind::Claim(self.stream.address().to_owned());
            if let Err(error) = self.append(claim) {
                warn!(%error, "this server leads its shard no more");
            }
        }
        if !self.lost && self.is_long() {
            match self.shorten(false) {
                Ok(()) => info!(bytes = self.stream.bytes(), "wrote the stream anew"),
                Err(error) => warn!(%error, "this server leads its shard no more"),
            }
        }
    }

    fn renew_ms(&self) -> Option<u64> {
        Some(u64::try_from(RENEW.as_millis()).unwrap_or(u64::MAX))
    }

    fn leave(&mut self) {
        // Without it the others find out by themselves.
        let _ = self.append(EntryKind::Claim(String::new()));
    }

    fn is_lost(&self) -> bool {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use syncline_store::Kind;

    use super::*;

    fn part(whole: bool, last: bool, keys: &[&[u8]]) -> EntryKind {
        EntryKind::Part { whole, last, writes: keys.iter().map(|key| Write::Put(key.to_vec(), vec![7])).collect() }
    }

    /// The keys that a cache holds after these entries and a restart.
    fn check(entries: &[EntryKind], expected: &[&[u8]]) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let open = || SqliteStore::open(folder.path().join("cache.db"), Kind::Server).expect("a store");
        let mut cache = open();
        for (i, entry) in entries.iter().enumerate() {
            let applied = Applied { stream: "today".to_owned(), sequence: i as u64 + 1 };
            take(&mut cache, entry, &applied).expect("it is taken");
        }
        drop(cache);
        let rows = open().scan(FIRST, LAST, 9).expect("it is read");
        assert_eq!(rows.iter().map(|(key, _)| key.as_slice()).collect::<Vec<_>>(), expected, "{entries:?}");
    }

    #[test]
    fn a_commit_counts_once_its_last_part_is_there_and_not_after_a_claim() {
        let claim = || EntryKind::Claim("[::1]:7".to_owned());
        let (half, other) = (|| part(false, false, &[b"half"]), || part(false, true, &[b"other"]));
        check(&[half()], &[]);
        check(&[half(), other()], &[b"half", b"other"]);
        check(&[half(), claim(), other()], &[b"other"]);
        check(&[other(), claim(), half()], &[b"other"]);
    }

    #[test]
    fn all_there_is_takes_the_place_of_what_stood_before() {
        let (old, begun) = (|| part(false, true, &[b"old"]), || part(true, false, &[b"a"]));
        check(&[old(), begun(), part(false, true, &[b"b"])], &[b"a", b"b"]);
        check(&[old(), begun()], &[b"old"]);
        check(&[old(), begun(), EntryKind::Claim(String::new())], &[b"old"]);
        check(&[old(), part(false, false, &[b"half"]), begun(), part(false, true, &[])], &[b"a"]);
        check(&[old(), part(true, true, &[])], &[]);
    }
}
