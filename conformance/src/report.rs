//! What a run says: the table, the failures, `report.json`, and the exit code.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::config::Config;
use crate::judge::{Judged, Selection, Suite, Verdict};

const LOG_LINES_MAX: usize = 30;

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
        for judged in judged {
            match judged.verdict {
                verdict if verdict.passed() => counts.passed += 1,
                verdict if verdict.skipped() => counts.skipped += 1,
                _ => counts.failed += 1,
            }
        }
        counts
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

/// The failures and the table, for a terminal.
pub fn terminal(suite: &Suite, judged: &[Judged], command: &str) -> String {
    let mut out = String::new();
    for failure in judged.iter().filter(|judged| !judged.verdict.passed() && !judged.verdict.skipped()) {
        failed(&mut out, suite, failure, command);
    }
    let mut areas: BTreeMap<&str, Vec<&Judged>> = BTreeMap::new();
    judged.iter().for_each(|judged| areas.entry(&judged.area).or_default().push(judged));
    let _ = writeln!(out, "{:<14} {:>7} {:>7} {:>8}", "area", "passed", "failed", "skipped");
    for (area, judged) in areas {
        let counts = Counts::of(judged);
        let _ = writeln!(out, "{area:<14} {:>7} {:>7} {:>8}", counts.passed, counts.failed, counts.skipped);
    }
    let mut skips: BTreeMap<&str, usize> = BTreeMap::new();
    judged.iter().filter(|judged| judged.verdict.skipped()).for_each(|judged| *skips.entry(judged.verdict.name()).or_default() += 1);
    for (reason, count) in skips {
        let _ = writeln!(out, "{reason}: {count}");
    }
    out
}

fn failed(out: &mut String, suite: &Suite, failure: &Judged, command: &str) {
    let _ = writeln!(out, "{} {}", failure.verdict.name().to_uppercase(), failure.check);
    let _ = writeln!(out, "  at {}", failure.place);
    for line in failure.why.lines() {
        let _ = writeln!(out, "    {}", clip(line));
    }
    if let Some(rule) = suite.rule(&failure.rule) {
        let _ = writeln!(out, "  {}: {}", rule.id, rule.sentence);
    }
    let trace = failure.failure.as_ref().map_or(&[][..], |failure| &failure.trace);
    for event in &trace[trace.len().saturating_sub(LOG_LINES_MAX)..] {
        let _ = writeln!(out, "    | {}", clip(&event.to_string()));
    }
    let _ = writeln!(out, "  again: {command} --filter {}\n", failure.check);
}

fn clip(line: &str) -> String {
    let short: String = line.chars().take(600).map(|c| if c.is_control() { '?' } else { c }).collect();
    if short.len() < line.len() { short + "…" } else { short }
}

/// The report for programs.
pub fn json(suite: &Suite, config: &Config, selection: &Selection, judged: &[Judged]) -> Value {
    let counts = Counts::of(judged);
    let results: Vec<Value> = judged
        .iter()
        .map(|j| json!({"check": j.check, "verdict": j.verdict.name(), "rule": j.rule, "shown": j.shown, "place": j.place, "why": j.why}))
        .collect();
    let rules: serde_json::Map<String, Value> = suite
        .rules
        .iter()
        .map(|rule| {
            let shown: Vec<&str> =
                judged.iter().filter(|j| j.verdict.passed() && j.shown.contains(&rule.id)).map(|j| j.check.as_str()).collect();
            (rule.id.clone(), json!({"level": rule.level, "keyword": rule.keyword, "shown": shown}))
        })
        .collect();
    json!({
        "schema": 1,
        "suite": env!("CARGO_PKG_VERSION"),
        "spec": 1,
        "implementation": config.implementation.name,
        "level": format!("L{}", selection.level),
        "profiles": config.profiles,
        "seed": selection.seed,
        "filter": selection.filter,
        "summary": {"passed": counts.passed, "failed": counts.failed, "skipped": counts.skipped},
        "results": results,
        "rules": rules,
    })
}

/// Every rule, and how many scenarios and vectors name it.
pub fn coverage(suite: &Suite) -> String {
    let mut out = String::new();
    let mut bare = 0;
    for rule in &suite.rules {
        let naming = naming(suite, &rule.id);
        bare += usize::from(naming.is_empty());
        let shown =
            if naming.is_empty() { "—".to_owned() } else { format!("{} ({})", naming.len(), naming[..naming.len().min(3)].join(", ")) };
        let _ = writeln!(out, "{:<10} L{} {:<9} {shown}", rule.id, rule.level, rule.keyword);
    }
    let _ = writeln!(out, "{} rules, {bare} that nothing names", suite.rules.len());
    out
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
