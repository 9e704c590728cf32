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
