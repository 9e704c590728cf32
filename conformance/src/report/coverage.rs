//! The coverage of the spec as a page.

use askama::Template;

use super::pages::{SCRIPT, STYLE, policy};
use super::view::prose;
use crate::gate::{Coverage, Row};

#[derive(Template)]
#[template(path = "coverage.html")]
struct Page<'a> {
    policy: String,
    style: &'static str,
    script: &'static str,
    summary: String,
    chapters: Vec<Chapter<'a>>,
}

struct Chapter<'a> {
    title: String,
    proved: usize,
    rows: Vec<(&'a Row<'a>, Vec<String>)>,
}

impl Coverage<'_> {
    /// One file that needs no network: each rule with its sentence, the checks that name it and the mutants that break it.
    ///
    /// # Errors
    /// None in practice: writing to memory.
    pub fn html(&self) -> Result<String, askama::Error> {
        let mut chapters: Vec<Chapter> = Vec::new();
        for row in &self.rows {
            let title = row.chapter();
            if chapters.last().is_none_or(|chapter| chapter.title != title) {
                chapters.push(Chapter { title, proved: 0, rows: Vec::new() });
            }
            let chapter = chapters.last_mut().expect("one was added above where there was none");
            chapter.proved += usize::from(!row.mutants.is_empty());
            chapter.rows.push((row, prose(&row.rule.sentence)));
        }
        Page { policy: policy(STYLE, SCRIPT), style: STYLE, script: SCRIPT, summary: self.summary(), chapters }.render()
    }
}

/// As the page's filter calls it.
fn standing(row: &Row) -> &'static str {
    match (row.mutants.is_empty(), row.why_not) {
        (false, _) => "passed",
        (true, Some(_)) => "skipped",
        (true, None) => "failed",
    }
}

fn word(row: &Row) -> &'static str {
    match standing(row) {
        "passed" => "has mutants",
        "skipped" => "not observable",
        _ => "no mutant",
    }
}
