//! The world of a run: nodes, links, disks and clocks.

use std::collections::VecDeque;

use crate::change::RecordName;
use crate::client::{self, Client, ClientConfig, Edit, Event, Write, WriteError};
use crate::clock::{Now, Replica};
use crate::entropy::Entropy;
use crate::registry::{Profiles, Reset};
use crate::server::{self, ConnId, Server, ServerConfig};
use crate::store::{MemoryStore, Transact};

use super::net::Link;
use super::seen::Handed;
use super::step::{Disk, Outcome};
use super::trouble::{Standing, retention, token};
use super::wires::Wires;
use crate::value::Value;

/// Virtual time starts here, in Unix milliseconds.
pub(super) const EPOCH_MS: u64 = 1_750_000_000_000;
/// Store images kept to restore from.
const IMAGES_MAX: usize = 8;
pub(super) const SPACE: &str = "sim";
/// For how long a presence holds.
const PRESENCE_MS: u64 = 30_000;
/// What each value begins with that only those who may read are to see.
pub const TAINT: &str = "taint-";

pub(super) struct Node {
    pub(super) store: MemoryStore,
    pub(super) client: Client,
    skew_ms: i64,
    wake_ms: Option<u64>,
    pub(super) link: Option<Link>,
    images: VecDeque<MemoryStore>,
    /// Until when it reads nothing.
    pub(super) stalled_ms: u64,
    /// What its application has set as its presence.
    pub(super) present: Option<Vec<u8>>,
    /// What its disk does at the next commit.
    pub(super) disk: Option<Disk>,
    /// When its clock stopped, where it stands still.
    pub(super) frozen_ms: Option<u64>,
    /// Frames that arrived at the server, and at the client, and the replica they were for.
    pub(super) kept: [VecDeque<(Replica, Vec<u8>)>; 2],
    /// How often its store was replaced by another.
    pub(super) life: u64,
    /// What its token is worth.
    pub(super) standing: Standing,
    /// Whether it reaches the server.
    pub(super) served: bool,
}

/// Who takes part in a world, and how its machines are set.
#[derive(Debug, Clone)]
pub struct Setup {
    /// For each client, whether it reaches the server.
    pub served: Vec<bool>,
    /// The profiles that clients want and the server offers.
    pub profiles: Profiles,
    /// Bytes of a part of a catch-up.
    pub part_bytes_max: usize,
    /// Recent changes that the server keeps in memory.
    pub tail_changes_max: usize,
    /// Credit both ways.
    pub credit_bytes: u64,
    /// For how long the server remembers deletions, in milliseconds; 0: for ever.
    pub retention_ms: u64,
}

impl Setup {
    /// Small parts, little credit and a short tail, so that every path of a catch-up is walked.
    pub fn small(served: Vec<bool>) -> Self {
        Self { served, profiles: Profiles::OFFERED, part_bytes_max: 512, tail_changes_max: 8, credit_bytes: 600, retention_ms: 0 }
    }
}

/// A server and clients, a network between them, disks and clocks.
pub struct World {
    entropy: Entropy,
    pub(super) now_ms: u64,
    pub(super) nodes: Vec<Node>,
    /// Links between clients.
    pub(super) wires: Wires,
    pub(super) server: Server,
    pub(super) store: MemoryStore,
    images: VecDeque<MemoryStore>,
    pub(super) conns: u64,
    /// Connections that only the server still has.
    pub(super) ghosts: Vec<ConnId>,
    /// What the server's disk does at the next commit.
    pub(super) disk: Option<Disk>,
    /// Inputs that the server takes in before the open transaction ends.
    pub(super) batch: u64,
    pub(super) server_skew_ms: i64,
    /// How often the server's store was replaced by an older one.
    pub(super) life: u64,
    pub(super) setup: Setup,
    pub(super) handed: Vec<Handed>,
    /// Frames delivered.
    pub frames: u64,
    /// Catch-ups that were cut after a part.
    pub resumed: u64,
    /// Rejections that applications saw.
    pub rejections: u64,
    /// Bases that were replaced since their cursor lay before the horizon.
    pub behind_horizon: u64,
    /// Bases that were replaced for another reason.
    pub resets: u64,
}

