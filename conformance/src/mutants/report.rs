//! What came of the variants, and how it is told.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::judge::Judged;
use crate::mutants::{Mirror, Mutant};

const SHOWN_MAX: usize = 12;
const LINE_CHARS_MAX: usize = 400;

/// A failing assertion that names a rule which the mutant breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    /// The rule that the assertion names.
    pub rule: String,
    /// The check that it stands in.
    pub check: String,
    /// File and line.
    pub place: String,
}

/// What came of a mutant.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// The mutant.
    pub mutant: &'a Mutant,
    /// What caught it: one for each rule that it breaks, where all is well.
    pub kills: Vec<Kill>,
    /// What ran without catching it, and how it ended.
    pub missed: Vec<String>,
}

impl Outcome<'_> {
    /// The rules it breaks that no assertion caught.
    pub fn alive(&self) -> Vec<&str> {
        self.mutant.breaks.iter().map(String::as_str).filter(|rule| !self.kills.iter().any(|kill| kill.rule == *rule)).collect()
    }

    fn killed(&self) -> bool {
        self.alive().is_empty()
    }
}

/// What came of a mirror.
#[derive(Debug)]
pub struct Mirrored<'a> {
    /// The mirror.
    pub mirror: &'a Mirror,
    /// How many checks passed.
    pub passed: usize,
    /// What did not pass, and why.
    pub failed: Vec<Judged>,
}

impl Mirrored<'_> {
    fn passes(&self) -> bool {
        self.failed.is_empty() && self.passed > 0
    }
}

/// What came of all.
#[derive(Debug, Default)]
pub struct Report<'a> {
    /// Of the mutants, by name.
    pub mutants: Vec<Outcome<'a>>,
    /// Of the mirrors, by name.
    pub mirrors: Vec<Mirrored<'a>>,
}

impl Report<'_> {
    /// The last line.
    pub fn last_line(&self) -> String {
        let killed = self.mutants.iter().filter(|outcome| outcome.killed()).count();
        let passing = self.mirrors.iter().filter(|mirror| mirror.passes()).count();
        format!("mutants: {killed} of {} killed, {passing} of {} mirrors pass", self.mutants.len(), self.mirrors.len())
    }

    /// Whether every mutant is killed and every mirror passes.
    pub fn holds(&self) -> bool {
        self.mutants.iter().all(Outcome::killed) && self.mirrors.iter().all(Mirrored::passes)
    }

    /// The survivors, and the mirrors that do not pass, for a terminal.
    pub fn terminal(&self) -> String {
        let mut out = String::new();
        for outcome in self.mutants.iter().filter(|outcome| !outcome.killed()) {
            let _ = writeln!(out, "SURVIVED {}: {}", outcome.mutant.name, outcome.mutant.does);
            let _ = writeln!(out, "  no assertion of these caught it: {}", outcome.alive().join(" "));
            list(&mut out, &outcome.missed);
        }
        for mirrored in self.mirrors.iter().filter(|mirrored| !mirrored.passes()) {
            let _ = writeln!(out, "NOT LET PASS {}: {} ({} checks passed)", mirrored.mirror.name, mirrored.mirror.does, mirrored.passed);
            let failed: Vec<_> =
                mirrored.failed.iter().map(|j| format!("{} {} {}: {}", j.verdict.name(), j.rule, j.place, j.why)).collect();
            list(&mut out, &failed);
        }
        out
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let kill = |kill: &Kill| json!({"rule": kill.rule, "check": kill.check, "place": kill.place});
        let mutant = |outcome: &Outcome| {
            let kills: Vec<Value> = outcome.kills.iter().map(kill).collect();
            json!({"name": outcome.mutant.name, "does": outcome.mutant.does, "kills": kills, "alive": outcome.alive(), "missed": outcome.missed})
        };
        let mirror = |mirrored: &Mirrored| {
            let failed: Vec<&str> = mirrored.failed.iter().map(|judged| judged.check.as_str()).collect();
            json!({"name": mirrored.mirror.name, "does": mirrored.mirror.does, "passed": mirrored.passed, "failed": failed})
        };
        let mutants: Vec<Value> = self.mutants.iter().map(mutant).collect();
        let mirrors: Vec<Value> = self.mirrors.iter().map(mirror).collect();
        json!({"schema": 1, "mutants": mutants, "mirrors": mirrors})
    }
}

fn list(out: &mut String, lines: &[String]) {
    for line in lines.iter().take(SHOWN_MAX) {
        let _ = writeln!(out, "    {}", line.chars().take(LINE_CHARS_MAX).collect::<String>().replace('\n', "\n      "));
    }
    if lines.len() > SHOWN_MAX {
        let _ = writeln!(out, "    … and {} more", lines.len() - SHOWN_MAX);
    }
}
