//! Reports: the format is as its schema says, and what is rendered from it is well-formed, harmless and needs no network.
#![allow(clippy::unwrap_used, reason = "a test stops where its files are not as it says")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use syncline_conformance::checks::Rulebook;
use syncline_conformance::config::{Config, Implementation};
use syncline_conformance::corpus::Corpus;
use syncline_conformance::judge::{Failure, Judged, Selection, Suite, Verdict, run};
use syncline_conformance::pattern::Difference;
use syncline_conformance::report::make::{Run, make};
use syncline_conformance::report::markdown::markdown;
use syncline_conformance::report::matrix::Matrix;
use syncline_conformance::report::model::Report;
use syncline_conformance::report::pages::{badge, junit, page};
use syncline_conformance::report::terminal::terminal;
use syncline_conformance::trace::{Event, Frame, What};

/// A name that HTML, XML, Markdown and terminals would obey.
const EVIL: &str = "</script><script>alert(1)</script>\u{1b}[2J\u{202e}|`*<img src=x onerror=\"alert('1')\">&amp;";

/// What came of a run in which a check passed, one failed in every way a report can show, and one crashed.
fn evil() -> Value {
    evil_by(Corpus::own())
}

fn evil_by(corpus: Corpus) -> Value {
    let suite = Suite::load(corpus).unwrap();
    let config = Config {
        implementation: Implementation { name: EVIL.to_owned(), version: "2".to_owned(), issues: "https://example.org/".to_owned() },
        profiles: vec!["core".to_owned()],
        revision: "draft".to_owned(),
        level: None,
        server: None,
        client: None,
        adapter: None,
        known: Vec::new(),
    };
    let judged = [
        judged("merge/one@L3", Verdict::Pass, None),
        judged(EVIL, Verdict::Fail, Some(failure())),
        judged("merge/two@L3", Verdict::Crash, None),
    ];
    let selection = Selection { filter: "", level: 3, seed: 7, traces: None };
    let run =
        Run { config: &config, selection: &selection, command: EVIL, started: 1_700_000_000_000, took: Duration::from_secs(3), exit: 1 };
    make(&suite, &run, &judged).unwrap()
}

fn judged(check: &str, verdict: Verdict, failure: Option<Failure>) -> Judged {
    Judged {
        check: check.to_owned(),
        area: "merge".to_owned(),
        title: EVIL.to_owned(),
        level: 3,
        rules: vec!["MERGE-8".to_owned()],
        verdict,
        rule: "MERGE-8".to_owned(),
        shown: vec!["MERGE-1".to_owned()],
        place: EVIL.to_owned(),
        why: EVIL.to_owned(),
        took: Duration::from_millis(12),
        failure,
    }
}

fn failure() -> Failure {
    let frame = |bytes: Vec<u8>| {
        let (conn, from, to) = ("a1".to_owned(), EVIL.to_owned(), "server".to_owned());
        What::Frame(Frame { conn, from, to, judged: true, bytes })
    };
    let told = |text: &str| What::Told { who: "server".to_owned(), text: text.to_owned() };
    let step = What::Step { line: 3, text: EVIL.to_owned() };
    let happened = [step, frame(vec![0, 0x82, 0x0b, 7]), frame(vec![0xff; 3000]), told(EVIL)];
    Failure {
        step: Some((3, EVIL.to_owned())),
        expected: "[6, {\"<b>\": 1}]".to_owned(),
        found: "[6, {\"<b>\": 2}]".to_owned(),
        difference: Some(Difference { path: "[1]{\"<b>\"}".to_owned(), expected: "1".to_owned(), found: "2".to_owned() }),
        trace: happened.into_iter().map(|what| Event { at: 1_700_000_000_000, what }).collect(),
    }
}

fn report() -> Report {
    Report::of(evil()).unwrap()
}

fn schema() -> jsonschema::Validator {
    let text = Corpus::own().read("conformance/schema/report.schema.json").unwrap();
    jsonschema::draft202012::new(&serde_json::from_str(&text).unwrap()).unwrap()
}

