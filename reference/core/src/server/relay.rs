//! Changes that a client brings of others. Spec 21.

use super::judge::{self, Judged, Terms};
use super::stream::TailEntry;
use super::{ConnId, Failure, Right, Server, refuse};
use crate::change::Pushed;
use crate::clock::{Now, Replica};
use crate::fault;
use crate::limits;
use crate::message::Relayed;
use crate::registry::Code;
use crate::store::{Store, StoreError};

/// Whose changes a client may bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RelayPolicy {
    /// Those of replicas that are bound to its own subject, or were never opened. (PEER-19)
    #[default]
    SameSubject,
    /// Those of every replica.
    Any,
}

impl Server {
    /// Judges changes that another brings than their author. What does not go on from what is settled is left. (PEER-17, PEER-19)
    pub(super) fn relay(
        &mut self,
        now: Now,
        store: &mut dyn Store,
        id: ConnId,
        number: u16,
        (relayed, items): (Relayed, Vec<Pushed>),
    ) -> Result<(), Failure> {
        let channel = &self.conns[&id].channels[&number];
        // ACCESS-1
        if channel.right < Right::Write {
            return refuse(number, Code::FORBIDDEN, None, "the token does not allow writing in this space");
        }
        let (carrier, space_number) = (channel.replica, channel.space);
        let author = relayed.replica;
        if author == carrier || !self.may_relay(store, space_number, carrier, author)? {
            return Ok(());
        }
        self.touch(space_number);
        let space = self.spaces.get_mut(&space_number).expect("a channel's space is hosted");
        let log = space.log.clone();
        let first = items.first().map_or(1, Pushed::seq);
        if log.link_at(store, author, first - 1)? != Some(relayed.before) && !fault::is("peer-server-answers-gaps") {
            return Ok(());
        }
        let base_ms = space.history.base_ms;
        // The verdict does not hang on who carries it.
        let terms = Terms { quota: self.config.quota, profiles: self.config.profiles, now_ms: now.wall_ms };
        for item in items {
            match judge::judge(&log, store, author, item, terms)? {
                Judged::Settled { position, seq, verdict, change, named } => {
                    let link = log.link_at(store, author, seq)?;
                    let entry = TailEntry::new((position, author, seq), (verdict, link), change, (base_ms, named));
                    space.push(TailEntry { relayed: true, ..entry }, now.mono_ms);
                }
                Judged::Again { .. } => {}
                Judged::Refused { code, detail } if fault::is("peer-server-answers-gaps") => {
                    return refuse(number, code, Some(detail), "a relayed change does not go on");
                }
                Judged::Refused { .. } => return Ok(()),
            }
        }
        Ok(())
    }

    /// PEER-19
    fn may_relay(&self, store: &mut dyn Store, space_number: u64, carrier: Replica, author: Replica) -> Result<bool, StoreError> {
        let Some(space) = self.spaces.get(&space_number) else { return Ok(false) };
        let Some(carrier) = space.log.settled(store, carrier)? else { return Ok(false) };
        match space.log.settled(store, author)? {
            Some(known) => Ok(known.subject == carrier.subject || self.config.relay == RelayPolicy::Any || fault::is("peer-any-carrier")),
            None if space.log.replica_count(store)? >= limits::SPACE_REPLICAS_MAX as u64 => Ok(false),
            None => space.log.bind(store, author, &carrier.subject, false).map(|_| true),
        }
    }
}
