//! The client on an opened space: identity check, push, catch-up, live changes, marks. Spec 6 to 8.

use crate::fault;
use std::collections::VecDeque;

use super::repair::Repair;
use super::staging::Staging;
use super::{Client, Event, REOPENS_MAX, State};
use crate::change::Cursor;
use crate::clock::{History, Now};
use crate::credit::Credit;
use crate::limits;
use crate::message::{Message, Open, Opened, Push, message_bytes};
use crate::peer::held::Place;
use crate::registry::{Code, Profiles, Reset};
use crate::store::{Store, StoreError};

/// An opened space.
#[derive(Debug)]
pub(super) struct Session {
    pub base_ms: u64,
    pub history: History,
    /// Base is replaced whole at the end of the catch-up. (SYNC-15)
    pub reset: bool,
    /// The chain differs from the server's: nothing is pushed before a fresh id is taken. (IDENT-12)
    pub forked: bool,
    /// What may be pushed here, and what the server may send. (FLOW-1)
    pub credit: Credit,
    /// The last seq pushed here.
    pub pushed: u64,
    /// Up to where changes of others were relayed here. (PEER-16)
    pub relayed: Place,
    /// Pushed changes without a verdict: seq and bytes.
    pub in_flight: VecDeque<(u64, usize)>,
    /// The cursor lay before the horizon, and base is not replaced yet: nothing is pushed. (HORIZON-12)
    pub behind_horizon: bool,
    /// A comparison of base by ranges that is under way. (REPAIR-3)
    pub repair: Option<Repair>,
    /// There is something to push, and no credit for it. (FLOW-6)
    starved: bool,
    /// Since when a verdict or credit is waited for and nothing came. (SESS-14, FLOW-6)
    pub quiet_since_ms: u64,
}

impl Session {
    /// Whether no reset is under way and the chain is the server's.
    pub fn is_quiet(&self) -> bool {
        !self.reset && !self.forked
    }

    /// The seqs of the pushed changes without a verdict.
    pub fn under_way(&self) -> impl Iterator<Item = u64> {
        self.in_flight.iter().map(|(seq, _)| *seq)
    }

    /// Whether the chain differs from the server's.
    pub fn is_forked(&self) -> bool {
        self.forked
    }

    /// The chain differs from the server's.
    pub fn fork(&mut self) {
        self.forked = true;
    }

    /// What lies up to this own seq needs no push.
    pub fn push_past(&mut self, seq: u64) {
        self.pushed = self.pushed.max(seq);
    }

    /// The last own seq pushed here.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// When a verdict, or credit, is overdue. (SESS-14, FLOW-6)
    pub fn answer_due_ms(&self) -> Option<u64> {
        let verdict = !self.in_flight.is_empty() && !fault::is("sess-waits-for-a-verdict");
        let credit = self.starved && !fault::is("flow-waits-for-credit");
        (verdict || credit).then_some(self.quiet_since_ms + limits::ACK_TIMEOUT_MS)
    }
}

/// How the server's view of the chain compares with the client's own. (IDENT-11)
enum Chain {
    Same,
    /// The server lost what it settled after its last seq. (IDENT-17)
    Behind,
    Forked,
    /// The link to compare with is no longer kept. (IDENT-19)
    Unknown,
}

impl Client {
    /// Opens the space on the next channel number; not where only a part is wanted and the server does not offer that.
    pub(super) fn open(&mut self, now: Now, store: &mut dyn Store) -> Result<(), StoreError> {
        let agreed = self.agreed.has(Profiles::SUBSCRIBE);
        if !agreed && self.subscription.is_partial() && !fault::is("sub-opens-without-the-profile") {
            // SUB-17
            self.stop();
            self.event(Event::Refused { code: Code::UNSUPPORTED, text: "the server does not offer subscriptions".into() });
            return Ok(());
        }
        if !agreed && self.subscription.joins() {
            // Base lacks collections, and the server cannot be told which.
            self.drop_staging(store)?;
            self.outbox.identity.cursor = None;
            self.outbox.save(store)?;
        }
        self.channel = if self.channel == u16::MAX { 1 } else { self.channel + 1 };
        self.state = State::AwaitOpened { since_ms: now.mono_ms };
        self.verified = None;
        self.forget_presence();
        let identity = &self.outbox.identity;
        let mut open = Open {
            space: identity.space.clone(),
            replica: identity.replica,
            settled: identity.settled.0,
            cursor: self.resumed_from(),
            collections: None,
            known: None,
            names: None,
        };
        if agreed {
            self.subscription.ask(&mut open);
        }
        open.names = self.claimed_names(store, open.cursor.is_some())?;
        self.send(now, self.channel, &[Message::Open(open)], 0);
        let early = self.outbox.pushed(self.outbox.identity.settled.0 + 1).filter(|_| fault::is("sess-pushes-early"));
        if let Some((item, _)) = early {
            self.send(now, self.channel, &[Message::Push(Push { author: None, items: vec![item] })], 0);
        }
        Ok(())
    }

