//! The seeds and finds of the fuzzers stay what they are: bytes that do no harm. (CODEC-13)

use std::path::Path;

use syncline::sim::hostile;
use syncline_conformance::corpus::Corpus;
use syncline_conformance::scenario;

/// Feeds every seed of a target.
fn each(target: &str, feed: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let entries = std::fs::read_dir(&folder).expect("the folder is there");
    let seeds: Vec<_> = entries.map(|entry| entry.expect("an entry can be read").path()).collect();
    assert!(!seeds.is_empty(), "{} holds no seed", folder.display());
    seeds.iter().for_each(|seed| feed(&std::fs::read(seed).expect("a seed can be read")));
}

#[test]
fn values() {
    each("value", hostile::value);
}

#[test]
fn frames() {
    each("frame", hostile::frame);
}

#[test]
fn stories_of_a_server() {
    each("server", |story| assert!(hostile::server(story) <= story.len()));
}

#[test]
fn stories_of_a_client() {
    each("client", |story| assert!(hostile::client(story) <= story.len()));
}

/// Scenario files that end anywhere are refused or read, never a panic.
#[test]
fn scenarios_cut_short() {
    let scenarios = Corpus::own().files("conformance/scenarios", "scn");
    assert!(!scenarios.is_empty());
    for (file, text) in scenarios {
        let cuts = text.char_indices().step_by(37).map(|(at, _)| at);
        cuts.for_each(|at| drop(scenario::parse("a/b", &file, &text[..at])));
    }
}
