//! What can be seen of a world from outside: stores and applications, never the machines' own opinion of the protocol.

use super::world::{Node, SPACE, World};
use crate::change::{Change, RecordName};
use crate::client::{Rejection, Status};
use crate::clock::Replica;
use crate::server::{self, Logged};
use crate::space::View;

/// What one client shows, and says of itself.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its records as they show.
    pub records: Vec<(RecordName, View)>,
    /// What it says of itself.
    pub status: Status,
    /// Its changes without a verdict, and those of others that it holds.
    pub overlay: Vec<(Replica, Change)>,
    /// Its own changes without a verdict, also those that its base settles.
    pub unsettled: Vec<Change>,
    /// What was rejected and not dismissed.
    pub rejections: Vec<Rejection>,
    /// What it subscribes; none: all.
    pub wanted: Option<Vec<String>>,
    /// Whether base does not hold all of that yet.
    pub joining: bool,
}

/// What was handed to a client's connection, and what its token was worth at that moment.
#[derive(Debug, Clone)]
pub struct Handed {
    /// The client.
    pub client: usize,
    /// Whether its token allowed reading.
    pub may_read: bool,
    /// The frame.
    pub frame: Vec<u8>,
}

impl World {
    /// What a client shows.
    pub fn seen(&self, client: usize) -> Seen {
        let Node { client, store, .. } = &self.nodes[client];
        let fails = "the store in memory does not fail";
        Seen {
            records: client.records(store, None).expect(fails),
            status: client.status(store).expect(fails),
            overlay: client.overlay(store).expect(fails),
            unsettled: client.unsettled().cloned().collect(),
            rejections: client.rejections(store).expect(fails),
            wanted: client.subscription().map(|names| names.iter().cloned().collect()),
            joining: client.is_joining(),
        }
    }

    /// What a client says of itself.
    pub fn standing_of(&self, client: usize) -> Status {
        let Node { client, store, .. } = &self.nodes[client];
        client.status(store).expect("the store in memory does not fail")
    }

    /// How often the client's store was replaced by another.
    pub fn life_of(&self, client: usize) -> u64 {
        self.nodes[client].life
    }

    /// Whether the client's base was found to differ from the server's.
    pub fn was_repaired(&self, client: usize) -> bool {
        self.nodes[client].client.was_repaired()
    }

    /// Whether the server has nothing open that is not durable.
    pub fn is_durable(&self) -> bool {
        self.batch == 0
    }

    /// The log behind a position.
    pub fn log_after(&self, position: u64) -> Vec<Logged> {
        server::logged(&self.store, SPACE, position).expect("the store in memory does not fail")
    }

    /// The histories of the server, each with its first position.
    pub fn histories(&self) -> Vec<([u8; 8], u64)> {
        server::histories(&self.store, SPACE).expect("the store in memory does not fail")
    }

    /// How often the server's store was replaced by an older one.
    pub fn server_life(&self) -> u64 {
        self.life
    }

    /// The server's clock, Unix milliseconds.
    pub fn server_ms(&self) -> u64 {
        self.server_now().wall_ms
    }

    /// The world's clock, milliseconds from 0.
    pub fn elapsed_ms(&self) -> u64 {
        self.now_ms
    }

    /// The most bytes that the server keeps for one connection until it is polled.
    pub fn queued_bytes(&self) -> usize {
        let conns = self.nodes.iter().filter_map(|node| node.link.as_ref().map(|link| link.conn));
        conns.chain(self.ghosts.iter().copied()).map(|conn| self.server.queued_bytes(conn)).max().unwrap_or(0)
    }

    /// Frames handed to connections since the last call.
    pub fn take_handed(&mut self) -> Vec<Handed> {
        std::mem::take(&mut self.handed)
    }

    /// The name of the space.
    pub fn space(&self) -> &'static str {
        SPACE
    }
}
