//! Each command by itself, without a server.

use serde_json::{Value, json};

use crate::harness::{Replica, Running, Server};

#[test]
fn a_record_is_put_read_changed_and_deleted() {
    let replica = Replica::new();
    let saved = replica.json(&["put", "todos/t1", "title=Buy milk", "done=false", "n=1.5", "code=\"007\"", "tags=[\"a\"]"]);
    assert_eq!(saved, json!({ "seq": 1, "records": [{ "collection": "todos", "id": "t1" }], "pending": 1 }));
    let expected = json!({ "code": "007", "done": false, "n": 1.5, "tags": ["a"], "title": "Buy milk" });
    assert_eq!(replica.json(&["get", "todos/t1"]), json!({ "collection": "todos", "id": "t1", "fields": expected }));
    assert_eq!(
        replica.ok(&["get", "todos/t1"]),
        "todos/t1\n  code = \"007\"\n  done = false\n  n = 1.5\n  tags = [\"a\"]\n  title = \"Buy milk\"\n"
    );

    replica.ok(&["unset", "todos/t1", "code", "n", "tags"]);
    replica.ok(&["put", "todos/t2"]);
    replica.ok(&["put", "other/with/slash", "x=1"]);
    assert_eq!(replica.ok(&["list", "todos"]), "todos/t1 done=false title=\"Buy milk\"\ntodos/t2\n");
    assert_eq!(
        replica.ok(&["export"]),
        concat!(
            "{\"collection\":\"other\",\"id\":\"with/slash\",\"fields\":{\"x\":1}}\n",
            "{\"collection\":\"todos\",\"id\":\"t1\",\"fields\":{\"done\":false,\"title\":\"Buy milk\"}}\n",
            "{\"collection\":\"todos\",\"id\":\"t2\",\"fields\":{}}\n",
        )
    );
    assert_eq!(replica.ok(&["list", "todos", "--json"]), replica.ok(&["export", "todos"]));

    replica.ok(&["delete", "todos/t1", "todos/t2"]);
    assert_eq!(replica.ok(&["list", "todos"]), "");
    replica.ok(&["put", "todos/t1", "title=again"]);
    assert_eq!(replica.ok(&["list", "todos"]), "todos/t1 title=\"again\"\n");
}

#[test]
fn what_is_not_there_is_said() {
    let replica = Replica::new();
    replica.ok(&["put", "todos/t1", "a=1", "b=2"]);
    let expected = "error: no record todos/t9 in the space default; the collection todos has 1 record here\n";
    assert_eq!(replica.fails(1, &["get", "todos/t9"]), expected);
    assert_eq!(replica.fails(1, &["unset", "todos/t9", "a"]), expected);
    assert_eq!(replica.fails(1, &["delete", "todos/t1", "todos/t9"]), expected);
    assert_eq!(replica.fails(1, &["unset", "todos/t1", "c"]), "error: todos/t1 has no field c; it has: a, b\n");
    assert_eq!(replica.fails(1, &["rejected", "--dismiss", "3"]), "error: no rejection has the number 3; there are none\n");
    assert_eq!(replica.ok(&["list"]), "todos/t1 a=1 b=2\n");
    let complaint = replica.fails(1, &["get", "x/y", "--json"]);
    assert_eq!(complaint, "{\"error\":\"no record x/y in the space default; the collection x is empty here\"}\n");
}

#[test]
fn wrong_usage_has_its_own_status() {
    let replica = Replica::new();
    for args in [
        &["put", "todos"] as &[&str],
        &["put", "todos/t1", "title"],
        &["put", "todos/t1", "a=1", "a=2"],
        &["put", "todos/t1", "--server", "http://example.org"],
        &["sync"],
        &["sync", "--offline", "--server", "ws://127.0.0.1:1"],
        &["sync", "--timeout", "2h"],
        &["import", "--id", "x"],
        &["nothing"],
    ] {
        replica.fails(2, args);
    }
}

