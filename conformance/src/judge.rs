//! Runs checks and gives verdicts.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::adapter::Adapter;
use crate::checks::Rulebook;
use crate::config::{AdapterProgram, Config, today};
use crate::corpus::Corpus;
use crate::greeting::Greeting;
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

    /// Over what it is made; over nothing where it is not observable.
    fn attachment(&self, config: &Config) -> Option<Attachment> {
        match self {
            Self::Scenario(_, _, attachment) => attachment.clone(),
            Self::Vectors(_) => config.adapter.clone().map(Attachment::Adapter),
        }
    }
}

/// What every check of a run needs.
struct Run<'a> {
    suite: &'a Suite,
    config: &'a Config,
    rulebook: &'a Rulebook,
    greeting: &'a Greeting,
    selection: &'a Selection<'a>,
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
    let greeting = Greeting::of(config, tasks.iter().filter_map(|task| task.attachment(config)));
    let run = Run { suite, config, rulebook, greeting: &greeting, selection };
    let (next, judged) = (AtomicUsize::new(0), Mutex::new(unstarted(&greeting)));
    let workers = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = judge_task(&run, task);
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
        all.push((3, Some(Attachment::Adapter(adapter.clone()))));
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

/// What could not be started, as a check that failed.
fn unstarted(greeting: &Greeting) -> Vec<Judged> {
    let judged = |(name, trouble): (&str, &Trouble)| Judged {
        verdict: Verdict::StartError,
        why: trouble.to_string(),
        ..Judged::new(format!("start/{name}"), "start", "conform.toml")
    };
    greeting.failures().map(judged).collect()
}

/// Makes one check, of an implementation of which nothing is known.
pub(crate) fn judge(suite: &Suite, config: &Config, rulebook: &Rulebook, selection: &Selection, task: &Task) -> Vec<Judged> {
    judge_task(&Run { suite, config, rulebook, greeting: &Greeting::default(), selection }, task)
}

fn judge_task(run: &Run, task: &Task) -> Vec<Judged> {
    let attachment = task.attachment(run.config);
    let judged = std::panic::catch_unwind(AssertUnwindSafe(|| match task {
        Task::Scenario(scenario, level, _) => vec![judge_scenario(run, scenario, *level, attachment.as_ref())],
        Task::Vectors(vectors) => judge_vectors(run, vectors, attachment.as_ref()),
    }));
    // Whatever an implementation does, its other checks are still made.
    judged.unwrap_or_else(|_| {
        let name = if let Task::Scenario(..) = task { task.name() } else { "vectors".to_owned() };
        let why = "the harness panicked; that is its own fault, whatever the implementation did".to_owned();
        vec![Judged { verdict: Verdict::HarnessError, why, ..Judged::new(name.clone(), "harness", &name) }]
    })
}

fn judge_scenario(run: &Run, scenario: &Scenario, level: u8, attachment: Option<&Attachment>) -> Judged {
    let place = scenario.file.display().to_string();
    let area = scenario.id.split('/').next().unwrap_or("");
    let mut judged = Judged {
        title: scenario.title.clone(),
        level,
        rules: scenario.covers.clone(),
        rule: scenario.covers[0].clone(),
        ..Judged::new(format!("{}@L{level}", scenario.id), area, &place)
    };
    let Some(attachment) = attachment else {
        return Judged { verdict: Verdict::Unobservable, why: format!("it needs L{}", scenario.level), ..judged };
    };
    if let Some((verdict, why)) = unasked(run, &scenario.profiles, Some(scenario.role), attachment) {
        return Judged { verdict, why, ..judged };
    }
    let begun = Instant::now();
    let mut outcome = play(scenario, attachment, run.rulebook, run.selection.seed);
    judged.took = begun.elapsed();
    outcome.trace.header.name.clone_from(&judged.check);
    if let Some(Err(why)) = run.selection.traces.map(|folder| outcome.trace.store(folder)) {
        (judged.verdict, judged.why) = (Verdict::HarnessError, why);
        return judged;
    }
    judged.shown = outcome.shown;
    judged.shown.extend(scenario.covers.iter().filter(|_| outcome.trouble.is_none()).cloned());
    judged.shown.sort();
    judged.shown.dedup();
    let Some((step, trouble)) = outcome.trouble else { return judged };
    run.greeting.note(&trouble);
    if let Some(step) = &step {
        judged.place = format!("{place}:{}: {}", step.line, step.text);
        judged.rule.clone_from(&step.rule);
    }
    if let Trouble::Fault { rule: Some(rule), .. } = &trouble {
        judged.rule.clone_from(rule);
    }
    judged.verdict = verdict(run.suite, &judged.rule, &trouble);
    judged.why = trouble.to_string();
    let seen = !judged.verdict.skipped();
    judged.failure = seen.then(|| Failure::of(step.map(|step| (step.line, step.text)), &trouble, outcome.trace.events));
    judged
}

