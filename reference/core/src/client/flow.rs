//! Credit, as the client gives and keeps to it. Spec 15.

use super::{Client, State};
use crate::clock::Now;
use crate::credit::Credit;
use crate::limits::{CREDIT_BYTES, CREDIT_KEY};
use crate::message::Message;
use crate::registry::Profiles;

impl Client {
    /// The limits that `hello` says: those that are not the registry's. (FLOW-2)
    pub(super) fn advertised(&self) -> Vec<(u64, u64)> {
        let own = self.config.profiles.has(Profiles::FLOW) && self.config.credit_bytes != CREDIT_BYTES as u64;
        own.then_some((CREDIT_KEY, self.config.credit_bytes)).into_iter().collect()
    }

    /// The credit of a channel that opens. (FLOW-2)
    pub(super) fn fresh_credit(&self) -> Credit {
        if !self.agreed.has(Profiles::FLOW) {
            return Credit::unbounded();
        }
        let theirs = self.limits.iter().find(|(key, _)| *key == CREDIT_KEY).map_or(CREDIT_BYTES as u64, |(_, bytes)| *bytes);
        Credit::new(theirs, self.config.credit_bytes)
    }

    /// The credit of the space's channel, while it is open.
    pub(super) fn credit(&mut self, channel: u16) -> Option<&mut Credit> {
        match &mut self.state {
            State::Streaming(session) if channel == self.channel => Some(&mut session.credit),
            _ => None,
        }
    }

    /// Lets the server send more, where it is time to. (FLOW-3)
    pub(super) fn give_credit(&mut self, now: Now, channel: u16) {
        if let Some(bytes) = self.credit(channel).and_then(|credit| credit.taking.due()) {
            self.send(now, channel, &[Message::Credit { bytes }], 0);
        }
    }

    /// Says again what the server may send: should the transport have lost it, nothing else would tell.
    pub(super) fn repeat_credit(&mut self, now: Now) {
        let channel = self.channel;
        if let Some(bytes) = self.credit(channel).and_then(|credit| credit.taking.standing()) {
            self.send(now, channel, &[Message::Credit { bytes }], 0);
        }
    }
}
