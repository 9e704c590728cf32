//! The verbs that only tell what the suite holds.

use std::process::ExitCode;

use syncline_conformance::judge::Suite;
use syncline_conformance::report;
use syncline_conformance::revision;

use crate::render::write;
use crate::{HARNESS, USAGE, fail, say};

/// Lists every scenario and vector.
pub fn list(suite: &Suite) -> ExitCode {
    suite.scenarios.iter().for_each(|s| say(&format!("{:<60} L{} {:?}: {}\n", s.id, s.level, s.role, s.title)));
    suite.vectors.iter().for_each(|vector| say(&format!("vectors/{:<52} {}\n", vector.name, vector.rule)));
    ExitCode::SUCCESS
}

/// Explains a rule or a scenario.
pub fn explain(suite: &Suite, name: &str) -> ExitCode {
    let Some(text) = report::explain(suite, name) else {
        return fail(USAGE, &format!("no rule or scenario is called {name}"));
    };
    say(&format!("{text}\n"));
    ExitCode::SUCCESS
}

/// Freezes the checks of today.
pub fn freeze(suite: &Suite, name: &str) -> ExitCode {
    let Some(root) = suite.corpus.root() else {
        return fail(USAGE, "a revision is frozen in a checkout: --corpus DIR");
    };
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.');
    if !plain || suite.revisions.knows(name) {
        return fail(USAGE, &format!("{name} is not free, or no name for a revision: letters, digits, `-` and `.`"));
    }
    let file = root.join(revision::FOLDER).join(format!("{name}.txt"));
    let text = revision::freeze(&revision::digests(&suite.scenarios, &suite.vectors));
    match write(&file, &text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(HARNESS, &error),
    }
}
