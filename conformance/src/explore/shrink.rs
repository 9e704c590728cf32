//! Makes a failing run small: steps are left out as long as the same oracle still speaks.

use super::run::perform;
use super::swarm::Run;
use super::watch::{Oracle, Violation};

/// Runs that shrinking one failure may cost.
pub const TRIALS_MAX: u32 = 2_000;

/// The smallest run found that shows the same oracle's finding, and that finding.
pub fn shrink(run: &Run, violation: Violation) -> (Run, Violation) {
    shrink_by(run, violation, perform_for)
}

fn perform_for(run: &Run, oracle: Oracle) -> Option<Violation> {
    perform(run).err().filter(|found| found.oracle == oracle)
}

/// The same, by any test of a run.
pub fn shrink_by(run: &Run, violation: Violation, test: impl Fn(&Run, Oracle) -> Option<Violation>) -> (Run, Violation) {
    let oracle = violation.oracle;
    let (mut best, mut found) = (run.clone(), violation);
    let mut trials = 0;
    // What comes behind the step that showed it is not needed, where phase 1 showed it.
    let mut cut = best.clone();
    cut.steps.truncate(found.step);
    if let Some(violation) = test(&cut, oracle) {
        (best, found) = (cut, violation);
    }
    let mut size = best.steps.len().div_ceil(2);
    while size > 0 && trials < TRIALS_MAX {
        let mut at = 0;
        let mut smaller = false;
        while at < best.steps.len() && trials < TRIALS_MAX {
            let mut trial = best.clone();
            trial.steps.drain(at..(at + size).min(best.steps.len()));
            trials += 1;
            match test(&trial, oracle) {
                Some(violation) => (best, found, smaller) = (trial, violation, true),
                None => at += size,
            }
        }
        if !smaller || size > 1 {
            size = if size == 1 { 0 } else { size.div_ceil(2).min(size - 1) };
        }
    }
    (best, found)
}
