//! The overlay on a link: changes go out in the order of push, and come in as they continue what is held. Spec 21.

use super::super::{Client, Event};
use crate::change::{Pushed, RecordName};
use crate::clock::{Now, Replica};
use crate::fault;
use crate::hash::Link as ChainLink;
use crate::message::{Item, Message, Push, Relayed};
use crate::peer::LinkId;
use crate::peer::held::{Place, Taken, hash};
use crate::peer::link::CHANNEL;
use crate::store::{Store, StoreError};

/// Bytes of changes in one push frame.
const PUSH_FRAME_BYTES: usize = 64 * 1024;

/// A change that waits, in the order of push.
#[derive(Debug, Clone)]
pub(in super::super) struct Waiting {
    pub place: Place,
    pub author: Replica,
    pub link: ChainLink,
    pub item: Pushed,
    pub bytes: usize,
}

impl Waiting {
    /// Whether it goes into one push with these.
    pub fn joins(&self, batch: &[Self]) -> bool {
        let bytes: usize = batch.iter().map(|change| change.bytes).sum();
        let goes_on = batch.last().is_none_or(|last| last.author == self.author && last.item.seq() + 1 == self.item.seq());
        goes_on && (batch.is_empty() || bytes + self.bytes <= PUSH_FRAME_BYTES)
    }
}

impl Client {
    /// What waits behind a place in the order of push: own changes and those held, as they came. (PEER-16)
    pub(in super::super) fn waiting_after(&self, place: Place) -> Vec<Waiting> {
        let own = self.outbox.identity.replica;
        let mut all: Vec<Waiting> = self
            .held
            .after(place)
            .filter(|_| !fault::is("peer-carries-nothing"))
            .map(|(author, held)| {
                let bytes = if let Pushed::Change { bytes, .. } = &held.item { *bytes } else { SKIP_BYTES };
                Waiting { place: held.place, author, link: held.link, item: held.item.clone(), bytes }
            })
            .collect();
        for (seq, link) in self.outbox.pending_after(place.0) {
            if let Some((item, bytes)) = self.outbox.pushed(seq) {
                all.push(Waiting { place: (seq, 0), author: own, link, item, bytes });
            }
        }
        all.sort_by_key(|waiting| waiting.place);
        all
    }

    /// Pushes what the other side does not hold yet. (PEER-10)
    pub(super) fn pump_changes(&mut self, now: Now, store: &dyn Store, id: LinkId) -> Result<(), StoreError> {
        let Some(link) = self.links.get(&id) else { return Ok(()) };
        let waiting = self.waiting_after(link.sent);
        let mut batch: Vec<Waiting> = Vec::new();
        for change in waiting {
            let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
            link.sent = change.place;
            if self.is_known(store, id, &change)? {
                continue;
            }
            let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
            link.theirs.known.insert(change.author, (change.item.seq(), change.link));
            if !change.joins(&batch) {
                self.push_link(now, store, id, std::mem::take(&mut batch))?;
            }
            batch.push(change);
        }
        self.push_link(now, store, id, batch)
    }

    fn push_link(&mut self, now: Now, store: &dyn Store, id: LinkId, batch: Vec<Waiting>) -> Result<(), StoreError> {
        let Some(push) = self.relay(store, batch)? else { return Ok(()) };
        self.link_send(now, id, CHANNEL, &Message::Push(push));
        Ok(())
    }

    /// Changes of one author in a row, as a relay; none where there are none, or where they no longer go on from anything.
    pub(in super::super) fn relay(&self, store: &dyn Store, batch: Vec<Waiting>) -> Result<Option<Push>, StoreError> {
        let Some(first) = batch.first() else { return Ok(None) };
        let Some(before) = self.chain_at(store, first.author, first.item.seq() - 1)? else { return Ok(None) };
        let relayed = Relayed { replica: first.author, before };
        Ok(Some(Push { author: Some(relayed), items: batch.into_iter().map(|change| change.item).collect() }))
    }

    /// An author's link at a seq, where it is known here.
    fn chain_at(&self, store: &dyn Store, author: Replica, seq: u64) -> Result<Option<ChainLink>, StoreError> {
        if author == self.outbox.identity.replica {
            return self.outbox.link_at(store, seq);
        }
        self.held.link_at(store, author, seq)
    }

