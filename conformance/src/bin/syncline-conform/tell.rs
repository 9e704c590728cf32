//! The verbs that only tell what the suite holds.

use std::process::ExitCode;

use syncline_conformance::judge::Suite;
use syncline_conformance::report;

use crate::{USAGE, fail};

/// Lists every scenario and vector.
pub fn list(suite: &Suite) -> ExitCode {
    suite.scenarios.iter().for_each(|s| println!("{:<60} L{} {:?}: {}", s.id, s.level, s.role, s.title));
    suite.vectors.iter().for_each(|vector| println!("vectors/{:<52} {}", vector.name, vector.rule));
    ExitCode::SUCCESS
}

/// Explains a rule or a scenario.
pub fn explain(suite: &Suite, name: &str) -> ExitCode {
    let Some(text) = report::explain(suite, name) else {
        return fail(USAGE, &format!("no rule or scenario is called {name}"));
    };
    println!("{text}");
    ExitCode::SUCCESS
}

/// Lists every rule and what names it.
pub fn coverage(suite: &Suite) -> ExitCode {
    print!("{}", report::coverage(suite));
    ExitCode::SUCCESS
}
