//! The world of a run: nodes, links, disks and clocks.

use std::collections::{BTreeSet, VecDeque};

use crate::change::{Change, RecordName};
use crate::client::{self, Client, ClientConfig, Event, Write, WriteError};
use crate::clock::Now;
use crate::entropy::Entropy;
use crate::registry::{Profiles, Reset};
use crate::rules::COUNTER;
use crate::server::{self, ConnId, Retention, Server, ServerConfig};
use crate::space::{Shown, Space, View};
use crate::store::{MemoryStore, Store, Transact};

use super::wires::Wires;

/// Virtual time starts here, in Unix milliseconds.
const EPOCH_MS: u64 = 1_750_000_000_000;
/// Frames a link holds before the server is not asked for more.
const LINK_FRAMES_MAX: usize = 3;
/// Store images kept to restore from.
const IMAGES_MAX: usize = 8;
const SPACE: &str = "sim";
/// For how long a presence holds.
const PRESENCE_MS: u64 = 30_000;

pub(super) struct Node {
    pub(super) store: MemoryStore,
    pub(super) client: Client,
    skew_ms: i64,
    wake_ms: Option<u64>,
    link: Option<Link>,
    images: VecDeque<MemoryStore>,
    /// Until when it reads nothing.
    stalled_ms: u64,
    /// What its application has set as its presence.
    present: Option<Vec<u8>>,
    /// Whether it reaches the server.
    pub(super) served: bool,
}

struct Link {
    conn: ConnId,
    up: VecDeque<Vec<u8>>,
    down: VecDeque<Vec<u8>>,
    /// The server closed it: what is under way still arrives.
    closing: bool,
    /// It lost, doubled or reordered a frame: presence has no order of its own that would tell.
    damaged: bool,
}

pub(super) struct World {
    entropy: Entropy,
    now_ms: u64,
    pub(super) nodes: Vec<Node>,
    /// Links between clients.
    pub(super) wires: Wires,
    server: Server,
    store: MemoryStore,
    images: VecDeque<MemoryStore>,
    conns: u64,
    pub frames: u64,
    /// Catch-ups that were cut after a part.
    pub resumed: u64,
    pub rejections: u64,
    retention_ms: u64,
    pub behind_horizon: u64,
    pub resets: u64,
    /// Records whose write an application saw rejected.
    pub rejected: BTreeSet<RecordName>,
}

fn config() -> ClientConfig {
    ClientConfig { space: SPACE.into(), token: None, profiles: Profiles::OFFERED, credit_bytes: 700 }
}

/// Small parts and a short tail, so that every path of a catch-up is walked.
fn server_config(retention_ms: u64) -> ServerConfig {
    let retention = if retention_ms > 0 { Retention { ms: retention_ms, positions: 4 } } else { Retention::FOR_EVER };
    ServerConfig { retention, tail_changes_max: 8, part_bytes_max: 512, credit_bytes: 500, ..ServerConfig::default() }
}

impl World {
    pub fn new(seed: u64, clients: usize, retention_ms: u64) -> Self {
        let mut entropy = Entropy::from_u64(!seed);
        let server = Server::new(server_config(retention_ms), Entropy::new(wide(&mut entropy)));
        let mut world = Self {
            entropy,
            now_ms: 0,
            nodes: Vec::new(),
            wires: Wires::default(),
            server,
            store: MemoryStore::default(),
            images: VecDeque::new(),
            conns: 0,
            frames: 0,
            resumed: 0,
            rejections: 0,
            retention_ms,
            behind_horizon: 0,
            resets: 0,
            rejected: BTreeSet::new(),
        };
        (0..clients).for_each(|_| world.join(true));
        world
    }

    /// One more client, which reaches the server or not.
    pub fn join(&mut self, served: bool) {
        let node = self.node(MemoryStore::default(), 0);
        self.nodes.push(Node { served, ..node });
        self.start(self.nodes.len() - 1);
    }

    /// What is under way between clients and the server arrives.
    pub fn settle_server(&mut self) {
        while let Some(client) = self.nodes.iter().position(has_frames) {
            self.deliver(client, true);
            self.deliver(client, false);
        }
        (0..self.nodes.len()).for_each(|client| self.start(client));
    }

    pub fn clients(&self) -> usize {
        self.nodes.len()
    }

