//! Vector files, and how an adapter is asked about them (vectors/README.md).

use serde_json::{Value, json};

use crate::adapter::Adapter;
use crate::cbor::{Item, decode_sequence, encode};
use crate::corpus::Corpus;
use crate::edn::{Cursor, hex, print, unhex};
use crate::pattern::{Names, matches, value};
use crate::scenario::ScenarioError;
use crate::trouble::Trouble;

/// One case.
#[derive(Debug, Clone)]
pub struct Vector {
    /// `FILE/NAME`.
    pub name: String,
    /// The rule it shows.
    pub rule: String,
    /// The kind of its file.
    pub kind: String,
    /// The profiles that it is about, besides the core.
    pub profiles: Vec<String>,
    /// The bytes asked about, in hex.
    pub given: String,
    /// What must come of them.
    pub expected: Expected,
}

/// What must come of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// These bytes, in hex.
    Bytes(String),
    /// Any bytes: what is unknown may be left out.
    Accepted,
    /// The error of this name.
    Error(String),
}

/// The folder of the vectors, in a checkout.
const FOLDER: &str = "conformance/vectors";

/// Every case, and the faults of lines that are none.
pub fn load(corpus: &Corpus) -> (Vec<Vector>, Vec<ScenarioError>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (file, text) in corpus.files(FOLDER, "vec") {
        let stem = file.strip_prefix(FOLDER).unwrap_or(&file).with_extension("").to_string_lossy().into_owned();
        let mut kind: Option<(String, Vec<String>)> = None;
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#')) {
            let parsed = match (&kind, line.strip_prefix("kind ")) {
                (None, Some(named)) => {
                    let mut words = named.split_whitespace().map(str::to_owned);
                    kind = words.next().map(|kind| (kind, words.collect()));
                    continue;
                }
                (None, None) => Err("the file does not begin with its kind".to_owned()),
                (Some((kind, profiles)), _) => parse(&stem, kind, line).map(|vector| Vector { profiles: profiles.clone(), ..vector }),
            };
            match parsed {
                Ok(vector) => good.push(vector),
                Err(fault) => bad.push(ScenarioError { file: file.clone(), line: index + 1, fault }),
            }
        }
    }
    (good, bad)
}

/// Parses one line of a file of this kind.
///
/// # Errors
/// What is wrong with it.
pub fn parse(stem: &str, kind: &str, line: &str) -> Result<Vector, String> {
    let mut words = line.splitn(4, ' ');
    let mut word = || words.next().ok_or("a word is missing");
    let (verdict, name, rule, rest) = (word()?, word()?, word()?, word()?);
    let vector = |given: String, expected| Vector {
        name: format!("{stem}/{name}"),
        rule: rule.to_owned(),
        kind: kind.to_owned(),
        profiles: Vec::new(),
        given,
        expected,
    };
    if !matches!(kind, "value" | "frame" | "frame-agreed") {
        let (given, expected) = rest.split_once(" => ").ok_or("` => ` is missing")?;
        return Ok(vector(encoded(given)?, Expected::Bytes(encoded(expected)?)));
    }
    let (bytes, rest) = rest.split_once(' ').ok_or("a word is missing")?;
    let raw = unhex(bytes)?;
    match verdict {
        "valid" => {
            let decoded = decode_sequence(&raw).map_err(|fault| format!("the bytes are {fault}"))?;
            let stated: Vec<_> = Cursor::new(rest).sequence()?.iter().map(|expr| value(expr, &Names::new())).collect::<Result<_, _>>()?;
            if crate::cbor::encode_sequence(&stated) != raw {
                let decoded: Vec<_> = decoded.iter().map(print).collect();
                return Err(format!("the bytes say {}", decoded.join(", ")));
            }
            Ok(vector(bytes.to_owned(), Expected::Bytes(bytes.to_owned())))
        }
        "accepts" => Ok(vector(bytes.to_owned(), Expected::Accepted)),
        "invalid" => Ok(vector(bytes.to_owned(), Expected::Error(rest.trim().to_owned()))),
        other => Err(format!("`{other}` is no verdict")),
    }
}

fn encoded(edn: &str) -> Result<String, String> {
    let mut cursor = Cursor::new(edn);
    let expr = cursor.expr()?;
    cursor.end()?;
    Ok(hex(&encode(&value(&expr, &Names::new())?)))
}

/// Asks an adapter about a case.
///
/// # Errors
/// What was expected and what came; `Unobservable` where it does not know the kind.
pub fn ask(adapter: &mut Adapter, vector: &Vector) -> Result<(), Trouble> {
    let reply = adapter.call("vectors", json!({"kind": vector.kind, "hex": vector.given}))?;
    let error = reply.get("error").and_then(Value::as_str);
    let bytes = reply.get("hex").and_then(Value::as_str);
    if error == Some("unknown-kind") {
        return Err(Trouble::Unobservable(format!("the adapter does not know vectors of the kind {}", vector.kind)));
    }
    let got = match (bytes, error) {
        (Some(bytes), None) => shown(bytes),
        (None, Some(error)) => error.to_owned(),
        _ => return Err(Trouble::Adapter("the reply to vectors has neither hex nor error".to_owned())),
    };
    let (agrees, expected) = match &vector.expected {
        Expected::Bytes(expected) => (bytes.is_some_and(|bytes| bytes.eq_ignore_ascii_case(expected)), shown(expected)),
        Expected::Accepted => (bytes.is_some_and(|bytes| same_messages(bytes, &vector.given)), "the same messages again".to_owned()),
        Expected::Error(expected) => (error == Some(expected), expected.clone()),
    };
    if agrees { Ok(()) } else { Err(difference(expected, got)) }
}

/// The fault; with the place at which the two differ, where each is one value.
fn difference(expected: String, got: String) -> Trouble {
    let item = |text: &str| {
        let mut cursor = Cursor::new(text);
        cursor.expr().ok().filter(|_| cursor.end().is_ok())
    };
    let found = item(&got).and_then(|expr| value(&expr, &Names::new()).ok());
    match (item(&expected), found) {
        (Some(pattern), Some(found)) => match matches(&pattern, &found, &mut Names::new()) {
            Err(difference) => Trouble::differs(expected, &found, difference),
            Ok(()) => Trouble::fault(expected, got),
        },
        _ => Trouble::fault(expected, got),
    }
}

impl Vector {
    /// What an adapter is asked, for people.
    pub fn asked(&self) -> String {
        format!("{} of {}", self.kind, shown(&self.given))
    }
}

/// Whether two frames have the same channel, and messages of the same kinds.
fn same_messages(one: &str, other: &str) -> bool {
    let outline = |digits: &str| -> Option<Vec<Item>> {
        let items = decode_sequence(&unhex(digits).ok()?).ok()?;
        Some(items.iter().map(|item| item.items().first().unwrap_or(item).clone()).collect())
    };
    outline(one).is_some_and(|outlined| Some(outlined) == outline(other))
}

/// Bytes in diagnostic notation where they are some, else in hex.
fn shown(digits: &str) -> String {
    let bytes = unhex(digits).unwrap_or_default();
    match decode_sequence(&bytes) {
        Ok(items) => items.iter().map(print).collect::<Vec<_>>().join(", "),
        Err(_) => format!("h'{digits}'"),
    }
}
