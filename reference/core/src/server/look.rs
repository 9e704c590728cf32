//! What a server's store holds of a space, for tools and tests that judge a store; and stores of earlier layouts.

use super::log::{self, Log, Verdict};
use crate::change::Change;
use crate::clock::Replica;
use crate::space::Space;
use crate::store::{Store, StoreError};

/// A settled change as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Its place in the log, from 1.
    pub position: u64,
    /// Who wrote it.
    pub author: [u8; 16],
    /// The author's number for it.
    pub seq: u64,
    /// The author's link there.
    pub link: Option<[u8; 16]>,
    /// 0 accepted, else the code of the registry.
    pub code: u64,
    /// The literal change; none for a skip.
    pub literal: Option<Vec<u8>>,
}

/// The settled changes of a space behind a position, in the order of the log.
///
/// # Errors
/// Where the store fails or is damaged.
pub fn logged(store: &dyn Store, space: &str, position: u64) -> Result<Vec<Logged>, StoreError> {
    let Some(number) = log::find_space(store, space)? else { return Ok(Vec::new()) };
    let log = Log::new(space, number);
    let entry = |(position, entry): (u64, log::Entry)| {
        let link = log.link_at(store, entry.author, entry.seq)?.map(|link| link.0);
        Ok(Logged { position, author: entry.author.0, seq: entry.seq, link, code: entry.verdict.code.0, literal: entry.literal })
    };
    log.entries_after(store, position, usize::MAX)?.into_iter().map(entry).collect()
}

/// A replica that a space knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownReplica {
    /// Its id.
    pub replica: Replica,
    /// Whom it belongs to; where it was never opened, who first brought its changes. (IDENT-9, PEER-19)
    pub subject: String,
    /// Whether it was ever opened.
    pub opened: bool,
    /// Its last settled seq.
    pub seq: u64,
}

/// The replicas of a space, ascending by id.
///
/// # Errors
/// Where the store fails or is damaged.
pub fn replicas(store: &dyn Store, space: &str) -> Result<Vec<KnownReplica>, StoreError> {
    let Some(number) = log::find_space(store, space)? else { return Ok(Vec::new()) };
    let all = Log::new(space, number).replicas(store)?;
    let known = |(replica, settled): (Replica, log::Settled)| KnownReplica {
        replica,
        subject: settled.subject,
        opened: settled.opened,
        seq: settled.seq,
    };
    Ok(all.into_iter().map(known).collect())
}

/// The state of a space; none where there is no such space.
///
/// # Errors
/// Where the store fails or is damaged.
pub fn base(store: &dyn Store, space: &str) -> Result<Option<Space>, StoreError> {
    Ok(log::find_space(store, space)?.map(|number| Log::new(space, number).cells()))
}

/// The last position of the log of a space, or 0.
///
/// # Errors
/// Where the store fails or is damaged.
pub fn head(store: &dyn Store, space: &str) -> Result<u64, StoreError> {
    log::find_space(store, space)?.map_or(Ok(0), |number| Log::new(space, number).head(store))
}

/// The histories of a space, oldest first, each with its first position. (SYNC-2)
///
/// # Errors
/// Where the store fails or is damaged.
pub fn histories(store: &dyn Store, space: &str) -> Result<Vec<([u8; 8], u64)>, StoreError> {
    let Some(number) = log::find_space(store, space)? else { return Ok(Vec::new()) };
    let all = Log::new(space, number).histories(store)?;
    Ok(all.into_iter().map(|start| (start.history.0, start.first)).collect())
}

/// The accepted changes of a space in the order of the log.
///
/// # Errors
/// Where the store fails or is damaged.
pub fn accepted(store: &dyn Store, space: &str) -> Result<Vec<Change>, StoreError> {
    let Some(number) = log::find_space(store, space)? else { return Ok(Vec::new()) };
    let entries = Log::new(space, number).entries_after(store, 0, usize::MAX)?;
    let accepted = entries.iter().filter(|(_, entry)| entry.verdict == Verdict::ACCEPTED);
    accepted.filter_map(|(_, entry)| log::entry_change(entry).transpose()).collect()
}

/// How many cells and lives a space keeps only to say that something is gone.
///
/// # Errors
/// Where the store fails or is damaged.
pub fn gone(store: &dyn Store, space: &str) -> Result<u64, StoreError> {
    log::find_space(store, space)?.map_or(Ok(0), |number| Log::new(space, number).cells().gone_count(store))
}

/// Brings a store of the layout in which every cell had a row of its own to the present one; one that is there stays as it is.
///
/// # Errors
/// Where the store fails or is damaged.
pub fn upgrade(store: &mut dyn Store) -> Result<(), StoreError> {
    for (name, number) in log::space_names(store)? {
        Log::new(&name, number).cells().upgrade(store)?;
    }
    Ok(())
}