    /// Whether the other side holds the change already, or more of the author than is known here.
    fn is_known(&self, store: &dyn Store, id: LinkId, change: &Waiting) -> Result<bool, StoreError> {
        let Some(link) = self.links.get(&id) else { return Ok(true) };
        let Some((seq, theirs)) = link.theirs.known.get(&change.author).copied() else { return Ok(false) };
        Ok(match self.chain_at(store, change.author, seq)? {
            Some(ours) => ours == theirs && change.item.seq() <= seq,
            None => change.item.seq() <= seq,
        })
    }

    /// Changes that another client holds. (PEER-10 to PEER-13)
    pub(super) fn take_push(&mut self, now: Now, store: &mut dyn Store, id: LinkId, push: Push) -> Result<(), StoreError> {
        let Some(Relayed { replica: author, before }) = push.author else { return Ok(()) };
        if author == self.outbox.identity.replica {
            return self.take_own(now, store, id, before, &push.items);
        }
        let first = push.items.first().map_or(1, Pushed::seq);
        let settled = self.held.settled(store, author)?.seq;
        // What lies below what is settled cannot be compared, and needs not be.
        let fits =
            fault::is("peer-holds-what-does-not-go-on") || first <= settled || self.held.link_at(store, author, first - 1)? == Some(before);
        let mut changed: Vec<RecordName> = Vec::new();
        let mut agreed = fits;
        let mut link = before;
        for item in push.items.into_iter().filter(|_| fits) {
            let seq = item.seq();
            link = link.next(hash(&item));
            if seq <= settled {
                agreed = seq < settled || self.held.settled(store, author)?.link == link;
                if !agreed {
                    break;
                }
                continue;
            }
            if let Pushed::Change { change, .. } = &item {
                self.clock.observe(now, change.reading);
            }
            match self.held.take(store, author, self.outbox.identity.last.0, item)? {
                Taken::New { changed: records, replaced } => {
                    changed.extend(records);
                    // What others hold of the author goes on from another chain.
                    if replaced {
                        for link in self.links.values_mut() {
                            link.theirs.known.remove(&author);
                        }
                    }
                }
                Taken::Known => {}
                Taken::Left | Taken::Lost => {
                    agreed = false;
                    break;
                }
            }
            if let Some(linked) = self.links.get_mut(&id) {
                linked.theirs.known.insert(author, (seq, link));
            }
        }
        if !changed.is_empty() {
            self.outbox.note_clock(&self.clock);
            self.outbox.save(store)?;
            self.event(Event::Changed(changed));
        }
        if agreed { Ok(()) } else { self.disagree(now, store, id, author) }
    }

    /// Changes under this replica's own id. (PEER-13)
    fn take_own(&mut self, now: Now, store: &mut dyn Store, id: LinkId, before: ChainLink, items: &[Pushed]) -> Result<(), StoreError> {
        let author = self.outbox.identity.replica;
        let first = items.first().map_or(1, Pushed::seq);
        if self.outbox.link_at(store, first - 1)? != Some(before) {
            return self.disagree(now, store, id, author);
        }
        let mut link = before;
        for item in items {
            link = link.next(hash(item));
            match self.outbox.link_at(store, item.seq())? {
                Some(own) if own == link => {}
                Some(own) if item.seq() <= self.outbox.identity.settled.0 || own.0 < link.0 => {
                    return self.disagree(now, store, id, author);
                }
                Some(_) => return self.part_ways(now, store),
                None if fault::is("peer-keeps-a-used-id") => return Ok(()),
                None if item.seq() == self.outbox.identity.last.0 + 1 => return self.part_ways(now, store),
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// The other side holds another chain of the author: it is told, once for each head, what is held here, and given it. (PEER-12)
    fn disagree(&mut self, now: Now, store: &dyn Store, id: LinkId, author: Replica) -> Result<(), StoreError> {
        let own = author == self.outbox.identity.replica;
        let held = self.held.heads_of(author);
        let settled = self.held.settled(store, author)?;
        let (seq, link) = if own { self.outbox.identity.last } else { held.unwrap_or((settled.seq, settled.link)) };
        let Some(linked) = self.links.get_mut(&id) else { return Ok(()) };
        if linked.theirs.contested.insert(author, (seq, link)) == Some((seq, link)) {
            return Ok(());
        }
        linked.theirs.known.remove(&author);
        linked.sent = (0, 0);
        let mut items = vec![Item::Held { author, seq, link }];
        if settled.seq > 0 {
            items.push(Item::Settled { author, seq: settled.seq, link: settled.link });
        }
        self.send_report(now, id, vec![items]);
        Ok(())
    }
}

/// What a skip takes in a push.
const SKIP_BYTES: usize = 48;
