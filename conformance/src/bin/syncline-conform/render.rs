//! `report` and `matrix`: what is shown of reports, from their files alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use syncline_conformance::report::markdown::markdown;
use syncline_conformance::report::matrix::Matrix;
use syncline_conformance::report::model::Report;
use syncline_conformance::report::pages::{badge, junit, page};
use syncline_conformance::report::{Counts, last_line, terminal::terminal};

use crate::{HARNESS, USAGE, fail, say};

/// What to write beside what is printed.
#[derive(Args, Default)]
pub struct Outputs {
    /// Write a page to this file: one file that needs no network
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write JUnit XML to this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write a Markdown summary to this file
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write an SVG badge to this file
    #[arg(long, value_name = "FILE")]
    badge: Option<PathBuf>,
}

impl Outputs {
    /// Writes what was asked for.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, report: &Report) -> Result<(), String> {
        let broken = |error: askama::Error| error.to_string();
        self.html.as_ref().map_or(Ok(()), |file| write(file, &page(report).map_err(broken)?))?;
        self.junit.as_ref().map_or(Ok(()), |file| write(file, &junit(report).map_err(broken)?))?;
        self.badge.as_ref().map_or(Ok(()), |file| write(file, &badge(report).map_err(broken)?))?;
        self.markdown.as_ref().map_or(Ok(()), |file| write(file, &markdown(report)))
    }
}

/// Which report to show, and how.
#[derive(Args)]
pub struct ReportArguments {
    /// What `run --json` wrote
    #[arg(value_name = "REPORT")]
    report: PathBuf,
    #[command(flatten)]
    outputs: Outputs,
}

/// Shows a report; the exit code is that of its run.
pub fn report(arguments: &ReportArguments) -> ExitCode {
    let report = match read(&arguments.report) {
        Ok(report) => report,
        Err(error) => return fail(USAGE, &error),
    };
    say(&terminal(&report));
    if let Err(error) = arguments.outputs.write(&report) {
        return fail(HARNESS, &error);
    }
    let summary = &report.summary;
    say(&format!("{}\n", last_line(Counts { passed: summary.passed, failed: summary.failed, skipped: summary.skipped })));
    ExitCode::from(summary.exit)
}

/// Which reports to put beside each other.
#[derive(Args)]
pub struct MatrixArguments {
    /// What `run --json` wrote, for each implementation
    #[arg(value_name = "REPORT", required = true)]
    reports: Vec<PathBuf>,
    /// Write a page to this file: one file that needs no network
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write a Markdown table to this file
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// Puts reports beside each other.
pub fn matrix(arguments: &MatrixArguments) -> ExitCode {
    let reports: Vec<Report> = match arguments.reports.iter().map(|file| read(file)).collect() {
        Ok(reports) => reports,
        Err(error) => return fail(USAGE, &error),
    };
    let matrix = Matrix::of(&reports);
    say(&matrix.terminal());
    let page = || matrix.page().map_err(|error| error.to_string());
    let html = arguments.html.as_ref().map_or(Ok(()), |file| write(file, &page()?));
    let written = html.and_then(|()| arguments.markdown.as_ref().map_or(Ok(()), |file| write(file, &matrix.markdown())));
    written.map_or_else(|error| fail(HARNESS, &error), |()| ExitCode::SUCCESS)
}

fn read(file: &Path) -> Result<Report, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Report::read(&text).map_err(|error| format!("{}: {error}", file.display()))
}

/// Writes a file, and the folders it is in.
///
/// # Errors
/// It cannot be written.
pub fn write(file: &Path, text: &str) -> Result<(), String> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(file, text)).map_err(|error| format!("{}: {error}", file.display()))
}
