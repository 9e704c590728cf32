//! The network of a world: connections between clients and the server, and what is under way on them.

use std::collections::VecDeque;

use super::seen::Handed;
use super::world::World;
use crate::client;
use crate::server::{self, ConnId, Right};
use crate::store::Store;

/// Frames a link holds before the server is not asked for more.
const LINK_FRAMES_MAX: usize = 3;

/// A client's connection.
pub(super) struct Link {
    pub(super) conn: ConnId,
    pub(super) up: VecDeque<Vec<u8>>,
    pub(super) down: VecDeque<Vec<u8>>,
    /// The server closed it: what is under way still arrives.
    pub(super) closing: bool,
    /// It lost, doubled or reordered a frame: presence has no order of its own that would tell.
    pub(super) damaged: bool,
    /// Whether what is sent up, and down, is lost.
    pub(super) dark: [bool; 2],
    /// The server knows it no more.
    pub(super) deserted: bool,
}

impl Link {
    fn new(conn: ConnId) -> Self {
        let (up, down) = (VecDeque::new(), VecDeque::new());
        Self { conn, up, down, closing: false, damaged: false, dark: [false, false], deserted: false }
    }

    /// Whether it carries frames both ways.
    pub(super) fn lives(&self) -> bool {
        self.dark == [false, false] && !self.deserted
    }
}

impl World {
    /// The next frame of a client's link arrives.
    pub(super) fn deliver(&mut self, client: usize, up: bool) {
        let stalled = !up && self.nodes[client].stalled_ms > self.now_ms;
        let Some(link) = &mut self.nodes[client].link.as_mut().filter(|_| !stalled) else { return };
        let conn = link.conn;
        let lost = link.dark[usize::from(!up)];
        let frame = if up { link.up.pop_front() } else { link.down.pop_front() };
        if let Some(frame) = frame.filter(|_| !lost) {
            self.frames += 1;
            self.keep_frame(client, up, &frame);
            if up {
                self.serve(server::Input::Frame(conn, &frame));
            } else {
                self.tell(client, client::Input::Frame(&frame));
            }
        } else if !up && link.closing && !lost {
            self.nodes[client].link = None;
            self.tell(client, client::Input::HungUp);
        }
        self.fill(client);
    }

    /// Cuts every client that has kept parts of a catch-up under way.
    pub(super) fn cut_catch_up(&mut self) {
        for client in 0..self.nodes.len() {
            if self.nodes[client].client.staged().is_some() && self.nodes[client].link.is_some() {
                self.resumed += 1;
                self.cut(client);
            }
        }
    }

    /// From here on, and for so long, the client reads nothing.
    pub(super) fn stall(&mut self, client: usize, ms: u64) {
        self.nodes[client].stalled_ms = self.now_ms + ms;
    }

    pub(super) fn cut(&mut self, client: usize) {
        if self.nodes[client].link.is_some() {
            self.leave(client);
            self.tell(client, client::Input::HungUp);
        }
    }

    /// A client has no connection any more, and the server learns of it.
    pub(super) fn leave(&mut self, client: usize) {
        if let Some(link) = self.nodes[client].link.take().filter(|link| !link.deserted) {
            self.serve(server::Input::HungUp(link.conn));
        }
    }

    pub(super) fn lose(&mut self, client: usize, up: bool) {
        self.with_queue(client, up, |queue| {
            queue.pop_front();
        });
    }

    pub(super) fn duplicate(&mut self, client: usize, up: bool) {
        self.with_queue(client, up, |queue| {
            if let Some(first) = queue.front().cloned() {
                queue.push_back(first);
            }
        });
    }

    pub(super) fn reorder(&mut self, client: usize, up: bool) {
        self.with_queue(client, up, |queue| {
            if queue.len() > 1 {
                queue.swap(0, 1);
            }
        });
    }

    fn with_queue(&mut self, client: usize, up: bool, damage: impl FnOnce(&mut VecDeque<Vec<u8>>)) {
        if let Some(link) = &mut self.nodes[client].link {
            link.damaged = true;
            damage(if up { &mut link.up } else { &mut link.down });
        }
    }

    pub(super) fn dial(&mut self, client: usize) {
        self.conns += 1;
        let conn = ConnId(self.conns);
        self.leave(client);
        self.nodes[client].link = Some(Link::new(conn));
        self.serve(server::Input::Connect(conn));
        let now = self.now(client);
        let node = &mut self.nodes[client];
        node.client.handle(now, &mut node.store, client::Input::Connected).expect("the store in memory does not fail");
    }

    /// Takes from the server what the client's link can hold.
    pub(super) fn fill(&mut self, client: usize) {
        let now = self.server_now();
        let standing = self.nodes[client].standing;
        let may_read = standing.right > Right::None && !standing.revoked && standing.ends_ms.is_none_or(|end| self.now_ms < end);
        let Some(link) = self.nodes[client].link.as_mut().filter(|link| !link.deserted) else { return };
        // Nothing is sent of a transaction that is open. (SESS-22)
        while self.batch == 0 && link.down.len() < LINK_FRAMES_MAX && !link.closing {
            let output = self.server.poll(now, &self.store as &dyn Store, link.conn);
            match output.expect("the store in memory does not fail") {
                Some(server::Output::Frame(frame)) => {
                    self.handed.push(Handed { client, may_read, frame: frame.to_vec() });
                    if !link.dark[1] {
                        link.down.push_back(frame.to_vec());
                    }
                }
                Some(server::Output::Close) => link.closing = true,
                None => return,
            }
        }
    }

    /// Takes what the server has for a connection that nobody holds any more; whether the server ended it.
    pub(super) fn drain(&mut self, conn: ConnId) -> bool {
        let now = self.server_now();
        loop {
            match self.server.poll(now, &self.store as &dyn Store, conn).expect("the store in memory does not fail") {
                Some(server::Output::Frame(_)) => {}
                Some(server::Output::Close) => return true,
                None => return false,
            }
        }
    }
}
