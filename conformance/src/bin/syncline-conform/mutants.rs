//! `mutants`: proves the suite by variants of the reference.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use syncline_conformance::checks::Rulebook;
use syncline_conformance::config::Config;
use syncline_conformance::edn::hex;
use syncline_conformance::judge::Suite;
use syncline_conformance::mutants::{self, List, Report};

use crate::{HARNESS, NOT_STARTED, USAGE, reference};

/// The variable that selects a variant; its name stands in the builds that have variants, and in no other.
const VARIABLE: &str = "SYNCLINE_MUTANT";
const PROGRAMS: [&str; 2] = ["syncline-server", "syncline-adapter"];

/// Which variants to run.
#[derive(Args)]
pub struct Arguments {
    /// Only variants whose name, or a rule they break, holds this
    #[arg(long, default_value = "")]
    filter: String,
    /// Write what came of each to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs them, prints the survivors, and gives the exit code.
pub fn run(suite: &Suite, arguments: &Arguments) -> ExitCode {
    let (last_line, code) = match select(suite, arguments) {
        Ok((list, folder)) => match judge(suite, &list, &folder) {
            Ok(report) => told(suite, &report, arguments),
            Err(error) => (Report::default().last_line(), fail(HARNESS, &error)),
        },
        Err((code, error)) => (Report::default().last_line(), fail(code, &error)),
    };
    println!("{last_line}");
    ExitCode::from(code)
}

/// The variants to run, and the folder of the programs that hold them.
fn select(suite: &Suite, arguments: &Arguments) -> Result<(List, PathBuf), (u8, String)> {
    let mut list = List::load(&suite.corpus, &suite.rules).map_err(|error| (HARNESS, error))?;
    list.keep(&arguments.filter);
    if list.names().next().is_none() {
        return Err((USAGE, format!("no mutant's name or rule holds `{}`", arguments.filter)));
    }
    let folder = reference::build_mutants().and_then(|folder| only_mutants_are_marked(&folder).map(|()| folder));
    Ok((list, folder.map_err(|error| (NOT_STARTED, error))?))
}

fn told(suite: &Suite, report: &Report, arguments: &Arguments) -> (String, u8) {
    print!("{}", report.terminal());
    suite.faults.iter().for_each(|fault| eprintln!("fault of the suite: {fault}"));
    let written = arguments.json.as_ref().map_or(Ok(()), |path| write(path, &report.json()));
    let code = match written {
        Err(error) => fail(HARNESS, &error),
        Ok(()) if !suite.faults.is_empty() => HARNESS,
        Ok(()) => u8::from(!report.holds()),
    };
    (report.last_line(), code)
}

fn fail(code: u8, why: &str) -> u8 {
    eprintln!("{why}");
    code
}

/// Runs the list; where it is the whole list, keeps what came of it for the gate.
fn judge<'a>(suite: &Suite, list: &'a List, folder: &Path) -> Result<Report<'a>, String> {
    let (config, rulebook) = (Config::load(&reference::config())?, Rulebook::load(&suite.corpus)?);
    let report = mutants::run(suite, &rulebook, list, &|name, sockets| variant(&config, folder, name, sockets));
    if List::load(&suite.corpus, &suite.rules)?.names().eq(list.names()) {
        let mut results = report.json();
        results["digest"] = json!(digest(suite, folder)?);
        write(&folder.join(RESULTS), &results)?;
    }
    Ok(report)
}

/// What came of the last run of the whole list, if nothing has changed since, and else of a run.
///
/// # Errors
/// The variants do not build, or the results cannot be kept.
pub fn results(suite: &Suite, list: &List) -> Result<Value, String> {
    let folder = reference::build_mutants()?;
    only_mutants_are_marked(&folder)?;
    let kept = fs::read_to_string(folder.join(RESULTS)).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
    match kept.filter(|kept| digest(suite, &folder).is_ok_and(|digest| kept["digest"] == digest)) {
        Some(kept) => Ok(kept),
        None => judge(suite, list, &folder).map(|report| report.json()),
    }
}

/// The file of what came of the last run of the whole list.
const RESULTS: &str = "results.json";

/// Names all that a run hangs on: SHA-256 over the scenarios, the vectors, the lists, and the programs.
fn digest(suite: &Suite, folder: &Path) -> Result<String, String> {
    let mut hash = Sha256::new();
    hash.update(suite.corpus.digest());
    suite.corpus.files("conformance/mutants", "toml").iter().for_each(|(_, text)| hash.update(text));
    for program in PROGRAMS.map(|name| folder.join(name)).into_iter().chain(std::env::current_exe()) {
        hash.update(fs::read(&program).map_err(|error| format!("{}: {error}", program.display()))?);
    }
    Ok(hex(&hash.finalize()))
}

fn write(path: &Path, json: &Value) -> Result<(), String> {
    fs::write(path, format!("{json:#}\n")).map_err(|error| format!("{}: {error}", path.display()))
}

/// How a variant is started: its server over sockets, or its adapter.
fn variant(reference: &Config, folder: &Path, name: &str, sockets: bool) -> Config {
    let mut config = reference.clone();
    let start = |cmd: &mut Vec<String>| {
        let program = cmd.first().and_then(|program| Path::new(program).file_name()).map(|name| folder.join(name));
        if let (Some(first), Some(program)) = (cmd.first_mut(), program) {
            *first = program.to_string_lossy().into_owned();
        }
        cmd.splice(0..0, ["env".to_owned(), format!("{VARIABLE}={name}")]);
    };
    config.adapter = config.adapter.filter(|_| !sockets);
    config.server = config.server.filter(|_| sockets);
    config.adapter.iter_mut().map(|adapter| &mut adapter.cmd).chain(config.server.iter_mut().map(|server| &mut server.cmd)).for_each(start);
    config
}

/// Programs with variants say so, and ordinary ones have none.
fn only_mutants_are_marked(folder: &Path) -> Result<(), String> {
    reference::build()?;
    let beside = reference::folder()?;
    for name in PROGRAMS {
        for (file, wanted) in [(folder.join(name), true), (beside.join(name), false)] {
            let bytes = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            if bytes.windows(VARIABLE.len()).any(|window| window == VARIABLE.as_bytes()) != wanted {
                return Err(format!("{} {} variants", file.display(), if wanted { "has no" } else { "has" }));
            }
        }
    }
    Ok(())
}
