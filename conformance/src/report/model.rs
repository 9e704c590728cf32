//! What a report holds (schema/report.schema.json). Everything that is shown to people is rendered from this alone.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::judge::Verdict;

/// The version of the format that this program writes and reads.
pub const FORMAT: u64 = 1;

/// What came of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)] // they stand in the schema
pub struct Report {
    pub format: u64,
    pub suite: SuiteHeader,
    pub spec: SpecHeader,
    pub implementation: ImplementationHeader,
    pub level: String,
    pub profiles: Vec<String>,
    pub seed: u64,
    pub filter: String,
    pub started: String,
    pub duration_ms: u64,
    pub command: String,
    pub summary: Summary,
    pub chapters: Vec<Chapter>,
    pub checks: Vec<Check>,
}

/// Who judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct SuiteHeader {
    pub version: String,
    pub digest: String,
    pub scenario_format: u64,
    pub adapter_protocol: u64,
}

/// By what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct SpecHeader {
    pub version: u64,
    pub revision: String,
}

/// Who was judged.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ImplementationHeader {
    pub name: String,
    pub version: String,
    pub issues: String,
}

/// How it came out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Summary {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
    pub exit: u8,
}

/// A chapter of the spec and the rules in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Chapter {
    pub title: String,
    pub rules: Vec<Rule>,
}

/// A rule of the spec.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Rule {
    pub id: String,
    pub profile: String,
    pub level: u8,
    pub keyword: String,
    pub sentence: String,
}

/// A check and what came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Check {
    pub id: String,
    pub area: String,
    pub level: u8,
    pub title: String,
    pub verdict: Verdict,
    pub rules: Vec<String>,
    pub shown: Vec<String>,
    pub why: String,
    pub duration_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// How a check failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Failure {
    pub rule: String,
    pub place: String,
    pub step: Option<Step>,
    pub expected: String,
    pub found: String,
    pub difference: Option<Difference>,
    pub command: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likely: Option<String>,
    pub trace: Vec<Event>,
}

/// A step of a scenario.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Step {
    pub line: usize,
    pub text: String,
}

/// The first place at which what came differs from what was expected.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Difference {
    pub path: String,
    pub expected: String,
    pub found: String,
}

/// One thing that happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Event {
    pub at_ms: u64,
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum What {
    Step(Step),
    Frame(Frame),
    Told { who: String, text: String },
}

/// A frame that was sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Frame {
    pub connection: String,
    pub from: String,
    pub to: String,
    pub sent_by: Side,
    pub messages: Vec<String>,
    pub bytes: usize,
    pub hex: String,
    pub edn: Option<String>,
}

/// Who sent a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Side {
    Implementation,
    Harness,
}

/// What a report says as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Each check of the whole suite that could be made passed.
    Conformant,
    /// At least one failed.
    NotConformant,
    /// Too little was executed to say, or something is known to fail.
    Incomplete,
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// It is not JSON, of another format, or lacks something.
    pub fn read(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
        Self::of(value)
    }

    /// Takes a report, with all texts in it made harmless (`harmless`).
    ///
    /// # Errors
    /// It is of another format, or lacks something.
    pub fn of(mut value: Value) -> Result<Self, String> {
        match value.get("format").and_then(Value::as_u64) {
            Some(FORMAT) => {}
            Some(other) => return Err(format!("its format is {other}; this program reads format {FORMAT}")),
            None => return Err("it has no `format`: it is no report".to_owned()),
        }
        clean(&mut value);
        serde_json::from_value(value).map_err(|error| format!("it is no report: {error}"))
    }

    /// What it says as a whole.
    pub fn outcome(&self) -> Outcome {
        let known = self.checks.iter().any(|check| check.verdict == Verdict::KnownFailing);
        match self.summary.exit {
            0 if self.filter.is_empty() && !known && self.summary.passed > 0 => Outcome::Conformant,
            0 | 3 => Outcome::Incomplete,
            _ => Outcome::NotConformant,
        }
    }

    /// The rule of this id, where the spec that judged has it.
    pub fn rule(&self, id: &str) -> Option<&Rule> {
        self.chapters.iter().flat_map(|chapter| &chapter.rules).find(|rule| rule.id == id)
    }

    /// The checks that failed, with how.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.verdict.failed())
    }
}

/// Makes every text of a value harmless.
fn clean(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(cleaned) = harmless(text) {
                *text = cleaned;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::Object(fields) => fields.values_mut().for_each(clean),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A text with what terminals obey, XML forbids and readers are misled by written as escapes; none where nothing is.
fn harmless(text: &str) -> Option<String> {
    let harms = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{ffff}')
    };
    if !text.contains(harms) {
        return None;
    }
    let mut out = String::new();
    for c in text.chars() {
        if harms(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_terminals_obey_is_written_as_an_escape() {
        assert_eq!(harmless("a\u{1b}[2Jb\nc").as_deref(), Some("a\\u001b[2Jb\nc"));
        assert_eq!(harmless("\u{202e}abc").as_deref(), Some("\\u202eabc"));
        assert_eq!(harmless("Grüße, 世界 👋"), None);
    }

    #[test]
    fn another_format_is_refused_by_its_number() {
        let refused = |text: &str| Report::read(text).err().unwrap_or_default();
        assert_eq!(refused(r#"{"format": 2}"#), "its format is 2; this program reads format 1");
        assert_eq!(refused("{}"), "it has no `format`: it is no report");
        assert!(refused(r#"{"format": 1}"#).starts_with("it is no report: missing field"), "{}", refused(r#"{"format": 1}"#));
        assert!(refused("[").starts_with("it is not JSON"));
    }
}
