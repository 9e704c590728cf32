//! What the tests of the spec and of the oracle share: EDN read into items, and items into what the oracle speaks of.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;
use std::path::{Path, PathBuf};

use syncline_conformance::cbor::{Item, encode};
use syncline_conformance::edn::Cursor;
use syncline_conformance::oracle::{Cell, Change, Op, Reading, Record, Replica, Row, State};
use syncline_conformance::pattern;

/// The folder that the whole tree stands in.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The items of a text in EDN, separated by commas.
pub fn items(text: &str) -> Vec<Item> {
    let parsed = Cursor::new(text).sequence().unwrap_or_else(|fault| panic!("{text}: {fault}"));
    parsed.iter().map(|expr| pattern::value(expr, &pattern::Names::new()).unwrap_or_else(|fault| panic!("{text}: {fault}"))).collect()
}

/// The one item of a text in EDN.
pub fn item(text: &str) -> Item {
    let [item] = <[Item; 1]>::try_from(items(text)).unwrap_or_else(|all| panic!("{text}: {} items, not one", all.len()));
    item
}

/// One line of a vector file.
pub struct Vector {
    pub kind: String,
    pub name: String,
    pub rule: String,
    pub case: Case,
}

/// What a vector expects.
pub enum Case {
    Valid { bytes: Vec<u8>, edn: String, same_again: bool },
    Invalid { bytes: Vec<u8>, error: String },
    Computed { given: Item, expected: Item },
}

/// Every vector of the tree.
pub fn vectors() -> Vec<Vector> {
    let mut files: Vec<PathBuf> = fs::read_dir(root().join("conformance/vectors")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "vec"));
    files.sort();
    files.iter().flat_map(|file| vectors_of(file)).collect()
}

fn vectors_of(file: &Path) -> Vec<Vector> {
    let text = fs::read_to_string(file).unwrap();
    let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let kind = lines.next().and_then(|line| line.strip_prefix("kind ")).and_then(|kind| kind.split(' ').next());
    let kind = kind.expect("a vector file begins with its kind").to_owned();
    lines.map(|line| vector(&kind, line)).collect()
}

fn vector(kind: &str, line: &str) -> Vector {
    let mut words = line.splitn(4, ' ');
    let mut word = || words.next().unwrap_or_else(|| panic!("{line}: too few words"));
    let (verdict, name, rule, rest) = (word(), word(), word(), word());
    let case = if let ("valid", Some((given, expected))) = (verdict, rest.split_once(" => ")) {
        Case::Computed { given: item(given), expected: item(expected) }
    } else {
        let (digits, rest) = rest.split_once(' ').unwrap_or_else(|| panic!("{line}: too few words"));
        let bytes = unhex(digits);
        match verdict {
            "valid" | "accepts" => Case::Valid { bytes, edn: rest.to_owned(), same_again: verdict == "valid" },
            "invalid" => Case::Invalid { bytes, error: rest.to_owned() },
            _ => panic!("{line}: no such verdict"),
        }
    };
    Vector { kind: kind.to_owned(), name: name.to_owned(), rule: rule.to_owned(), case }
}

fn unhex(digits: &str) -> Vec<u8> {
    syncline_conformance::edn::unhex(digits).expect("hex digits")
}

fn number(item: &Item) -> u64 {
    item.as_u64().unwrap_or_else(|| panic!("{item:?} is no number"))
}

fn text(item: &Item) -> String {
    item.as_text().unwrap_or_else(|| panic!("{item:?} is no text")).to_owned()
}

/// A replica's id.
pub fn replica(item: &Item) -> Replica {
    item.as_bytes().and_then(|bytes| bytes.try_into().ok()).unwrap_or_else(|| panic!("{item:?} is no replica"))
}

/// A reading as stamps are written, with base-ms 0.
pub fn reading(item: &Item) -> Reading {
    match item.items() {
        [ms, counter] => (number(ms), number(counter) as u16),
        _ => (number(item), 0),
    }
}

fn value(item: &Item) -> Option<Vec<u8>> {
    (*item != Item::Undefined).then(|| encode(item))
}

fn name(item: &Item) -> (String, String) {
    let [collection, id] = item.items() else { panic!("{item:?} names no record") };
    (text(collection), text(id))
}

/// `[stamp, + row]` as a change.
pub fn change(seq: u64, stamp_and_rows: &[Item]) -> Change {
    let rows = stamp_and_rows[1..].iter().filter(|row| matches!(row, Item::Array(_))).map(row).collect();
    let origin = stamp_and_rows.last().and_then(|map| if let Item::Map(pairs) = map { pairs.first() } else { None });
    let origin = origin.map(|(_, origin)| (replica(&origin.items()[0]), number(&origin.items()[1])));
    Change { seq, reading: reading(&stamp_and_rows[0]), rows, origin }
}

fn row(row: &Item) -> Row {
    let (life, ops) = match &row.items()[1..] {
        [Item::Int(0), life, ops @ ..] => (number(life), ops),
        ops => (1, ops),
    };
    let op = |pair: &[Item]| {
        let [field, rule, after @ ..] = pair[0].items() else { panic!("{pair:?} begins with no column") };
        Op { field: text(field), rule: number(rule), after: after.first().map(reading), item: pair[1].clone() }
    };
    Row { record: name(&row.items()[0]), life, ops: ops.chunks(2).map(op).collect() }
}

/// Records `[[collection, id], life, {field: [reading, author, value]}, ? [* [field, rule, key, state]]]` as a state.
pub fn state(records: &[Item]) -> State {
    records.iter().map(|record| record_of(record.items())).collect()
}

fn record_of(record: &[Item]) -> ((String, String), Record) {
    let [of, life, Item::Map(fields), further @ ..] = record else { panic!("{record:?} is no record") };
    let lww = |(field, held): &(Item, Item)| ((text(field), 0, encode(&Item::Null)), cell(0, held));
    let other = |cells: &Item| {
        let [field, rule, key, held] = cells.items() else { panic!("{cells:?} is no cell") };
        ((text(field), number(rule), encode(key)), cell(number(rule), held))
    };
    let cells = fields.iter().map(lww).chain(further.iter().flat_map(|cells| cells.items()).map(other)).collect();
    (name(of), Record { life: number(life), cells })
}

/// What a cell of a rule holds: `[reading, author, value]`, `[value]`, `[seq, value]`, or `[]` for a dot that was removed.
fn cell(rule: u64, held: &Item) -> Cell {
    match (rule % 8, held.items()) {
        (0, [at, author, held]) => Cell::Stamped(reading(at), replica(author), value(held)),
        (1 | 2, [value]) => Cell::Value(value.clone()),
        (3, [seq, value]) => Cell::Numbered(number(seq), value.clone()),
        (4, dots) => Cell::Dot(dots.first().map(encode)),
        _ => panic!("{held:?} is no cell of the rule {rule}"),
    }
}
