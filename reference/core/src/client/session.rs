//! The client on an opened space: identity check, push, catch-up, live changes, marks. Spec 6 to 8.

use crate::fault;
use std::collections::VecDeque;

use super::outbox::{self, Pending};
use super::repair::Repair;
use super::staging::Staging;
use super::{Client, Event, REOPENS_MAX, State};
use crate::change::{Change, Cursor, RecordName};
use crate::clock::{History, Now};
use crate::credit::Credit;
use crate::limits;
use crate::message::{Ack, Item, Message, Open, Opened, Outcome, PlacedChange, Push, Reject, States, cells_of, frame_of, message_bytes};
use crate::peer::held::{Place, Settled};
use crate::registry::{Code, Profiles, Reset};
use crate::store::{Store, StoreError};

/// An opened space.
#[derive(Debug)]
pub(super) struct Session {
    pub base_ms: u64,
    history: History,
    /// Base is replaced whole at the end of the catch-up. (SYNC-15)
    reset: bool,
    /// The chain differs from the server's: nothing is pushed before a fresh id is taken. (IDENT-12)
    forked: bool,
    /// What may be pushed here, and what the server may send. (FLOW-1)
    pub credit: Credit,
    /// The last seq pushed here.
    pushed: u64,
    /// Up to where changes of others were relayed here. (PEER-16)
    pub relayed: Place,
    /// Pushed changes without a verdict: seq and bytes.
    in_flight: VecDeque<(u64, usize)>,
    /// The cursor lay before the horizon, and base is not replaced yet: nothing is pushed. (HORIZON-12)
    behind_horizon: bool,
    /// A comparison of base by ranges that is under way. (REPAIR-3)
    pub repair: Option<Repair>,
    /// Since when a verdict is waited for and nothing came. (SESS-14)
    quiet_since_ms: u64,
}

impl Session {
    /// Whether no reset is under way and the chain is the server's.
    pub fn is_quiet(&self) -> bool {
        !self.reset && !self.forked
    }

