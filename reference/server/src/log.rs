//! The log that decides the order: a store whose commits are appended to it, or refused.
//!
//! The engine stages what a batch of frames led to in an open transaction and commits it. What a commit means is the log's
//! matter: one file synced, or a majority of a cluster that holds it. Everything else of the engine is the same over both.

use syncline::store::{StoreError, Transact};
use syncline_store::SqliteStore;

/// A store whose commits decide the order of a shard's spaces.
pub(crate) trait Log: Transact + Send {
    /// Whether a commit has nothing to write.
    fn is_clean(&self) -> bool;

    /// Leaves nothing of what was erased where this server keeps it. False where a reader still needs some of it: then it is to be
    /// tried again. (ACCESS-19)
    ///
    /// # Errors
    /// What is kept cannot be written.
    fn scrub(&mut self) -> Result<bool, StoreError>;

    /// Says that this server is still there, where others wait to take its place, and does what is due. Called between transactions.
    fn renew(&mut self) {}

    /// Milliseconds between two calls of `renew`; none: never.
    fn renew_ms(&self) -> Option<u64> {
        None
    }

    /// Leaves its place to the others. Nothing can be committed from then on.
    fn leave(&mut self) {}

    /// Whether another server may have taken this one's place. Nothing can be committed from then on.
    fn is_lost(&self) -> bool {
        false
    }
}

/// One file that nobody else has open: a commit is durable here, and its order is nobody else's matter.
impl Log for SqliteStore {
    fn is_clean(&self) -> bool {
        Self::is_clean(self)
    }

    fn scrub(&mut self) -> Result<bool, StoreError> {
        Self::scrub(self)
    }
}
