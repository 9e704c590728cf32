use std::fs;
use std::process::Command;

use syncline::message::{Item, Message};
use syncline::registry::Code;
use tempfile::tempdir;

use crate::peer::{ALICE, BOB, Peer};
use crate::program::{PROGRAM, Program, command, run};

#[tokio::test]
async fn a_signal_says_bye_and_ends_with_success() {
    let folder = tempdir().expect("a temporary folder");
    let program = Program::start(command(folder.path()));
    let (mut alice, _) = Peer::opened(program.address, "home", ALICE).await;
    alice.push(1, "Buy milk").await;
    alice.acked(1).await;
    let leaving = tokio::spawn(async move {
        let bye = alice.until(|message| matches!(message, Message::Bye { .. })).await;
        alice.closed().await;
        bye
    });
    let (status, log) = tokio::task::spawn_blocking(|| program.terminate()).await.expect("it ends");
    assert!(status.success(), "{status}: {log}");
    assert!(matches!(leaving.await, Ok(Message::Bye { .. })));
}

#[tokio::test]
async fn what_is_under_way_at_a_signal_is_acknowledged_and_kept_or_sent_again() {
    let folder = tempdir().expect("a temporary folder");
    let program = Program::start(command(folder.path()));
    let (mut alice, _) = Peer::opened(program.address, "home", ALICE).await;
    for seq in 1..=50 {
        alice.push(seq, "Buy milk").await;
    }
    let leaving = tokio::spawn(async move {
        let mut acked = 0;
        loop {
            match alice.until(|message| matches!(message, Message::Ack(_) | Message::Bye { .. })).await {
                Message::Ack(ack) => acked = ack.seq,
                Message::Bye { wait_ms } => {
                    alice.closed().await;
                    return (acked, wait_ms);
                }
                other => panic!("neither acknowledged nor sent away: {other:?}"),
            }
        }
    });
    let (status, log) = tokio::task::spawn_blocking(|| program.terminate()).await.expect("it ends");
    assert!(status.success(), "{status}: {log}");
    let (acked, wait_ms) = leaving.await.expect("a clean end");
    // SESS-11: clients spread their return over this.
    assert_eq!(wait_ms, 2_000);

    let program = Program::start(command(folder.path()));
    let (mut alice, opened) = Peer::opened(program.address, "home", ALICE).await;
    assert!((acked..=50).contains(&opened.last_seq), "{} of {acked} acknowledged changes are there", opened.last_seq);
    for seq in opened.last_seq + 1..=51 {
        alice.push(seq, "Buy milk").await;
    }
    assert_eq!(alice.acked(51).await, 51, "the rest is taken as if nothing had been");
}

/// The id of the connection in each line of the log that is about one.
fn connections(log: &str) -> Vec<(String, String)> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let about = lines.filter_map(|line| {
        let fields = &line["fields"];
        Some((fields["connection"].as_str()?.to_owned(), fields["message"].as_str()?.to_owned()))
    });
    about.collect()
}

