//! Syncline beside other sync systems, on the same data in the same run: one table of figures, targets and ratios.
//!
//! `cargo bench-peers` runs all; names of workloads (`w1`, `w3` …) run those; `--alone` leaves the others out.

mod bootstrap;
mod codec;
mod data;
mod disk;
mod library;
mod live;
mod site;
mod table;

use std::process::ExitCode;

const WORKLOADS: [(&str, fn(&mut Vec<table::Row>, bool)); 7] = [
    ("w1", live::live),
    ("w3", bootstrap::bootstrap),
    ("w4", live::catch_up),
    ("w5", live::merge),
    ("w6", codec::repair),
    ("w7", codec::codec),
    ("w8", disk::durable),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, file, now_ms] = arguments.as_slice()
        && flag == "--decode"
    {
        bootstrap::decode(name, file, now_ms);
        return ExitCode::SUCCESS;
    }
    let beside = !arguments.iter().any(|argument| argument == "--alone");
    let wanted: Vec<&str> = arguments.iter().map(String::as_str).filter(|argument| !argument.starts_with("--")).collect();
    let mut rows = Vec::new();
    for (name, run) in WORKLOADS {
        if wanted.is_empty() || wanted.contains(&name) {
            eprintln!("{name} …");
            run(&mut rows, beside);
        }
    }
    print!("{}", table::markdown(&rows, "machine"));
    ExitCode::SUCCESS
}
