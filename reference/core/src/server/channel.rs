//! Opening a space, and what a client sends on its channel. Spec 6 to 8.

use super::judge::{self, Judged, Terms};
use super::log::{self, HistoryStart, Log, Verdict};
use super::names::Known;
use super::presence::Told;
use super::stream::{self, Channel, Hosted, Scope, TailEntry};
use super::{ConnId, Failure, Grant, Phase, Right, Server, refuse, unexpected};
use crate::change::Cursor;
use crate::clock::{History, Now};
use crate::credit::Credit;
use crate::fault;
use crate::hash::start_link;
use crate::limits;
use crate::message::{Ack, Message, Open, Opened, Push};
use crate::registry::{Code, Profiles, Reset};
use crate::store::{Store, StoreError};

impl Server {
    pub(super) fn open(
        &mut self,
        now: Now,
        store: &mut dyn Store,
        id: ConnId,
        channel: u16,
        open: Open,
        grant: &Grant,
    ) -> Result<(), Failure> {
        let conn = self.conns.get(&id).expect("the caller found it");
        let profiles = match conn.phase {
            Phase::Open { profiles, .. } => profiles,
            _ => Profiles::CORE,
        };
        // SESS-16
        if conn.channels.contains_key(&channel) && !fault::is("sess-channel-taken-over") {
            return unexpected(2, "the channel is in use");
        }
        if conn.channels.len() >= limits::CHANNELS_MAX {
            return refuse(channel, Code::TOO_MANY_CHANNELS, Some(limits::CHANNELS_MAX as u64), "too many channels");
        }
        let agreed = conn.agreed();
        let right = grant.rights.of(&open.space);
        // SEC-5
        if right == Right::None && fault::is("sec-says-what-is-there") && log::find_space(store, &open.space)?.is_none() {
            return refuse(channel, Code::UNKNOWN_SPACE, None, "no such space");
        }
        if right == Right::None && !fault::is("sec-opens-any-space") {
            return refuse(channel, Code::FORBIDDEN, None, "the token does not open this space");
        }
        // ACCESS-7
        if self.config.access.revoked.replicas.contains(&open.replica) && !fault::is("access-revoked-replicas-open") {
            return refuse(channel, Code::FORBIDDEN, None, "the replica was revoked");
        }
        // ACCESS-9
        let creates =
            grant.creates && right == Right::Write || fault::is("access-anyone-makes-spaces") || fault::is("sess-makes-any-space");
        let Some(number) = self.host(now, store, &open.space, creates)? else {
            return refuse(channel, Code::UNKNOWN_SPACE, None, "no such space");
        };
        let space = &self.spaces[&number];
        let settled = match space.log.settled(store, open.replica)? {
            // IDENT-9
            Some(settled) if settled.opened && settled.subject != grant.subject && !fault::is("ident-any-subject") => {
                return refuse(channel, Code::FORBIDDEN, None, "the replica belongs to another subject");
            }
            Some(settled) if settled.opened => settled,
            // PEER-19: known by relays only, and bound now.
            Some(_) => space.log.bind(store, open.replica, &grant.subject, true)?,
            None if space.log.replica_count(store)? >= limits::SPACE_REPLICAS_MAX as u64 => {
                return refuse(
                    channel,
                    Code::TOO_MANY_REPLICAS,
                    Some(limits::SPACE_REPLICAS_MAX as u64),
                    "the space binds no more replicas",
                );
            }
            None => space.log.bind(store, open.replica, &grant.subject, true)?,
        };
        let given = space.log.name_lengths(store)?;
        let claims_too_much = !fault::is("compact-any-claim") && open.names.is_some_and(|held| held.0 > given.0 || held.1 > given.1);
        let reset = reset_reason(&space.log.histories(store)?, (space.head, space.log.horizon(store)?.position), open.cursor.as_ref());
        // COMPACT-4
        let reset = if reset == Reset::NONE && claims_too_much { Reset::HISTORY } else { reset };
        let (cursor, staged) = match (&open.cursor, reset) {
            (Some(cursor), Reset::NONE) => (cursor.position, cursor.staged),
            _ => (0, None),
        };
        let scope = Scope::of(&open, cursor);
        let joins = scope.joins() && !fault::is("sub-joins-without-states");
        // SYNC-28, SUB-6
        let staged = staged.filter(|_| !fault::is("sync-begins-again"));
        let start = staged.unwrap_or(if joins { 0 } else { cursor });
        let start = if fault::is("sync-nothing-after-a-cursor") && reset == Reset::NONE { space.head } else { start };
        let opened = Opened {
            position: space.head,
            history: space.history.history,
            last_seq: if fault::is("ident-opened-without-seq") { 0 } else { settled.seq },
            link: if fault::is("ident-opened-without-link") { start_link(&open.space, open.replica) } else { settled.link },
            base_ms: space.history.base_ms,
            reset,
            rights: (agreed.has(Profiles::ACCESS) || fault::is("profile-rights-unasked"))
                .then(|| right.code())
                .filter(|_| !fault::is("access-opened-without-the-right")),
        };
        // COMPACT-4
        let names = open.names.or_else(|| fault::is("compact-numbers-for-all").then_some((0, 0)));
        let names = names.filter(|_| agreed.has(Profiles::COMPACT)).map(|held| if reset == Reset::NONE { held } else { (0, 0) });
        let names = names.map(|lengths| Known { lengths, from: if joins { 0 } else { cursor } });
        // SYNC-25: outcomes travel in states only.
        let resumed = reset == Reset::NONE && open.cursor.as_ref().is_some_and(|cursor| cursor.staged.is_some());
        let catching = reset != Reset::NONE && !fault::is("sync-empty-reset-unsaid")
            || resumed
            || joins
            || fault::is("mirror-states-after-absence") && start < space.head
            || settled.seq > open.settled && !fault::is("sync-verdicts-not-in-states");
        // SYNC-11: a verdict that was lost here is given anew; the outcomes up to the staged position were in the parts that the client keeps.
        let known = if fault::is("sync-lost-verdict-stays-lost") { open.settled } else { open.settled.min(settled.seq) };
        let told = if resumed { space.log.settled_by(store, open.replica, (known, settled.seq), start)? } else { known };
        let presence = agreed.has(Profiles::PRESENCE).then(Told::default);
        let credit = self.fresh_credit(id);
        self.touch(number);
        self.attach(
            id,
            channel,
            Channel {
                space: number,
                replica: open.replica,
                right,
                profiles,
                scope,
                opened_ms: now.mono_ms,
                sent: start,
                settled: told,
                catching,
                caught_up: 0,
                peer: agreed.has(Profiles::PEER) && !fault::is("peer-states-without-what-is-settled"),
                marked: None,
                signals: Default::default(),
                presence,
                credit,
                told_horizon: 0,
                asked: Default::default(),
                names,
            },
        );
        if !fault::is("sess-open-unanswered") {
            self.reply(id, channel, &Message::Opened(opened), 0);
        }
        Ok(())
    }