#[test]
fn a_report_is_as_the_schema_says() {
    let faults: Vec<String> = schema().iter_errors(&evil()).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_schema_refuses_what_is_no_report() {
    let schema = schema();
    let check = |pointer: &str, value: Value| {
        let mut report = evil();
        *report.pointer_mut(pointer).unwrap() = value;
        assert!(!schema.is_valid(&report), "the schema takes {pointer}");
    };
    check("/format", json!(2));
    check("/suite/digest", json!("00"));
    check("/checks/0/verdict", json!("green"));
    check("/checks/0/rules/0", json!("merge"));
    check("/checks/1/failure/trace/1", json!({"at_ms": 0}));
    check("/checks/1/failure/trace/1/frame/hex", json!("0"));
    check("/summary/exit", json!(6));
}

#[test]
fn a_page_is_well_formed_and_needs_no_network() {
    let reports = [report()];
    for page in [page(&reports[0]).unwrap(), Matrix::of(&reports).page().unwrap()] {
        let tree = well_formed(&page);
        for node in tree.descendants().filter(roxmltree::Node::is_element) {
            let name = node.tag_name().name();
            assert!(!["img", "link", "iframe", "object", "embed", "base"].contains(&name), "<{name}> stands in the page");
            for attribute in node.attributes() {
                assert!(!attribute.name().starts_with("on") && attribute.name() != "style", "{name} has {}", attribute.name());
                let local = attribute.value().starts_with('#');
                assert!(!["src", "href", "action"].contains(&attribute.name()) || local, "{name} leads to {}", attribute.value());
            }
        }
        let policy = tree.descendants().find(|node| node.attribute("http-equiv") == Some("Content-Security-Policy")).unwrap();
        let policy = policy.attribute("content").unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert!(!page.contains("url(") && !page.contains("@import"));
    }
}

#[test]
fn no_name_becomes_an_element() {
    let page = page(&report()).unwrap();
    let tree = well_formed(&page);
    let elements = |name: &str| tree.descendants().filter(|node| node.has_tag_name(name)).count();
    assert_eq!((elements("script"), elements("b"), elements("h1")), (1, 5, 1));
    let head = tree.descendants().find(|node| node.has_tag_name("h1")).unwrap();
    assert!(head.text().unwrap().starts_with("</script><script>alert(1)</script>\\u001b[2J\\u202e|"), "{:?}", head.text());
}

#[test]
fn every_id_is_there_once_and_every_link_leads_to_one() {
    let page = page(&report()).unwrap();
    let tree = well_formed(&page);
    let ids: Vec<&str> = tree.descendants().filter_map(|node| node.attribute("id")).collect();
    let mut once = ids.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), ids.len());
    for link in tree.descendants().filter_map(|node| node.attribute("href")) {
        assert!(ids.contains(&link.trim_start_matches('#')), "{link} leads nowhere");
    }
}

#[test]
fn the_part_that_differs_is_marked_in_the_page() {
    let page = page(&report()).unwrap();
    let tree = well_formed(&page);
    let marks: Vec<_> = tree.descendants().filter(|node| node.has_tag_name("mark")).filter_map(|node| node.text()).collect();
    assert_eq!(marks, ["1", "2"]);
}

#[test]
fn junit_counts_what_the_report_counts() {
    let text = junit(&report()).unwrap();
    let tree = roxmltree::Document::parse(&text).unwrap();
    let count = |name: &str| tree.descendants().filter(|node| node.has_tag_name(name)).count();
    assert_eq!((count("testsuite"), count("testcase"), count("failure")), (1, 3, 2));
    let suite = tree.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
    assert_eq!((suite.attribute("tests"), suite.attribute("failures")), (Some("3"), Some("2")));
}

#[test]
fn a_badge_is_well_formed_and_says_how_it_came_out() {
    let text = badge(&report()).unwrap();
    let tree = roxmltree::Document::parse(&text).unwrap();
    assert_eq!(tree.root_element().attribute("aria-label"), Some("syncline 1: 2 failed L3"));
}

