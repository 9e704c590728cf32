//! What the application reads: the view, the standing, the rejections. Spec 2.

use crate::fault;
use std::collections::BTreeSet;

use super::outbox;
use super::{Client, Rejection, Status};
use crate::change::RecordName;
use crate::registry::Profiles;
use crate::space::View;
use crate::store::{Store, StoreError};

impl Client {
    /// A record as it shows, or none. (MODEL-11, MODEL-14)
    pub fn record(&self, store: &dyn Store, record: &RecordName) -> Result<Option<View>, StoreError> {
        // SUB-15
        if !self.subscription.covers(&record.collection) && !fault::is("sub-shows-what-left") {
            return Ok(None);
        }
        Ok(self.overlaid(store, record)?.view())
    }

    /// Every record that shows, those of one collection where given, in order.
    pub fn records(&self, store: &dyn Store, collection: Option<&str>) -> Result<Vec<(RecordName, View)>, StoreError> {
        let mut names: BTreeSet<RecordName> = self.base.records(store, collection)?.into_iter().collect();
        let wanted = |name: &&RecordName| collection.is_none_or(|collection| name.collection == collection);
        names.extend(self.outbox.touched().chain(self.held.touched()).filter(wanted).cloned());
        let mut shown = Vec::new();
        for name in names {
            if let Some(view) = self.record(store, &name)? {
                shown.push((name, view));
            }
        }
        Ok(shown)
    }

    /// How things stand.
    pub fn status(&self, store: &dyn Store) -> Result<Status, StoreError> {
        Ok(Status {
            replica: self.outbox.identity.replica,
            state: self.state_name(),
            in_sync: self.is_in_sync(),
            cursor: self.outbox.identity.cursor.clone(),
            head: self.head,
            pending: self.outbox.pending_count(),
            held: self.held.count(),
            links: self.links.values().filter(|link| link.is_ready()).count() as u64,
            rejected: outbox::rejections(store)?.len() as u64,
            fingerprint: self.base.fingerprint(store, self.agreed.has(Profiles::RULES))?.wire(),
            may_write: self.may_write(),
            clock_offset_ms: self.clock.offset_ms(),
        })
    }

    /// The rejections that were not dismissed, oldest first. (IDENT-22)
    pub fn rejections(&self, store: &dyn Store) -> Result<Vec<Rejection>, StoreError> {
        outbox::rejections(store)
    }

    /// Forgets a rejection by its number.
    pub fn dismiss(&mut self, store: &mut dyn Store, number: u64) -> Result<(), StoreError> {
        outbox::dismiss(store, number)
    }
}
