//! Writers that note what was acknowledged, and a reader that compares.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use syncline::change::{Change, Op, Payload, Pushed, RecordName, Row};
use syncline::clock::{Reading, Replica};
use syncline::hash::{Link, start_link};
use syncline::message::{Hello, Item, Message, Open, Opened, Push, States, decode_frame, encode_frame};
use syncline::registry::{Code, Profiles};
use syncline::rules::LWW;
use syncline::value::Value;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Packet;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

/// Who comes in where tokens are asked for.
pub const TOKEN: &str = "hunter2-of-alice";
pub const SPACE: &str = "home";
const CHANNEL: u16 = 1;
/// Changes that a writer has under way.
const WINDOW: u64 = 16;
/// What answers within this long is not there: another server is tried.
const WAIT: Duration = Duration::from_secs(20);

/// A connection, and why it ended.
pub struct Client {
    socket: WebSocketStream<TcpStream>,
    base_ms: u64,
}

pub type Ended = String;

impl Client {
    pub async fn open(address: SocketAddr, replica: Replica) -> Result<(Self, Opened), Ended> {
        timeout(WAIT, Self::try_open(address, replica)).await.map_err(|_| "no answer".to_owned())?
    }

    async fn try_open(address: SocketAddr, replica: Replica) -> Result<(Self, Opened), Ended> {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        let mut request = format!("ws://{address}/sync").into_client_request().expect("a good address");
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("syncline.1"));
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.map_err(|error| error.to_string())?;
        let mut client = Self { socket, base_ms: 0 };
        client
            .send(0, Message::Hello(Hello { versions: vec![1], profiles: vec![0], limits: Vec::new(), token: Some(TOKEN.to_owned()) }))
            .await?;
        let open = Open { space: SPACE.to_owned(), replica, settled: 0, cursor: None, collections: None, known: None, names: None };
        client.send(CHANNEL, Message::Open(open)).await?;
        loop {
            for message in client.receive().await? {
                if let Message::Opened(opened) = message {
                    client.base_ms = opened.base_ms;
                    return Ok((client, opened));
                }
            }
        }
    }

    pub async fn push(&mut self, replica: Replica, seq: u64, start_ms: u64) -> Result<(), Ended> {
        let items = vec![Pushed::Change { change: change(replica, seq, start_ms), bytes: 0, value_bytes_max: 0 }];
        self.send(CHANNEL, Message::Push(Push { author: None, items })).await
    }

    /// Waits until the replica's changes up to this seq are acknowledged; gives the position that the ack names.
    pub async fn acked(&mut self, seq: u64) -> Result<u64, Ended> {
        loop {
            for message in self.receive().await? {
                match message {
                    Message::Ack(ack) if ack.seq >= seq => return Ok(ack.position),
                    Message::States(states) if accepted(&states) >= seq => return Ok(states.to),
                    Message::Reject(reject) => panic!("rejected: {reject:?}"),
                    _ => {}
                }
            }
        }
    }

    async fn send(&mut self, channel: u16, message: Message) -> Result<(), Ended> {
        let frame = encode_frame(channel, &[message], self.base_ms);
        self.socket.send(Packet::Binary(frame.into())).await.map_err(|error| error.to_string())
    }

    async fn receive(&mut self) -> Result<Vec<Message>, Ended> {
        match timeout(WAIT, self.socket.next()).await {
            Ok(Some(Ok(Packet::Binary(bytes)))) => {
                let frame = decode_frame(&bytes, Profiles::CORE, |_| self.base_ms).expect("the server's frames are good");
                for message in &frame.messages {
                    if let Message::Error(error) = message {
                        return Err(format!("{}: {}", error.code.name(), error.text));
                    }
                }
                Ok(frame.messages)
            }
            other => Err(format!("{other:?}")),
        }
    }
}

/// The change that a replica writes under a seq: the same whenever it is sent.
fn change(replica: Replica, seq: u64, start_ms: u64) -> Change {
    let op = Op { field: "title".to_owned(), rule: LWW, after: None, payload: Payload::Set(Value::Text(format!("{replica} {seq}"))) };
    let record = RecordName { collection: "todos".to_owned(), id: format!("{replica}-{seq}") };
    let reading = Reading::new(start_ms + seq % 1_000, 0).expect("a time of today");
    Change { seq, reading, rows: vec![Row { record, life: 1, ops: vec![op] }], origin: None, extra: Vec::new() }
}

