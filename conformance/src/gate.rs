//! The coverage of the spec: what names each rule, what was shown of it, and which mutants an assertion of it caught.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;

use crate::judge::{Judged, Suite};
use crate::mutants::{List, Mutant};
use crate::spec::{self, Rule};

const FILE: &str = "conformance/unobservable.toml";
const NAMED_MAX: usize = 3;

/// The rules that no variant of the reference can break so that an assertion sees it, each with the reason.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unobservable {
    #[serde(default)]
    rule: Vec<Excuse>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Excuse {
    id: String,
    why: String,
}

impl Unobservable {
    /// Reads the list.
    ///
    /// # Errors
    /// A file that cannot be read or makes no sense, a rule that is not in the spec or stands twice, a reason that is missing.
    pub fn load(suite: &Suite) -> Result<Self, String> {
        let list: Self = toml::from_str(&suite.corpus.read(FILE)?).map_err(|error| format!("{FILE}: {error}"))?;
        let mut seen = BTreeSet::new();
        for Excuse { id, why } in &list.rule {
            if suite.rule(id).is_none() || !seen.insert(id) || why.trim().is_empty() {
                return Err(format!("{FILE}: {id} is no rule of the spec, stands twice or has no reason"));
            }
        }
        Ok(list)
    }

    fn why(&self, rule: &str) -> Option<&str> {
        self.rule.iter().find(|excuse| excuse.id == rule).map(|excuse| excuse.why.as_str())
    }
}

/// The mutants that assertions of each rule caught, as the results of a run say it.
pub fn kills(results: &Value) -> BTreeMap<String, Vec<String>> {
    let mut kills: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for mutant in results["mutants"].as_array().into_iter().flatten() {
        let name = mutant["name"].as_str().unwrap_or_default();
        for rule in mutant["kills"].as_array().into_iter().flatten().filter_map(|kill| kill["rule"].as_str()) {
            kills.entry(rule.to_owned()).or_default().push(name.to_owned());
        }
    }
    kills
}

/// What is known of one rule.
pub struct Row<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// The scenarios and vectors that name it.
    pub checks: Vec<String>,
    /// How many tests of the reference name it.
    pub tests: usize,
    /// The mutants that break it.
    pub mutants: Vec<&'a Mutant>,
    /// Why no assertion of the suite can see it broken, where none can.
    pub why_not: Option<&'a str>,
}

impl Row<'_> {
    /// The chapter it stands in, by its file's name.
    pub fn chapter(&self) -> String {
        self.rule.file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// The coverage of every rule.
pub struct Coverage<'a> {
    /// The rules, in the order of the spec.
    pub rows: Vec<Row<'a>>,
    dangling: Vec<String>,
}

impl<'a> Coverage<'a> {
    /// From what the suite, the tests and the list of mutants name.
    pub fn of(suite: &'a Suite, list: &'a List, unobservable: &'a Unobservable) -> Self {
        let references = suite.corpus.root().map(spec::references).unwrap_or_default();
        let known: BTreeSet<&str> = suite.rules.iter().map(|rule| rule.id.as_str()).collect();
        let dangling = references.iter().filter(|(_, _, id)| !known.contains(id.as_str()));
        let dangling = dangling.map(|(file, line, id)| format!("{}:{line}: {id} is no rule of the spec", file.display())).collect();
        let tests = references.iter().filter(|(file, ..)| file.components().any(|part| part.as_os_str() == "tests"));
        let tests: Vec<&str> = tests.map(|(_, _, id)| id.as_str()).collect();
        let row = |rule: &'a Rule| Row {
            rule,
            checks: crate::report::naming(suite, &rule.id),
            tests: tests.iter().filter(|id| **id == rule.id).count(),
            mutants: list.mutants.iter().filter(|mutant| mutant.breaks.contains(&rule.id)).collect(),
            why_not: unobservable.why(&rule.id),
        };
        Self { rows: suite.rules.iter().map(row).collect(), dangling }
    }

    /// What is missing, after a run of the suite against the reference and one of the mutants; each in a sentence.
    pub fn faults(&self, suite: &Suite, judged: &[Judged], kills: &BTreeMap<String, Vec<String>>) -> Vec<String> {
        let asserted = asserted(suite, judged);
        let mut faults = self.dangling.clone();
        for Row { rule, why_not, .. } in &self.rows {
            let (shown, caught) = (asserted.contains(rule.id.as_str()), kills.contains_key(&rule.id));
            match why_not {
                Some(_) if caught => {
                    faults.push(format!("{} is listed as not observable, and an assertion of it caught a mutant", rule.id))
                }
                None if rule.keyword.starts_with("MUST") && !shown => {
                    faults.push(format!("{}: no assertion that names it was executed", rule.id))
                }
                None if rule.keyword.starts_with("MUST") && !caught => {
                    faults.push(format!("{}: no assertion that names it caught a mutant", rule.id));
                }
                _ => {}
            }
        }
        faults
    }

    /// Every rule, by chapter, for a terminal.
    pub fn page(&self) -> String {
        let mut out = String::new();
        let mut chapter = None;
        for row in &self.rows {
            let Row { rule, checks, tests, .. } = row;
            if chapter.replace(row.chapter()) != Some(row.chapter()) {
                let _ = writeln!(out, "\n{}", row.chapter());
            }
            let place = format!("{} {}", rule.keyword, rule.profile);
            let _ = writeln!(out, "  {:<11} L{} {place:<22} {:>3} checks {tests:>3} tests", rule.id, rule.level, checks.len());
            if let Some(why) = row.why_not {
                let _ = writeln!(out, "      not observable: {why}");
            }
            let mutants: Vec<&str> = row.mutants.iter().map(|mutant| mutant.name.as_str()).collect();
            for (what, names, at_most) in
                [("mutants", mutants, usize::MAX), ("checks", checks.iter().map(String::as_str).collect(), NAMED_MAX)]
            {
                let more = names.len().saturating_sub(at_most);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                if !names.is_empty() {
                    let _ = writeln!(out, "      {what:<8} {}{more}", names[..names.len().min(at_most)].join(" · "));
                }
            }
        }
        let _ = writeln!(out, "\n{}", self.summary());
        out
    }

    /// How many rules there are, and how many are shown by what.
    pub fn summary(&self) -> String {
        let count = |keep: &dyn Fn(&Row) -> bool| self.rows.iter().filter(|row| keep(row)).count();
        let must = |row: &Row| row.rule.keyword.starts_with("MUST");
        format!(
            "{} rules, {} of them MUST: {} with mutants, {} not observable; {} that no check names",
            self.rows.len(),
            count(&must),
            count(&|row| must(row) && !row.mutants.is_empty()),
            count(&|row| must(row) && row.why_not.is_some()),
            count(&|row| row.checks.is_empty()),
        )
    }
}

/// The rules that an executed assertion of a check that passed names.
fn asserted<'a>(suite: &'a Suite, judged: &[Judged]) -> BTreeSet<&'a str> {
    let passed: BTreeSet<&str> = judged.iter().filter(|judged| judged.verdict.passed()).map(|judged| judged.check.as_str()).collect();
    let ran = |id: &str| (0..=3).any(|level| passed.contains(format!("{id}@L{level}").as_str()));
    let steps = suite.scenarios.iter().filter(|scenario| ran(&scenario.id)).flat_map(|scenario| &scenario.steps);
    let vectors = suite.vectors.iter().filter(|vector| passed.contains(format!("vectors/{}", vector.name).as_str()));
    steps.map(|step| step.rule.as_str()).chain(vectors.map(|vector| vector.rule.as_str())).collect()
}