    /// Whether the write was taken: a delete of what does not show is not.
    pub fn write(&mut self, client: usize, writes: &[Write]) -> bool {
        let now = self.now(client);
        let node = &mut self.nodes[client];
        match node.client.write(now, &mut node.store, writes) {
            Ok(_) => {
                self.pump_client(client);
                true
            }
            Err(WriteError::Refused(_)) => {
                node.store.rollback();
                false
            }
            Err(WriteError::Store(error)) => panic!("the store in memory does not fail: {error}"),
        }
    }

    /// A client syncs these collections from now on; none: all.
    pub fn subscribe(&mut self, client: usize, collections: Option<&[&str]>) {
        let now = self.now(client);
        let names: Option<Vec<String>> = collections.map(|names| names.iter().map(ToString::to_string).collect());
        let node = &mut self.nodes[client];
        node.client.subscribe(now, &mut node.store, names.as_deref()).expect("a few short names are within the limits");
        self.pump_client(client);
    }

    /// The application of a client sets its presence, or takes it back.
    pub fn present(&mut self, client: usize, payload: Option<Vec<u8>>) {
        let now = self.now(client);
        let node = &mut self.nodes[client];
        node.client.set_presence(now, payload.clone(), PRESENCE_MS).expect("a small presence is within the limits");
        node.present = payload;
        self.pump_client(client);
    }

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
            if let Some(gone) = shown.keys().find(|shown| !self.nodes.iter().any(|node| replica(node).as_ref() == Ok(shown))) {
                return Err(format!("{gone} is shown and is not there"));
            }
        }
        Ok(())
    }

    /// The next frame of a client's link arrives.
    pub fn deliver(&mut self, client: usize, up: bool) {
        let stalled = !up && self.nodes[client].stalled_ms > self.now_ms;
        let Some(link) = &mut self.nodes[client].link.as_mut().filter(|_| !stalled) else { return };
        let conn = link.conn;
        let frame = if up { link.up.pop_front() } else { link.down.pop_front() };
        if let Some(frame) = frame {
            self.frames += 1;
            if up {
                self.serve(server::Input::Frame(conn, &frame));
            } else {
                self.tell(client, client::Input::Frame(&frame));
            }
        } else if !up && link.closing {
            self.nodes[client].link = None;
            self.tell(client, client::Input::HungUp);
        }
        self.fill(client);
    }

    /// Time passes, and who wanted to wake does.
    pub fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        for client in 0..self.nodes.len() {
            if self.nodes[client].wake_ms.is_some_and(|at| at <= self.now_ms) {
                self.nodes[client].wake_ms = None;
                self.tell(client, client::Input::Tick);
            }
        }
        self.serve(server::Input::Tick);
    }

    /// Cuts every client that has kept parts of a catch-up under way.
    pub fn cut_catch_up(&mut self) {
        for client in 0..self.nodes.len() {
            if self.nodes[client].client.staged().is_some() && self.nodes[client].link.is_some() {
                self.resumed += 1;
                self.cut(client);
            }
        }
    }

    /// From here on, and for so long, the client reads nothing.
    pub fn stall(&mut self, client: usize, ms: u64) {
        self.nodes[client].stalled_ms = self.now_ms + ms;
    }

    /// A client's base comes to differ from the state of the space: a value, a record too many, or one too few.
    pub fn spoil(&mut self, client: usize) {
        let record = |id: u64| RecordName { collection: "shared".into(), id: format!("r{id}") };
        let (record, field) = (record(self.entropy.below(6)), self.entropy.below(4));
        let field = (field > 0).then(|| format!("f{}", field - 1));
        let node = &mut self.nodes[client];
        node.client.spoil(&mut node.store, &record, field.as_deref()).expect("the store in memory does not fail");
        node.store.commit().expect("the store in memory does not fail");
    }

    /// How many cells and lives the server keeps only to say that something is gone.
    pub fn gone(&self) -> u64 {
        server::gone(&self.store, SPACE).expect("the store in memory does not fail")
    }

    pub fn cut(&mut self, client: usize) {
        let Some(link) = self.nodes[client].link.take() else { return };
        self.serve(server::Input::HungUp(link.conn));
        self.tell(client, client::Input::HungUp);
    }

    pub fn lose(&mut self, client: usize, up: bool) {
        self.with_queue(client, up, |queue| {
            queue.pop_front();
        });
    }

    pub fn duplicate(&mut self, client: usize, up: bool) {
        self.with_queue(client, up, |queue| {
            if let Some(first) = queue.front().cloned() {
                queue.push_back(first);
            }
        });
    }

    pub fn reorder(&mut self, client: usize, up: bool) {
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

    pub fn skew(&mut self, client: usize, ms: i64) {
        self.nodes[client].skew_ms = ms;
    }

    pub fn snapshot(&mut self) {
        let images = self.nodes.iter_mut().map(|node| (&mut node.images, node.store.durable()));
        for (kept, image) in images.chain([(&mut self.images, self.store.durable())]) {
            kept.push_back(image);
            if kept.len() > IMAGES_MAX {
                kept.pop_front();
            }
        }
    }

    pub fn crash_client(&mut self, client: usize) {
        let image = self.nodes[client].store.durable();
        self.replace_client(client, image);
    }

    pub fn clone_client(&mut self, client: usize, from: usize) {
        let image = self.nodes[from].store.durable();
        self.replace_client(client, image);
    }

    pub fn restore_client(&mut self, client: usize) {
        if let Some(image) = self.nodes[client].images.pop_front() {
            self.replace_client(client, image);
        }
    }

    fn replace_client(&mut self, client: usize, image: MemoryStore) {
        if let Some(link) = self.nodes[client].link.take() {
            self.serve(server::Input::HungUp(link.conn));
        }
        let skew_ms = self.nodes[client].skew_ms;
        let images = std::mem::take(&mut self.nodes[client].images);
        let served = self.nodes[client].served;
        self.unwire(client);
        self.nodes[client] = self.node(image, skew_ms);
        self.nodes[client].served = served;
        self.nodes[client].images = images;
        self.start(client);
    }

    pub fn crash_server(&mut self) {
        let image = self.store.durable();
        self.replace_server(image);
    }

    pub fn restore_server(&mut self) {
        if let Some(image) = self.images.pop_front() {
            self.replace_server(image);
        }
    }

    fn replace_server(&mut self, image: MemoryStore) {
        self.store = image;
        self.server = Server::new(server_config(self.retention_ms), Entropy::new(wide(&mut self.entropy)));
        for client in 0..self.nodes.len() {
            if self.nodes[client].link.take().is_some() {
                self.tell(client, client::Input::HungUp);
            }
        }
    }

    /// Clocks are right again.
    pub fn heal(&mut self) {
        self.nodes.iter_mut().for_each(|node| (node.skew_ms, node.stalled_ms) = (0, 0));
    }

    /// Lets everything happen that will by itself; whether all came to be in sync within `limit_ms`.
    pub fn rest(&mut self, limit_ms: u64) -> bool {
        let end_ms = self.now_ms + limit_ms;
        while self.now_ms < end_ms {
            while let Some(client) = self.nodes.iter().position(has_frames) {
                self.deliver(client, true);
                self.deliver(client, false);
            }
            // A frame that came twice or out of turn ends in a refusal for good: the application asks again. (SESS-12)
            for client in 0..self.nodes.len() {
                self.start(client);
            }
            let in_sync = |node: &Node| node.client.status(&node.store).is_ok_and(|status| status.in_sync);
            if self.nodes.iter().all(in_sync) {
                return true;
            }
            let wakes = self.nodes.iter().filter_map(|node| node.wake_ms).chain(self.server.next_wake());
            let next_ms = wakes.min().unwrap_or(end_ms).max(self.now_ms + 1);
            self.pass(next_ms - self.now_ms);
        }
        false
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

    fn now(&self, client: usize) -> Now {
        let wall_ms = (EPOCH_MS + self.now_ms).saturating_add_signed(self.nodes[client].skew_ms);
        Now { wall_ms, mono_ms: self.now_ms }
    }

    fn server_now(&self) -> Now {
        Now { wall_ms: EPOCH_MS + self.now_ms, mono_ms: self.now_ms }
    }

    fn node(&mut self, mut store: MemoryStore, skew_ms: i64) -> Node {
        let entropy = Entropy::new(wide(&mut self.entropy));
        let now = self.server_now();
        let client = Client::load(config(), &mut store, entropy, now).expect("the store in memory does not fail");
        store.commit().expect("the store in memory does not fail");
        Node { store, client, skew_ms, wake_ms: None, link: None, images: VecDeque::new(), stalled_ms: 0, present: None, served: true }
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

    fn pump_client(&mut self, client: usize) {
        self.nodes[client].store.commit().expect("the store in memory does not fail");
        while let Some(output) = self.nodes[client].client.poll() {
            match output {
                client::Output::Connect => self.dial(client),
                client::Output::Send(frame) => {
                    if let Some(link) = &mut self.nodes[client].link {
                        link.up.push_back(frame);
                    }
                }
                client::Output::Close => {
                    if let Some(link) = self.nodes[client].link.take() {
                        self.serve(server::Input::HungUp(link.conn));
                    }
                }
                client::Output::LinkSend(id, frame) => self.wires.send(client, id, frame),
                client::Output::Unlink(id) => self.wires.end(client, id),
                client::Output::WakeAt(at) => self.nodes[client].wake_ms = Some(at),
                client::Output::Event(event) => self.note(client, &event),
            }
        }
    }

    fn note(&mut self, client: usize, event: &Event) {
        match event {
            Event::Reset { reason: Reset::HORIZON } => self.behind_horizon += 1,
            Event::Reset { .. } => self.resets += 1,
            _ => {}
        }
        let Event::Rejected { .. } = event else { return };
        self.rejections += 1;
        let node = &self.nodes[client];
        let rejections = node.client.rejections(&node.store).expect("the store in memory does not fail");
        let rows = rejections.iter().flat_map(|rejection| &rejection.change.rows);
        self.rejected.extend(rows.filter(|row| row.record.collection == "own").map(|row| row.record.clone()));
    }

    fn dial(&mut self, client: usize) {
        self.conns += 1;
        let conn = ConnId(self.conns);
        self.nodes[client].link = Some(Link { conn, up: VecDeque::new(), down: VecDeque::new(), closing: false, damaged: false });
        self.serve(server::Input::Connect(conn));
        let now = self.now(client);
        let node = &mut self.nodes[client];
        node.client.handle(now, &mut node.store, client::Input::Connected).expect("the store in memory does not fail");
        node.store.commit().expect("the store in memory does not fail");
    }

    fn serve(&mut self, input: server::Input) {
        let now = self.server_now();
        self.server.handle(now, &mut self.store, input).expect("the store in memory does not fail");
        self.store.commit().expect("the store in memory does not fail");
        self.server.committed();
        for conn in self.server.take_ready() {
            let reader = self.nodes.iter().position(|node| node.link.as_ref().is_some_and(|link| link.conn == conn));
            if let Some(client) = reader {
                self.fill(client);
            }
        }
    }

    /// Takes from the server what the client's link can hold.
    fn fill(&mut self, client: usize) {
        let now = self.server_now();
        let Some(link) = &mut self.nodes[client].link else { return };
        while link.down.len() < LINK_FRAMES_MAX && !link.closing {
            let output = self.server.poll(now, &self.store as &dyn Store, link.conn);
            match output.expect("the store in memory does not fail") {
                Some(server::Output::Frame(frame)) => link.down.push_back(frame.to_vec()),
                Some(server::Output::Close) => link.closing = true,
                None => return,
            }
        }
    }
}

/// What a client shows, and its fingerprint.
type Seen = (Vec<(RecordName, View)>, [u8; 16]);

fn difference(first: &Seen, second: &Seen) -> String {
    let only =
        |a: &Seen, b: &Seen| a.0.iter().filter(|record| !b.0.contains(record)).map(|record| format!("{record:?}")).collect::<Vec<_>>();
    format!("only there {:?}, only here {:?}, fingerprints {}", only(first, second), only(second, first), first.1 == second.1)
}

fn has_frames(node: &Node) -> bool {
    node.link.as_ref().is_some_and(|link| !link.up.is_empty() || !link.down.is_empty() || link.closing)
}

fn wide(entropy: &mut Entropy) -> [u8; 32] {
    let (first, second) = (entropy.bytes16(), entropy.bytes16());
    std::array::from_fn(|i| if i < 16 { first[i] } else { second[i - 16] })
}
