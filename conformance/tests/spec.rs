//! The written spec: its rules, its examples, its tables and its schema hold together, and with the reference.
#![allow(clippy::unwrap_used, reason = "a test stops where its files are not as it says")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use common::{Case, change, item, items, replica, root, state, vectors};
use syncline::change::RecordName;
use syncline::clock::Replica;
use syncline::message;
use syncline::registry::Profiles;
use syncline_conformance::cbor::{Item, encode, encode_sequence};
use syncline_conformance::corpus::Corpus;
use syncline_conformance::edn::{Cursor, hex, print};
use syncline_conformance::{oracle, pattern, spec};

struct Block {
    file: PathBuf,
    line: usize,
    text: String,
}

impl Block {
    fn place(&self) -> String {
        format!("{}:{}", self.file.file_name().unwrap().to_string_lossy(), self.line)
    }
}

/// The fenced blocks of all chapters whose fence says `kind`; any where it is empty.
fn blocks(kind: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut files: Vec<PathBuf> = fs::read_dir(root().join("spec/src")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let mut open: Option<Block> = None;
        for (index, line) in text.lines().enumerate() {
            match (line.strip_prefix("```"), open.take()) {
                (Some(says), None) => open = Some(Block { file: file.clone(), line: index + 1, text: format!("{says}\n") }),
                (None, Some(mut block)) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                    open = Some(block);
                }
                (Some(_), Some(block)) => found.push(block),
                (None, None) => {}
            }
        }
    }
    found.retain_mut(|block| {
        let (says, text) = block.text.split_once('\n').unwrap();
        let wanted = kind.is_empty() || says == kind;
        block.text = text.to_owned();
        wanted
    });
    found
}

fn known_rules() -> BTreeSet<String> {
    let rules = spec::rules(&Corpus::folder(&root())).unwrap_or_else(|fault| panic!("{fault}"));
    rules.into_iter().map(|rule| rule.id).collect()
}

fn toml(path: &str) -> toml::Table {
    fs::read_to_string(root().join(path)).unwrap().parse().unwrap()
}

#[test]
fn the_rules_of_the_spec_are_well_formed() {
    let profiles = toml("spec/registries/profiles.toml");
    let profiles: BTreeSet<&str> = profiles["profile"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    for rule in spec::rules(&Corpus::folder(&root())).unwrap_or_else(|fault| panic!("{fault}")) {
        assert!(profiles.contains(rule.profile.as_str()), "{} is of an unknown profile", rule.id);
    }
    for area in spec::AREAS {
        assert!(known_rules().contains(&format!("{area}-1")), "no rule stands in the area {area}");
    }
}

/// The rules that a line of the changes names: `A-1 to A-3` is three of them.
fn listed(line: &str) -> Vec<String> {
    let ends: Vec<(&str, u32)> = line
        .split([' ', ',', '.'])
        .filter_map(|word| word.rsplit_once('-'))
        .filter_map(|(area, number)| Some((area, number.parse().ok()?)))
        .collect();
    ends.chunks(2).flat_map(|ends| (ends[0].1..=ends[ends.len() - 1].1).map(|number| format!("{}-{number}", ends[0].0))).collect()
}

#[test]
fn every_rule_came_with_a_revision() {
    let changes = fs::read_to_string(root().join("spec/CHANGES.md")).unwrap();
    let lists = changes.split("\nRules: ").skip(1).map(|list| list.split("\n\n").next().unwrap_or_default().replace('\n', " "));
    let mut came = BTreeSet::new();
    for rule in lists.flat_map(|list| list.split(", ").flat_map(listed).collect::<Vec<_>>()) {
        assert!(came.insert(rule.clone()), "spec/CHANGES.md: {rule} came twice");
    }
    let without: Vec<String> = known_rules().difference(&came).cloned().collect();
    assert!(without.is_empty(), "spec/CHANGES.md: under no revision's `Rules:` stand {}", without.join(", "));
}

#[test]
fn every_reference_to_a_rule_resolves() {
    let known = known_rules();
    let dangling: Vec<String> = spec::references(&root())
        .into_iter()
        .filter(|(_, _, id)| !known.contains(id))
        .map(|(file, line, id)| format!("{}:{line}: {id}", file.display()))
        .collect();
    assert!(dangling.is_empty(), "these rules are not in the spec:\n{}", dangling.join("\n"));
}

#[test]
fn every_chapter_has_an_example() {
    let with: BTreeSet<String> = blocks("").iter().map(|block| block.file.file_name().unwrap().to_string_lossy()[..2].to_owned()).collect();
    for chapter in 2..=11 {
        assert!(with.contains(&format!("{chapter:02}")), "chapter {chapter} has no example");
    }
}

#[test]
fn every_chapter_stands_in_the_summary() {
    let summary = fs::read_to_string(root().join("spec/src/SUMMARY.md")).unwrap();
    for entry in fs::read_dir(root().join("spec/src")).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let chapter = name.ends_with(".md") && name != "SUMMARY.md";
        assert!(!chapter || summary.contains(&format!("({name})")), "{name} is not in the summary");
    }
}

