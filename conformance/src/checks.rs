//! What is checked of every frame an implementation sends, whatever the story.

use std::collections::BTreeMap;

use cddl::validator::{Validator, cbor::CBORValidator};
use serde::Deserialize;

use crate::cbor::{Item, decode_sequence};
use crate::corpus::Corpus;
use crate::edn::print;
use crate::trouble::Trouble;

const TEXT_BYTES_MAX: usize = 256;
/// `internal` may strike a connection as well as a channel.
const INTERNAL: u64 = 15;
/// The profile by which a channel may carry a part of a space.
const SUBSCRIBE: u64 = 5;

/// Codes of messages (registries/messages.toml).
#[allow(missing_docs)]
pub mod code {
    pub const HELLO: u64 = 0;
    pub const WELCOME: u64 = 1;
    pub const OPEN: u64 = 2;
    pub const OPENED: u64 = 3;
    pub const PUSH: u64 = 5;
    pub const ACK: u64 = 6;
    pub const REJECT: u64 = 7;
    pub const CHANGE: u64 = 8;
    pub const STATES: u64 = 9;
    pub const MARK: u64 = 10;
    pub const PING: u64 = 11;
    pub const ERROR: u64 = 13;
    pub const PRESENCE: u64 = 18;
    pub const VOID: u64 = 21;
}

/// The code of a message.
pub fn code_of(message: &Item) -> Option<u64> {
    message.items().first().and_then(Item::as_u64)
}

/// The value of a key in the map of extensions that ends a message.
pub fn extension(message: &Item, key: i128) -> Option<&Item> {
    let Some(Item::Map(pairs)) = message.items().last() else { return None };
    pairs.iter().find(|(found, _)| *found == Item::Int(key)).map(|(_, value)| value)
}

/// The schema and the registries of the spec.
pub struct Rulebook {
    schema: Option<cddl::ast::CDDL<'static>>,
    errors: BTreeMap<u64, ErrorEntry>,
    profiles: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct ErrorFile {
    error: Vec<ErrorEntry>,
    class: Vec<ClassEntry>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    code: u64,
    name: String,
    scope: String,
    class: String,
    detail: Option<String>,
    #[serde(skip)]
    class_code: u64,
}

#[derive(Deserialize)]
struct ProfileFile {
    profile: Vec<ClassEntry>,
}

#[derive(Deserialize)]
struct ClassEntry {
    code: u64,
    name: String,
}

impl Rulebook {
    /// Reads them.
    ///
    /// # Errors
    /// A file that cannot be read or makes no sense.
    pub fn load(corpus: &Corpus) -> Result<Self, String> {
        let text = corpus.read("spec/syncline.cddl")?;
        // Parsed once for the whole run; the tree borrows the text.
        let text: &'static str = Box::leak(text.into_boxed_str());
        let schema = Some(cddl::cddl_from_str(text, true).map_err(|error| format!("syncline.cddl: {error}"))?);
        let text = corpus.read("spec/registries/errors.toml")?;
        let file: ErrorFile = toml::from_str(&text).map_err(|error| format!("errors.toml: {error}"))?;
        let class = |name: &str| file.class.iter().find(|class| class.name == name).map_or(u64::MAX, |class| class.code);
        let errors = file.error.iter().map(|entry| (entry.code, class(&entry.class))).collect::<BTreeMap<_, _>>();
        let errors = file.error.into_iter().map(|entry| (entry.code, ErrorEntry { class_code: errors[&entry.code], ..entry })).collect();
        let text = corpus.read("spec/registries/profiles.toml")?;
        let file: ProfileFile = toml::from_str(&text).map_err(|error| format!("profiles.toml: {error}"))?;
        let profiles = file.profile.into_iter().map(|entry| (entry.name, entry.code)).collect();
        Ok(Self { schema, errors, profiles })
    }

    /// The registry's name of an error.
    pub fn error_name(&self, code: u64) -> &str {
        self.errors.get(&code).map_or("an unknown error", |entry| &entry.name)
    }

    /// The code of a profile.
    pub fn profile_code(&self, name: &str) -> Option<u64> {
        self.profiles.get(name).copied()
    }

    /// The channel and the messages of a frame that an implementation sent.
    ///
    /// # Errors
    /// A frame that is not in the one encoding, or breaks the schema.
    pub fn frame(&self, bytes: &[u8]) -> Result<(u64, Vec<Item>), Trouble> {
        let shown = || format!("h'{}'", crate::edn::hex(&bytes[..bytes.len().min(200)]));
        let items = decode_sequence(bytes).map_err(|fault| {
            let rule = if fault.canonical_only { "CODEC-12" } else { "CODEC-13" };
            Trouble::broken(rule, "a frame in the one encoding", format!("{fault}: {}", shown()))
        })?;
        let Some(channel) = items.first().and_then(Item::as_u64) else {
            return Err(Trouble::broken("CODEC-13", "a channel number first", shown()));
        };
        if items.len() < 2 {
            return Err(Trouble::broken("FRAME-1", "at least one message", shown()));
        }
        self.schema(&items)?;
        Ok((channel, items[1..].to_vec()))
    }

