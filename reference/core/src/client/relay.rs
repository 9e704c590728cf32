//! Changes of other authors between this client and its server: what is settled of them, and the way there. Spec 21.

use super::links::Waiting;
use super::{Client, Event, State};
use crate::change::Change;
use crate::clock::{History, Now, Replica};
use crate::fault;
use crate::message::{Message, Void, message_bytes};
use crate::peer::held::Settled;
use crate::registry::Profiles;
use crate::store::{Store, StoreError};

impl Client {
    /// Whether base and what it settles are known whole: the profile is agreed, and no collection is left out.
    pub(super) fn peers(&self) -> bool {
        self.agreed.has(Profiles::PEER) && (!self.subscription.is_partial() || fault::is("peer-carries-with-a-part"))
    }

    /// Pushes own changes and relays those of others in the order in which they came. (PEER-16)
    pub(super) fn push_all(&mut self, now: Now, store: &dyn Store) -> Result<(), StoreError> {
        loop {
            self.push(now);
            if !self.relay_held(now, store)? {
                return Ok(());
            }
        }
    }

    /// Relays what came before the next own change; false where there was nothing.
    fn relay_held(&mut self, now: Now, store: &dyn Store) -> Result<bool, StoreError> {
        let agreed = self.peers();
        let State::Streaming(session) = &mut self.state else { return Ok(false) };
        if !agreed || session.is_forked() {
            return Ok(false);
        }
        let (pushed, from) = (session.pushed(), session.relayed);
        let own = self.outbox.identity.replica;
        let due = self.waiting_after(from).into_iter().take_while(|change| change.place.0 <= pushed).filter(|change| change.author != own);
        let mut any = false;
        let mut batch: Vec<Waiting> = Vec::new();
        for change in due.collect::<Vec<_>>() {
            if !change.joins(&batch) {
                if !self.relay_batch(now, store, std::mem::take(&mut batch))? {
                    return Ok(any);
                }
                any = true;
            }
            batch.push(change);
        }
        Ok(self.relay_batch(now, store, batch)? || any)
    }

    /// Sends changes of one author, where there are any and there is credit. (FLOW-1)
    fn relay_batch(&mut self, now: Now, store: &dyn Store, batch: Vec<Waiting>) -> Result<bool, StoreError> {
        let reached = batch.last().map(|change| change.place);
        let push = self.relay(store, batch)?;
        let State::Streaming(session) = &mut self.state else { return Ok(false) };
        let Some(reached) = reached.filter(|_| session.credit.sending.is_open()) else { return Ok(false) };
        session.relayed = reached;
        let Some(push) = push else { return Ok(true) };
        let push = message_bytes(&Message::Push(push), session.base_ms);
        session.credit.sending.spend(push.len());
        self.send_frame(now, self.frame_of(&push));
        Ok(true)
    }

    /// A change of another author is accepted. (PEER-5)
    pub(super) fn settle_change(
        &mut self,
        store: &mut dyn Store,
        author: Replica,
        change: &Change,
        position: u64,
    ) -> Result<(), StoreError> {
        if !self.held.advance(store, author, change, position)? {
            self.forget_whole(store)?;
        }
        Ok(())
    }

    /// A change of another author is rejected: who holds it drops it. (PEER-5, PEER-17)
    pub(super) fn on_void(&mut self, store: &mut dyn Store, void: &Void) -> Result<bool, StoreError> {
        if !self.advance(store, void.position)? {
            return Ok(false);
        }
        let link = match void.link {
            Some(link) => Some(link),
            None => self.held.link_at(store, void.author, void.seq)?,
        };
        let Some(link) = link else {
            self.forget_whole(store)?;
            return Ok(true);
        };
        let settled = Settled { seq: void.seq, link, position: void.position };
        let dropped = self.held.settle(store, void.author, settled)?;
        if !dropped.is_empty() {
            self.event(Event::Changed(dropped));
        }
        Ok(true)
    }

    /// Base moves by a catch-up: in a reset nothing is known to be settled but what its parts say. (PEER-5)
    pub(super) fn begin_settled(&mut self, store: &mut dyn Store, reset: bool, to: u64) -> Result<(), StoreError> {
        let agreed = self.peers();
        if reset {
            return self.held.forget_settled(store, to, agreed);
        }
        if agreed { Ok(()) } else { self.forget_whole(store) }
    }

    /// Not all that base settles is known any more.
    pub(super) fn forget_whole(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        if std::mem::take(&mut self.held.ground.whole) {
            self.held.save_ground(store)?;
        }
        Ok(())
    }

    /// The server goes on from the cursor in a history of its own. (PEER-8)
    pub(super) fn enter_history(&mut self, store: &mut dyn Store, history: History) -> Result<(), StoreError> {
        let left = self.outbox.identity.cursor.clone().filter(|cursor| cursor.history != history);
        if let Some(left) = left {
            self.held.leave_history(&left);
            self.held.save_ground(store)?;
        }
        Ok(())
    }

    /// The present id is given up: what is settled under it is another author's from now on.
    pub(super) fn leave_id(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        let (replica, (seq, link)) = (self.outbox.identity.replica, self.outbox.identity.settled);
        if seq > self.held.settled(store, replica)?.seq {
            let position = self.outbox.identity.cursor.as_ref().map_or(0, |cursor| cursor.position);
            self.held.settle(store, replica, Settled { seq, link, position })?;
        }
        self.old_numbers = self.outbox.offered();
        Ok(())
    }

    /// A fresh id is there: what is held stands behind the own changes under their new numbers, and every link begins anew.
    pub(super) fn follow_id(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        let old = std::mem::take(&mut self.old_numbers);
        let last = self.outbox.identity.last.0;
        self.held.renumber(store, |own| last.saturating_sub(old.iter().filter(|seq| **seq > own).count() as u64))?;
        self.unlink_all();
        Ok(())
    }
}
