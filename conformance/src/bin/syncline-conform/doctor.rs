//! `doctor`: what is wrong with an adapter, and what to implement next.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use syncline_conformance::checks::Rulebook;
use syncline_conformance::config::Config;
use syncline_conformance::doctor::{examine, lead};
use syncline_conformance::judge::Suite;
use syncline_conformance::trouble::Trouble;

use crate::{HARNESS, NOT_STARTED, USAGE, say};

/// Whose adapter.
#[derive(Args)]
pub struct Arguments {
    /// The implementation's conform.toml
    #[arg(long = "impl", value_name = "FILE", default_value = "conform.toml")]
    implementation: PathBuf,
}

/// Examines an adapter: 0 where nothing is wrong with it, 1 where something is, 4 where it does not start.
pub fn doctor(suite: &Suite, arguments: &Arguments) -> ExitCode {
    let told = |code: u8, why: &str| {
        say(&format!("BAD  {why}\n"));
        ExitCode::from(code)
    };
    let config = match Config::load(&arguments.implementation) {
        Ok(config) => config,
        Err(why) => return told(USAGE, &why),
    };
    let rulebook = match Rulebook::load(&suite.corpus) {
        Ok(rulebook) => rulebook,
        Err(why) => return told(HARNESS, &why),
    };
    let Some(program) = &config.adapter else {
        return told(USAGE, "conform.toml has no [adapter]; `init` writes one");
    };
    let good = &mut |what: &str| say(&format!("ok   {what}\n"));
    let roles = match examine(program, &rulebook.profiles(), good) {
        Ok(roles) => roles,
        Err(trouble @ Trouble::Start(_)) => return told(NOT_STARTED, &trouble.to_string()),
        Err(trouble) => return told(1, &trouble.to_string()),
    };
    let again = format!("syncline-conform run --impl {}", arguments.implementation.display());
    let (lines, next) = lead(suite, &config, &rulebook, &roles, &again);
    lines.iter().for_each(|line| say(&format!("     {line}\n")));
    say(&format!("next: {next}\n"));
    ExitCode::SUCCESS
}