impl World {
    /// A world of fresh replicas, each of which wants to be connected.
    pub fn new(seed: u64, setup: Setup) -> Self {
        let mut entropy = Entropy::from_u64(!seed);
        let server = Server::new(server_config(&setup), Entropy::new(wide(&mut entropy)));
        let served = setup.served.clone();
        let mut world = Self {
            entropy,
            now_ms: 0,
            nodes: Vec::new(),
            wires: Wires::default(),
            server,
            store: MemoryStore::default(),
            images: VecDeque::new(),
            conns: 0,
            ghosts: Vec::new(),
            disk: None,
            batch: 0,
            server_skew_ms: 0,
            life: 0,
            setup,
            handed: Vec::new(),
            frames: 0,
            resumed: 0,
            rejections: 0,
            behind_horizon: 0,
            resets: 0,
        };
        for (client, served) in served.into_iter().enumerate() {
            let node = world.node(client, MemoryStore::default(), 0);
            world.nodes.push(Node { served, ..node });
        }
        world.server.set_access(world.access());
        (0..world.clients()).for_each(|client| world.start(client));
        world
    }

    /// What is under way between clients and the server arrives.
    pub fn settle_server(&mut self) {
        while let Some(client) = self.nodes.iter().position(has_frames) {
            self.deliver(client, true);
            self.deliver(client, false);
        }
        (0..self.nodes.len()).for_each(|client| self.start(client));
    }

    /// How many clients there are.
    pub fn clients(&self) -> usize {
        self.nodes.len()
    }

    /// Writes what is wanted, a record of its own that no other change writes, and the count of changes; without what is
    /// wanted where the client refuses that, as it does the delete of what does not show.
    pub(super) fn write_marked(&mut self, client: usize, number: u64, wanted: Write) -> Outcome {
        let marker = Value::Text(format!("{TAINT}{client}-{number}"));
        let fields = vec![("by".to_owned(), Some(marker))];
        let noted = Write::Put { collection: "own".into(), id: format!("{client}-{number}"), fields };
        // Counts the changes: one that has an effect twice, or in part, shows in the sum. (RULES-9)
        let counted = Write::Edit { collection: "sum".into(), id: "all".into(), edits: vec![("changes".into(), Edit::Add(1))] };
        match self.write(client, &[wanted, noted.clone(), counted.clone()]) {
            Outcome::Refused => self.write(client, &[noted, counted]),
            outcome => outcome,
        }
    }

    fn write(&mut self, client: usize, writes: &[Write]) -> Outcome {
        let now = self.now(client);
        let node = &mut self.nodes[client];
        match node.client.write(now, &mut node.store, writes) {
            Ok(_) => {}
            Err(WriteError::Refused(_)) => {
                node.store.rollback();
                return Outcome::Refused;
            }
            Err(WriteError::Store(error)) => panic!("the store in memory does not fail: {error}"),
        }
        if self.pump_client(client) { Outcome::Written } else { Outcome::Died }
    }

    /// A client syncs these collections from now on; none: all.
    pub fn subscribe(&mut self, client: usize, names: Option<&[String]>) {
        let now = self.now(client);
        let node = &mut self.nodes[client];
        node.client.subscribe(now, &mut node.store, names).expect("a few short names are within the limits");
        self.pump_client(client);
    }

    /// The application of a client sets its presence, or takes it back.
    pub(super) fn present(&mut self, client: usize, payload: Option<Vec<u8>>) {
        let now = self.now(client);
        let node = &mut self.nodes[client];
        node.client.set_presence(now, payload.clone(), PRESENCE_MS).expect("a small presence is within the limits");
        node.present = payload;
        self.pump_client(client);
    }

    /// Time passes, and who wanted to wake does.
    pub(super) fn pass(&mut self, ms: u64) {
        self.flush();
        self.now_ms += ms;
        for client in 0..self.nodes.len() {
            if self.nodes[client].wake_ms.is_some_and(|at| at <= self.now_ms) {
                self.nodes[client].wake_ms = None;
                self.tell(client, client::Input::Tick);
            }
        }
        self.serve(server::Input::Tick);
        self.tend_ghosts();
    }

    /// A client's base comes to differ from the state of the space: a value, a record too many, or one too few.
    pub(super) fn spoil(&mut self, client: usize, record: &RecordName, field: Option<&str>) {
        let node = &mut self.nodes[client];
        node.client.spoil(&mut node.store, record, field).expect("the store in memory does not fail");
        node.store.commit().expect("the store in memory does not fail");
    }

    pub(super) fn skew(&mut self, client: usize, ms: i64) {
        self.nodes[client].skew_ms = ms;
    }

    pub(super) fn snapshot(&mut self) {
        let images = self.nodes.iter_mut().map(|node| (&mut node.images, node.store.durable()));
        for (kept, image) in images.chain([(&mut self.images, self.store.durable())]) {
            kept.push_back(image);
            if kept.len() > IMAGES_MAX {
                kept.pop_front();
            }
        }
    }

    pub(super) fn crash_client(&mut self, client: usize) {
        let image = self.nodes[client].store.durable();
        self.replace_client(client, image);
    }

