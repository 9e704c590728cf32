use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use proptest::collection::vec;
use proptest::prelude::*;
use rusqlite::Connection;
use syncline::store::{MemoryStore, Store, Transact};
use tempfile::TempDir;

use crate::copy::with_ending;
use crate::{CopyError, Kind, OpenError, SqliteStore, copy};

/// Bytes of a page of SQLite's file.
const PAGE: usize = 4_096;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.db");
    (folder, path)
}

fn open(path: &PathBuf) -> SqliteStore {
    SqliteStore::open(path, Kind::Server).expect("the store opens")
}

fn refused(path: &PathBuf) -> OpenError {
    SqliteStore::open(path, Kind::Server).expect_err("the store is refused")
}

/// A committed store of many values, closed.
fn filled(path: &PathBuf) {
    let mut store = open(path);
    for i in 0..2_000u32 {
        store.put(&i.to_be_bytes(), &[0x5a; 100]).expect("put");
    }
    store.commit().expect("commit");
}

fn keys(store: &SqliteStore, from: &[u8], to: &[u8], limit: usize) -> Vec<Vec<u8>> {
    store.scan(from, to, limit).expect("scan").into_iter().map(|(key, _)| key).collect()
}

#[test]
fn what_is_committed_is_there_after_reopening() {
    let (_folder, path) = folder();
    let mut store = open(&path);
    store.put(b"a", b"1").expect("put");
    store.put(b"empty", b"").expect("put");
    store.commit().expect("commit");
    store.put(b"b", b"2").expect("put");
    drop(store);

    let store = open(&path);
    assert_eq!(store.get(b"a"), Ok(Some(b"1".to_vec())));
    assert_eq!(store.get(b"empty"), Ok(Some(Vec::new())));
    assert_eq!(store.get(b"b"), Ok(None), "never committed");
}

#[test]
fn what_follows_a_mark_can_be_undone_alone() {
    let (_folder, path) = folder();
    let mut store = open(&path);
    store.put(b"a", b"1").expect("put");
    store.mark();
    store.put(b"a", b"2").expect("put");
    store.mark();
    store.back_to_mark().expect("nothing was written since the mark");
    store.put(b"b", b"3").expect("put");
    store.delete(b"a").expect("delete");
    store.back_to_mark().expect("the savepoint stands");
    assert_eq!((store.get(b"a"), store.get(b"b")), (Ok(Some(b"2".to_vec())), Ok(None)));
    store.put(b"c", b"4").expect("put");
    store.commit().expect("commit");
    store.back_to_mark().expect("there is no mark behind a commit");
    assert_eq!((store.get(b"a"), store.get(b"c")), (Ok(Some(b"2".to_vec())), Ok(Some(b"4".to_vec()))));
}

#[test]
fn reads_see_staged_writes_until_they_are_rolled_back() {
    let (_folder, path) = folder();
    let mut store = open(&path);
    store.put(b"a", b"1").expect("put");
    store.commit().expect("commit");
    store.put(b"a", b"2").expect("put");
    store.delete_range(b"x", b"z").expect("delete");
    assert_eq!(store.get(b"a"), Ok(Some(b"2".to_vec())));
    store.rollback();
    assert_eq!(store.get(b"a"), Ok(Some(b"1".to_vec())));
    store.delete(b"a").expect("delete");
    assert_eq!(store.get(b"a"), Ok(None));
    store.commit().expect("commit");
    assert_eq!(store.get(b"a"), Ok(None));
}

#[test]
fn a_scan_ascends_by_unsigned_bytes_within_its_bounds() {
    let (_folder, path) = folder();
    let mut store = open(&path);
    for key in [&b"b"[..], b"\xff", b"a\x00", b"a", b"\x00", b"ab"] {
        store.put(key, b"").expect("put");
    }
    assert_eq!(keys(&store, b"", b"\xff\xff", 99), [&b"\x00"[..], b"a", b"a\x00", b"ab", b"b", b"\xff"]);
    assert_eq!(keys(&store, b"a", b"b", 99), [&b"a"[..], b"a\x00", b"ab"]);
    assert_eq!(keys(&store, b"a", b"b", 1), [b"a"]);
    assert_eq!(keys(&store, b"b", b"a", 99), Vec::<Vec<u8>>::new());
    store.delete_range(b"a", b"b").expect("delete");
    assert_eq!(keys(&store, b"", b"\xff\xff", usize::MAX), [&b"\x00"[..], b"b", b"\xff"]);
}