#[tokio::test]
async fn each_line_of_a_connection_bears_its_id_and_no_other_run_has_it() {
    let folder = tempdir().expect("a temporary folder");
    let mut runs = Vec::new();
    for _ in 0..2 {
        let mut command = command(folder.path());
        command.args(["--log-format", "json"]).env("RUST_LOG", "syncline_server=debug");
        let mut program = Program::start(command);
        let (alice, _) = Peer::opened(program.address, "home", ALICE).await;
        drop(alice);
        program.logged("\"disconnected\"");
        let (_, log) = program.terminate();
        let lines = connections(&log);
        let (ids, messages): (Vec<_>, Vec<_>) = lines.into_iter().unzip();
        assert_eq!(messages, ["connected", "open", "disconnected"], "{log}");
        assert!(ids[0].len() == 16 && ids.iter().all(|id| *id == ids[0]), "{log}");
        runs.push(ids[0].clone());
    }
    assert_ne!(runs[0], runs[1]);
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = tempdir().expect("a temporary folder");
    let mut acked = 0;
    for run in 1..=3 {
        let program = Program::start(command(folder.path()));
        let (mut alice, opened) = Peer::opened(program.address, "home", ALICE).await;
        assert!(opened.last_seq >= acked, "run {run}: {} of {acked} acknowledged changes are there", opened.last_seq);
        // All on their way at once, killed at the first acknowledgement of the second half.
        for seq in opened.last_seq + 1..=opened.last_seq + 100 {
            alice.push(seq, "Buy milk").await;
        }
        acked = alice.acked(opened.last_seq + 50).await;
        program.kill();
    }
    let program = Program::start(command(folder.path()));
    let (mut bob, opened) = Peer::opened(program.address, "home", BOB).await;
    assert!(opened.position >= acked);
    let mut cells = 0;
    while let Message::States(states) = bob.until(|message| matches!(message, Message::States(_))).await {
        cells += states.items.iter().filter(|item| matches!(item, Item::Cells { .. })).count() as u64;
        if states.last {
            break;
        }
    }
    assert_eq!(cells, opened.position, "each change wrote one record");
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_serves_on() {
    let folder = tempdir().expect("a temporary folder");
    // A limit on the size of files stands for the full disk; 4096 blocks of 512 bytes.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$@\"", "sh", PROGRAM, "--listen", "127.0.0.1:0", "--data"]).arg(folder.path());
    let program = Program::start(shell);
    let (bob, _) = Peer::opened(program.address, "home", BOB).await;
    drop(bob);
    let (mut alice, _) = Peer::opened(program.address, "home", ALICE).await;
    let title = "milk ".repeat(10_000);
    let mut acked = 0;
    let refused = loop {
        alice.push(acked + 1, &title).await;
        match alice.until(|message| matches!(message, Message::Ack(_))).await {
            Message::Ack(ack) => acked = ack.seq,
            other => break other,
        }
    };
    assert!(matches!(&refused, Message::Error(error) if error.code == Code::INTERNAL && error.detail.is_some()), "{refused:?}");
    assert!(acked > 0);

    let (mut bob, opened) = Peer::opened(program.address, "home", BOB).await;
    assert_eq!(opened.position, acked, "what was acknowledged, and nothing else");
    assert!(matches!(bob.until(|message| matches!(message, Message::States(_))).await, Message::States(_)));
}

#[tokio::test]
async fn a_log_holds_no_token() {
    let folder = tempdir().expect("a temporary folder");
    let file = folder.path().join("s.toml");
    fs::write(&file, "log_format = 'json'\ntokens = [{token = 'hunter2', subject = 'alice'}]").expect("it is written");
    let mut command = command(folder.path());
    command.arg("--config").arg(file).env("RUST_LOG", "trace");
    let program = Program::start(command);
    let mut alice = Peer::welcomed(program.address, Some("hunter2")).await;
    alice.open("home", ALICE).await;
    let mut mallory = Peer::connect(program.address).await;
    mallory.hello(Some("hunter3")).await;
    mallory.refused(Code::UNAUTHORIZED).await;
    drop((alice, mallory));
    let (status, log) = program.terminate();
    assert!(status.success());
    assert!(!log.contains("hunter"), "SEC-2: {log}");
    assert!(log.contains("\"code\":\"unauthorized\"") && log.contains("\"space\":\"home\""), "{log}");
}

#[test]
fn each_reason_not_to_start_is_told() {
    let folder = tempdir().expect("a temporary folder");
    let refused = |command: Command, words: &[&str]| {
        let (status, log) = run(command);
        assert!(!status.success());
        for word in words {
            assert!(log.contains(word), "{log:?} says {word:?}");
        }
    };
    let program = Program::start(command(folder.path()));
    refused(command(folder.path()), &["another process", "syncline.db"]);

    let other = tempdir().expect("a temporary folder");
    let mut taken = Command::new(PROGRAM);
    taken.args(["--listen", &program.address.to_string(), "--data"]).arg(other.path());
    refused(taken, &["cannot listen on", &program.address.to_string(), "in use"]);

    let file = other.path().join("file");
    fs::write(&file, "").expect("it is written");
    refused(command(&file), &["data folder", "file"]);

    fs::write(other.path().join("syncline.db"), [b'x'; 10_000]).expect("it is written");
    refused(command(other.path()), &["damaged", "syncline.db"]);

    let mut exposed = Command::new(PROGRAM);
    exposed.args(["--listen", "0.0.0.0:0", "--data"]).arg(other.path());
    refused(exposed, &["0.0.0.0:0", "--open", "tokens"]);
}
