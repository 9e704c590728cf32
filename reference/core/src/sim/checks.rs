//! What can be asked of a world at rest.

use std::collections::BTreeSet;

use super::world::{Node, SPACE, World, has_frames};
use crate::change::{Change, RecordName};
use crate::rules::COUNTER;
use crate::server;
use crate::space::{Shown, Space, View};

impl World {
    /// Everyone shows the presence of all others, and of nobody else. (PRES-6, PRES-8, PRES-12)
    pub fn check_presence(&mut self) -> Result<(), String> {
        while let Some(client) = self.nodes.iter().position(has_frames) {
            self.deliver(client, true);
            self.deliver(client, false);
        }
        let replica = |node: &Node| node.client.status(&node.store).map(|status| status.replica).map_err(|error| error.to_string());
        let sound: Vec<&Node> = self.nodes.iter().filter(|node| node.link.as_ref().is_some_and(|link| !link.damaged)).collect();
        for reader in &sound {
            let shown = reader.client.presence();
            for author in &self.nodes {
                let (own, name) = (replica(reader)?, replica(author)?);
                let is_sound = author.link.as_ref().is_some_and(|link| !link.damaged);
                if is_sound && own != name && shown.get(&name) != author.present.as_ref() {
                    return Err(format!("{own} shows {:?} as the presence of {name}, which is {:?}", shown.get(&name), author.present));
                }
            }
            // What stands on a connection that only the server still has, goes when its time is over. (PRES-8)
            if let Some(gone) = shown
                .keys()
                .filter(|_| self.ghosts.is_empty())
                .find(|shown| !self.nodes.iter().any(|node| replica(node).as_ref() == Ok(shown)))
            {
                return Err(format!("{gone} is shown and is not there"));
            }
        }
        Ok(())
    }

    /// How many cells and lives the server keeps only to say that something is gone.
    pub fn gone(&self) -> u64 {
        server::gone(&self.store, SPACE).expect("the store in memory does not fail")
    }

    /// Where everyone stands, for a failure's message.
    pub fn standing(&self) -> String {
        let line = |node: &Node| format!("{:?}", node.client.status(&node.store));
        self.nodes.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// Every client shows of its subscription what client 0 shows of all, byte for byte, and holds nothing beyond it. (SUB-9, SUB-12)
    pub fn check_equal(&self) -> Result<(), String> {
        let mut all: Option<Seen> = None;
        for (at, node) in self.nodes.iter().enumerate() {
            let records = node.client.records(&node.store, None).map_err(|error| error.to_string())?;
            let status = node.client.status(&node.store).map_err(|error| error.to_string())?;
            let (mut expected, fingerprint) = all.get_or_insert_with(|| (records.clone(), status.fingerprint)).clone();
            let wanted = node.client.subscription();
            let covers = |collection: &String| wanted.is_none_or(|wanted| wanted.contains(collection));
            expected.retain(|(record, _)| covers(&record.collection));
            let expected = (expected, if wanted.is_some() { status.fingerprint } else { fingerprint });
            let seen = (records, status.fingerprint);
            if seen != expected {
                return Err(format!("client {at} differs from client 0: {}", difference(&expected, &seen)));
            }
            let held = Space::new(b"b").collections(&node.store).map_err(|error| error.to_string())?;
            if let Some(left) = held.iter().find(|collection| !covers(collection)) {
                return Err(format!("client {at} holds cells of {left}, which it does not subscribe"));
            }
        }
        Ok(())
    }

    /// What the counter of changes shows at the first client, and how many records that one change each made show there.
    pub fn counted(&self) -> (i64, i64) {
        let node = &self.nodes[0];
        let records = node.client.records(&node.store, None).expect("the store in memory does not fail");
        let made = records.iter().filter(|(name, _)| name.collection == "own").count() as i64;
        let sum = records.iter().find(|(name, _)| name.collection == "sum").and_then(|(_, view)| view.column("changes", COUNTER));
        (if let Some(Shown::Counter(sum)) = sum { *sum } else { 0 }, made)
    }

    /// No mark ever differed: what was equal in the end had not to be repaired first. (SYNC-22)
    pub fn check_unrepaired(&self) -> Result<(), String> {
        let repaired = self.nodes.iter().position(|node| node.client.was_repaired());
        repaired.map_or(Ok(()), |at| Err(format!("client {at} had to begin anew, since a mark differed")))
    }

    /// The accepted changes, in order.
    pub fn log(&self) -> Vec<Change> {
        server::accepted(&self.store, SPACE).expect("the store in memory does not fail")
    }

    /// Records whose only write an application sees rejected.
    pub fn rejected(&self) -> BTreeSet<RecordName> {
        let rejections = |node: &Node| node.client.rejections(&node.store).expect("the store in memory does not fail");
        let rows = self.nodes.iter().flat_map(rejections).flat_map(|rejection| rejection.change.rows);
        rows.map(|row| row.record).filter(|record| record.collection == "own").collect()
    }
}

/// What a client shows, and its fingerprint.
type Seen = (Vec<(RecordName, View)>, [u8; 16]);

fn difference(first: &Seen, second: &Seen) -> String {
    let only =
        |a: &Seen, b: &Seen| a.0.iter().filter(|record| !b.0.contains(record)).map(|record| format!("{record:?}")).collect::<Vec<_>>();
    format!("only there {:?}, only here {:?}, fingerprints {}", only(first, second), only(second, first), first.1 == second.1)
}
