//! A report as a Markdown summary, for the job pages of CI.

use std::fmt::Write as _;

use super::diff::{pieces, plain};
use super::model::{Check, Failure, Outcome, Report};
use super::sequence::diagram;
use super::view::{areas, headline, skips, who};

/// So many failures are told in full; job pages hold one mebibyte.
const FAILURES_MAX: usize = 25;
const TEXT_CHARS_MAX: usize = 4000;
const WIDTH: usize = 110;

/// The summary.
pub fn markdown(report: &Report) -> String {
    let mut out = String::new();
    let sign = match report.outcome() {
        Outcome::Conformant => "✅",
        Outcome::NotConformant => "❌",
        Outcome::Incomplete => "⚠️",
    };
    let summary = &report.summary;
    let _ = writeln!(out, "## {sign} {}: {}\n", inline(&who(report)), inline(&headline(report)));
    let _ = writeln!(out, "**{} passed, {} failed, {} skipped**\n", summary.passed, summary.failed, summary.skipped);
    for check in report.failures().take(FAILURES_MAX) {
        failed(&mut out, report, check);
    }
    let more = report.failures().count().saturating_sub(FAILURES_MAX);
    if more > 0 {
        let _ = writeln!(out, "… and {more} more that failed.\n");
    }
    out.push_str("| area | passed | failed | skipped |\n|---|--:|--:|--:|\n");
    for (area, tally) in areas(report) {
        let sign = if tally.failed > 0 { "❌ " } else { "" };
        let _ = writeln!(out, "| {sign}{} | {} | {} | {} |", inline(area), tally.passed, tally.failed, tally.skipped);
    }
    let skips: Vec<String> = skips(report).into_iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    if !skips.is_empty() {
        let _ = writeln!(out, "\nSkipped: {}.", skips.join(", "));
    }
    let (suite, spec) = (&report.suite, &report.spec);
    let digest: String = suite.digest.chars().take(12).collect();
    let _ = writeln!(
        out,
        "\nSpec version {} ({}), suite {} with corpus {}, seed {}, profiles {}, begun {}.",
        spec.version,
        inline(&spec.revision),
        inline(&suite.version),
        inline(&digest),
        report.seed,
        inline(&report.profiles.join(", ")),
        inline(&report.started)
    );
    out
}

fn failed(out: &mut String, report: &Report, check: &Check) {
    let _ = writeln!(out, "<details><summary>❌ <b>{}</b> {}</summary>\n", html(&check.id), html(&check.verdict.name().to_uppercase()));
    if !check.title.is_empty() {
        let _ = writeln!(out, "{}\n", inline(&check.title));
    }
    match &check.failure {
        Some(failure) => told(out, report, failure, &check.why),
        None => fenced(out, &check.why),
    }
    out.push_str("</details>\n\n");
}

fn told(out: &mut String, report: &Report, failure: &Failure, why: &str) {
    if let Some(rule) = report.rule(&failure.rule) {
        let _ = writeln!(out, "> **{}** {}\n", inline(&rule.id), inline(&rule.sentence));
    }
    let mut text = format!("at       {}\n", failure.place);
    if failure.expected.is_empty() {
        let _ = writeln!(text, "because  {why}");
    } else {
        let path = failure.difference.as_ref().map(|difference| difference.path.as_str());
        for (name, value) in [("expected", &failure.expected), ("got", &failure.found)] {
            let _ = writeln!(text, "{name:<8} {}", plain(&pieces(value, path)).replace('\n', "\n         "));
        }
    }
    let lines = diagram(&failure.trace).lines(WIDTH);
    lines.iter().for_each(|line| text.push_str(&format!("\n{line}")));
    fenced(out, &text);
    failure.likely.iter().for_each(|likely| out.push_str(&format!("Likely {}\n\n", inline(likely))));
    fenced(out, &failure.command);
}

/// A text as a block of code; the fence is longer than any in the text.
fn fenced(out: &mut String, text: &str) {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let short: String = text.chars().take(TEXT_CHARS_MAX).collect();
    let _ = writeln!(out, "{fence}text\n{}\n{fence}\n", short.trim_end());
}

/// A text inside a line: nothing in it is Markdown or HTML.
pub(super) fn inline(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\n' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '@' => out.push_str("&#64;"),
            c if c.is_ascii_punctuation() && "\\`*_{}[]()#+!|~$:".contains(c) => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_is_markdown_or_html() {
        assert_eq!(inline("<b>*x*</b> | [y](z)\n@me"), "&lt;b&gt;\\*x\\*&lt;/b&gt; \\| \\[y\\]\\(z\\) &#64;me");
    }

    #[test]
    fn a_block_of_code_is_not_ended_by_what_is_in_it() {
        let mut out = String::new();
        fenced(&mut out, "a\n````\nb");
        assert_eq!(out, "`````text\na\n````\nb\n`````\n\n");
    }
}
