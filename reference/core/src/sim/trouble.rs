//! Trouble in a world beyond cuts and crashes: dead connections, old frames, tokens, disks.

use std::collections::BTreeMap;

use super::step::{Disk, Way};
use super::world::{EPOCH_MS, SPACE, World};
use crate::change::RecordName;
use crate::client;
use crate::peer::LinkId;
use crate::server::{self, Access, Grant, Retention, Right, Rights, Tokens};

/// Frames of a client that are kept to be played again, each way.
const FRAMES_KEPT: usize = 24;

/// What a client's token is worth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub right: Right,
    pub revoked: bool,
    /// When it ends, on the clock of the world.
    pub ends_ms: Option<u64>,
}

impl Standing {
    pub const FULL: Self = Self { right: Right::Write, revoked: false, ends_ms: None };
}

/// The token of a client.
pub(super) fn token(client: usize) -> String {
    format!("token-{client}")
}

/// For how long a server remembers deletions; 0: for ever.
pub(super) fn retention(ms: u64) -> Retention {
    if ms > 0 { Retention { ms, positions: 4 } } else { Retention::FOR_EVER }
}

impl World {
    /// One end sees the connection end, the other does not.
    pub(super) fn half_open(&mut self, client: usize, way: Way) {
        let Some(link) = &mut self.nodes[client].link else { return };
        let conn = link.conn;
        if way == Way::Up {
            // The server goes on with nobody behind it.
            self.nodes[client].link = None;
            self.ghosts.push(conn);
            self.tell(client, client::Input::HungUp);
        } else if !std::mem::replace(&mut link.deserted, true) {
            link.dark = [true, true];
            link.down.clear();
            self.serve(server::Input::HungUp(conn));
        }
    }

    pub(super) fn one_way(&mut self, client: usize, way: Way) {
        if let Some(link) = &mut self.nodes[client].link {
            link.dark[usize::from(way == Way::Down)] = true;
        }
    }

    /// Servers that talk to nobody find out in time.
    pub(super) fn tend_ghosts(&mut self) {
        for conn in std::mem::take(&mut self.ghosts) {
            if self.drain(conn) {
                self.serve(server::Input::HungUp(conn));
            } else {
                self.ghosts.push(conn);
            }
        }
    }

    /// Keeps a delivered frame to play it again.
    pub(super) fn keep_frame(&mut self, client: usize, up: bool, frame: &[u8]) {
        let replica = self.standing_of(client).replica;
        let kept = &mut self.nodes[client].kept[usize::from(!up)];
        if kept.len() == FRAMES_KEPT {
            kept.pop_front();
        }
        kept.push_back((replica, frame.to_vec()));
    }

    pub(super) fn replay(&mut self, client: usize, way: Way, back: usize) {
        let replica = self.standing_of(client).replica;
        let node = &mut self.nodes[client];
        let kept = &node.kept[usize::from(way == Way::Down)];
        let frame = kept.len().checked_sub(1 + back % FRAMES_KEPT).and_then(|at| kept.get(at)).cloned();
        // Another replica's push would be one of this one's own.
        let frame = frame.filter(|(of, _)| *of == replica);
        if let (Some(link), Some((_, frame))) = (&mut node.link, frame) {
            link.damaged = true;
            let queue = if way == Way::Up { &mut link.up } else { &mut link.down };
            queue.push_front(frame);
        }
    }

    /// Keeps what a client staged, as its disk lets it; false where the client died over it.
    pub(super) fn keep(&mut self, client: usize) -> bool {
        let node = &mut self.nodes[client];
        let disk = if node.store.is_dirty() { node.disk.take() } else { None };
        match disk {
            None => commit(&mut node.store),
            Some(Disk::DiesAfter) => {
                commit(&mut node.store);
                self.crash_client(client);
            }
            // After a failed commit the shell loads the client again.
            Some(Disk::DiesBefore | Disk::Fails) => self.crash_client(client),
        }
        disk.is_none()
    }

    pub(super) fn retain(&mut self, ms: u64) {
        self.setup.retention_ms = ms;
        self.server.set_retention(retention(ms));
    }

    /// The operator purges a record; not in one step with what the open transaction settles, for that is to be seen first. (ACCESS-19)
    pub(super) fn purge(&mut self, record: &RecordName) {
        if self.batch > 0 {
            return self.flush();
        }
        let now = self.server_now();
        self.server.purge(now, &mut self.store, SPACE, record).expect("the store in memory does not fail");
        self.end_transaction();
    }

    pub(super) fn with_standing(&mut self, client: usize, change: impl FnOnce(&mut Standing)) {
        change(&mut self.nodes[client].standing);
        self.judge_anew();
    }

    /// Tells the server what tokens are worth.
    pub(super) fn judge_anew(&mut self) {
        self.server.set_access(self.access());
        self.serve(server::Input::Recheck);
    }

    pub(super) fn access(&self) -> Access {
        let grant = |(client, node): (usize, &super::world::Node)| {
            let standing = node.standing;
            let right = if standing.revoked { Right::None } else { standing.right };
            let ends_ms = standing.ends_ms.map(|ms| EPOCH_MS + ms);
            (token(client), Grant { rights: Rights::to_all(right), expires_ms: ends_ms, ..Grant::full("all") })
        };
        let known = self.nodes.iter().enumerate().filter(|(_, node)| !node.standing.revoked);
        Access::new(Tokens(known.map(grant).collect::<BTreeMap<_, _>>()))
    }

    pub(super) fn expire(&mut self, client: usize, ms: u64) {
        let ends_ms = self.now_ms + ms;
        self.with_standing(client, |standing| standing.ends_ms = Some(ends_ms));
        let now = self.now(client);
        self.nodes[client].client.set_token(now, Some(token(client)), Some(EPOCH_MS + ends_ms));
        self.pump_client(client);
    }

    pub(super) fn renew(&mut self, client: usize) {
        self.with_standing(client, |standing| standing.ends_ms = None);
        let now = self.now(client);
        self.nodes[client].client.set_token(now, Some(token(client)), None);
        self.pump_client(client);
        self.start(client);
    }

    pub(super) fn with_wire(&mut self, at: usize, act: impl FnOnce(&mut Self, LinkId)) {
        let ids = self.wires.ids();
        if let Some(id) = ids.get(at % ids.len().max(1)) {
            act(self, *id);
        }
    }

    pub(super) fn skew_server(&mut self, ms: i64) {
        self.flush();
        self.server_skew_ms = ms;
    }

    pub(super) fn freeze(&mut self, client: usize, frozen: bool) {
        self.nodes[client].frozen_ms = frozen.then_some(self.now_ms);
    }
}

fn commit(store: &mut crate::store::MemoryStore) {
    crate::store::Transact::commit(store).expect("the store in memory does not fail");
}
