//! W2: one writer, many subscribers over sockets, beside a broadcast that encodes once and knows no protocol.
//!
//! Both servers are processes of their own. The load generator looks for the mark in each update and parses nothing else, so
//! that what is counted is the servers' work: deliveries in a second of the server's own CPU.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use syncline::change::{Change, Op, Payload, Pushed, RecordName, Row as ChangeRow};
use syncline::clock::{Reading, Replica};
use syncline::message::{Hello, Message, Open, Push, decode_frame, encode_frame};
use syncline::registry::Profiles;
use syncline::rules::LWW;
use syncline::value::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

use crate::table::{Row, Target};

/// What stands in each update once.
const MARK: &[u8] = b"\xf1\xf2SYNC\xf3\xf4";
/// Bytes of an update's value.
const BODY_BYTES: usize = 100;
/// Updates ahead of the first subscriber.
const WINDOW: u64 = 200;
const READ_BYTES: usize = 64 << 10;
const WORKS: &str = "loopback works";
const SPACE: &str = "fan";

/// How a subscriber and the writer talk to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Syncline,
    Raw,
}

/// What one server did for so many subscribers.
struct Figures {
    deliveries_per_cpu_s: f64,
    idle_bytes: f64,
}

pub fn fan_out(rows: &mut Vec<Row>, _beside: bool) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a thread can be had");
    for (subscribers, updates) in [(100, 20_000), (1_000, 4_000)] {
        // In turn, so that both see the same machine; the middle of three by ratio.
        let mut goes: Vec<(Figures, Figures)> = (0..3)
            .map(|_| {
                let go = |kind| runtime.block_on(measure(kind, subscribers, updates));
                (go(Kind::Syncline), go(Kind::Raw))
            })
            .collect();
        goes.sort_by(|a, b| ratio(a).total_cmp(&ratio(b)));
        let middle = &goes[1];
        let said = format!("deliveries in a second of server CPU, {subscribers} subscribers: ratio to encode-once broadcast");
        let row = Row::new("W2", said, "×", ratio(middle), Target::AtLeast(0.5));
        rows.push(row.beside("broadcast, deliveries/s", middle.1.deliveries_per_cpu_s).beside("Syncline", middle.0.deliveries_per_cpu_s));
        if subscribers == 1_000 {
            let row = Row::new("W2", "server memory of an idle subscriber", "kB", middle.0.idle_bytes / 1e3, Target::AtMost(12.0));
            rows.push(row.beside("broadcast", middle.1.idle_bytes / 1e3));
        }
    }
}

fn ratio((ours, raw): &(Figures, Figures)) -> f64 {
    ours.deliveries_per_cpu_s / raw.deliveries_per_cpu_s
}

/// A server in a process of its own, killed when dropped.
struct Served {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Served {
    fn start(kind: Kind) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let flag = if kind == Kind::Syncline { "--serve" } else { "--broadcast" };
        let program = std::env::current_exe().expect("a program knows where it is");
        let mut child =
            Command::new(program).arg(flag).arg(folder.path()).stdout(Stdio::piped()).spawn().expect("a program can run itself");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("it says where it listens");
        let address = line.trim().rsplit('/').next().and_then(|address| address.parse().ok()).expect("it says where it listens");
        Self { child, address, _folder: folder }
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("the server runs on Linux")
    }

