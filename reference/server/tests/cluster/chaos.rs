//! Any of the five processes is killed or paused at any time, and nothing is lost or doubled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use syncline::entropy::Entropy;
use syncline::registry::DURABILITY_REPLICATED;
use tokio::time::sleep;

use crate::client::{Found, Writer, writers};
use crate::harness::Cluster;
use crate::nats::Node;

const WRITERS: u8 = 8;
const CHAOS_SECONDS: u64 = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_is_killed_or_late_nothing_acknowledged_is_lost_and_nothing_is_doubled() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut cluster = Cluster::start(folder.path()).await;
    cluster.found(101).await;
    let (writers, stop) = (writers(1..=WRITERS, DURABILITY_REPLICATED), Arc::new(AtomicBool::new(false)));
    let start = |writer: &Arc<Writer>| tokio::spawn(Arc::clone(writer).run(cluster.members.to_vec(), Arc::clone(&stop)));
    let tasks: Vec<_> = writers.iter().map(start).collect();
    let seed = number("SYNCLINE_CHAOS_SEED", u64::from(std::process::id()));
    let (mut entropy, mut kills, mut pauses) = (Entropy::from_u64(seed), [0; 5], [0; 5]);
    let until = Instant::now() + Duration::from_secs(number("SYNCLINE_CHAOS_SECONDS", CHAOS_SECONDS));
    while Instant::now() < until {
        sleep(Duration::from_millis(1_000 + entropy.below(9_000))).await;
        let victim = entropy.below(5) as usize;
        match entropy.below(2) {
            0 => {
                kills[victim] += 1;
                cluster.nodes[victim].kill();
                sleep(Duration::from_millis(entropy.below(3_000))).await;
                cluster.nodes[victim].restart();
            }
            _ => {
                // A member that wakes up after its lease does not know that another leads.
                pauses[victim] += 1;
                cluster.nodes[victim].pause(true);
                sleep(Duration::from_millis(entropy.below(9_000))).await;
                cluster.nodes[victim].pause(false);
            }
        }
        cluster.revive();
    }
    cluster.heal(&writers).await;
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.expect("no writer met what must not be");
    }
    let found = cluster.found(105).await;
    let settled = check(&cluster, &writers, &found).await;
    let names: Vec<_> = cluster.nodes.iter().map(Node::name).collect();
    println!("seed {seed}: killed {kills:?} and paused {pauses:?} of {names:?}; {settled} changes, each acknowledged one there once");
    // Each in its turn leads alone, from its own cache.
    for member in [3, 4] {
        cluster.nodes[member].kill();
        let from_cache = cluster.found_by(4 - member, 107 + member as u8).await;
        assert_eq!(from_cache, found, "the cache of the other member holds the same");
        cluster.nodes[member].restart();
        cluster.found(111 + 2 * member as u8).await;
    }
    // One that lost its cache reads all from the stream.
    cluster.nodes[4].kill();
    std::fs::remove_dir_all(folder.path().join("member-1")).expect("its folder is there");
    cluster.nodes[4].restart();
    cluster.nodes[3].stop();
    assert_eq!(cluster.found_by(1, 121).await, found, "the stream holds the same");
}

/// Compares the log with what the writers know; gives how many changes it holds.
async fn check(cluster: &Cluster, writers: &[Arc<Writer>], found: &Found) -> u64 {
    let mut settled = 0;
    for writer in writers {
        let (seq, link) = writer.settled(cluster.members[0]).await.expect("the members serve");
        let acked = writer.acked();
        assert!(acked > 0, "{} was let in", writer.replica);
        assert!(seq >= acked, "{}: {acked} was acknowledged, and the log ends at {seq}", writer.replica);
        assert_eq!(link, writer.link(seq), "{}: the log holds its changes, each once and in order", writer.replica);
        settled += seq;
    }
    assert_eq!(found.position, settled, "each change has one position");
    assert_eq!(found.records, settled, "each change wrote one record");
    settled
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