    fn schema(&self, items: &[Item]) -> Result<(), Trouble> {
        let Some(schema) = &self.schema else { return Ok(()) };
        let array = ciborium::Value::Array(items.iter().map(to_ciborium).collect());
        let mut validator = CBORValidator::new(schema, array.into(), None);
        validator.validate().map_err(|error| {
            let frame = items.iter().map(print).collect::<Vec<_>>().join(", ");
            let error: String = error.to_string().lines().take(3).collect::<Vec<_>>().join("; ");
            Trouble::broken("CODEC-13", "a frame that matches syncline.cddl", format!("{frame} ({error})"))
        })
    }

    /// Checks an `error` or a `reject` against the registry.
    fn error(&self, channel: u64, message: &Item) -> Result<(), Trouble> {
        let (code, class, detail, text) = match message.items() {
            [Item::Int(13), code, class, detail, text, ..] => (code, class, detail, text.as_text()),
            [Item::Int(7), _, _, code, class, detail, ..] => (code, class, detail, None),
            _ => return Ok(()),
        };
        let Some(entry) = code.as_u64().and_then(|code| self.errors.get(&code)) else { return Ok(()) };
        if class.as_u64() != Some(entry.class_code) {
            return Err(Trouble::broken("ERROR-1", format!("the class {} of {}", entry.class, entry.name), print(message)));
        }
        if entry.detail.is_some() != detail.as_u64().is_some() {
            let expected = entry.detail.clone().unwrap_or("null".to_owned());
            return Err(Trouble::broken("ERROR-2", format!("the detail of {}: {expected}", entry.name), print(message)));
        }
        let misplaced = match entry.scope.as_str() {
            "connection" => channel != 0,
            "channel" => channel == 0 && entry.code != INTERNAL,
            _ => false,
        };
        if misplaced && code_of(message) == Some(code::ERROR) {
            return Err(Trouble::broken(
                "ERROR-3",
                format!("{} on its {}", entry.name, entry.scope),
                format!("channel {channel}: {}", print(message)),
            ));
        }
        match text {
            Some(text) if text.len() > TEXT_BYTES_MAX => {
                Err(Trouble::broken("LIMIT-7", "at most 256 bytes of text", format!("{} bytes", text.len())))
            }
            _ => Ok(()),
        }
    }
}

/// As the validator wants it. It knows no undefined; the schema allows null wherever it allows undefined.
fn to_ciborium(item: &Item) -> ciborium::Value {
    match item {
        Item::Null | Item::Undefined => ciborium::Value::Null,
        Item::Bool(value) => ciborium::Value::Bool(*value),
        Item::Int(value) => ciborium::Value::Integer((*value as i64).into()),
        Item::Float(value) => ciborium::Value::Float(*value),
        Item::Bytes(bytes) => ciborium::Value::Bytes(bytes.clone()),
        Item::Text(text) => ciborium::Value::Text(text.clone()),
        Item::Array(items) => ciborium::Value::Array(items.iter().map(to_ciborium).collect()),
        Item::Map(pairs) => ciborium::Value::Map(pairs.iter().map(|(key, value)| (to_ciborium(key), to_ciborium(value))).collect()),
    }
}

/// What one connection has shown so far, for the checks of order.
#[derive(Debug, Default)]
pub struct Watch {
    /// The profiles that `welcome` named.
    agreed: Vec<u64>,
    channels: BTreeMap<u64, Channel>,
}

#[derive(Debug, Default)]
struct Channel {
    replica: Option<Item>,
    cursor: u64,
    /// The collections that the channel carries; none: all.
    collections: Option<Vec<Item>>,
    /// Whether a catch-up begins below the cursor.
    joins: bool,
    /// The last position shown; none before a catch-up after a reset is complete.
    last: Option<u64>,
    /// The last seq of the receiver that has a verdict: an answer under IDENT-4 repeats an older position.
    settled: u64,
    ended: bool,
}

impl Watch {
    /// Takes note of what the client's side said.
    pub fn from_client(&mut self, channel: u64, message: &Item) {
        if let [Item::Int(2), _, replica, _, cursor, ..] = message.items() {
            let cursor = cursor.items().first().and_then(Item::as_u64).unwrap_or(0);
            let agreed = self.agreed.contains(&SUBSCRIBE);
            let named = |key| extension(message, key).filter(|_| agreed).map(|names| names.items().to_vec());
            let (collections, joins) = (named(0), named(1).is_some());
            self.channels.insert(channel, Channel { replica: Some(replica.clone()), cursor, collections, joins, ..Channel::default() });
        }
    }