    /// The cursor to open with: that of base, or how far the catch-up under way is kept. (SYNC-16, SYNC-27)
    fn resumed_from(&self) -> Option<Cursor> {
        // PEER-5: base is gone on from only where all that it settles is known.
        let known = self.held.ground.whole || !self.peers();
        let cursor = self.outbox.identity.cursor.clone().filter(|_| known);
        let Some(staging) = self.staging.as_ref().filter(|_| !fault::is("sync-staging-forgotten")) else { return cursor };
        let position = if staging.resets { 0 } else { cursor.map_or(0, |cursor| cursor.position) };
        // A catch-up of collections that join base begins before its cursor. (SYNC-32, SUB-6)
        Some(Cursor {
            position: position.min(staging.to),
            history: staging.history,
            staged: Some(staging.to + u64::from(fault::is("sync-staged-runs-ahead"))),
        })
    }

    /// Forgets what is kept of a catch-up under way. (SYNC-31)
    pub(super) fn drop_staging(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        if fault::is("sync-staging-kept") {
            return Ok(());
        }
        if self.staging.take().is_some() {
            Staging::clear(store)?;
        }
        Ok(())
    }

    /// Ends the channel and opens the space again; gives the connection up when that did not help. (SESS-21)
    pub(super) fn reopen(&mut self, now: Now, store: &mut dyn Store) -> Result<(), StoreError> {
        self.reopened += 1;
        if self.reopened > REOPENS_MAX {
            self.reopened = 0;
            self.give_up(now, 0);
            return Ok(());
        }
        self.send(now, self.channel, &[Message::Shut], 0);
        self.open(now, store)
    }

    pub(super) fn opened(&mut self, now: Now, store: &mut dyn Store, opened: Opened) -> Result<(), StoreError> {
        let settled = self.outbox.identity.settled.0;
        let chain = self.compare(store, &opened)?;
        let told = opened.reset != Reset::NONE;
        // SYNC-33: parts of another history may lack what changed again in what that lost.
        let parted = self.staging.as_ref().is_some_and(|staging| staging.history != opened.history);
        let parted = parted && !fault::is("sync-staged-of-another-history");
        if told || parted {
            self.drop_staging(store)?;
        }
        if parted && !told {
            return self.reopen(now, store);
        }
        // SYNC-30: a resumed reset is one still.
        let reset = told || !fault::is("sync-resumed-reset-adds") && self.staging.as_ref().is_some_and(|staging| staging.resets);
        self.note_reset(store, opened.reset)?;
        self.begin_names(store, told)?;
        self.head = Some(opened.position);
        self.note_rights(opened.rights);
        self.state = State::Streaming(Session {
            base_ms: opened.base_ms,
            history: opened.history,
            reset,
            forked: false,
            credit: self.fresh_credit(),
            pushed: opened.last_seq.min(self.outbox.identity.last.0),
            relayed: (0, 0),
            in_flight: VecDeque::new(),
            behind_horizon: self.is_behind_horizon(store)?,
            repair: None,
            starved: false,
            quiet_since_ms: now.mono_ms,
        });
        if !reset {
            self.enter_history(store, opened.history)?;
        }
        if told && fault::is("sync-reset-drops-the-overlay") {
            self.outbox.offered().into_iter().try_for_each(|seq| self.outbox.set_aside(store, seq, Code::STALE).map(drop))?;
        }
        if told && self.outbox.identity.cursor.is_some() {
            self.event(Event::Reset { reason: opened.reset });
        }
        self.set_aside_what_is_not_agreed(store)?;
        match chain {
            Chain::Same => {}
            Chain::Behind if fault::is("ident-lost-not-offered") => {}
            Chain::Behind if self.outbox.regress(store, opened.last_seq)? => self.outbox.save(store)?,
            Chain::Behind | Chain::Unknown => return self.remint(now, store, Some(opened.last_seq)),
            // The outcomes in the catch-up tell how far the chains agree. (IDENT-13)
            Chain::Forked if opened.last_seq > settled && !fault::is("ident-remints-all") => self.session().forked = true,
            Chain::Forked => return self.remint(now, store, Some(0)),
        }
        self.begin_presence(now);
        self.push(now);
        Ok(())
    }

