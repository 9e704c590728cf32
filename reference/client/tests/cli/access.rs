//! Tokens, rights and logging out, with a server. Spec 14.

use serde_json::Value;

use crate::harness::{Replica, Running, Server};

// ACCESS-18
#[test]
fn logging_out_loses_nothing_unless_forced() {
    let (home, replica) = (Replica::new(), Replica::new());
    let server = Server::start(&home.path("data"), &[]);
    replica.ok(&["put", "todos/t1", "title=Milk"]);
    let refused = replica.fails(1, &["logout"]);
    assert!(refused.contains("1 change") && refused.contains("--force"), "{refused}");
    assert_eq!(replica.ok(&["list"]), "todos/t1 title=\"Milk\"\n");
    replica.sync(&server);
    assert!(replica.ok(&["logout"]).contains("holds nothing"));
    assert!(!replica.path("replica.db").exists());
    assert_eq!(replica.ok(&["list"]), "");
    replica.ok(&["put", "todos/t2", "title=Bread"]);
    assert_eq!(replica.json(&["logout", "--force"])["lost"], 1);
    assert_eq!(replica.ok(&["list"]), "");
}

#[test]
fn a_reader_keeps_what_it_writes_and_says_so() {
    let (home, ann) = (Replica::new(), Replica::new());
    let tokens = home.path("tokens.toml");
    let entry = |token: &str, spaces: &str| format!("[[tokens]]\ntoken = \"{token}\"\nsubject = \"{token}\"\n{spaces}\n");
    std::fs::write(&tokens, entry("writer", "") + &entry("reader", "spaces = {default = \"read\"}")).expect("the folder is ours");
    let server = Server::start(&home.path("data"), &["--config", tokens.to_str().expect("a path of ours is text")]);
    home.ok(&["sync", "--server", &server.url, "--token", "writer"]);
    ann.ok(&["put", "todos/t1", "title=Milk"]);
    let waits = ann.fails(1, &["sync", "--server", &server.url, "--token", "reader", "--timeout", "1s"]);
    assert!(waits.contains("reading only") && waits.contains("1 change to sync"), "ACCESS-12: {waits}");
    let status = ann.json(&["status", "--token", "reader"]);
    assert_eq!((&status["may_write"], &status["pending"]), (&Value::Bool(false), &Value::from(1)));
    assert!(ann.ok(&["status", "--token", "reader"]).contains("reading only"));
}

#[test]
fn a_token_comes_from_a_file_and_is_renewed_from_it() {
    let (home, ann) = (Replica::new(), Replica::new());
    let tokens = home.path("tokens.toml");
    let entry = |token: &str| format!("[[tokens]]\ntoken = \"{token}\"\nsubject = \"ann\"\nid = \"{token}\"\n");
    let revoked = home.path("revoked.toml");
    std::fs::write(&revoked, "").expect("the folder is ours");
    let settings = format!("revoked = '{}'\n", revoked.display()) + &entry("first") + &entry("second");
    std::fs::write(&tokens, settings).expect("the folder is ours");
    let server = Server::start(&home.path("data"), &["--config", tokens.to_str().expect("a path of ours is text")]);
    let file = ann.path("token");
    let path = file.to_str().expect("a path of ours is text");
    assert!(ann.fails(1, &["status", "--token-file", path]).contains("cannot be read"));
    std::fs::write(&file, "first\n").expect("the folder is ours");
    ann.ok(&["put", "todos/t1", "title=Milk"]);
    let watch = Running::start_with_notes(ann.command(&["watch", "--server", &server.url, "--token-file", path]));
    assert!(home.ok(&["sync", "--server", &server.url, "--token", "second"]).contains("in sync"));
    // ACCESS-15: the second token is in use when the first one goes.
    std::fs::write(&file, "second\n").expect("the folder is ours");
    while !watch.line().contains("is in use") {}
    std::fs::write(&revoked, "tokens = ['first']").expect("the folder is ours");
    while home.run(&["sync", "--token", "first"]).status == 0 {}
    home.ok(&["put", "todos/t2", "title=Bread"]);
    home.ok(&["sync", "--token", "second"]);
    while !watch.line().contains("Bread") {}
}
