//! Syncline in one thread: a server and its clients, with each frame counted.

use std::time::{Duration, Instant};

use syncline::client::{self, Client, ClientConfig, Write};
use syncline::clock::Now;
use syncline::entropy::Entropy;
use syncline::registry::Profiles;
use syncline::server::{self, ConnId, Server, ServerConfig};
use syncline::store::{MemoryStore, Store, Transact};
use syncline::value::Value;

use crate::data::{Edit, FIELDS, Record, Scalar};

const EPOCH_MS: u64 = 1_700_000_000_000;
const COLLECTION: &str = "records";
/// Records of one change while loading.
pub const LOAD_BATCH: usize = 100;
const FITS: &str = "a store in memory does not fail, and the data is within the limits";

/// A client, and what passed between it and the server.
pub struct Device<S> {
    pub client: Client,
    pub store: S,
    conn: Option<ConnId>,
    /// Bytes of frames to the server.
    pub up: u64,
    /// Bytes of frames from the server.
    pub down: u64,
    /// The frames from the server, where they are kept.
    pub frames: Option<Vec<Vec<u8>>>,
    /// Time spent in the client's state machine.
    pub cpu: Duration,
}

/// A server and its clients.
pub struct Site<S: Store + Transact> {
    pub server: Server,
    pub store: S,
    pub devices: Vec<Device<MemoryStore>>,
    /// Frames for the server that wait to be taken in together, where they do.
    pub held: Option<Vec<(ConnId, Vec<u8>)>>,
    now_ms: u64,
    conns: u64,
    /// Time spent in the server's state machine and store.
    pub cpu: Duration,
}

pub fn config() -> ClientConfig {
    ClientConfig { space: "bench".into(), token: None, profiles: Profiles::OFFERED, credit_bytes: 1 << 20 }
}

/// The time of an event so many milliseconds after the start.
pub fn at(ms: u64) -> Now {
    Now { wall_ms: EPOCH_MS + ms, mono_ms: ms }
}

impl Site<MemoryStore> {
    pub fn in_memory() -> Self {
        Self::over(MemoryStore::default())
    }
}

impl<S: Store + Transact> Site<S> {
    pub fn over(store: S) -> Self {
        let server = Server::new(ServerConfig::default(), Entropy::from_u64(7));
        Self { server, store, devices: Vec::new(), held: None, now_ms: 1_000, conns: 0, cpu: Duration::ZERO }
    }

    /// A fresh client that wants to be connected.
    pub fn join(&mut self) -> usize {
        self.join_with(config())
    }

    /// The same, of this configuration.
    pub fn join_with(&mut self, config: ClientConfig) -> usize {
        let mut store = MemoryStore::default();
        let seed = Entropy::from_u64(self.devices.len() as u64);
        let client = Client::load(config, &mut store, seed, at(self.now_ms)).expect(FITS);
        self.devices.push(Device { client, store, conn: None, up: 0, down: 0, frames: None, cpu: Duration::ZERO });
        self.devices.len() - 1
    }

    pub fn connect(&mut self, device: usize) {
        self.tell(device, client::Input::Start);
    }

    pub fn disconnect(&mut self, device: usize) {
        self.tell(device, client::Input::Stop);
    }

    /// Loads the records through a device, so many to a change.
    pub fn load(&mut self, device: usize, records: &[Record]) {
        for batch in records.chunks(LOAD_BATCH) {
            let writes: Vec<Write> = batch.iter().map(put).collect();
            self.write(device, &writes);
            self.run();
        }
        self.settle();
    }

    pub fn write(&mut self, device: usize, writes: &[Write]) {
        let now = at(self.now_ms);
        let node = &mut self.devices[device];
        let started = Instant::now();
        node.client.write(now, &mut node.store, writes).expect(FITS);
        node.store.commit().expect(FITS);
        node.cpu += started.elapsed();
        self.pump(device);
    }

