//! What a run says: the report and what is rendered from it, the exit code, and what the suite holds.

pub mod coverage;
pub mod diff;
pub mod make;
pub mod markdown;
pub mod matrix;
pub mod model;
pub mod pages;
pub mod sequence;
pub mod terminal;
pub mod view;

use std::fmt::Write as _;

use crate::judge::{Judged, Suite, Verdict};

/// How many checks came out how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Passed.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
    /// Skipped.
    pub skipped: usize,
}

impl Counts {
    /// Counts these.
    pub fn of<'a>(judged: impl IntoIterator<Item = &'a Judged>) -> Self {
        let mut counts = Self::default();
        judged.into_iter().for_each(|judged| counts.add(judged.verdict));
        counts
    }

    /// Counts one more.
    pub fn add(&mut self, verdict: Verdict) {
        match verdict {
            verdict if verdict.passed() => self.passed += 1,
            verdict if verdict.skipped() => self.skipped += 1,
            _ => self.failed += 1,
        }
    }

    /// All of them.
    pub fn total(&self) -> usize {
        self.passed + self.failed + self.skipped
    }
}

/// The last line.
pub fn last_line(counts: Counts) -> String {
    format!("conformance: {} passed, {} failed, {} skipped", counts.passed, counts.failed, counts.skipped)
}

/// The exit code of a run.
pub fn exit_code(judged: &[Judged], faults: usize) -> u8 {
    let any = |verdict: Verdict| judged.iter().any(|judged| judged.verdict == verdict);
    let counts = Counts::of(judged);
    if faults > 0 || any(Verdict::HarnessError) {
        5
    } else if judged.is_empty() {
        2
    } else if any(Verdict::StartError) {
        4
    } else if counts.failed > 0 {
        1
    } else if counts.passed == 0 {
        3
    } else {
        0
    }
}

/// The scenarios and vectors that name a rule.
pub fn naming(suite: &Suite, rule: &str) -> Vec<String> {
    let scenarios = suite.scenarios.iter().filter(|s| s.covers.iter().any(|id| id == rule) || s.steps.iter().any(|step| step.rule == rule));
    let vectors = suite.vectors.iter().filter(|vector| vector.rule == rule);
    scenarios.map(|s| s.id.clone()).chain(vectors.map(|vector| format!("vectors/{}", vector.name))).collect()
}

/// A rule, or a scenario, told to a person; none where nothing has this name.
pub fn explain(suite: &Suite, name: &str) -> Option<String> {
    if let Some(rule) = suite.rule(name) {
        let place = format!("{}:{}", rule.file.display(), rule.line);
        let naming = naming(suite, name);
        return Some(format!(
            "{} [{} L{}] {}\n  {place}\n  named by {} checks:\n    {}",
            rule.id,
            rule.profile,
            rule.level,
            rule.sentence,
            naming.len(),
            naming.join("\n    ")
        ));
    }
    let scenario = suite.scenarios.iter().find(|scenario| scenario.id == name)?;
    let mut out = format!("{}\n{}\n  {} L{} {:?}\n", scenario.id, scenario.title, scenario.file.display(), scenario.level, scenario.role);
    for rule in scenario.covers.iter().filter_map(|id| suite.rule(id)) {
        let _ = writeln!(out, "  {}: {}", rule.id, rule.sentence);
    }
    for step in &scenario.steps {
        let _ = writeln!(out, "{:>4} [{}] {}", step.line, step.rule, step.text);
    }
    Some(out)
}