    /// User and system time, in seconds; the kernel counts hundredths.
    fn cpu_s(&self) -> f64 {
        let stat = self.proc("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: f64 = fields[11..13].iter().filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
        ticks / 100.0
    }

    fn resident_bytes(&self) -> f64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).expect("memory is told") * 1024.0
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn measure(kind: Kind, subscribers: u64, updates: u64) -> Figures {
    let served = Served::start(kind);
    let (mut writer, base_ms) = join(kind, served.address, 0).await;
    let before = served.resident_bytes();
    let (progress, all) = (Arc::new(Progress::default()), Arc::new(AtomicU64::new(0)));
    let finished = Arc::new(Notify::new());
    let mut streams = Vec::new();
    for at in 1..=subscribers {
        streams.push(join(kind, served.address, at).await.0);
    }
    let idle_bytes = (served.resident_bytes() - before) / subscribers as f64;
    for (at, stream) in streams.into_iter().enumerate() {
        let first = (at == 0).then(|| Arc::clone(&progress));
        tokio::spawn(count(stream, first, Arc::clone(&all), (subscribers * updates, Arc::clone(&finished))));
    }
    let cpu = served.cpu_s();
    let mut sent = 0;
    while sent < updates {
        progress.until(sent.saturating_sub(WINDOW)).await;
        let mut bytes = Vec::new();
        while sent < updates && sent < progress.seen.load(Ordering::Acquire) + WINDOW {
            sent += 1;
            bytes.extend(update(kind, sent, base_ms));
        }
        writer.write_all(&bytes).await.expect(WORKS);
    }
    finished.notified().await;
    Figures { deliveries_per_cpu_s: (subscribers * updates) as f64 / (served.cpu_s() - cpu), idle_bytes }
}

/// How many updates the first subscriber has seen.
#[derive(Default)]
struct Progress {
    seen: AtomicU64,
    moved: Notify,
}

impl Progress {
    async fn until(&self, wanted: u64) {
        while self.seen.load(Ordering::Acquire) < wanted {
            self.moved.notified().await;
        }
    }
}

/// Counts the marks that come in.
async fn count(mut stream: TcpStream, first: Option<Arc<Progress>>, all: Arc<AtomicU64>, (wanted, finished): (u64, Arc<Notify>)) {
    let mut buffer = vec![0; READ_BYTES];
    let finder = memchr::memmem::Finder::new(MARK);
    let mut kept = 0;
    loop {
        // The server is killed when all have come; one that ends earlier is noticed by what does not come.
        let Ok(read @ 1..) = stream.read(&mut buffer[kept..]).await else { return };
        let end = kept + read;
        let found = finder.find_iter(&buffer[..end]).count() as u64;
        // A mark may lie across two reads.
        kept = end.min(MARK.len() - 1);
        buffer.copy_within(end - kept..end, 0);
        if let Some(progress) = &first {
            progress.seen.fetch_add(found, Ordering::Release);
            progress.moved.notify_one();
        }
        if all.fetch_add(found, Ordering::AcqRel) + found == wanted {
            finished.notify_one();
        }
    }
}

/// A connection that has opened the space, and what its readings are relative to.
async fn join(kind: Kind, address: SocketAddr, number: u64) -> (TcpStream, u64) {
    let mut stream = TcpStream::connect(address).await.expect(WORKS);
    stream.set_nodelay(true).expect(WORKS);
    if kind == Kind::Raw {
        // The server has taken the connection once it says something.
        stream.read_exact(&mut [0]).await.expect(WORKS);
        return (stream, 0);
    }
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: syncline.1\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect(WORKS);
    // Credit would have to be given back by whoever takes it: it is left out.
    let hello = Hello { versions: vec![1], profiles: Profiles::CORE.codes(), limits: Vec::new(), token: None };
    let replica = Replica(std::array::from_fn(|at| number.to_be_bytes()[at % 8]));
    let open = Open { space: SPACE.into(), replica, settled: 0, cursor: None, collections: None, known: None, names: None };
    for (channel, message) in [(0, Message::Hello(hello)), (1, Message::Open(open))] {
        stream.write_all(&framed(&encode_frame(channel, &[message], 0))).await.expect(WORKS);
    }
    let mut heard = Vec::new();
    loop {
        let mut buffer = [0; 4_096];
        let read = stream.read(&mut buffer).await.expect(WORKS);
        assert!(read > 0, "the server refused a subscriber: {}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&buffer[..read]);
        // What comes behind `opened` holds no update yet.
        if let Some(base_ms) = base_of(&heard) {
            return (stream, base_ms);
        }
    }
}

/// What the readings of the channel are relative to, once `opened` has come.
fn base_of(heard: &[u8]) -> Option<u64> {
    let start = heard.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let mut rest = &heard[start..];
    loop {
        let (length, head) = match *rest.get(1)? {
            126 => (usize::from(u16::from_be_bytes(*rest.get(2..)?.first_chunk()?)), 4),
            short => (usize::from(short), 2),
        };
        let payload = rest.get(head..head + length)?;
        let frame = decode_frame(payload, Profiles::CORE, |_| 0).expect("a server's frames decode");
        let opened = frame.messages.into_iter().find_map(|message| if let Message::Opened(opened) = message { Some(opened) } else { None });
        if let Some(opened) = opened {
            return Some(opened.base_ms);
        }
        rest = &rest[head + length..];
    }
}

fn update(kind: Kind, seq: u64, base_ms: u64) -> Vec<u8> {
    let mut body = MARK.to_vec();
    body.resize(BODY_BYTES, seq as u8);
    if kind == Kind::Raw {
        return body;
    }
    let record = RecordName { collection: "records".into(), id: format!("{seq:016x}") };
    let op = Op { field: "body".into(), rule: LWW, after: None, payload: Payload::Set(Value::Bytes(body)) };
    let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64);
    let reading = Reading::new(now_ms, 0).expect("the clock stands in this age");
    let change = Change { seq, reading, rows: vec![ChangeRow { record, life: 1, ops: vec![op] }], origin: None, extra: Vec::new() };
    let push = Push { author: None, items: vec![Pushed::Change { change, bytes: 0, value_bytes_max: 0 }] };
    framed(&encode_frame(1, &[Message::Push(push)], base_ms))
}

/// A client's binary WebSocket frame; a mask of zeros leaves the bytes as they are.
fn framed(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x82];
    match payload.len() {
        short @ 0..=125 => frame.push(0x80 | short as u8),
        long => {
            frame.push(0x80 | 126);
            frame.extend((long as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// The process of the server that is measured.
pub fn serve(flag: &str, folder: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a thread can be had");
    if flag == "--broadcast" {
        return runtime.block_on(broadcast());
    }
    let data = std::path::Path::new(folder).to_owned();
    let config = syncline_server::Config { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..syncline_server::Config::new(data) };
    runtime.block_on(syncline_server::run(config, std::future::pending())).expect("the server runs");
}

/// Sends what the first connection says to all others: each update shared, what waits for a connection in one write.
async fn broadcast() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect(WORKS);
    println!("broadcasting on tcp://{}", listener.local_addr().expect(WORKS));
    let (mut writer, _) = listener.accept().await.expect(WORKS);
    writer.write_all(&[0]).await.expect(WORKS);
    let mut queues: Vec<mpsc::UnboundedSender<Arc<[u8]>>> = Vec::new();
    let mut update = vec![0; BODY_BYTES];
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (mut stream, _) = accepted.expect(WORKS);
                stream.write_all(&[0]).await.expect(WORKS);
                let (queue, waiting) = mpsc::unbounded_channel();
                queues.push(queue);
                tokio::spawn(drain(stream, waiting));
            }
            // Every connection is taken before the first update comes, so that no half of one is dropped here.
            read = writer.read_exact(&mut update) => {
                if read.is_err() {
                    return;
                }
                let shared: Arc<[u8]> = update.as_slice().into();
                queues.iter().for_each(|queue| drop(queue.send(Arc::clone(&shared))));
            }
        }
    }
}

async fn drain(mut stream: TcpStream, mut waiting: mpsc::UnboundedReceiver<Arc<[u8]>>) {
    let (mut updates, mut bytes) = (Vec::new(), Vec::new());
    while waiting.recv_many(&mut updates, WINDOW as usize).await > 0 {
        bytes.clear();
        updates.drain(..).for_each(|update| bytes.extend_from_slice(&update));
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
