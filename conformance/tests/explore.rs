//! The simulator under its oracles: seeds come to rest without a finding, one seed is one run, and what fails becomes small.

use syncline::sim::Step;
use syncline_conformance::explore::run::perform;
use syncline_conformance::explore::shrink::shrink;
use syncline_conformance::explore::swarm::{Run, draw, kinds};
use syncline_conformance::explore::tell::scenario;
use syncline_conformance::explore::watch::{Oracle, Violation};
use syncline_conformance::explore::{Options, explore};

/// Seeds of each `cargo verify`.
const SEEDS: u64 = 24;

#[test]
fn seeds_come_to_rest_without_a_finding() {
    let options = Options { seed: 1, seeds: SEEDS, limit: None, faults: Vec::new(), failures_max: 1 };
    let report = explore(&options);
    let found: Vec<String> = report.failures.iter().map(|(run, violation)| format!("seed {}: {violation:?}", run.seed)).collect();
    assert_eq!(found, Vec::<String>::new());
    assert!(report.seeds == SEEDS && report.positions > SEEDS && report.steps > 300 * SEEDS, "{report:?}");
}

#[test]
fn one_seed_is_one_run() {
    assert_eq!(perform(&draw(7, &[])), perform(&draw(7, &[])));
}

#[test]
fn every_kind_of_fault_is_taken_by_some_seed() {
    let taken: Vec<&str> = (0..200).flat_map(|seed| draw(seed, &[]).kinds).collect();
    kinds().for_each(|kind| assert!(taken.contains(&kind), "no seed takes {kind}"));
}

/// A run in which a client's base is spoilt, and no oracle was told that it might be.
fn spoilt() -> (Run, Violation) {
    let mut tried = (0..50).map(|seed| {
        let mut run = draw(seed, &["cut".to_owned(), "spoil".to_owned()]);
        run.faults.spoil = 0;
        perform(&run).err().map(|violation| (run, violation))
    });
    tried.find_map(|found| found).expect("one of fifty seeds spoils what is looked at")
}

#[test]
fn a_failing_run_becomes_small_and_is_told_as_a_scenario() {
    let (run, violation) = spoilt();
    assert!(matches!(violation.oracle, Oracle::View | Oracle::Fingerprint), "{violation:?}");
    let (small, found) = shrink(&run, violation.clone());
    assert_eq!(found.oracle, violation.oracle);
    assert!(small.steps.len() * 10 < run.steps.len(), "{} steps of {}", small.steps.len(), run.steps.len());
    assert!(small.steps.iter().any(|step| matches!(step, Step::Spoil(..))));
    let text = scenario(&small, &found);
    assert!(text.contains("\nrole both\n") && text.contains(" spoil shared/"), "{text}");
    syncline_conformance::scenario::parse("found/spoilt", std::path::Path::new("spoilt.scn"), &text).expect("what is told can be read");
}
