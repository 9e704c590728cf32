//! Adapters that lie, hang, flood or die are told as such: never a pass, and the harness neither hangs, panics nor grows.
#![allow(clippy::unwrap_used, reason = "a test stops where it is not as it says")]

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use syncline_conformance::adapter::Adapter;
use syncline_conformance::config::AdapterProgram;
use syncline_conformance::trouble::Trouble;
use tempfile::TempDir;

const LIAR: &str = env!("CARGO_BIN_EXE_syncline-liar");
const PROFILES: &str =
    r#""core", "rules", "access", "presence", "signal", "subscribe", "flow", "conditions", "peer", "repair", "compact", "packed""#;
/// Address space of the harness and of each liar: what is read without bound ends here.
#[cfg(target_os = "linux")]
const MEMORY_BYTES_MAX: u64 = 2 << 30;

/// The suite's program.
fn conform(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_syncline-conform"));
    command.args(arguments);
    bounded(&mut command);
    command.output().unwrap()
}

/// Where this is inherited, a harness that grows dies.
#[cfg(target_os = "linux")]
fn bounded(_: &mut Command) {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let limit = Rlimit { current: Some(MEMORY_BYTES_MAX), maximum: Some(MEMORY_BYTES_MAX) };
    setrlimit(Resource::As, limit).unwrap();
}

#[cfg(not(target_os = "linux"))]
fn bounded(_: &mut Command) {}

/// A folder with a conform.toml whose adapter is this command.
fn implementation(cmd: &[&str], profiles: &str, rest: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("conform.toml");
    let cmd = cmd.iter().map(|word| format!("'''{word}'''")).collect::<Vec<_>>().join(", ");
    let text = format!("profiles = [{profiles}]\n[implementation]\nname = \"liar\"\n[adapter]\ncmd = [{cmd}]\n{rest}");
    fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    (folder, file)
}

/// What `run` with this filter makes of a liar: the exit code and all it printed.
fn judged(mode: &str, profiles: &str, filter: &str) -> (i32, String) {
    // Whoever says nothing, or never comes to an end, is not waited for as long as whoever says too much.
    let silent = mode.starts_with("hang") || ["no-newline", "fresh-wake"].contains(&mode);
    let (_folder, file) = implementation(&[LIAR, mode], profiles, if silent { "answer_ms = 300" } else { "" });
    let output = conform(&["run", "--impl", &file, "--filter", filter]);
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap_or_else(|| panic!("{mode}: the harness died: {text}")), text)
}

