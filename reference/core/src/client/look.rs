//! What the application reads: the view, the standing, the rejections; and stores of earlier layouts. Spec 2.

use crate::fault;
use std::collections::BTreeSet;

use super::outbox;
use super::{Client, Rejection, Status};
use crate::change::RecordName;
use crate::registry::Profiles;
use crate::space::{RecordState, View};
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
        let mut shown = Vec::new();
        self.each_record(store, collection, &mut |name, view| shown.push((name, view)))?;
        Ok(shown)
    }

    /// Shows the same records one after another.
    pub fn each_record(
        &self,
        store: &dyn Store,
        collection: Option<&str>,
        see: &mut dyn FnMut(RecordName, View),
    ) -> Result<(), StoreError> {
        let wanted = |name: &RecordName| {
            let covered = self.subscription.covers(&name.collection) || fault::is("sub-shows-what-left");
            covered && collection.is_none_or(|collection| name.collection == collection)
        };
        let touched = self.outbox.touched().chain(self.held.touched()).filter(|name| wanted(name));
        let touched: BTreeSet<RecordName> = touched.cloned().collect();
        let mut touched = touched.into_iter().peekable();
        let mut show = |name: RecordName, state: RecordState| {
            if let Some(view) = state.view() {
                see(name, view);
            }
        };
        self.base.each_record(store, collection, &mut |name, state| {
            while let Some(before) = touched.next_if(|next| *next < name) {
                let state = self.overlaid(store, &before)?;
                show(before, state);
            }
            let state = if touched.next_if_eq(&name).is_some() { self.overlaid(store, &name)? } else { state };
            if wanted(&name) {
                show(name, state);
            }
            Ok(())
        })?;
        for name in touched {
            let state = self.overlaid(store, &name)?;
            show(name, state);
        }
        Ok(())
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

/// Brings a store of the layout in which every cell had a row of its own to the present one; one that is there stays as it is.
///
/// # Errors
/// Where the store fails or is damaged.
pub fn upgrade(store: &mut dyn Store) -> Result<(), StoreError> {
    outbox::base().upgrade(store)
}
