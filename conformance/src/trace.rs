//! What happened in a run, in the order in which it happened.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cbor::decode_sequence;
use crate::edn::{hex, print};
use crate::packed::readable;

/// Of a long frame so many bytes are shown in hex.
const HEX_BYTES_MAX: usize = 1024;
/// A longer frame is shown in hex only.
const EDN_BYTES_MAX: usize = 65_536;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When: Unix milliseconds by the harness's clock.
    pub at: u64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// The harness took a step of the scenario.
    Step {
        /// The line it begins on, from 1.
        line: usize,
        /// As it is written.
        text: String,
    },
    /// A connection was made.
    Connect {
        /// Its name; unique in the run.
        conn: String,
        /// Who dialled.
        from: String,
        /// Who took it; a connection to `server` is no peer link.
        to: String,
    },
    /// A frame was sent.
    Frame(Frame),
    /// A connection ended.
    End {
        /// Its name.
        conn: String,
        /// Who ended it.
        by: String,
        /// The code that the transport gave, where it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<u16>,
    },
    /// A peer died, and all its connections with it.
    Crash {
        /// Which.
        who: String,
    },
    /// A peer went back to a copy of its store.
    Load {
        /// Which.
        who: String,
    },
    /// The operator deleted a space.
    Drop {
        /// Its name.
        space: String,
    },
    /// What the server's tokens grant from here on, in the form of the header `tokens`; null where it requires none.
    Tokens {
        /// Token to subject or grant.
        grants: serde_json::Value,
    },
    /// A client says that it is in sync.
    Synced {
        /// Which.
        who: String,
        /// The position of its cursor.
        position: u64,
        /// The history of its cursor, in hex.
        history: String,
        /// The fingerprint of its base, in hex.
        fingerprint: String,
    },
    /// Something else, in words.
    Told {
        /// To whom it happened.
        who: String,
        /// What.
        text: String,
    },
}

/// A frame, as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// The connection's name; unique in the run.
    pub conn: String,
    /// Who sent it.
    pub from: String,
    /// To whom.
    pub to: String,
    /// Whether the implementation sent it, and not the harness.
    pub judged: bool,
    /// The whole of it.
    #[serde(rename = "hex", with = "crate::trace_file::as_hex")]
    pub bytes: Vec<u8>,
}

impl Frame {
    /// Its first bytes in hex.
    pub fn hex(&self) -> String {
        hex(&self.bytes[..self.bytes.len().min(HEX_BYTES_MAX)])
    }

    /// Its items in diagnostic notation; none where it is too long or not well-formed.
    pub fn edn(&self) -> Option<String> {
        let bytes = (self.bytes.len() <= EDN_BYTES_MAX).then_some(&self.bytes)?;
        let items = readable(decode_sequence(bytes).ok()?);
        Some(items.iter().map(print).collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Step { line, text } => write!(f, "    {line}: {text}"),
            What::Frame(frame) => {
                let shown = frame.edn().unwrap_or_else(|| format!("h'{}' ({} bytes)", frame.hex(), frame.bytes.len()));
                write!(f, "{} > {}: {shown}", frame.from, frame.to)
            }
            What::Connect { conn, from, to } => write!(f, "{from} connects to {to}: {conn}"),
            What::End { conn, by, code: None } => write!(f, "{by} ends the connection {conn}"),
            What::End { conn, by, code: Some(code) } => write!(f, "{by} ends the connection {conn} with {code}"),
            What::Crash { who } => write!(f, "{who} died"),
            What::Load { who } => write!(f, "{who} goes back to a copy of its store"),
            What::Drop { space } => write!(f, "server has its space {space} deleted"),
            What::Tokens { .. } => write!(f, "server has other tokens"),
            What::Synced { who, position, .. } => write!(f, "{who} is in sync at {position}"),
            What::Told { who, text } => write!(f, "{who} {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: Vec<u8>) -> String {
        let frame = Frame { conn: "a1".to_owned(), from: "a".to_owned(), to: "server".to_owned(), judged: false, bytes };
        Event { at: 0, what: What::Frame(frame) }.to_string()
    }

    #[test]
    fn a_frame_shows_its_items() {
        assert_eq!(shown(vec![0x00, 0x82, 0x0b, 0x07]), "a > server: 0, [11, 7]");
    }

    #[test]
    fn what_is_not_well_formed_shows_its_bytes() {
        assert_eq!(shown(vec![0xff]), "a > server: h'ff' (1 bytes)");
    }

    #[test]
    fn a_long_frame_is_cut_short() {
        let shown = shown(vec![0; 1_048_577]);
        assert!(shown.len() < 2 * HEX_BYTES_MAX + 60 && shown.ends_with("(1048577 bytes)"), "{} characters", shown.len());
    }
}
