//! What several renderings of a report show alike.

use std::collections::BTreeMap;

use super::Counts;
use super::model::{Check, Outcome, Report};
use crate::judge::Verdict;

/// Area to how its checks came out.
pub fn areas(report: &Report) -> BTreeMap<&str, Counts> {
    let mut areas: BTreeMap<&str, Counts> = BTreeMap::new();
    report.checks.iter().for_each(|check| areas.entry(&check.area).or_default().add(check.verdict));
    areas
}

/// Why checks were skipped, and how many for each reason.
pub fn skips(report: &Report) -> BTreeMap<&'static str, usize> {
    let mut skips = BTreeMap::new();
    let skipped = report.checks.iter().filter(|check| check.verdict.skipped());
    skipped.for_each(|check| *skips.entry(check.verdict.name()).or_default() += 1);
    skips
}

/// How a rule came out over all checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// A check ended at it, or at another rule while it was there to show this one.
    Failed,
    /// A check of a SHOULD ended at it.
    Warned,
    /// Shown, and nothing against it.
    Passed,
    /// What would show it was skipped.
    Skipped,
    /// No check that was selected names it.
    Unseen,
}

impl Standing {
    /// Each, the gravest first.
    pub const ALL: [Self; 5] = [Self::Failed, Self::Warned, Self::Passed, Self::Skipped, Self::Unseen];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Warned => "warned",
            Self::Passed => "passed",
            Self::Skipped => "skipped",
            Self::Unseen => "unseen",
        }
    }
}

/// How each rule came out, and the checks that name it.
pub fn standings(report: &Report) -> BTreeMap<&str, (Standing, Vec<&Check>)> {
    let mut found: BTreeMap<&str, (Standing, Vec<&Check>)> = BTreeMap::new();
    for check in &report.checks {
        let blamed = check.failure.as_ref().map(|failure| &failure.rule);
        let mut named: Vec<&String> = check.rules.iter().chain(&check.shown).chain(blamed).collect();
        named.sort();
        named.dedup();
        for rule in named {
            let (standing, checks) = found.entry(rule).or_insert((Standing::Unseen, Vec::new()));
            *standing = (*standing).min(of(check, rule, blamed));
            checks.push(check);
        }
    }
    found
}

/// What one check says of a rule that it names.
fn of(check: &Check, rule: &String, blamed: Option<&String>) -> Standing {
    match check.verdict {
        Verdict::Warn if blamed == Some(rule) => Standing::Warned,
        verdict if verdict.skipped() => Standing::Skipped,
        verdict if verdict.failed() && (blamed.is_none() || blamed == Some(rule)) => Standing::Failed,
        _ if check.shown.contains(rule) => Standing::Passed,
        _ => Standing::Skipped,
    }
}

/// What a report says as a whole, in words.
pub fn headline(report: &Report) -> String {
    let summary = &report.summary;
    let whole = if report.filter.is_empty() { String::new() } else { format!(" (only checks with `{}` in their names)", report.filter) };
    let known = report.checks.iter().filter(|check| check.verdict == Verdict::KnownFailing).count();
    match report.outcome() {
        Outcome::Conformant => format!("conformant at {}", report.level),
        Outcome::NotConformant => format!("not conformant at {}{whole}", report.level),
        Outcome::Incomplete if known > 0 => format!("not conformant at {}: {known} known to fail{whole}", report.level),
        Outcome::Incomplete if summary.passed == 0 => format!("nothing was shown at {}{whole}", report.level),
        Outcome::Incomplete => format!("incomplete at {}{whole}", report.level),
    }
}

/// The name and version of who was judged.
pub fn who(report: &Report) -> String {
    [report.implementation.name.as_str(), &report.implementation.version].join(" ").trim().to_owned()
}

/// The sentence of a rule in pieces: prose, and at every second place code. Links are their texts.
pub fn prose(sentence: &str) -> Vec<String> {
    let mut out = String::new();
    let mut rest = sentence;
    while let Some((before, link)) = rest.split_once('[') {
        out.push_str(before);
        match link.split_once("](").and_then(|(text, after)| Some((text, after.split_once(')')?.1))) {
            Some((text, after)) if !text.contains('[') => {
                out.push_str(text);
                rest = after;
            }
            _ => {
                out.push('[');
                rest = link;
            }
        }
    }
    out.push_str(rest);
    out.split('`').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(verdict: Verdict, shown: &[&str]) -> Check {
        let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Check {
            id: "a/b".to_owned(),
            area: "a".to_owned(),
            level: 3,
            title: String::new(),
            verdict,
            rules: all(&["MERGE-1", "MERGE-2"]),
            shown: all(shown),
            why: String::new(),
            duration_ms: 0,
            failure: None,
        }
    }

    #[test]
    fn a_rule_that_a_failed_check_did_not_reach_is_not_shown() {
        let failed = check(Verdict::Fail, &["MERGE-1"]);
        let blamed = Some("MERGE-2".to_owned());
        assert_eq!(of(&failed, &"MERGE-1".to_owned(), blamed.as_ref()), Standing::Passed);
        assert_eq!(of(&failed, &"MERGE-2".to_owned(), blamed.as_ref()), Standing::Failed);
        assert_eq!(of(&check(Verdict::Fail, &[]), &"MERGE-1".to_owned(), blamed.as_ref()), Standing::Skipped);
        assert_eq!(of(&check(Verdict::Unobservable, &[]), &"MERGE-1".to_owned(), None), Standing::Skipped);
        assert_eq!(of(&check(Verdict::Pass, &["MERGE-1", "MERGE-2"]), &"MERGE-1".to_owned(), None), Standing::Passed);
    }

    #[test]
    fn a_sentence_shows_code_and_the_texts_of_links() {
        let sentence = "A `push [1]` as in [section 3](03-encoding.md#one) MUST be [so].";
        assert_eq!(prose(sentence), ["A ", "push [1]", " as in section 3 MUST be [so]."]);
    }
}