#[test]
fn no_terminal_obeys_a_report() {
    let reports = [report()];
    for text in [terminal(&reports[0]), markdown(&reports[0]), Matrix::of(&reports).terminal(), Matrix::of(&reports).markdown()] {
        assert!(!text.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
    }
}

#[test]
fn a_failure_in_a_terminal_says_all_that_is_needed() {
    let text = terminal(&report());
    let rule = report().rule("MERGE-8").unwrap().sentence.clone();
    for wanted in [rule.as_str(), "▶2◀", "differs  at [1]{\"<b>\"}: expected 1, got 2", "─ ping ─", "✗ line 3:", "again:", "--filter"]
    {
        assert!(text.contains(wanted), "`{wanted}` is missing in:\n{text}");
    }
}

#[test]
fn no_text_of_a_report_is_html_in_a_summary() {
    let text = markdown(&report());
    let outside: Vec<&str> = text.split("```").step_by(2).collect();
    assert!(!outside.join("").contains("<script"), "{text}");
    assert!(!outside.join("").contains("<img"), "{text}");
}

#[test]
fn reports_of_different_suites_are_not_compared_in_silence() {
    let mut other = evil();
    let same = [report(), report()];
    assert_eq!(Matrix::of(&same).caution(), None);
    other["suite"]["digest"] = json!("0".repeat(64));
    let different = [report(), Report::of(other).unwrap()];
    assert!(Matrix::of(&different).caution().is_some());
    assert!(Matrix::of(&different).terminal().contains("            1/3            1/3"), "{}", Matrix::of(&different).terminal());
}

#[test]
fn a_known_failure_is_not_conformant() {
    let mut report = evil();
    report["checks"] = json!([report["checks"][0]]);
    report["summary"] = json!({"passed": 1, "failed": 0, "skipped": 0, "exit": 0});
    let headline = |report: &Value| syncline_conformance::report::view::headline(&Report::of(report.clone()).unwrap());
    assert_eq!(headline(&report), "conformant at L3");
    let mut known = report.clone();
    known["checks"][0]["verdict"] = json!("known-failing");
    assert_eq!(headline(&known), "not conformant at L3: 1 known to fail");
    report["filter"] = json!("merge");
    assert_eq!(headline(&report), "incomplete at L3 (only checks with `merge` in their names)");
}

/// A failure that equals one of a faulty variant, in check, rule and place, says what that variant does.
#[test]
fn a_failure_that_a_variant_produces_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        std::fs::create_dir_all(folder.path().join(path).parent().unwrap()).unwrap();
        std::fs::write(folder.path().join(path), text).unwrap();
    };
    write("spec/registries/messages.toml", &Corpus::own().read("spec/registries/messages.toml").unwrap());
    write("spec/src/05-merge.md", "# 5. Merge\n\n**MERGE-8** [core L0] It MUST.\n");
    let kill = |place: &str| json!({"rule": "MERGE-8", "check": EVIL, "place": place});
    let likely = |place: &str| {
        let kills = json!({"mutants": [{"name": "lower", "does": "It keeps the lower.", "kills": [kill(place)]}]});
        write("conformance/mutants/kills.json", &kills.to_string());
        let value = evil_by(Corpus::folder(folder.path()));
        value["checks"][1]["failure"]["likely"].as_str().map(str::to_owned)
    };
    assert_eq!(likely(EVIL).as_deref(), Some("as the faulty variant lower does: It keeps the lower."));
    assert_eq!(likely("elsewhere"), None);
}

/// The frozen revisions: what they name is there, or is withdrawn with a reason.
#[test]
fn a_frozen_check_is_never_lost() {
    let suite = Suite::load(Corpus::folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))).unwrap();
    let present = syncline_conformance::revision::digests(&suite.scenarios, &suite.vectors);
    assert!(!suite.revisions.frozen.is_empty());
    for (name, revision) in &suite.revisions.frozen {
        assert!(!revision.is_empty(), "{name} is empty");
        for check in revision.keys() {
            let withdrawn = suite.revisions.withdrawn.contains_key(check);
            assert!(
                present.contains_key(check) || withdrawn,
                "{check} of revision {name} is gone: an id is permanent; withdraw it in revisions/withdrawn.txt"
            );
        }
    }
    for check in suite.revisions.withdrawn.keys() {
        assert!(!present.contains_key(check), "{check} was withdrawn: its id is not used again");
    }
}

/// The README shows the run of a reference that passes all: each area with as many checks as there are.
#[test]
fn the_readme_shows_the_counts_of_the_suite() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let suite = Suite::load(Corpus::folder(&root)).unwrap();
    let mut config = Config::load(&root.join("conformance/reference.toml")).unwrap();
    // Nothing is played: of a program that is not there each check is told as not known.
    let absent = vec!["./no-such-program".to_owned()];
    config.adapter.as_mut().unwrap().cmd.clone_from(&absent);
    config.server.as_mut().unwrap().cmd = absent;
    let selection = Selection { filter: "", level: config.level(), seed: 0, traces: None };
    let judged = run(&suite, &config, &Rulebook::load(&suite.corpus).unwrap(), &selection);
    let mut areas: BTreeMap<&str, usize> = BTreeMap::new();
    judged.iter().filter(|judged| judged.area != "start").for_each(|judged| *areas.entry(&judged.area).or_default() += 1);
    let total: usize = areas.values().sum();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let shown = readme.split("area        passed  failed  skipped\n").nth(1).unwrap().split("conformance:").next().unwrap();
    let counted: String = areas.iter().map(|(area, checks)| format!("{area:<11} {checks:>6}       0        0\n")).collect();
    assert_eq!(shown, counted, "README.md, the counts of `cargo conform`");
    for line in
        [format!("conformance: {total} passed, 0 failed, 0 skipped\n"), format!("{:<16} {:<8} {total:>7}\n", "conformance", "passed")]
    {
        assert!(readme.contains(&line), "README.md does not show `{}`", line.trim());
    }
}

fn well_formed(page: &str) -> roxmltree::Document<'_> {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..roxmltree::ParsingOptions::default() };
    roxmltree::Document::parse_with_options(page, options).unwrap_or_else(|fault| panic!("{fault}"))
}