    pub(super) fn clone_client(&mut self, client: usize, from: usize) {
        if client == from {
            return;
        }
        let image = self.nodes[from].store.durable();
        self.nodes[client].life += 1;
        self.replace_client(client, image);
    }

    pub(super) fn restore_client(&mut self, client: usize) {
        if let Some(image) = self.nodes[client].images.pop_front() {
            self.nodes[client].life += 1;
            self.replace_client(client, image);
        }
    }

    fn replace_client(&mut self, client: usize, image: MemoryStore) {
        self.leave(client);
        self.unwire(client);
        let node = self.node(client, image, self.nodes[client].skew_ms);
        let before = &mut self.nodes[client];
        let node = Node {
            served: before.served,
            images: std::mem::take(&mut before.images),
            kept: std::mem::take(&mut before.kept),
            disk: before.disk.take(),
            frozen_ms: before.frozen_ms,
            standing: before.standing,
            life: before.life,
            ..node
        };
        self.nodes[client] = node;
        self.start(client);
    }

    pub(super) fn crash_server(&mut self) {
        let image = self.store.durable();
        self.replace_server(image);
    }

    pub(super) fn restore_server(&mut self) {
        if let Some(image) = self.images.pop_front() {
            self.life += 1;
            self.replace_server(image);
        }
    }

    fn replace_server(&mut self, image: MemoryStore) {
        // Where a history begins anew readings are counted from there, and a push that is played again means another change.
        self.nodes.iter_mut().for_each(|node| node.kept.iter_mut().for_each(VecDeque::clear));
        self.store = image;
        self.server = Server::new(server_config(&self.setup), Entropy::new(wide(&mut self.entropy)));
        self.server.set_access(self.access());
        self.batch = 0;
        self.ghosts.clear();
        for client in 0..self.nodes.len() {
            // Who sits behind a dead connection does not learn of it.
            if self.nodes[client].link.take_if(|link| !link.deserted).is_some() {
                self.tell(client, client::Input::HungUp);
            }
        }
    }

    /// Clocks, disks and tokens are right again, and nobody is held up. Dead connections stay as they are.
    pub fn heal(&mut self) {
        self.flush();
        (self.server_skew_ms, self.disk) = (0, None);
        for node in &mut self.nodes {
            (node.skew_ms, node.stalled_ms, node.frozen_ms, node.disk) = (0, 0, None, None);
            node.standing = Standing::FULL;
        }
        self.judge_anew();
        (0..self.nodes.len()).for_each(|client| self.renew(client));
    }

    /// Lets everything happen that will by itself; whether all came to be in sync within `limit_ms`.
    pub fn rest(&mut self, limit_ms: u64) -> bool {
        let end_ms = self.now_ms + limit_ms;
        while self.now_ms < end_ms {
            if self.rest_a_while(end_ms) {
                return true;
            }
        }
        false
    }

    /// Delivers all that is under way, and passes time to the next wake-up; whether all are in sync instead.
    pub fn rest_a_while(&mut self, end_ms: u64) -> bool {
        self.flush();
        while let Some(client) = self.nodes.iter().position(has_frames) {
            self.deliver(client, true);
            self.deliver(client, false);
        }
        // A frame that came twice or out of turn ends in a refusal for good: the application asks again. (SESS-12)
        for client in 0..self.nodes.len() {
            self.start(client);
        }
        let in_sync = |node: &Node| node.client.status(&node.store).is_ok_and(|status| status.in_sync);
        // Who sits on a dead connection takes it for a live one until `silence_timeout_ms` has passed. (SESS-8)
        let lives = |node: &Node| node.link.as_ref().is_none_or(Link::lives);
        if self.nodes.iter().all(|node| in_sync(node) && lives(node)) {
            return true;
        }
        let wakes = self.nodes.iter().filter_map(|node| node.wake_ms).chain(self.server.next_wake());
        let next_ms = wakes.min().unwrap_or(end_ms).max(self.now_ms + 1);
        self.pass(next_ms - self.now_ms);
        false
    }

    pub(super) fn now(&self, client: usize) -> Now {
        let shown_ms = self.nodes[client].frozen_ms.unwrap_or(self.now_ms);
        let wall_ms = (EPOCH_MS + shown_ms).saturating_add_signed(self.nodes[client].skew_ms);
        Now { wall_ms, mono_ms: self.now_ms }
    }

    pub(super) fn server_now(&self) -> Now {
        let wall_ms = (EPOCH_MS + self.now_ms).saturating_add_signed(self.server_skew_ms);
        Now { wall_ms, mono_ms: self.now_ms }
    }

