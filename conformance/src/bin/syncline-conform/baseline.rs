//! `baseline`: the list of what is known to fail, in the implementer's own conform.toml.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use syncline_conformance::baseline::{listed, write_list};
use syncline_conformance::checks::Rulebook;
use syncline_conformance::config::{Config, Known};
use syncline_conformance::judge::{Selection, Suite, run as judge};

use crate::{HARNESS, NOT_STARTED, USAGE, fail, say};

/// Whose list, and what its entries say.
#[derive(Args)]
pub struct Arguments {
    /// The implementation's conform.toml
    #[arg(long = "impl", value_name = "FILE", default_value = "conform.toml")]
    implementation: PathBuf,
    /// Write the list; without it, it is only printed
    #[arg(long)]
    update: bool,
    /// Where what fails is followed, for entries that are not in the list
    #[arg(long, value_name = "URL")]
    issue: String,
    /// The last day on which they may fail, as YYYY-MM-DD
    #[arg(long, value_name = "DAY")]
    until: String,
}

/// Runs the whole suite and lists what fails; an entry that still fails is kept as it is, one that does not is left out.
pub fn baseline(suite: &Suite, arguments: &Arguments) -> ExitCode {
    let file = &arguments.implementation;
    let mut config = match Config::load(file) {
        Ok(config) => config,
        Err(why) => return fail(USAGE, &why),
    };
    let rulebook = match Rulebook::load(&suite.corpus) {
        Ok(rulebook) => rulebook,
        Err(why) => return fail(HARNESS, &why),
    };
    let before = std::mem::take(&mut config.known);
    let judged = judge(suite, &config, &rulebook, &Selection { filter: "", level: config.level(), seed: 0, traces: None });
    let new = Known { check: String::new(), issue: arguments.issue.clone(), until: arguments.until.clone() };
    let list = match listed(&judged, &before, &new) {
        Ok(list) => list,
        Err(why) => return fail(NOT_STARTED, &why),
    };
    list.iter().for_each(|known| say(&format!("{} until {}: {}\n", known.check, known.until, known.issue)));
    if arguments.update
        && let Err(why) = update(file, &list)
    {
        return fail(USAGE, &format!("{}: {why}", file.display()));
    }
    say(&format!("known to fail: {}\n", list.len()));
    ExitCode::SUCCESS
}

fn update(file: &Path, list: &[Known]) -> Result<(), String> {
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    fs::write(file, write_list(&text, list)?).map_err(|error| error.to_string())
}