/// The liar fails this filter's checks, is told so in these words, and passes none.
fn fails(mode: &str, filter: &str, words: &str) {
    let (code, text) = judged(mode, r#""core""#, filter);
    assert_eq!(code, 1, "{mode}: {text}");
    assert!(text.contains(words), "{mode}: {text}");
    assert!(text.contains("conformance: 0 passed"), "{mode}: {text}");
}

/// The liar counts as one that could not be started, in these words.
fn does_not_start(mode: &str, words: &str) {
    let (code, text) = judged(mode, r#""core""#, "identity/");
    assert_eq!(code, 4, "{mode}: {text}");
    assert!(text.contains(words), "{mode}: {text}");
    assert!(text.contains("conformance: 0 passed"), "{mode}: {text}");
}

#[test]
fn an_adapter_that_hangs_is_told_so_and_is_not_asked_for_ever() {
    fails("hang", "identity/", "had not replied to open after 300 ms");
    let (_, text) = judged("hang", r#""core""#, "vectors/");
    assert!(text.contains("8 failed"), "{text}");
}

#[test]
fn an_adapter_that_never_greets_is_not_started() {
    does_not_start("hang-at-once", "had not replied to hello after 300 ms");
}

#[test]
fn a_flood_is_bounded_and_told() {
    fails("flood", "identity/fork", "lines are allowed before the reply");
    fails("flood-line", "identity/fork", "wrote a line of over 8388608 bytes");
    fails("deep", "identity/fork", "each line of stdout is one JSON object");
    let (code, text) = judged("flood-after", r#""core""#, "vectors/value");
    // A line that comes while the next request is under way counts as written before its reply.
    let told = text.contains("when nothing was asked") || text.contains("lines are allowed before the reply");
    assert!(code == 1 && told, "{text}");
    assert!(!text.contains("conformance: 0 passed, 0 failed"), "{text}");
}

#[test]
fn a_flood_of_stderr_is_bounded() {
    let (code, text) = judged("flood-stderr", r#""core""#, "vectors/value");
    assert_eq!(code, 3, "{text}");
}

#[test]
fn an_adapter_that_dies_is_told_so_with_what_it_said() {
    let (code, text) = judged("crash", r#""core""#, "identity/");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("exit status: 101") && text.contains("panicked at `index out of bounds`"), "{text}");
    assert!(text.contains("conformance: 0 passed"), "{text}");
}

/// The reference, which dies of its n-th command in the midst of a story that it would pass.
#[cfg(unix)]
#[test]
fn whoever_dies_at_any_command_passes_nothing() {
    let adapter = env!("CARGO_BIN_EXE_syncline-adapter");
    for commands in [0, 1, 2, 3, 5, 8] {
        let read = r#"IFS= read -r line && printf '%s\n' "$line""#;
        let script = format!("n=0; while [ $n -lt {commands} ] && {read}; do n=$((n+1)); done | '{adapter}'");
        let (_folder, file) = implementation(&["sh", "-c", &script], r#""core""#, "");
        let output = conform(&["run", "--impl", &file, "--filter", "identity/fork-changes-nothing@L3"]);
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(if commands == 0 { 4 } else { 1 }), "{commands}: {text}");
        assert!(text.contains("conformance: 0 passed, 1 failed"), "{commands}: {text}");
    }
}

#[test]
fn whoever_says_yes_to_all_passes_no_scenario() {
    let (code, text) = judged("yes", r#""core""#, "@L3");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("conformance: 0 passed"), "{text}");
    let (code, text) = judged("yes", r#""core""#, "vectors/");
    assert!(code == 1, "{text}");
}

#[test]
fn whoever_gives_back_what_it_is_given_fails() {
    fails("echo", "@L3", "FAIL ");
    let (code, text) = judged("echo", r#""core""#, "vectors/");
    assert_eq!(code, 1, "{text}");
    // Each case that is refused or computed, which no echo is.
    assert!(text.matches("FAIL vectors/").count() > 200, "{text}");
}

#[test]
fn whoever_never_rests_is_told_so() {
    for (mode, filter) in [("eager", "sessions/reconnecting"), ("table-tennis", "identity/fork-changes")] {
        let (code, text) = judged(mode, r#""core""#, filter);
        assert_eq!(code, 1, "{mode}: {text}");
        assert!(text.contains("conformance: 0 passed"), "{mode}: {text}");
    }
}

#[test]
fn whoever_talks_at_random_passes_no_scenario() {
    let (code, text) = judged("babble", r#""core""#, "@L3");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("conformance: 0 passed"), "{text}");
}

#[test]
fn whoever_claims_all_profiles_is_judged_by_all() {
    let (code, text) = judged("claims-all", PROFILES, "presence/");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("conformance: 0 passed, ") && !text.contains("not-claimed"), "{text}");
}

#[test]
fn a_claim_that_the_adapter_does_not_make_is_no_start() {
    let (code, text) = judged("unsupported", PROFILES, "presence/");
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("conform.toml claims the profile rules; the adapter's hello names core"), "{text}");
}

#[test]
fn what_is_no_line_of_the_protocol_is_quoted() {
    does_not_start("garbage", "wrote `DEBUG \"hello\"`; each line of stdout is one JSON object. Logs belong on stderr");
    does_not_start("no-newline", "without the line's end");
    does_not_start("greeting", "adapter 0.1, listening on stdin");
    let (code, text) = judged("not-utf8", r#""core""#, "vectors/value");
    assert!(code == 1 && text.contains("which is no UTF-8"), "{text}");
    let (code, text) = judged("wrong-id", r#""core""#, "vectors/value");
    assert!(code == 1 && text.contains("replied with the id `3` to vectors, whose id is 2"), "{text}");
}

#[test]
fn lines_that_nobody_asked_for_are_told() {
    let (code, text) = judged("repeat", r#""core""#, "vectors/value");
    assert!(code == 4 || code == 1, "{text}");
    assert!(text.contains("when nothing was asked") || text.contains("replied with the id"), "{text}");
}

#[test]
fn a_run_in_which_nothing_was_executed_is_incomplete() {
    let (code, text) = judged("unsupported", r#""core""#, "");
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("conformance: 0 passed, 0 failed, "), "{text}");
}

#[test]
fn a_filter_that_matches_nothing_is_a_usage_error() {
    let (code, text) = judged("unsupported", r#""core""#, "no-such-check");
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("no check's name holds `no-such-check`"), "{text}");
}

#[test]
fn an_unknown_level_is_a_usage_error() {
    let (_folder, file) = implementation(&[LIAR, "unsupported"], r#""core""#, "");
    assert_eq!(conform(&["run", "--impl", &file, "--level", "L9"]).status.code(), Some(2));
    fs::write(Path::new(&file), "level = \"high\"\n[implementation]\nname = \"liar\"\n").unwrap();
    assert_eq!(conform(&["run", "--impl", &file]).status.code(), Some(2));
}

#[test]
fn a_command_that_is_not_there_is_no_start() {
    let (_folder, file) = implementation(&["./no-such-program"], r#""core""#, "");
    let output = conform(&["run", "--impl", &file, "--filter", "identity/"]);
    assert_eq!(output.status.code(), Some(4));
}

#[test]
fn time_that_never_comes_is_told() {
    let (code, text) = judged("fresh-wake", r#""core""#, "sessions/");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("conformance: 0 passed"), "{text}");
}

#[cfg(unix)]
#[test]
fn an_adapter_that_closes_its_stdout_and_runs_on_is_ended() {
    let hello = r#"{"id":1,"ok":true,"version":1,"name":"x","profiles":["core"],"roles":["server"]}"#;
    let script = format!("read line; echo '{hello}'; exec >&-; while read line; do :; done; exec sleep 600");
    let (_folder, file) = implementation(&["sh", "-c", &script], r#""core""#, "");
    let output = conform(&["run", "--impl", &file, "--filter", "identity/fork"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("closed its stdout"), "{text}");
}

#[cfg(unix)]
#[test]
fn what_an_adapter_started_ends_with_it() {
    use std::io::Read;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let program = AdapterProgram { cmd: vec![LIAR.to_owned(), "parent".to_owned(), port], answer_ms: 10_000 };
    let adapter = Adapter::start(&program, 0).unwrap();
    let (mut child, _) = listener.accept().unwrap();
    drop(adapter);
    // It held the connection for as long as it lived.
    assert_eq!(child.read_to_end(&mut Vec::new()).unwrap_or(0), 0);
}

#[test]
fn a_command_that_nobody_reads_holds_up_nothing() {
    let program = AdapterProgram { cmd: vec![LIAR.to_owned(), "flood".to_owned()], answer_ms: 10_000 };
    let mut adapter = Adapter::start(&program, 0).unwrap();
    let big = "00".repeat(1 << 20);
    let trouble = adapter.call("frame", serde_json::json!({"frame": big})).unwrap_err();
    assert!(matches!(trouble, Trouble::Flood(_)), "{trouble}");
}
