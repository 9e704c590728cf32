//! `cargo verify`: runs every test of the workspace, and of the TypeScript package where Node is there.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// The TypeScript package.
const JS: &str = "reference/js";
/// The oldest Node that it is for: `engines` of its `package.json`.
const NODE_MIN: u32 = 20;
/// Where a browser for tests mostly is.
const CHROMIUM: [&str; 3] = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/// A program with its arguments, and what it is there for.
struct Step {
    name: &'static str,
    program: String,
    arguments: Vec<&'static str>,
    /// Where it runs, from the root of the repository.
    folder: &'static str,
    environment: Vec<(&'static str, String)>,
    /// Whether it is there to run tests: then one that ran none has failed.
    tests: bool,
}

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (mut steps, mut absent, node) = (rust(), Vec::new(), node());
    match &node {
        Ok(()) => steps.extend(js()),
        Err(why) => absent.push(format!("js ({why}): NOTHING OF {JS} WAS TESTED")),
    }
    match chromium() {
        Some(path) => steps.extend(absent.is_empty().then(|| in_browser(path))),
        None => absent.push(format!("js chromium (there is none of {}, nor did CHROMIUM name one)", CHROMIUM.join(", "))),
    }
    absent.iter().for_each(|what| println!("not run: {what}"));
    let mut table = Vec::new();
    for step in &steps {
        println!("── {}: {} {}", step.name, Path::new(&step.program).file_stem().unwrap_or_default().display(), step.arguments.join(" "));
        let (success, tests) = run(&root, step);
        table.push((step.name, success && (tests > 0 || !step.tests), tests));
    }
    println!("\n{:<16} {:<8} {:>7}", "step", "", "tests");
    for (name, success, tests) in &table {
        println!("{name:<16} {:<8} {tests:>7}", if *success { "passed" } else { "FAILED" });
    }
    let ran: usize = table.iter().map(|(_, _, tests)| tests).sum();
    println!("{ran} tests ran");
    let failed = table.iter().filter(|(_, success, _)| !success).count();
    println!("{} passed, {failed} failed", table.len() - failed);
    // On a device of its own a Rust engineer needs neither; where a change is judged, nothing of the package may go unseen.
    let unseen = node.is_err() && std::env::var_os("CI").is_some();
    absent.iter().for_each(|what| println!("not run: {what}"));
    if unseen {
        println!("which fails where CI is set");
    }
    ExitCode::from(u8::from(failed > 0 || unseen))
}

