//! `syncline-conform`: judges an implementation of Syncline by the suite.
//!
//! Each verb stands in a module of its own: its arguments, and a function from them to the exit code.

mod mutants;
mod reference;
mod run;
mod tell;

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
    /// List every scenario and vector
    List,
    /// Explain a rule or a scenario
    Explain {
        /// Such as IDENT-5 or identity/fork-changes-nothing
        name: String,
    },
    /// List every rule and what names it
    Coverage,
    /// Prove the suite: it catches faulty variants of the reference, and lets legal ones pass
    Mutants(mutants::Arguments),
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
    let suite = match Suite::load(corpus) {
        Ok(suite) => suite,
        Err(error) => return fail(HARNESS, &error),
    };
    match arguments.command.unwrap_or(Verb::Run(run::Arguments::default())) {
        Verb::Run(arguments) => run::run(&suite, &arguments),
        Verb::List => tell::list(&suite),
        Verb::Explain { name } => tell::explain(&suite, &name),
        Verb::Coverage => tell::coverage(&suite),
        Verb::Mutants(arguments) => mutants::run(&suite, &arguments),
    }
}

/// Says why nothing was judged.
fn fail(code: u8, why: &str) -> ExitCode {
    eprintln!("{why}");
    println!("{}", report::last_line(report::Counts::default()));
    ExitCode::from(code)
}
