//! `check` and `record`: traces outside of a run.

use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use syncline_conformance::checks::Rulebook;
use syncline_conformance::judge::Suite;
use syncline_conformance::record::{Tape, authority, record as pass_on};
use syncline_conformance::report::{Counts, last_line};
use syncline_conformance::trace_file::Trace;
use syncline_conformance::universal;

use crate::{HARNESS, NOT_STARTED, USAGE, fail};

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
