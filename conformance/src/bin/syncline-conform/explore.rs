//! The verb that explores the reference under faults.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use syncline_conformance::explore::run::{REST_FRAMES, REST_MS};
use syncline_conformance::explore::shrink::shrink;
use syncline_conformance::explore::watch::QUEUED_BYTES_MAX;
use syncline_conformance::explore::{self, Options, swarm, tell};

use crate::{USAGE, fail};

/// Failures after which no more seeds are begun.
const FAILURES_MAX: usize = 8;

/// What to explore.
#[derive(clap::Args)]
pub struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Stop after so many minutes
    #[arg(long)]
    minutes: Option<u64>,
    /// The kinds of fault to choose from, by comma [default: all]
    #[arg(long, value_delimiter = ',')]
    faults: Vec<String>,
    /// Print failing runs as they are, without making them small
    #[arg(long)]
    whole: bool,
}

/// Runs seeds, makes what fails small and prints it as a scenario.
pub fn explore(arguments: &Arguments) -> ExitCode {
    if let Some(unknown) = arguments.faults.iter().find(|name| !swarm::kinds().any(|kind| kind == *name)) {
        let known = swarm::kinds().collect::<Vec<_>>().join(", ");
        return fail(USAGE, &format!("{unknown} is no kind of fault; allowed: {known}"));
    }
    // A panic is a finding, and is told as one.
    std::panic::set_hook(Box::new(|_| {}));
    let began = Instant::now();
    let report = explore::explore(&Options {
        seed: arguments.seed,
        seeds: arguments.seeds,
        limit: arguments.minutes.map(|minutes| Duration::from_secs(60 * minutes)),
        faults: arguments.faults.clone(),
        failures_max: FAILURES_MAX,
    });
    for (run, violation) in &report.failures {
        let (run, violation) = if arguments.whole { (run.clone(), violation.clone()) } else { shrink(run, violation.clone()) };
        print!("{}", tell::scenario(&run, &violation));
    }
    println!(
        "phase 2: at most {} ms of {REST_MS}, {} frames of {REST_FRAMES} a client; at most {QUEUED_BYTES_MAX} bytes wait for a connection",
        report.rest_max.0, report.rest_max.1
    );
    println!("{} steps, {} positions, {} frames in {:.1} s", report.steps, report.positions, report.frames, began.elapsed().as_secs_f64());
    println!("simulation: {} seeds, {} violations", report.seeds, report.failures.len());
    ExitCode::from(u8::from(!report.failures.is_empty()))
}
