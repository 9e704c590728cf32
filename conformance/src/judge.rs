//! Runs checks and gives verdicts.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::adapter::Adapter;
use crate::checks::Rulebook;
use crate::config::{Config, today};
use crate::corpus::Corpus;
use crate::play::{Attachment, play};
use crate::revision::{self, Revisions};
use crate::scenario::{Role, Scenario, ScenarioError};
use crate::spec::Rule;
use crate::trouble::Trouble;
use crate::vectors::{self, Vector};
use crate::world::START_MS;

pub use crate::verdict::{Failure, Judged, Verdict};

/// The suite: the spec's rules, the scenarios and the vectors.
pub struct Suite {
    /// Where it was read.
    pub corpus: Corpus,
    /// The spec's rules.
    pub rules: Vec<Rule>,
    /// The stories.
    pub scenarios: Vec<Scenario>,
    /// The cases.
    pub vectors: Vec<Vector>,
    /// The revisions that are frozen.
    pub revisions: Revisions,
    /// Files and lines at fault: ours.
    pub faults: Vec<ScenarioError>,
}

impl Suite {
    /// Reads the suite and the spec.
    ///
    /// # Errors
    /// A spec that cannot be read.
    pub fn load(corpus: Corpus) -> Result<Self, String> {
        let rules = crate::spec::rules(&corpus).map_err(|error| error.to_string())?;
        let (scenarios, mut faults) = crate::scenario::load(&corpus);
        let (vectors, more) = vectors::load(&corpus);
        faults.extend(more);
        let (revisions, more) = Revisions::load(&corpus);
        faults.extend(more);
        let known: BTreeSet<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
        for scenario in &scenarios {
            let marks = scenario.steps.iter().map(|step| (step.line, &step.rule));
            let named = scenario.covers.iter().map(|rule| (1, rule)).chain(marks);
            for (line, rule) in named.filter(|(_, rule)| !known.contains(rule.as_str())) {
                faults.push(ScenarioError { file: scenario.file.clone(), line, fault: format!("{rule} is no rule of the spec") });
            }
        }
        Ok(Self { corpus, rules, scenarios, vectors, revisions, faults })
    }

    /// A rule by its id.
    pub fn rule(&self, id: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == id)
    }
}

/// One thing to check.
pub(crate) enum Task<'a> {
    Scenario(&'a Scenario, u8, Option<Attachment>),
    Vectors(Vec<&'a Vector>),
}

impl Task<'_> {
    /// What tells it from others.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Scenario(scenario, level, _) => format!("{}@L{level}", scenario.id),
            Self::Vectors(vectors) => vectors.iter().map(|vector| vector.name.as_str()).collect::<Vec<_>>().join(" "),
        }
    }
}

/// What to run.
pub struct Selection<'a> {
    /// Only checks whose name holds this.
    pub filter: &'a str,
    /// The highest level to run at.
    pub level: u8,
    /// Where the peers' randomness begins.
    pub seed: u64,
    /// The folder that each check's trace is written into; none: no traces.
    pub traces: Option<&'a Path>,
}

/// Runs what is selected.
pub fn run(suite: &Suite, config: &Config, rulebook: &Rulebook, selection: &Selection) -> Vec<Judged> {
    let tasks = tasks(suite, config, selection);
    let (next, judged) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let workers = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = judge(suite, config, rulebook, selection, task);
                    judged.lock().expect("no worker panics with it held").extend(found);
                }
            });
        }
    });
    let mut judged = judged.into_inner().expect("no worker panics with it held");
    judged.sort_by(|a: &Judged, b| a.check.cmp(&b.check));
    let digests = revision::digests(&suite.scenarios, &suite.vectors);
    suite.revisions.apply(&config.revision, &digests, &mut judged);
    apply_known(config, &mut judged, selection.filter.is_empty());
    judged
}

pub(crate) fn tasks<'a>(suite: &'a Suite, config: &Config, selection: &Selection) -> Vec<Task<'a>> {
    let mut tasks = Vec::new();
    for scenario in &suite.scenarios {
        tasks.extend(scenario_tasks(scenario, config, selection.level).into_iter().filter(|task| task.name().contains(selection.filter)));
    }
    let selected: Vec<&Vector> =
        suite.vectors.iter().filter(|vector| format!("vectors/{}", vector.name).contains(selection.filter)).collect();
    if !selected.is_empty() {
        tasks.push(Task::Vectors(selected));
    }
    tasks
}

