//! Forgetting what only says that something is gone. Spec 19.

use super::record::OpenRecord;
use super::{Changed, Space};
use crate::change::RecordName;
use crate::fault;
use crate::rules::{State, life};
use crate::store::{Store, StoreError};

/// How far a step of forgetting came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forgotten {
    /// The position up to which nothing is left that may go.
    pub reached: u64,
    /// The greatest life of the records it forgot; 0: none.
    pub greatest_life: u64,
}

impl Space {
    /// Drops dead lives and cells that are gone, whose last change lies after `from` and at most at `upto`. Looks at about
    /// `limit` of them, whole positions only; what `may_go` refuses stays for good. (HORIZON-2, HORIZON-4)
    pub fn forget_gone(
        &self,
        store: &mut dyn Store,
        (from, upto): (u64, u64),
        limit: usize,
        may_go: &dyn Fn(&RecordName, Option<&State>) -> bool,
    ) -> Result<Forgotten, StoreError> {
        let (page, reached) = self.whole_positions(store, (from, upto), limit.max(1))?;
        let mut greatest_life = 0;
        for (_, cell) in page.into_iter().filter(|(position, _)| *position <= reached) {
            match cell {
                Changed::Life(record, dead) if !life::is_alive(dead) && may_go(&record, None) => {
                    let mut open = OpenRecord::open(self, store, &record)?;
                    open.remove(store)?;
                    open.save(store)?;
                    greatest_life = greatest_life.max(dead);
                }
                Changed::Cell(record, _, name, state)
                    if (state.is_gone() || fault::is("horizon-forgets-unset-and-set")) && may_go(&record, Some(&state)) =>
                {
                    let mut open = OpenRecord::open(self, store, &record)?;
                    open.remove_cell(store, &name)?;
                    open.save(store)?;
                }
                _ => {}
            }
        }
        Ok(Forgotten { reached, greatest_life })
    }

    /// The cells that changed after `from`, about `limit` of them, and the position up to which they are all.
    fn whole_positions(&self, store: &dyn Store, (from, upto): (u64, u64), limit: usize) -> Result<(Vec<(u64, Changed)>, u64), StoreError> {
        let mut limit = limit;
        loop {
            let page = self.changed_after(store, |_| Some(from), limit)?;
            let last = page.last().map_or(upto, |(position, _)| *position);
            if page.len() < limit || last > upto {
                return Ok((page, upto));
            }
            // The last position of a full page may be cut; where it is the only one, more is read.
            if last - 1 > from {
                return Ok((page, last - 1));
            }
            limit *= 2;
        }
    }

    /// How many cells and lives are kept that only say that something is gone.
    pub fn gone_count(&self, store: &dyn Store) -> Result<u64, StoreError> {
        let is_gone = |(_, cell): &&(u64, Changed)| match cell {
            Changed::Life(_, life) => !life::is_alive(*life),
            Changed::Cell(_, _, _, state) => state.is_gone(),
        };
        Ok(self.changed_after(store, |_| Some(0), usize::MAX)?.iter().filter(is_gone).count() as u64)
    }
}
