//! A durable [`Store`] in one SQLite file.
//!
//! | table | holds |
//! |---|---|
//! | `kv` | every key of the store; a value is preceded by the CRC-32 of key and value, 4 bytes, big-endian |
//! | `meta` | `format`, the version of this layout, and `kind`, whose store it is |
//!
//! A commit is on disk when it returns (write-ahead log, full sync). One process has the file at a time, by the lock of the
//! file `…-lock` beside it; others may read, to copy it. Damage is found
//! when the file is opened, or at the latest when the damaged value is read, and is an error: it is never served.

mod copy;
mod open;
mod pending;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row};
use syncline::store::{Entry, Store, StoreError, Transact};

pub use copy::{CopyError, copy, create_private};
use open::Opened;
pub use open::{FORMAT, Kind, OpenError};
use pending::{Pending, Write};

/// Bytes of the checksum before each value.
const CHECKSUM_BYTES: usize = 4;
/// Bytes of writes that wait in memory; beyond, SQLite takes them into the open transaction.
const PENDING_BYTES_MAX: usize = 4 << 20;

/// A store in one SQLite file, held exclusively until it is dropped.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    path: PathBuf,
    pending: Pending,
    staged: Staged,
    /// Whether a savepoint stands at the mark. If not, all that was written since is pending.
    saved: bool,
    /// Held until the connection before it is closed; none where the store is only read.
    _lock: Option<File>,
}

/// What became of the writes that SQLite was given since the last commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Staged {
    Nothing,
    Writes,
    /// A write or the commit failed. SQLite may have rolled back already, so nothing is written before `rollback`.
    Failed,
}

impl SqliteStore {
    /// Opens the store of this kind at the path, or creates it.
    ///
    /// # Errors
    /// The file cannot be read and written, another process has it, or it is not a whole store of this kind and version.
    pub fn open(path: impl AsRef<Path>, kind: Kind) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let Opened { connection, lock, format } = open::open(&path, kind)?;
        let mut store = Self { connection, path, pending: Pending::default(), staged: Staged::Nothing, saved: false, _lock: Some(lock) };
        if format < FORMAT {
            let path = store.path.clone();
            store.upgrade(kind).map_err(|error| OpenError::Upgrade { path, found: format, reason: error.0 })?;
        }
        Ok(store)
    }

    /// Opens the store of this kind to read what is committed now, whoever has it. Every write to it fails.
    ///
    /// # Errors
    /// The file cannot be read, or it is no store of this kind and of the present format.
    pub fn open_to_read(path: impl AsRef<Path>, kind: Kind) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let connection = open::read_present(&path, kind)?;
        Ok(Self { connection, path, pending: Pending::default(), staged: Staged::Nothing, saved: false, _lock: None })
    }

    /// Whether a commit has nothing to write.
    pub fn is_clean(&self) -> bool {
        self.staged == Staged::Nothing && self.pending.is_empty()
    }

    /// Brings the file to the present format, whole or not at all.
    fn upgrade(&mut self, kind: Kind) -> Result<(), StoreError> {
        match kind {
            Kind::Server => syncline::server::upgrade(self)?,
            Kind::Client => syncline::client::upgrade(self)?,
        }
        self.begin()?;
        self.execute("UPDATE meta SET value = ?1 WHERE name = 'format'", [FORMAT.to_string()])?;
        self.commit()
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves all that is committed into the file and empties the write-ahead log, so that nothing deleted is left in it.
    /// False where a reader, as `copy` is one, still needs the log: then it is to be tried again.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn scrub(&mut self) -> Result<bool, StoreError> {
        let busy = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        busy.map(|busy| busy == 0).map_err(|error| self.error(&error))
    }

    /// Runs a statement that writes, in the open transaction or a new one.
    fn execute(&mut self, sql: &str, params: impl rusqlite::Params) -> Result<(), StoreError> {
        let written = self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute(params));
        written.map(|_| ()).map_err(|error| self.fail(&error))
    }

    /// Notes a write, and gives SQLite what waits where it is much. The first write begins the transaction: outside of one,
    /// SQLite takes and leaves the locks of the file for each row that is read.
    fn write(&mut self, key: &[u8], write: Write) -> Result<(), StoreError> {
        self.begin()?;
        self.pending.write(key, write);
        if self.pending.bytes() > PENDING_BYTES_MAX { self.flush() } else { Ok(()) }
    }

    /// Gives SQLite what waits, with a savepoint at the mark.
    fn flush(&mut self) -> Result<(), StoreError> {
        self.begin()?;
        if self.pending.is_marked() && !self.saved {
            let after = self.pending.back_to_mark();
            self.give_pending()?;
            self.run("SAVEPOINT mark").map_err(|error| self.fail(&error))?;
            self.saved = true;
            return self.give(after);
        }
        self.give_pending()
    }

    fn give_pending(&mut self) -> Result<(), StoreError> {
        let writes = self.pending.take();
        self.give(writes)
    }

    fn give(&mut self, writes: BTreeMap<Vec<u8>, Write>) -> Result<(), StoreError> {
        for (key, write) in writes {
            match write {
                Some(value) => self.execute(
                    "INSERT INTO kv(key, value) VALUES(?1, ?2) ON CONFLICT(key) DO UPDATE SET value = excluded.value",
                    (&key, seal(&key, &value)),
                )?,
                None => self.execute("DELETE FROM kv WHERE key = ?1", [&key])?,
            }
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        self.refuse_after_failure()?;
        if self.staged == Staged::Nothing {
            self.run("BEGIN IMMEDIATE").map_err(|error| self.error(&error))?;
            self.staged = Staged::Writes;
        }
        Ok(())
    }

    fn refuse_after_failure(&self) -> Result<(), StoreError> {
        match self.staged {
            Staged::Failed => Err(StoreError(format!("{}: an earlier write failed and is not rolled back yet", self.path.display()))),
            Staged::Nothing | Staged::Writes => Ok(()),
        }
    }

    fn fail(&mut self, error: &rusqlite::Error) -> StoreError {
        self.staged = Staged::Failed;
        self.error(error)
    }

    fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(|_| ())
    }

    fn error(&self, error: &rusqlite::Error) -> StoreError {
        StoreError(format!("{}: {error}", self.path.display()))
    }

    fn damaged(&self) -> StoreError {
        StoreError(format!("{}: a value does not match its checksum; the file is damaged", self.path.display()))
    }
}

