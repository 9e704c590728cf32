//! Makes the report of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::Counts;
use super::model::{
    Chapter, Check, Difference, Event, FORMAT, Failure, Frame, ImplementationHeader, Report, Rule, Side, SpecHeader, Step, SuiteHeader,
    Summary, What,
};
use crate::cbor::decode_sequence;
use crate::checks::code_of;
use crate::config::{Config, rfc3339};
use crate::corpus::Corpus;
use crate::judge::{self, Judged, Selection, Suite};
use crate::packed::readable;
use crate::revision;
use crate::scenario;
use crate::trace;

/// Of a trace so many events are kept: the last.
const EVENTS_MAX: usize = 100;
/// What `cargo conform mutants --json` wrote; may be missing.
const KILLS: &str = "conformance/mutants/kills.json";
/// A longer text is cut.
const TEXT_CHARS_MAX: usize = 8000;

/// What is known of a run besides its checks.
pub struct Run<'a> {
    /// Who was judged, and how it was reached.
    pub config: &'a Config,
    /// What was selected.
    pub selection: &'a Selection<'a>,
    /// The command that repeats it, without a filter.
    pub command: &'a str,
    /// When it began, Unix milliseconds.
    pub started: u64,
    /// How long it took.
    pub took: Duration,
    /// The exit code.
    pub exit: u8,
}

/// The report of a run.
///
/// # Errors
/// The suite's own files make no sense.
pub fn make(suite: &Suite, run: &Run, judged: &[Judged]) -> Result<Value, String> {
    let known = Known { names: message_names(&suite.corpus)?, kills: kills(&suite.corpus)? };
    let counts = Counts::of(judged);
    let implementation = &run.config.implementation;
    let report = Report {
        format: FORMAT,
        suite: SuiteHeader {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            digest: suite.corpus.digest(),
            scenario_format: scenario::FORMAT,
            adapter_protocol: crate::adapter::PROTOCOL,
        },
        spec: SpecHeader { version: revision::SPEC_VERSION, revision: run.config.revision.clone() },
        implementation: ImplementationHeader {
            name: implementation.name.clone(),
            version: implementation.version.clone(),
            issues: implementation.issues.clone(),
        },
        level: format!("L{}", run.selection.level),
        profiles: run.config.profiles.clone(),
        seed: run.selection.seed,
        filter: run.selection.filter.to_owned(),
        started: rfc3339(run.started),
        duration_ms: millis(run.took),
        command: run.command.to_owned(),
        summary: Summary { passed: counts.passed, failed: counts.failed, skipped: counts.skipped, exit: run.exit },
        chapters: chapters(suite),
        checks: judged.iter().map(|judged| check(judged, run.command, &known)).collect(),
    };
    serde_json::to_value(report).map_err(|error| error.to_string())
}

/// The rules, by chapter, in the order in which they are printed.
fn chapters(suite: &Suite) -> Vec<Chapter> {
    let mut chapters: Vec<Chapter> = Vec::new();
    let mut last = None;
    for rule in &suite.rules {
        if last != Some(&rule.file) {
            let text = suite.corpus.read(&rule.file.to_string_lossy()).unwrap_or_default();
            let title = text.lines().next().unwrap_or_default().trim_start_matches('#').trim().to_owned();
            chapters.push(Chapter { title, rules: Vec::new() });
            last = Some(&rule.file);
        }
        let (id, profile, level) = (rule.id.clone(), rule.profile.clone(), rule.level);
        let rule = Rule { id, profile, level, keyword: rule.keyword.clone(), sentence: rule.sentence.clone() };
        chapters.last_mut().expect("one was pushed at the first rule").rules.push(rule);
    }
    chapters
}

fn check(judged: &Judged, command: &str, known: &Known) -> Check {
    Check {
        id: judged.check.clone(),
        area: judged.area.clone(),
        level: judged.level,
        title: clip(&judged.title),
        verdict: judged.verdict,
        rules: judged.rules.clone(),
        shown: judged.shown.clone(),
        why: clip(&judged.why),
        duration_ms: millis(judged.took),
        failure: judged.failure.as_ref().map(|failure| self::failure(judged, failure, command, known)),
    }
}