#[test]
fn example_frames_match_the_schema() {
    for block in blocks("edn frame").into_iter().chain(blocks("edn frame compact")) {
        let items = items(&block.text);
        schema_says(&items).unwrap_or_else(|fault| panic!("{}: {fault}", block.place()));
    }
}

#[test]
fn example_frames_are_read_and_written_again_by_the_reference() {
    for block in blocks("edn frame") {
        let bytes = encode_sequence(&items(&block.text));
        assert_eq!(frame_again(&bytes, Profiles::OFFERED), Ok(hex(&bytes)), "{}", block.place());
    }
}

/// What the examples of spec 22 tell a client before.
struct Told;

impl message::Names for Told {
    fn record(&self, number: u64) -> Option<RecordName> {
        (number == 1).then(|| RecordName { collection: "todos".into(), id: "t1".into() })
    }

    fn column(&self, number: u64) -> Option<(String, u64)> {
        (number == 1).then(|| ("title".into(), 0))
    }

    fn replica(&self, number: u64) -> Option<Replica> {
        (number == 1).then_some(Replica([1; 16]))
    }
}

#[test]
fn example_frames_with_numbers_are_read_by_the_reference() {
    let examples = blocks("edn frame compact");
    assert!(!examples.is_empty());
    for block in examples {
        let bytes = encode_sequence(&items(&block.text));
        let literal = message::expand(&bytes, &Told).unwrap_or_else(|fault| panic!("{}: {fault}", block.place())).frame;
        assert_eq!(frame_again(&literal, Profiles::OFFERED), Ok(hex(&literal)), "{}", block.place());
    }
}

/// What an example of spec 24 stands for is the example behind it.
#[test]
fn example_frames_that_are_packed_unpack() {
    let (packed, plain) = (blocks("edn frame packed"), blocks("edn frame"));
    assert!(!packed.is_empty());
    for block in packed {
        let next = plain.iter().find(|next| next.file == block.file && next.line > block.line).expect("an example behind it");
        let bytes = encode_sequence(&items(&block.text));
        let unpacked = message::unpack(&bytes, Profiles::OFFERED).unwrap_or_else(|fault| panic!("{}: {fault}", block.place()));
        assert_eq!(hex(&unpacked), hex(&encode_sequence(&items(&next.text))), "{}", block.place());
        schema_says(&items(&block.text)).unwrap_or_else(|fault| panic!("{}: {fault}", block.place()));
    }
}

#[test]
fn example_values_are_read_and_written_again_by_the_reference() {
    for block in blocks("edn value") {
        let bytes = encode(&item(&block.text));
        assert_eq!(value_again(&bytes), Ok(hex(&bytes)), "{}", block.place());
    }
}

