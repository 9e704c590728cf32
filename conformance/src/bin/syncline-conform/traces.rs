//! `check`, `record` and `promote`: traces outside of a run.

use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use syncline_conformance::checks::Rulebook;
use syncline_conformance::judge::Suite;
use syncline_conformance::promote::promote as scenario_of;
use syncline_conformance::record::{Tape, authority, record as pass_on};
use syncline_conformance::report::{Counts, last_line};
use syncline_conformance::trace_file::Trace;
use syncline_conformance::universal;

use crate::{HARNESS, NOT_STARTED, USAGE, fail, say};

/// Which traces to judge.
#[derive(Args)]
pub struct Check {
    /// Trace files
    #[arg(required = true, value_name = "TRACE")]
    traces: Vec<PathBuf>,
}

/// Where to stand.
#[derive(Args)]
pub struct Record {
    /// The address to take connections at; port 0 takes any
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The server, ws://…
    #[arg(long, value_name = "URL")]
    to: String,
    /// Write the trace to this file
    #[arg(long, value_name = "TRACE")]
    out: Option<PathBuf>,
    /// Show each frame
    #[arg(long)]
    print: bool,
}

/// Which trace, and where to.
#[derive(Args)]
pub struct Promote {
    /// The trace file, of `record` or of a run
    #[arg(value_name = "TRACE")]
    trace: PathBuf,
    /// The first line of the scenario: what it shows
    #[arg(long)]
    title: String,
    /// Write the scenario to this file, which is not there yet [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Judges traces, prints each rule that was broken, and gives the exit code.
pub fn check(suite: &Suite, arguments: &Check) -> ExitCode {
    let rulebook = match Rulebook::load(&suite.corpus) {
        Ok(rulebook) => rulebook,
        Err(error) => return fail(HARNESS, &error),
    };
    let mut counts = Counts::default();
    for file in &arguments.traces {
        let read = std::fs::read_to_string(file).map_err(|error| error.to_string());
        let trace = match read.and_then(|text| Trace::read(&text)) {
            Ok(trace) => trace,
            Err(why) => return fail(USAGE, &format!("{}: {why}", file.display())),
        };
        let broken = universal::judge(&rulebook, &trace, false);
        for broken in &broken {
            println!("FAIL {}: {broken}", file.display());
            if let Some(rule) = suite.rule(&broken.rule) {
                println!("  {}: {}", rule.id, rule.sentence);
            }
        }
        if broken.is_empty() {
            counts.passed += 1;
        } else {
            counts.failed += 1;
        }
    }
    println!("{}", last_line(counts));
    ExitCode::from(u8::from(counts.failed > 0))
}

/// Makes a scenario of a trace, and gives the exit code.
pub fn promote(suite: &Suite, arguments: &Promote) -> ExitCode {
    let rulebook = match Rulebook::load(&suite.corpus) {
        Ok(rulebook) => rulebook,
        Err(error) => return fail(HARNESS, &error),
    };
    let read = std::fs::read_to_string(&arguments.trace).map_err(|error| error.to_string());
    let made = read.and_then(|text| Trace::read(&text)).and_then(|trace| scenario_of(&rulebook, &trace, &arguments.title));
    let text = match made {
        Ok(text) => text,
        Err(why) => return fail(USAGE, &format!("{}: {why}", arguments.trace.display())),
    };
    let Some(path) = &arguments.out else {
        say(&text);
        return ExitCode::SUCCESS;
    };
    match File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(USAGE, &format!("{}: {error}", path.display())),
    }
}

/// Records until it is stopped.
pub fn record(arguments: &Record) -> ExitCode {
    if let Err(why) = authority(&arguments.to) {
        return fail(USAGE, &why);
    }
    let opened = arguments.out.as_ref().map(|path| File::create(path).map_err(|error| format!("{}: {error}", path.display())));
    let out: Box<dyn Write + Send> = match opened {
        Some(Ok(file)) => Box::new(file),
        Some(Err(why)) => return fail(USAGE, &why),
        None => Box::new(std::io::sink()),
    };
    let listener = match TcpListener::bind(arguments.listen) {
        Ok(listener) => listener,
        Err(error) => return fail(NOT_STARTED, &format!("{}: {error}", arguments.listen)),
    };
    if let Ok(address) = listener.local_addr() {
        println!("listening on ws://{address}");
    }
    let begun = Tape::begin(out, arguments.print).map_err(|error| error.to_string());
    match begun.and_then(|tape| pass_on(&listener, &arguments.to, tape)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => fail(NOT_STARTED, &why),
    }
}
