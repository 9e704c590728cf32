//! Seeded worlds come to rest equal, with every change applied once. (MERGE-12, IDENT-4, IDENT-15, IDENT-17, IDENT-19, SYNC-23)
//!
//! `SYNCLINE_SEEDS` sets how many seeds of each kind run; a failure names the seed that shows it again.

use std::panic::catch_unwind;

use syncline::sim::{Faults, Gathering, run, run_peers};

fn seeds(by_default: u64) -> u64 {
    std::env::var("SYNCLINE_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(by_default)
}

fn check(faults: &Faults, seeds: std::ops::Range<u64>) {
    let (mut writes, mut frames, mut resumed) = (0, 0, 0);
    for seed in seeds {
        let faults = faults.clone();
        let outcome = catch_unwind(move || run(seed, &faults)).unwrap_or_else(|_| panic!("seed {seed} panicked"));
        let report = outcome.unwrap_or_else(|violation| panic!("{violation:?}"));
        writes += report.writes;
        frames += report.frames;
        resumed += report.resumed;
    }
    assert!(writes > 0 && frames > 0, "a world in which nothing happens shows nothing");
    assert!(faults.cut_catch_up == 0 || resumed > 0, "no catch-up was cut where it was");
}

#[test]
fn a_calm_world_converges() {
    check(&Faults::default(), 0..seeds(200));
}

#[test]
fn a_faulty_network_with_crashes_and_wrong_clocks_converges() {
    check(&Faults::common(), 0..seeds(1_200));
}

/// With little credit both ways. (SYNC-16, SYNC-27, FLOW-1)
#[test]
fn readers_that_stall_and_catch_ups_that_are_cut_converge() {
    check(&Faults::slow_readers(), 0..seeds(400));
}

/// Nothing left over and nothing missing, whenever a subscription changes. (SUB-6, SUB-9 to SUB-13)
#[test]
fn subscriptions_that_change_converge_to_what_they_name() {
    check(&Faults::subscribers(), 0..seeds(400));
}

#[test]
fn a_transport_that_loses_and_reorders_frames_converges() {
    check(&Faults::broken_transport(), 0..seeds(400));
}

#[test]
fn clones_and_restored_stores_converge_without_doubles() {
    check(&Faults::identity(), 0..seeds(400));
}

#[test]
fn a_server_that_lost_its_tail_converges_without_doubles() {
    check(&Faults::forgetful(), 0..seeds(400));
}

#[test]
fn a_server_that_forgets_deletions_converges() {
    check(&Faults::short_memory(), 0..seeds(400));
}

#[test]
fn a_base_that_differs_is_healed() {
    check(&Faults::spoilt(), 0..seeds(400));
}

#[test]
fn one_seed_is_one_run() {
    assert_eq!(run(7, &Faults::common()), run(7, &Faults::common()));
}

fn check_peers(faults: &Faults, gathering: Gathering, seeds: std::ops::Range<u64>) {
    let mut writes = 0;
    for seed in seeds {
        let faults = faults.clone();
        let outcome = catch_unwind(move || run_peers(seed, &faults, gathering)).unwrap_or_else(|_| panic!("seed {seed} panicked"));
        writes += outcome.unwrap_or_else(|violation| panic!("{violation:?}")).writes;
    }
    assert!(writes > 0, "a world in which nothing happens shows nothing");
}

#[test]
fn linked_clients_without_a_server_converge() {
    check_peers(&Faults::common(), Gathering::Serverless, 0..seeds(400));
}

#[test]
fn linked_clones_and_restored_clients_without_a_server_converge() {
    check_peers(&Faults::identity(), Gathering::Serverless, 0..seeds(300));
}

#[test]
fn clients_that_reach_the_server_only_through_others_converge() {
    check_peers(&Faults::common(), Gathering::Mixed, 0..seeds(400));
}

#[test]
fn relayed_clones_and_restored_clients_converge_without_doubles() {
    check_peers(&Faults::identity(), Gathering::Mixed, 0..seeds(300));
}