    /// Checks what a server under judgement said.
    ///
    /// # Errors
    /// A rule that is broken.
    pub fn from_server(&mut self, rulebook: &Rulebook, number: u64, message: &Item) -> Result<(), Trouble> {
        rulebook.error(number, message)?;
        let channel = self.channels.entry(number).or_default();
        if channel.ended && number > 0 {
            return Err(Trouble::broken("ERROR-5", "nothing on a channel after its error", print(message)));
        }
        channel.ended = code_of(message) == Some(code::ERROR);
        let position = message.items().get(1).and_then(Item::as_u64);
        match code_of(message) {
            Some(code::WELCOME) => {
                let profiles = message.items().get(2).map(Item::items).unwrap_or_default();
                self.agreed = profiles.iter().filter_map(Item::as_u64).collect();
                Ok(())
            }
            Some(code::OPENED) => {
                let reset = message.items().get(6).and_then(Item::as_u64);
                channel.last = (reset == Some(0) && !channel.joins).then_some(channel.cursor);
                channel.settled = message.items().get(3).and_then(Item::as_u64).unwrap_or(0);
                Ok(())
            }
            Some(code::STATES) => channel.states(message),
            Some(code::ACK) => {
                let position = message.items().get(2).and_then(Item::as_u64);
                channel.last = channel.last.map(|last| last.max(position.unwrap_or(0)));
                channel.settled = channel.settled.max(message.items().get(1).and_then(Item::as_u64).unwrap_or(0));
                Ok(())
            }
            Some(code::REJECT) => channel.reject(message),
            Some(code::VOID) if channel.collections.is_some() => {
                Err(Trouble::broken("SUB-2", "no void on a channel with a subscription", print(message)))
            }
            Some(code::VOID) => channel.next(position, message),
            Some(code::CHANGE) => {
                let rows = message.items().get(4..).unwrap_or_default();
                if !channel.carried(rows).any(|carried| carried) {
                    return Err(Trouble::broken("SUB-2", "a change with a row in a collection subscribed", print(message)));
                }
                if channel.replica.is_some() && message.items().get(2) == channel.replica.as_ref() {
                    return Err(Trouble::broken("SESS-23", "no change of the receiver's own replica", print(message)));
                }
                channel.next(position, message)
            }
            _ => Ok(()),
        }
    }
}

impl Channel {
    fn states(&mut self, message: &Item) -> Result<(), Trouble> {
        let last_part = message.items().get(1) == Some(&Item::Bool(true));
        let to = message.items().get(2).and_then(Item::as_u64).unwrap_or(0);
        if self.last.is_some_and(|last| to < last) {
            return Err(Trouble::broken("SESS-20", "positions that rise", print(message)));
        }
        if last_part || self.last.is_some() {
            self.last = Some(to);
        }
        for item in message.items().iter().skip(4) {
            if !self.carried(item.items()).all(|carried| carried) {
                return Err(Trouble::broken("SUB-5", "cells of the collections subscribed", print(message)));
            }
        }
        Ok(())
    }

    /// For each row among these items whether its collection is subscribed; a row begins with `[collection, id]`.
    fn carried<'a>(&'a self, items: &'a [Item]) -> impl Iterator<Item = bool> + 'a {
        let collection = |row: &'a Item| match row.items().first().map(Item::items) {
            Some([collection @ Item::Text(_), Item::Text(_)]) => Some(collection),
            _ => None,
        };
        items.iter().filter_map(collection).map(|collection| self.collections.as_ref().is_none_or(|all| all.contains(collection)))
    }

    fn reject(&mut self, message: &Item) -> Result<(), Trouble> {
        let number = |index: usize| message.items().get(index).and_then(Item::as_u64);
        let again = number(1).is_some_and(|seq| seq <= self.settled) && number(2) <= self.last;
        if again {
            return Ok(());
        }
        self.settled = number(1).unwrap_or(self.settled);
        self.next(number(2), message)
    }

    fn next(&mut self, position: Option<u64>, message: &Item) -> Result<(), Trouble> {
        if let (Some(last), Some(position)) = (self.last, position) {
            let follows = if self.collections.is_some() { position > last } else { position == last + 1 };
            if !follows {
                let (rule, wanted) =
                    if self.collections.is_some() { ("SUB-3", "a position above") } else { ("SESS-20", "the position after") };
                return Err(Trouble::broken(rule, format!("{wanted} {last}"), print(message)));
            }
            self.last = Some(position);
        }
        Ok(())
    }
}
