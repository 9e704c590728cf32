//! `explore`: the simulator of the reference under faults, judged by oracles that share no code with it.
//!
//! A seed takes some of the fault menu and of the profiles (`swarm`). Phase 1 does damage; phase 2 heals and demands that
//! everything comes to rest (`run`). After each step the oracles look (`watch`, `model`). What fails is made small
//! (`shrink`) and written as a scenario (`tell`).

pub mod model;
pub mod run;
pub mod shrink;
pub mod swarm;
pub mod tell;
pub mod watch;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use run::Tally;
use swarm::Run;
use watch::Violation;

/// What is to be explored.
#[derive(Debug, Clone)]
pub struct Options {
    /// The first seed.
    pub seed: u64,
    /// How many.
    pub seeds: u64,
    /// When to stop at the latest.
    pub limit: Option<Duration>,
    /// The kinds of fault to choose from; none: all.
    pub faults: Vec<String>,
    /// Failures after which no more seeds are begun.
    pub failures_max: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Seeds that were run.
    pub seeds: u64,
    /// Steps of phase 1.
    pub steps: u64,
    /// Positions, over all logs.
    pub positions: u64,
    /// Frames delivered.
    pub frames: u64,
    /// The most milliseconds that a phase 2 took, and the most frames.
    pub rest_max: (u64, u64),
    /// What must not be, with the run that showed it, by seed.
    pub failures: Vec<(Run, Violation)>,
}

impl Report {
    fn add(&mut self, tally: &Tally) {
        self.seeds += 1;
        self.steps += tally.steps;
        self.positions += tally.positions;
        self.frames += tally.frames;
        self.rest_max = (self.rest_max.0.max(tally.rest.0), self.rest_max.1.max(tally.rest.1));
    }
}

/// Runs seeds, on as many threads as the machine has processors; each seed is one thread's and the same everywhere.
pub fn explore(options: &Options) -> Report {
    let report = Mutex::new(Report::default());
    let next = AtomicU64::new(options.seed);
    let began = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let late = options.limit.is_some_and(|limit| began.elapsed() >= limit);
                    if late || seed - options.seed >= options.seeds {
                        return;
                    }
                    let run = swarm::draw(seed, &options.faults);
                    let outcome = run::perform(&run);
                    let mut report = report.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    match outcome {
                        Ok(tally) => report.add(&tally),
                        Err(violation) => {
                            report.seeds += 1;
                            report.failures.push((run, violation));
                        }
                    }
                    if report.failures.len() >= options.failures_max {
                        return;
                    }
                }
            });
        }
    });
    let mut report = report.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    report.failures.sort_by_key(|(run, _)| run.seed);
    report
}