#[test]
fn numbers_are_never_rounded() {
    let replica = Replica::new();
    for number in ["9007199254740993", "1e400", "3.141592653589793238", "-12345678901234567890"] {
        let complaint = replica.fails(1, &["put", "n/1", &format!("n={number}")]);
        assert!(complaint.contains(&format!("the number {number} would be rounded")), "{complaint}");
    }
    replica.ok(&["put", "n/1", "max=9007199254740991", "float=1e300", "tenth=0.1", "zero=-0.0", "version=1.2.3"]);
    let fields = "{\"float\":1e+300,\"max\":9007199254740991,\"tenth\":0.1,\"version\":\"1.2.3\",\"zero\":0}";
    assert!(replica.ok(&["export"]).contains(fields), "{}", replica.ok(&["export"]));

    let lines = "{\"id\":1,\"n\":1}\n\n{\"id\":2,\"n\":[9007199254740993]}\n{\"id\":3}\n";
    let ran = replica.feed(&["import", "--collection", "lines", "--id", "id"], lines);
    assert_eq!(ran.status, 1);
    assert!(ran.err.starts_with("error: standard input, line 3: \"n\": the number 9007199254740993 would be rounded"), "{}", ran.err);
    assert_eq!(replica.ok(&["list", "lines"]), "lines/1 id=1 n=1\n");
}

#[test]
fn limits_are_kept_and_named() {
    let replica = Replica::new();
    let long = "x".repeat(65);
    let cases = [
        (vec![format!("{long}/1")], "a collection name of 65 bytes; allowed: 1 to 64 bytes"),
        (vec![format!("c/{}", "x".repeat(129))], "a record id of 129 bytes; allowed: 1 to 128 bytes"),
        (vec!["c/1".to_owned(), format!("{long}=1")], "a field name of 65 bytes; allowed: 1 to 64 bytes"),
        (vec!["c/1".to_owned(), format!("deep={}1{}", "[".repeat(17), "]".repeat(17))], "nested deeper than the 16 levels allowed"),
    ];
    for (args, expected) in cases {
        let args: Vec<&str> = ["put"].into_iter().chain(args.iter().map(String::as_str)).collect();
        let complaint = replica.fails(1, &args);
        assert!(complaint.contains(expected), "{complaint}");
    }
    let line = |id: &str, bytes: usize| format!("{{\"id\":\"{id}\",\"v\":\"{}\"}}\n", "v".repeat(bytes));
    let lines = [line("fits", 262_139), line("large", 262_140), line("after", 1)].concat();
    let ran = replica.feed(&["import", "--collection", "c", "--id", "id"], &lines);
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains("line 2: the value of v has 262145 bytes; allowed: 262144 bytes"), "{}", ran.err);
    assert_eq!(replica.ok(&["export"]).lines().count(), 1);
}

#[test]
fn an_import_goes_on_where_it_stopped() {
    let replica = Replica::new();
    let line = |n: u32| format!("{{\"key\":{n},\"v\":\"{n}\"}}\n");
    let first: String = (0..600).map(line).collect();
    let all: String = (0..1_200).map(line).collect();
    let import = |lines: &str| replica.feed(&["import", "--collection", "c", "--id", "key"], lines);
    assert_eq!(import(&first).out, "read 600 records, saved 2 changes; 2 changes to sync\n");
    assert_eq!(import(&all).out, "read 1200 records, saved 2 changes; 4 changes to sync\n");
    assert_eq!(import(&all).out, "read 1200 records, saved 0 changes; 4 changes to sync\n");
    assert_eq!(replica.ok(&["export"]).lines().count(), 1_200);
}

