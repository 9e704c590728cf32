//! `syncline-conform`: judges an implementation of Syncline by the suite.
//!
//! Each verb stands in a module of its own: its arguments, and a function from them to the exit code.

mod baseline;
mod coverage;
mod doctor;
mod explore;
mod init;
mod mutants;
mod reference;
mod render;
mod run;
mod tell;
mod traces;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use syncline_conformance::corpus::Corpus;
use syncline_conformance::judge::Suite;
use syncline_conformance::report;

/// Judges an implementation of Syncline; without a command, the reference.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Verb>,
    /// The checkout whose scenarios, vectors and spec judge [default: what this program was built with]
    #[arg(long, value_name = "DIR", global = true)]
    corpus: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Verb {
    /// Judge an implementation
    Run(run::Arguments),
    /// Write an adapter that runs at once and can do nothing yet
    Init(init::Arguments),
    /// Find what is wrong with an adapter, and say what to implement next
    Doctor(doctor::Arguments),
    /// Write what fails into the conform.toml, as known to fail
    Baseline(baseline::Arguments),
    /// Show a report again, and write what is rendered from it
    Report(render::ReportArguments),
    /// Put reports of several implementations beside each other
    Matrix(render::MatrixArguments),
    /// Freeze the checks of today as a revision that implementations can claim
    Freeze {
        /// Such as 2026-11
        name: String,
    },
    /// Judge traces that were written before by what holds of every trace
    Check(traces::Check),
    /// Stand between clients and a server, and write a trace
    Record(traces::Record),
    /// Turn a trace into a scenario for servers
    Promote(traces::Promote),
    /// List every scenario and vector
    List,
    /// Explain a rule or a scenario
    Explain {
        /// Such as IDENT-5 or identity/fork-changes-nothing
        name: String,
    },
    /// List every rule and what shows it
    Coverage(coverage::Arguments),
    /// Prove the suite: it catches faulty variants of the reference, and lets legal ones pass
    Mutants(mutants::Arguments),
    /// Explore the reference under faults, seed by seed
    Explore(explore::Arguments),
}

/// The arguments make no sense.
const USAGE: u8 = 2;
/// What is to be judged does not start.
const NOT_STARTED: u8 = 4;
/// A fault of this program or of the suite's files.
const HARNESS: u8 = 5;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let corpus = arguments.corpus.as_deref().map_or_else(Corpus::own, Corpus::folder);
    let by = |act: &dyn Fn(&Suite) -> ExitCode| Suite::load(corpus).map_or_else(|error| fail(HARNESS, &error), |suite| act(&suite));
    match arguments.command.unwrap_or(Verb::Run(run::Arguments::default())) {
        Verb::Run(arguments) => by(&|suite| run::run(suite, &arguments)),
        Verb::Init(arguments) => init::init(&arguments),
        Verb::Doctor(arguments) => by(&|suite| doctor::doctor(suite, &arguments)),
        Verb::Baseline(arguments) => by(&|suite| baseline::baseline(suite, &arguments)),
        Verb::Report(arguments) => render::report(&arguments),
        Verb::Matrix(arguments) => render::matrix(&arguments),
        Verb::Freeze { name } => by(&|suite| tell::freeze(suite, &name)),
        Verb::Check(arguments) => by(&|suite| traces::check(suite, &arguments)),
        Verb::Record(arguments) => traces::record(&arguments),
        Verb::Promote(arguments) => by(&|suite| traces::promote(suite, &arguments)),
        Verb::List => by(&tell::list),
        Verb::Explain { name } => by(&|suite| tell::explain(suite, &name)),
        Verb::Coverage(arguments) => by(&|suite| coverage::run(suite, &arguments)),
        Verb::Mutants(arguments) => by(&|suite| mutants::run(suite, &arguments)),
        Verb::Explore(arguments) => explore::explore(&arguments),
    }
}

/// Prints to stdout; a reader who went away is no fault.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Says why nothing was judged.
fn fail(code: u8, why: &str) -> ExitCode {
    eprintln!("{why}");
    say(&format!("{}\n", report::last_line(report::Counts::default())));
    ExitCode::from(code)
}
