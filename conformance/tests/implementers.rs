//! What leads an implementer: the skeletons, `doctor`, `baseline`, and roles that are not played.
#![allow(clippy::unwrap_used, reason = "a test stops where it is not as it says")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

const LIAR: &str = env!("CARGO_BIN_EXE_syncline-liar");

/// The suite's program: its exit code, and all it printed.
fn conform(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_syncline-conform")).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), text)
}

fn liar(mode: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("conform.toml");
    fs::write(&file, format!("# mine\n[implementation]\nname = \"liar\"\n[adapter]\ncmd = ['''{LIAR}''', \"{mode}\"]\nanswer_ms = 1000\n"))
        .unwrap();
    let file = file.display().to_string();
    (folder, file)
}

/// A skeleton as `init` writes it, and its conform.toml.
fn skeleton(lang: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = conform(&["init", "--lang", lang, folder.path().to_str().unwrap()]);
    assert_eq!(code, 0, "{text}");
    let file = folder.path().join("conform.toml").display().to_string();
    (folder, file)
}

fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(file, text.replacen(from, to, 1)).unwrap();
}

/// Fills in a skeleton's `decode` and `encode`.
fn gives_back_what_it_was_given(adapter: &Path) {
    let text = fs::read_to_string(adapter).unwrap();
    let (decode, encode) = ("raise Unsupported\n\n\ndef encode", "as bytes.\"\"\"\n    raise Unsupported");
    assert!(text.contains(decode) && text.contains(encode), "{text}");
    let text = text.replacen(encode, "as bytes.\"\"\"\n    return decoded", 1).replacen(decode, "return data\n\n\ndef encode", 1);
    fs::write(adapter, text).unwrap();
}

#[test]
fn the_python_skeleton_is_honest_and_is_led_from_vectors_on() {
    let (folder, file) = skeleton("python");
    let (code, text) = conform(&["doctor", "--impl", &file]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("next: answer the vectors of the kind value"), "{text}");
    assert_eq!(conform(&["run", "--impl", &file]).0, 3);
    let adapter = folder.path().join("adapter.py");
    gives_back_what_it_was_given(&adapter);
    let (code, text) = conform(&["doctor", "--impl", &file]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("next: repair vectors/value/"), "{text}");
    let (code, text) = conform(&["run", "--impl", &file, "--filter", "vectors/value"]);
    assert!(code == 1 && !text.contains("conformance: 0 passed"), "{text}");
    assert!(text.contains("  again:   ") && text.contains(" MUST"), "{text}");
}

/// The fenced blocks of the guide that begin so, without their fences.
fn blocks(guide: &str, begins: &str) -> Vec<String> {
    let fenced = guide.split("\n```").skip(1).step_by(2);
    fenced.filter_map(|block| block.strip_prefix(begins)).map(|rest| format!("{begins}{rest}").trim().to_owned()).collect()
}

/// Each line that is shown was told, in this order; `…` stands for any lines.
fn tells(told: &str, shown: &str) {
    let mut rest = told.lines();
    for line in shown.lines().filter(|line| line.trim() != "…" && !line.is_empty()) {
        assert!(rest.any(|told| told == line), "the guide shows `{line}`, which is not told there in:\n{told}");
    }
}

/// What the guide's commands tell, the first of each kind on the skeleton and the others as the text says.
#[test]
fn the_guide_shows_what_its_commands_tell() {
    let guide = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/src/implementing.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = |command: &str| {
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        let output = Command::new(env!("CARGO_BIN_EXE_syncline-conform")).args(words).current_dir(folder.path()).output().unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    };
    let adapter = folder.path().join("mine/adapter.py");
    let consoles = blocks(&guide, "\n$ ");
    let mut commands = consoles.iter().flat_map(|block| block.split("$ ").skip(1)).map(|part| part.split_once('\n').unwrap());
    let mut next = |last_word: &str| {
        let (command, shown) = commands.next().unwrap();
        assert!(command.contains(last_word), "{command}");
        tells(&run(command), shown);
    };
    next("init");
    next("doctor");
    let skeleton = fs::read_to_string(&adapter).unwrap();
    gives_back_what_it_was_given(&adapter);
    next("doctor");
    next("--filter vectors/value/array-cut-short");
    let [code] = <[String; 1]>::try_from(blocks(&guide, "python")).unwrap();
    let (before, after) = (skeleton.split_once("def decode").unwrap().0, skeleton.split_once("def hello").unwrap().1);
    fs::write(&adapter, format!("{before}{}\n\n\ndef hello{after}", code.trim_start_matches("python"))).unwrap();
    next("doctor");
}

