//! Opening a file: whose it is, whether it is whole, and that nobody else has it.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};

use crate::copy::with_ending;
use crate::entry;

/// The version of the layout that this code writes, and the newest that it reads. Older ones are brought to it when opened.
///
/// | format | layout |
/// |---|---|
/// | 1 | every cell in a row of its own |
/// | 2 | small cells in their record's row |
pub const FORMAT: i64 = 2;

/// SQLite's `application_id` of our files: "sync".
const APPLICATION: i64 = 0x7379_6e63;
/// How long a statement waits for another process that copies the file.
const BUSY_WAIT: Duration = Duration::from_millis(200);
/// The file beside the store whose lock says that a process has the store.
const LOCK_ENDING: &str = "-lock";
/// What a connection keeps of the file in memory, in KiB.
const CACHE_KIB: i64 = 16 * 1024;
/// The write-ahead log is cut back to this after a checkpoint.
const LOG_KEPT_BYTES: i64 = 16 << 20;

/// Whose store a file is; a file of one kind does not open as the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A server's: spaces and their logs.
    Server,
    /// A client's: one replica.
    Client,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a file was not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another process has the file.
    #[error("{}: another process has this store open; stop it, or choose another file", .path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// A later release wrote the file.
    #[error("{}: the store has format {found}, this release reads up to {FORMAT}; use the release that wrote it, or a later one", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
    /// The file is to be read only, and an earlier release wrote it.
    #[error("{}: the store has format {found}, and only reading cannot bring it to format {FORMAT}; open it for writing once", .path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
    /// The file could not be brought to the present format.
    #[error("{}: the store has format {found} and could not be brought to format {FORMAT}: {reason}; it is as it was", .path.display())]
    Upgrade {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// What was met.
        reason: String,
    },
    /// The file is the other kind of store.
    #[error("{}: this is the store of a {found}, not of a {wanted}", .path.display())]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What was asked for.
        wanted: Kind,
    },
    /// The file is a database of something else.
    #[error("{}: this is not a Syncline store", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is not what was written to it.
    #[error("{}: the store is damaged ({found}) and was not opened; restore it from a backup", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was met first.
        found: String,
    },
    /// The file cannot be read and written.
    #[error("{}: cannot open the store for writing: {reason}", .path.display())]
    Inaccessible {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

/// A store as it was found.
pub(crate) struct Opened {
    pub connection: Connection,
    /// Keeps every other process from opening it.
    pub lock: File,
    /// The format that it has.
    pub format: i64,
}

/// Opens the store at the path. What a file is, is read before anything is written to it: one that is refused is left as it was.
pub(crate) fn open(path: &Path, kind: Kind) -> Result<Opened, OpenError> {
    let say = |error| explain(path, &error);
    let lock = lock(path)?;
    if std::fs::metadata(path).is_ok_and(|found| found.len() > 0) {
        look(path, kind)?;
    }
    // What SQLite makes beside the file has the rights of the file.
    private().create(true).truncate(false).open(path).map_err(|error| inaccessible(path, &error))?;
    let connection = connect(path).map_err(say)?;
    if is_empty(&connection).map_err(say)? {
        create(&connection, kind).map_err(say)?;
    }
    let format = check_owner(&connection, path, kind)?;
    check_whole(&connection, path)?;
    Ok(Opened { connection, lock, format })
}

/// Says whose a file is, before anything is written to it. What is left where making a store was cut short is nobody's yet.
fn look(path: &Path, kind: Kind) -> Result<(), OpenError> {
    let say = |error| explain(path, &error);
    let mut connection = connect_to_read(path).map_err(say)?;
    let mut nobodys = is_nobodys(&connection);
    if nobodys.as_ref().is_err_and(|error| error.sqlite_error_code() == Some(ErrorCode::ReadOnly)) {
        // A transaction was cut short before the file had its write-ahead log: only a writer can take that back.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        connection = Connection::open_with_flags(path, flags).map_err(say)?;
        nobodys = is_nobodys(&connection);
    }
    if nobodys.map_err(say)? { Ok(()) } else { check_owner(&connection, path, kind).map(drop) }
}

/// A connection that only reads, at one moment, what is of the present format.
pub(crate) fn read_present(path: &Path, kind: Kind) -> Result<Connection, OpenError> {
    let connection = read(path, kind)?;
    connection.execute_batch("BEGIN").map_err(|error| explain(path, &error))?;
    match check_owner(&connection, path, kind)? {
        FORMAT => Ok(connection),
        found => Err(OpenError::Older { path: path.to_owned(), found }),
    }
}

/// A connection that only reads, beside whoever has the store.
pub(crate) fn read(path: &Path, kind: Kind) -> Result<Connection, OpenError> {
    let connection = connect_to_read(path).map_err(|error| explain(path, &error))?;
    check_owner(&connection, path, kind)?;
    Ok(connection)
}

fn connect_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    Ok(connection)
}

