//! Stores of earlier formats: both sides open them, with all they hold, and go on.

use std::process::Command;

use rusqlite::Connection;

use crate::harness::{Replica, Server, ran, server_binary};

/// What the dump of format 1 shows on its client, which has one change that its server does not.
const SHOWN: [&str; 4] = [
    r#""id":"n1","fields":{"done":false,"title":"Cheese"},"columns":{"count":{"counter":5}}"#,
    r#""prices":{"map":{"a":1,"b":2}},"tags":{"set":["green","red"]},"who":{"multi":["x","y"]}"#,
    r#""id":"n3","fields":{"title":"Unsent"}"#,
    r#""id":"p1","fields":{"name":"Anna"}"#,
];

fn made_by(dump: &str, path: &std::path::Path) {
    Connection::open(path).and_then(|file| file.execute_batch(dump)).expect("the dump is SQL");
}

#[test]
fn stores_of_format_1_open_and_sync() {
    let [old, fresh, home] = [(); 3].map(|()| Replica::new());
    made_by(include_str!("../../../store/src/formats/1-client.sql"), &old.path("replica.db"));
    std::fs::create_dir(home.path("data")).expect("the folder is ours");
    made_by(include_str!("../../../store/src/formats/1-server.sql"), &home.path("data/syncline.db"));
    let exported = old.ok(&["export", "--space", "home"]);
    for (line, words) in exported.lines().zip(SHOWN) {
        assert!(line.contains(words), "{line} has {words}");
    }
    assert_eq!(exported.lines().count(), SHOWN.len());

    let server = Server::start(&home.path("data"), &[]);
    let sync = |replica: &Replica| replica.json(&["sync", "--space", "home", "--server", &server.url, "--timeout", "60s"]);
    sync(&old);
    let synced = sync(&fresh);
    assert_eq!(synced["position"], 14, "the log goes on where it was: {synced}");
    assert_eq!(fresh.ok(&["export", "--space", "home"]), exported);
    // A cell moves into its row when it is written, and is still one cell.
    old.ok(&["put", "notes/n1", "title=Tea", "--space", "home"]);
    old.ok(&["delete", "notes/n2", "--space", "home"]);
    sync(&old);
    sync(&fresh);
    let exports = [&old, &fresh].map(|replica| replica.ok(&["export", "--space", "home"]));
    assert!(exports[0] == exports[1] && exports[0].contains("Tea") && !exports[0].contains("Cheese"), "{exports:?}");
}

#[test]
fn a_later_format_is_refused_and_left_alone() {
    let home = Replica::new();
    std::fs::create_dir(home.path("data")).expect("the folder is ours");
    let path = home.path("data/syncline.db");
    made_by(include_str!("../../../store/src/formats/1-server.sql"), &path);
    made_by("UPDATE meta SET value = '99' WHERE name = 'format'", &path);
    let before = std::fs::read(&path).expect("the store");
    let mut command = Command::new(server_binary());
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(home.path("data"));
    let refused = ran(command);
    assert_eq!(refused.status, 1);
    assert!(refused.err.contains("format 99") && refused.err.contains("later one"), "{refused:?}");
    assert!(std::fs::read(&path).expect("the store") == before);
}