/// A scenario at each level at which it runs.
pub(crate) fn scenario_tasks<'a>(scenario: &'a Scenario, config: &Config, level: u8) -> Vec<Task<'a>> {
    let attachments = attachments(scenario, config, level).into_iter();
    attachments.map(|(level, attachment)| Task::Scenario(scenario, level, attachment)).collect()
}

/// At which levels a scenario runs, and over what; over nothing where it is not observable.
fn attachments(scenario: &Scenario, config: &Config, level: u8) -> Vec<(u8, Option<Attachment>)> {
    let mut all = Vec::new();
    if let (Some(adapter), 3, false) = (&config.adapter, level, scenario.sockets) {
        all.push((3, Some(Attachment::Adapter(adapter.cmd.clone()))));
    }
    if let (Some(server), Role::Server, true) = (&config.server, scenario.role, scenario.level <= 1.min(level)) {
        match &server.address {
            Some(address) if scenario.level == 0 => all.push((0, Some(Attachment::Address(address.clone())))),
            None if !server.cmd.is_empty() => all.push((scenario.level, Some(Attachment::Server(server.cmd.clone())))),
            _ => {}
        }
    }
    if all.is_empty() {
        all.push((scenario.level, None));
    }
    all
}

pub(crate) fn judge(suite: &Suite, config: &Config, rulebook: &Rulebook, selection: &Selection, task: &Task) -> Vec<Judged> {
    match task {
        Task::Scenario(scenario, level, attachment) => {
            vec![judge_scenario(suite, config, rulebook, selection, (scenario, *level, attachment.as_ref()))]
        }
        Task::Vectors(vectors) => judge_vectors(config, vectors),
    }
}

fn judge_scenario(
    suite: &Suite,
    config: &Config,
    rulebook: &Rulebook,
    selection: &Selection,
    task: (&Scenario, u8, Option<&Attachment>),
) -> Judged {
    let (scenario, level, attachment) = task;
    let mut judged = Judged {
        check: format!("{}@L{level}", scenario.id),
        area: scenario.id.split('/').next().unwrap_or("").to_owned(),
        verdict: Verdict::Pass,
        rule: scenario.covers[0].clone(),
        shown: Vec::new(),
        place: scenario.file.display().to_string(),
        title: scenario.title.clone(),
        level,
        rules: scenario.covers.clone(),
        why: String::new(),
        took: Duration::ZERO,
        failure: None,
    };
    let Some(attachment) = attachment else {
        judged.verdict = Verdict::Unobservable;
        judged.why = format!("it needs L{}", scenario.level);
        return judged;
    };
    if let Some(profile) = scenario.profiles.iter().find(|profile| !config.profiles.contains(profile)) {
        judged.verdict = Verdict::NotClaimed;
        judged.why = format!("the profile {profile} is not claimed");
        return judged;
    }
    let begun = Instant::now();
    let mut outcome = play(scenario, attachment, rulebook, selection.seed);
    judged.took = begun.elapsed();
    outcome.trace.header.name.clone_from(&judged.check);
    if let Some(Err(why)) = selection.traces.map(|folder| outcome.trace.store(folder)) {
        (judged.verdict, judged.why) = (Verdict::HarnessError, why);
        return judged;
    }
    judged.shown = outcome.shown;
    judged.shown.extend(scenario.covers.iter().filter(|_| outcome.trouble.is_none()).cloned());
    judged.shown.sort();
    judged.shown.dedup();
    let Some((step, trouble)) = outcome.trouble else { return judged };
    if let Some(step) = &step {
        judged.place = format!("{}:{}: {}", scenario.file.display(), step.line, step.text);
        judged.rule.clone_from(&step.rule);
    }
    if let Trouble::Fault { rule: Some(rule), .. } = &trouble {
        judged.rule.clone_from(rule);
    }
    judged.verdict = verdict(suite, &judged.rule, &trouble);
    judged.why = trouble.to_string();
    let seen = !judged.verdict.skipped();
    judged.failure = seen.then(|| Failure::of(step.map(|step| (step.line, step.text)), &trouble, outcome.trace.events));
    judged
}