#[test]
fn example_merges_hold() {
    let examples = blocks("merge");
    assert!(!examples.is_empty());
    for block in examples {
        let mut at = None;
        for (number, line) in block.text.lines().enumerate() {
            let (verb, rest) = line.split_once(' ').unwrap();
            match (verb, &mut at) {
                ("state", None) => at = Some(state(&items(rest))),
                ("state", Some(at)) => assert_eq!(*at, state(&items(rest)), "{} line {number}", block.place()),
                ("apply", Some(at)) => {
                    let words = words(rest);
                    oracle::apply_change(at, replica(&words[0]), &change(1, &words[1..]));
                }
                _ => panic!("{}: {line}", block.place()),
            }
        }
    }
}

/// Items separated by spaces.
fn words(text: &str) -> Vec<Item> {
    let mut cursor = Cursor::new(text);
    let mut words = Vec::new();
    while !cursor.is_end() {
        words.push(pattern::value(&cursor.expr().unwrap(), &pattern::Names::new()).unwrap());
    }
    words
}

#[test]
fn the_table_of_limits_is_the_registry() {
    let registry = toml("spec/registries/limits.toml");
    let expected: Vec<String> =
        registry["limit"].as_array().unwrap().iter().map(|limit| row(limit, &["`name", "key", "value", "unit"])).collect();
    assert_eq!(table("09-limits.md", "| limit | key | value | unit |"), expected);
}

#[test]
fn the_table_of_errors_is_the_registry() {
    let registry = toml("spec/registries/errors.toml");
    let expected: Vec<String> =
        registry["error"].as_array().unwrap().iter().map(|e| row(e, &["code", "`name", "scope", "class", "detail"])).collect();
    assert_eq!(table("10-errors.md", "| code | name | ends | class | detail |"), expected);
}

#[test]
fn an_error_ends_what_its_place_in_the_registry_allows() {
    for error in toml("spec/registries/errors.toml")["error"].as_array().unwrap() {
        assert!(["connection", "channel", "change"].contains(&error["scope"].as_str().unwrap()), "{error:?}");
        assert!(["never", "change", "wait", "credentials"].contains(&error["class"].as_str().unwrap()), "{error:?}");
    }
}

/// A table row of an entry's fields; a name with a backtick is printed as code.
fn row(entry: &toml::Value, fields: &[&str]) -> String {
    let cells = fields.iter().map(|field| match (field.strip_prefix('`'), entry.get(field.trim_start_matches('`'))) {
        (_, None) => String::new(),
        (Some(_), Some(value)) => format!("`{}` ", value.as_str().unwrap()),
        (None, Some(toml::Value::String(text))) => format!("{text} "),
        (None, Some(value)) => format!("{value} "),
    });
    format!("| {}|", cells.collect::<Vec<_>>().join("| "))
}

/// The rows of the table that has this head.
fn table(chapter: &str, head: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("spec/src").join(chapter)).unwrap();
    let rows = text.lines().skip_while(|line| *line != head).skip(2);
    rows.take_while(|line| line.starts_with('|')).map(str::to_owned).collect()
}

fn schema_says(frame: &[Item]) -> Result<(), String> {
    let schema = fs::read_to_string(root().join("spec/syncline.cddl")).unwrap();
    let bytes = encode(&Item::Array(frame.to_vec()));
    cddl::validate_cbor_from_slice(&schema, &bytes, None)
        .map_err(|fault| format!("{}: {fault}", frame.iter().map(print).collect::<Vec<_>>().join(", ")))
}

#[test]
fn valid_frames_match_the_schema() {
    for vector in vectors() {
        if let ("frame" | "frame-agreed", Case::Valid { bytes, edn, .. }) = (vector.kind.as_str(), &vector.case) {
            assert_eq!(hex(bytes), hex(&encode_sequence(&items(edn))), "{}", vector.name);
            schema_says(&items(edn)).unwrap_or_else(|fault| panic!("{}: {fault}", vector.name));
        }
    }
}

