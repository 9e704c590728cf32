//! A seeded world: a server and clients, a network, disks and clocks, in one thread.
//!
//! One seed, one run, byte for byte. Phase 1 does damage; phase 2 heals the network and demands that everything becomes equal.

mod checks;
mod faults;
pub mod hostile;
mod net;
mod peers;
mod plan;
mod seen;
mod step;
mod trouble;
mod wires;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use crate::change::RecordName;
use crate::entropy::Entropy;

pub use faults::Faults;
pub use peers::{Gathering, run_peers};
pub use plan::plan;
pub use seen::{Handed, Seen};
pub use step::{Disk, Outcome, Step, Way};
pub use world::{Setup, TAINT, World};

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Local writes made.
    pub writes: u64,
    /// Positions in the server's log at the end.
    pub positions: u64,
    /// Catch-ups that were cut after a part.
    pub resumed: u64,
    /// Frames delivered.
    pub frames: u64,
    /// Rejections that applications saw.
    pub rejections: u64,
    /// Cells and lives that the server keeps only to say that something is gone.
    pub gone: u64,
    /// Catch-ups that replaced a base since its cursor lay before the horizon.
    pub behind_horizon: u64,
    /// Catch-ups that replaced a base for another reason.
    pub resets: u64,
}

/// What a run showed that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The seed that shows it again.
    pub seed: u64,
    /// What was seen.
    pub what: String,
}

/// Rounds of phase 1.
const ROUNDS: u64 = 400;
/// Virtual time within which phase 2 must come to rest, in milliseconds.
const REST_MS: u64 = 20 * 60 * 1_000;

/// Runs one seed.
///
/// # Errors
/// Where the replicas do not become equal in time, or a change is lost or applied twice.
pub fn run(seed: u64, faults: &Faults) -> Result<Report, Violation> {
    let mut dice = Entropy::from_u64(seed);
    let clients = 2 + dice.below(4) as usize;
    let mut world = World::new(seed, Setup { retention_ms: faults.retention_ms, ..Setup::small(vec![true; clients]) });
    let mut ledger = Ledger::default();
    for step in plan(&mut dice, faults, clients, ROUNDS) {
        ledger.perform(&mut world, &step);
    }
    world.heal();
    // Someone has to see all, for the others to be compared with.
    world.subscribe(0, None);
    let violation = |what: String| Violation { seed, what };
    if !world.rest(REST_MS) {
        return Err(violation(format!("not in sync after {REST_MS} ms: {}", world.standing())));
    }
    world.check_equal().map_err(violation)?;
    world.check_presence().map_err(violation)?;
    // A deletion that only its reader remembers hides a new creation until the next mark, which repairs it (rationale, open questions).
    let repairs = faults.spoil > 0 || faults.retention_ms > 0;
    if !faults.loses_changes() && !repairs {
        world.check_unrepaired().map_err(violation)?;
    }
    ledger.check(&world, faults).map_err(violation)?;
    Ok(Report::of(&world, ledger.own.len() as u64))
}

impl Report {
    fn of(world: &World, writes: u64) -> Self {
        Self {
            writes,
            positions: world.log().len() as u64,
            resumed: world.resumed,
            frames: world.frames,
            rejections: world.rejections,
            gone: world.gone(),
            behind_horizon: world.behind_horizon,
            resets: world.resets,
        }
    }
}

/// What was written, to be found again once each.
#[derive(Default)]
struct Ledger {
    /// Records that only one change ever writes.
    own: BTreeSet<RecordName>,
}

impl Ledger {
    fn perform(&mut self, world: &mut World, step: &Step) {
        let outcome = world.perform(step);
        if let (Step::Write { client, number, .. }, Outcome::Written) = (step, outcome) {
            self.own.insert(RecordName { collection: "own".into(), id: format!("{client}-{number}") });
        }
    }

    /// Every write is in the log once, or was rejected visibly: never none, never two.
    fn check(&self, world: &World, faults: &Faults) -> Result<(), String> {
        let (sum, shown) = world.counted();
        if sum != shown {
            return Err(format!("the counter of changes shows {sum} where {shown} changes show"));
        }
        let mut seen: BTreeMap<&RecordName, u64> = BTreeMap::new();
        let log = world.log();
        for change in &log {
            for row in change.rows.iter().filter(|row| row.record.collection == "own") {
                *seen.entry(&row.record).or_default() += 1;
            }
        }
        let rejected_ones = world.rejected();
        for record in &self.own {
            let times = seen.get(record).copied().unwrap_or(0);
            let rejected = rejected_ones.contains(record);
            if times > 1 {
                let names = log.iter().filter(|change| change.rows.iter().any(|row| row.record == *record));
                let names: Vec<_> = names.map(|change| (change.seq, change.reading, &change.origin)).collect();
                return Err(format!("{record:?} was applied {times} times, as {names:?}"));
            }
            if times == 0 && !rejected && !faults.loses_changes() {
                return Err(format!("{record:?} was lost"));
            }
            if times == 1 && rejected && !faults.loses_verdicts() {
                return Err(format!("{record:?} was applied and reported as rejected"));
            }
        }
        Ok(())
    }
}
