//! Every state × every message of spec 7, one line each, as snapshots to be read beside its state tables.
//!
//! A line: the state, the channel, the message, what comes out of it, the state after. What the rows pin: SESS-1 (hello
//! first), SESS-2, SESS-6, SESS-9, SESS-12, SESS-15 to SESS-18, SESS-21, SESS-24 and FRAME-5 (a message on a channel or in
//! a state that is not its own is `unexpected`). A change of behaviour shows as a change of lines.

use std::fmt::Write as _;

use syncline::change::{Change, Op, Payload, Pushed, RecordName, Row};
use syncline::client::{self, Client, ClientConfig};
use syncline::clock::{History, Now, Reading, Replica};
use syncline::entropy::Entropy;
use syncline::hash::{Fingerprint, start_link};
use syncline::message::{
    Ack, ErrorMessage, Frame, Hello, Item, Mark, Message, Open, Opened, PlacedChange, Push, Reject, States, Void, Welcome, decode_frame,
    encode_frame,
};
use syncline::registry::{Class, Code, DURABILITY_STORED, MESSAGES, Profiles, Reset};
use syncline::rules::LWW;
use syncline::server::{self, ConnId, Server, ServerConfig};
use syncline::store::{MemoryStore, Transact};
use syncline::value::Value;

const NOW: Now = Now { wall_ms: 1_700_000_000_000, mono_ms: 1_000 };
const SPACE: &str = "home";
/// The channel of the space.
const CHANNEL: u16 = 1;
const CONN: ConnId = ConnId(1);
const HISTORY: History = History([7; 8]);
const OWN: Replica = Replica([1; 16]);
const OTHER: Replica = Replica([2; 16]);

/// The first change of a replica: one field of one record.
fn change() -> Change {
    let op = Op { field: "f".into(), rule: LWW, after: None, payload: Payload::Set(Value::Int(1)) };
    let row = Row { record: RecordName { collection: "c".into(), id: "r".into() }, life: 1, ops: vec![op] };
    let reading = Reading::new(NOW.wall_ms, 0).expect("the present is in range");
    Change { seq: 1, reading, rows: vec![row], origin: None, extra: Vec::new() }
}

fn hello() -> Message {
    Message::Hello(Hello { versions: vec![1], profiles: vec![0], limits: Vec::new(), token: None })
}

fn welcome() -> Message {
    Message::Welcome(Welcome { version: 1, profiles: vec![0], limits: Vec::new(), time_ms: NOW.wall_ms })
}

fn open(replica: Replica) -> Message {
    Message::Open(Open { space: SPACE.into(), replica, settled: 0, cursor: None, collections: None, known: None, names: None })
}

/// The answer to the first `open` of a replica in an empty space.
fn opened(replica: Replica) -> Message {
    let link = start_link(SPACE, replica);
    Message::Opened(Opened {
        position: 0,
        history: HISTORY,
        last_seq: 0,
        link,
        base_ms: NOW.wall_ms,
        reset: Reset::NO_CURSOR,
        rights: None,
    })
}

fn states(to: u64, items: Vec<Item>) -> Message {
    Message::States(States { last: true, to, history: HISTORY, items, replaced: Vec::new() })
}

fn error(code: Code) -> Message {
    Message::Error(ErrorMessage { code, class: code.class(), detail: Some(1), text: "told".into() })
}