fn failure(judged: &Judged, failure: &judge::Failure, command: &str, known: &Known) -> Failure {
    let begun = failure.trace.first().map_or(0, |event| event.at);
    let kept = &failure.trace[failure.trace.len().saturating_sub(EVENTS_MAX)..];
    Failure {
        rule: judged.rule.clone(),
        place: judged.place.clone(),
        step: failure.step.as_ref().map(|(line, text)| Step { line: *line, text: clip(text) }),
        expected: clip(&failure.expected),
        found: clip(&failure.found),
        difference: failure.difference.as_ref().map(|difference| Difference {
            path: clip(&difference.path),
            expected: clip(&difference.expected),
            found: clip(&difference.found),
        }),
        command: format!("{command} --filter {}", judged.check),
        likely: known.kills.get(&(judged.check.clone(), judged.rule.clone(), judged.place.clone())).cloned(),
        trace: kept.iter().map(|event| self::event(event, begun, &known.names)).collect(),
    }
}

fn event(event: &trace::Event, begun: u64, names: &Names) -> Event {
    let what = match &event.what {
        trace::What::Step { line, text } => What::Step(Step { line: *line, text: clip(text) }),
        trace::What::Told { who, text } => What::Told { who: who.clone(), text: clip(text) },
        trace::What::Frame(frame) => What::Frame(Frame {
            connection: frame.conn.clone(),
            from: frame.from.clone(),
            to: frame.to.clone(),
            sent_by: if frame.judged { Side::Implementation } else { Side::Harness },
            messages: messages(&frame.bytes, names),
            bytes: frame.bytes.len(),
            hex: frame.hex(),
            edn: frame.edn().map(|edn| clip(&edn)),
        }),
        // Told in words, each of these begins with whom it is about.
        _ => {
            let told = event.to_string();
            let (who, text) = told.split_once(' ').unwrap_or((&told, ""));
            What::Told { who: who.to_owned(), text: clip(text) }
        }
    };
    Event { at_ms: event.at.saturating_sub(begun), what }
}

/// The names of a frame's messages; none where it is not well-formed.
fn messages(bytes: &[u8], names: &Names) -> Vec<String> {
    let items = readable(decode_sequence(bytes).unwrap_or_default());
    let messages = items.iter().skip(1).take(8);
    messages.map(|message| code_of(message).and_then(|code| names.get(&code)).map_or("?".to_owned(), Clone::clone)).collect()
}

type Names = BTreeMap<u64, String>;

/// What is known beside the run.
struct Known {
    /// Code to the name of a message.
    names: Names,
    /// Check, rule and place of a failure to the faulty variant that fails so.
    kills: BTreeMap<(String, String, String), String>,
}

#[derive(Deserialize)]
struct KillFile {
    mutants: Vec<Mutant>,
}

#[derive(Deserialize)]
struct Mutant {
    name: String,
    does: String,
    kills: Vec<Kill>,
}

#[derive(Deserialize)]
struct Kill {
    rule: String,
    check: String,
    place: String,
}

/// How faulty variants fail, where `mutants --json` wrote it beside them; the first that fails in a way stands for all.
fn kills(corpus: &Corpus) -> Result<BTreeMap<(String, String, String), String>, String> {
    let mut kills = BTreeMap::new();
    let Ok(text) = corpus.read(KILLS) else { return Ok(kills) };
    let file: KillFile = serde_json::from_str(&text).map_err(|error| format!("{KILLS}: {error}"))?;
    for mutant in file.mutants {
        for Kill { rule, check, place } in mutant.kills {
            kills.entry((check, rule, place)).or_insert_with(|| format!("as the faulty variant {} does: {}", mutant.name, mutant.does));
        }
    }
    Ok(kills)
}

#[derive(Deserialize)]
struct MessageFile {
    message: Vec<MessageEntry>,
}

#[derive(Deserialize)]
struct MessageEntry {
    code: u64,
    name: String,
}

fn message_names(corpus: &Corpus) -> Result<Names, String> {
    let file: MessageFile =
        toml::from_str(&corpus.read("spec/registries/messages.toml")?).map_err(|error| format!("messages.toml: {error}"))?;
    Ok(file.message.into_iter().map(|entry| (entry.code, entry.name)).collect())
}

fn clip(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}
