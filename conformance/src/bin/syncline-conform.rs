//! `syncline-conform`: judges an implementation of Syncline by the suite.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Args, Parser, Subcommand};
use syncline_conformance::checks::Rulebook;
use syncline_conformance::config::Config;
use syncline_conformance::judge::{Selection, Suite, run};
use syncline_conformance::report;

/// Judges an implementation of Syncline; without a command, the reference.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Judge an implementation
    Run(RunArguments),
    /// List every scenario and vector
    List,
    /// Explain a rule or a scenario
    Explain {
        /// Such as IDENT-5 or identity/fork-changes-nothing
        name: String,
    },
    /// List every rule and what names it
    Coverage,
}

#[derive(Args, Default)]
struct RunArguments {
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

const USAGE: u8 = 2;
const NOT_STARTED: u8 = 4;
const HARNESS: u8 = 5;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let suite = match Suite::load(&folder) {
        Ok(suite) => suite,
        Err(error) => return fail(HARNESS, &error),
    };
    match arguments.command.unwrap_or(Verb::Run(RunArguments::default())) {
        Verb::Run(arguments) => judge(&suite, &arguments),
        Verb::List => {
            suite.scenarios.iter().for_each(|s| println!("{:<60} L{} {:?}: {}", s.id, s.level, s.role, s.title));
            suite.vectors.iter().for_each(|vector| println!("vectors/{:<52} {}", vector.name, vector.rule));
            ExitCode::SUCCESS
        }
        Verb::Explain { name } => match report::explain(&suite, &name) {
            Some(text) => {
                println!("{text}");
                ExitCode::SUCCESS
            }
            None => fail(USAGE, &format!("no rule or scenario is called {name}")),
        },
        Verb::Coverage => {
            print!("{}", report::coverage(&suite));
            ExitCode::SUCCESS
        }
    }
}

fn judge(suite: &Suite, arguments: &RunArguments) -> ExitCode {
    let reference = arguments.implementation.is_none();
    if reference && let Err(error) = build() {
        return fail(NOT_STARTED, &error);
    }
    let file = arguments.implementation.clone().unwrap_or(suite.folder.join("reference.toml"));
    let mut config = match Config::load(&file) {
        Ok(config) => config,
        Err(error) => return fail(USAGE, &error),
    };
    if let Some(level) = &arguments.level {
        config.level = Some(level.clone());
    }
    let rulebook = match Rulebook::load(&suite.folder.join("../spec")) {
        Ok(rulebook) => rulebook,
        Err(error) => return fail(HARNESS, &error),
    };
    suite.faults.iter().for_each(|fault| eprintln!("fault of the suite: {fault}"));
    let selection = Selection { filter: &arguments.filter, level: config.level(), seed: arguments.seed };
    let judged = run(suite, &config, &rulebook, &selection);
    if judged.is_empty() {
        eprintln!("no check's name holds `{}`", arguments.filter);
    }
    let with = if reference { String::new() } else { format!(" --impl {}", file.display()) };
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

/// Builds the reference's server and adapter beside this program.
fn build() -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let cargo = std::env::var("CARGO").unwrap_or("cargo".to_owned());
    let mut command = Command::new(cargo);
    command.current_dir(root).args([
        "build",
        "--quiet",
        "--package",
        "syncline-server",
        "--package",
        "syncline-conformance",
        "--bin",
        "syncline-server",
        "--bin",
        "syncline-adapter",
    ]);
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let profile = exe.parent();
    if profile.is_some_and(|folder| folder.ends_with("release")) {
        command.arg("--release");
    }
    if let Some(target) = profile.and_then(Path::parent) {
        command.env("CARGO_TARGET_DIR", target);
    }
    let status = command.status().map_err(|error| format!("cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err("the reference does not build".to_owned()) }
}

fn fail(code: u8, why: &str) -> ExitCode {
    eprintln!("{why}");
    println!("{}", report::last_line(report::Counts::default()));
    ExitCode::from(code)
}