#[test]
fn lines_that_are_no_records_are_named() {
    let replica = Replica::new();
    let flat = ["import", "--collection", "c", "--id", "id"];
    let cases: [(&[&str], &str, &str); 8] = [
        (&flat, "{\"id\":1", "line 1: not JSON"),
        (&flat, "[1]", "line 1: expected an object, found an array"),
        (&flat, "{\"x\":1}", "line 1: no field id, which --id names; there are: x"),
        (&flat, "{\"id\":1.5}", "line 1: the field id is 1.5; an id is text or an integer"),
        (&flat, "{\"id\":\"\"}", "line 1: an empty record id; allowed: 1 to 128 bytes"),
        (&flat, "{\"id\":1,\"id\":2}", "line 1: the name \"id\" occurs twice in one object"),
        (&["import"], "{\"id\":1}", "line 1: not a line that `export` writes"),
        (&["import"], "{\"collection\":1,\"id\":\"1\",\"fields\":{}}", "line 1: 1 is no name"),
    ];
    for (args, lines, expected) in cases {
        let ran = replica.feed(args, lines);
        assert_eq!((ran.status, ran.out.as_str()), (1, ""), "{lines}");
        assert!(ran.err.contains(expected), "{}", ran.err);
    }
    let missing = replica.fails(1, &["import", "nowhere.ndjson"]);
    assert!(missing.contains("cannot read nowhere.ndjson"), "{missing}");
}

#[test]
fn values_return_from_an_export_as_they_were() {
    let replica = Replica::new();
    let line = "{\"collection\":\"c\",\"id\":\"\\u001b[31m\",\"fields\":{\"$bytes\":\"00\",\"b\":{\"$bytes\":\"00ff\"},\"m\":{\"$$bytes\":\"00ff\"},\"n\":null,\"o\":{\"aa\":1,\"b\":2}}}\n";
    assert_eq!(replica.feed(&["import"], line).status, 0);
    assert_eq!(replica.ok(&["export"]), line);
    let list = replica.ok(&["list"]);
    assert!(list.starts_with("c/\\u{1b}[31m $bytes=\"00\" b={\"$bytes\":\"00ff\"}"), "{list}");
}

#[test]
fn a_store_is_one_spaces_and_has_a_place() {
    let replica = Replica::new();
    replica.ok(&["put", "c/1", "--space", "home"]);
    let complaint = replica.fails(1, &["list", "--space", "work"]);
    assert!(complaint.contains("replica.db") && complaint.contains("holds the space \"home\", not \"work\""), "{complaint}");
    let mut command = replica.command(&["put", "c/1", "--space", "my/work"]);
    command.env_remove("SYNCLINE_STORE");
    assert_eq!(crate::harness::ran(command).status, 0);
    assert!(replica.path(".syncline/my%2fwork.db").exists());
}

#[test]
fn status_offline_tells_what_is_known() {
    let replica = Replica::new();
    replica.ok(&["put", "c/1", "a=1"]);
    let status = replica.json(&["status"]);
    assert_eq!(status["trouble"], "offline: no server is known; give --server URL");
    assert_eq!([&status["pending"], &status["rejected"], &status["position"]], [&json!(1), &json!(0), &json!(null)]);
    // Nothing listens on port 1; the address is remembered.
    replica.ok(&["list", "--server", "ws://127.0.0.1:1"]);
    let status = replica.ok(&["status"]);
    assert!(status.starts_with("state        offline: ws://127.0.0.1:1: "), "{status}");
    assert!(replica.ok(&["status", "--offline"]).starts_with("state        offline, as --offline asks\n"));
    let complaint = replica.fails(1, &["sync", "--timeout", "100ms"]);
    assert!(complaint.starts_with("error: not in sync with ws://127.0.0.1:1 within 100ms: ws://127.0.0.1:1: "), "{complaint}");
    assert!(complaint.ends_with("; 1 change to sync\n"), "{complaint}");
}

#[test]
fn a_token_is_not_sent_where_others_can_read_it() {
    let replica = Replica::new();
    let args = ["sync", "--server", "ws://192.0.2.1", "--token", "secret", "--timeout", "1ms"];
    let complaint = replica.fails(1, &args);
    assert_eq!(
        complaint,
        "error: the token would travel unencrypted to ws://192.0.2.1; allowed are wss:// and loopback addresses, or --insecure-token\n",
        "BIND-6"
    );
    let forced = replica.fails(1, &[&args as &[&str], &["--insecure-token"]].concat());
    assert!(forced.contains("not in sync with ws://192.0.2.1"), "{forced}");
}