    /// The history of the opened log.
    pub fn history(&self) -> History {
        self.history
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

    /// When a verdict is overdue. (SESS-14)
    pub fn verdict_due_ms(&self) -> Option<u64> {
        (!self.in_flight.is_empty() && !fault::is("sess-waits-for-a-verdict")).then_some(self.quiet_since_ms + limits::ACK_TIMEOUT_MS)
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
        open.names = self.claimed_names(open.cursor.is_some());
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
        if told {
            self.drop_staging(store)?;
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
        let window_changes = if fault::is("mirror-window-of-four") {
            4
        } else if self.outbox.is_careful() {
            1
        } else {
            self.limit(6, limits::PUSH_WINDOW_CHANGES)
        };
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
        if session.in_flight.is_empty() {
            session.quiet_since_ms = now.mono_ms;
        }
        let base_ms = session.base_ms;
        let mut frames = Vec::new();
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
            frames.push(frame_of(self.channel, &push));
        }
        for frame in frames {
            self.send_frame(now, frame);
        }
    }

    /// The Streaming row of the state table in spec 7.
    pub(super) fn streamed(&mut self, now: Now, store: &mut dyn Store, message: Message) -> Result<(), StoreError> {
        self.session().quiet_since_ms = now.mono_ms;
        let code = message.code();
        let in_order = match message {
            Message::Change(change) => self.on_change(now, store, change)?,
            Message::Void(void) => self.on_void(store, &void)?,
            Message::Ack(ack) => self.on_ack(store, &ack)?,
            Message::Reject(reject) => self.on_reject(now, store, &reject)?,
            Message::States(states) => self.on_states(now, store, states)?,
            Message::Mark(mark) => self.on_mark(now, store, &mark)?,
            Message::Signal(_) if fault::is("signal-swallowed") => true,
            Message::Signal(signal) => {
                self.event(Event::Signal { from: signal.replica, payload: signal.payload });
                true
            }
            Message::Presence(presence) => {
                self.on_presence(presence);
                true
            }
            // FLOW-2
            Message::Credit { bytes } => {
                self.session().credit.sending.grant(bytes);
                true
            }
            Message::Ranges(answer) => self.on_ranges(now, store, &answer)?,
            Message::Names(names) => self.on_names(names),
            Message::Shut => false,
            _ => {
                self.accuse(now, Code::UNEXPECTED, Some(code), "not a message for an opened space");
                return Ok(());
            }
        };
        if !matches!(self.state, State::Streaming(_)) {
            return Ok(());
        }
        if !in_order {
            self.reopen(now, store)?;
            return Ok(());
        }
        self.push(now);
        Ok(())
    }

    /// Whether `position` is the one after the cursor, or any later where positions are left out, and no catch-up is under
    /// way. (SESS-20, SUB-3)
    fn is_next(&mut self, position: u64) -> bool {
        let Some(cursor) = self.outbox.identity.cursor.as_ref().map(|cursor| cursor.position) else { return false };
        let follows = if self.subscription.is_partial() { position > cursor } else { position == cursor + 1 };
        (follows || fault::is("sess-any-position")) && self.is_caught_up()
    }

    /// Whether no catch-up is under way.
    pub(super) fn is_caught_up(&mut self) -> bool {
        self.staging.is_none() && !self.subscription.joins() && self.session().is_quiet()
    }

    /// Moves the cursor by one position that holds nothing for base.
    pub(super) fn advance(&mut self, store: &mut dyn Store, position: u64) -> Result<bool, StoreError> {
        if !self.is_next(position) {
            return Ok(false);
        }
        self.move_cursor(store, position)?;
        Ok(true)
    }

    pub(super) fn move_cursor(&mut self, store: &mut dyn Store, position: u64) -> Result<(), StoreError> {
        let history = self.session().history;
        let position = position + u64::from(fault::is("sync-cursor-runs-ahead"));
        self.outbox.identity.cursor = Some(Cursor { position, history, staged: None });
        self.names.keep(store)?;
        self.head = self.head.max(Some(position));
        self.outbox.note_clock(&self.clock);
        if fault::is("sync-cursor-kept-later") {
            return Ok(());
        }
        self.outbox.save(store)
    }

    fn on_change(&mut self, now: Now, store: &mut dyn Store, placed: PlacedChange) -> Result<bool, StoreError> {
        let PlacedChange { position, author, change } = placed;
        // SESS-23: an own change never comes back.
        if author == self.outbox.identity.replica || !self.is_next(position) {
            return Ok(false);
        }
        self.clock.observe(now, change.reading);
        self.settle_change(store, author, &change, position)?;
        let mut change = self.subscription.part_of(change);
        if fault::is("merge-arrivals-win") {
            change.reading = self.clock.mint(now);
        }
        self.base.apply(store, author, &change, position)?;
        self.move_cursor(store, position)?;
        self.event(Event::Changed(names(&change)));
        Ok(true)
    }

    /// Every own change up to the ack's seq is accepted, at the positions since the cursor. (SESS-20)
    fn on_ack(&mut self, store: &mut dyn Store, ack: &Ack) -> Result<bool, StoreError> {
        let settled = self.outbox.identity.settled.0;
        if ack.seq <= settled {
            return Ok(true);
        }
        let Some(cursor) = self.outbox.identity.cursor.clone() else { return Ok(false) };
        let pushed = self.session().pushed;
        // SUB-4: also where positions are left out, those of one ack are not.
        let before = ack.position.checked_sub(ack.seq - settled);
        let Some(first) = before.filter(|before| *before >= cursor.position).map(|before| before + 1) else { return Ok(false) };
        if !self.is_next(first) || ack.seq > pushed {
            return Ok(false);
        }
        let mut records = Vec::new();
        for (seq, position) in (settled + 1..=ack.seq).zip(first..) {
            let Some(pending) = self.outbox.pending(seq) else { return Ok(false) };
            if pending.rejected.is_some() {
                return Ok(false);
            }
            records.extend(pending.change.rows.iter().map(|row| row.record.clone()));
            let change = self.subscription.part_of(pending.change.clone());
            if !fault::is("model-settled-without-base") {
                self.base.apply(store, self.outbox.identity.replica, &change, position)?;
            }
            self.outbox.settle(store, Code::ACCEPTED, position)?;
        }
        self.landed(ack.seq);
        self.move_cursor(store, ack.position)?;
        // COMPACT-9
        let numbered: Vec<_> = ack.numbers.iter().copied().zip(records).filter(|(number, _)| *number > 0).collect();
        self.learn(store, &numbered)?;
        Ok(true)
    }

    pub(super) fn landed(&mut self, seq: u64) {
        let in_flight = &mut self.session().in_flight;
        while in_flight.front().is_some_and(|(under_way, _)| *under_way <= seq) {
            in_flight.pop_front();
        }
    }

    fn on_reject(&mut self, now: Now, store: &mut dyn Store, reject: &Reject) -> Result<bool, StoreError> {
        let settled = self.outbox.identity.settled.0;
        if reject.seq <= settled {
            return Ok(true);
        }
        if reject.seq != settled + 1 || !self.is_next(reject.position) {
            return Ok(false);
        }
        self.settle_rejected(now, store, (reject.code, reject.detail), reject.position)?;
        self.landed(reject.seq);
        self.move_cursor(store, reject.position)?;
        Ok(true)
    }

    /// The next own change was rejected: it leaves the view, and the application is told. (IDENT-16, IDENT-22)
    pub(super) fn settle_rejected(
        &mut self,
        now: Now,
        store: &mut dyn Store,
        (code, detail): (Code, Option<u64>),
        position: u64,
    ) -> Result<(), StoreError> {
        let replica = self.outbox.identity.replica;
        let Some(Pending { change, rejected, .. }) = self.outbox.settle(store, code, position)? else { return Ok(()) };
        if fault::is("model-base-takes-the-rejected") {
            self.base.apply(store, replica, &change, position)?;
        }
        self.event(Event::Changed(self.names_of(&change)));
        let quiet = code == Code::DUPLICATE && !fault::is("ident-duplicate-reported") || code == Code::SKIPPED;
        if rejected.is_some() || quiet {
            return Ok(());
        }
        if self.replaced(now, store, &change, (code, detail))? {
            return Ok(());
        }
        if fault::is("cond-rejected-in-silence") && code == Code::CONDITION {
            return Ok(());
        }
        outbox::keep_rejection(store, replica, code, &change)?;
        self.event(Event::Rejected { seq: change.seq, code });
        Ok(())
    }

    /// A part of a catch-up: kept aside, and at the last one base moves. (SYNC-13, SYNC-14)
    fn on_states(&mut self, now: Now, store: &mut dyn Store, states: States) -> Result<bool, StoreError> {
        if !states.replaced.is_empty() {
            return self.replace_ranges(now, store, states);
        }
        let reached = self.outbox.identity.cursor.as_ref().map_or(0, |cursor| cursor.position);
        let session = self.session();
        let (history, reset) = (session.history, session.reset);
        let reached = if reset || self.subscription.joins() { 0 } else { reached };
        let reached = self.staging.as_ref().map_or(reached, |staging| staging.to);
        // SESS-21: parts only go forward.
        if states.history != history || states.to < reached {
            return Ok(false);
        }
        self.head = self.head.max(Some(states.to));
        if !states.last && fault::is("sync-shows-parts") {
            for item in states.items.clone() {
                self.take_item(now, store, item, states.to, &mut Vec::new(), &mut Vec::new())?;
            }
        }
        if !states.last {
            let staging = Staging::keep(store, self.staging.take(), reset, states)?;
            self.staging = Some(staging);
            return Ok(true);
        }
        let edits = self.edits_of_base(store)?;
        if reset {
            // SYNC-15
            self.session().reset = false;
            if !fault::is("sync-reset-adds") {
                self.base.clear(store)?;
            }
            self.names.begin_base(store)?;
        }
        self.subscription.complete(store)?;
        self.begin_settled(store, reset, states.to)?;
        let mut changed = Vec::new();
        let mut outcomes = Vec::new();
        let staging = self.staging.take();
        for number in staging.iter().flat_map(Staging::parts) {
            for item in Staging::items(store, number)? {
                self.take_item(now, store, item, states.to, &mut changed, &mut outcomes)?;
            }
            changed.sort();
            changed.dedup();
            changed.truncate(CHANGED_NAMES_MAX + 1);
        }
        let numbers = Staging::numbers(store)?;
        if staging.is_some() {
            Staging::clear(store)?;
        }
        for item in states.items {
            self.take_item(now, store, item, states.to, &mut changed, &mut outcomes)?;
        }
        changed.extend(self.held.prune(store)?);
        self.move_cursor(store, states.to)?;
        self.learn(store, &numbers)?;
        self.settle_outcomes(now, store, &outcomes, states.to)?;
        self.set_aside_stale(store, edits)?;
        self.session().behind_horizon = false;
        self.outbox.save(store)?;
        changed.sort();
        changed.dedup();
        if changed.len() > CHANGED_NAMES_MAX {
            changed.clear();
        }
        self.event(Event::Changed(changed));
        if self.session().forked {
            self.remint(now, store, None)?;
        }
        Ok(true)
    }

    pub(super) fn take_item(
        &mut self,
        now: Now,
        store: &mut dyn Store,
        item: Item,
        position: u64,
        changed: &mut Vec<RecordName>,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<(), StoreError> {
        match &item {
            Item::Outcome(outcome) => outcomes.push(outcome.clone()),
            Item::Cells { stamp, .. } => self.clock.observe(now, stamp.reading),
            Item::Settled { author, seq, link } => {
                changed.extend(self.held.settle(store, *author, Settled { seq: *seq, link: *link, position })?);
            }
            Item::Plain(_) | Item::Keyed { .. } | Item::Held { .. } | Item::Base { .. } => {}
        }
        for (record, row_life, cells) in cells_of(item) {
            // SUB-9
            if !self.subscription.covers(&record.collection) {
                continue;
            }
            let life = self.base.life(store, &record)?.life;
            // HORIZON-10; SYNC-14: cells of other lives are dropped.
            if row_life != life
                && !(fault::is("horizon-client-keeps-greater-lives") && life > row_life || fault::is("sync-lives-kept") && life > 0)
            {
                self.base.set_life(store, &record, row_life, position)?;
            }
            for (name, state) in cells {
                self.base.set_cell(store, &record, &name, state, position)?;
            }
            changed.push(record);
        }
        Ok(())
    }
}

/// Records that one event names; it names none where more changed.
const CHANGED_NAMES_MAX: usize = 4_096;
/// Bytes of changes in one push frame.
const PUSH_FRAME_BYTES: usize = 64 * 1024;

fn names(change: &Change) -> Vec<RecordName> {
    change.rows.iter().map(|row| row.record.clone()).collect()
}
