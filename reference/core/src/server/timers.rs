//! When each connection next wants a tick, known without a look at all of them.
//!
//! An alarm may ring early, never late: whoever it rings for says when the next is due. So hearing from a peer, which
//! moves its time of silence on, costs nothing.

use std::collections::{BTreeSet, HashMap};

use super::ConnId;
use crate::{fault, limits};

/// SESS-7: it may be sent before its time.
pub(super) fn ping_interval_ms() -> u64 {
    if fault::is("mirror-early-pings") { limits::PING_INTERVAL_MS / 4 } else { limits::PING_INTERVAL_MS }
}

/// One alarm for each connection.
#[derive(Debug, Default)]
pub(super) struct Timers {
    alarms: BTreeSet<(u64, ConnId)>,
    set: HashMap<ConnId, u64>,
}

impl Timers {
    /// Rings for the connection at the time or before.
    pub fn ring_by(&mut self, id: ConnId, at_ms: u64) {
        match self.set.get(&id) {
            Some(set) if *set <= at_ms => return,
            Some(set) => self.alarms.remove(&(*set, id)),
            None => false,
        };
        self.alarms.insert((at_ms, id));
        self.set.insert(id, at_ms);
    }

    /// The connection is gone.
    pub fn forget(&mut self, id: ConnId) {
        if let Some(set) = self.set.remove(&id) {
            self.alarms.remove(&(set, id));
        }
    }

    /// When the first alarm rings.
    pub fn first(&self) -> Option<u64> {
        self.alarms.first().map(|(at_ms, _)| *at_ms)
    }

    /// The connections whose alarm rings; it is off then.
    pub fn take_due(&mut self, now_ms: u64) -> Vec<ConnId> {
        let later = self.alarms.split_off(&(now_ms + 1, ConnId(0)));
        let due: Vec<ConnId> = std::mem::replace(&mut self.alarms, later).into_iter().map(|(_, id)| id).collect();
        for id in &due {
            self.set.remove(id);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whoever asked to be woken at a time is woken at the first look at or after it, and once.
        #[test]
        fn alarms_ring_in_time_and_once(steps in vec((0u8..4, 0u64..6, 0u64..40), 0..60)) {
            let mut timers = Timers::default();
            let mut model: std::collections::BTreeMap<ConnId, u64> = std::collections::BTreeMap::new();
            for (step, id, at_ms) in steps {
                let id = ConnId(id);
                match step {
                    0 | 1 => {
                        timers.ring_by(id, at_ms);
                        model.entry(id).and_modify(|set| *set = at_ms.min(*set)).or_insert(at_ms);
                    }
                    2 => {
                        timers.forget(id);
                        model.remove(&id);
                    }
                    _ => {
                        let mut due = timers.take_due(at_ms);
                        due.sort();
                        let expected: Vec<ConnId> = model.iter().filter(|(_, set)| **set <= at_ms).map(|(id, _)| *id).collect();
                        prop_assert_eq!(due, expected);
                        model.retain(|_, set| *set > at_ms);
                    }
                }
                prop_assert_eq!(timers.first(), model.values().min().copied());
            }
        }
    }
}