/// Ends what it holds, also where a test fails.
struct Ends(std::process::Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn watch_judges_again_after_a_change_and_says_what_turned() {
    let (folder, file) = skeleton("python");
    let adapter = folder.path().join("adapter.py");
    let arguments = ["run", "--watch", "--impl", &file, "--filter", "vectors/value/null"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_syncline-conform"));
    let mut child = Ends(command.args(arguments).stdout(Stdio::piped()).spawn().unwrap());
    let (say, said) = mpsc::channel();
    let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    std::thread::spawn(move || lines.map_while(Result::ok).all(|line| say.send(line).is_ok()));
    // What one run tells, to its end.
    let told = || {
        let mut told = String::new();
        while !told.contains("watching ") {
            told += &(said.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("no end after: {told}")) + "\n");
        }
        told
    };
    assert!(told().contains("conformance: 0 passed, 0 failed, 1 skipped"));
    gives_back_what_it_was_given(&adapter);
    let text = told();
    assert!(text.contains("now passing: vectors/value/null"), "{text}");
    edit(&adapter, "    return decoded", "    return decoded + decoded");
    let text = told();
    assert!(text.contains("now failing: vectors/value/null"), "{text}");
}

#[test]
fn init_writes_over_nothing() {
    let (folder, file) = skeleton("rust");
    fs::write(&file, "mine").unwrap();
    assert_eq!(conform(&["init", "--lang", "typescript", folder.path().to_str().unwrap()]).0, 2);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    assert!(!folder.path().join("adapter.ts").exists());
}

#[test]
fn doctor_says_what_is_wrong() {
    let wrong = [
        ("echo", 1, "it replied ok to the made-up verb|claims them"),
        ("yes", 1, "it replied ok to the made-up verb"),
        ("hang", 1, "had not replied to hello|had not replied"),
        ("hang-at-once", 4, "had not replied to hello"),
        ("garbage", 4, "each line of stdout is one JSON object"),
        ("disorder", 1, "replies come in the order of the commands"),
        ("unasked", 1, "when nothing was asked|though no peer was opened"),
        ("dies-of-garbage", 1, "JSONDecodeError"),
        ("flood", 1, "lines are allowed before the reply"),
    ];
    for (mode, code, words) in wrong {
        let (_folder, file) = liar(mode);
        let (found, text) = conform(&["doctor", "--impl", &file]);
        assert_eq!(found, code, "{mode}: {text}");
        assert!(words.split('|').any(|words| text.contains(words)), "{mode}: {text}");
        assert!(!text.contains("next:"), "{mode}: {text}");
    }
}

#[test]
fn what_needs_a_role_that_is_not_played_is_not_claimed() {
    let (_folder, file) = liar("client-only");
    for (filter, role) in [("identity/fork-changes-nothing@L3", "server"), ("identity/client-ids-are-apart@L3", "server")] {
        let (code, text) = conform(&["run", "--impl", &file, "--filter", filter]);
        assert_eq!(code, 3, "{text}");
        assert!(text.contains("conformance: 0 passed, 0 failed, 1 skipped"), "{text}");
        assert!(text.contains(&format!("hello does not name the role {role}")) || text.contains("not-claimed"), "{text}");
    }
    let (code, text) = conform(&["run", "--impl", &file, "--filter", "identity/client-duplicate-counts-as-accepted@L3"]);
    assert_eq!(code, 1, "{text}");
}

#[test]
fn a_baseline_lists_what_fails_and_drops_what_does_not() {
    let (_folder, file) = liar("client-only");
    let known = "\n[[known]]\ncheck = \"no/such-check@L3\"\nissue = \"x\"\nuntil = \"2999-01-01\"\n";
    let text = fs::read_to_string(&file).unwrap() + known;
    fs::write(&file, &text).unwrap();
    assert_eq!(conform(&["run", "--impl", &file]).0, 1);
    let update = |until| conform(&["baseline", "--update", "--impl", &file, "--issue", "https://example.org/1", "--until", until]);
    assert!(update("2001-01-01").0 != 0);
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    assert_eq!(update("2999-12-31").0, 0);
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.starts_with("# mine\n") && !written.contains("no/such-check"), "{written}");
    assert!(written.contains("check = \"identity/client-duplicate-counts-as-accepted@L3\""), "{written}");
    let (_, text) = conform(&["run", "--impl", &file]);
    assert!(text.contains(" 0 failed"), "{text}");
}