    /// What each side lets the other send on a channel that opens. (FLOW-2)
    fn fresh_credit(&self, id: ConnId) -> Credit {
        match self.conns.get(&id).filter(|conn| conn.agreed().has(Profiles::FLOW)) {
            Some(conn) => Credit::new(conn.credit_bytes, self.config.credit_bytes),
            None => Credit::unbounded(),
        }
    }

    fn attach(&mut self, id: ConnId, number: u16, channel: Channel) {
        // IDENT-8: the newest wins.
        let before = self.spaces.get(&channel.space).and_then(|space| space.readers.get(&channel.replica)).copied();
        if let Some((old, old_number)) = before.filter(|_| !fault::is("ident-two-at-once")) {
            self.fail_channel(old, old_number, Code::REPLACED, None, "the replica was opened elsewhere");
        }
        let space = self.spaces.get_mut(&channel.space).expect("the caller opened it");
        space.readers.insert(channel.replica, (id, number));
        let conn = self.conns.get_mut(&id).expect("it sent the open that is being answered");
        conn.ended.remove(&number);
        conn.channels.insert(number, Box::new(channel));
    }

    /// The number of the space, loaded and with a history of this run. (SYNC-2)
    pub(super) fn host(&mut self, now: Now, store: &mut dyn Store, name: &str, creates: bool) -> Result<Option<u64>, StoreError> {
        if let Some(number) = self.numbers.get(name) {
            return Ok(Some(*number));
        }
        let number = match log::find_space(store, name)? {
            Some(number) => number,
            None if creates
                && self.config.create_spaces
                && (!log::is_deleted(store, name)?
                    || fault::is("access-deleted-spaces-come-back")
                    || fault::is("sess-makes-any-space")) =>
            {
                log::create_space(store, name)?
            }
            None => return Ok(None),
        };
        let log = Log::new(name, number);
        let last = log.histories(store)?.pop().filter(|_| fault::is("sync-one-history"));
        let history = if let Some(last) = last {
            last
        } else {
            log.begin_history(store, History(self.entropy.bytes8()), if fault::is("mirror-stamps-from-0") { 0 } else { now.wall_ms })?
        };
        let head = log.head(store)?;
        self.touch(number);
        self.spaces.insert(number, Hosted::new(log, history, head, self.config.durability));
        self.numbers.insert(name.to_owned(), number);
        Ok(Some(number))
    }

