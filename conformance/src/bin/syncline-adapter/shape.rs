//! Other shapes of the same frames, for the mirrors: what the spec leaves free between two ends (conformance/mutants/mirrors.toml).

use serde_json::{Value, json};
use syncline::fault;
use syncline_conformance::cbor::{Item, decode_sequence, encode, encode_sequence};

use crate::values::{hex, unhex};

const MIRRORS: [&str; 9] = [
    "mirror-extension-keys",
    "mirror-frame-of-each",
    "mirror-frames-together",
    "mirror-profiles-reversed",
    "mirror-unknown-profiles",
    "mirror-unknown-limits",
    "mirror-more-versions",
    "mirror-error-texts-empty",
    "mirror-error-texts-long",
];
const TOGETHER_BYTES_MAX: usize = 512 << 10;
const UNKNOWN_KEY: i128 = 1_000;

/// The lines that an adapter writes, in the shape of the mirror that it runs as.
pub fn shaped(lines: Vec<Value>) -> Vec<Value> {
    if !MIRRORS.into_iter().any(fault::is) {
        return lines;
    }
    let mut all: Vec<Value> = Vec::new();
    for line in lines {
        let Some(frame) = line["frame"].as_str().and_then(|digits| unhex(digits).ok()) else {
            all.push(line);
            continue;
        };
        for frame in frames(&frame) {
            let joined = all.last().filter(|_| fault::is("mirror-frames-together")).and_then(|last| joined(last, &line, &frame));
            match joined {
                Some(joined) => {
                    all.pop();
                    all.push(framed(&line, &joined));
                }
                None => all.push(framed(&line, &frame)),
            }
        }
    }
    all
}

fn framed(line: &Value, frame: &[u8]) -> Value {
    let mut line = line.clone();
    line["frame"] = json!(hex(frame));
    line
}

/// The frame of the last line with the messages of this one, where both are of one channel of one connection.
fn joined(last: &Value, line: &Value, frame: &[u8]) -> Option<Vec<u8>> {
    let mut before = decode_sequence(&unhex(last["frame"].as_str()?).ok()?).ok()?;
    let mut this = decode_sequence(frame).ok()?;
    if last["peer"] != line["peer"] || last["conn"] != line["conn"] || before.first()? != this.first()? {
        return None;
    }
    // PACK-2
    let is_packed = |message: &Item| message.items().first() == Some(&Item::Int(20));
    if before.iter().chain(&this).any(is_packed) {
        return None;
    }
    before.extend(this.drain(1..));
    Some(encode_sequence(&before)).filter(|joined| joined.len() <= TOGETHER_BYTES_MAX)
}

/// A frame in the shape of the mirror.
fn frames(frame: &[u8]) -> Vec<Vec<u8>> {
    let Ok(mut items) = decode_sequence(frame) else { return vec![frame.to_vec()] };
    items.iter_mut().skip(1).for_each(message);
    if !fault::is("mirror-frame-of-each") {
        return vec![encode_sequence(&items)];
    }
    items[1..].iter().map(|message| encode_sequence(&[items[0].clone(), message.clone()])).collect()
}

fn message(item: &mut Item) {
    let Item::Array(fields) = item else { return };
    match fields.first() {
        Some(Item::Int(0)) => greeting(fields, true),
        Some(Item::Int(1)) => greeting(fields, false),
        Some(Item::Int(13)) if fault::is("mirror-error-texts-empty") => fields[4] = Item::Text(String::new()),
        Some(Item::Int(13)) if fault::is("mirror-error-texts-long") => fields[4] = Item::Text("x".repeat(256)),
        // Every key of a change counts. (FRAME-7)
        Some(Item::Int(8)) | None => return,
        _ => {}
    }
    if !fault::is("mirror-extension-keys") {
        return;
    }
    let unknown = (Item::Int(UNKNOWN_KEY), Item::Null);
    match fields.last_mut() {
        Some(Item::Map(pairs)) => {
            pairs.push(unknown);
            pairs.sort_by_key(|(key, _)| encode(key));
        }
        _ => fields.push(Item::Map(vec![unknown])),
    }
}

/// A `hello` or a `welcome`: code, versions or version, profiles, limits.
fn greeting(fields: &mut [Item], hello: bool) {
    let [_, versions, profiles, limits, ..] = fields else { return };
    if let (Item::Array(versions), true) = (versions, fault::is("mirror-more-versions") && hello) {
        versions.push(Item::Int(UNKNOWN_KEY));
    }
    if let Item::Array(profiles) = profiles {
        if fault::is("mirror-unknown-profiles") && hello {
            profiles.push(Item::Int(UNKNOWN_KEY));
        }
        if fault::is("mirror-profiles-reversed") {
            profiles.reverse();
        }
    }
    if let (Item::Map(limits), true) = (limits, fault::is("mirror-unknown-limits")) {
        limits.push((Item::Int(UNKNOWN_KEY), Item::Int(1)));
    }
}
