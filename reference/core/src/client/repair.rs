//! What a mark tells: a base that differs is compared by ranges, and only what differs is replaced. Spec 8 and 20.

use crate::fault;
use std::collections::BTreeMap;

use super::stream::ChangedNames;
use super::{Client, Event};
use crate::change::RecordName;
use crate::clock::{Now, Reading, Stamp};
use crate::limits;
use crate::message::{AddressRange, Mark, Message, Ranges, States, cells_of};
use crate::ranges::{self, Cells};
use crate::registry::{Code, Profiles};
use crate::rules::State;
use crate::rules::lww::Lww;
use crate::space::{Cell, CellName, Covers, Space};
use crate::store::{Store, StoreError};
use crate::value::Value;

/// Questions after which a comparison is given up.
const ROUNDS_MAX: u32 = 16;

/// A comparison under way.
#[derive(Debug)]
pub(super) struct Repair {
    seed: u64,
    rounds: u32,
}

/// The cells of base.
struct Base<'a> {
    base: &'a Space,
    store: &'a dyn Store,
    covers: Covers<'a>,
}

impl Cells for Base<'_> {
    type Error = StoreError;

    fn each(&mut self, (lower, upper): &AddressRange, see: &mut dyn FnMut(&[u8], &[u8; 32])) -> Result<(), StoreError> {
        let mut limit = usize::MAX;
        self.base.digests_in(self.store, (lower, upper), (self.covers, &mut limit), see).map(|_| ())
    }
}

impl Client {
    /// A mark: base is compared with it. (SYNC-20, SUB-10)
    pub(super) fn on_mark(&mut self, now: Now, store: &mut dyn Store, mark: &Mark) -> Result<bool, StoreError> {
        let Some(cursor) = self.outbox.identity.cursor.clone() else { return Ok(false) };
        if mark.position < cursor.position {
            return Ok(true);
        }
        let follows = mark.position == cursor.position || self.subscription.is_partial();
        if !follows || !self.is_caught_up() || mark.history != self.session().history {
            return Ok(false);
        }
        if let Some(position) = mark.backed_up {
            self.outbox.forget_backed_up(store, position)?;
        }
        // SUB-10
        if mark.position > cursor.position && !fault::is("sub-cursor-stays-at-marks") {
            self.move_cursor(store, mark.position)?;
        }
        self.attempts = 0;
        self.reopened = 0;
        self.forget_below(store, mark.horizon.unwrap_or(0))?;
        self.marked = Some((mark.position, mark.fingerprint));
        // REPAIR-8: the ranges are compared to their end first.
        if self.session().repair.is_some() {
            return Ok(true);
        }
        // SYNC-20
        if self.base.fingerprint(store, self.agreed.has(Profiles::RULES))?.wire() == mark.fingerprint
            || fault::is("sync-marks-not-compared")
            || fault::is("merge-arrivals-win")
        {
            self.verified = Some(mark.position);
            self.mismatched = false;
            return Ok(true);
        }
        self.verified = None;
        self.differs(now, store)
    }

    /// REPAIR-1, SYNC-22: a repair where it is agreed, else one reset by itself, then the application is told, and the next waits its time.
    pub(super) fn differs(&mut self, now: Now, store: &mut dyn Store) -> Result<bool, StoreError> {
        if self.begin_repair(now, store)? {
            return Ok(true);
        }
        if self.reset_due_ms().is_some_and(|due| due > now.mono_ms) && !fault::is("sync-resets-at-once") {
            self.mismatched = true;
            self.event(Event::Mismatch);
            return Ok(true);
        }
        self.forget_cursor(now, store)?;
        Ok(false)
    }

    fn forget_cursor(&mut self, now: Now, store: &mut dyn Store) -> Result<(), StoreError> {
        self.drop_staging(store)?;
        self.mismatched = false;
        self.reset_ms = Some(now.mono_ms);
        self.outbox.identity.cursor = None;
        self.outbox.save(store)
    }

    /// Whether a mark ever differed, so that base was begun anew: repaired, where nothing should break.
    pub(crate) fn was_repaired(&self) -> bool {
        self.reset_ms.is_some() || self.repaired_ms.is_some()
    }

    /// When the next automatic reset is allowed, where one was made.
    pub(super) fn reset_due_ms(&self) -> Option<u64> {
        self.reset_ms.map(|at| at + limits::RESET_INTERVAL_MS)
    }

    /// Resets once more where the fingerprints still differ and the time has come. (SYNC-22)
    pub(super) fn retry_reset(&mut self, now: Now, store: &mut dyn Store) -> Result<(), StoreError> {
        if self.mismatched && self.reset_due_ms().is_some_and(|due| due <= now.mono_ms) {
            self.forget_cursor(now, store)?;
            self.reopen(now, store)?;
        }
        Ok(())
    }