    pub(super) fn on_channel(
        &mut self,
        now: Now,
        store: &mut dyn Store,
        id: ConnId,
        channel: u16,
        message: Message,
    ) -> Result<(), Failure> {
        let conn = self.conns.get(&id).expect("the caller found it");
        let code = message.code();
        match (conn.channels.contains_key(&channel), message) {
            (true, Message::Push(push)) => self.push(now, store, id, channel, push),
            (true, Message::Signal(signal)) => {
                self.signal(now, id, channel, signal);
                Ok(())
            }
            (true, Message::Ranges(question)) => {
                self.counts.comparisons += 1;
                // REPAIR-5
                if let Some(channel) = self.conns.get_mut(&id).and_then(|conn| conn.channels.get_mut(&channel)) {
                    channel.asked.ask(question);
                }
                self.ready.insert(id);
                Ok(())
            }
            (true, Message::Presence(presence)) => self.presence(now, id, channel, presence),
            // FLOW-2
            (true, Message::Credit { bytes }) => {
                if let Some(credit) = self.credit(id, channel) {
                    credit.sending.grant(bytes);
                }
                self.ready.insert(id);
                Ok(())
            }
            (true, Message::Shut) => {
                // SESS-17
                self.detach(id, channel);
                if fault::is("sess-shut-unanswered") {
                    return Ok(());
                }
                self.reply(id, channel, &Message::Shut, 0);
                Ok(())
            }
            (true, Message::Error(_)) => {
                self.detach(id, channel);
                Ok(())
            }
            // SESS-17, ERROR-6: the channel ended while this was under way.
            (false, _) if conn.ended.contains_key(&channel) && !fault::is("error-late-is-unexpected") => Ok(()),
            (_, _) => unexpected(code, "not a message for this channel"),
        }
    }

    fn push(&mut self, now: Now, store: &mut dyn Store, id: ConnId, number: u16, push: Push) -> Result<(), Failure> {
        if let Some(relayed) = push.author {
            return self.relay(now, store, id, number, (relayed, push.items));
        }
        let channel = &self.conns[&id].channels[&number];
        // ACCESS-1
        if channel.right < Right::Write && !fault::is("access-readers-push") {
            return refuse(number, Code::FORBIDDEN, None, "the token does not allow writing in this space");
        }
        let (replica, sent, space_number) = (channel.replica, channel.sent, channel.space);
        let terms = Terms { quota: self.config.quota, profiles: self.conns[&id].agreed(), now_ms: now.wall_ms };
        self.touch(space_number);
        for item in push.items {
            let space = self.spaces.get_mut(&space_number).expect("a channel's space is hosted");
            let log = space.log.clone();
            let base_ms = space.history.base_ms;
            match judge::judge(&log, store, replica, item, terms)? {
                Judged::Settled { position, seq, verdict, change, named } => {
                    log.sample(store, position, now.wall_ms, self.config.retention)?;
                    let link = log.link_at(store, replica, seq)?;
                    space.push(TailEntry::new((position, replica, seq), (verdict, link), change, (base_ms, named)), now.mono_ms);
                }
                // A verdict that is still on its way is not repeated.
                Judged::Again { position, .. } if position > sent => {}
                Judged::Again { position, seq, verdict } => {
                    let message = if verdict == Verdict::ACCEPTED {
                        Message::Ack(Ack { seq, position, durability: self.config.durability, numbers: Vec::new() })
                    } else {
                        stream::reject(seq, position, verdict)
                    };
                    self.reply(id, number, &message, base_ms);
                }
                Judged::Refused { code, detail } => {
                    return refuse(number, code, Some(detail), "the change does not continue what is settled");
                }
            }
        }
        Ok(())
    }
}

/// Whether a cursor can be resumed from, and why not. (SYNC-3, SYNC-4, SYNC-29, HORIZON-7)
fn reset_reason(histories: &[HistoryStart], (head, horizon): (u64, u64), cursor: Option<&Cursor>) -> u64 {
    let Some(cursor) = cursor else { return if fault::is("sync-wrong-reason") { Reset::HISTORY } else { Reset::NO_CURSOR } };
    if fault::is("sync-any-cursor") {
        return Reset::NONE;
    }
    let Some(at) = histories.iter().position(|start| start.history == cursor.history) else { return Reset::HISTORY };
    let last = histories.get(at + 1).map_or(head, |next| next.first);
    // SYNC-29
    match cursor.staged.filter(|_| !fault::is("sync-staged-unjudged")).unwrap_or(cursor.position) {
        position if position > last => Reset::FUTURE,
        // HORIZON-7
        position if position < horizon && !fault::is("horizon-resumes-below") => Reset::HORIZON,
        _ => Reset::NONE,
    }
}
