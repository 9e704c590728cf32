//! W8: durable changes, beside SQLite alone with the same journal and sync.

use std::path::Path;

use rusqlite::{Connection, params};
use syncline::client::Write;
use syncline::value::Value;
use syncline_store::{Kind, SqliteStore};

use crate::data::Random;
use crate::site::Site;
use crate::table::{Row, Target, timed};

/// Bytes of a change's value.
const BODY_BYTES: usize = 300;
const IO: &str = "a temporary file can be written";

pub fn durable(rows: &mut Vec<Row>, _beside: bool) {
    let folder = tempfile::tempdir().expect(IO);
    for (group, groups) in [(1, 1_000), (100, 100)] {
        // In turn, so that both see the same disk.
        let mut pairs: Vec<(f64, f64)> = (0..3).map(|go| go_once(folder.path(), go, group, groups)).collect();
        pairs.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
        let (ours, raw) = pairs[1];
        let measure = format!("durable changes a second, {group} to a commit: ratio to SQLite alone");
        let row = Row::new("W8", measure, "×", ours / raw, Target::AtLeast(0.7));
        rows.push(row.beside("SQLite, changes/s", raw).beside("Syncline, changes/s", ours));
    }
}

fn go_once(folder: &Path, go: usize, group: usize, groups: usize) -> (f64, f64) {
    let name = |what: &str| folder.join(format!("{what}-{go}-{group}"));
    (ours(&name("ours"), group, groups), raw(&name("raw"), group, groups))
}

fn bodies(count: usize) -> Vec<Vec<u8>> {
    let mut random = Random(3);
    (0..count).map(|_| (0..BODY_BYTES).map(|_| random.next() as u8).collect()).collect()
}

/// Changes a second that a server has durable.
fn ours(path: &Path, group: usize, groups: usize) -> f64 {
    let mut site = Site::over(SqliteStore::open(path, Kind::Server).expect(IO));
    let device = site.join();
    site.connect(device);
    site.settle();
    site.held = Some(Vec::new());
    site.cpu = Default::default();
    for (at, group) in bodies(group * groups).chunks(group).enumerate() {
        for (nth, body) in group.iter().enumerate() {
            let fields = vec![("body".to_owned(), Some(Value::Bytes(body.clone())))];
            site.write(device, &[Write::Put { collection: "records".into(), id: format!("{at}-{nth}"), fields }]);
        }
        site.take_held();
        site.run();
    }
    (group * groups) as f64 / site.cpu.as_secs_f64()
}

/// Changes a second that SQLite alone has durable.
fn raw(path: &Path, group: usize, groups: usize) -> f64 {
    let connection = Connection::open(path).expect(IO);
    let set_up =
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE log (position INTEGER PRIMARY KEY, body BLOB NOT NULL)";
    connection.execute_batch(set_up).expect(IO);
    let bodies = bodies(group * groups);
    let (time, ()) = timed(|| {
        let mut insert = connection.prepare("INSERT INTO log (body) VALUES (?1)").expect(IO);
        for group in bodies.chunks(group) {
            connection.execute_batch("BEGIN").expect(IO);
            for body in group {
                insert.execute(params![body]).expect(IO);
            }
            connection.execute_batch("COMMIT").expect(IO);
        }
    });
    bodies.len() as f64 / time.as_secs_f64()
}
