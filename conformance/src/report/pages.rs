//! A report as a page, as JUnit XML and as a badge.

use askama::Template;
use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use super::Counts;
use super::diff::{Piece, pieces};
use super::model::{Check, Failure, Outcome, Report, Rule, What};
use super::sequence::{Diagram, Row, diagram};
use super::view::{Standing, areas, headline, prose, standings, who};
use crate::judge::Verdict;

pub(super) const STYLE: &str = include_str!("report.css");
pub(super) const SCRIPT: &str = include_str!("report.js");
/// Drawn pixels between two lanes, beside them, and between two rows.
const LANE: usize = 180;
const SIDE: usize = 52;
const ROW: usize = 36;

/// What a page may do: nothing but its own style and script, known by their digests.
pub(super) fn policy(style: &str, script: &str) -> String {
    let digest = |text: &str| BASE64.encode(&Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        digest(style),
        digest(script)
    )
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a Report,
    policy: String,
    style: &'static str,
    script: &'static str,
    who: String,
    headline: String,
    outcome: &'static str,
    areas: Vec<(&'a str, Counts)>,
    failures: Vec<FailureView<'a>>,
    chapters: Vec<ChapterView<'a>>,
    known: Vec<&'a Check>,
}

/// A check that failed or warned.
struct FailureView<'a> {
    check: &'a Check,
    anchor: String,
    rule: Option<(&'a Rule, Vec<String>)>,
    detail: Option<Detail<'a>>,
}

struct Detail<'a> {
    failure: &'a Failure,
    expected: Vec<Piece>,
    found: Vec<Piece>,
    drawing: Option<Drawing>,
}

struct ChapterView<'a> {
    title: &'a str,
    rules: Vec<RuleView<'a>>,
    tally: Vec<(Standing, usize)>,
    open: bool,
}

struct RuleView<'a> {
    rule: &'a Rule,
    prose: Vec<String>,
    standing: Standing,
    checks: Vec<&'a Check>,
}

/// A diagram with its places.
struct Drawing {
    diagram: Diagram,
    width: usize,
    height: usize,
}

impl Drawing {
    fn lane(&self, index: &usize) -> usize {
        SIDE + index * LANE
    }

    fn row(&self, index: &usize) -> usize {
        66 + index * ROW
    }

    fn alone(&self, row: &Row) -> bool {
        row.from == row.to
    }

    fn middle(&self, row: &Row) -> usize {
        (self.lane(&row.from) + self.lane(&row.to)) / 2
    }

    /// Where an arrow ends, short of the lane.
    fn tip(&self, row: &Row) -> usize {
        if row.from < row.to { self.lane(&row.to) - 2 } else { self.lane(&row.to) + 2 }
    }

    /// The three corners of an arrow's head.
    fn head(&self, row: &Row, index: &usize) -> String {
        let (x, y) = (self.tip(row), self.row(index));
        let back = if row.from < row.to { x - 9 } else { x + 9 };
        format!("{x},{y} {back},{} {back},{}", y - 5, y + 5)
    }
}

/// The page: one file that needs no network.
///
/// # Errors
/// None in practice: writing to memory.
pub fn page(report: &Report) -> Result<String, askama::Error> {
    let outcome = match report.outcome() {
        Outcome::Conformant => "passed",
        Outcome::NotConformant => "failed",
        Outcome::Incomplete => "skipped",
    };
    let accused = report.checks.iter().filter(|check| check.verdict.accuses() || check.verdict.failed());
    Page {
        report,
        policy: policy(STYLE, SCRIPT),
        style: STYLE,
        script: SCRIPT,
        who: who(report),
        headline: headline(report),
        outcome,
        areas: areas(report).into_iter().collect(),
        failures: accused.map(|check| failed(report, check)).collect(),
        chapters: chapters(report),
        known: report.checks.iter().filter(|check| matches!(check.verdict, Verdict::KnownFailing | Verdict::Newer)).collect(),
    }
    .render()
}

fn failed<'a>(report: &'a Report, check: &'a Check) -> FailureView<'a> {
    let detail = check.failure.as_ref().map(|failure| {
        let path = failure.difference.as_ref().map(|difference| difference.path.as_str());
        let diagram = diagram(&failure.trace);
        let (lanes, rows) = (diagram.lanes.len(), diagram.rows.len());
        let drawing = (rows > 0).then(|| Drawing { diagram, width: 2 * SIDE + lanes.saturating_sub(1) * LANE, height: 66 + rows * ROW });
        Detail { failure, expected: pieces(&failure.expected, path), found: pieces(&failure.found, path), drawing }
    });
    let rule = check.failure.as_ref().and_then(|failure| report.rule(&failure.rule));
    FailureView { check, anchor: anchor(&check.id), rule: rule.map(|rule| (rule, prose(&rule.sentence))), detail }
}

fn chapters(report: &Report) -> Vec<ChapterView<'_>> {
    let standings = standings(report);
    let mut chapters = Vec::new();
    for chapter in &report.chapters {
        let mut rules = Vec::new();
        for rule in &chapter.rules {
            let (standing, checks) = standings.get(rule.id.as_str()).cloned().unwrap_or((Standing::Unseen, Vec::new()));
            rules.push(RuleView { rule, prose: prose(&rule.sentence), standing, checks });
        }
        let count = |standing: Standing| (standing, rules.iter().filter(|rule| rule.standing == standing).count());
        let tally: Vec<(Standing, usize)> = Standing::ALL.into_iter().map(count).filter(|(_, count)| *count > 0).collect();
        let open = tally.iter().any(|(standing, _)| matches!(standing, Standing::Failed | Standing::Warned));
        chapters.push(ChapterView { title: &chapter.title, rules, tally, open });
    }
    chapters
}

/// A check's name as the anchor of a page.
fn anchor(id: &str) -> String {
    let safe: String = id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("check-{safe}")
}

#[derive(Template)]
#[template(path = "junit.xml")]
struct Junit<'a> {
    report: &'a Report,
    who: String,
    areas: Vec<(&'a str, Counts, Vec<&'a Check>)>,
}

/// JUnit XML: a suite for each area, a case for each check.
///
/// # Errors
/// None in practice: writing to memory.
pub fn junit(report: &Report) -> Result<String, askama::Error> {
    let checks = |area: &str| report.checks.iter().filter(|check| check.area == area).collect();
    let areas = areas(report).into_iter().map(|(area, counts)| (area, counts, checks(area))).collect();
    Junit { report, who: who(report), areas }.render()
}

/// Seconds, as JUnit wants them.
fn seconds(ms: &u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

#[derive(Template)]
#[template(path = "badge.svg")]
struct Badge {
    label: String,
    message: String,
    colour: &'static str,
    left: usize,
    right: usize,
}

/// A badge: what it is about, and how it came out.
///
/// # Errors
/// None in practice: writing to memory.
pub fn badge(report: &Report) -> Result<String, askama::Error> {
    let label = format!("syncline {}", report.spec.version);
    let (message, colour) = match report.outcome() {
        Outcome::Conformant => (format!("conformant {}", report.level), "#1a6b33"),
        Outcome::NotConformant => (format!("{} failed {}", report.summary.failed, report.level), "#a8201a"),
        Outcome::Incomplete => (format!("incomplete {}", report.level), "#5a6570"),
    };
    // Verdana at 11 pixels takes about 7 a character; the text is fitted to what is left.
    let width = |text: &str| text.chars().count() * 7 + 12;
    Badge { left: width(&label), right: width(&message), label, message, colour }.render()
}