#[test]
fn a_second_opener_is_refused_until_the_first_lets_go() {
    let (_folder, path) = folder();
    let store = open(&path);
    let error = refused(&path);
    assert_eq!(error, OpenError::Locked { path: path.clone() });
    assert!(error.to_string().contains("a.db"), "{error}");
    drop(store);
    open(&path);
}

#[test]
fn the_other_kind_is_refused() {
    let (_folder, path) = folder();
    drop(open(&path));
    let error = SqliteStore::open(&path, Kind::Client).expect_err("a server's store");
    assert_eq!(error, OpenError::OtherKind { path, found: "server".to_owned(), wanted: Kind::Client });
}

/// What the folder holds, but for the lock and the index that SQLite makes for a reader.
fn files(folder: &TempDir) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = fs::read_dir(folder.path()).expect("the folder").map(|entry| entry.expect("an entry").path());
    let kept = paths.filter(|path| !["-lock", "-shm"].iter().any(|ending| path.to_string_lossy().ends_with(ending)));
    kept.map(|path| (path.clone(), fs::read(path).expect("a file"))).filter(|(_, held)| !held.is_empty()).collect()
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    for mode in ["WAL", "DELETE"] {
        let (folder, path) = folder();
        drop(open(&path));
        let edit = format!("PRAGMA journal_mode = {mode}; UPDATE meta SET value = '3' WHERE name = 'format'");
        Connection::open(&path).and_then(|file| file.execute_batch(&edit)).expect("an edit");
        let before = files(&folder);
        let error = refused(&path);
        assert_eq!(error, OpenError::Newer { path: path.clone(), found: 3 });
        assert!(error.to_string().contains("format 3, this release reads up to 2"), "{error}");
        assert!(copy(&path, &folder.path().join("copy.db"), Kind::Server).is_err());
        assert!(files(&folder) == before, "the files are as they were");
    }
}

/// A store of an earlier format, from its dump.
fn made_by(dump: &str, path: &PathBuf) {
    Connection::open(path).and_then(|file| file.execute_batch(dump)).expect("the dump is SQL");
}

#[test]
fn a_servers_store_of_format_1_is_brought_to_the_present_one() {
    let (folder, path) = folder();
    made_by(include_str!("formats/1-server.sql"), &path);
    let copied = folder.path().join("copy.db");
    copy(&path, &copied, Kind::Server).expect("a backup of it, too, is a whole store");
    for path in [path, copied] {
        drop(open(&path));
        let store = open(&path);
        let known = syncline::server::logged(&store, "home", 0).expect("the log");
        assert_eq!((known.len(), known.iter().filter(|entry| entry.code == 0).count()), (13, 13));
        assert_eq!(syncline::server::gone(&store, "home"), Ok(2), "one field and one record are gone");
    }
}

#[test]
fn a_clients_store_of_format_1_is_brought_to_the_present_one() {
    let (_folder, path) = folder();
    made_by(include_str!("formats/1-client.sql"), &path);
    drop(SqliteStore::open(&path, Kind::Client).expect("it is upgraded"));
    let store = SqliteStore::open(&path, Kind::Client).expect("it opens");
    assert_eq!(format_of(&store), "2");
}

#[test]
fn a_store_that_cannot_be_upgraded_is_left_as_it_was() {
    let (folder, path) = folder();
    made_by(include_str!("formats/1-server.sql"), &path);
    // A record whose row is cut short, under its own checksum.
    let file = Connection::open(&path).expect("a database");
    let key: Vec<u8> = file
        .query_row("SELECT key FROM kv WHERE hex(substr(value, 5)) LIKE '82%' AND hex(key) LIKE '53%63%'", [], |row| row.get(0))
        .expect("a row");
    file.execute("UPDATE kv SET value = ?1 WHERE key = ?2", (crate::seal(&key, &[0x82]), &key)).expect("an edit");
    drop(file);
    let before = dumped(&path);
    assert!(matches!(refused(&path), OpenError::Upgrade { found: 1, .. }));
    assert!(dumped(&path) == before, "nothing of it was upgraded");
    drop(folder);
}

fn dumped(path: &PathBuf) -> Vec<(Vec<u8>, Vec<u8>)> {
    let file = Connection::open(path).expect("a database");
    let mut all =
        file.prepare("SELECT key, value FROM kv UNION ALL SELECT CAST(name AS BLOB), CAST(value AS BLOB) FROM meta").expect("SQL");
    let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    rows.collect::<rusqlite::Result<_>>().expect("rows")
}

