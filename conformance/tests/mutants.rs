//! The list of variants and the code agree.
#![allow(clippy::unwrap_used, reason = "a test stops where its files are not as it says")]

mod common;

use std::collections::BTreeSet;

use common::root;
use syncline_conformance::corpus::Corpus;
use syncline_conformance::mutants::List;
use syncline_conformance::spec;

/// The names that the code asks for: `fault::is("name")`.
fn asked() -> BTreeSet<String> {
    let (corpus, mut names) = (Corpus::folder(&root()), BTreeSet::new());
    let sources = ["reference", "conformance/src/bin/syncline-adapter"].map(|folder| corpus.files(folder, "rs"));
    for (_, text) in sources.into_iter().flatten().filter(|(file, _)| !file.ends_with("core/src/fault.rs")) {
        let asking = text.split("fault::is(\"").skip(1).filter_map(|rest| rest.split_once('"'));
        names.extend(asking.map(|(name, _)| name.to_owned()));
    }
    names
}

#[test]
fn every_variant_of_the_code_stands_in_the_list() {
    let corpus = Corpus::folder(&root());
    let rules = spec::rules(&corpus).unwrap();
    let list = List::load(&corpus, &rules).unwrap_or_else(|fault| panic!("{fault}"));
    let listed: BTreeSet<String> = list.names().map(str::to_owned).collect();
    let asked = asked();
    let missing: Vec<_> = asked.symmetric_difference(&listed).collect();
    assert!(missing.is_empty(), "these stand in the code or in the list only: {missing:?}");
}
