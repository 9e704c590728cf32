//! Answers to a client that compares its base with the state of the space. Spec 20.

use super::log::Log;
use super::stream::data_of;
use super::stream::{Channel, Hosted};
use crate::fault;
use crate::limits::{PART_BYTES_MAX, REPAIR_CELLS_MAX, REPAIR_CELLS_PER_MINUTE_MAX};
use crate::message::{AddressRange, Message, Ranges, States, frame_of, items_of};
use crate::ranges::{self, Cells};
use crate::registry::Profiles;
use crate::space::{Changed, Covers};
use crate::store::{Store, StoreError};

const MINUTE_MS: u64 = 60_000;
/// Cells that one message replaces at the most.
const REPLACED_CELLS_MAX: usize = 1_024;

/// A question that waits until the channel is at the head, and what answers cost of late.
#[derive(Debug, Default)]
pub(super) struct Asked {
    question: Option<Ranges>,
    /// Ranges whose cells are still to be sent, and the answer behind them.
    replacing: Option<(Vec<AddressRange>, Ranges)>,
    since_ms: u64,
    read: usize,
}

impl Asked {
    /// Takes a question in the place of the one before.
    pub fn ask(&mut self, question: Ranges) {
        *self = Self { question: Some(question), replacing: None, ..std::mem::take(self) };
    }

    /// Whether there is something to say of a question: only the cells before an answer wait for credit. (FLOW-5, REPAIR-6)
    pub fn is_due(&self, credit: bool) -> bool {
        self.question.is_some() && (credit || !fault::is("flow-answers-wait"))
            || self.replacing.as_ref().is_some_and(|(replaced, _)| credit || replaced.is_empty())
    }

    /// How many cells may be read for a question that came now. (REPAIR-9)
    fn budget(&mut self, now_ms: u64) -> usize {
        if now_ms >= self.since_ms + MINUTE_MS {
            (self.since_ms, self.read) = (now_ms, 0);
        }
        REPAIR_CELLS_MAX.min(REPAIR_CELLS_PER_MINUTE_MAX.saturating_sub(self.read))
    }
}

/// The cells of a space, as many as may be read.
struct Read<'a> {
    log: &'a Log,
    store: &'a dyn Store,
    covers: Covers<'a>,
    left: usize,
}

/// Why cells were not read.
enum Unread {
    /// The budget is spent.
    Spent,
    Store(StoreError),
}

impl Cells for Read<'_> {
    type Error = Unread;

    fn each(&mut self, range: &AddressRange, see: &mut dyn FnMut(&[u8], &[u8; 32])) -> Result<(), Unread> {
        let bounds = (range.0.as_slice(), range.1.as_slice());
        match self.log.cells().digests_in(self.store, bounds, (self.covers, &mut self.left), see) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Unread::Spent),
            Err(error) => Err(Unread::Store(error)),
        }
    }
}

impl Hosted {
    /// The next frame of an answer; the channel is at the head. (REPAIR-5 to REPAIR-7)
    pub(super) fn repair_frame(
        &self,
        store: &dyn Store,
        number: u16,
        channel: &mut Channel,
        now_ms: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let Channel { asked, scope, profiles, credit, .. } = &mut *channel;
        let covers = Covers {
            rules: profiles.has(Profiles::RULES),
            collections: scope.collections.as_ref().filter(|_| !fault::is("repair-of-all-collections")),
        };
        if let Some(question) = asked.question.take_if(|_| !fault::is("flow-answers-wait") || credit.sending.is_open()) {
            let left = asked.budget(now_ms);
            let mut cells = Read { log: &self.log, store, covers, left };
            let answer = ranges::answer(&mut cells, &question);
            asked.read += left - cells.left;
            asked.replacing = Some(match answer {
                Ok(Some(answer)) if fault::is("repair-answers-without-cells") => (Vec::new(), answer.ranges),
                Ok(Some(answer)) => (answer.replaced, answer.ranges),
                // REPAIR-9: nothing is said of any range.
                Ok(None) | Err(Unread::Spent) => (Vec::new(), Ranges { seed: question.seed, ranges: Vec::new() }),
                Err(Unread::Store(error)) => return Err(error),
            });
        }
        if !asked.is_due(credit.sending.is_open()) {
            return Ok(None);
        }
        let Some((replaced, answer)) = asked.replacing.take() else { return Ok(None) };
        if replaced.is_empty() {
            return Ok(Some(frame_of(number, &self.bytes(Message::Ranges(answer)))));
        }
        let (states, left) = self.replacement(store, replaced, covers)?;
        asked.replacing = Some((left, answer));
        let (states, cost) = self.states_bytes(store, channel, states)?;
        channel.credit.sending.spend(cost);
        Ok(Some(data_of(number, channel, &states, true)))
    }

    /// As many of the ranges as one message takes, with their cells, and those that are left. (REPAIR-6)
    fn replacement(&self, store: &dyn Store, ranges: Vec<AddressRange>, covers: Covers) -> Result<(States, Vec<AddressRange>), StoreError> {
        let (mut cells, mut replaced, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut left = ranges.into_iter();
        while let Some((lower, upper)) = left.next() {
            let found = self.log.cells().cells_in(store, (&lower, &upper), REPLACED_CELLS_MAX + 1)?;
            let held = cells.len();
            let fits = |(at, (_, cell)): (usize, &(Vec<u8>, Changed))| {
                bytes += super::part::size(cell);
                held == 0 && at == 0 || bytes <= PART_BYTES_MAX && held + at < REPLACED_CELLS_MAX
            };
            let taken = found.iter().enumerate().map(fits).take_while(|fits| *fits).count();
            let rest = found.get(taken).map(|(address, _)| address.clone());
            cells.extend(found.into_iter().take(taken).map(|(_, cell)| cell));
            let Some(rest) = rest else {
                replaced.push((lower, upper));
                continue;
            };
            let mut behind = vec![(rest.clone(), upper)];
            if taken > 0 {
                replaced.push((lower, rest));
            } else {
                behind[0].0 = lower;
            }
            behind.extend(left);
            return Ok((self.replacing(cells, replaced, covers)?, behind));
        }
        Ok((self.replacing(cells, replaced, covers)?, Vec::new()))
    }

    fn replacing(&self, cells: Vec<Changed>, replaced: Vec<AddressRange>, covers: Covers) -> Result<States, StoreError> {
        // REPAIR-1
        let cells = cells.into_iter().filter(|cell| covers.takes(cell)).collect();
        let items = items_of(cells).map_err(|error| StoreError(format!("a stored cell is damaged: {error}")))?;
        Ok(States { last: true, to: self.committed, history: self.history.history, items, replaced })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_question_and_a_minute_may_cost_is_bounded() {
        let mut asked = Asked::default();
        assert_eq!(asked.budget(7), REPAIR_CELLS_MAX, "REPAIR-9: of one question");
        for read in [0, 1, REPAIR_CELLS_MAX] {
            asked.read = REPAIR_CELLS_PER_MINUTE_MAX - read;
            assert_eq!(asked.budget(MINUTE_MS - 1), read, "REPAIR-9: of the questions of a minute");
        }
        asked.read = REPAIR_CELLS_PER_MINUTE_MAX * 2;
        assert_eq!(asked.budget(MINUTE_MS - 1), 0);
        assert_eq!(asked.budget(MINUTE_MS), REPAIR_CELLS_MAX, "REPAIR-9: and of the next");
    }
}
