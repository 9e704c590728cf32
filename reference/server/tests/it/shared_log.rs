//! A shared log that cannot be used. What needs one is in `tests/cluster`.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use tempfile::tempdir;

use crate::program::{command, run};

/// What the program says of a log whose server speaks so of itself.
fn refused(info: &str, words: &[&str]) {
    let (listener, folder) = (TcpListener::bind("127.0.0.1:0").expect("a free port"), tempdir().expect("a temporary folder"));
    let log = format!("nats://someone:hunter2@{}", listener.local_addr().expect("it is bound"));
    let info = info.to_owned();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the program connects");
        write!(stream, "INFO {info}\r\n").expect("it reads");
        let lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
        for line in lines.map_while(Result::ok) {
            if line == "PING" {
                write!(stream, "PONG\r\n").expect("it reads");
            }
        }
    });
    let mut program = command(folder.path());
    program.args(["--log", &log]);
    let (status, said) = run(program);
    assert_eq!(status.code(), Some(1), "{said}");
    for word in words {
        assert!(said.contains(word), "{said:?} says {word:?}");
    }
    assert!(!said.contains("hunter2"), "{said:?} shows a secret");
}

#[test]
fn old_servers_of_a_log_are_refused() {
    for old in ["2.9.10", "2.10.29", "2.14.0"] {
        refused(&format!(r#"{{"version":"{old}","max_payload":1048576,"headers":true,"jetstream":true}}"#), &[old, "2.15 or later"]);
    }
}

#[test]
fn a_log_with_no_room_for_an_entry_is_refused() {
    refused(r#"{"version":"2.15.1","max_payload":65536,"headers":true,"jetstream":true}"#, &["65536", "1048576", "max_payload"]);
}

#[test]
fn a_log_that_cannot_be_reached_is_said_to_be_so() {
    let folder = tempdir().expect("a temporary folder");
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let mut program = command(folder.path());
    program.args(["--log", &format!("nats://{free}")]);
    let (status, said) = run(program);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("nats://{free}: cannot reach the log")), "{said}");
}