/// A replica that writes, wherever it is let in.
pub struct Writer {
    pub replica: Replica,
    pub start_ms: u64,
    /// The greatest seq that was acknowledged.
    acked: Mutex<u64>,
    durability: u64,
}

/// The greatest seq of the reader's own that a catch-up says was accepted: what is settled while it comes is not acknowledged besides.
/// (SYNC-11)
fn accepted(states: &States) -> u64 {
    let seqs = states.items.iter().map(|item| match item {
        Item::Outcome(outcome) => {
            assert_eq!(outcome.code, Code::ACCEPTED, "{outcome:?}");
            outcome.seq
        }
        _ => 0,
    });
    seqs.max().unwrap_or(0)
}

/// A writer for each of these replicas, whose acknowledgements are to say this of where a change is kept.
pub fn writers(replicas: RangeInclusive<u8>, durability: u64) -> Vec<Arc<Writer>> {
    let start_ms = now_ms();
    replicas.map(|n| Arc::new(Writer { replica: Replica([n; 16]), start_ms, durability, acked: Mutex::new(0) })).collect()
}

/// Unix milliseconds.
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_millis()).expect("not so far away")
}

impl Writer {
    /// The link of the replica's chain at a seq.
    pub fn link(&self, seq: u64) -> Link {
        let start = start_link(SPACE, self.replica);
        (1..=seq).fold(start, |link, seq| link.next(change(self.replica, seq, self.start_ms).hash()))
    }

    pub fn acked(&self) -> u64 {
        *self.acked.lock().expect("no holder panics")
    }

    /// Writes until it is stopped, and moves on to another server whenever a connection ends.
    pub async fn run(self: Arc<Self>, addresses: Vec<SocketAddr>, stop: Arc<AtomicBool>) {
        for at in usize::from(self.replica.0[0]).. {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            // How it ended is no matter: what counts is what was acknowledged.
            let _ = self.session(addresses[at % addresses.len()], &stop).await;
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn session(&self, address: SocketAddr, stop: &AtomicBool) -> Result<(), Ended> {
        let (mut client, opened) = Client::open(address, self.replica).await?;
        let known = self.acked();
        assert!(opened.last_seq >= known, "{}: {known} was acknowledged, and the log ends at {}", self.replica, opened.last_seq);
        self.note(opened.last_seq);
        // The first is sent again, as by one who lost the answer.
        let mut next = opened.last_seq.max(1);
        let mut acked = opened.last_seq;
        while !stop.load(Ordering::Relaxed) {
            while next <= acked + WINDOW {
                client.push(self.replica, next, self.start_ms).await?;
                next += 1;
            }
            for message in client.receive().await? {
                match message {
                    Message::Ack(ack) => {
                        assert_eq!(ack.durability, self.durability, "an ack says where the change is kept");
                        acked = acked.max(ack.seq);
                        self.note(acked);
                    }
                    Message::States(states) => {
                        acked = acked.max(accepted(&states));
                        self.note(acked);
                    }
                    Message::Reject(reject) => panic!("{}: rejected: {reject:?}", self.replica),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn note(&self, seq: u64) {
        let mut acked = self.acked.lock().expect("no holder panics");
        *acked = seq.max(*acked);
    }

    /// What the log holds of the replica: its last seq and the link there.
    pub async fn settled(&self, address: SocketAddr) -> Result<(u64, Link), Ended> {
        let (_, opened) = Client::open(address, self.replica).await?;
        Ok((opened.last_seq, opened.link))
    }
}

/// A space as a reader finds it.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    pub position: u64,
    pub records: u64,
    pub fingerprint: [u8; 16],
}

/// Reads the whole space as a replica that holds nothing.
pub async fn read(address: SocketAddr, reader: Replica) -> Result<Found, Ended> {
    let (mut client, opened) = Client::open(address, reader).await?;
    let mut records = 0;
    loop {
        for message in client.receive().await? {
            match message {
                Message::States(states) => records += states.items.iter().map(rows).sum::<u64>(),
                Message::Mark(mark) => {
                    assert_eq!(mark.position, opened.position, "nobody writes any more");
                    return Ok(Found { position: mark.position, records, fingerprint: mark.fingerprint });
                }
                _ => {}
            }
        }
    }
}

fn rows(item: &Item) -> u64 {
    match item {
        Item::Cells { rows, .. } => rows.len() as u64,
        _ => 0,
    }
}
