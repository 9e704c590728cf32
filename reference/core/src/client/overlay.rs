//! What shows: base, and over it every change that has no verdict, of whichever author. Spec 2 and 21.

use super::Client;
use crate::change::{Change, RecordName};
use crate::clock::Replica;
use crate::fault;
use crate::hash::Link;
use crate::space::{Minted, RecordState};
use crate::store::{Store, StoreError};

/// A change without a verdict, and its name.
type Unsettled<'a> = (Replica, Link, &'a Change);

impl Client {
    /// The changes that are laid over base, in this order, each with its author; for tools and tests that judge a client.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn overlay(&self, store: &dyn Store) -> Result<Vec<(Replica, Change)>, StoreError> {
        let own = self.outbox.identity.replica;
        let based = self.held.settled(store, own)?.seq;
        let unsettled = self.outbox.unsettled().filter(|change| change.seq > based).map(|change| (own, change.clone()));
        Ok(unsettled.chain(self.held.changes().map(|(author, change)| (author, change.clone()))).collect())
    }

    /// The own changes without a verdict, in the order they were minted; with those that a base taken by a peer link settles, which wait
    /// for the server's word and do not show. (PEER-8)
    pub fn unsettled(&self) -> impl Iterator<Item = &Change> {
        self.outbox.unsettled()
    }

    /// A record of base with the overlay laid over it. (MODEL-11, PEER-3)
    pub(super) fn overlaid(&self, store: &dyn Store, record: &RecordName) -> Result<RecordState, StoreError> {
        let mut state = self.base.record(store, record)?;
        let own = self.outbox.identity.replica;
        let pending = self.outbox.touching(record).filter(|_| !fault::is("model-view-without-overlay"));
        let mut changes: Vec<Unsettled> = pending.map(|pending| (own, pending.link, &pending.change)).collect();
        if !changes.is_empty() {
            let based = self.held.settled(store, own)?.seq;
            changes.retain(|(_, _, change)| change.seq > based);
        }
        changes.extend(self.held.touching(record).filter(|_| !fault::is("peer-view-of-own-changes")));
        for (author, _, change) in changes.iter().filter(|change| !is_copy(&changes, change)) {
            let shown = if fault::is("model-half-a-change") { 1 } else { change.rows.len() };
            for row in change.rows[..shown].iter().filter(|row| row.record == *record) {
                state.apply(&Minted::unconfirmed(*author, change), row);
            }
        }
        Ok(state)
    }
}

/// Whether the change repeats another of these under a new name. (PEER-15)
fn is_copy(all: &[Unsettled], (author, _, change): &Unsettled) -> bool {
    let Some(origin) = change.origin.as_ref().filter(|_| !fault::is("peer-copies-show")) else { return false };
    all.iter().any(|(other, link, first)| {
        let named = *other == origin.replica && first.seq == origin.seq && *link == origin.link;
        let twin = first.origin.as_ref() == Some(origin) && (*other, first.seq) < (*author, change.seq);
        named || twin
    })
}
