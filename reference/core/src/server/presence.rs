//! Presence: the latest of each author, in memory, and what each channel was sent of it. Spec 18.

use crate::fault;
use std::collections::{BTreeMap, BTreeSet};

use super::{ConnId, Failure, Server, refuse};
use crate::clock::{Now, Replica};
use crate::limits;
use crate::message::{Message, Presence};
use crate::registry::Code;

/// The live presence of one space.
#[derive(Debug, Default)]
pub(super) struct Room {
    authors: BTreeMap<Replica, Author>,
    /// The authors by the version of what they said last.
    by_version: BTreeMap<u64, Replica>,
    /// Rises with each change of a payload and with each author that goes.
    version: u64,
    /// The version at which an author went last.
    gone: u64,
}

#[derive(Debug)]
struct Author {
    counter: u64,
    ttl_ms: u64,
    end_ms: u64,
    payload: Vec<u8>,
    version: u64,
}

/// What one channel said and was sent.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The counter of the last presence that came on it. (PRES-3)
    heard: Option<u64>,
    /// The authors whose payload it was sent.
    shown: BTreeSet<Replica>,
    /// Payloads up to this version were sent.
    sent: u64,
    /// Authors that went up to this version were told.
    gone: u64,
    /// Whether data was sent last, so that presence comes next where there is any.
    pub turn: bool,
}

impl Room {
    /// Takes what an author says; false where there is no place for it. (PRES-10)
    fn take(&mut self, now_ms: u64, presence: Presence) -> bool {
        let Presence { replica, counter, ttl_ms, payload } = presence;
        let Some(payload) = payload else {
            self.leave(replica);
            return true;
        };
        let end_ms = now_ms + ttl_ms;
        let full = self.authors.len() >= limits::PRESENCE_AUTHORS_MAX && !fault::is("pres-authors-without-bound");
        if full && !self.authors.contains_key(&replica) {
            return false;
        }
        if let Some(author) = self.authors.get_mut(&replica) {
            (author.counter, author.ttl_ms, author.end_ms) = (counter, ttl_ms, end_ms);
            if author.payload == payload || fault::is("pres-the-first-stays") {
                return true;
            }
            self.by_version.remove(&author.version);
        }
        self.version += 1;
        self.by_version.insert(self.version, replica);
        self.authors.insert(replica, Author { counter, ttl_ms, end_ms, payload, version: self.version });
        true
    }

    /// The author is gone; whether it was there. (PRES-8)
    fn leave(&mut self, replica: Replica) -> bool {
        let Some(author) = self.authors.remove(&replica) else { return false };
        self.by_version.remove(&author.version);
        self.version += 1;
        self.gone = self.version;
        true
    }

    /// When the author's presence ends, where it has one.
    pub fn end_ms(&self, replica: Replica) -> Option<u64> {
        self.authors.get(&replica).map(|author| author.end_ms)
    }

    /// The next that `reader` is to be sent, who goes before who is there; none when it knows all. (PRES-6 to PRES-9)
    pub fn next(&self, told: &mut Told, reader: Replica) -> Option<Presence> {
        if told.gone < self.gone {
            if let Some(replica) = told.shown.iter().find(|shown| !self.authors.contains_key(shown)).copied() {
                told.shown.remove(&replica);
                return Some(Presence { replica, counter: 0, ttl_ms: 0, payload: None });
            }
            told.gone = self.gone;
        }
        let (version, replica) =
            self.by_version.range(told.sent + 1..).find(|(_, replica)| **replica != reader || fault::is("pres-echo"))?;
        let author = self.authors.get(replica).expect("the authors by version are those that are held");
        told.sent = *version;
        told.shown.insert(*replica);
        Some(Presence { replica: *replica, counter: author.counter, ttl_ms: author.ttl_ms, payload: Some(author.payload.clone()) })
    }
}

impl Server {
    /// What a client says of its presence. (PRES-1, PRES-3, PRES-10)
    pub(super) fn presence(&mut self, now: Now, id: ConnId, number: u16, presence: Presence) -> Result<(), Failure> {
        let Some(channel) = self.conns.get_mut(&id).and_then(|conn| conn.channels.get_mut(&number)) else { return Ok(()) };
        let (space, replica, counter) = (channel.space, presence.replica, presence.counter);
        if replica != channel.replica && !fault::is("pres-speaks-for-another") {
            return refuse(number, Code::FORBIDDEN, None, "a presence speaks for the replica of its channel");
        }
        let told = channel.presence.get_or_insert_default();
        if told.heard.is_some_and(|heard| heard >= counter) && !fault::is("pres-old-counters") {
            return Ok(());
        }
        told.heard = Some(counter);
        let hosted = self.spaces.get_mut(&space).expect("a channel's space is hosted");
        hosted.head += u64::from(fault::is("pres-has-a-position"));
        let held = hosted.room.take(now.mono_ms, presence);
        self.ready.extend(hosted.readers.values().map(|(conn, _)| *conn));
        if let Some(end_ms) = hosted.room.end_ms(replica) {
            self.timers.ring_by(id, end_ms);
        }
        if !held {
            self.reply(id, number, &Message::Presence(Presence { replica, counter, ttl_ms: 0, payload: None }), 0);
        }
        Ok(())
    }

    /// The replica's channel ended, and its presence with it. (PRES-8)
    pub(super) fn leave(&mut self, space: u64, replica: Replica) {
        let Some(hosted) = self.spaces.get_mut(&space).filter(|_| !fault::is("pres-leaves-in-silence")) else { return };
        if hosted.room.leave(replica) {
            self.ready.extend(hosted.readers.values().map(|(conn, _)| *conn));
        }
    }

    /// Ends the presences of a connection's replicas whose time has passed. (PRES-8)
    pub(super) fn expire_presence(&mut self, now: Now, id: ConnId) {
        let channels = self.conns.get(&id).into_iter().flat_map(|conn| conn.channels.values());
        let over = |(space, replica): &(u64, Replica)| {
            let end_ms = self.spaces.get(space).and_then(|hosted| hosted.room.end_ms(*replica));
            end_ms.is_some_and(|end_ms| end_ms <= now.mono_ms) && !fault::is("pres-outlives-its-ttl")
        };
        let over: Vec<(u64, Replica)> = channels.map(|channel| (channel.space, channel.replica)).filter(over).collect();
        over.into_iter().for_each(|(space, replica)| self.leave(space, replica));
    }
}