/// One of each kind, in the order of the table in spec 7, and an error of each class. They name position 1, where the log of the tests is empty.
fn messages(replica: Replica) -> Vec<Message> {
    let pushed = Pushed::Change { change: change(), bytes: 0, value_bytes_max: 0 };
    let lives = Item::Plain(vec![Row { record: RecordName { collection: "c".into(), id: "gone".into() }, life: 2, ops: Vec::new() }]);
    let fingerprint = Fingerprint::default().wire();
    vec![
        hello(),
        welcome(),
        open(replica),
        opened(replica),
        Message::Shut,
        Message::Push(Push { author: None, items: vec![pushed] }),
        Message::Ack(Ack { seq: 1, position: 1, durability: DURABILITY_STORED, numbers: Vec::new() }),
        Message::Reject(Reject { seq: 1, position: 1, code: Code::DEPENDENCY, class: Class::Never, detail: None }),
        Message::Change(PlacedChange { position: 1, author: OTHER, change: change() }),
        Message::Void(Void { position: 1, author: OTHER, seq: 1, code: Code::CLOCK, link: None }),
        states(1, vec![lives]),
        Message::Mark(Mark { position: 0, history: HISTORY, fingerprint, backed_up: None, horizon: None }),
        Message::Ping(5),
        Message::Pong { number: 5, time_ms: NOW.wall_ms },
        error(Code::GAP),
        error(Code::FORBIDDEN),
        error(Code::REPLACED),
        error(Code::BUSY),
        error(Code::UNEXPECTED),
        Message::Bye { wait_ms: 5 },
    ]
}

/// The message's name in the registry; of an error also its code's.
fn kind(message: &Message) -> String {
    let name = MESSAGES.iter().find(|(code, _)| *code == message.code()).expect("the registry holds every message").1;
    match message {
        Message::Error(error) => format!("{name} {}", error.code.name()),
        _ => name.to_owned(),
    }
}

fn encoded(channel: u16, message: &Message) -> Vec<u8> {
    encode_frame(channel, std::slice::from_ref(message), NOW.wall_ms)
}

/// A frame that was sent: its channel and messages.
fn shown(bytes: &[u8]) -> String {
    let Frame { channel, messages } = decode_frame(bytes, Profiles::CORE, |_| NOW.wall_ms).expect("what is sent can be read");
    format!("{channel}:{messages:?}")
}

/// A line for every message on channel 0 and on the space's; `fed` gives what came out and the state after.
fn table(state: &str, messages: &[Message], mut fed: impl FnMut(&[u8]) -> (Vec<String>, String)) -> String {
    let mut lines = String::new();
    for message in messages {
        for channel in [0, CHANNEL] {
            let (out, after) = fed(&encoded(channel, message));
            let out = if out.is_empty() { "nothing".to_owned() } else { out.join(", ") };
            writeln!(lines, "{state} | {channel} {} | {out} | {after}", kind(message)).expect("a string takes all");
        }
    }
    lines
}

/// A server and the store under it.
#[derive(Default)]
struct ServerSide(MemoryStore);

impl ServerSide {
    /// Hands the input over, commits, and polls all that follows.
    fn feed(&mut self, server: &mut Server, input: server::Input) -> Vec<String> {
        server.handle(NOW, &mut self.0, input).expect("a store in memory holds");
        self.0.commit().expect("a store in memory holds");
        server.committed();
        let polled = std::iter::from_fn(|| server.poll(NOW, &self.0, CONN).expect("a store in memory holds"));
        let named = |output| match output {
            server::Output::Frame(bytes) => shown(&bytes),
            server::Output::Close => "Close".to_owned(),
        };
        polled.map(named).collect()
    }

    fn send(&mut self, server: &mut Server, channel: u16, message: &Message) -> Vec<String> {
        self.feed(server, server::Input::Frame(CONN, &encoded(channel, message)))
    }

    /// A server whose one connection is in the state.
    fn server(&mut self, state: &str) -> Server {
        let mut server = Server::new(ServerConfig::default(), Entropy::from_u64(1));
        self.feed(&mut server, server::Input::Connect(CONN));
        if state != "await-hello" {
            self.send(&mut server, 0, &hello());
        }
        match state {
            "streaming" => drop(self.send(&mut server, CHANNEL, &open(OWN))),
            "closing" => drop(self.feed(&mut server, server::Input::Drain { wait_ms: 5 })),
            _ => {}
        }
        server
    }

    /// The state of the connection and of the space's channel, from how they answer.
    fn state(&mut self, server: &mut Server) -> &'static str {
        match self.send(server, 0, &Message::Ping(9)).first() {
            None => "closing",
            Some(answer) if !answer.contains("Pong") => "await-hello",
            Some(_) => match self.send(server, CHANNEL, &Message::Shut).first() {
                None => "open, channel ended",
                Some(answer) if answer.contains("Shut") => "streaming",
                Some(_) => "open",
            },
        }
    }
}

