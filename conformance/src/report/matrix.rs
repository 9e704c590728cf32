//! Several reports beside each other: implementations × areas.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use askama::Template;

use super::Counts;
use super::markdown::inline;
use super::model::{Outcome, Report};
use super::pages::{STYLE, policy};
use super::view::{areas, headline, who};

/// The reports as a table.
pub struct Matrix<'a> {
    reports: &'a [Report],
    /// One row for each area that any report has: its name, and how it came out in each report.
    rows: Vec<(&'a str, Vec<Option<Counts>>)>,
}

impl<'a> Matrix<'a> {
    /// Puts reports beside each other.
    pub fn of(reports: &'a [Report]) -> Self {
        let names: BTreeSet<&str> = reports.iter().flat_map(|report| areas(report).into_keys()).collect();
        let row = |name: &'a str| (name, reports.iter().map(|report| areas(report).get(name).copied()).collect());
        Self { reports, rows: names.into_iter().map(row).collect() }
    }

    /// Why the columns may not be compared; none where they may.
    pub fn caution(&self) -> Option<&'static str> {
        let all_same = self.reports.windows(2).all(|pair| pair[0].suite == pair[1].suite && pair[0].spec == pair[1].spec);
        (!all_same).then_some(
            "These reports were made by different suites, or by different revisions of one: their counts are not of the same checks.",
        )
    }

    /// For a terminal.
    pub fn terminal(&self) -> String {
        let mut out = String::new();
        for (index, report) in self.reports.iter().enumerate() {
            let _ = writeln!(out, "{:>3}  {}: {}", index + 1, who(report), headline(report));
        }
        let width = self.rows.iter().map(|(area, _)| area.chars().count()).max().unwrap_or(0).max("area".len());
        let _ = write!(out, "\n{:<width$}", "area");
        (1..=self.reports.len()).for_each(|number| out.push_str(&format!(" {number:>14}")));
        for (area, cells) in &self.rows {
            let _ = write!(out, "\n{area:<width$}");
            cells.iter().for_each(|counts| out.push_str(&format!(" {:>14}", cell(counts))));
        }
        out.push('\n');
        self.caution().iter().for_each(|caution| out.push_str(&format!("\n{caution}\n")));
        out
    }

    /// As a Markdown table.
    pub fn markdown(&self) -> String {
        let mut out = String::from("| area |");
        self.reports.iter().for_each(|report| out.push_str(&format!(" {} {} |", inline(&who(report)), inline(&report.level))));
        out.push_str("\n|---|");
        self.reports.iter().for_each(|_| out.push_str("---|"));
        out.push_str("\n| **all** |");
        self.reports.iter().for_each(|report| out.push_str(&format!(" {} |", inline(&headline(report)))));
        for (area, cells) in &self.rows {
            let _ = write!(out, "\n| {} |", inline(area));
            cells.iter().for_each(|counts| out.push_str(&format!(" {} {} |", sign(counts), cell(counts))));
        }
        out.push('\n');
        self.caution().iter().for_each(|caution| out.push_str(&format!("\n{caution}\n")));
        out
    }

    /// As a page: one file that needs no network.
    ///
    /// # Errors
    /// None in practice: writing to memory.
    pub fn page(&self) -> Result<String, askama::Error> {
        Page { matrix: self, policy: policy(STYLE, ""), style: STYLE }.render()
    }
}

/// Passed of what was judged; what was skipped is told beside it.
fn cell(counts: &Option<Counts>) -> String {
    match counts {
        None => "—".to_owned(),
        Some(counts) if counts.passed + counts.failed == 0 => format!("{} skipped", counts.skipped),
        Some(counts) if counts.skipped > 0 => format!("{}/{} +{}", counts.passed, counts.passed + counts.failed, counts.skipped),
        Some(counts) => format!("{}/{}", counts.passed, counts.total()),
    }
}

fn standing(counts: &Option<Counts>) -> &'static str {
    match counts {
        Some(counts) if counts.failed > 0 => "failed",
        Some(counts) if counts.passed > 0 => "passed",
        _ => "skipped",
    }
}

fn sign(counts: &Option<Counts>) -> &'static str {
    match standing(counts) {
        "failed" => "❌",
        "passed" => "✅",
        _ => "➖",
    }
}

#[derive(Template)]
#[template(path = "matrix.html")]
struct Page<'a> {
    matrix: &'a Matrix<'a>,
    policy: String,
    style: &'static str,
}

fn outcome(report: &Report) -> &'static str {
    match report.outcome() {
        Outcome::Conformant => "passed",
        Outcome::NotConformant => "failed",
        Outcome::Incomplete => "skipped",
    }
}