/// Why a check is not made of this implementation.
fn unasked(run: &Run, profiles: &[String], role: Option<Role>, attachment: &Attachment) -> Option<(Verdict, String)> {
    if let Some(profile) = profiles.iter().find(|profile| !run.config.profiles.contains(profile)) {
        return Some((Verdict::NotClaimed, format!("the profile {profile} is not claimed")));
    }
    if let Some(why) = run.greeting.silence(attachment) {
        return Some((Verdict::Unknown, why));
    }
    let adapter = matches!(attachment, Attachment::Adapter(_));
    let role = role.filter(|_| adapter).and_then(|role| run.greeting.unplayed(role))?;
    Some((Verdict::NotClaimed, format!("the adapter's hello does not name the role {role}")))
}

fn verdict(suite: &Suite, rule: &str, trouble: &Trouble) -> Verdict {
    match trouble {
        Trouble::Fault { .. } if suite.rule(rule).is_some_and(|rule| rule.keyword.starts_with("SHOULD")) => Verdict::Warn,
        Trouble::Fault { .. } => Verdict::Fail,
        Trouble::Crash(_) => Verdict::Crash,
        Trouble::Timeout(_) => Verdict::Timeout,
        Trouble::Adapter(_) | Trouble::Flood(_) | Trouble::Refused(_) => Verdict::AdapterError,
        Trouble::Unobservable(_) => Verdict::Unobservable,
        Trouble::Start(_) => Verdict::StartError,
        Trouble::Script(_) => Verdict::HarnessError,
    }
}

fn judge_vectors(run: &Run, vectors: &[&Vector], attachment: Option<&Attachment>) -> Vec<Judged> {
    let mut adapter = None;
    vectors.iter().map(|vector| judge_vector(run, vector, attachment, &mut adapter)).collect()
}

fn judge_vector(run: &Run, vector: &Vector, attachment: Option<&Attachment>, adapter: &mut Option<Adapter>) -> Judged {
    let name = format!("vectors/{}", vector.name);
    let rule = vector.rule.clone();
    let judged = Judged { title: vector.asked(), level: 3, rules: vec![rule.clone()], rule, ..Judged::new(name.clone(), "vectors", &name) };
    let Some(attachment @ Attachment::Adapter(program)) = attachment else {
        return Judged { verdict: Verdict::Unobservable, why: "vectors need an adapter".to_owned(), ..judged };
    };
    if let Some((verdict, why)) = unasked(run, &vector.profiles, None, attachment) {
        return Judged { verdict, why, ..judged };
    }
    let begun = Instant::now();
    let asked = ask_vector(program, adapter, vector);
    let took = begun.elapsed();
    let Err(trouble) = asked else {
        return Judged { shown: judged.rules.clone(), took, ..judged };
    };
    run.greeting.note(&trouble);
    // Whoever broke its protocol may be in the midst of an answer: the next case finds a fresh one.
    if !matches!(trouble, Trouble::Fault { .. } | Trouble::Unobservable(_) | Trouble::Refused(_)) {
        *adapter = None;
    }
    let verdict = verdict(run.suite, &vector.rule, &trouble);
    let failure = (!verdict.skipped()).then(|| Failure::of(None, &trouble, Vec::new()));
    Judged { verdict, why: trouble.to_string(), took, failure, ..judged }
}

fn ask_vector(program: &AdapterProgram, adapter: &mut Option<Adapter>, vector: &Vector) -> Result<(), Trouble> {
    let asked = match adapter {
        Some(asked) => asked,
        None => adapter.insert(Adapter::start(program, START_MS)?),
    };
    asked.renew();
    vectors::ask(asked, vector)
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
        let failed = Judged::new(format!("known/{}", known.check), "known", "conform.toml");
        stale.push(Judged { verdict: Verdict::StaleKnown, why, ..failed });
    }
    judged.extend(stale);
}
