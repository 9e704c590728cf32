//! `mutants`: proves the suite by variants of the reference.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use syncline_conformance::checks::Rulebook;
use syncline_conformance::config::Config;
use syncline_conformance::judge::Suite;
use syncline_conformance::mutants::{self, List, Report};

use crate::{HARNESS, NOT_STARTED, USAGE, reference};

/// The variable that selects a variant; its name stands in the builds that have variants, and in no other.
const VARIABLE: &str = "SYNCLINE_MUTANT";

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
    let (report, code) = match List::load(&suite.corpus, &suite.rules) {
        Err(error) => (Report::default().last_line(), fail(HARNESS, &error)),
        Ok(mut list) => {
            list.keep(&arguments.filter);
            judge(suite, &list, arguments)
        }
    };
    println!("{report}");
    ExitCode::from(code)
}

fn judge(suite: &Suite, list: &List, arguments: &Arguments) -> (String, u8) {
    let nothing = || Report::default().last_line();
    if list.names().next().is_none() {
        return (nothing(), fail(USAGE, &format!("no mutant's name or rule holds `{}`", arguments.filter)));
    }
    let folder = match reference::build_mutants().and_then(|folder| only_mutants_are_marked(&folder).map(|()| folder)) {
        Ok(folder) => folder,
        Err(error) => return (nothing(), fail(NOT_STARTED, &error)),
    };
    let (config, rulebook) = match (Config::load(&reference::config()), Rulebook::load(&suite.corpus)) {
        (Ok(config), Ok(rulebook)) => (config, rulebook),
        (Err(error), _) | (_, Err(error)) => return (nothing(), fail(HARNESS, &error)),
    };
    let report = mutants::run(suite, &rulebook, list, &|name, sockets| variant(&config, &folder, name, sockets));
    print!("{}", report.terminal());
    if let Some(path) = &arguments.json
        && let Err(error) = std::fs::write(path, format!("{:#}\n", report.json()))
    {
        return (report.last_line(), fail(HARNESS, &format!("{}: {error}", path.display())));
    }
    let faults = suite.faults.iter().map(|fault| eprintln!("fault of the suite: {fault}")).count();
    (report.last_line(), if faults > 0 { HARNESS } else { u8::from(!report.holds()) })
}

fn fail(code: u8, why: &str) -> u8 {
    eprintln!("{why}");
    code
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
    for name in ["syncline-server", "syncline-adapter"] {
        for (file, wanted) in [(folder.join(name), true), (beside.join(name), false)] {
            let bytes = std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            if bytes.windows(VARIABLE.len()).any(|window| window == VARIABLE.as_bytes()) != wanted {
                return Err(format!("{} {} variants", file.display(), if wanted { "has no" } else { "has" }));
            }
        }
    }
    Ok(())
}
