//! What a client forgets with the server, and what it had written to records that are gone. Spec 19.
//!
//! Keys: `z` the horizon it last followed, `y` that a reset under way is due to the horizon.

use crate::fault;
use std::collections::BTreeSet;

use super::{Client, Event};
use crate::change::RecordName;
use crate::codec::{Reader, Writer};
use crate::limits::HORIZON_STEP_CELLS;
use crate::registry::{Code, Reset};
use crate::rules::State;
use crate::store::{Store, StoreError};

/// An unsettled change, and a row of it that writes to a record of base: the record and its life.
pub(super) type Edit = (u64, RecordName, u64);

impl Client {
    /// Forgets what only says that something is gone, as the server has, up to its horizon. What unsettled changes write to
    /// stays. (HORIZON-11)
    pub(super) fn forget_below(&mut self, store: &mut dyn Store, horizon: u64) -> Result<(), StoreError> {
        let mut from = match store.get(b"z")? {
            Some(bytes) => Reader::new(&bytes).uint().map_err(|error| StoreError(format!("the horizon is damaged: {error}")))?,
            None => 0,
        };
        if from >= horizon {
            return Ok(());
        }
        let touched: BTreeSet<&RecordName> = self.outbox.touched().collect();
        let may_go = |record: &RecordName, _: Option<&State>| !touched.contains(record);
        while from < horizon {
            from = self.base.forget_gone(store, (from, horizon), HORIZON_STEP_CELLS, &may_go)?.reached;
        }
        let mut w = Writer::default();
        w.uint(horizon);
        store.put(b"z", &w.finish())
    }

    /// Notes why base is replaced. What was followed of a horizon before is void. (HORIZON-12)
    pub(super) fn note_reset(&mut self, store: &mut dyn Store, reason: u64) -> Result<(), StoreError> {
        match reason {
            Reset::NONE => return Ok(()),
            Reset::HORIZON => store.put(b"y", &[])?,
            _ => store.delete(b"y")?,
        }
        store.delete(b"z")
    }

    /// Whether a reset is under way since the cursor lay before the horizon: nothing is pushed meanwhile. (HORIZON-12)
    pub(super) fn is_behind_horizon(&self, store: &dyn Store) -> Result<bool, StoreError> {
        Ok(store.get(b"y")?.is_some())
    }

    /// What the overlay writes to records that base holds, where base is to be replaced because of the horizon.
    pub(super) fn edits_of_base(&self, store: &dyn Store) -> Result<Vec<Edit>, StoreError> {
        let mut edits = Vec::new();
        if !self.is_behind_horizon(store)? || fault::is("horizon-client-sets-nothing-aside") {
            return Ok(edits);
        }
        for change in self.outbox.unsettled() {
            for row in &change.rows {
                if self.base.life(store, &row.record)?.life >= row.life {
                    edits.push((change.seq, row.record.clone(), row.life));
                }
            }
        }
        Ok(edits)
    }

    /// Sets aside what was written to records that are gone from base: it would bring back half of them. (HORIZON-12)
    pub(super) fn set_aside_stale(&mut self, store: &mut dyn Store, edits: Vec<Edit>) -> Result<(), StoreError> {
        store.delete(b"y")?;
        let mut stale = BTreeSet::new();
        for (seq, record, life) in edits {
            if self.base.life(store, &record)?.life < life {
                stale.insert(seq);
            }
        }
        for seq in stale {
            let Some(change) = self.outbox.set_aside(store, seq, Code::STALE)? else { continue };
            self.event(Event::Changed(change.rows.iter().map(|row| row.record.clone()).collect()));
            self.event(Event::Rejected { seq, code: Code::STALE });
        }
        Ok(())
    }
}