#[test]
fn frames_that_break_the_schema_are_told() {
    for frame in [
        "0",
        "65536, [4]",
        "0, [11]",
        "0, [11, -1]",
        "0, [99, 1]",
        "0, [1, 1, [0], {}, 140737488355328]",
        "1, [2, \"\", h'000102030405060708090a0b0c0d0e0f', 0, null]",
        "1, [2, \"home\", h'00', 0, null]",
        "1, [5]",
        "1, [5, [0, 5, [[\"todos\", \"t1\"]]]]",
        "1, [5, [1, [5, 0], [[\"todos\", \"t1\"]]]]",
        "1, [5, [1, 5, [[\"todos\", \"t1\"], 0, 1]]]",
        "1, [5, [1, 5, [[\"todos\", \"t1\"], [\"title\", 0]]]]",
        "1, [6, 1, 1, 3]",
        "1, [10, 2, h'0001020304050607', h'00']",
        "1, [9, 1, 2, h'0001020304050607']",
    ] {
        assert!(schema_says(&items(frame)).is_err(), "the schema takes {frame}");
    }
}

#[test]
fn every_vector_names_a_rule_and_is_named_once() {
    let (known, mut seen) = (known_rules(), BTreeSet::new());
    for vector in vectors() {
        assert!(known.contains(&vector.rule), "{} names {}", vector.name, vector.rule);
        assert!(seen.insert((vector.kind.clone(), vector.name.clone())), "{}/{} is there twice", vector.kind, vector.name);
    }
    assert!(seen.len() >= 150, "{} vectors", seen.len());
}

#[test]
fn the_reference_reads_and_refuses_what_the_vectors_say() {
    let mut wrong = Vec::new();
    for vector in vectors() {
        let read: fn(&[u8]) -> Result<String, String> = match vector.kind.as_str() {
            "value" => value_again,
            "frame" => |bytes: &[u8]| frame_again(bytes, Profiles::CORE),
            "frame-agreed" => |bytes: &[u8]| frame_again(bytes, Profiles::OFFERED),
            _ => continue,
        };
        let (found, expected) = match &vector.case {
            Case::Valid { bytes, same_again: true, .. } => (read(bytes), Ok(hex(bytes))),
            Case::Valid { bytes, .. } => (read(bytes).map(|_| String::new()), Ok(String::new())),
            Case::Invalid { bytes, error } => (read(bytes), Err(error.clone())),
            Case::Computed { .. } => continue,
        };
        if found != expected {
            wrong.push(format!("{}/{}: {found:?}, not {expected:?} ({})", vector.kind, vector.name, vector.rule));
        }
    }
    assert!(wrong.is_empty(), "{} vectors are judged wrongly:\n{}", wrong.len(), wrong.join("\n"));
}

/// A frame decoded and encoded by the reference, as hex; or the name of its error.
fn frame_again(bytes: &[u8], agreed: Profiles) -> Result<String, String> {
    let frame = message::decode_frame(bytes, agreed, |_| 0).map_err(|fault| fault.code.name().to_owned())?;
    // An `opened` sets the base of what follows it; no example or vector has more than one message behind one.
    Ok(hex(&message::encode_frame(frame.channel, &frame.messages, 0)))
}

/// A value decoded and encoded by the reference, as hex; or the name of its error.
fn value_again(bytes: &[u8]) -> Result<String, String> {
    let mut reader = syncline::codec::Reader::new(bytes);
    let read = reader.value(0).and_then(|value| reader.end().map(|()| value));
    let name = |fault: syncline::codec::CodecError| if fault.fault.canonical_only() { "not-canonical" } else { "malformed" }.to_owned();
    read.map(|value| hex(&value.encoded())).map_err(name)
}
