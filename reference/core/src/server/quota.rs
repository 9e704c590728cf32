//! What a space holds, and what it may hold. (ACCESS-10)

use super::log::Log;
use crate::change::Change;
use crate::fault;
use crate::rules::life;
use crate::store::{Store, StoreError};

/// Bounds of one space; none: no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// Records that show.
    pub records: Option<u64>,
    /// Bytes of the accepted changes in the log, in their literal form.
    pub bytes: Option<u64>,
}

/// What a space holds of the things that a quota bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Records that show.
    pub records: u64,
    /// Bytes of the accepted changes in the log, in their literal form.
    pub bytes: u64,
}

impl Usage {
    /// What the space holds once the change is applied.
    pub(super) fn after(self, log: &Log, store: &dyn Store, change: &Change, bytes: usize) -> Result<Self, StoreError> {
        let mut records = self.records;
        for row in &change.rows {
            let before = log.cells().life(store, &row.record)?.life;
            let after = before.max(row.life);
            records = (records + u64::from(life::is_alive(after))).saturating_sub(u64::from(life::is_alive(before)));
        }
        Ok(Self { records, bytes: self.bytes + bytes as u64 })
    }

    /// The bound that a change breaks by leading from here to `after`, if any.
    pub(super) fn broken(self, after: Self, quota: Quota) -> Option<u64> {
        let records = quota
            .records
            .filter(|bound| after.records > *bound + u64::from(fault::is("access-quota-one-too-many")) && after.records > self.records);
        records.or(quota.bytes.filter(|bound| after.bytes > *bound))
    }
}

/// Whether a change does nothing but delete, so that no quota holds it back.
pub(super) fn only_deletes(change: &Change) -> bool {
    change.rows.iter().all(|row| !life::is_alive(row.life)) && !fault::is("access-quota-holds-deletions-back")
}
