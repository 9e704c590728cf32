//! The rules of the written spec, read from its chapters.
//!
//! A rule is one paragraph that begins with `**AREA-n** [profile Ln]` and holds exactly one BCP 14 keyword. No other paragraph holds one, but
//! the introduction's boilerplate.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::corpus::Corpus;

const CHAPTERS: &str = "spec/src";

/// The areas that rule ids begin with.
pub const AREAS: &[&str] = &[
    "MODEL", "CODEC", "FRAME", "CLOCK", "MERGE", "RULES", "IDENT", "SESS", "SYNC", "LIMIT", "ERROR", "BIND", "SEC", "PROFILE", "COND",
    "ACCESS", "SUB", "PRES", "SIGNAL", "FLOW", "PEER", "HORIZON", "REPAIR", "COMPACT", "PACK",
];

const KEYWORDS: &[&str] = &["MUST", "SHALL", "SHOULD", "REQUIRED", "RECOMMENDED", "MAY", "OPTIONAL"];
const REFERRING: &[&str] = &["rs", "scn", "vec", "md", "toml", "ts"];
const NOT_OURS: &[&str] = &["target", "node_modules", "report", "dist"];

/// One numbered sentence of the spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Such as `MERGE-7`; permanent.
    pub id: String,
    /// The profile whose claimants it binds.
    pub profile: String,
    /// The lowest level of attachment at which it can be observed, 0 to 3.
    pub level: u8,
    /// The one BCP 14 keyword, such as `MUST NOT`.
    pub keyword: String,
    /// The paragraph after the brackets, on one line.
    pub sentence: String,
    /// The chapter it stands in.
    pub file: PathBuf,
    /// The line it begins on, from 1.
    pub line: usize,
}

/// What is wrong with the spec's text, and where.
#[derive(Debug)]
pub struct SpecError {
    /// The chapter at fault.
    pub file: PathBuf,
    /// The line at fault, from 1; 0 where nothing was found.
    pub line: usize,
    /// What is wrong.
    pub fault: String,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.fault)
    }
}

impl std::error::Error for SpecError {}

/// Every rule of the spec's chapters, in the order they are printed.
///
/// # Errors
/// No chapters, an id used twice or in an unknown area, a rule without exactly one keyword, or a keyword without an id.
pub fn rules(corpus: &Corpus) -> Result<Vec<Rule>, SpecError> {
    let mut rules = Vec::new();
    let mut seen = BTreeSet::new();
    for (file, text) in corpus.files(CHAPTERS, "md") {
        for rule in rules_of(&file, &text)? {
            if !seen.insert(rule.id.clone()) {
                return Err(SpecError { fault: format!("{} is used twice", rule.id), file, line: rule.line });
            }
            rules.push(rule);
        }
    }
    if rules.is_empty() {
        return Err(SpecError { file: CHAPTERS.into(), line: 0, fault: "no rule stands there".to_owned() });
    }
    Ok(rules)
}

/// The rules of one chapter's text.
///
/// # Errors
/// As [`rules`].
pub fn rules_of(file: &Path, text: &str) -> Result<Vec<Rule>, SpecError> {
    let exempt = file.file_name().is_some_and(|name| name == "00-introduction.md");
    let mut rules = Vec::new();
    for (line, paragraph) in paragraphs(text) {
        let fail = |fault: String| SpecError { file: file.to_owned(), line, fault };
        let found = keywords(&paragraph);
        if let Some(rule) = parse_rule(file, line, &paragraph).map_err(fail)? {
            rules.push(rule);
        } else if let (Some(keyword), false) = (found.first(), exempt && paragraph.contains("BCP 14")) {
            return Err(fail(format!("{keyword} stands in a paragraph without a rule id")));
        }
    }
    Ok(rules)
}

fn parse_rule(file: &Path, line: usize, paragraph: &str) -> Result<Option<Rule>, String> {
    let Some((id, rest)) = paragraph.strip_prefix("**").and_then(|p| p.split_once("**")) else { return Ok(None) };
    let Some((area, number)) = id.split_once('-') else { return Ok(None) };
    if !number.bytes().all(|b| b.is_ascii_digit()) || area.bytes().any(|b| !b.is_ascii_uppercase()) {
        return Ok(None);
    }
    if !AREAS.contains(&area) {
        return Err(format!("{id} is in no known area"));
    }
    let place = rest.strip_prefix(" [").and_then(|r| r.split_once("] ")).ok_or(format!("{id} lacks [profile Ln]"))?;
    let (profile, level) = place.0.split_once(" L").ok_or(format!("{id} lacks a level"))?;
    let level = level.parse().ok().filter(|level| *level <= 3).ok_or(format!("{id} has no level from L0 to L3"))?;
    let found = keywords(place.1);
    let [keyword] = found.as_slice() else { return Err(format!("{id} has {} keywords, not one", found.len())) };
    Ok(Some(Rule {
        id: id.to_owned(),
        profile: profile.to_owned(),
        level,
        keyword: keyword.clone(),
        sentence: place.1.to_owned(),
        file: file.to_owned(),
        line,
    }))
}