fn format_of(store: &SqliteStore) -> String {
    store.connection.query_row("SELECT value FROM meta WHERE name = 'format'", [], |row| row.get(0)).expect("it says which")
}

#[cfg(unix)]
#[test]
fn a_store_and_its_copy_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = folder();
    filled(&path);
    copy(&path, &folder.path().join("copy.db"), Kind::Server).expect("it copies");
    for (name, _) in files(&folder) {
        let mode = fs::metadata(&name).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", name.display());
    }
}

#[test]
fn a_copy_is_of_one_moment_and_of_a_store_in_use() {
    let (folder, path) = folder();
    filled(&path);
    let mut store = open(&path);
    store.put(b"committed", b"1").expect("put");
    store.delete(&7u32.to_be_bytes()).expect("delete");
    store.commit().expect("commit");
    store.put(b"staged", b"1").expect("put");
    let to = folder.path().join("copy.db");
    copy(&path, &to, Kind::Server).expect("it copies");
    store.commit().expect("the copy holds nothing back");
    assert!(!folder.path().join("copy.db.part").exists());

    let copied = open(&to);
    assert_eq!(copied.get(b"committed"), Ok(Some(b"1".to_vec())));
    assert_eq!((copied.get(b"staged"), copied.get(&7u32.to_be_bytes())), (Ok(None), Ok(None)));
    assert_eq!(keys(&copied, b"", b"\xff", usize::MAX).len(), 2_000);
    drop(copied);

    let before = fs::read(&to).expect("the copy");
    assert_eq!(copy(&path, &to, Kind::Server), Err(CopyError::Exists { path: to.clone() }));
    assert!(fs::read(&to).expect("the copy") == before);
}

#[test]
fn what_is_no_whole_store_is_not_copied() {
    let (folder, path) = folder();
    let to = folder.path().join("copy.db");
    let not_copied = |kind| copy(&path, &to, kind).expect_err("it is refused");
    assert!(matches!(not_copied(Kind::Server), CopyError::Store(OpenError::Inaccessible { .. })));
    filled(&path);
    assert!(matches!(not_copied(Kind::Client), CopyError::Store(OpenError::OtherKind { .. })));
    let edit = "UPDATE kv SET value = x'0000000032' WHERE key = x'00000007'";
    Connection::open(&path).and_then(|file| file.execute_batch(edit)).expect("an edit");
    assert!(matches!(not_copied(Kind::Server), CopyError::Store(OpenError::Damaged { .. })));
    assert!(!to.exists() && !folder.path().join("copy.db.part").exists());
}

#[test]
fn a_reader_puts_off_the_scrubbing_and_nothing_else() {
    let (_folder, path) = folder();
    filled(&path);
    let mut store = open(&path);
    let reader = Connection::open(&path).expect("a reader");
    reader.execute_batch("BEGIN; SELECT count(*) FROM kv").expect("it reads");
    store.delete(&7u32.to_be_bytes()).expect("delete");
    store.commit().expect("commit");
    assert_eq!(store.scrub(), Ok(false));
    drop(reader);
    assert_eq!(store.scrub(), Ok(true));
}

#[test]
fn a_database_of_something_else_is_refused_and_left_alone() {
    let (_folder, path) = folder();
    Connection::open(&path).and_then(|file| file.execute_batch("CREATE TABLE theirs(a)")).expect("a database");
    assert_eq!(refused(&path), OpenError::Foreign { path });
}

#[test]
fn a_store_whose_making_was_cut_short_is_made() {
    let (_folder, path) = folder();
    Connection::open(&path).and_then(|file| file.pragma_update(None, "journal_mode", "WAL")).expect("a database");
    assert!(fs::metadata(&path).expect("the file").len() > 0);
    drop(open(&path));
    // A file and a journal as a process leaves them that ended in the middle: its pages are in the file, and not committed.
    let (folder, path) = self::folder();
    let theirs = folder.path().join("theirs.db");
    let file = Connection::open(&theirs).expect("a database");
    file.execute_batch("PRAGMA cache_size = 1; BEGIN; CREATE TABLE theirs(a)").expect("a transaction");
    file.execute("INSERT INTO theirs VALUES(zeroblob(1000000))", []).expect("more than is kept in memory");
    for ending in ["", "-journal"] {
        fs::copy(with_ending(&theirs, ending), with_ending(&path, ending)).expect("a copy");
    }
    assert!(fs::metadata(&path).expect("the file").len() > 0);
    drop(open(&path));
}

