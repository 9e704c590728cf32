//! Several servers that share the log of one shard.
//!
//! ```text
//! follow ──nobody was heard for LEASE──▶ claim ──appended──▶ lead ──an append fails──▶ follow
//!   ▲                                      │
//!   └──────────── another was first ───────┘
//! ```
//!
//! The one that appended the last claim leads: its engine serves all the clients of the shard, and each of its commits is appended
//! after the entry that it knows as the last, or not at all. So whoever was overtaken can write nothing, however late it notices;
//! clocks decide only when a claim is tried. The others keep a cache of the log and pass their clients' connections on to the leader.

mod entry;
mod member;
mod store;
mod stream;

use std::net::SocketAddr;
use std::time::Duration;

mod serve;

pub(crate) use member::Role;
pub(crate) use serve::{Membership, pass_on};
pub(crate) use store::{forget_stream, stream_of};

/// How often the leader shows that it is there.
const RENEW: Duration = Duration::from_secs(1);
/// After this long without an entry a member tries to take the lead.
const LEASE: Duration = Duration::from_secs(4);
/// A stream is written anew where it is longer than an operator allows, and this many times as long as the store that it makes.
const WHOLE_RATIO: u64 = 2;
/// The pause before a log that could not be read or joined is tried again.
const READ_PAUSE: Duration = Duration::from_millis(500);

/// The log that a server shares with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterConfig {
    /// `nats://` addresses of the servers of the stream, separated by commas.
    pub log: String,
    /// The shard that this server is a member of.
    pub shard: String,
    /// On how many servers of the stream each commit is kept.
    pub replicas: usize,
    /// Bytes of the stream above which the leader may write it anew.
    pub log_bytes: u64,
    /// Where this server serves the connections that the other members pass on.
    pub relay: SocketAddr,
}

/// Why a server does not become a member.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The servers of the stream cannot be reached.
    #[error("{log}: cannot reach the log: {reason}")]
    Unreachable {
        /// Where they were looked for.
        log: String,
        /// What came back.
        reason: String,
    },
    /// They are of an old release.
    #[error("the log is kept by nats-server {found}; allowed is {}.{} or later, since older ones can give two writers the same place", .least.0, .least.1)]
    Release {
        /// Their release.
        found: String,
        /// The oldest that is used.
        least: (u64, u64),
    },
    /// They take only small entries.
    #[error("the log takes entries of up to {found} bytes (max_payload of nats-server); at least {least} are needed")]
    Payload {
        /// Bytes of the largest entry.
        found: usize,
        /// What is needed.
        least: usize,
    },
    /// The stream cannot be made or looked at.
    #[error("stream {stream}: {reason}")]
    Stream {
        /// Its name.
        stream: String,
        /// What came back.
        reason: String,
    },
    /// The stream is kept on fewer servers than was asked for.
    #[error("stream {stream} is kept on {found} servers, and {wanted} were asked for; say --replicas {found}, or change the stream")]
    Replicas {
        /// Its name.
        stream: String,
        /// On how many it is kept.
        found: usize,
        /// What was asked for.
        wanted: usize,
    },
    /// The data folder holds a cache of another stream, or a store of its own.
    #[error(
        "the data folder holds {found}, and stream {stream} is the one created {created}; choose another folder, or a shard of another name"
    )]
    Foreign {
        /// The name of the stream.
        stream: String,
        /// What the folder holds.
        found: String,
        /// When the stream was created.
        created: String,
    },
    /// The stream was made by a release with another format of the store.
    #[error(
        "stream {stream} is of format {found}, and this release's is {own}; restore a backup to a folder and start on it with --shard and a name that was not used"
    )]
    Format {
        /// Its name.
        stream: String,
        /// The format it was made with.
        found: String,
        /// The format of this release.
        own: i64,
    },
    /// A server without a shared log was started on a cache of one.
    #[error("{}: it is a cache of the stream created {stream}; start with --log, or restore a backup of it to another folder", .folder.display())]
    Cache {
        /// The folder.
        folder: std::path::PathBuf,
        /// When the stream was created.
        stream: String,
    },
    /// What the folder holds could not be written to a new stream.
    #[error("stream {stream}: what the data folder holds was not written there: {reason}; choose a shard of another name")]
    Seed {
        /// The name of the stream.
        stream: String,
        /// What came back.
        reason: String,
    },
    /// The cache cannot be read or written.
    #[error(transparent)]
    Store(#[from] syncline::store::StoreError),
}
