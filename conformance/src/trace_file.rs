//! Trace files: what happened in a run, one JSON object a line (README, Traces).

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::cbor::{Item, decode_sequence, encode_sequence};
use crate::checks::{code, code_of};
use crate::trace::{Event, Frame, What};

/// The version of the format.
pub const VERSION: u64 = 1;

/// The first line of a trace: what run it is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the format.
    pub trace: u64,
    /// The check's name, or `recording`.
    pub name: String,
    /// Who was judged: `server`, `client`, `peer` or `both`.
    pub role: String,
    /// The name of the space.
    pub space: String,
    /// Where the peers' randomness began.
    pub seed: u64,
}

/// A whole trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// What run it is of.
    pub header: Header,
    /// What happened, in order.
    pub events: Vec<Event>,
}

impl Trace {
    /// The text of the file. Tokens are replaced by `token-1`, `token-2`, … in the order of their first use.
    pub fn write(&self) -> String {
        let mut out = line(&self.header);
        let mut redacted = Redaction::default();
        for event in &self.events {
            out.push_str(&line(&redacted.event(event)));
        }
        out
    }

    /// Writes the file into a folder, under the check's name.
    ///
    /// # Errors
    /// The file, and why it cannot be written.
    pub fn store(&self, folder: &Path) -> Result<(), String> {
        let file = folder.join(format!("{}.trace", self.header.name));
        let made = file.parent().map_or(Ok(()), std::fs::create_dir_all);
        made.and_then(|()| std::fs::write(&file, self.write())).map_err(|error| format!("{}: {error}", file.display()))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// The first line at fault, from 1, and what is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().enumerate();
        let (_, first) = lines.next().ok_or("line 1: the file is empty")?;
        let header: Header = serde_json::from_str(first).map_err(|error| format!("line 1: no header of a trace: {error}"))?;
        if header.trace != VERSION {
            return Err(format!("line 1: version {} of the format, and only {VERSION} is known", header.trace));
        }
        let event = |(index, text): (usize, &str)| serde_json::from_str(text).map_err(|error| format!("line {}: {error}", index + 1));
        let events = lines.filter(|(_, text)| !text.trim().is_empty()).map(event).collect::<Result<_, _>>()?;
        Ok(Self { header, events })
    }
}

fn line(object: &impl Serialize) -> String {
    // Nothing in a trace has keys that are no text, which is all that can fail.
    serde_json::to_string(object).unwrap_or_default() + "\n"
}

/// Puts names in the place of tokens.
#[derive(Debug, Default)]
pub struct Redaction(BTreeMap<String, String>);

impl Redaction {
    /// The event without the tokens in it.
    pub fn event(&mut self, event: &Event) -> Event {
        let what = match &event.what {
            What::Frame(frame) => What::Frame(Frame { bytes: self.frame(&frame.bytes), ..frame.clone() }),
            What::Tokens { grants: serde_json::Value::Object(grants) } => {
                let grants = grants.iter().map(|(token, grant)| (self.name(token), grant.clone()));
                What::Tokens { grants: serde_json::Value::Object(grants.collect()) }
            }
            other => other.clone(),
        };
        Event { at: event.at, what }
    }

    /// A frame without the tokens in it. One that is not well-formed is as it was.
    pub fn frame(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Ok(mut items) = decode_sequence(bytes) else { return bytes.to_vec() };
        if items.first() != Some(&Item::Int(0)) {
            return bytes.to_vec();
        }
        let mut found = false;
        for message in &mut items {
            let at = match code_of(message) {
                Some(code::HELLO) => 4,
                Some(code::AUTH) => 1,
                _ => continue,
            };
            if let Item::Array(parts) = message
                && let Some(Item::Text(token)) = parts.get_mut(at)
            {
                *token = self.name(token);
                found = true;
            }
        }
        if found { encode_sequence(&items) } else { bytes.to_vec() }
    }

    fn name(&mut self, token: &str) -> String {
        let next = self.0.len() + 1;
        self.0.entry(token.to_owned()).or_insert_with(|| format!("token-{next}")).clone()
    }
}

/// Bytes as hex in JSON.
pub(crate) mod as_hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&crate::edn::hex(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        crate::edn::unhex(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(bytes: Vec<u8>) -> Trace {
        let header = Header { trace: VERSION, name: "x".to_owned(), role: "server".to_owned(), space: "home".to_owned(), seed: 7 };
        let frame = Frame { conn: "a1".to_owned(), from: "a".to_owned(), to: "server".to_owned(), judged: false, bytes };
        let end = What::End { conn: "a1".to_owned(), by: "server".to_owned(), code: Some(1000) };
        Trace { header, events: vec![Event { at: 5, what: What::Frame(frame) }, Event { at: 6, what: end }] }
    }

    #[test]
    fn what_was_written_reads_the_same() {
        let trace = trace(vec![0x00, 0x82, 0x0b, 0x07]);
        assert_eq!(Trace::read(&trace.write()), Ok(trace));
    }

    #[test]
    fn a_token_is_not_written() {
        let hello = [Item::Int(0), Item::Array(vec![Item::Int(0), Item::Null, Item::Null, Item::Null, Item::Text("secret".to_owned())])];
        let text = trace(encode_sequence(&hello)).write();
        let renamed = [Item::Int(0), Item::Array(vec![Item::Int(0), Item::Null, Item::Null, Item::Null, Item::Text("token-1".to_owned())])];
        assert!(text.contains(&crate::edn::hex(&encode_sequence(&renamed))), "{text}");
    }

    #[test]
    fn a_line_at_fault_is_named() {
        let good = trace(vec![0]).write();
        let at = |text: &str| Trace::read(text).err().and_then(|why| why.split(':').next().map(str::to_owned)).unwrap_or_default();
        assert_eq!(at(""), "line 1");
        assert_eq!(at(&good.replacen("\"trace\":1", "\"trace\":2", 1)), "line 1");
        assert_eq!(at(&format!("{good}{{\"at\":1,\"flood\":{{}}}}\n")), "line 4");
        assert_eq!(at(&good.replace("\"hex\":\"00\"", "\"hex\":\"0g\"")), "line 2");
    }
}
