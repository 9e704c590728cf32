//! Arbitrary bytes as a story for one machine: what a fuzzer drives, and what the corpus replays.
//!
//! A story is a list of steps, each `[step, argument, length, length, bytes…]`. Randomness and the first time are fixed, so a
//! session that was recorded runs again to the same states. Each function panics where the machine breaks what it promises
//! about input of any kind: it goes on, holds its queues, sends what can be read, and its store opens again.

use std::collections::BTreeMap;

use crate::change::RecordName;
use crate::client::{self, Client, ClientConfig, Write};
use crate::clock::{Now, Replica};
use crate::codec::Reader;
use crate::entropy::Entropy;
use crate::limits;
use crate::message::{Message, Names, decode_frame, encode_frame, expand};
use crate::peer::LinkId;
use crate::registry::Profiles;
use crate::rules::LWW;
use crate::server::{self, ConnId, Server, ServerConfig};
use crate::store::{MemoryStore, Transact};
use crate::value::Value;

const EPOCH_MS: u64 = 1_750_000_000_000;
const SPACE: &str = "fuzz";
/// Steps of a story that are played.
const STEPS_MAX: usize = 400;
/// Connections of a story to a server, and links of one to a client.
const ENDS: u8 = 4;
/// The bytes that the server may have queued for one connection: what a slow reader may cost, and the frame on top of it.
const QUEUED_BYTES_MAX: usize = 4 * limits::FRAME_BYTES_MAX;

/// The kinds of step. Others are nothing.
mod step {
    pub const CONNECT: u8 = 0;
    pub const FRAME: u8 = 1;
    pub const HANG_UP: u8 = 2;
    pub const WAIT: u8 = 3;
    pub const ODD: u8 = 4;
    pub const RESTART: u8 = 5;
    pub const WRITE: u8 = 6;
    pub const LINK: u8 = 7;
    pub const LINK_FRAME: u8 = 8;
    pub const UNLINK: u8 = 9;
}

/// A step of a story: its kind, its argument and its bytes.
type Step<'a> = (u8, u8, &'a [u8]);

fn steps(mut story: &[u8]) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    while let ([kind, argument, high, low, rest @ ..], true) = (story, steps.len() < STEPS_MAX) {
        let (bytes, rest) = rest.split_at(rest.len().min(usize::from(u16::from_be_bytes([*high, *low]))));
        steps.push((*kind, *argument, bytes));
        story = rest;
    }
    steps
}

fn now(ms: u64) -> Now {
    Now { wall_ms: EPOCH_MS + ms, mono_ms: ms }
}

/// The milliseconds that a step lets pass: its argument in tenths of a second, squared where bytes follow.
fn wait_ms((_, argument, bytes): Step) -> u64 {
    let tenths = u64::from(argument);
    100 * if bytes.is_empty() { tenths } else { tenths * tenths }
}

/// One value: what is accepted is written the same. (CODEC-1)
pub fn value(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let Ok(value) = reader.value(0) else { return };
    assert_eq!(value.encoded(), &bytes[..reader.position()], "a value that was read is written otherwise");
}

/// One frame under all profiles: what is accepted is written the same. (CODEC-1, FRAME-1)
pub fn frame(bytes: &[u8]) {
    let Ok(frame) = decode_frame(bytes, Profiles::OFFERED, |_| EPOCH_MS) else { return };
    let written = encode_frame(frame.channel, &frame.messages, EPOCH_MS);
    assert_eq!(written, bytes, "a frame that was read is written otherwise: {frame:?}");
}

/// A server and its store, at a point of a story.
struct ServerSide {
    server: Server,
    store: MemoryStore,
    ms: u64,
}

impl ServerSide {
    fn new(store: MemoryStore, ms: u64) -> Self {
        let config = ServerConfig { tail_changes_max: 8, part_bytes_max: 512, ..ServerConfig::default() };
        Self { server: Server::new(config, Entropy::from_u64(1)), store, ms }
    }

    /// Plays a step, and returns the frames it brought.
    fn play(&mut self, step: Step) -> Vec<(ConnId, Vec<u8>)> {
        let (kind, argument, bytes) = step;
        let conn = ConnId(u64::from(argument % ENDS));
        match kind {
            step::CONNECT => self.take(server::Input::Connect(conn)),
            step::FRAME => self.take(server::Input::Frame(conn, bytes)),
            step::HANG_UP => self.take(server::Input::HungUp(conn)),
            step::WAIT => {
                self.ms += wait_ms(step);
                self.take(server::Input::Tick);
            }
            step::ODD if argument < 64 => self.take(server::Input::TooLarge(conn)),
            step::ODD if argument < 128 => self.take(server::Input::NotBinary(conn)),
            step::ODD if argument < 192 => self.take(server::Input::Recheck),
            step::ODD => self.take(server::Input::Drain { wait_ms: 1_000 }),
            step::RESTART => *self = Self::new(self.store.durable(), self.ms),
            _ => {}
        }
        self.frames()
    }

