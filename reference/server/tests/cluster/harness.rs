//! The cluster: three servers of a stream and two members of a shard, each a process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use syncline::clock::Replica;
use tokio::time::sleep;

use crate::client::{Found, Writer, read};
use crate::nats::{Node, ports, stream_servers};
use crate::wire::Wire;

pub const SERVER: &str = env!("CARGO_BIN_EXE_syncline-server");
/// How long the members may take to serve after the last kill, or a writer to be let in.
pub const HEAL: Duration = Duration::from_secs(60);
pub const PAUSE: Duration = Duration::from_millis(500);

/// Three servers of the stream, then two members.
pub struct Cluster {
    pub nodes: Vec<Node>,
    pub members: [SocketAddr; 2],
    /// What lies between the first member and the stream.
    pub wire: Wire,
}

impl Cluster {
    pub async fn start(folder: &Path) -> Self {
        let mut cluster = Self::of(folder, &[]).await;
        cluster.nodes[3..].iter_mut().for_each(Node::restart);
        cluster
    }

    /// One whose members are not started yet, with these flags.
    pub async fn of(folder: &Path, flags: &[&str]) -> Self {
        let (mut nodes, stream) = stream_servers(&stream_program(), folder);
        let members = ports::<2>().map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let wire = Wire::to(&stream).await;
        for (i, (address, stream)) in members.iter().zip([&wire.addresses, &stream]).enumerate() {
            let name = format!("member-{i}");
            let data = folder.join(&name);
            let log = stream.iter().map(|address| format!("nats://{address}")).collect::<Vec<_>>().join(",");
            let address = address.to_string();
            let own = ["--listen", &address, "--data", &data.display().to_string(), "--log", &log];
            let arguments = own.iter().chain(flags).map(|argument| (*argument).to_owned()).collect();
            nodes.push(Node::new(&name, Path::new(SERVER), arguments, folder));
        }
        Self { nodes, members, wire }
    }

    /// Has the first member lead, and the second follow.
    pub async fn led_by_first(&mut self, readers: [u8; 2]) {
        self.nodes[4].kill();
        self.nodes[3].kill();
        self.nodes[3].restart();
        self.found_by(0, readers[0]).await;
        self.nodes[4].restart();
        self.found(readers[1]).await;
    }

    /// A member ends where the stream cannot be reached at its start; whoever runs it starts it again.
    pub fn revive(&mut self) {
        for node in &mut self.nodes {
            if let Some(fault) = node.fault() {
                assert!(!fault.contains("panicked"), "{fault}");
                node.restart();
            }
        }
    }

    /// Waits until every writer was acknowledged something more.
    pub async fn heal(&mut self, writers: &[Arc<Writer>]) {
        let before: Vec<u64> = writers.iter().map(|writer| writer.acked()).collect();
        let until = Instant::now() + HEAL;
        while writers.iter().zip(&before).any(|(writer, before)| writer.acked() == *before) {
            assert!(Instant::now() < until, "every writer is let in again: {before:?}");
            self.revive();
            sleep(PAUSE).await;
        }
    }

    /// What both members show once they serve, and it is the same.
    pub async fn found(&mut self, reader: u8) -> Found {
        let until = Instant::now() + HEAL;
        let mut why = String::new();
        while Instant::now() < until {
            self.revive();
            let (first, second) =
                (read(self.members[0], Replica([reader; 16])).await, read(self.members[1], Replica([reader + 1; 16])).await);
            match (first, second) {
                (Ok(first), Ok(second)) => {
                    assert_eq!(first, second, "both members show the same");
                    return first;
                }
                (first, second) => why = format!("{first:?} {second:?}"),
            }
            sleep(PAUSE).await;
        }
        panic!("the members do not serve: {why}");
    }

    /// What one member shows once it serves, whether the other lives or not.
    pub async fn found_by(&mut self, member: usize, reader: u8) -> Found {
        let until = Instant::now() + HEAL;
        loop {
            self.revive();
            match read(self.members[member], Replica([reader; 16])).await {
                Ok(found) => return found,
                Err(why) => assert!(Instant::now() < until, "it does not serve: {why}"),
            }
            sleep(PAUSE).await;
        }
    }
}

/// The pinned server of the stream.
fn stream_program() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.ci/nats-server");
    let output = Command::new(script).output().expect("the script runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim())
}
