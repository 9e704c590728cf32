//! A server over a store that counts what is read of it, and connections that the test plays.

use std::cell::Cell;
use std::collections::BTreeMap;

use syncline::change::{Change, Cursor, Op, Payload, Pushed, RecordName, Row};
use syncline::clock::{Now, Reading, Replica};
use syncline::entropy::Entropy;
use syncline::message::{Hello, Message, Open, Push, decode_frame, encode_frame, unpack};
use syncline::registry::Profiles;
use syncline::rules::LWW;
use syncline::server::{ConnId, Input, Output, Server, ServerConfig};
use syncline::store::{Entry, MemoryStore, Store, StoreError, Transact};
use syncline::value::Value;

/// When the server starts.
pub const NOW: Now = Now { wall_ms: 1_700_000_000_000, mono_ms: 1_000 };
/// The channel of the space on every connection.
const CHANNEL: u16 = 1;

/// A store in memory that counts reads and can be damaged.
#[derive(Default)]
pub struct Counted {
    inner: MemoryStore,
    damaged: Option<Vec<u8>>,
    /// Calls that read.
    pub reads: Cell<u64>,
    /// Rows that they returned.
    pub rows: Cell<u64>,
}

impl Counted {
    /// From here on, keys that start so cannot be read.
    pub fn damage(&mut self, prefix: &[u8]) {
        self.damaged = Some(prefix.to_vec());
    }

    pub fn mend(&mut self) {
        self.damaged = None;
    }

    fn read(&self, rows: usize) {
        self.reads.set(self.reads.get() + 1);
        self.rows.set(self.rows.get() + rows as u64);
    }
}

impl Store for Counted {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if self.damaged.as_ref().is_some_and(|prefix| key.starts_with(prefix)) {
            return Err(StoreError("damaged on purpose".into()));
        }
        let found = self.inner.get(key)?;
        self.read(usize::from(found.is_some()));
        Ok(found)
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Entry>, StoreError> {
        let rows = self.inner.scan(from, to, limit)?;
        self.read(rows.len());
        Ok(rows)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.inner.put(key, value)
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), StoreError> {
        self.inner.delete(key)
    }

    fn delete_range(&mut self, from: &[u8], to: &[u8]) -> Result<(), StoreError> {
        self.inner.delete_range(from, to)
    }

    fn mark(&mut self) {
        self.inner.mark();
    }

    fn back_to_mark(&mut self) -> Result<(), StoreError> {
        self.inner.back_to_mark()
    }
}

/// A server and connections to it.
pub struct Talk {
    pub server: Server,
    pub store: Counted,
    now: Now,
    /// What stamps on each connection are relative to.
    bases: BTreeMap<ConnId, u64>,
    /// Bytes that each connection was sent.
    pub sent: BTreeMap<ConnId, u64>,
}

impl Talk {
    pub fn new(store: Counted) -> Self {
        Self::with(store, ServerConfig::default())
    }

    pub fn with(store: Counted, config: ServerConfig) -> Self {
        let server = Server::new(config, Entropy::from_u64(1));
        Self { server, store, now: NOW, bases: BTreeMap::new(), sent: BTreeMap::new() }
    }

    /// Time is now this.
    pub fn at(&mut self, mono_ms: u64) {
        self.now = Now { wall_ms: NOW.wall_ms + (mono_ms - NOW.mono_ms), mono_ms };
    }

    /// The connections that a tick makes ready.
    pub fn tick(&mut self) -> Vec<ConnId> {
        self.server.take_ready();
        self.take(Input::Tick);
        let ready = self.server.take_ready();
        for id in &ready {
            self.hear(*id);
        }
        ready
    }

    /// Connects, opens the space and takes all that comes at first.
    pub fn open(&mut self, id: ConnId, space: &str, replica: u64, cursor: Option<Cursor>) -> Vec<Message> {
        self.connect(id, space, replica, cursor);
        self.hear(id)
    }

