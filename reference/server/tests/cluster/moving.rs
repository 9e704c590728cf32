//! What an operator does: from a server's own log to a shared one and back, and a purge.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use syncline::clock::Replica;
use tokio::time::sleep;

use crate::client::{Client, Found, SPACE, TOKEN, now_ms, read};
use crate::harness::{Cluster, HEAL, PAUSE, SERVER};
use crate::nats::{Node, ports};

const ALICE: Replica = Replica([1; 16]);
const CHANGES: u64 = 600;

/// A server with its own log.
async fn alone(folder: &Path, name: &str) -> (Node, SocketAddr) {
    let address = SocketAddr::from(([127, 0, 0, 1], ports::<1>()[0]));
    let arguments = ["--listen", &address.to_string(), "--data", &folder.join(name).display().to_string()];
    let mut node = Node::start(&format!("{name}-alone"), Path::new(SERVER), arguments.map(str::to_owned).to_vec(), folder);
    while read(address, Replica([199; 16])).await.is_err() {
        assert_eq!(node.fault(), None);
        sleep(PAUSE).await;
    }
    (node, address)
}

fn run(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(SERVER).args(arguments).output().expect("it runs");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test]
async fn a_store_becomes_a_shared_log_and_a_backup_of_that_a_store() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let before = {
        let (_node, address) = alone(folder.path(), "member-0").await;
        let (mut alice, _) = Client::open(address, ALICE).await.expect("it serves");
        let start_ms = now_ms();
        for seq in 1..=CHANGES {
            alice.push(ALICE, seq, start_ms).await.expect("it serves");
        }
        alice.acked(CHANGES).await.expect("it is settled");
        read(address, Replica([101; 16])).await.expect("it serves")
    };
    assert_eq!((before.position, before.records), (CHANGES, CHANGES));

    let mut cluster = Cluster::of(folder.path(), &[]).await;
    cluster.nodes[3].restart();
    assert_eq!(cluster.found_by(0, 103).await, before, "the shard begins with what the folder held");
    cluster.nodes[4].restart();
    assert_eq!(cluster.found(105).await, before, "the other member read it from the stream");
    let (mut alice, _) = Client::open(cluster.members[1], ALICE).await.expect("it serves");
    alice.push(ALICE, CHANGES + 1, now_ms()).await.expect("it serves");
    assert_eq!(alice.acked(CHANGES + 1).await, Ok(CHANGES + 1));
    let after: Found = cluster.found(107).await;
    drop(cluster);

    let (started, why) = run(&["--listen", "127.0.0.1:0", "--data", &path("member-1")]);
    assert!(!started && why.contains("cache of the stream") && why.contains("--log"), "a cache is not written to alone: {why}");
    assert_eq!(run(&["backup", "--data", &path("member-1"), &path("monday.db")]), (true, String::new()));
    assert_eq!(run(&["restore", &path("monday.db"), "--data", &path("restored")]), (true, String::new()));
    let (_node, address) = alone(folder.path(), "restored").await;
    assert_eq!(read(address, Replica([109; 16])).await, Ok(after), "the cache held all of it");
}

#[tokio::test]
async fn a_long_stream_is_written_anew_for_who_has_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut cluster = Cluster::of(folder.path(), &["--log-bytes", "20000"]).await;
    cluster.led_by_first([101, 103]).await;
    let (mut alice, _) = Client::open(cluster.members[1], ALICE).await.expect("it serves");
    let start_ms = now_ms();
    for seq in 1..=CHANGES {
        alice.push(ALICE, seq, start_ms).await.expect("it serves");
    }
    alice.acked(CHANGES).await.expect("it is settled");
    let until = Instant::now() + HEAL;
    while !cluster.nodes[3].log().contains("wrote the stream anew") {
        assert!(Instant::now() < until, "the leader writes the stream anew: {}", cluster.nodes[3].log());
        sleep(PAUSE).await;
    }
    let before = cluster.found(105).await;
    cluster.nodes[4].kill();
    fs::remove_dir_all(folder.path().join("member-1")).expect("its folder is there");
    cluster.nodes[4].restart();
    assert_eq!(cluster.found(107).await, before, "both members serve");
    cluster.nodes[3].stop();
    assert_eq!(cluster.found_by(1, 109).await, before, "the stream holds all there is");
}

/// The files below a folder that hold these bytes, but not those of the consensus between the stream's servers.
fn holding(folder: &Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("$SYS") {
            found.extend(holding(&path, bytes));
        } else if fs::read(&path).is_ok_and(|file| file.windows(bytes.len()).any(|window| window == bytes)) {
            found.push(path.display().to_string());
        }
    }
    found
}

// Of two threads: one waits for the operator's command, and the other carries what passes between the leader and the stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_purged_leaves_the_stream_and_every_cache() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tokens = folder.path().join("tokens.toml");
    fs::write(&tokens, format!("tokens = [{{token = '{TOKEN}', subject = 'alice', admin = true}}]")).expect("the file is written");
    let mut cluster = Cluster::of(folder.path(), &["--config", &tokens.display().to_string()]).await;
    cluster.led_by_first([101, 103]).await;
    let (mut alice, _) = Client::open(cluster.members[1], ALICE).await.expect("it serves");
    let start_ms = now_ms();
    for seq in 1..=3 {
        alice.push(ALICE, seq, start_ms).await.expect("it serves");
    }
    alice.acked(3).await.expect("it is settled");
    let (purged, kept) = (format!("{ALICE} 2"), format!("{ALICE} 3"));
    assert!(holding(folder.path(), purged.as_bytes()).len() >= 3, "the stream's servers hold it");
    // The member that does not lead passes the operator on, too.
    let server = format!("http://{}", cluster.members[1]);
    let record = format!("todos/{ALICE}-2");
    let done = run(&["space", "--server", &server, "--token", TOKEN, "purge", SPACE, &record]);
    assert_eq!(done, (true, String::new()), "{} {}", cluster.nodes[3].log(), cluster.nodes[4].log());
    let until = Instant::now() + HEAL;
    loop {
        let left = holding(folder.path(), purged.as_bytes());
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < until, "it is still in {left:?}");
        sleep(PAUSE).await;
    }
    assert!(!holding(folder.path(), kept.as_bytes()).is_empty(), "what was not purged is there");
    let found = cluster.found(105).await;
    assert_eq!((found.position, found.records), (4, 2), "the purge is a change that deletes");
}
