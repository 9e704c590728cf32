//! `run`: judges an implementation.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;
use syncline_conformance::checks::Rulebook;
use syncline_conformance::config::{Config, LEVELS};
use syncline_conformance::judge::{Judged, Selection, Suite, run as judge};
use syncline_conformance::report;
use syncline_conformance::report::make::{Run, make};
use syncline_conformance::report::model::Report;
use syncline_conformance::report::terminal::terminal;
use syncline_conformance::sockets::unix_ms;
use syncline_conformance::watch::{Watch, delta, look};

use crate::render::{self, Outputs};
use crate::{HARNESS, NOT_STARTED, USAGE, fail, reference, say};

/// How long after one look at the files the next is taken.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
/// Makes a terminal empty, what was scrolled away included.
const CLEAR: &str = "\x1b[2J\x1b[3J\x1b[H";

/// What to judge, and how far.
#[derive(Args, Default)]
pub struct Arguments {
    /// The implementation's conform.toml [default: the reference, built first]
    #[arg(long = "impl", value_name = "FILE")]
    implementation: Option<PathBuf>,
    /// Only checks whose name holds this
    #[arg(long, default_value = "")]
    filter: String,
    /// Where the peers' randomness begins
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The highest level to run at
    #[arg(long, value_parser = LEVELS)]
    level: Option<String>,
    /// Write the trace of each check into this folder
    #[arg(long, value_name = "DIR")]
    traces: Option<PathBuf>,
    /// Write the report to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Judge again whenever a file changes beside the conform.toml, of its commands, or of the suite, until it is stopped
    #[arg(long, requires = "implementation")]
    watch: bool,
    #[command(flatten)]
    outputs: Outputs,
}

/// Judges, prints the report, and gives the exit code; with `--watch` again and again.
pub fn run(suite: &Suite, arguments: &Arguments) -> ExitCode {
    match &arguments.implementation {
        Some(file) if arguments.watch => watch(suite, arguments, file),
        _ => ExitCode::from(once(suite, arguments).0),
    }
}

/// Judges now and after every change.
fn watch(suite: &Suite, arguments: &Arguments, file: &Path) -> ExitCode {
    let (mut watch, mut before) = (Watch::default(), None);
    loop {
        watch.begins(look(&places(suite, file)));
        if std::io::stdout().is_terminal() {
            say(CLEAR);
        }
        match Suite::load(suite.corpus.clone()) {
            Err(error) => drop(fail(HARNESS, &error)),
            Ok(suite) => {
                let judged = once(&suite, arguments).1;
                say(&before.as_ref().map_or(String::new(), |before: &Vec<Judged>| delta(before, &judged)));
                before = Some(judged);
            }
        }
        let now = look(&places(suite, file));
        say(&format!("watching {} files\n", now.len()));
        watch.ended(now);
        while !watch.due(look(&places(suite, file))) {
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }
}

/// What a change of calls for another run: the folder of the conform.toml, the files that its commands name, and the suite's.
fn places(suite: &Suite, file: &Path) -> Vec<PathBuf> {
    let folder = file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let mut places = vec![folder.to_owned()];
    if let Ok(config) = Config::load(file) {
        let commands = [config.server.map(|server| server.cmd), config.adapter.map(|adapter| adapter.cmd)];
        places.extend(commands.into_iter().flatten().flatten().map(PathBuf::from).filter(|path| path.is_file()));
    }
    let suite = suite
        .corpus
        .root()
        .into_iter()
        .flat_map(|root| ["conformance/scenarios", "conformance/vectors", "spec"].map(|part| root.join(part)));
    places.extend(suite);
    places
}

/// Judges once and prints the report: the exit code, and what came of each check.
fn once(suite: &Suite, arguments: &Arguments) -> (u8, Vec<Judged>) {
    let broken = |code: u8, why: &str| {
        fail(code, why);
        (code, Vec::new())
    };
    let config = match config(suite, arguments) {
        Ok(config) => config,
        Err((code, error)) => return broken(code, &error),
    };
    let rulebook = match Rulebook::load(&suite.corpus) {
        Ok(rulebook) => rulebook,
        Err(error) => return broken(HARNESS, &error),
    };
    suite.faults.iter().for_each(|fault| eprintln!("fault of the suite: {fault}"));
    let selection =
        Selection { filter: &arguments.filter, level: config.level(), seed: arguments.seed, traces: arguments.traces.as_deref() };
    let (started, begun) = (unix_ms(), Instant::now());
    let judged = judge(suite, &config, &rulebook, &selection);
    if judged.is_empty() {
        eprintln!("no check's name holds `{}`", arguments.filter);
    }
    let exit = report::exit_code(&judged, suite.faults.len());
    let run = Run { config: &config, selection: &selection, command: &command(arguments), started, took: begun.elapsed(), exit };
    let told = make(suite, &run, &judged).and_then(|value| tell(arguments, value));
    if let Err(error) = &told {
        eprintln!("{error}");
    }
    say(&format!("seed: {}\n", arguments.seed));
    say(&format!("{}\n", report::last_line(report::Counts::of(&judged))));
    (if told.is_ok() { exit } else { HARNESS }, judged)
}

/// What the implementer gives, with what the arguments say of it.
fn config(suite: &Suite, arguments: &Arguments) -> Result<Config, (u8, String)> {
    let file = match &arguments.implementation {
        Some(file) => file.clone(),
        None if cfg!(feature = "embed") => return Err((USAGE, "say whom to judge: --impl conform.toml".to_owned())),
        None => reference::build().map(|()| reference::config()).map_err(|error| (NOT_STARTED, error))?,
    };
    let mut config = Config::load(&file).map_err(|error| (USAGE, error))?;
    if !suite.revisions.knows(&config.revision) {
        let known: Vec<&String> = suite.revisions.frozen.keys().collect();
        return Err((USAGE, format!("{}: no revision is called {}; known are draft {known:?}", file.display(), config.revision)));
    }
    if let Some(level) = &arguments.level {
        config.level = Some(level.clone());
    }
    Ok(config)
}

/// Prints the report, and writes what was asked for.
fn tell(arguments: &Arguments, value: Value) -> Result<(), String> {
    if let Some(file) = &arguments.json {
        render::write(file, &format!("{value:#}\n"))?;
    }
    let report = Report::of(value)?;
    say(&terminal(&report));
    arguments.outputs.write(&report)
}

/// What repeats a run, without a filter.
fn command(arguments: &Arguments) -> String {
    let mut words = vec![if cfg!(feature = "embed") { "syncline-conform run" } else { "cargo conform run" }.to_owned()];
    words.extend(arguments.implementation.as_ref().map(|file| format!("--impl {}", file.display())));
    words.extend(arguments.level.as_ref().map(|level| format!("--level {level}")));
    words.push(format!("--seed {}", arguments.seed));
    words.join(" ")
}