impl Store for SqliteStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(write) = self.pending.get(key) {
            return Ok(write.clone());
        }
        let read = || {
            let mut statement = self.connection.prepare_cached("SELECT value FROM kv WHERE key = ?1")?;
            statement.query_row([key], |row| Ok(unseal(key, row.get_ref(0)?.as_blob()?))).optional()
        };
        match read().map_err(|error| self.error(&error))? {
            None => Ok(None),
            Some(Some(value)) => Ok(Some(value)),
            Some(None) => Err(self.damaged()),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        // Each of these may stand in the place of a row.
        let waiting = self.pending.range(from, to).count();
        let rows = self.rows(from, to, limit.saturating_add(waiting))?;
        if waiting == 0 {
            return Ok(rows);
        }
        let mut rows = rows.into_iter().peekable();
        let mut found = Vec::new();
        for (key, write) in self.pending.range(from, to) {
            while found.len() < limit
                && let Some(row) = rows.next_if(|(known, _)| known < key)
            {
                found.push(row);
            }
            if found.len() == limit {
                return Ok(found);
            }
            rows.next_if(|(known, _)| known == key);
            found.extend(write.clone().map(|value| (key.clone(), value)));
        }
        found.extend(rows);
        found.truncate(limit);
        Ok(found)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.write(key, Some(value.to_vec()))
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), StoreError> {
        self.write(key, None)
    }

    fn delete_range(&mut self, from: &[u8], to: &[u8]) -> Result<(), StoreError> {
        self.flush()?;
        self.execute("DELETE FROM kv WHERE key >= ?1 AND key < ?2", [from, to])
    }

    fn mark(&mut self) {
        if self.saved && self.run("RELEASE mark").is_err() {
            // Without its savepoint the transaction can only go whole.
            self.staged = Staged::Failed;
        }
        self.saved = false;
        self.pending.mark();
    }

    fn back_to_mark(&mut self) -> Result<(), StoreError> {
        if !self.saved {
            self.pending.back_to_mark();
            return self.refuse_after_failure();
        }
        self.run("ROLLBACK TO mark").map_err(|error| self.fail(&error))?;
        self.pending.take();
        // What failed since then is undone with the rest.
        self.staged = Staged::Writes;
        Ok(())
    }
}

impl Transact for SqliteStore {
    fn commit(&mut self) -> Result<(), StoreError> {
        if self.is_clean() {
            self.forget_mark();
            return Ok(());
        }
        self.begin()?;
        self.give_pending()?;
        self.run("COMMIT").map_err(|error| self.fail(&error))?;
        self.staged = Staged::Nothing;
        self.forget_mark();
        Ok(())
    }

    fn rollback(&mut self) {
        if !self.connection.is_autocommit() {
            // A rollback of an open transaction fails only together with the file; the next write reports that.
            let _ = self.run("ROLLBACK");
        }
        self.staged = Staged::Nothing;
        self.pending.take();
        self.forget_mark();
    }
}

impl SqliteStore {
    /// Rows that SQLite has.
    fn rows(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let read = || {
            let sql = "SELECT key, value FROM kv WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3";
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows = statement.query_map((from, to, limit), entry)?;
            rows.collect::<rusqlite::Result<Option<Vec<_>>>>()
        };
        read().map_err(|error| self.error(&error))?.ok_or_else(|| self.damaged())
    }

    fn forget_mark(&mut self) {
        self.pending.forget_mark();
        self.saved = false;
    }
}

/// A value as it is stored: its checksum, then itself.
fn seal(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(CHECKSUM_BYTES + value.len());
    sealed.extend_from_slice(&checksum(key, value));
    sealed.extend_from_slice(value);
    sealed
}

/// The value, if it is the one that was stored under the key.
fn unseal(key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (sum, value) = sealed.split_first_chunk::<CHECKSUM_BYTES>()?;
    (*sum == checksum(key, value)).then(|| value.to_vec())
}

fn checksum(key: &[u8], value: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut crc = crc32fast::Hasher::new();
    crc.update(key);
    crc.update(value);
    crc.finalize().to_be_bytes()
}

/// A row of `kv`, if its value matches its checksum.
fn entry(row: &Row) -> rusqlite::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let key = row.get_ref(0)?.as_blob()?;
    let value = unseal(key, row.get_ref(1)?.as_blob()?);
    Ok(value.map(|value| (key.to_vec(), value)))
}

#[cfg(test)]
mod tests;