    /// Lets every frame arrive.
    pub fn run(&mut self) {
        loop {
            let mut moved = false;
            for device in 0..self.devices.len() {
                while let Some(frame) = self.next_frame(device) {
                    moved = true;
                    self.tell(device, client::Input::Frame(&frame));
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// Lets every frame arrive, and the marks that follow a quiet moment.
    pub fn settle(&mut self) {
        for _ in 0..3 {
            self.run();
            self.now_ms += 500;
            self.serve(server::Input::Tick);
            for device in 0..self.devices.len() {
                self.tell(device, client::Input::Tick);
            }
        }
        self.run();
    }

    /// The server takes in what was held, in one transaction.
    pub fn take_held(&mut self) {
        let held = self.held.replace(Vec::new()).unwrap_or_default();
        let now = at(self.now_ms);
        let started = Instant::now();
        for (conn, frame) in held {
            self.server.handle(now, &mut self.store, server::Input::Frame(conn, &frame)).expect(FITS);
        }
        self.store.commit().expect(FITS);
        self.server.committed();
        self.server.take_ready();
        self.cpu += started.elapsed();
    }

    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn next_frame(&mut self, device: usize) -> Option<Vec<u8>> {
        let conn = self.devices[device].conn?;
        let started = Instant::now();
        let output = self.server.poll(at(self.now_ms), &self.store, conn).expect(FITS);
        self.cpu += started.elapsed();
        match output? {
            server::Output::Frame(frame) => {
                let node = &mut self.devices[device];
                node.down += frame.len() as u64;
                if let Some(frames) = &mut node.frames {
                    frames.push(frame.to_vec());
                }
                Some(frame.to_vec())
            }
            server::Output::Close => panic!("the server ended the connection of device {device}"),
        }
    }

    fn serve(&mut self, input: server::Input) {
        let started = Instant::now();
        self.server.handle(at(self.now_ms), &mut self.store, input).expect(FITS);
        self.store.commit().expect(FITS);
        self.server.committed();
        self.server.take_ready();
        self.cpu += started.elapsed();
    }

    fn tell(&mut self, device: usize, input: client::Input) {
        let now = at(self.now_ms);
        let node = &mut self.devices[device];
        let started = Instant::now();
        node.client.handle(now, &mut node.store, input).expect(FITS);
        node.store.commit().expect(FITS);
        node.cpu += started.elapsed();
        self.pump(device);
    }

    fn pump(&mut self, device: usize) {
        while let Some(output) = self.devices[device].client.poll() {
            match output {
                client::Output::Connect => {
                    self.conns += 1;
                    let conn = ConnId(self.conns);
                    self.devices[device].conn = Some(conn);
                    self.serve(server::Input::Connect(conn));
                    self.tell(device, client::Input::Connected);
                }
                client::Output::Send(frame) => {
                    let node = &mut self.devices[device];
                    node.up += frame.len() as u64;
                    let conn = node.conn.expect("a client sends on a connection");
                    match &mut self.held {
                        Some(held) => held.push((conn, frame)),
                        None => self.serve(server::Input::Frame(conn, &frame)),
                    }
                }
                client::Output::Close => {
                    if let Some(conn) = self.devices[device].conn.take() {
                        self.serve(server::Input::HungUp(conn));
                    }
                }
                _ => {}
            }
        }
    }
}

fn value(scalar: &Scalar) -> Value {
    match scalar {
        Scalar::Int(int) => Value::Int(*int),
        Scalar::Text(text) => Value::Text(text.as_str().into()),
    }
}

/// The write that makes a record.
pub fn put(record: &Record) -> Write {
    let fields = FIELDS.iter().zip(&record.fields).map(|(name, scalar)| ((*name).to_owned(), Some(value(scalar)))).collect();
    Write::Put { collection: COLLECTION.into(), id: record.id.clone(), fields }
}

/// The write of an edit.
pub fn edit(records: &[Record], edit: &Edit) -> Write {
    let fields = vec![(FIELDS[edit.field].to_owned(), Some(value(&edit.value)))];
    Write::Put { collection: COLLECTION.into(), id: records[edit.record].id.clone(), fields }
}
