//! Runs the variants, as many at a time as the machine has cores.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::checks::Rulebook;
use crate::config::Config;
use crate::judge::{Selection, Suite, Task, Verdict, judge, scenario_tasks, tasks};
use crate::mutants::{Kill, List, Mirror, Mirrored, Mutant, Outcome, Report};

/// Everything, at every level.
const SELECTION: Selection = Selection { filter: "", level: 3, seed: 0, traces: None };

/// Runs each mutant of the list against the checks that name its rules until one of each rule caught it, and each mirror against all checks.
/// `config` says how a variant is started: by its name, and whether over sockets.
pub fn run<'a>(suite: &Suite, rulebook: &Rulebook, list: &'a List, config: &(dyn Fn(&str, bool) -> Config + Sync)) -> Report<'a> {
    let (next, report) = (AtomicUsize::new(0), Mutex::new(Report::default()));
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                // The mirrors take longest, so they come first.
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if let Some(mirror) = list.mirrors.get(index) {
                        let mirrored = reflect(suite, rulebook, mirror, &config(&mirror.name, false));
                        report.lock().expect("no worker panics with it held").mirrors.push(mirrored);
                    } else if let Some(mutant) = list.mutants.get(index - list.mirrors.len()) {
                        let outcome = hunt(suite, rulebook, mutant, &config(&mutant.name, mutant.sockets));
                        report.lock().expect("no worker panics with it held").mutants.push(outcome);
                    } else {
                        return;
                    }
                }
            });
        }
    });
    let mut report = report.into_inner().expect("no worker panics with it held");
    report.mutants.sort_by(|a, b| a.mutant.name.cmp(&b.mutant.name));
    report.mirrors.sort_by(|a, b| a.mirror.name.cmp(&b.mirror.name));
    report
}

/// Runs what names the mutant's rules, until each of them caught it.
fn hunt<'a>(suite: &Suite, rulebook: &Rulebook, mutant: &'a Mutant, config: &Config) -> Outcome<'a> {
    let mut outcome = Outcome { mutant, kills: Vec::new(), missed: Vec::new() };
    let mut ran = BTreeSet::new();
    for rule in &mutant.breaks {
        for task in naming(suite, config, rule) {
            if !outcome.alive().contains(&rule.as_str()) {
                break;
            }
            if !ran.insert(task.name()) {
                continue;
            }
            for judged in judge(suite, config, rulebook, &SELECTION, &task) {
                let caught = matches!(judged.verdict, Verdict::Fail | Verdict::Warn) && mutant.breaks.contains(&judged.rule);
                if caught && !outcome.kills.iter().any(|kill| kill.rule == judged.rule) {
                    outcome.kills.push(Kill { rule: judged.rule, check: judged.check, place: judged.place });
                } else if !caught && !judged.verdict.skipped() {
                    let why = judged.why.lines().next().unwrap_or("").to_owned();
                    outcome.missed.push(format!("{}: {} {} {why}", judged.check, judged.verdict.name(), judged.rule));
                }
            }
        }
    }
    outcome
}

/// What names a rule: its vectors, then the scenarios that mark a step with it, then those that only cover it.
fn naming<'a>(suite: &'a Suite, config: &Config, rule: &str) -> Vec<Task<'a>> {
    let vectors: Vec<_> = suite.vectors.iter().filter(|vector| vector.rule == rule).collect();
    let mut scenarios: Vec<_> = suite.scenarios.iter().filter(|s| s.covers.iter().any(|id| id == rule) || s.marks(rule)).collect();
    scenarios.sort_by_key(|scenario| !scenario.marks(rule));
    let vectors = (config.adapter.is_some() && !vectors.is_empty()).then_some(Task::Vectors(vectors));
    vectors.into_iter().chain(scenarios.into_iter().flat_map(|scenario| scenario_tasks(scenario, config, 3))).collect()
}

/// Runs everything against a mirror.
fn reflect<'a>(suite: &Suite, rulebook: &Rulebook, mirror: &'a Mirror, config: &Config) -> Mirrored<'a> {
    let judged = tasks(suite, config, &SELECTION).into_iter().flat_map(|task| judge(suite, config, rulebook, &SELECTION, &task));
    let (passed, failed): (Vec<_>, Vec<_>) = judged.filter(|judged| !judged.verdict.skipped()).partition(|j| j.verdict == Verdict::Pass);
    Mirrored { mirror, passed: passed.len(), failed }
}
