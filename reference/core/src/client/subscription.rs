//! Which collections the client syncs, and which of them its base holds. Spec 17.
//!
//! Key: `u` the collections wanted and those known, each an array or null for all.

use crate::fault;
use std::collections::BTreeSet;

use super::{Client, Event, State, WriteError};
use crate::change::{Change, RecordName};
use crate::clock::Now;
use crate::codec::{CodecError, Reader, Writer};
use crate::limits::SUBSCRIPTION_COLLECTIONS_MAX;
use crate::message::{Message, Open};
use crate::store::{Store, StoreError};

/// A set of collections; none: all of the space.
type Names = Option<BTreeSet<String>>;

/// What is wanted, and what of it base holds at the cursor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Subscription {
    wanted: Names,
    /// None: all that is wanted.
    known: Names,
}

impl Subscription {
    /// What the store holds; all of the space where nothing was ever said.
    pub fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let damaged = |error: CodecError| StoreError(format!("the stored subscription is damaged: {error}"));
        store.get(b"u")?.map_or(Ok(Self::default()), |bytes| read(&bytes).map_err(damaged))
    }

    fn save(&self, store: &mut dyn Store) -> Result<(), StoreError> {
        let mut w = Writer::default();
        w.array(2);
        for names in [&self.wanted, &self.known] {
            match names {
                None => w.null(),
                Some(names) => {
                    w.array(names.len());
                    names.iter().for_each(|name| w.text(name));
                }
            }
        }
        store.put(b"u", &w.finish())
    }

    /// Whether the channel carries a part of the space only.
    pub fn is_partial(&self) -> bool {
        self.wanted.is_some()
    }

    /// Whether something is wanted that base does not hold.
    pub fn joins(&self) -> bool {
        self.known.is_some()
    }

    /// Whether the collection is wanted.
    pub fn covers(&self, collection: &str) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.contains(collection))
    }

    /// The change without the rows of other collections. (SUB-9)
    pub fn part_of(&self, mut change: Change) -> Change {
        change.rows.retain(|row| self.covers(&row.record.collection) || fault::is("sub-applies-all-rows"));
        if fault::is("cond-changes-are-left") && !change.conditions().is_empty() {
            change.rows.clear();
        }
        change
    }

    /// Names in an `open` what is wanted and, beside a cursor, what is known.
    pub fn ask(&self, open: &mut Open) {
        let listed = |names: &Names| names.as_ref().map(|names| names.iter().cloned().collect());
        open.collections = listed(&self.wanted);
        open.known = if open.cursor.is_some() { listed(&self.known) } else { None };
    }

    /// A catch-up is complete: base holds what is wanted. (SUB-13)
    pub fn complete(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        if self.known.take().is_some() { self.save(store) } else { Ok(()) }
    }
}

impl Client {
    /// Syncs these collections from now on and no others; none: all. What is no longer wanted leaves base at once, and an
    /// event tells it; what is new comes with the next catch-up. Changes without a verdict stay. (SUB-11 to SUB-14)
    /// A client that syncs a part has no peer links. (PEER-23)
    ///
    /// # Errors
    /// Where the names break a limit, or the store fails.
    pub fn subscribe(&mut self, now: Now, store: &mut dyn Store, collections: Option<&[String]>) -> Result<(), WriteError> {
        let wanted: Names = collections.map(|names| names.iter().cloned().collect());
        if let Some(names) = &wanted {
            super::write::check_subscription(names, SUBSCRIPTION_COLLECTIONS_MAX)?;
        }
        if wanted == self.subscription.wanted {
            return Ok(());
        }
        let Subscription { wanted: before, known } = std::mem::take(&mut self.subscription);
        let held = if known.is_some() { known } else { before };
        let left = self.leave(store, held.as_ref(), wanted.as_ref())?;
        let known = match (held, &wanted) {
            (None, _) => None,
            _ if fault::is("sub-knows-at-once") => None,
            (held, None) => held,
            (Some(held), Some(wanted)) if wanted.is_subset(&held) => None,
            (Some(held), Some(wanted)) => Some(held.intersection(wanted).cloned().collect()),
        };
        self.subscription = Subscription { wanted, known };
        self.subscription.save(store)?;
        self.drop_staging(store)?;
        self.verified = None;
        if !left.is_empty() && !fault::is("sub-leaves-in-silence") {
            self.event(Event::Left(left));
        }
        // PEER-23
        if self.subscription.is_partial() {
            self.unlink_all();
        }
        if matches!(self.state, State::AwaitOpened { .. } | State::Streaming(_)) && !fault::is("sub-changes-at-the-next-connection") {
            self.send(now, self.channel, &[Message::Shut], 0);
            self.open(now, store)?;
        }
        self.tell_in_sync();
        self.wake();
        Ok(())
    }

    /// The collections that are synced; none: all.
    pub fn subscription(&self) -> Option<&BTreeSet<String>> {
        self.subscription.wanted.as_ref()
    }

    /// Whether collections are synced that base does not hold whole yet. (SUB-9)
    pub fn is_joining(&self) -> bool {
        self.subscription.joins()
    }

    /// Takes what is held and not wanted out of base; its names. (SUB-12)
    fn leave(
        &self,
        store: &mut dyn Store,
        held: Option<&BTreeSet<String>>,
        wanted: Option<&BTreeSet<String>>,
    ) -> Result<Vec<String>, StoreError> {
        let mut left = match held {
            Some(held) => held.iter().cloned().collect(),
            None => self.base.collections(store)?,
        };
        left.retain(|name| wanted.is_some_and(|wanted| !wanted.contains(name)));
        for name in left.iter().filter(|_| !fault::is("sub-keeps-what-left")) {
            self.base.clear_collection(store, name)?;
        }
        Ok(left)
    }

    /// The records that a change names and a view may show. (SUB-15)
    pub(super) fn names_of(&self, change: &Change) -> Vec<RecordName> {
        let records = change.rows.iter().map(|row| &row.record);
        records.filter(|record| self.subscription.covers(&record.collection)).cloned().collect()
    }
}

fn read(bytes: &[u8]) -> Result<Subscription, CodecError> {
    let mut r = Reader::new(bytes);
    r.array()?;
    let mut names = || -> Result<Names, CodecError> {
        if r.is_null() {
            return r.null().map(|()| None);
        }
        (0..r.array()?).map(|_| r.text().map(str::to_owned)).collect::<Result<_, _>>().map(Some)
    };
    Ok(Subscription { wanted: names()?, known: names()? })
}
