//! Forgetting what was deleted long ago. Spec 19.
//!
//! Keys behind the space's prefix: `t` position, the time by which the log had reached it; `z`, the horizon. The horizon
//! moves in the transaction that drops what lies below it, a bounded step at a time.

use super::log::Log;
use super::{ConnId, RETRY_MS, Server};
use crate::change::{Change, RecordName};
use crate::clock::{Now, Replica};
use crate::codec::{CodecError, Reader, Writer};
use crate::fault;
use crate::limits::{CLOCK_ADMIT_MS, HORIZON_POSITIONS_MIN, HORIZON_STEP_CELLS, HORIZON_WAIT_MS, RETENTION_MS};
use crate::registry::Code;
use crate::rules::State;
use crate::space::after_prefix;
use crate::store::{Store, StoreError};

/// A change takes a sample of time where the last is this old, or a sixteenth of the retention where that is less.
const SAMPLE_MS_MAX: u64 = 3_600_000;
/// Between two steps while there is more to forget.
const STEP_MS: u64 = 50;

/// For how long a space remembers what was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Milliseconds that a deletion is remembered at least. `u64::MAX`: for ever.
    pub ms: u64,
    /// Positions behind the head that are never forgotten.
    pub positions: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { ms: RETENTION_MS, positions: HORIZON_POSITIONS_MIN }
    }
}

impl Retention {
    /// What is deleted is remembered for ever.
    pub const FOR_EVER: Self = Self { ms: u64::MAX, positions: u64::MAX };

    fn sample_ms(self) -> u64 {
        (self.ms / 16).min(SAMPLE_MS_MAX)
    }
}

/// The horizon of a space. (HORIZON-1)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Horizon {
    /// The position up to which nothing is known of what was deleted.
    pub position: u64,
    /// The time by which the log had reached it, in Unix milliseconds.
    pub ms: u64,
    /// The greatest life of the records that were forgotten. (HORIZON-9)
    pub greatest_life: u64,
}

impl Horizon {
    /// Whether a change with this reading may have been written without knowing what was forgotten. (HORIZON-8)
    pub fn may_be_stale(self, change: &Change) -> bool {
        self.position > 0
            && !fault::is("horizon-takes-stale-changes")
            && (change.reading.ms() <= self.ms.saturating_add(CLOCK_ADMIT_MS) || fault::is("horizon-takes-new-changes-for-stale"))
    }

    /// Whether a gone cell of a space whose horizon comes to lie here may be forgotten. (HORIZON-4)
    fn covers(self, state: Option<&State>) -> bool {
        match state {
            Some(State::Stamped(_)) if fault::is("horizon-drops-cells-ahead") => true,
            Some(State::Stamped(cell)) => cell.stamp.reading.ms() <= self.ms.saturating_add(CLOCK_ADMIT_MS),
            _ => true,
        }
    }
}

/// Which space is looked at next, and when.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    next_space: u64,
    due_ms: u64,
}

impl Log {
    /// The horizon; 0 where nothing was forgotten yet.
    pub(super) fn horizon(&self, store: &dyn Store) -> Result<Horizon, StoreError> {
        let Some(bytes) = store.get(&self.key(b'z'))? else { return Ok(Horizon::default()) };
        let mut r = Reader::new(&bytes);
        let mut read = || -> Result<Horizon, CodecError> {
            r.array()?;
            Ok(Horizon { position: r.uint()?, ms: r.uint()?, greatest_life: r.uint()? })
        };
        read().map_err(damaged)
    }

    fn put_horizon(&self, store: &mut dyn Store, horizon: Horizon) -> Result<(), StoreError> {
        let mut w = Writer::default();
        w.array(3);
        w.uint(horizon.position);
        w.uint(horizon.ms);
        w.uint(horizon.greatest_life);
        store.put(&self.key(b'z'), &w.finish())
    }

    fn sample_key(&self, position: u64) -> Vec<u8> {
        [self.key(b't').as_slice(), &position.to_be_bytes()].concat()
    }

    /// Notes by when the log has reached a position, where the last note is old enough. (HORIZON-3)
    pub(super) fn sample(&self, store: &mut dyn Store, position: u64, now_ms: u64, retention: Retention) -> Result<(), StoreError> {
        let last = match store.get(&self.key(b'T'))? {
            Some(bytes) => Reader::new(&bytes).uint().map_err(damaged)?,
            None => 0,
        };
        if retention.ms == u64::MAX || now_ms < last.saturating_add(retention.sample_ms()) {
            return Ok(());
        }
        let mut w = Writer::default();
        w.uint(now_ms);
        let bytes = w.finish();
        store.put(&self.key(b'T'), &bytes)?;
        store.put(&self.sample_key(position), &bytes)
    }

    /// The first sample above a position: its position and its time.
    fn sample_after(&self, store: &dyn Store, position: u64) -> Result<Option<(u64, u64)>, StoreError> {
        let to = after_prefix(&self.key(b't'));
        let rows = store.scan(&self.sample_key(position + 1), &to, 1)?;
        let Some((key, bytes)) = rows.first() else { return Ok(None) };
        let position = key.last_chunk::<8>().copied().map_or(0, u64::from_be_bytes);
        Ok(Some((position, Reader::new(bytes).uint().map_err(damaged)?)))
    }