#[test]
fn watch_shows_changes_and_holds_the_store() {
    let [home, watcher, writer] = [(); 3].map(|()| Replica::new());
    let server = Server::start(&home.path(""), &[]);
    let watch = Running::start(watcher.command(&["watch", "todos", "--server", &server.url]));
    writer.ok(&["put", "other/t1", "title=not shown"]);
    writer.ok(&["put", "todos/t1", "title=Milk"]);
    writer.sync(&server);
    assert_eq!(watch.line(), "todos/t1 title=\"Milk\"");
    let held = watcher.fails(1, &["list"]);
    assert!(held.contains("replica.db is in use by another syncline process"), "{held}");
    writer.ok(&["delete", "todos/t1"]);
    writer.sync(&server);
    assert_eq!(watch.line(), "todos/t1 deleted");
}

#[test]
fn a_server_that_asks_for_a_token_gets_it() {
    let [home, replica] = [(); 2].map(|()| Replica::new());
    let token = "a-token-of-more-than-sixteen-bytes";
    let tokens = home.path("tokens.toml");
    std::fs::write(&tokens, format!("[[tokens]]\ntoken = \"{token}\"\nsubject = \"ann\"\n")).expect("the folder is ours");
    let server = Server::start(&home.path("data"), &["--config", tokens.to_str().expect("a path of ours is text")]);
    replica.ok(&["put", "c/1", "--server", &server.url]);
    let complaint = replica.fails(1, &["sync"]);
    assert!(complaint.starts_with("error: the server refused: unauthorized"), "{complaint}");
    let status = replica.json(&["status", "--token", "another-token-of-sixteen-bytes"]);
    assert_eq!([&status["in_sync"], &status["pending"]], [&json!(false), &json!(1)]);
    assert_eq!(replica.json(&["sync", "--token", token])["position"], 1);
    let status = replica.ok(&["status", "--token", token]);
    assert!(status.starts_with("state        in sync\n"), "{status}");
}

#[test]
fn watch_shows_who_else_is_there() {
    let [home, a, b] = [(); 3].map(|()| Replica::new());
    let server = Server::start(&home.path(""), &[]);
    let watch = |replica: &Replica, text: &str| {
        let mut command = replica.command(&["watch", "--presence", text, "--server", &server.url, "--json"]);
        command.stdin(std::process::Stdio::null());
        Running::start(command)
    };
    let watching = watch(&a, "reader");
    let other = watch(&b, "writer");
    let next = || -> Value { serde_json::from_str(&watching.line()).expect("a line of JSON") };
    let there = next();
    assert_eq!(there["presence"], "writer", "{there}");
    drop(other);
    let gone = next();
    assert_eq!((&gone["presence"], &gone["replica"]), (&Value::Null, &there["replica"]));
}

