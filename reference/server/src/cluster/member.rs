//! A member of a shard: follows the log, and takes the lead when nobody else shows that it has it.

use std::path::Path;
use std::time::{Duration, Instant};

use syncline::store::{StoreError, Transact};
use syncline_store::{Kind, SqliteStore};
use tokio::sync::watch;
use tracing::{info, warn};

use super::entry::EntryKind;
use super::store::{Applied, Shared, append_whole, is_empty, take};
use super::stream::{Stream, StreamConfig};
use super::{ClusterConfig, ClusterError, LEASE};
use crate::ServeError;
use crate::engine::Engine;
use crate::log::Log;

/// What a server does for those who connect to it.
#[derive(Clone)]
pub(crate) enum Role {
    /// Nothing: nobody leads, as far as it knows.
    Waits,
    /// It passes them on to the member at this address.
    Follows(String),
    /// It serves them.
    Leads(Engine),
}

impl Role {
    /// Whether it passes connections on to this address.
    pub(crate) fn follows(&self, leader: &str) -> bool {
        matches!(self, Self::Follows(other) if other == leader)
    }
}

/// A member that follows.
pub(crate) struct Member {
    cache: SqliteStore,
    stream: Stream,
    log_bytes: u64,
    heard: Instant,
    /// How long after it was heard of nobody leads.
    patience: Duration,
    /// Whether all there is is being written anew.
    anew: bool,
}

impl Member {
    /// Joins the shard with the cache in this file; `address` is where the other members reach this one. A store of its own is how
    /// a new shard begins.
    ///
    /// # Errors
    /// The log cannot be used, or the file is not a cache of it.
    pub(crate) async fn join(config: &ClusterConfig, address: String, file: &Path) -> Result<Self, ServeError> {
        let mut run = [0; 8];
        getrandom::fill(&mut run).map_err(ServeError::Entropy)?;
        let settings = StreamConfig {
            servers: config.log.clone(),
            shard: config.shard.clone(),
            replicas: config.replicas,
            address,
            run: format!("{:016x}", u64::from_be_bytes(run)),
        };
        let mut stream = Stream::connect(settings).await?;
        let mut cache = SqliteStore::open(file, Kind::Server)?;
        let applied = Applied::of(&cache).map_err(ClusterError::Store)?;
        let empty = is_empty(&cache).map_err(ClusterError::Store)?;
        if applied.is_none() && !empty && stream.is_new() {
            append_whole(&mut cache, &mut stream).await.map_err(|reason| stream.unseeded(reason))?;
            let put = stream.applied().put(&mut cache).and_then(|()| cache.commit());
            put.map_err(ClusterError::Store)?;
            info!("the shard begins with what the data folder holds");
        } else {
            stream.resume(applied, empty)?;
        }
        // Where nothing was ever appended, nobody leads.
        let patience = if stream.is_new() { Duration::ZERO } else { LEASE };
        Ok(Self { cache, stream, log_bytes: config.log_bytes, heard: Instant::now(), patience, anew: false })
    }

    /// Follows until this server leads, and gives the log to lead with.
    ///
    /// # Errors
    /// The cache cannot be written.
    pub(crate) async fn follow(mut self, role: &watch::Sender<Role>) -> Result<Box<dyn Log>, StoreError> {
        loop {
            let read = self.read(role).await;
            // Half a commit does not count, or is read again from its first part.
            self.cache.rollback();
            match read {
                Ok(()) => {
                    info!("leads the shard");
                    return Ok(Box::new(Shared::new(self.cache, self.stream, self.log_bytes)));
                }
                Err(Unread::Stream(reason)) => warn!(reason, "reads the log anew"),
                Err(Unread::Cache(error)) => return Err(error),
            }
            let applied = Applied::of(&self.cache)?;
            self.stream.go_back(applied);
            tokio::time::sleep(super::READ_PAUSE).await;
        }
    }

    /// Reads on until this server leads.
    async fn read(&mut self, role: &watch::Sender<Role>) -> Result<(), Unread> {
        let mut entries = self.stream.read().await.map_err(Unread::Stream)?;
        loop {
            let left = self.patience.saturating_sub(self.heard.elapsed());
            match self.stream.next(&mut entries, left).await.map_err(Unread::Stream)? {
                Some(entry) => {
                    self.heard = Instant::now();
                    self.take(&entry, role).map_err(Unread::Cache)?;
                }
                None => {
                    set(role, Role::Waits);
                    let claim = EntryKind::Claim(self.stream.address().to_owned());
                    let claimed = self.stream.append(claim).await;
                    (self.heard, self.patience) = (Instant::now(), LEASE);
                    match claimed {
                        Ok(()) => return Ok(()),
                        Err(reason) => info!(reason, "does not lead"),
                    }
                }
            }
        }
    }

    fn take(&mut self, entry: &EntryKind, role: &watch::Sender<Role>) -> Result<(), StoreError> {
        if let EntryKind::Claim(address) = entry {
            let left = address.is_empty();
            self.patience = if left { Duration::ZERO } else { LEASE };
            // A claim of an earlier run of this server is nobody's.
            let nobodys = left || address == self.stream.address();
            set(role, if nobodys { Role::Waits } else { Role::Follows(address.clone()) });
        }
        take(&mut self.cache, entry, &self.stream.applied())?;
        match entry {
            EntryKind::Claim(_) => self.anew = false,
            EntryKind::Part { whole, .. } => self.anew |= *whole,
        }
        if self.anew && matches!(entry, EntryKind::Part { last: true, .. }) {
            self.anew = false;
            // What was purged is not to stay in the write-ahead log; a reader that holds it back is a backup, which ends. (ACCESS-19)
            self.cache.scrub()?;
        }
        Ok(())
    }
}

/// Why reading ended.
enum Unread {
    Stream(String),
    Cache(StoreError),
}

fn set(role: &watch::Sender<Role>, next: Role) {
    role.send_if_modified(|now| {
        let same = match (&*now, &next) {
            (Role::Waits, Role::Waits) => true,
            (now, Role::Follows(leader)) => now.follows(leader),
            _ => false,
        };
        if !same {
            *now = next;
        }
        !same
    });
}
