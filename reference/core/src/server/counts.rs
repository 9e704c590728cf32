//! What a server did and how its readers stand, for whoever operates it.

use std::collections::BTreeMap;

use super::{ConnId, Phase, Server};
use crate::registry::Code;

/// What happened since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Changes that got a durable verdict, by its code; that of acceptance is 0.
    pub verdicts: BTreeMap<u64, u64>,
    /// Errors that ended a channel or a connection, by code.
    pub errors: BTreeMap<u64, u64>,
    /// Catch-ups by states that were sent to their end. (SYNC-8)
    pub catch_ups: u64,
    /// Questions of clients whose base has another fingerprint than a mark, to find where. None in good times. (REPAIR-5)
    pub comparisons: u64,
}

/// How the readers of a space stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The space.
    pub space: String,
    /// The last durable position of its log.
    pub position: u64,
    /// Channels that have it open.
    pub readers: u64,
    /// How many positions the reader that is furthest behind was not sent yet.
    pub lag: u64,
}

impl Server {
    /// Bytes that are kept for a connection until it is polled. What it is to be sent of a space is not among them: it is
    /// made when it is polled. (SYNC-17)
    pub fn queued_bytes(&self, id: ConnId) -> usize {
        self.conns.get(&id).map_or(0, |conn| conn.replies.iter().map(|frame| frame.len()).sum())
    }

    /// What happened since the start.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The spaces that were opened since the start, in the order of their numbers.
    pub fn standings(&self) -> Vec<Standing> {
        let standing = |space: &super::Hosted| {
            let sent = space.readers.values().filter_map(|(id, number)| Some(self.conns.get(id)?.channels.get(number)?.sent));
            let lag = sent.map(|sent| space.committed.saturating_sub(sent)).max().unwrap_or(0);
            Standing { space: space.log.name().to_owned(), position: space.committed, readers: space.readers.len() as u64, lag }
        };
        self.spaces.values().map(standing).collect()
    }

    /// Counts the verdicts of a space that the open transaction holds, once it is durable.
    pub(super) fn count_verdicts(&mut self, number: u64) {
        for code in self.spaces.get(&number).into_iter().flat_map(|space| space.undurable_verdicts()) {
            *self.counts.verdicts.entry(code.0).or_default() += 1;
        }
    }

    /// Counts an error, unless the connection ended before.
    pub(super) fn count_error(&mut self, id: ConnId, code: Code) {
        if self.conns.get(&id).is_some_and(|conn| !matches!(conn.phase, Phase::Closing)) {
            *self.counts.errors.entry(code.0).or_default() += 1;
        }
    }
}
