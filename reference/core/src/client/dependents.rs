//! Changes that stand on others, changes that the server cannot take, and conditions. Spec 6 and 16.

use super::outbox::Fate;
use super::write::refuse;
use super::{Client, Event, State, Write, WriteError};
use crate::change::{Change, Condition, Origin, RecordName, Row};
use crate::clock::Now;
use crate::fault;
use crate::limits;
use crate::message::ErrorMessage;
use crate::registry::{Class, Code, Profiles};
use crate::rules::{Key, LWW, life};
use crate::store::{Store, StoreError};

/// What must still be as the view shows it where a change is accepted. (COND-1)
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guard {
    /// Whether the record is there.
    Record(RecordName),
    /// What a field of it holds.
    Field(RecordName, String),
}

impl Client {
    /// Writes one atomic change that the server rejects unless each guard holds there. (COND-1, COND-2)
    ///
    /// # Errors
    /// As `write`, and where the server it is connected to does not know conditions.
    pub fn write_if(&mut self, now: Now, store: &mut dyn Store, writes: &[Write], guards: &[Guard]) -> Result<u64, WriteError> {
        if !guards.is_empty()
            && !fault::is("cond-written-where-unknown")
            && matches!(self.state, State::Streaming(_))
            && !self.agreed.has(Profiles::CONDITIONS)
        {
            return refuse("a change with conditions".into(), "what the server knows; it does not offer the profile conditions");
        }
        let mut conditions = Vec::new();
        for guard in guards {
            conditions.push(self.condition(store, guard)?);
        }
        self.write_under(now, store, writes, &conditions)
    }

    fn condition(&self, store: &dyn Store, guard: &Guard) -> Result<Condition, StoreError> {
        let (Guard::Record(record) | Guard::Field(record, _)) = guard;
        let state = if fault::is("cond-on-base") { self.base.record(store, record)? } else { self.overlaid(store, record)? };
        let record = record.clone();
        Ok(match guard {
            Guard::Record(_) => Condition::Life { record, life: state.life },
            Guard::Field(_, field) => {
                let shown = state.lww(field).filter(|cell| cell.value.is_some() && life::is_alive(state.life));
                let stamp = shown.map(|cell| cell.stamp);
                Condition::Cell { record, field: field.clone(), rule: LWW, key: Key::none(), stamp }
            }
        })
    }

    /// The own changes without a verdict that raised records to the lives that these rows stand on, ascending. (IDENT-25)
    pub(super) fn needs(&self, store: &dyn Store, rows: &[Row]) -> Result<Vec<u64>, StoreError> {
        let mut needs = Vec::new();
        if fault::is("ident-no-needs") {
            return Ok(needs);
        }
        for row in rows {
            // The life it is written in, or else the one that it raises.
            let lives = (self.base.life(store, &row.record)?.life + 1..=row.life).rev().take(2);
            needs.extend(lives.filter_map(|life| self.outbox.raised_by(&row.record, life)).next());
        }
        needs.sort_unstable();
        needs.dedup();
        Ok(needs)
    }

    /// Replaces a rejected change by itself, under its first name; false where it is to be reported. (CLOCK-12, IDENT-27)
    pub(super) fn replaced(
        &mut self,
        now: Now,
        store: &mut dyn Store,
        change: &Change,
        (code, detail): (Code, Option<u64>),
    ) -> Result<bool, StoreError> {
        let old_needs = change.needs();
        let admissible_ms = detail.unwrap_or(u64::MAX).saturating_add(limits::CLOCK_ADMIT_MS);
        let replaceable = match code {
            Code::CLOCK => change.reading.ms() > admissible_ms && !fault::is("clock-rejection-is-final"),
            Code::NEEDS => !fault::is("ident-needs-is-final"),
            _ => false,
        };
        if !replaceable {
            return Ok(false);
        }
        let mut needs = Vec::new();
        for seq in old_needs {
            match self.outbox.fate(store, seq)? {
                Fate::Accepted => {}
                Fate::Waits(seq) => needs.push(seq),
                Fate::Rejected => return Ok(false),
            }
        }
        needs.sort_unstable();
        self.replace(now, store, change, &needs, detail)?;
        Ok(true)
    }

    /// Mints the rows of a rejected change again. (CLOCK-12, CLOCK-15, IDENT-27)
    fn replace(
        &mut self,
        now: Now,
        store: &mut dyn Store,
        change: &Change,
        needs: &[u64],
        server_ms: Option<u64>,
    ) -> Result<(), StoreError> {
        if let Some(server_ms) = server_ms {
            self.clock.keep_within(now, server_ms);
        }
        let (replica, link) = (self.outbox.identity.replica, self.outbox.identity.settled.1);
        let origin = change.origin.clone().unwrap_or(Origin { replica, seq: change.seq, link });
        let mut replacement = self.stamped(now, store, change.rows.clone())?;
        replacement.set_conditions(&change.conditions());
        // What raised a record before does so again, and does not need what came after it.
        replacement.set_needs(needs);
        self.outbox.mint(store, Change { origin: Some(origin), ..replacement })?;
        Ok(())
    }

    /// The server ended the session for good: something under way may be why. (IDENT-28, IDENT-29)
    pub(super) fn doubt(&mut self, store: &mut dyn Store, error: &ErrorMessage) -> Result<(), StoreError> {
        let State::Streaming(session) = &self.state else { return Ok(()) };
        let mut under_way = session.under_way();
        match (error.class, under_way.next(), under_way.next()) {
            (Class::Never, Some(alone), None) if self.outbox.is_careful() && !fault::is("ident-never-set-aside") => {
                drop(under_way);
                self.set_aside(store, alone, error.code)
            }
            (Class::Never, Some(_), _) => {
                drop(under_way);
                self.outbox.set_careful(store, true)
            }
            _ => Ok(()),
        }
    }

    /// Sets aside what the server does not know. (COND-5)
    pub(super) fn set_aside_what_is_not_agreed(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        if self.agreed.has(Profiles::CONDITIONS) || fault::is("cond-kept-where-unknown") {
            return Ok(());
        }
        let conditional = self.outbox.unsettled().filter(|change| !change.conditions().is_empty());
        let seqs: Vec<u64> = conditional.map(|change| change.seq).collect();
        seqs.into_iter().try_for_each(|seq| self.set_aside(store, seq, Code::UNSUPPORTED))
    }

    fn set_aside(&mut self, store: &mut dyn Store, seq: u64, code: Code) -> Result<(), StoreError> {
        let Some(change) = self.outbox.set_aside(store, seq, code)? else { return Ok(()) };
        self.event(Event::Changed(change.rows.iter().map(|row| row.record.clone()).collect()));
        self.event(Event::Rejected { seq, code });
        Ok(())
    }
}
