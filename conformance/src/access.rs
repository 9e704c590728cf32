//! Steps about who may do what, and about what an operator does.

use serde_json::{Map, Value, json};

use crate::cbor::Item;
use crate::edn::{Expr, hex};
use crate::local::to_json;
use crate::pattern::value;
use crate::trace::What;
use crate::trouble::Trouble;
use crate::world::World;

impl World<'_> {
    /// The server's tokens are these from now on.
    pub(crate) fn tokens(&mut self, tokens: &Expr) -> Result<(), Trouble> {
        let tokens = to_json(&value(tokens, &self.names)?);
        self.note(What::Tokens { grants: tokens.clone() });
        self.call("tokens", json!({"peer": "server", "tokens": tokens})).map(drop)
    }

    /// This is all that the server does not let in any more.
    pub(crate) fn revoke(&mut self, revoked: &Expr) -> Result<(), Trouble> {
        let mut fields = Map::from_iter([("peer".to_owned(), json!("server"))]);
        if let Item::Map(pairs) = value(revoked, &self.names)? {
            for (name, list) in pairs {
                let shown = |item: &Item| if let Item::Bytes(bytes) = item { json!(hex(bytes)) } else { to_json(item) };
                fields.insert(name.as_text().unwrap_or_default().to_owned(), list.items().iter().map(shown).collect());
            }
        }
        self.call("revoke", Value::Object(fields)).map(drop)
    }

    /// Each space may hold this much from now on.
    pub(crate) fn quota(&mut self, bounds: &Expr) -> Result<(), Trouble> {
        let mut fields = to_json(&value(bounds, &self.names)?);
        fields["peer"] = json!("server");
        self.call("quota", fields).map(drop)
    }

    /// The server remembers deletions for so long from now on.
    pub(crate) fn retention(&mut self, retention: &Expr) -> Result<(), Trouble> {
        let mut fields = to_json(&value(retention, &self.names)?);
        fields["peer"] = json!("server");
        self.call("retention", fields).map(drop)
    }

    /// The operator purges a record of the scenario's space.
    pub(crate) fn purge(&mut self, collection: &str, id: &str) -> Result<(), Trouble> {
        let space = to_json(&self.names["space"]);
        self.call("purge", json!({"peer": "server", "space": space, "record": [collection, id]})).map(drop)
    }

    /// The operator makes or deletes a space.
    pub(crate) fn space_step(&mut self, verb: &str, space: &Expr) -> Result<(), Trouble> {
        let space = to_json(&value(space, &self.names)?);
        let reply = self.call(verb, json!({"peer": "server", "space": space}))?;
        if reply.get("done") == Some(&Value::Bool(true)) {
            if verb == "drop" {
                self.note(What::Drop { space: space.as_str().unwrap_or_default().to_owned() });
            }
            Ok(())
        } else {
            Err(Trouble::fault(format!("{verb} {space}"), "nothing was done"))
        }
    }

    /// Whether the server keeps this text or these bytes anywhere.
    pub(crate) fn stores(&mut self, bytes: &Expr, wanted: bool) -> Result<(), Trouble> {
        let sought = match value(bytes, &self.names)? {
            Item::Bytes(bytes) => bytes,
            item => item.as_text().ok_or("a text or bytes are needed".to_owned())?.as_bytes().to_vec(),
        };
        let found = self.call("stores", json!({"peer": "server", "bytes": hex(&sought)}))?.get("found") == Some(&Value::Bool(true));
        let say = |found: bool| if found { "the server keeps it" } else { "the server does not keep it" };
        if found == wanted { Ok(()) } else { Err(Trouble::fault(say(wanted), say(found))) }
    }

    /// The application asks a client to forget all that it holds.
    pub(crate) fn wipe(&mut self, who: &str, force: bool, refused: bool) -> Result<(), Trouble> {
        let reply = self.call("wipe", json!({"peer": who, "force": force}))?;
        match (reply.get("refused").and_then(Value::as_str), refused) {
            (None, true) => Err(Trouble::fault("a refusal", "the store was wiped")),
            (Some(why), false) => Err(Trouble::fault("the store to be wiped", format!("refused: {why}"))),
            _ => Ok(()),
        }
    }
}
