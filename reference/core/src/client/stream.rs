//! What the server says on an opened space: changes, verdicts, states. Spec 7 and 8.

use super::outbox::{self, Pending};
use super::staging::Staging;
use super::{Client, Event, State};
use crate::change::{Change, Cursor, RecordName};
use crate::clock::Now;
use crate::fault;
use crate::message::{Ack, Item, Message, Outcome, PlacedChange, Reject, States, cells_of};
use crate::peer::held::Settled;
use crate::registry::Code;
use crate::store::{Store, StoreError};
use std::collections::BTreeSet;

impl Client {
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
        // SYNC-34
        let early = states.last && Some(states.to) < self.head && !fault::is("sync-takes-an-early-end");
        // SESS-21: parts only go forward.
        if states.history != history || states.to < reached || early {
            return Ok(false);
        }
        self.head = self.head.max(Some(states.to));
        if !states.last && fault::is("sync-shows-parts") {
            for item in states.items.clone() {
                self.take_item(now, store, item, states.to, &mut ChangedNames::default(), &mut Vec::new())?;
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
        let mut changed = ChangedNames::default();
        let mut outcomes = Vec::new();
        let staging = self.staging.take();
        for number in staging.iter().flat_map(Staging::parts) {
            for item in Staging::items(store, number)? {
                self.take_item(now, store, item, states.to, &mut changed, &mut outcomes)?;
            }
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
        self.event(Event::Changed(changed.finish()));
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
        changed: &mut ChangedNames,
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
            self.base.take(store, &record, (row_life, cells), position)?;
            changed.insert(record);
        }
        Ok(())
    }
}

/// Records that one event names; it names none where more changed.
const CHANGED_NAMES_MAX: usize = 4_096;

/// The records that an event names, as long as they are not too many.
#[derive(Debug, Default)]
pub(super) struct ChangedNames {
    names: BTreeSet<RecordName>,
    too_many: bool,
}

impl ChangedNames {
    pub fn insert(&mut self, name: RecordName) {
        if !self.too_many {
            self.names.insert(name);
            self.too_many = self.names.len() > CHANGED_NAMES_MAX;
        }
    }

    /// The names in order; none where they were too many.
    pub fn finish(self) -> Vec<RecordName> {
        if self.too_many { Vec::new() } else { self.names.into_iter().collect() }
    }
}

impl Extend<RecordName> for ChangedNames {
    fn extend<T: IntoIterator<Item = RecordName>>(&mut self, names: T) {
        names.into_iter().for_each(|name| self.insert(name));
    }
}

fn names(change: &Change) -> Vec<RecordName> {
    change.rows.iter().map(|row| row.record.clone()).collect()
}