/// The steps of the workspace.
fn rust() -> Vec<Step> {
    let nextest = Command::new(cargo())
        .args(["nextest", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let tests = if nextest {
        vec!["nextest", "run", "--workspace", "--no-fail-fast"]
    } else {
        vec!["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"]
    };
    let step = |name, arguments| Step { name, program: cargo(), arguments, folder: ".", environment: Vec::new(), tests: false };
    vec![
        step("format", vec!["fmt", "--all", "--check"]),
        step("clippy", vec!["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]),
        Step { tests: true, ..step("tests", tests) },
        step("doc tests", vec!["test", "--workspace", "--doc", "--quiet"]),
        Step {
            environment: vec![("RUSTDOCFLAGS", "-D warnings".to_owned())],
            ..step("docs", vec!["doc", "--workspace", "--no-deps", "--quiet"])
        },
        Step { tests: true, ..step("conformance", vec!["conform"]) },
    ]
}

/// The steps of the TypeScript package. The last ones use what `conformance` built: the server and the adapter of the reference.
fn js() -> Vec<Step> {
    let judge = |name, file| Step { program: cargo(), folder: ".", tests: true, ..npm(name, vec!["conform", "run", "--impl", file]) };
    vec![
        npm("js packages", vec!["ci", "--prefer-offline", "--no-audit", "--no-fund"]),
        npm("js format", vec!["run", "format"]),
        Step { tests: true, ..npm("js tests", vec!["test"]) },
        Step { tests: true, environment: vec![server()], ..npm("js server", vec!["run", "test:interop"]) },
        judge("js conformance", "reference/js/conform.toml"),
        judge("js interop", "reference/js/interop.toml"),
        judge("js peers", "reference/js/peers.toml"),
        judge("js peers turned", "reference/js/peers-turned.toml"),
    ]
}

/// The tests of the TypeScript package in a browser.
fn in_browser(path: String) -> Step {
    Step { tests: true, environment: vec![server(), ("CHROMIUM", path)], ..npm("js chromium", vec!["run", "test:chromium"]) }
}

fn npm(name: &'static str, arguments: Vec<&'static str>) -> Step {
    Step { name, program: "npm".to_owned(), arguments, folder: JS, environment: Vec::new(), tests: false }
}

/// Where the server of the reference is, beside this program.
fn server() -> (&'static str, String) {
    ("SYNCLINE_SERVER", std::env::current_exe().map(|exe| exe.with_file_name("syncline-server").display().to_string()).unwrap_or_default())
}

/// The browser that `CHROMIUM` names, there or not, or one where they mostly are.
fn chromium() -> Option<String> {
    let mostly = || CHROMIUM.iter().find(|path| Path::new(path).exists()).map(|path| (*path).to_owned());
    std::env::var("CHROMIUM").ok().or_else(mostly)
}

/// Whether Node is there.
///
/// # Errors
/// It is not, or is too old: which.
fn node() -> Result<(), String> {
    let output = Command::new("node").arg("--version").output().map_err(|error| format!("node: {error}"))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
    if major.is_some_and(|major: u32| major >= NODE_MIN) { Ok(()) } else { Err(format!("node {version}; {NODE_MIN} or later is needed")) }
}

/// Runs a step, passes on what it says, and counts the tests it says it ran.
fn run(root: &Path, step: &Step) -> (bool, usize) {
    let mut command = Command::new(&step.program);
    command.current_dir(root.join(step.folder)).args(&step.arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(step.environment.iter().cloned());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            println!("{}: {error}", step.program);
            return (false, 0);
        }
    };
    let (stdout, stderr) = (child.stdout.take().expect("it was piped"), child.stderr.take().expect("it was piped"));
    // Nextest sums up on stderr, the others on stdout.
    let aside = std::thread::spawn(move || pass_on(stderr));
    let tests = pass_on(stdout) + aside.join().unwrap_or(0);
    (child.wait().is_ok_and(|status| status.success()), tests)
}

/// Prints what a step says, and counts the tests it says it ran.
fn pass_on(output: impl Read) -> usize {
    let lines = BufReader::new(output).lines().map_while(Result::ok);
    lines.inspect(|line| println!("{line}")).map(|line| count(&line)).sum()
}

/// The tests that a summary line counts: cargo's, nextest's, the suite's or Node's.
fn count(line: &str) -> usize {
    if let Some(passed) = line.strip_prefix("# pass ") {
        return passed.parse().unwrap_or(0);
    }
    let words: Vec<&str> = line.split(|c: char| c.is_whitespace() || c == ',' || c == ';').filter(|word| !word.is_empty()).collect();
    let summary = line.starts_with("test result:") || line.starts_with("conformance:") || line.contains("tests run:");
    let passed = words.windows(2).find(|pair| pair[1] == "passed").and_then(|pair| pair[0].parse().ok());
    if summary { passed.unwrap_or(0) } else { 0 }
}

fn cargo() -> String {
    std::env::var("CARGO").unwrap_or("cargo".to_owned())
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn summaries_are_counted() {
        assert_eq!(count("test result: ok. 12 passed; 0 failed; 0 ignored"), 12);
        assert_eq!(count("conformance: 3 passed, 0 failed, 1 skipped"), 3);
        assert_eq!(count("     Summary [   0.1s] 7 tests run: 7 passed, 0 skipped"), 7);
        assert_eq!(count("# pass 27"), 27);
        assert_eq!(count("running 3 tests"), 0);
    }
}
