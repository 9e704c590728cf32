//! `coverage`: every rule and what shows it; as a gate, whether that is enough.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use syncline_conformance::checks::Rulebook;
use syncline_conformance::config::Config;
use syncline_conformance::gate::{Coverage, Unobservable, kills};
use syncline_conformance::judge::{Selection, Suite, run as judge};
use syncline_conformance::mutants::List;

use crate::{HARNESS, mutants, reference};

/// What to do besides the page.
#[derive(Args)]
pub struct Arguments {
    /// Run the suite and the mutants, and fail where a MUST is not shown by an assertion that caught a mutant
    #[arg(long)]
    check: bool,
    /// Write the page to this file, each rule with its sentence
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Prints the page, and what is missing.
pub fn run(suite: &Suite, arguments: &Arguments) -> ExitCode {
    let (list, unobservable) = match (List::load(&suite.corpus, &suite.rules), Unobservable::load(suite)) {
        (Ok(list), Ok(unobservable)) => (list, unobservable),
        (Err(error), _) | (_, Err(error)) => return fail(&error),
    };
    let coverage = Coverage::of(suite, &list, &unobservable);
    print!("{}", coverage.page());
    if let Some(Err(error)) = arguments.html.as_ref().map(|path| write(&coverage, path)) {
        return fail(&error);
    }
    if !arguments.check {
        return ExitCode::SUCCESS;
    }
    match faults(suite, &list, &coverage) {
        Err(error) => fail(&error),
        Ok(faults) => {
            faults.iter().for_each(|fault| println!("MISSING {fault}"));
            println!("coverage: {} missing", faults.len());
            ExitCode::from(u8::from(!faults.is_empty()))
        }
    }
}

fn write(coverage: &Coverage, path: &Path) -> Result<(), String> {
    let page = coverage.html().map_err(|error| error.to_string())?;
    fs::write(path, page).map_err(|error| format!("{}: {error}", path.display()))
}

fn faults(suite: &Suite, list: &List, coverage: &Coverage) -> Result<Vec<String>, String> {
    let results = mutants::results(suite, list)?;
    reference::build()?;
    let (config, rulebook) = (Config::load(&reference::config())?, Rulebook::load(&suite.corpus)?);
    let judged = judge(suite, &config, &rulebook, &Selection { filter: "", level: 3, seed: 0, traces: None });
    let mut faults: Vec<String> = suite.faults.iter().map(ToString::to_string).collect();
    faults.extend(coverage.faults(suite, &judged, &kills(&results)));
    Ok(faults)
}

fn fail(why: &str) -> ExitCode {
    eprintln!("{why}");
    println!("coverage: not told");
    ExitCode::from(HARNESS)
}