fn verdict(suite: &Suite, rule: &str, trouble: &Trouble) -> Verdict {
    match trouble {
        Trouble::Fault { .. } if suite.rule(rule).is_some_and(|rule| rule.keyword.starts_with("SHOULD")) => Verdict::Warn,
        Trouble::Fault { .. } => Verdict::Fail,
        Trouble::Crash(_) => Verdict::Crash,
        Trouble::Timeout(_) => Verdict::Timeout,
        Trouble::Adapter(_) => Verdict::AdapterError,
        Trouble::Unobservable(_) => Verdict::Unobservable,
        Trouble::Start(_) => Verdict::StartError,
        Trouble::Script(_) => Verdict::HarnessError,
    }
}

fn judge_vectors(config: &Config, vectors: &[&Vector]) -> Vec<Judged> {
    let mut adapter = config.adapter.as_ref().map(|program| Adapter::start(&program.cmd, START_MS));
    let mut all = Vec::new();
    for vector in vectors {
        let begun = Instant::now();
        let foreign = vector.profiles.iter().find(|profile| !config.profiles.contains(profile));
        let answer = match &mut adapter {
            _ if foreign.is_some() => Ok(()),
            None => Err(Trouble::Unobservable("vectors need an adapter".to_owned())),
            Some(Err(trouble)) => Err(trouble.clone()),
            Some(Ok(adapter)) => vectors::ask(adapter, vector),
        };
        if let (Err(Trouble::Crash(_) | Trouble::Timeout(_)), Some(program)) = (&answer, &config.adapter) {
            adapter = Some(Adapter::start(&program.cmd, START_MS));
        }
        let verdict = answer.as_ref().err().map_or(Verdict::Pass, |trouble| match trouble {
            Trouble::Fault { .. } => Verdict::Fail,
            Trouble::Crash(_) => Verdict::Crash,
            Trouble::Timeout(_) => Verdict::Timeout,
            Trouble::Unobservable(_) => Verdict::Unobservable,
            Trouble::Start(_) => Verdict::StartError,
            Trouble::Adapter(_) | Trouble::Script(_) => Verdict::AdapterError,
        });
        let (verdict, shown) = match foreign {
            Some(_) => (Verdict::NotClaimed, Vec::new()),
            None => (verdict, answer.is_ok().then(|| vector.rule.clone()).into_iter().collect()),
        };
        let unclaimed = foreign.map(|profile| format!("the profile {profile} is not claimed"));
        all.push(Judged {
            check: format!("vectors/{}", vector.name),
            area: "vectors".to_owned(),
            title: vector.asked(),
            level: 3,
            rules: vec![vector.rule.clone()],
            verdict,
            rule: vector.rule.clone(),
            shown,
            place: format!("vectors/{}", vector.name),
            why: answer.as_ref().err().map(|trouble| trouble.to_string()).or(unclaimed).unwrap_or_default(),
            took: begun.elapsed(),
            failure: answer.err().filter(|_| !verdict.skipped()).map(|trouble| Failure::of(None, &trouble, Vec::new())),
        });
    }
    all
}

/// What is known to fail is skipped; an entry that no longer holds fails.
fn apply_known(config: &Config, judged: &mut Vec<Judged>, whole: bool) {
    let mut stale = Vec::new();
    for known in &config.known {
        let found = judged.iter_mut().find(|judged| judged.check == known.check);
        let why = match found {
            None if whole => "no check has this name".to_owned(),
            None => continue,
            Some(found) if found.verdict.passed() => format!("{} passes now", known.check),
            Some(_) if known.until < today() => format!("it was to be done by {}", known.until),
            Some(found) => {
                found.verdict = Verdict::KnownFailing;
                found.why = format!("known: {}", known.issue);
                continue;
            }
        };
        stale.push(Judged {
            check: format!("known/{}", known.check),
            area: "known".to_owned(),
            title: String::new(),
            level: 0,
            rules: Vec::new(),
            verdict: Verdict::StaleKnown,
            rule: String::new(),
            shown: Vec::new(),
            place: "conform.toml".to_owned(),
            why,
            took: Duration::ZERO,
            failure: None,
        });
    }
    judged.extend(stale);
}
