//! Steps about peer links: the harness as the other peer, and clients among each other.

use serde_json::json;

use crate::cbor::Item;
use crate::checks::code;
use crate::scenario::Role;
use crate::step::Options;
use crate::trouble::Trouble;
use crate::world::{Link, World};

/// The client under judgement in the role peer.
const CLIENT: &str = "c";

impl World<'_> {
    /// A peer of the harness dials the client, or is dialled by it.
    pub(crate) fn meet(&mut self, who: &str, dials: bool) -> Result<(), Trouble> {
        if self.role != Role::Peer {
            return Err(Trouble::Script("`dial` and `called` are for the role peer".to_owned()));
        }
        self.conns += 1;
        let conn = format!("{who}{}", self.conns);
        self.links.insert(who.to_owned(), Link { conn: conn.clone(), open: true, channel: 1, ..Link::default() });
        let (from, to) = if dials { (who, CLIENT) } else { (CLIENT, who) };
        self.connected(&conn, from, to);
        self.call("link", json!({"peer": CLIENT, "conn": conn, "dials": !dials})).map(drop)
    }

    /// Dials, and goes on until both sides may report; takes the client's report where it is not to be looked at.
    pub(crate) fn join(&mut self, who: &str, options: &Options) -> Result<(), Trouble> {
        self.meet(who, true)?;
        let int = Item::Int;
        let hello = vec![int(0), Item::Array(vec![int(1)]), self.profiles(options)?, Item::Map(Vec::new()), Item::Null];
        self.send(who, 0, vec![Item::Array(hello)])?;
        self.next_of(who, 0, code::WELCOME, "welcome")?;
        let space = self.option(options, "space")?.unwrap_or(self.names["space"].clone());
        let replica = self.option(options, "replica")?.ok_or("join needs a replica".to_owned())?;
        let cursor = self.option(options, "cursor")?.unwrap_or(Item::Null);
        self.send(who, 1, vec![Item::Array(vec![int(2), space, replica, int(0), cursor])])?;
        let opened = self.next_of(who, 1, code::OPENED, "opened")?;
        for (name, item) in [("position", 1), ("history", 2), ("base", 5)] {
            self.bind(who, name, opened.items()[item].clone());
        }
        if self.option(options, "nocatchup")?.is_none() {
            self.next_of(who, 1, code::STATES, "a report")?;
        }
        Ok(())
    }

    /// Two clients are linked: the first dials.
    pub(crate) fn link(&mut self, a: &str, b: &str) -> Result<(), Trouble> {
        self.conns += 1;
        let conn = format!("{a}~{b}~{}", self.conns);
        self.links.insert(format!("{a}~{b}"), Link { conn: conn.clone(), open: true, channel: 1, ..Link::default() });
        self.connected(&conn, a, b);
        self.call("link", json!({"peer": b, "conn": conn, "dials": false}))?;
        self.call("link", json!({"peer": a, "conn": conn, "dials": true})).map(drop)
    }

    /// The link of two clients is cut.
    pub(crate) fn unlink(&mut self, a: &str, b: &str) -> Result<(), Trouble> {
        let link = self.links.get_mut(&format!("{a}~{b}")).ok_or(format!("{a} and {b} are not linked"))?;
        let (conn, stood) = (link.conn.clone(), std::mem::replace(&mut link.open, false));
        self.flight.retain(|(on, _, _)| *on != conn);
        self.ended(&conn, "harness");
        for peer in [a, b].into_iter().filter(|_| stood) {
            self.call("hangup", json!({"peer": peer, "conn": conn}))?;
        }
        Ok(())
    }
}

/// The other end of a link of two clients; none of another connection.
pub(crate) fn other_end(conn: &str, peer: &str) -> Option<String> {
    let mut parts = conn.split('~');
    let (a, b) = (parts.next()?, parts.next()?);
    parts.next()?;
    Some(if a == peer { b.to_owned() } else { a.to_owned() })
}