/// Takes the lock of the store. It goes with the process, however that ends.
fn lock(path: &Path) -> Result<File, OpenError> {
    let file = private().create(true).truncate(false).open(with_ending(path, LOCK_ENDING)).map_err(|error| inaccessible(path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::Error(error)) => Err(inaccessible(path, &error)),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: path.to_owned() }),
    }
}

/// How a file is opened for writing that, where it is made, is its owner's alone.
pub(crate) fn private() -> OpenOptions {
    let mut options = File::options();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // Without SQLITE_OPEN_URI: a path is a path, whatever it looks like.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    // What is deleted is overwritten: a purge or a wipe leaves nothing in the file.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "journal_size_limit", LOG_KEPT_BYTES)?;
    connection.execute_batch("BEGIN IMMEDIATE; COMMIT")?;
    Ok(connection)
}

/// Whether nobody has made the file into anything yet.
fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

/// Whether the file is empty and says of nobody that it is theirs.
fn is_nobodys(connection: &Connection) -> rusqlite::Result<bool> {
    let application: i64 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    Ok(application == 0 && is_empty(connection)?)
}

/// Checks that the file is a store of the kind, and gives its format, which this code reads.
fn check_owner(connection: &Connection, path: &Path, kind: Kind) -> Result<i64, OpenError> {
    let say = |error| explain(path, &error);
    let path = || path.to_owned();
    let application: i64 = connection.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(say)?;
    if application != APPLICATION {
        return Err(OpenError::Foreign { path: path() });
    }
    let meta =
        |name: &str| connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get::<_, String>(0)).optional();
    let format = meta("format").map_err(say)?.and_then(|format| format.parse().ok()).filter(|format| *format > 0);
    let Some(format) = format else {
        return Err(OpenError::Damaged { path: path(), found: "it does not say which format it has".to_owned() });
    };
    if format > FORMAT {
        return Err(OpenError::Newer { path: path(), found: format });
    }
    let found = meta("kind").map_err(say)?.unwrap_or_default();
    if found != kind.name() {
        return Err(OpenError::OtherKind { path: path(), found, wanted: kind });
    }
    Ok(format)
}

fn create(connection: &Connection, kind: Kind) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE;
         PRAGMA application_id = {APPLICATION};
         CREATE TABLE kv(key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
         CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
         INSERT INTO meta(name, value) VALUES('format', '{FORMAT}'), ('kind', '{kind}');
         COMMIT"
    ))
}

/// Reads the whole file once: its pages by SQLite's own check, its values by their checksums.
pub(crate) fn check_whole(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let say = |error| explain(path, &error);
    let damaged = |found: String| Err(OpenError::Damaged { path: path.to_owned(), found });
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(say)?;
    if found != "ok" {
        return damaged(found);
    }
    let mut statement = connection.prepare("SELECT key, value FROM kv").map_err(say)?;
    let mut rows = statement.query([]).map_err(say)?;
    while let Some(row) = rows.next().map_err(say)? {
        if entry(row).map_err(say)?.is_none() {
            return damaged("a value does not match its checksum".to_owned());
        }
    }
    Ok(())
}

fn inaccessible(path: &Path, error: &std::io::Error) -> OpenError {
    OpenError::Inaccessible { path: path.to_owned(), reason: error.to_string() }
}

fn explain(path: &Path, error: &rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::Locked { path },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => OpenError::Damaged { path, found: error.to_string() },
        _ => OpenError::Inaccessible { path, reason: error.to_string() },
    }
}