    /// Connects and asks for the space, and hears nothing yet.
    pub fn connect(&mut self, id: ConnId, space: &str, replica: u64, cursor: Option<Cursor>) {
        self.subscribe(id, space, replica, cursor, None);
    }

    /// The same, for some collections only.
    pub fn subscribe(&mut self, id: ConnId, space: &str, replica: u64, cursor: Option<Cursor>, collections: Option<Vec<String>>) {
        self.take(Input::Connect(id));
        let hello = Hello { versions: vec![1], profiles: Profiles::OFFERED.codes(), limits: Vec::new(), token: None };
        self.say(id, 0, Message::Hello(hello));
        let open = Open { space: space.into(), replica: name(replica), settled: 0, cursor, collections, known: None, names: None };
        self.say(id, CHANNEL, Message::Open(open));
        self.commit();
    }

    /// Pushes a change to a record of its own, to be committed.
    pub fn push(&mut self, id: ConnId, replica: u64, seq: u64) {
        self.push_all(id, vec![change(&format!("{replica}-{seq}"), seq, self.now.wall_ms)]);
    }

    pub fn push_all(&mut self, id: ConnId, changes: Vec<Change>) {
        let pushed = |change| Pushed::Change { change, bytes: 0, value_bytes_max: 0 };
        self.say(id, CHANNEL, Message::Push(Push { author: None, items: changes.into_iter().map(pushed).collect() }));
    }

    /// The connection is gone.
    pub fn hang_up(&mut self, id: ConnId) {
        self.take(Input::HungUp(id));
        self.bases.remove(&id);
    }

    pub fn say(&mut self, id: ConnId, channel: u16, message: Message) {
        let base_ms = self.bases.get(&id).copied().unwrap_or_default();
        self.take(Input::Frame(id, &encode_frame(channel, &[message], base_ms)));
    }

    pub fn take(&mut self, input: Input) {
        self.server.handle(self.now, &mut self.store, input).expect("the store can go back to its mark");
    }

    pub fn commit(&mut self) {
        self.store.inner.commit().expect("a store in memory does not fail");
        self.server.committed();
    }

    /// The bytes of the next frame for the connection, if there is one.
    pub fn bytes(&mut self, id: ConnId) -> Option<Vec<u8>> {
        loop {
            match self.server.poll(self.now, &self.store, id).expect("what a poll reads is not damaged")? {
                Output::Close => {}
                Output::Frame(bytes) => return Some(bytes.to_vec()),
            }
        }
    }

    /// The next frame for the connection, if there is one.
    pub fn frame(&mut self, id: ConnId) -> Option<Vec<Message>> {
        let bytes = self.bytes(id)?;
        let bytes = unpack(&bytes, Profiles::OFFERED).expect("a server's frames unpack");
        *self.sent.entry(id).or_default() += bytes.len() as u64;
        let base_ms = self.bases.get(&id).copied().unwrap_or_default();
        let frame = decode_frame(&bytes, Profiles::OFFERED, |_| base_ms).expect("a server's frames decode");
        for message in &frame.messages {
            if let Message::Opened(opened) = message {
                self.bases.insert(id, opened.base_ms);
            }
        }
        Some(frame.messages)
    }

    /// All that waits for the connection.
    pub fn hear(&mut self, id: ConnId) -> Vec<Message> {
        std::iter::from_fn(|| self.frame(id)).flatten().collect()
    }
}

/// A replica's id.
pub fn name(replica: u64) -> Replica {
    Replica(u128::from(replica).to_be_bytes())
}

/// A change of one field of a record.
pub fn change(id: &str, seq: u64, wall_ms: u64) -> Change {
    let op = Op { field: "n".into(), rule: LWW, after: None, payload: Payload::Set(Value::Int(seq as i64)) };
    let record = RecordName { collection: "c".into(), id: id.into() };
    let reading = Reading::new(wall_ms, 0).expect("a time of this century");
    Change { seq, reading, rows: vec![Row { record, life: 1, ops: vec![op] }], origin: None, extra: Vec::new() }
}