/// A client with one change that waits for its verdict, and the store under it.
struct ClientSide {
    client: Client,
    store: MemoryStore,
}

impl ClientSide {
    fn new() -> Self {
        let mut store = MemoryStore::default();
        let config = ClientConfig {
            space: SPACE.into(),
            token: None,
            profiles: Profiles::CORE,
            credit_bytes: syncline::limits::CREDIT_BYTES as u64,
        };
        let mut client = Client::load(config, &mut store, Entropy::from_u64(2), NOW).expect("a store in memory holds");
        let fields = vec![("f".to_owned(), Some(Value::Int(2)))];
        let put = client::Write::Put { collection: "c".into(), id: "r".into(), fields };
        client.write(NOW, &mut store, &[put]).expect("the write is within all limits");
        while client.poll().is_some() {}
        Self { client, store }
    }

    /// Hands the input over, commits, and polls all that follows but wake-ups.
    fn feed(&mut self, input: client::Input) -> Vec<String> {
        self.client.handle(NOW, &mut self.store, input).expect("a store in memory holds");
        self.store.commit().expect("a store in memory holds");
        let named = |output| match output {
            client::Output::Send(bytes) => Some(shown(&bytes)),
            client::Output::Event(event) => Some(format!("{event:?}")),
            client::Output::WakeAt(_) => None,
            output => Some(format!("{output:?}")),
        };
        std::iter::from_fn(|| self.client.poll()).filter_map(named).collect()
    }

    fn send(&mut self, channel: u16, message: &Message) {
        self.feed(client::Input::Frame(&encoded(channel, message)));
    }

    fn state(&self) -> &'static str {
        self.client.status(&self.store).expect("a store in memory holds").state
    }

    fn replica(&self) -> Replica {
        self.client.status(&self.store).expect("a store in memory holds").replica
    }

    /// A client in the state, by the shortest way there.
    fn at(state: &str) -> Self {
        let mut side = Self::new();
        let replica = side.replica();
        let last = CLIENT_STATES.iter().position(|known| *known == state).expect("a state of the table");
        for step in &CLIENT_STATES[1..=last] {
            match *step {
                "connecting" => drop(side.feed(client::Input::Start)),
                "await-welcome" => drop(side.feed(client::Input::Connected)),
                "await-opened" => side.send(0, &welcome()),
                "streaming" => {
                    side.send(CHANNEL, &opened(replica));
                    side.send(CHANNEL, &states(0, Vec::new()));
                }
                _ => drop(side.feed(client::Input::HungUp)),
            }
        }
        assert_eq!(side.state(), state, "the way there");
        side
    }
}

/// In the order in which a client that never fails comes through them; the last comes after a hang-up.
const CLIENT_STATES: [&str; 6] = ["idle", "connecting", "await-welcome", "await-opened", "streaming", "waiting"];

#[test]
fn server_states_by_messages() {
    let mut lines = String::new();
    for state in ["await-hello", "open", "streaming", "closing"] {
        let mut side = ServerSide::default();
        let mut server = side.server(state);
        assert_eq!(side.state(&mut server), state, "the way there");
        lines += &table(state, &messages(OWN), |frame| {
            let mut side = ServerSide::default();
            let mut server = side.server(state);
            let out = side.feed(&mut server, server::Input::Frame(CONN, frame));
            (out, side.state(&mut server).to_owned())
        });
    }
    insta::assert_snapshot!("server", lines);
}

#[test]
fn client_states_by_messages() {
    let mut lines = String::new();
    for state in CLIENT_STATES {
        let replica = ClientSide::new().replica();
        lines += &table(state, &messages(replica), |frame| {
            let mut side = ClientSide::at(state);
            let out = side.feed(client::Input::Frame(frame));
            (out, side.state().to_owned())
        });
    }
    insta::assert_snapshot!("client", lines);
}