    /// Begins to compare base with the state of the space; false where that was not agreed, or was done of late.
    /// (REPAIR-3, REPAIR-8)
    pub(super) fn begin_repair(&mut self, now: Now, store: &dyn Store) -> Result<bool, StoreError> {
        let of_late = self.repaired_ms.is_some_and(|at| now.mono_ms < at + limits::RESET_INTERVAL_MS);
        if of_late || !self.agreed.has(Profiles::REPAIR) || fault::is("repair-not-begun") {
            return Ok(false);
        }
        self.repaired_ms = Some(now.mono_ms);
        let seed = self.entropy.below(1 << 53);
        let question = ranges::first(&mut self.cells(store), seed)?;
        self.session().repair = Some(Repair { seed, rounds: 0 });
        self.ask(now, question);
        Ok(true)
    }

    fn cells<'a>(&'a self, store: &'a dyn Store) -> Base<'a> {
        // Base holds nothing but what is subscribed.
        let covers = Covers { rules: self.agreed.has(Profiles::RULES), collections: None };
        Base { base: &self.base, store, covers }
    }

    fn ask(&mut self, now: Now, question: Ranges) {
        self.send(now, self.channel, &[Message::Ranges(question)], 0);
    }

    /// An answer: another question, or the end. (REPAIR-4, REPAIR-8)
    pub(super) fn on_ranges(&mut self, now: Now, store: &mut dyn Store, answer: &Ranges) -> Result<bool, StoreError> {
        let Some(repair) = self.session().repair.as_mut().filter(|repair| repair.seed == answer.seed) else { return Ok(true) };
        repair.rounds += 1;
        let is_over = repair.rounds > ROUNDS_MAX || answer.ranges.is_empty();
        let next = if is_over { None } else { ranges::next(&mut self.cells(store), answer)? };
        if let Some(question) = next {
            self.ask(now, question);
            return Ok(true);
        }
        self.session().repair = None;
        let cursor = self.outbox.identity.cursor.as_ref().map(|cursor| cursor.position);
        let Some((position, fingerprint)) = self.marked.filter(|(position, _)| Some(*position) == cursor) else {
            // The log went on meanwhile: another mark follows.
            return Ok(true);
        };
        if self.base.fingerprint(store, self.agreed.has(Profiles::RULES))?.wire() == fingerprint {
            self.verified = Some(position);
            self.mismatched = false;
            return Ok(true);
        }
        if fault::is("repair-ends-all-well") {
            return Ok(true);
        }
        self.differs(now, store)
    }

    /// Makes base differ from the state of the space, as a fault would; for tests that want it healed. With a field, the field
    /// changes its value, or comes to be; without, the record goes.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn spoil(&self, store: &mut dyn Store, record: &RecordName, field: Option<&str>) -> Result<(), StoreError> {
        let Some(field) = field else {
            let (lower, upper) = Space::addresses_of(record);
            return self.base.remove_range(store, (&lower, &upper), &BTreeMap::new());
        };
        if self.base.life(store, record)?.life == 0 {
            self.base.set_life(store, record, 1, 1)?;
        }
        let name = CellName::lww(field);
        let held = self.base.cell(store, record, &name)?;
        let (stamp, position) = match held {
            Some(Cell { state: State::Stamped(cell), position }) => (cell.stamp, position),
            _ => (Stamp { reading: Reading::ZERO, author: self.outbox.identity.replica }, 1),
        };
        let value = Some(Value::Text("spoilt".to_owned()));
        self.base.set_cell(store, record, name, State::Stamped(Lww { stamp, value }), position)
    }

    /// Cells that stand in the place of all that base has in some ranges. (REPAIR-6, REPAIR-7)
    pub(super) fn replace_ranges(&mut self, now: Now, store: &mut dyn Store, states: States) -> Result<bool, StoreError> {
        let session = self.session();
        let quiet = session.repair.is_some() && session.is_quiet() && session.history == states.history;
        let cursor = self.outbox.identity.cursor.as_ref().map(|cursor| cursor.position);
        // What is not subscribed may have moved the log on.
        let here = cursor == Some(states.to) || self.subscription.is_partial() && cursor < Some(states.to);
        if !quiet || self.staging.is_some() || !here {
            return Ok(false);
        }
        for seq in self.outbox.offered().into_iter().filter(|_| fault::is("repair-sets-the-overlay-aside")) {
            self.outbox.set_aside(store, seq, Code::STALE)?;
        }
        let lives = states.items.iter().cloned().flat_map(cells_of).map(|(record, life, _)| (record, life));
        let given: BTreeMap<RecordName, u64> = lives.collect();
        for (lower, upper) in states.replaced.iter().filter(|_| !fault::is("repair-keeps-what-is-gone")) {
            self.base.remove_range(store, (lower, upper), &given)?;
        }
        for item in states.items {
            self.take_item(now, store, item, states.to, &mut ChangedNames::default(), &mut Vec::new())?;
        }
        self.outbox.note_clock(&self.clock);
        self.outbox.save(store)?;
        self.event(Event::Changed(Vec::new()));
        Ok(true)
    }
}
