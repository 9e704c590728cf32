//! A server that is restored to a backup loses nothing that a device still has.

use std::process::Command;

use crate::harness::{Ran, Replica, Server, ran, server_binary};

fn operator(home: &Replica, args: &[&str]) -> Ran {
    let mut command = Command::new(server_binary());
    command.current_dir(home.path("")).args(args);
    ran(command)
}

fn write(replica: &Replica, server: &Server, names: std::ops::Range<u32>) {
    for name in names {
        replica.ok(&["put", &format!("todos/t{name}"), &format!("n={name}")]);
    }
    sync(replica, server);
}

fn sync(replica: &Replica, server: &Server) {
    replica.ok(&["sync", "--server", &server.url, "--token", "a", "--timeout", "60s"]);
}

#[test]
fn a_restored_server_gets_back_what_its_clients_saw_acked() {
    let [home, a, b, late] = [(); 4].map(|()| Replica::new());
    std::fs::write(
        home.path("s.toml"),
        "tokens = [{token = 'a', subject = 'a'}, {token = 'root', subject = 'op', spaces = [], admin = true}]",
    )
    .expect("the folder is ours");
    let settings = home.path("s.toml");
    let config = ["--config", settings.to_str().expect("a text")];
    let start = |folder: &str| Server::start(&home.path(folder), &config);
    let server = start("first");
    let http = server.url.replace("ws://", "http://");
    write(&a, &server, 0..5);
    sync(&b, &server);

    let made = operator(&home, &["backup", "--server", &http, "--token", "root", "one.db"]);
    assert_eq!(made.status, 0, "{made:?}");
    assert!(made.out.contains("backed up to one.db"), "{made:?}");
    let refused = operator(&home, &["backup", "--server", &http, "--token", "a", "two.db"]);
    assert!(refused.err.contains("403") && !home.path("two.db").exists() && !home.path("two.db.sent").exists(), "{refused:?}");
    let again = operator(&home, &["backup", "--data", "first", "one.db"]);
    assert!(again.status != 0 && again.err.contains("a file already"), "{again:?}");
    let beside = operator(&home, &["backup", "--data", "first", "beside.db"]);
    assert_eq!(beside.status, 0, "a running server's folder can be copied on its machine: {beside:?}");

    // Acked, seen by others, and behind the backup.
    write(&a, &server, 5..10);
    write(&b, &server, 10..15);
    a.ok(&["delete", "todos/t0"]);
    for replica in [&a, &b, &a] {
        sync(replica, &server);
    }
    let before = a.ok(&["export"]);
    assert_eq!((before.lines().count(), &before), (14, &b.ok(&["export"])));
    server.kill_after(std::time::Duration::ZERO);

    let over = operator(&home, &["restore", "one.db", "--data", "first"]);
    assert!(over.status != 0 && over.err.contains("syncline.db") && over.err.contains("a file already"), "{over:?}");
    let restored = operator(&home, &["restore", "one.db", "--data", "second"]);
    assert_eq!(restored.status, 0, "{restored:?}");
    let server = start("second");
    // IDENT-17, SYNC-2. The restored server grows past the old head by the changes of one that never saw it.
    write(&late, &server, 20..30);
    for replica in [&b, &a, &late, &b, &a, &late] {
        sync(replica, &server);
    }
    let exports = [&a, &b, &late].map(|replica| replica.ok(&["export"]));
    assert!(exports[0] == exports[1] && exports[1] == exports[2], "{exports:?}");
    assert_eq!(exports[0].lines().count(), 24);
    for line in before.lines() {
        assert!(exports[0].lines().any(|held| held == line), "{line} is still there");
    }
}

#[test]
fn what_is_no_backup_is_not_restored() {
    let home = Replica::new();
    std::fs::write(home.path("notes.txt"), [b'x'; 9_000]).expect("the folder is ours");
    for (file, words) in [("notes.txt", "damaged"), ("missing.db", "missing.db")] {
        let refused = operator(&home, &["restore", file, "--data", "data"]);
        assert!(refused.status != 0 && refused.err.contains(words), "{refused:?}");
        assert!(!home.path("data/syncline.db").exists());
    }
}
