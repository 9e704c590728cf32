//! What comes of a check.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::pattern::Difference;
use crate::trace::Event;
use crate::trouble::Trouble;

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // they stand in the README
pub enum Verdict {
    Pass,
    Warn,
    Fail,
    Crash,
    Timeout,
    AdapterError,
    StaleKnown,
    NotClaimed,
    Unobservable,
    KnownFailing,
    Newer,
    Unknown,
    StartError,
    HarnessError,
}

impl Verdict {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Crash => "crash",
            Self::Timeout => "timeout",
            Self::AdapterError => "adapter-error",
            Self::StaleKnown => "stale-known",
            Self::NotClaimed => "not-claimed",
            Self::Unobservable => "unobservable",
            Self::KnownFailing => "known-failing",
            Self::Newer => "newer",
            Self::Unknown => "unknown",
            Self::StartError => "start-error",
            Self::HarnessError => "harness-error",
        }
    }

    /// Whether it counts as passed.
    pub fn passed(self) -> bool {
        matches!(self, Self::Pass | Self::Warn)
    }

    /// Whether it counts as skipped.
    pub fn skipped(self) -> bool {
        matches!(self, Self::NotClaimed | Self::Unobservable | Self::KnownFailing | Self::Newer | Self::Unknown)
    }

    /// Whether it counts as failed.
    pub fn failed(self) -> bool {
        !self.passed() && !self.skipped()
    }

    /// Whether it says that the implementation is at fault.
    pub fn accuses(self) -> bool {
        matches!(self, Self::Warn | Self::Fail | Self::Crash | Self::Timeout | Self::AdapterError)
    }
}

/// A check and what came of it.
#[derive(Debug, Clone)]
pub struct Judged {
    /// Its permanent name.
    pub check: String,
    /// The area it belongs to.
    pub area: String,
    /// What it shows, in a sentence; for a vector, what is asked.
    pub title: String,
    /// The level at which it ran, or would have.
    pub level: u8,
    /// The rules it is there to show.
    pub rules: Vec<String>,
    /// What came of it.
    pub verdict: Verdict,
    /// The rule at which it ended, or the first it covers.
    pub rule: String,
    /// The rules it showed.
    pub shown: Vec<String>,
    /// Where it ended: file and line.
    pub place: String,
    /// Why.
    pub why: String,
    /// How long it took, by the machine's clock.
    pub took: Duration,
    /// What a person needs to see why; none where it passed or was not run.
    pub failure: Option<Failure>,
}

impl Judged {
    /// A check that passed and showed nothing.
    pub(crate) fn new(check: String, area: &str, place: &str) -> Self {
        Self {
            check,
            area: area.to_owned(),
            title: String::new(),
            level: 0,
            rules: Vec::new(),
            verdict: Verdict::Pass,
            rule: String::new(),
            shown: Vec::new(),
            place: place.to_owned(),
            why: String::new(),
            took: Duration::ZERO,
            failure: None,
        }
    }

    /// Nothing but a name and a verdict.
    #[cfg(test)]
    pub(crate) fn failing(check: &str, verdict: Verdict) -> Self {
        let area = check.split('/').next().unwrap_or_default();
        Self { level: 3, verdict, ..Self::new(check.to_owned(), area, "") }
    }
}

/// How a check failed.
#[derive(Debug, Clone, Default)]
pub struct Failure {
    /// The line of the step at which it ended, and the step as it is written.
    pub step: Option<(usize, String)>,
    /// What was expected, in diagnostic notation where it is a value; empty where nothing is to be compared.
    pub expected: String,
    /// What came instead.
    pub found: String,
    /// The first place at which the two differ, where they are values.
    pub difference: Option<Difference>,
    /// What happened before.
    pub trace: Vec<Event>,
}

impl Failure {
    /// How it failed: at this step, for this trouble.
    pub fn of(step: Option<(usize, String)>, trouble: &Trouble, trace: Vec<Event>) -> Self {
        let failure = Self { step, trace, ..Self::default() };
        match trouble {
            Trouble::Fault { expected, got, difference, .. } => {
                Self { expected: expected.clone(), found: got.clone(), difference: difference.as_deref().cloned(), ..failure }
            }
            _ => failure,
        }
    }
}
