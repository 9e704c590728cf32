//! What is checked of every frame an implementation sends, whatever the story.

use std::collections::BTreeMap;

use cddl::validator::{Validator, cbor::CBORValidator};
use serde::Deserialize;

use crate::cbor::{Item, decode_sequence};
use crate::corpus::Corpus;
use crate::edn::print;
use crate::packed::unpacked;
use crate::trouble::Trouble;

const TEXT_BYTES_MAX: usize = 256;
/// `internal` may strike a connection as well as a channel.
const INTERNAL: u64 = 15;

/// Codes of messages (registries/messages.toml).
#[allow(missing_docs)]
pub mod code {
    pub const HELLO: u64 = 0;
    pub const WELCOME: u64 = 1;
    pub const OPEN: u64 = 2;
    pub const OPENED: u64 = 3;
    pub const SHUT: u64 = 4;
    pub const PUSH: u64 = 5;
    pub const ACK: u64 = 6;
    pub const REJECT: u64 = 7;
    pub const CHANGE: u64 = 8;
    pub const STATES: u64 = 9;
    pub const MARK: u64 = 10;
    pub const PING: u64 = 11;
    pub const PONG: u64 = 12;
    pub const ERROR: u64 = 13;
    pub const BYE: u64 = 14;
    pub const AUTH: u64 = 15;
    pub const CREDIT: u64 = 16;
    pub const RANGES: u64 = 17;
    pub const PRESENCE: u64 = 18;
    pub const SIGNAL: u64 = 19;
    pub const PACKED: u64 = 20;
    pub const VOID: u64 = 21;
    pub const NAMES: u64 = 22;
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

    /// The names of all profiles.
    pub fn profiles(&self) -> Vec<String> {
        self.profiles.keys().cloned().collect()
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
        let (channel, messages) = self.parse(bytes)?;
        let items: Vec<Item> = std::iter::once(Item::Int(i128::from(channel))).chain(messages).collect();
        self.schema(&items)?;
        Ok((channel, items[1..].to_vec()))
    }

    /// The same without the check of the schema.
    ///
    /// # Errors
    /// A frame that is not in the one encoding.
    pub fn parse(&self, bytes: &[u8]) -> Result<(u64, Vec<Item>), Trouble> {
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
        Ok((channel, unpacked(channel, items[1..].to_vec())?))
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
    pub(crate) fn error(&self, channel: u64, message: &Item) -> Result<(), Trouble> {
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
