//! What the application tells others while it is there, and what it is told. Spec 18.

use crate::fault;
use std::collections::BTreeMap;

use super::{Client, Event, Refusal, State};
use crate::clock::{Now, Replica};
use crate::limits;
use crate::message::{Message, Presence};
use crate::registry::Profiles;

/// The client's own presence and that of the others, in memory only.
#[derive(Debug, Default)]
pub(super) struct Present {
    /// What the application has set: payload and ttl.
    own: Option<(Vec<u8>, u64)>,
    counter: u64,
    /// When it is sent again, on this channel.
    due_ms: Option<u64>,
    others: BTreeMap<Replica, Vec<u8>>,
}

impl Client {
    /// Sets what the others are told of this replica while it is connected, to be sent again before `ttl_ms` has passed; none
    /// takes it back. Nothing of it is stored. (PRES-4)
    ///
    /// # Errors
    /// Where the payload or the ttl is outside its limits; then nothing has changed. (PRES-2)
    pub fn set_presence(&mut self, now: Now, payload: Option<Vec<u8>>, ttl_ms: u64) -> Result<(), Refusal> {
        let bytes = payload.as_ref().map_or(0, Vec::len);
        if bytes > limits::PRESENCE_BYTES_MAX {
            return Err(Refusal {
                found: format!("a presence of {bytes} bytes"),
                allowed: format!("{} bytes", limits::PRESENCE_BYTES_MAX),
            });
        }
        if payload.is_some() && !(1..=limits::PRESENCE_TTL_MAX_MS).contains(&ttl_ms) {
            let allowed = format!("1 to {} ms", limits::PRESENCE_TTL_MAX_MS);
            return Err(Refusal { found: format!("a presence for {ttl_ms} ms"), allowed });
        }
        let had = self.present.own.is_some();
        self.present.own = payload.map(|payload| (payload, ttl_ms));
        if had || self.present.own.is_some() {
            self.send_presence(now);
        }
        self.wake();
        Ok(())
    }

    /// The presence of the others, by replica; empty while no channel is open. (PRES-12)
    pub fn presence(&self) -> &BTreeMap<Replica, Vec<u8>> {
        &self.present.others
    }

    /// Sends what is set, on a channel that has just opened. (PRES-4)
    pub(super) fn begin_presence(&mut self, now: Now) {
        self.present.due_ms = None;
        if self.present.own.is_some() && !fault::is("pres-not-on-a-new-channel") {
            self.send_presence(now);
        }
    }

    /// Sends what is set once more where its time has come. (PRES-4)
    pub(super) fn renew_presence(&mut self, now: Now) {
        if self.present.due_ms.is_some_and(|due| due <= now.mono_ms) {
            self.send_presence(now);
        }
    }

    /// When it is to be sent again.
    pub(super) fn presence_due_ms(&self) -> Option<u64> {
        matches!(self.state, State::Streaming(_)).then_some(self.present.due_ms).flatten()
    }

    fn send_presence(&mut self, now: Now) {
        let State::Streaming(session) = &self.state else { return };
        if !self.agreed.has(Profiles::PRESENCE) {
            return;
        }
        let base_ms = session.base_ms;
        self.present.counter += 1;
        let renewed = self.present.own.as_ref().filter(|_| !fault::is("pres-not-renewed"));
        self.present.due_ms = renewed.map(|(_, ttl_ms)| now.mono_ms + (ttl_ms / 2).max(1));
        let (payload, ttl_ms) = self.present.own.clone().map_or((None, 0), |(payload, ttl_ms)| (Some(payload), ttl_ms));
        let presence = Presence { replica: self.outbox.identity.replica, counter: self.present.counter, ttl_ms, payload };
        self.send(now, self.channel, &[Message::Presence(presence)], base_ms);
    }

    /// Takes what the server says, in the order in which it comes. (PRES-11)
    pub(super) fn on_presence(&mut self, presence: Presence) {
        let Presence { replica, payload, .. } = presence;
        let others = &mut self.present.others;
        let changed = match payload {
            Some(_) if fault::is("pres-client-keeps-the-first") && others.contains_key(&replica) => false,
            Some(payload) if others.len() < limits::PRESENCE_AUTHORS_MAX || others.contains_key(&replica) => {
                others.insert(replica, payload.clone()) != Some(payload)
            }
            Some(_) => false,
            // Of the own replica: the server has no place for it.
            None => others.remove(&replica).is_some() || replica == self.outbox.identity.replica,
        };
        if changed {
            self.event(Event::Presence(vec![replica]));
        }
    }

    /// The channel ended: nobody is known to be there. (PRES-12)
    pub(super) fn forget_presence(&mut self) {
        self.present.due_ms = None;
        if fault::is("pres-client-remembers") {
            return;
        }
        let gone: Vec<Replica> = std::mem::take(&mut self.present.others).into_keys().collect();
        if !gone.is_empty() {
            self.event(Event::Presence(gone));
        }
    }
}