#[test]
fn further_rules_are_written_and_shown() {
    let replica = Replica::new();
    replica.ok(&["put", "todos/t1", "title=x"]);
    replica.ok(&["add", "todos/t1", "votes", "3"]);
    replica.ok(&["add", "todos/t1", "votes", "-1"]);
    replica.ok(&["offer", "todos/t1", "best", "7"]);
    replica.ok(&["offer", "todos/t1", "best", "5"]);
    replica.ok(&["offer", "todos/t1", "best", "5", "--least"]);
    replica.ok(&["set", "todos/t1", "tags", "b", "a"]);
    replica.ok(&["set", "todos/t1", "tags", "b", "--remove"]);
    replica.ok(&["map", "todos/t1", "attrs", "k=1", "l=two"]);
    replica.ok(&["map", "todos/t1", "attrs", "--unset", "k"]);
    replica.ok(&["multi", "todos/t1", "note", "one", "two"]);
    replica.ok(&["multi", "todos/t1", "note", "three"]);
    let columns = json!({
        "attrs": { "map": { "l": "two" } },
        "best": { "max": 7, "min": 5 },
        "note": { "multi": ["three"] },
        "tags": { "set": ["a"] },
        "votes": { "counter": 2 },
    });
    let expected = json!({ "collection": "todos", "id": "t1", "fields": { "title": "x" }, "columns": columns });
    assert_eq!(replica.json(&["get", "todos/t1"]), expected);
    let listed =
        "todos/t1 title=\"x\" attrs:map={\"l\":\"two\"} best:min=5 best:max=7 note:multi=[\"three\"] tags:set=[\"a\"] votes:counter=2\n";
    assert_eq!(replica.ok(&["list"]), listed);
    replica.fails(1, &["add", "todos/t1", "votes", "0"]);
}

#[test]
fn what_is_not_subscribed_is_not_here() {
    let [home, a, b] = [(); 3].map(|()| Replica::new());
    let server = Server::start(&home.path(""), &[]);
    a.ok(&["put", "todos/t1", "title=Milk"]);
    a.ok(&["put", "lists/l1", "title=Home"]);
    a.sync(&server);
    assert_eq!(b.json(&["subscribe"]), json!({ "collections": null }));
    assert_eq!(b.json(&["subscribe", "todos"]), json!({ "collections": ["todos"] }));
    b.sync(&server);
    assert_eq!(b.ok(&["list", "--json"]).lines().count(), 1);
    assert!(b.fails(1, &["put", "lists/l1", "title=Mine"]).contains("not subscribed"));
    b.ok(&["subscribe", "lists"]);
    assert_eq!(b.ok(&["list", "--json"]), "");
    b.sync(&server);
    assert_eq!(b.json(&["get", "lists/l1"])["fields"]["title"], "Home");
    b.ok(&["subscribe", "--all"]);
    b.sync(&server);
    assert_eq!(b.ok(&["export"]), a.ok(&["export"]));
}

// COND-1, COND-6
#[test]
fn of_two_who_take_one_seat_one_is_told() {
    let (home, ann, bob) = (Replica::new(), Replica::new(), Replica::new());
    let server = Server::start(&home.path("data"), &[]);
    ann.ok(&["put", "seats/4a", "by=ann", "--if-unchanged"]);
    bob.ok(&["put", "seats/4a", "by=bob", "--if-unchanged"]);
    ann.sync(&server);
    bob.sync(&server);
    assert!(bob.ok(&["rejected"]).contains("condition"), "{}", bob.ok(&["rejected"]));
    assert_eq!(bob.ok(&["get", "seats/4a"]), "seats/4a\n  by = \"ann\"\n");
    bob.ok(&["put", "seats/4a", "by=bob", "--if-unchanged"]);
    bob.sync(&server);
    ann.sync(&server);
    assert_eq!(ann.ok(&["get", "seats/4a"]), "seats/4a\n  by = \"bob\"\n");
}

#[test]
fn the_command_holds_no_faulty_variants() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_syncline")).expect("the command can be read");
    let marker = b"SYNCLINE_MUTANT";
    assert!(!program.windows(marker.len()).any(|window| window == marker), "only builds for the conformance suite read that variable");
}

#[test]
fn completions_and_manual_pages_are_written() {
    let replica = Replica::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let text = replica.ok(&["completions", shell]);
        assert!(text.contains("if-unchanged"), "{shell}: {text}");
    }
    std::fs::create_dir(replica.path("man")).expect("the folder is ours");
    replica.ok(&["man", "man"]);
    let page = std::fs::read_to_string(replica.path("man/syncline-put.1")).expect("a page for each command");
    assert!(page.contains("Set fields of a record"), "{page}");
    assert!(replica.fails(1, &["man", "nowhere"]).contains("No such file"));
}