    fn node(&mut self, client: usize, mut store: MemoryStore, skew_ms: i64) -> Node {
        let entropy = Entropy::new(wide(&mut self.entropy));
        let now = self.server_now();
        let config = ClientConfig {
            space: SPACE.into(),
            token: Some(token(client)),
            profiles: self.setup.profiles,
            credit_bytes: self.setup.credit_bytes,
        };
        let client = Client::load(config, &mut store, entropy, now).expect("the store in memory does not fail");
        store.commit().expect("the store in memory does not fail");
        Node {
            store,
            client,
            skew_ms,
            wake_ms: None,
            link: None,
            images: VecDeque::new(),
            stalled_ms: 0,
            present: None,
            disk: None,
            frozen_ms: None,
            kept: Default::default(),
            life: 0,
            standing: Standing::FULL,
            served: true,
        }
    }

    pub(super) fn start(&mut self, client: usize) {
        if !self.nodes[client].served {
            return;
        }
        self.tell(client, client::Input::Start);
    }

    pub(super) fn tell(&mut self, client: usize, input: client::Input) {
        let now = self.now(client);
        let node = &mut self.nodes[client];
        node.client.handle(now, &mut node.store, input).expect("the store in memory does not fail");
        self.pump_client(client);
    }

    /// Commits what a client staged and does what it wants; false where it died over it.
    pub(super) fn pump_client(&mut self, client: usize) -> bool {
        if !self.keep(client) {
            return false;
        }
        while let Some(output) = self.nodes[client].client.poll() {
            match output {
                client::Output::Connect => self.dial(client),
                client::Output::Send(frame) => {
                    if let Some(link) = self.nodes[client].link.as_mut().filter(|link| !link.dark[0]) {
                        link.up.push_back(frame);
                    }
                }
                client::Output::Close => self.leave(client),
                client::Output::LinkSend(id, frame) => self.wires.send(client, id, frame),
                client::Output::Unlink(id) => self.wires.end(client, id),
                client::Output::WakeAt(at) => self.nodes[client].wake_ms = Some(at),
                client::Output::Event(event) => self.note(&event),
            }
        }
        true
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Reset { reason: Reset::HORIZON } => self.behind_horizon += 1,
            Event::Reset { .. } => self.resets += 1,
            Event::Rejected { .. } => self.rejections += 1,
            _ => {}
        }
    }

    pub(super) fn serve(&mut self, input: server::Input) {
        let now = self.server_now();
        self.server.handle(now, &mut self.store, input).expect("the store in memory does not fail");
        self.batch = self.batch.saturating_sub(1);
        if self.batch == 0 {
            self.end_transaction();
        }
    }

    /// So many inputs share the server's next transaction.
    pub(super) fn batch(&mut self, inputs: u64) {
        self.batch = self.batch.max(inputs);
    }

    /// Ends the server's open transaction.
    pub(super) fn flush(&mut self) {
        if self.batch > 0 {
            self.batch = 0;
            self.end_transaction();
        }
    }

    /// Commits, as the disk lets it, and sends what that led to.
    pub(super) fn end_transaction(&mut self) {
        let disk = if self.store.is_dirty() { self.disk.take() } else { None };
        match disk {
            Some(Disk::DiesBefore) => return self.crash_server(),
            Some(Disk::Fails) => {
                self.store.rollback();
                self.server.rolled_back();
            }
            _ => {
                self.store.commit().expect("the store in memory does not fail");
                self.server.committed();
            }
        }
        if disk == Some(Disk::DiesAfter) {
            return self.crash_server();
        }
        for conn in self.server.take_ready() {
            let reader = self.nodes.iter().position(|node| node.link.as_ref().is_some_and(|link| link.conn == conn));
            if let Some(client) = reader {
                self.fill(client);
            }
        }
    }
}

fn server_config(setup: &Setup) -> ServerConfig {
    ServerConfig {
        retention: retention(setup.retention_ms),
        profiles: setup.profiles,
        tail_changes_max: setup.tail_changes_max,
        part_bytes_max: setup.part_bytes_max,
        credit_bytes: setup.credit_bytes,
        ..ServerConfig::default()
    }
}

pub(super) fn has_frames(node: &Node) -> bool {
    // That the server closed a connection that carries nothing down is not heard of.
    node.link.as_ref().is_some_and(|link| !link.up.is_empty() || !link.down.is_empty() || link.closing && !link.dark[1])
}

fn wide(entropy: &mut Entropy) -> [u8; 32] {
    let (first, second) = (entropy.bytes16(), entropy.bytes16());
    std::array::from_fn(|i| if i < 16 { first[i] } else { second[i - 16] })
}
