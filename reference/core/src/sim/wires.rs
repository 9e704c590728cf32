//! Links between the clients of a world: frames under way, cuts, and new links.

use std::collections::{BTreeMap, VecDeque};

use super::world::World;
use crate::client::Input;
use crate::peer::LinkId;

/// A link between two clients.
#[derive(Debug)]
struct Wire {
    /// The client that dialled, and the other.
    ends: [usize; 2],
    /// Whether each end still has it.
    up: [bool; 2],
    /// Frames under way to each end.
    to: [VecDeque<Vec<u8>>; 2],
}

/// All links of a world.
#[derive(Debug, Default)]
pub(super) struct Wires {
    wires: BTreeMap<LinkId, Wire>,
    made: u64,
}

impl Wires {
    /// A client sends a frame on a link.
    pub fn send(&mut self, from: usize, id: LinkId, frame: Vec<u8>) {
        if let Some((wire, end)) = self.end_of(from, id) {
            wire.to[1 - end].push_back(frame);
        }
    }

    /// A client ends a link: what it sent still arrives.
    pub fn end(&mut self, from: usize, id: LinkId) {
        if let Some((wire, end)) = self.end_of(from, id) {
            wire.up[end] = false;
            wire.to[end].clear();
        }
    }

    fn end_of(&mut self, client: usize, id: LinkId) -> Option<(&mut Wire, usize)> {
        let wire = self.wires.get_mut(&id)?;
        let end = wire.ends.iter().position(|end| *end == client)?;
        Some((wire, end))
    }

    /// Whether two clients are linked.
    pub fn are_linked(&self, a: usize, b: usize) -> bool {
        self.wires.values().any(|wire| wire.ends == [a, b] || wire.ends == [b, a])
    }

    /// Every link, in the order of their making.
    pub fn ids(&self) -> Vec<LinkId> {
        self.wires.keys().copied().collect()
    }
}

impl World {
    /// A client dials another.
    pub fn wire(&mut self, a: usize, b: usize) {
        if a == b || self.wires.are_linked(a, b) {
            return;
        }
        self.wires.made += 1;
        let id = LinkId(self.wires.made);
        self.wires.wires.insert(id, Wire { ends: [a, b], up: [true, true], to: Default::default() });
        self.tell(b, Input::Linked(id, false));
        self.tell(a, Input::Linked(id, true));
    }

    /// A link is cut: what was under way is lost.
    pub fn cut_wire(&mut self, id: LinkId) {
        let Some(wire) = self.wires.wires.remove(&id) else { return };
        for (client, up) in wire.ends.into_iter().zip(wire.up) {
            if up {
                self.tell(client, Input::Unlinked(id));
            }
        }
    }

    /// Every link of a client is cut.
    pub fn unwire(&mut self, client: usize) {
        let ids: Vec<LinkId> = self.wires.wires.iter().filter(|(_, wire)| wire.ends.contains(&client)).map(|(id, _)| *id).collect();
        for id in ids {
            if let Some((wire, end)) = self.wires.end_of(client, id) {
                wire.up[end] = false;
            }
            self.cut_wire(id);
        }
    }

    /// The next frame of a link arrives at one end, or the end of the link does. False where nothing was under way.
    pub fn deliver_wire(&mut self, id: LinkId, end: usize) -> bool {
        let Some(wire) = self.wires.wires.get_mut(&id) else { return false };
        let client = wire.ends[end];
        if let Some(frame) = wire.to[end].pop_front() {
            self.frames += 1;
            self.tell(client, Input::LinkFrame(id, &frame));
            return true;
        }
        if wire.up[1 - end] {
            return false;
        }
        self.cut_wire(id);
        true
    }

    /// Everything under way on links arrives, and what it leads to.
    pub fn settle_wires(&mut self) {
        while self.wires.ids().into_iter().any(|id| self.deliver_wire(id, 0) | self.deliver_wire(id, 1)) {}
    }
}
