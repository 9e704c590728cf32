//! Performs a run: phase 1 with its faults, then phase 2, in which all is healed and has to come to rest.

use std::panic::{AssertUnwindSafe, catch_unwind};

use syncline::sim::{Outcome, Step, World};

use super::swarm::Run;
use super::watch::{Finding, Oracle, Violation, Watch};

/// Virtual time in which a healed world comes to rest, in milliseconds.
pub const REST_MS: u64 = 10 * 60 * 1_000;
/// Frames that a healed world delivers at most until it rests, for each client.
pub const REST_FRAMES: u64 = 3_000;
/// Virtual time in which linked clients come to show the same, in milliseconds.
const EVEN_MS: u64 = 10 * 60 * 1_000;

/// What a run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Steps of phase 1.
    pub steps: u64,
    /// Positions of the log at the end.
    pub positions: u64,
    /// Frames delivered.
    pub frames: u64,
    /// Milliseconds and frames that phase 2 took.
    pub rest: (u64, u64),
}

/// Performs a run and watches it.
///
/// # Errors
/// The first thing that must not be.
pub fn perform(run: &Run) -> Result<Tally, Violation> {
    let mut step = 0;
    let outcome = catch_unwind(AssertUnwindSafe(|| watched(run, &mut step)));
    let finding = match outcome {
        Ok(Ok(tally)) => return Ok(tally),
        Ok(Err(finding)) => finding,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned().or(panic.downcast_ref::<&str>().map(ToString::to_string));
            (Oracle::Panic, text.unwrap_or_default())
        }
    };
    Err(Violation { oracle: finding.0, step, what: finding.1 })
}

fn watched(run: &Run, step: &mut usize) -> Result<Tally, Finding> {
    let mut world = World::new(run.seed, run.setup.clone());
    let mut watch = Watch::new(run, &world);
    for one in &run.steps {
        watch.before(&world, one);
        let outcome = world.perform(one);
        *step += 1;
        watch.after(&mut world, Some(one), outcome)?;
    }
    let rest = rest(run, &mut world, &mut watch)?;
    let positions = world.log_after(0).len() as u64;
    Ok(Tally { steps: run.steps.len() as u64, positions, frames: world.frames, rest })
}

/// Phase 2; gives the milliseconds and the frames it took.
fn rest(run: &Run, world: &mut World, watch: &mut Watch) -> Result<(u64, u64), Finding> {
    world.heal();
    // The server's clock is right again, and that is when it gives verdicts.
    watch.after(world, None, Outcome::Done)?;
    if run.faults.spoil > 0 {
        // A base that was spoilt behind its last mark differs until the next one.
        for client in 0..world.clients() {
            world.perform(&Step::Cut(client));
        }
    }
    // Someone has to see all, for the others to be compared with.
    world.subscribe(0, None);
    if run.faults.links > 0 && run.faults.restore_server == 0 {
        let even = world.even(EVEN_MS);
        // What a damaged connection did to a base, and to those that took it over, only a server's mark tells. (chapter 21)
        let even = if watch.was_damaged() { Ok(()) } else { even };
        even.map_err(|what| (Oracle::Equal, format!("linked clients differ after {EVEN_MS} ms: {what}: {}", world.standing())))?;
    }
    (0..world.clients()).for_each(|client| world.serve_client(client));
    let (began_ms, frames) = (world.elapsed_ms(), world.frames);
    let frames_max = REST_FRAMES * world.clients() as u64;
    loop {
        let rests = world.rest_a_while(began_ms + REST_MS);
        watch.after(world, None, Outcome::Done)?;
        let (took_ms, took) = (world.elapsed_ms() - began_ms, world.frames - frames);
        if took > frames_max {
            return Err((Oracle::Rest, format!("{took} frames were delivered after all was healed; allowed: {frames_max}")));
        }
        if rests {
            watch.at_rest(world)?;
            return Ok((took_ms, took));
        }
        if took_ms >= REST_MS {
            return Err((Oracle::Rest, format!("not in sync {REST_MS} ms after all was healed: {}", world.standing())));
        }
    }
}