    fn take(&mut self, input: server::Input) {
        self.server.handle(now(self.ms), &mut self.store, input).expect("a store in memory holds");
        self.store.commit().expect("a store in memory holds");
        self.server.committed();
        let faults = self.server.take_faults();
        assert!(faults.is_empty(), "input looks like a damaged store: {faults:?}");
    }

    fn frames(&mut self) -> Vec<(ConnId, Vec<u8>)> {
        let mut frames = Vec::new();
        for conn in (0..ENDS).map(|end| ConnId(u64::from(end))) {
            let queued = self.server.queued_bytes(conn);
            assert!(queued <= QUEUED_BYTES_MAX, "{queued} bytes are queued for {conn:?}; allowed: {QUEUED_BYTES_MAX}");
            while let Some(output) = self.server.poll(now(self.ms), &self.store, conn).expect("a store in memory holds") {
                let server::Output::Frame(frame) = output else { break };
                readable(&frame, EPOCH_MS);
                frames.push((conn, frame.to_vec()));
            }
        }
        frames
    }
}

/// What is sent can be read, whatever was heard. (FRAME-1, LIMIT-1)
fn readable(frame: &[u8], base_ms: u64) {
    assert!(frame.len() <= limits::FRAME_BYTES_MAX, "a frame of {} bytes is sent", frame.len());
    let literal = expand(frame, &AnyName).expect("what is sent can be read").frame;
    // Names that are made up stand in no order.
    if literal == frame {
        decode_frame(frame, Profiles::OFFERED, |_| base_ms).expect("what is sent can be read");
    }
}

/// A name for every number.
struct AnyName;

impl Names for AnyName {
    fn record(&self, number: u64) -> Option<RecordName> {
        Some(RecordName { collection: "c".into(), id: number.to_string() })
    }

    fn column(&self, number: u64) -> Option<(String, u64)> {
        Some((number.to_string(), LWW))
    }

    fn replica(&self, _: u64) -> Option<Replica> {
        Some(Replica([1; 16]))
    }
}

/// The base of stamps that a frame gives its other side, where it gives one.
fn base_ms(frame: &[u8]) -> Option<u64> {
    let frame = decode_frame(frame, Profiles::OFFERED, |_| EPOCH_MS).ok()?;
    let base = |message: &Message| if let Message::Opened(opened) = message { Some(opened.base_ms) } else { None };
    frame.messages.iter().rev().find_map(base)
}

/// A story for a server. Returns how many changes it accepted.
pub fn server(story: &[u8]) -> usize {
    let mut side = ServerSide::new(MemoryStore::default(), 0);
    for step in steps(story) {
        side.play(step);
    }
    let kept = side.store.durable();
    side.play((step::RESTART, 0, &[]));
    let accepted = server::accepted(&kept, SPACE).expect("what it keeps can be read");
    accepted.len()
}

/// A client and its store, at a point of a story.
struct ClientSide {
    client: Client,
    store: MemoryStore,
    ms: u64,
    /// The bases of stamps on the connection and on the links, as the other sides gave them.
    bases: BTreeMap<Option<LinkId>, u64>,
}

/// A frame that a client sent: to the server, or on a link.
type Sent = (Option<LinkId>, Vec<u8>);

impl ClientSide {
    fn new(mut store: MemoryStore, seed: u64, ms: u64) -> Self {
        let config = ClientConfig { space: SPACE.into(), token: None, profiles: Profiles::OFFERED, credit_bytes: 700 };
        let client = Client::load(config, &mut store, Entropy::from_u64(seed), now(ms)).expect("what it keeps can be read");
        Self { client, store, ms, bases: BTreeMap::new() }
    }

    /// Plays a step, and returns what it sent.
    fn play(&mut self, step: Step) -> Vec<Sent> {
        let (kind, argument, bytes) = step;
        let link = LinkId(u64::from(argument % ENDS));
        match kind {
            step::CONNECT if argument < 128 => self.take(client::Input::Start),
            step::CONNECT => self.take(client::Input::Connected),
            step::FRAME => {
                self.bases.extend(base_ms(bytes).map(|base| (None, base)));
                self.take(client::Input::Frame(bytes));
            }
            step::HANG_UP if argument < 128 => self.take(client::Input::HungUp),
            step::HANG_UP => self.take(client::Input::Stop),
            step::WAIT => {
                self.ms += wait_ms(step);
                self.take(client::Input::Tick);
            }
            step::RESTART => *self = Self::new(self.store.durable(), 3 + u64::from(argument), self.ms),
            step::WRITE => self.write(argument),
            step::LINK => self.take(client::Input::Linked(link, argument < 128)),
            step::LINK_FRAME => {
                self.bases.extend(base_ms(bytes).map(|base| (Some(link), base)));
                self.take(client::Input::LinkFrame(link, bytes));
            }
            step::UNLINK => self.take(client::Input::Unlinked(link)),
            _ => {}
        }
        self.sent()
    }