    /// Moves the horizon up to the next sample, or as far as one step reaches; gives where it is then, and whether there is more to
    /// forget. Nothing moves beyond `upto`. (HORIZON-2 to HORIZON-5)
    fn forget(&self, store: &mut dyn Store, now_ms: u64, retention: Retention, upto: u64) -> Result<Option<Horizon>, StoreError> {
        let horizon = self.horizon(store)?;
        let Some((sampled, ms)) = self.sample_after(store, horizon.position)? else { return Ok(None) };
        let head = self.head(store)?;
        let target =
            sampled.min(upto).min(head.saturating_sub(if fault::is("horizon-among-the-last-positions") { 0 } else { retention.positions }));
        let old = ms.saturating_add(retention.ms) <= now_ms || fault::is("horizon-too-soon");
        if !old || target <= horizon.position {
            return Ok(None);
        }
        let next = Horizon { ms: ms.max(horizon.ms), ..horizon };
        let may_go = |_: &RecordName, state: Option<&State>| next.covers(state);
        let forgotten = self.cells().forget_gone(store, (horizon.position, target), HORIZON_STEP_CELLS, &may_go)?;
        if forgotten.reached == sampled {
            store.delete(&self.sample_key(sampled))?;
        }
        let greatest_life = horizon.greatest_life.max(forgotten.greatest_life);
        let next = Horizon { position: forgotten.reached, greatest_life, ..next };
        if !fault::is("horizon-not-written") {
            self.put_horizon(store, next)?;
        }
        Ok(Some(next))
    }

    /// Whether a change writes to what may have been forgotten since it was written. (HORIZON-8)
    pub(super) fn is_stale(&self, store: &dyn Store, horizon: Horizon, author: Replica, change: &Change) -> Result<bool, StoreError> {
        Ok(horizon.may_be_stale(change) && self.cells().writes_what_is_not_held(store, author, change)?)
    }
}

impl Server {
    /// Sets for how long deletions are remembered from now on.
    pub fn set_retention(&mut self, retention: Retention) {
        self.config.retention = retention;
        self.compaction.due_ms = 0;
    }

    /// When the next step of forgetting is due; none where nothing is ever forgotten.
    pub(super) fn compaction_due_ms(&self) -> Option<u64> {
        (self.config.retention.ms < u64::MAX && !self.spaces.is_empty()).then_some(self.compaction.due_ms)
    }

    /// One bounded step in one space; the spaces take turns. A store that fails it has forgotten nothing. (HORIZON-2)
    pub(super) fn compact(&mut self, now: Now, store: &mut dyn Store) -> Result<(), StoreError> {
        if self.compaction_due_ms().is_none_or(|due| due > now.mono_ms) {
            return Ok(());
        }
        let Some(number) = self.spaces.range(self.compaction.next_space..).next().map(|(number, _)| *number) else {
            // Every space had its turn.
            let pause = self.config.retention.sample_ms().max(STEP_MS);
            self.compaction = Compaction { next_space: 0, due_ms: now.mono_ms + pause };
            return Ok(());
        };
        store.mark();
        match self.compact_space(now, store, number) {
            Ok(true) => {}
            Ok(false) => self.compaction.next_space = number + 1,
            Err(error) => {
                store.back_to_mark()?;
                self.faults.push(error);
                self.compaction.next_space = number + 1;
            }
        }
        self.compaction.due_ms = now.mono_ms + STEP_MS;
        Ok(())
    }

    /// One step in a space; whether there may be more to do at once.
    fn compact_space(&mut self, now: Now, store: &mut dyn Store, number: u64) -> Result<bool, StoreError> {
        let retention = self.config.retention;
        let log = self.spaces[&number].log.clone();
        // HORIZON-6: who has just begun to catch up is waited for.
        let wait_ms = retention.ms.min(HORIZON_WAIT_MS);
        let behind = self.behind(number, u64::MAX, |opened_ms| opened_ms.saturating_add(wait_ms) > now.mono_ms);
        let upto = behind.iter().map(|(_, sent)| *sent).min().unwrap_or(u64::MAX);
        let Some(horizon) = log.forget(store, now.wall_ms, retention, upto)? else { return Ok(false) };
        self.touch(number);
        for (id, _) in self.behind(number, horizon.position, |_| !fault::is("horizon-leaves-readers-behind")) {
            self.batch_conns.insert(id);
            self.fail(id, Code::BUSY, Some(RETRY_MS), "what was still to be sent is forgotten; open again");
        }
        Ok(true)
    }

    /// The channels of a space that were sent less than `position` and less than the log, with how far they were sent.
    fn behind(&self, number: u64, position: u64, opened: impl Fn(u64) -> bool) -> Vec<(ConnId, u64)> {
        let Some(space) = self.spaces.get(&number) else { return Vec::new() };
        let position = position.min(space.committed);
        let readers = space.readers.values().filter_map(|(id, at)| Some((*id, self.conns.get(id)?.channels.get(at)?)));
        let behind = readers.filter(|(_, channel)| channel.sent < position && opened(channel.opened_ms));
        behind.map(|(id, channel)| (id, channel.sent)).collect()
    }
}

fn damaged(error: CodecError) -> StoreError {
    StoreError(format!("the horizon or a sample of time is damaged: {error}"))
}
