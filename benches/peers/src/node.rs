//! What runs on Node: the TypeScript client beside yjs and automerge-repo, each with its server over WebSocket.

use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::table::{Row, Target};

/// This package's folder, from where it was built.
const HERE: &str = env!("CARGO_MANIFEST_DIR");
const COUNTS: [&str; 2] = ["10000", "100000"];

/// A line that the program on Node prints.
#[derive(Deserialize)]
struct Line {
    workload: String,
    measure: String,
    unit: String,
    figures: Vec<(String, f64)>,
}

pub fn node(rows: &mut Vec<Row>, beside: bool) {
    if !beside {
        return;
    }
    match run() {
        Ok(lines) => rows.extend(lines.into_iter().filter_map(row)),
        Err(why) => eprintln!("the peers on Node did not run: {why}"),
    }
}

/// Installs and builds what is needed, and runs it.
fn run() -> Result<Vec<Line>, String> {
    let (here, root) = (Path::new(HERE).join("node"), Path::new(HERE).join("../.."));
    let js = root.join("reference/js");
    let install = ["ci", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"];
    // What is optional there is compiled code that speeds nothing up that is measured.
    quietly("npm", &[&install[..], &["--omit=optional"]].concat(), &here)?;
    quietly("npm", &install, &js)?;
    quietly("npm", &["run", "build"], &js)?;
    let target = root.join("target/peers");
    let cargo = std::env::var("CARGO").unwrap_or("cargo".to_owned());
    let target_dir = target.to_string_lossy();
    quietly(&cargo, &["build", "--release", "--quiet", "--package", "syncline-server", "--target-dir", &target_dir], &root)?;
    let output = Command::new("node")
        .arg("bench.mjs")
        .args(COUNTS)
        .current_dir(&here)
        .env("SYNCLINE_SERVER", target.join("release/syncline-server"))
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("node: {error}"))?;
    if !output.status.success() {
        return Err(format!("node bench.mjs: {}", output.status));
    }
    let line = |line: &str| serde_json::from_str(line).map_err(|error| format!("{line}: {error}"));
    String::from_utf8_lossy(&output.stdout).lines().map(line).collect()
}

/// Runs a program to its end; what it prints is shown only where it failed.
fn quietly(program: &str, arguments: &[&str], folder: &Path) -> Result<(), String> {
    let output = Command::new(program).args(arguments).current_dir(folder).output().map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{program} {}: {}\n{}", arguments.join(" "), output.status, String::from_utf8_lossy(&output.stderr))),
    }
}

/// The first figure is ours. None where we did not end in time: that is said above.
fn row(line: Line) -> Option<Row> {
    let mut figures = line.figures.into_iter();
    let (_, ours) = figures.next().filter(|(system, _)| system == "syncline")?;
    let workload = ["W1", "W3"].into_iter().find(|name| *name == line.workload)?;
    let unit = ["B", "ms", "MB"].into_iter().find(|name| *name == line.unit)?;
    let name = |system: &str| if system == "yjs" { "yjs + y-websocket" } else { "automerge-repo" };
    Some(
        figures.fold(Row::new(workload, line.measure, unit, ours, Target::None), |row, (system, figure)| row.beside(name(&system), figure)),
    )
}