    fn take(&mut self, input: client::Input) {
        self.client.handle(now(self.ms), &mut self.store, input).expect("a store in memory holds");
        self.store.commit().expect("a store in memory holds");
    }

    /// Sets a field of one of a few records, or deletes the record.
    fn write(&mut self, argument: u8) {
        let (collection, id) = (format!("c{}", argument % 2), format!("r{}", argument % 8));
        let write = if argument < 224 {
            Write::Put { collection, id, fields: vec![("f".into(), Some(Value::Int(i64::from(argument))))] }
        } else {
            Write::Delete { collection, id }
        };
        match self.client.write(now(self.ms), &mut self.store, &[write]) {
            Ok(_) => self.take(client::Input::Tick),
            Err(client::WriteError::Refused(_)) => self.store.rollback(),
            Err(client::WriteError::Store(error)) => panic!("a store in memory holds: {error}"),
        }
    }

    fn sent(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        while let Some(output) = self.client.poll() {
            let (link, frame) = match output {
                client::Output::Send(frame) => (None, frame),
                client::Output::LinkSend(link, frame) => (Some(link), frame),
                _ => continue,
            };
            readable(&frame, *self.bases.get(&link).unwrap_or(&EPOCH_MS));
            sent.push((link, frame));
        }
        sent
    }
}

/// A story for a client, with a server and links at its other ends. Returns how many records it shows.
pub fn client(story: &[u8]) -> usize {
    let mut side = ClientSide::new(MemoryStore::default(), 2, 0);
    for step in steps(story) {
        side.play(step);
    }
    let shown = side.client.records(&side.store, None).expect("what it holds can be read");
    let pending = side.client.status(&side.store).expect("what it holds can be read").pending;
    let again = ClientSide::new(side.store.durable(), 2, side.ms);
    assert_eq!(
        again.client.records(&again.store, None).expect("what it keeps can be read"),
        shown,
        "it shows something else after a start"
    );
    assert_eq!(again.client.status(&again.store).expect("what it keeps can be read").pending, pending, "changes went with a start");
    shown.len()
}

/// The stories of a server and of its clients in a session that goes well: what a fuzzer begins from.
#[derive(Debug)]
pub struct Recorded {
    /// The server's.
    pub server: Vec<u8>,
    /// The clients'.
    pub clients: [Vec<u8>; 2],
}

/// Records two clients that write, sync, part, and meet on a link.
pub fn record() -> Recorded {
    let mut table = Table::new();
    for client in 0..2_u8 {
        table.tell(client, (step::WRITE, 10 + 7 * client, &[]));
        table.tell(client, (step::CONNECT, 0, &[]));
        table.serve((step::CONNECT, client, &[]));
        table.tell(client, (step::CONNECT, 128, &[]));
    }
    for write in [1, 2, 3, 226, 9] {
        table.tell(write % 2, (step::WRITE, write, &[]));
        table.wait(1);
    }
    table.wait(250);
    for client in 0..2 {
        table.serve((step::HANG_UP, client, &[]));
        table.tell(client, (step::HANG_UP, 128, &[]));
        table.tell(client, (step::WRITE, 20 + client, &[]));
    }
    table.tell(1, (step::LINK, 128, &[]));
    table.tell(0, (step::LINK, 0, &[]));
    table.wait(10);
    table.recorded
}

/// A server and two clients whose steps are written down.
struct Table {
    recorded: Recorded,
    server: ServerSide,
    clients: [ClientSide; 2],
}

impl Table {
    fn new() -> Self {
        Self {
            recorded: Recorded { server: Vec::new(), clients: [Vec::new(), Vec::new()] },
            server: ServerSide::new(MemoryStore::default(), 0),
            clients: [2, 3].map(|seed| ClientSide::new(MemoryStore::default(), seed, 0)),
        }
    }

    fn wait(&mut self, tenths: u8) {
        self.serve((step::WAIT, tenths, &[]));
        (0..2).for_each(|client| self.tell(client, (step::WAIT, tenths, &[])));
    }

    fn serve(&mut self, step: Step) {
        note(&mut self.recorded.server, step);
        for (conn, frame) in self.server.play(step) {
            self.tell(conn.0 as u8, (step::FRAME, 0, &frame));
        }
    }

    fn tell(&mut self, client: u8, step: Step) {
        let at = usize::from(client);
        note(&mut self.recorded.clients[at], step);
        for (link, frame) in self.clients[at].play(step) {
            match link {
                None => self.serve((step::FRAME, client, &frame)),
                // The one link has the same end number on both sides.
                Some(_) => self.tell(1 - client, (step::LINK_FRAME, 0, &frame)),
            }
        }
    }
}

fn note(story: &mut Vec<u8>, (kind, argument, bytes): Step) {
    let length = u16::try_from(bytes.len()).expect("the frames of a short session are short");
    story.extend([kind, argument]);
    story.extend(length.to_be_bytes());
    story.extend(bytes);
}