/// Paragraphs outside fenced blocks, each on one line, with the line it begins on. A rule always begins a new one.
fn paragraphs(text: &str) -> Vec<(usize, String)> {
    let mut all: Vec<(usize, String)> = Vec::new();
    let (mut fenced, mut open) = (false, false);
    for (index, line) in text.lines().enumerate() {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        if fence || fenced || line.trim().is_empty() {
            open = false;
        } else if open && !line.starts_with("**") {
            let (_, paragraph) = all.last_mut().expect("one is open");
            paragraph.push(' ');
            paragraph.push_str(line.trim());
        } else {
            all.push((index + 1, line.trim().to_owned()));
            open = true;
        }
    }
    all
}

/// The BCP 14 keywords of a paragraph, code in backticks left out.
fn keywords(paragraph: &str) -> Vec<String> {
    let prose: Vec<&str> = paragraph.split('`').step_by(2).collect();
    let prose = prose.join(" code ");
    let words: Vec<&str> = prose.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let mut found = Vec::new();
    for (index, word) in words.iter().enumerate() {
        if !KEYWORDS.contains(word) {
            continue;
        }
        let negated = words.get(index + 1) == Some(&"NOT");
        found.push(if negated { format!("{word} NOT") } else { (*word).to_owned() });
    }
    found
}

/// Each place in the tree under `root` that names a rule id of a known area, as (file, line from 1, id).
pub fn references(root: &Path) -> Vec<(PathBuf, usize, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && !NOT_OURS.contains(&name.as_str()) {
                folders.push(path);
            } else if REFERRING.contains(&extension.as_str()) {
                let text = fs::read_to_string(&path).unwrap_or_default();
                found.extend(ids(&text).into_iter().map(|(line, id)| (path.clone(), line, id)));
            }
        }
    }
    found.sort();
    found
}

/// Rule ids in a text, with the line each stands on.
fn ids(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for word in line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')) {
            let Some((area, number)) = word.split_once('-') else { continue };
            let number: String = number.chars().take_while(char::is_ascii_digit).collect();
            if AREAS.contains(&area) && !number.is_empty() {
                found.push((index + 1, format!("{area}-{number}")));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&[&str], &str>) {
        let found = rules_of(Path::new("x.md"), text);
        let found = found.map(|rules| rules.into_iter().map(|rule| format!("{} {}", rule.id, rule.keyword)).collect::<Vec<_>>());
        match expected {
            Ok(ids) => assert_eq!(found.expect("a good text"), ids),
            Err(fault) => assert_eq!(found.expect_err("a bad text").fault, fault),
        }
    }

    #[test]
    fn a_rule_is_a_paragraph_with_an_id_and_one_keyword() {
        check("**MERGE-1** [core L0] A join\nMUST NOT lose.\n\nProse.", Ok(&["MERGE-1 MUST NOT"]));
    }

    #[test]
    fn two_rules_need_no_blank_line_between_them() {
        check("**MERGE-1** [core L0] It MUST.\n**MERGE-2** [core L0] It MAY.", Ok(&["MERGE-1 MUST", "MERGE-2 MAY"]));
    }

    #[test]
    fn a_rule_with_two_keywords_is_refused() {
        check("**MERGE-1** [core L0] It MUST and MAY.", Err("MERGE-1 has 2 keywords, not one"));
    }

    #[test]
    fn a_rule_without_a_keyword_is_refused() {
        check("**MERGE-1** [core L0] It must.", Err("MERGE-1 has 0 keywords, not one"));
    }

    #[test]
    fn a_keyword_without_an_id_is_refused() {
        check("It SHOULD.", Err("SHOULD stands in a paragraph without a rule id"));
    }

    #[test]
    fn quoted_code_is_not_prose() {
        check("`MUST` is a word.\n\n```text\nMUST\n```", Ok(&[]));
    }

    #[test]
    fn an_id_in_an_unknown_area_is_refused() {
        check("**TEST-1** [core L0] It MUST.", Err("TEST-1 is in no known area"));
    }

    #[test]
    fn ids_are_found_between_other_words() {
        assert_eq!(ids("(MERGE-1, SESS-2.)\nXMERGE-3 MERGE-x"), [(1, "MERGE-1".to_owned()), (1, "SESS-2".to_owned())]);
    }
}
