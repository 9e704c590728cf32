//! `cargo verify`: runs every test of the workspace.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use std::io::{BufRead, BufReader, Read};

/// A step: its name, the arguments of cargo, and the environment it needs.
type Step = (&'static str, Vec<&'static str>, Option<(&'static str, &'static str)>);

/// The steps that must run tests.
const TESTING: [&str; 2] = ["tests", "conformance"];

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut table = Vec::new();
    for (name, arguments, environment) in steps() {
        println!("── {name}: cargo {}", arguments.join(" "));
        let (success, tests) = run(&root, &arguments, environment);
        // A step that is there to run tests and ran none has failed.
        let success = success && (tests > 0 || !TESTING.contains(&name));
        table.push((name, success, tests));
    }
    println!("\n{:<12} {:<8} {:>7}", "step", "", "tests");
    for (name, success, tests) in &table {
        println!("{name:<12} {:<8} {tests:>7}", if *success { "passed" } else { "FAILED" });
    }
    let ran: usize = table.iter().map(|(_, _, tests)| tests).sum();
    println!("{ran} tests ran");
    let failed = table.iter().filter(|(_, success, _)| !success).count();
    println!("{} passed, {failed} failed", table.iter().filter(|(_, success, _)| *success).count());
    ExitCode::from(u8::from(failed > 0))
}

fn steps() -> Vec<Step> {
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
    vec![
        ("format", vec!["fmt", "--all", "--check"], None),
        ("clippy", vec!["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"], None),
        ("tests", tests, None),
        ("doc tests", vec!["test", "--workspace", "--doc", "--quiet"], None),
        ("docs", vec!["doc", "--workspace", "--no-deps", "--quiet"], Some(("RUSTDOCFLAGS", "-D warnings"))),
        ("conformance", vec!["conform"], None),
    ]
}

/// Runs cargo, passes on what it says, and counts the tests it says it ran.
fn run(root: &Path, arguments: &[&str], environment: Option<(&str, &str)>) -> (bool, usize) {
    let mut command = Command::new(cargo());
    command.current_dir(root).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(environment);
    let Ok(mut child) = command.spawn() else { return (false, 0) };
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

/// The tests that a summary line counts: cargo's, nextest's or the suite's.
fn count(line: &str) -> usize {
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
        assert_eq!(count("running 3 tests"), 0);
    }
}
