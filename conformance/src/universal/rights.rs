//! Nothing of a space goes to a connection without a right to it (spec, sections 7, 12 and 14).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::cbor::Item;
use crate::checks::{code, code_of};

use super::{Fault, Seen};

/// Within so long what was granted before may still be sent (`revoke_ms_max`).
const REVOKE_MS: u64 = 5000;

/// What the server's tokens grant, and what the connections showed.
#[derive(Debug, Default)]
pub struct Rights {
    /// What is granted, the last at the end, each with the time from which on.
    tables: Vec<(u64, Value)>,
    /// The token of each connection.
    tokens: BTreeMap<String, String>,
    /// The space of each channel.
    spaces: BTreeMap<(String, u64), String>,
}

impl Rights {
    /// The server grants this from here on.
    pub fn tokens(&mut self, at: u64, grants: &Value) {
        self.tables.push((at, grants.clone()));
    }

    /// Takes a message; a fault is the server's.
    pub fn message(&mut self, seen: &Seen) -> Result<(), Fault> {
        let items = seen.message.items();
        let text = |index: usize| items.get(index).and_then(Item::as_text).map(str::to_owned);
        match code_of(seen.message) {
            Some(code::HELLO) => self.token(seen.conn, text(4)),
            Some(code::AUTH) => self.token(seen.conn, text(1)),
            Some(code::OPEN) => drop(self.spaces.insert((seen.conn.to_owned(), seen.channel), text(1).unwrap_or_default())),
            Some(code::WELCOME) if !self.granted(seen, |_| true) => {
                return Err(("SESS-5", "no welcome without a token that is known".to_owned()));
            }
            Some(code::ERROR | code::SHUT) => {}
            Some(_) if !seen.client && seen.channel > 0 => {
                let space = self.spaces.get(&(seen.conn.to_owned(), seen.channel)).cloned().unwrap_or_default();
                if !self.granted(seen, |grant| reaches(grant, &space)) {
                    return Err(("SEC-4", format!("nothing of {space}, to which the token gives no right")));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn token(&mut self, conn: &str, token: Option<String>) {
        self.tokens.insert(conn.to_owned(), token.unwrap_or_default());
    }

    /// Whether what was granted lately, or where no token is needed anyway, allows it.
    fn granted(&self, seen: &Seen, allows: impl Fn(&Value) -> bool) -> bool {
        let token = self.tokens.get(seen.conn).map_or("", String::as_str);
        let until = self.tables.iter().skip(1).map(|(from, _)| from + REVOKE_MS).chain([u64::MAX]);
        let lately = self.tables.iter().zip(until).filter(|(_, until)| *until >= seen.at);
        let allowed = |table: &Value| table.is_null() || table.get(token).is_some_and(&allows);
        self.tables.is_empty() || lately.map(|((_, table), _)| table).any(allowed)
    }
}

/// Whether a grant gives any right to a space. A subject alone has all rights.
fn reaches(grant: &Value, space: &str) -> bool {
    let Some(spaces) = grant.get("spaces").and_then(Value::as_object) else { return true };
    let named = |name: &String| name.strip_suffix('*').map_or(name == space, |start| space.starts_with(start));
    spaces.iter().any(|(name, right)| named(name) && right != "none")
}