#[test]
fn a_file_that_cannot_be_made_is_named() {
    let (folder, _) = folder();
    let path = folder.path().join("missing").join("a.db");
    assert!(matches!(refused(&path), OpenError::Inaccessible { path: named, .. } if named == path));
}

#[test]
fn any_damaged_page_is_refused() {
    let (_folder, path) = folder();
    filled(&path);
    let whole = fs::read(&path).expect("the file");
    assert!(whole.len() > 100_000, "several pages");
    let is_refused = |damaged: Vec<u8>, what: &str| {
        fs::write(&path, damaged).expect("write");
        assert!(matches!(refused(&path), OpenError::Damaged { .. }), "{what}");
    };
    let pages = (PAGE..whole.len()).step_by(PAGE).filter(|at| whole[*at..][..PAGE].contains(&0x5a));
    for at in pages.step_by(7) {
        let mut damaged = whole.clone();
        damaged[at..][..PAGE].iter_mut().filter(|byte| **byte == 0x5a).for_each(|byte| *byte ^= 0x10);
        is_refused(damaged, "values of one page changed");
    }
    is_refused([b"x", &whole[1..]].concat(), "header changed");
    is_refused(whole[..whole.len() - PAGE].to_vec(), "cut short");
    fs::write(&path, &whole).expect("write");
    open(&path);
}

#[test]
fn a_value_changed_behind_our_back_is_not_served() {
    let (_folder, path) = folder();
    let mut store = open(&path);
    store.put(b"a", b"1").expect("put");
    store.commit().expect("commit");
    store.connection.execute("UPDATE kv SET value = x'0000000032'", []).expect("an edit");
    assert!(store.get(b"a").is_err());
    assert!(store.scan(b"", b"z", 9).is_err());
}

#[test]
fn a_full_disk_fails_the_transaction_and_nothing_else() {
    let (_folder, path) = folder();
    filled(&path);
    let mut store = open(&path);
    let pages: i64 = store.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).expect("pages");
    store.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).expect("a limit");

    // Few wait for the commit, many do not.
    for writes in [1_000u32, 10_000] {
        let failed = (0..writes).map(|i| store.put(&[b"new", &i.to_be_bytes()[..]].concat(), &[1; 1_000])).find_map(Result::err);
        let failed = failed.or_else(|| store.commit().err());
        assert!(failed.expect("the limit is met").to_string().contains("full"));
        // Whether SQLite rolled back or not, nothing is written outside a transaction, and nothing half.
        assert!(store.put(b"later", b"").is_err());
        assert!(store.commit().is_err());
        store.rollback();
        assert_eq!(keys(&store, b"new", b"nex", 9), Vec::<Vec<u8>>::new());
        assert_eq!(store.get(&7u32.to_be_bytes()), Ok(Some(vec![0x5a; 100])), "reads keep working");
    }

    store.connection.query_row("PRAGMA max_page_count = 1000000", [], |_| Ok(())).expect("room");
    store.put(b"new", b"").expect("put");
    store.commit().expect("commit");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever waits in memory and whatever SQLite has, it is the store in memory.
    #[test]
    fn a_store_on_disk_is_the_store_in_memory(steps in vec((0u8..10, 0u8..8, 0u8..8), 0..60), limit in 0usize..6) {
        let (_folder, path) = folder();
        let (mut disk, mut memory) = (open(&path), MemoryStore::default());
        for (step, a, b) in steps {
            match step {
                0..=2 => {
                    disk.put(&[a], &[b]).expect("put");
                    memory.put(&[a], &[b]).expect("put");
                }
                3 => {
                    disk.delete(&[a]).expect("delete");
                    memory.delete(&[a]).expect("delete");
                }
                4 => {
                    disk.delete_range(&[a], &[b]).expect("delete");
                    memory.delete_range(&[a], &[b]).expect("delete");
                }
                5 => {
                    disk.mark();
                    memory.mark();
                }
                6 => {
                    disk.back_to_mark().expect("undone");
                    memory.back_to_mark().expect("undone");
                }
                7 => {
                    disk.commit().expect("commit");
                    memory.commit().expect("commit");
                }
                8 => {
                    disk.rollback();
                    memory.rollback();
                }
                // As where much was written.
                _ => disk.flush().expect("SQLite takes it"),
            }
            prop_assert_eq!(disk.scan(&[a], &[b], limit), memory.scan(&[a], &[b], limit));
            prop_assert_eq!(disk.get(&[a]), memory.get(&[a]));
        }
    }
}
