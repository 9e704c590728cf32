//! A report for a terminal.

use std::fmt::Write as _;

use super::diff::{pieces, plain};
use super::model::{Check, Failure, Report};
use super::sequence::diagram;
use super::view::{areas, headline, skips, who};

/// Of a failure's texts so many characters are printed.
const TEXT_CHARS_MAX: usize = 1200;
/// A diagram's lines are cut here.
const WIDTH: usize = 132;

/// The failures and the table.
pub fn terminal(report: &Report) -> String {
    let mut out = String::new();
    for check in report.checks.iter().filter(|check| check.verdict.accuses() || check.verdict.failed()) {
        failed(&mut out, report, check);
    }
    let areas = areas(report);
    let width = areas.keys().map(|area| area.chars().count()).max().unwrap_or(0).max("area".len());
    let _ = writeln!(out, "{:<width$} {:>7} {:>7} {:>8}", "area", "passed", "failed", "skipped");
    for (area, tally) in areas {
        let _ = writeln!(out, "{area:<width$} {:>7} {:>7} {:>8}", tally.passed, tally.failed, tally.skipped);
    }
    for (reason, count) in skips(report) {
        let _ = writeln!(out, "{reason}: {count}");
    }
    let _ = writeln!(out, "{}: {}", who(report), headline(report));
    out
}

fn failed(out: &mut String, report: &Report, check: &Check) {
    let _ = writeln!(out, "{} {}: {}", check.verdict.name().to_uppercase(), check.id, clip(&check.title));
    if let Some(failure) = &check.failure {
        told(out, report, failure, &check.why);
    } else {
        let _ = writeln!(out, "  {}", clip(&check.why));
    }
    out.push('\n');
}

fn told(out: &mut String, report: &Report, failure: &Failure, why: &str) {
    if let Some(rule) = report.rule(&failure.rule) {
        let _ = writeln!(out, "  {} {}: {}", rule.id, rule.keyword, rule.sentence);
    }
    let _ = writeln!(out, "  at       {}", clip(&failure.place));
    if failure.expected.is_empty() {
        let _ = writeln!(out, "  because  {}", clip(&why.replace('\n', " ")));
    } else {
        let path = failure.difference.as_ref().map(|difference| difference.path.as_str());
        for (name, text) in [("expected", &failure.expected), ("got", &failure.found)] {
            let shown = clip(&plain(&pieces(text, path)));
            let _ = writeln!(out, "  {name:<8} {}", shown.replace('\n', "\n           "));
        }
    }
    if let Some(difference) = failure.difference.as_ref().filter(|difference| !difference.path.is_empty()) {
        let _ =
            writeln!(out, "  differs  at {}: expected {}, got {}", difference.path, clip(&difference.expected), clip(&difference.found));
    }
    for line in diagram(&failure.trace).lines(WIDTH) {
        let _ = writeln!(out, "  {line}");
    }
    if let Some(step) = &failure.step {
        let _ = writeln!(out, "            ✗ line {}: {}", step.line, clip(&step.text.replace('\n', " ")));
    }
    failure.likely.iter().for_each(|likely| out.push_str(&format!("  likely:  {}\n", clip(likely))));
    let _ = writeln!(out, "  again:   {}", failure.command);
}

fn clip(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
