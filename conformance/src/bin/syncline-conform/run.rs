//! `run`: judges an implementation.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use syncline_conformance::checks::Rulebook;
use syncline_conformance::config::Config;
use syncline_conformance::judge::{Selection, Suite, run as judge};
use syncline_conformance::report;

use crate::{HARNESS, NOT_STARTED, USAGE, fail, reference};

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
    /// The highest level to run at, such as L0
    #[arg(long)]
    level: Option<String>,
    /// Write the report to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Judges, prints the report, and gives the exit code.
pub fn run(suite: &Suite, arguments: &Arguments) -> ExitCode {
    let built = arguments.implementation.is_none();
    if built && let Err(error) = reference::build() {
        return fail(NOT_STARTED, &error);
    }
    let file = arguments.implementation.clone().unwrap_or(reference::config());
    let mut config = match Config::load(&file) {
        Ok(config) => config,
        Err(error) => return fail(USAGE, &error),
    };
    if let Some(level) = &arguments.level {
        config.level = Some(level.clone());
    }
    let rulebook = match Rulebook::load(&suite.corpus) {
        Ok(rulebook) => rulebook,
        Err(error) => return fail(HARNESS, &error),
    };
    suite.faults.iter().for_each(|fault| eprintln!("fault of the suite: {fault}"));
    let selection = Selection { filter: &arguments.filter, level: config.level(), seed: arguments.seed };
    let judged = judge(suite, &config, &rulebook, &selection);
    if judged.is_empty() {
        eprintln!("no check's name holds `{}`", arguments.filter);
    }
    let with = if built { String::new() } else { format!(" --impl {}", file.display()) };
    print!("{}", report::terminal(suite, &judged, &format!("cargo conform run{with} --seed {}", arguments.seed)));
    let mut code = report::exit_code(&judged, suite.faults.len());
    if let Some(path) = &arguments.json {
        let text = format!("{:#}\n", report::json(suite, &config, &selection, &judged));
        if let Err(error) = std::fs::write(path, text) {
            eprintln!("{}: {error}", path.display());
            code = HARNESS;
        }
    }
    println!("{}", report::last_line(report::Counts::of(&judged)));
    ExitCode::from(code)
}