    /// IDENT-11, IDENT-12
    fn compare(&self, store: &dyn Store, opened: &Opened) -> Result<Chain, StoreError> {
        let identity = &self.outbox.identity;
        if fault::is("ident-opened-not-compared") {
            return Ok(Chain::Same);
        }
        if opened.last_seq > identity.last.0 {
            return Ok(Chain::Forked);
        }
        Ok(match self.outbox.link_at(store, opened.last_seq)? {
            Some(link) if link != opened.link => Chain::Forked,
            Some(_) if opened.last_seq < identity.settled.0 => Chain::Behind,
            Some(_) => Chain::Same,
            None => Chain::Unknown,
        })
    }

    pub(super) fn session(&mut self) -> &mut Session {
        match &mut self.state {
            State::Streaming(session) => session,
            state => panic!("a message of an opened space was handled in {state:?}"),
        }
    }

    /// Pushes what the window allows. (SESS-18, SESS-19, LIMIT-6, ACCESS-12)
    pub(super) fn push(&mut self, now: Now) {
        // IDENT-28
        let window_changes = if self.outbox.is_careful() { 1 } else { self.limit(6, limits::PUSH_WINDOW_CHANGES) };
        let window_changes = if fault::is("mirror-window-of-four") { window_changes.min(4) } else { window_changes };
        let window_bytes = self.limit(7, limits::PUSH_WINDOW_BYTES);
        let frame_bytes = PUSH_FRAME_BYTES.min(self.limit(0, limits::FRAME_BYTES_MAX) / 2);
        let may_write = self.access.may_write();
        let peers = self.peers();
        let State::Streaming(session) = &mut self.state else { return };
        // ACCESS-12, HORIZON-12
        let waits = fault::is("sub-pushes-nothing") && self.subscription.is_partial();
        if session.forked || session.behind_horizon || !may_write || waits {
            return;
        }
        let held = if peers { self.held.after(session.relayed).next() } else { None };
        // PEER-16: what came before goes before.
        let upto = held.map_or(u64::MAX, |(_, held)| held.place.0);
        let mut under_way: usize = session.in_flight.iter().map(|(_, bytes)| bytes).sum();
        if session.in_flight.is_empty() && !session.starved {
            session.quiet_since_ms = now.mono_ms;
        }
        let base_ms = session.base_ms;
        let mut pushes = Vec::new();
        // FLOW-1
        while session.credit.sending.is_open() {
            let mut batch = Vec::new();
            let mut batch_bytes = 0;
            while let Some((item, bytes)) = self.outbox.pushed(session.pushed + 1) {
                let full = session.in_flight.len() >= window_changes || under_way + bytes > window_bytes;
                let full = full && !fault::is("sess-no-window");
                if session.pushed >= upto
                    || full && !session.in_flight.is_empty()
                    || (batch_bytes + bytes > frame_bytes || fault::is("mirror-push-of-one")) && !batch.is_empty()
                {
                    break;
                }
                session.pushed += 1;
                session.in_flight.push_back((session.pushed, bytes));
                under_way += bytes;
                batch_bytes += bytes;
                batch.push(item);
            }
            if batch.is_empty() {
                break;
            }
            let push = message_bytes(&Message::Push(Push { author: None, items: batch }), base_ms);
            session.credit.sending.spend(push.len());
            pushes.push(push);
        }
        let next = session.pushed < upto && self.outbox.pushed(session.pushed + 1).is_some();
        session.starved = next && !session.credit.sending.is_open();
        for push in pushes {
            self.send_frame(now, self.frame_of(&push));
        }
    }
}

/// Bytes of changes in one push frame.
const PUSH_FRAME_BYTES: usize = 64 * 1024;
