//! Credit: how many bytes of data each side lets the other send on a channel. Spec 15.

use crate::fault;

/// Both directions of a channel.
#[derive(Debug, Clone)]
pub struct Credit {
    /// What this side may send.
    pub sending: Purse,
    /// What this side lets the other send.
    pub taking: Allowance,
}

impl Credit {
    /// From what the other side and this one let be sent at first. (FLOW-2)
    pub fn new(theirs: u64, ours: u64) -> Self {
        Self { sending: Purse { spent: 0, granted: theirs }, taking: Allowance { window: ours, taken: 0, granted: ours } }
    }

    /// Where `flow` is not agreed.
    pub fn unbounded() -> Self {
        Self::new(u64::MAX, u64::MAX)
    }
}

/// What a sender was granted and has spent, in bytes.
#[derive(Debug, Clone)]
pub struct Purse {
    spent: u64,
    granted: u64,
}

impl Purse {
    /// Whether a message that needs credit may begin. (FLOW-1)
    pub fn is_open(&self) -> bool {
        self.spent < self.granted || fault::is("flow-sends-beyond-credit")
    }

    /// The same, once so many bytes more are spent.
    pub fn is_open_after(&self, bytes: usize) -> bool {
        self.spent.saturating_add(bytes as u64) < self.granted || fault::is("flow-live-beyond-credit")
    }

    /// Takes a message into account.
    pub fn spend(&mut self, bytes: usize) {
        self.spent = self.spent.saturating_add(bytes as u64);
    }

    /// The other side names its grant; a lower one than before says nothing. (FLOW-2)
    pub fn grant(&mut self, total: u64) {
        self.granted = if fault::is("flow-a-lower-grant-counts") { total } else { self.granted.max(total) };
    }
}

/// What a receiver has granted and taken in, in bytes.
#[derive(Debug, Clone)]
pub struct Allowance {
    window: u64,
    taken: u64,
    granted: u64,
}

impl Allowance {
    /// Takes a message of this cost in; false where it began without credit. (FLOW-4)
    pub fn take(&mut self, cost: u64) -> bool {
        let had = cost == 0 || self.taken < self.granted || fault::is("flow-takes-without-credit");
        self.taken = self.taken.saturating_add(cost);
        had
    }

    /// The grant that stands, to be repeated; none where there is no bound.
    pub fn standing(&self) -> Option<u64> {
        (self.window < u64::MAX).then_some(self.granted)
    }

    /// The grant to name now: where at most half of the window is left. (FLOW-3)
    pub fn due(&mut self) -> Option<u64> {
        let left = self.granted.saturating_sub(self.taken);
        let next = self.taken.saturating_add(self.window);
        let least = if fault::is("mirror-credit-by-the-third") { self.window / 3 * 2 } else { self.window / 2 };
        if left > least || next <= self.granted || fault::is("flow-grants-nothing-more") {
            return None;
        }
        self.granted = next;
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the window and the messages: one that keeps to its purse is never refused, has never more than the
        /// window and one message on its way, and is never stuck once all has arrived. (FLOW-1, FLOW-3, FLOW-4)
        #[test]
        fn credit_bounds_what_is_under_way_and_never_dries_up(
            window in 1u64..5_000,
            steps in vec((0u8..3, 1usize..3_000), 0..200),
        ) {
            let mut ends = (Credit::new(window, 1), Credit::new(1, window));
            let (mut data, mut grants) = (std::collections::VecDeque::new(), std::collections::VecDeque::new());
            let (mut under_way, mut largest) = (0u64, 0u64);
            let steps = steps.into_iter().chain(std::iter::repeat_n((1, 1), 200)).chain(std::iter::repeat_n((2, 1), 200));
            for (step, bytes) in steps {
                match step {
                    0 if ends.0.sending.is_open() => {
                        ends.0.sending.spend(bytes);
                        data.push_back(bytes as u64);
                        under_way += bytes as u64;
                        largest = largest.max(bytes as u64);
                        prop_assert!(under_way < window + largest);
                    }
                    1 => if let Some(cost) = data.pop_front() {
                        prop_assert!(ends.1.taking.take(cost), "it kept to its purse");
                        under_way -= cost;
                        grants.extend(ends.1.taking.due());
                    }
                    _ => if let Some(total) = grants.pop_front() {
                        ends.0.sending.grant(total);
                    }
                }
            }
            prop_assert!(ends.0.sending.is_open(), "all has arrived");
        }
    }

    #[test]
    fn a_message_without_credit_is_seen_and_a_lower_grant_says_nothing() {
        let mut credit = Credit::new(10, 10);
        assert!(credit.taking.take(10) && credit.taking.take(0) && !credit.taking.take(1));
        credit.sending.spend(10);
        credit.sending.grant(9);
        assert!(!credit.sending.is_open());
        credit.sending.grant(11);
        assert!(credit.sending.is_open() && !credit.sending.is_open_after(1));
    }
}
