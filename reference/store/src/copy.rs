//! A whole copy of a store at one moment, while whoever has it goes on writing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::open::{self, Kind, OpenError};

/// Why there is no copy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// There is a file where the copy is to be; it was left alone.
    #[error("{}: there is a file already; move it away, or choose another name", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// What was copied, or the copy, is no whole store.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The copy was not written.
    #[error("{}: cannot write the copy: {reason}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

/// Copies what is committed in the store at `from` to a file of its own at `to`. The store may be open and written to: the
/// copy is of one moment. Nothing that was deleted is in it. It has its name once it was read back, found whole and is on disk.
///
/// # Errors
/// `from` is no whole store of this kind, or there is a file at `to`, or the copy cannot be written.
pub fn copy(from: &Path, to: &Path, kind: Kind) -> Result<(), CopyError> {
    if to.exists() {
        return Err(CopyError::Exists { path: to.to_owned() });
    }
    let part = with_ending(to, ".part");
    let write = |reason: String| CopyError::Write { path: part.clone(), reason };
    // One that was broken off.
    if part.exists() {
        fs::remove_file(&part).map_err(|error| write(error.to_string()))?;
    }
    let made = make(from, &part, kind).and_then(|()| place(&part, to).map_err(|error| write(error.to_string())));
    if made.is_err() {
        // What is left of it holds no whole copy; the next one removes it, too.
        let _ = fs::remove_file(&part);
    }
    made
}

/// Makes a file that its owner alone can read, where there is none of the name.
///
/// # Errors
/// There is one, or it cannot be made.
pub fn create_private(path: &Path) -> std::io::Result<File> {
    open::private().create_new(true).open(path)
}

fn make(from: &Path, part: &Path, kind: Kind) -> Result<(), CopyError> {
    let source = open::read(from, kind)?;
    let failed = |reason: String| CopyError::Write { path: part.to_owned(), reason };
    // SQLite writes into an empty file.
    create_private(part).map_err(|error| failed(error.to_string()))?;
    let name = part.to_str().ok_or_else(|| failed("its name is no text".to_owned()))?;
    source.execute("VACUUM INTO ?1", [name]).map_err(|error| failed(error.to_string()))?;
    open::check_whole(&open::read(part, kind)?, part)?;
    Ok(())
}

/// Gives the finished file its name, where nobody else has taken it meanwhile.
fn place(part: &Path, to: &Path) -> std::io::Result<()> {
    File::open(part)?.sync_all()?;
    fs::hard_link(part, to)?;
    fs::remove_file(part)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// The path with this behind its name.
pub(crate) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
