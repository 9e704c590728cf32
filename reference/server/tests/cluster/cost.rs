//! What the shared log costs beside the embedded one, in one run: `cargo cluster-cost`, in a release build.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use syncline::clock::Replica;
use syncline::registry::{DURABILITY_REPLICATED, DURABILITY_STORED};
use tokio::time::sleep;

use crate::client::{Client, Writer, read, writers};
use crate::harness::{Cluster, HEAL, SERVER};
use crate::nats::{Node, ports};

/// Changes of one writer that waits for each.
const CHANGES: u64 = 500;
/// Writers that do not wait, with up to 16 changes each under way, and for how long.
const WRITERS: u8 = 8;
const SPAN: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cost_of_the_shared_log() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let alone = SocketAddr::from(([127, 0, 0, 1], ports::<1>()[0]));
    let arguments = ["--listen", &alone.to_string(), "--data", &folder.path().join("alone").display().to_string()];
    let mut node = Node::start("alone", Path::new(SERVER), arguments.map(str::to_owned).to_vec(), folder.path());
    while read(alone, Replica([101; 16])).await.is_err() {
        assert!(node.fault().is_none(), "it runs");
        sleep(Duration::from_millis(50)).await;
    }
    println!(
        "log                            one writer, waiting: changes/s   p50 ms   p99 ms   {WRITERS} writers, 16 under way each: changes/s"
    );
    let embedded = measure("embedded", alone, 1, DURABILITY_STORED).await.expect("it serves");
    node.kill();
    let mut cluster = Cluster::of(folder.path(), &[]).await;
    cluster.led_by_first([103, 105]).await;
    let [leader, follower] = cluster.members;
    let said = |why: String| -> f64 { panic!("{why}\n{}\n{}", cluster.nodes[3].log(), cluster.nodes[4].log()) };
    let shared = measure("shared, by the leader", leader, 1, DURABILITY_REPLICATED).await.unwrap_or_else(said);
    measure("shared, by another member", follower, 21, DURABILITY_REPLICATED).await.unwrap_or_else(said);
    println!("the shared log takes {:.2} of the changes that the embedded one takes", shared / embedded);
    let took = kill_leader(&mut cluster).await;
    println!("after a kill of the leader the next change was acknowledged in {:.1} s", took.as_secs_f64());
}

/// Prints a row of the table; gives the changes a second of many writers.
async fn measure(name: &str, address: SocketAddr, first: u8, durability: u64) -> Result<f64, String> {
    let mut writers = writers(first..=first + WRITERS, durability);
    let waiting = writers.pop().expect("one more");
    let (mut client, opened) = Client::open(address, waiting.replica).await.expect("it serves");
    let mut spans = Vec::new();
    let began = Instant::now();
    for seq in opened.last_seq + 1..=opened.last_seq + CHANGES {
        let sent = Instant::now();
        client.push(waiting.replica, seq, waiting.start_ms).await?;
        client.acked(seq).await.map_err(|why| format!("change {seq}: {why}"))?;
        spans.push(sent.elapsed());
    }
    let one = CHANGES as f64 / began.elapsed().as_secs_f64();
    spans.sort_unstable();
    let at = |share: f64| spans[(spans.len() as f64 * share) as usize].as_secs_f64() * 1_000.0;
    let stop = Arc::new(AtomicBool::new(false));
    let acked = |writers: &[Arc<Writer>]| writers.iter().map(|writer| writer.acked()).sum::<u64>();
    let tasks: Vec<_> = writers.iter().map(|writer| tokio::spawn(Arc::clone(writer).run(vec![address], Arc::clone(&stop)))).collect();
    while writers.iter().any(|writer| writer.acked() == 0) {
        assert!(began.elapsed() < HEAL, "every writer is let in");
        sleep(Duration::from_millis(10)).await;
    }
    let (before, began) = (acked(&writers), Instant::now());
    sleep(SPAN).await;
    let many = (acked(&writers) - before) as f64 / began.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.expect("no writer met what must not be");
    }
    println!("{name:<30} {one:>31.0} {:>8.2} {:>8.2} {many:>47.0}", at(0.5), at(0.99));
    assert!(many > 0.0, "changes were taken");
    Ok(many)
}

async fn kill_leader(cluster: &mut Cluster) -> Duration {
    let writer = &writers(41..=41, DURABILITY_REPLICATED)[0];
    cluster.nodes[3].kill();
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < HEAL, "the other member leads");
        let Ok((mut client, opened)) = Client::open(cluster.members[1], writer.replica).await else { continue };
        let seq = opened.last_seq + 1;
        if client.push(writer.replica, seq, writer.start_ms).await.is_ok() && client.acked(seq).await.is_ok() {
            return began.elapsed();
        }
    }
}
