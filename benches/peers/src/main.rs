//! Syncline beside other sync systems, on the same data in the same run: one table of figures, targets and ratios.
//!
//! `cargo bench-peers` runs all; names of workloads (`w1`, `w3`, `growth` …) run those; `--alone` leaves the others out;
//! `--out FOLDER` writes the table and the charts there.

mod bootstrap;
mod chart;
mod codec;
mod data;
mod disk;
mod fanout;
mod growth;
mod library;
mod live;
mod machine;
mod node;
mod site;
mod table;

use std::path::Path;
use std::process::ExitCode;

use table::{Curve, Row};

type Workload = fn(&mut Vec<Row>, bool);

const WORKLOADS: [(&str, Workload); 9] = [
    ("w1", live::live),
    ("w2", fanout::fan_out),
    ("w3", bootstrap::bootstrap),
    ("w4", live::catch_up),
    ("w5", live::merge),
    ("w6", codec::repair),
    ("w7", codec::codec),
    ("w8", disk::durable),
    ("node", node::node),
];
/// The workload whose rows are charts, too.
const GROWTH: &str = "growth";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--decode", name, file, now_ms] => bootstrap::decode(name, file, now_ms),
        ["--grow", against, size] => growth::grow(against, size),
        [flag @ ("--serve" | "--broadcast"), folder] => fanout::serve(flag, folder),
        _ => return run(arguments),
    }
    ExitCode::SUCCESS
}

fn run(mut arguments: Vec<String>) -> ExitCode {
    let out = arguments.iter().position(|argument| argument == "--out").and_then(|at| {
        let folder = arguments.drain(at..arguments.len().min(at + 2)).nth(1);
        folder.or_else(|| Some(String::new()))
    });
    let (flags, wanted): (Vec<&String>, Vec<&String>) = arguments.iter().partition(|argument| argument.starts_with('-'));
    let known = |name: &&String| WORKLOADS.iter().any(|(known, _)| known == name) || *name == GROWTH;
    let unknown = flags.iter().find(|flag| **flag != "--alone").or_else(|| wanted.iter().find(|name| !known(name)));
    if unknown.is_some() || out.as_ref().is_some_and(String::is_empty) {
        let names: Vec<&str> = WORKLOADS.iter().map(|(name, _)| *name).collect();
        eprintln!("allowed: {}, {GROWTH}, --alone, --out FOLDER; found {}", names.join(", "), unknown.map_or("--out alone", |found| found));
        return ExitCode::from(2);
    }
    let takes = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| *wanted == name);
    let (mut rows, mut curves) = (Vec::new(), Vec::new());
    for (name, run) in WORKLOADS.into_iter().filter(|(name, _)| takes(name)) {
        eprintln!("{name} …");
        run(&mut rows, flags.is_empty());
    }
    if takes(GROWTH) {
        eprintln!("{GROWTH} …");
        growth::growth(&mut rows, &mut curves);
    }
    let text = table::markdown(&rows, &machine::heading());
    print!("{text}");
    match out.map(|folder| write(Path::new(&folder), &text, &curves)) {
        Some(Err(error)) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
        Some(Ok(())) | None => ExitCode::SUCCESS,
    }
}

fn write(folder: &Path, text: &str, curves: &[Curve]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("costs.md"), text)?;
    for (file, against) in [("cost-records.svg", growth::AGAINST[0]), ("cost-history.svg", growth::AGAINST[1])] {
        let curves: Vec<&Curve> = curves.iter().filter(|curve| curve.against == against).collect();
        if !curves.is_empty() {
            std::fs::write(folder.join(file), chart::svg(&curves))?;
        }
    }
    Ok(())
}
