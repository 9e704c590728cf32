//! Each universal check finds the fault in a bad trace, and none in its good twin.
//!
//! A story is a few lines: `connect a`, `a > frame` from the client, `a < frame` from the server, `end a`, `crash`, `load`,
//! `tokens JSON`, `synced a POSITION FINGERPRINT`, `at MS`. In a pair the line that begins with `!` stands in the bad trace
//! only, and one with `=` in the good one only.

use syncline_conformance::cbor::encode_sequence;
use syncline_conformance::checks::Rulebook;
use syncline_conformance::corpus::Corpus;
use syncline_conformance::edn::Cursor;
use syncline_conformance::pattern::{Names, value};
use syncline_conformance::trace::{Event, Frame, What};
use syncline_conformance::trace_file::{Header, Trace, VERSION};
use syncline_conformance::universal::judge;

/// A session up to the open channel: what most stories begin with.
const OPEN: &str = "connect a
a > 0, [0, [1], [0], {}, null]
a < 0, [1, 1, [0], {}, 1000]
a > 1, [2, \"home\", R1, 0, null]
a < 1, [3, 0, h'0000000000000001', 0, start(\"home\", R1), 1000, 1]
a < 1, [9, true, 0, h'0000000000000001']
";
const CHANGE: &str = "a > 1, [5, [1, 0, [[\"todos\", \"t1\"], [\"title\", 0], \"x\"]]]
a < 1, [6, 1, 1, 1]
";

fn event(at: &mut u64, line: &str) -> Option<What> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let text = str::to_owned;
    Some(match word {
        "at" => {
            *at = rest.parse().expect("a time");
            return None;
        }
        "connect" => What::Connect { conn: format!("{rest}1"), from: text(rest), to: text("server") },
        "end" => What::End { conn: format!("{rest}1"), by: text("server"), code: None },
        "crash" => What::Crash { who: text("server") },
        "load" => What::Load { who: text("server") },
        "tokens" => What::Tokens { grants: serde_json::from_str(rest).expect("JSON") },
        "synced" => {
            let words: Vec<&str> = rest.split(' ').collect();
            What::Synced {
                who: text(words[0]),
                position: words[1].parse().expect("a position"),
                history: text("h"),
                fingerprint: text(words[2]),
            }
        }
        who => {
            let (side, frame) = rest.split_once(' ').expect("a side and a frame");
            let bytes = match frame.strip_prefix("bytes ") {
                Some(hex) => syncline_conformance::edn::unhex(hex).expect("hex"),
                None => {
                    let items = Cursor::new(frame).sequence().expect("a frame");
                    let items: Vec<_> = items.iter().map(|item| value(item, &Names::new()).expect("no names")).collect();
                    encode_sequence(&items)
                }
            };
            let (from, to) = if side == ">" { (text(who), text("server")) } else { (text("server"), text(who)) };
            What::Frame(Frame { conn: format!("{who}1"), from, to, judged: true, bytes })
        }
    })
}

fn broken(story: &str) -> Vec<(String, String)> {
    let rulebook = Rulebook::load(&Corpus::own()).expect("the spec");
    let header = Header { trace: VERSION, name: "x".to_owned(), role: "both".to_owned(), space: "home".to_owned(), seed: 0 };
    let mut at = 1000;
    let lines = story.lines().filter(|line| !line.is_empty());
    let events = lines.filter_map(|line| event(&mut at, line).map(|what| Event { at, what })).collect();
    judge(&rulebook, &Trace { header, events }, false).into_iter().map(|broken| (broken.rule, broken.by)).collect()
}

/// The bad story breaks this rule by this side and no other, and the good one none.
fn twins(rule: &str, by: &str, story: &str) {
    let pick = |mark: char, other: char| {
        let lines = story.lines().filter(|line| !line.starts_with(other));
        lines.map(|line| line.trim_start_matches(mark).to_owned() + "\n").collect::<String>()
    };
    assert_eq!(broken(&pick('!', '=')), [(rule.to_owned(), by.to_owned())], "{rule}: the bad twin");
    assert_eq!(broken(&pick('=', '!')), [], "{rule}: the good twin");
}

fn opened(rule: &str, by: &str, story: &str) {
    twins(rule, by, &format!("{OPEN}{story}"));
}

#[test]
fn one_encoding_and_the_schema() {
    opened("CODEC-12", "server", "!a < bytes 00820b1807\n=a < bytes 00820b07\n");
    opened("CODEC-13", "a", "!a > 0, [11, \"x\"]\n=a > 0, [11, 7]\n");
    opened("CODEC-13", "server", "!a < bytes 0082\n");
    opened("FRAME-1", "server", "!a < bytes 00\n");
}

#[test]
fn the_order_of_a_connection() {
    twins("SESS-1", "a", "connect a\n!a > 0, [11, 1]\n");
    opened("SESS-1", "a", "!a > 0, [0, [1], [0], {}, null]\n");
    opened("SESS-2", "server", "!a < 0, [1, 1, [0], {}, 1000]\n");
    twins("SESS-2", "server", "connect a\na > 0, [0, [1], [0], {}, null]\n!a < 0, [1, 2, [0], {}, 1]\n=a < 0, [1, 1, [0], {}, 1]\n");
    twins("SESS-4", "server", "connect a\na > 0, [0, [1], [0], {}, null]\n!a < 0, [1, 1, [0, 3], {}, 1]\n=a < 0, [1, 1, [0], {}, 1]\n");
    opened("SESS-6", "server", "a > 0, [11, 7]\n!a < 0, [12, 8, 1000]\n=a < 0, [12, 7, 1000]\n");
    opened("SESS-7", "a", &format!("{}!a > 0, [11, 61]\n", (1..=60).map(|n| format!("a > 0, [11, {n}]\n")).collect::<String>()));
    opened("SESS-9", "server", "a < 0, [14, 100]\n!a < 1, [10, 0, h'0000000000000001', fingerprint(1000, [])]\n=end a\n");
    opened("SESS-9", "server", "a < 0, [14, 100]\n=end a\nat 9000\nconnect b\n");
    opened("SESS-17", "server", "!a < 1, [4]\n");
}

#[test]
fn the_order_of_a_channel() {
    opened("SESS-15", "server", "!a < 2, [10, 0, h'0000000000000001', fingerprint(1000, [])]\n");
    opened("SESS-17", "server", "a > 1, [4]\na < 1, [4]\n!a < 1, [10, 0, h'0000000000000001', fingerprint(1000, [])]\n");
    opened("SESS-17", "a", "a > 1, [4]\n!a > 1, [5, [1, 0, [[\"todos\", \"t1\"]]]]\n");
    opened("SESS-18", "a", "!a > 2, [5, [1, 0, [[\"todos\", \"t1\"]]]]\n");
    opened("FRAME-5", "a", "!a > 1, [2, \"home\", R1, 0, null]\n=a > 2, [2, \"home\", R1, 0, null]\n");
    opened("FRAME-5", "a", "!a > 1, [6, 1, 1, 1]\n");
    opened("ERROR-5", "server", "a < 1, [13, 12, 1, null, \"\"]\n!a < 1, [10, 0, h'0000000000000001', fingerprint(1000, [])]\n");
    opened("PROFILE-2", "a", "!a > 1, [18, R1, 1, 100, h'01']\n");
    opened(
        "SYNC-24",
        "server",
        "a < 1, [10, 0, h'0000000000000001', fingerprint(1000, [])]\n!a < 1, [10, 0, h'0000000000000001', fingerprint(1000, [])]\n",
    );
}

#[test]
fn positions_and_echo() {
    opened("SESS-20", "server", "!a < 1, [21, 2, R2, 1, 33]\n=a < 1, [21, 1, R2, 1, 33]\n");
    opened("SESS-23", "server", "!a < 1, [8, 1, R1, 1, 0, [[\"todos\", \"t1\"]]]\n=a < 1, [8, 1, R2, 1, 0, [[\"todos\", \"t1\"]]]\n");
}

#[test]
fn limits_are_kept() {
    let welcome = |limits: &str, profiles: &str| OPEN.replace("[1, 1, [0], {}, 1000]", &format!("[1, 1, {profiles}, {limits}, 1000]"));
    let wants = |story: String, profiles: &str| story.replace("[0, [1], [0], {}", &format!("[0, [1], {profiles}, {{}}"));
    let push = "a > 1, [5, [1, 0, [[\"todos\", \"t1\"]]]]\n!a > 1, [5, [2, 0, [[\"todos\", \"t1\"]]]]\n";
    twins("SESS-19", "a", &format!("{}{push}", welcome("{6: 1}", "[0]")));
    twins("SESS-19", "a", &format!("{}{push}", welcome("{7: 20}", "[0]")));
    twins("FLOW-1", "a", &format!("{}{push}", wants(welcome("{8: 10}", "[0, 9]"), "[0, 9]")));
    twins("LIMIT-2", "a", &format!("{}!a > 1, [5, [1, 0, [[\"todos\", text(100)]]]]\n", welcome("{0: 64}", "[0]")));
}

#[test]
fn what_was_told_of_the_log_stays() {
    let again = |position: u64, seq: u64, link: &str| {
        format!(
            "end a\nconnect b\nb > 0, [0, [1], [0], {{}}, null]\nb < 0, [1, 1, [0], {{}}, 1000]\nb > 1, [2, \"home\", R1, {seq}, null]\nMARKb < 1, [3, {position}, h'0000000000000001', {seq}, {link}, 1000, 1]\n"
        )
    };
    let (start, link) = ("start(\"home\", R1)", "link(\"home\", R1, 1000, [[1, 0, [[\"todos\", \"t1\"], [\"title\", 0], \"x\"]]])");
    let good = again(1, 1, link).replace("MARK", "=");
    let bad = |position, seq, link: &str| {
        again(position, seq, link).lines().last().map(|line| line.replace("MARK", "!") + "\n").unwrap_or_default()
    };
    opened("IDENT-10", "server", &format!("{CHANGE}{good}{}", bad(1, 0, start)));
    opened("SYNC-1", "server", &format!("{CHANGE}{good}{}", bad(0, 1, link)));
    opened("IDENT-2", "server", &format!("{CHANGE}{good}{}", bad(1, 1, start)));
    opened("SESS-22", "server", &format!("{CHANGE}crash\n{}{}", good.replace("end a\n", ""), bad(1, 0, start)));
    // Who goes back to a copy is not bound by what it said since.
    assert_eq!(broken(&format!("{OPEN}{CHANGE}load\n{}", again(0, 0, start).replace("MARK", "").replace("end a\n", ""))), []);
    opened(
        "IDENT-4",
        "server",
        &format!("{CHANGE}a > 1, [5, [1, 0, [[\"todos\", \"t1\"], [\"title\", 0], \"x\"]]]\n!a < 1, [6, 1, 2, 1]\n=a < 1, [6, 1, 1, 1]\n"),
    );
}

#[test]
fn marks_lives_and_clients_agree_with_the_log() {
    let log = "[[R1, [1, 0, [[\"todos\", \"t1\"], [\"title\", 0], \"x\"]]]]";
    let mark = |fingerprint: &str| format!("a < 1, [10, 1, h'0000000000000001', {fingerprint}]\n");
    let (bad, good) = (mark("fingerprint(1000, [])"), mark(&format!("fingerprint(1000, {log})")));
    opened("SYNC-18", "server", &format!("{CHANGE}!{bad}={good}"));
    let deleted = "a > 1, [5, [2, 1, [[\"todos\", \"t1\"], 0, 2]]]\na < 1, [6, 2, 2, 1]\n";
    let back = "!a < 1, [9, true, 2, h'0000000000000001', [-4, [[\"todos\", \"t1\"]]]]\n=a < 1, [9, true, 2, h'0000000000000001', [-4, [[\"todos\", \"t1\"], 0, 2]]]\n";
    opened("MERGE-1", "server", &format!("{CHANGE}{deleted}{back}"));
    let other = OPEN.replace("a >", "b >").replace("a <", "b <").replace("connect a", "connect b").replace("R1", "R2");
    opened("MERGE-12", "b", &format!("{other}synced a 0 aa\n!synced b 0 bb\n=synced b 0 aa\n"));
}

#[test]
fn nothing_goes_where_there_is_no_right() {
    let tokens = |grants: &str| format!("tokens {grants}\n{}", OPEN.replace("{}, null]", "{}, \"token-1\"]"));
    let welcome = "connect a\na > 0, [0, [1], [0], {}, \"token-2\"]\n!a < 0, [1, 1, [0], {}, 1000]\n=a < 0, [13, 7, 3, null, \"\"]\n";
    twins("SESS-5", "server", &format!("tokens {{\"token-1\": \"alice\"}}\n{welcome}"));
    let rules: Vec<_> = broken(&tokens("{\"token-1\": {\"subject\": \"a\", \"spaces\": {\"work\": \"read\"}}}"));
    assert!(!rules.is_empty() && rules.iter().all(|(rule, by)| rule == "SEC-4" && by == "server"), "{rules:?}");
    assert_eq!(broken(&tokens("{\"token-1\": {\"subject\": \"a\", \"spaces\": {\"ho*\": \"read\"}}}")), []);
}
