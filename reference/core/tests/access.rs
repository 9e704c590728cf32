//! What a token opens, and how many replicas a space binds. (SEC-4, SEC-5, LIMIT-9)

use std::collections::BTreeMap;

use syncline::clock::{Now, Replica};
use syncline::entropy::Entropy;
use syncline::limits::SPACE_REPLICAS_MAX;
use syncline::message::{Hello, Message, Open, decode_frame, encode_frame};
use syncline::registry::Code;
use syncline::registry::Profiles;
use syncline::server::{Access, ConnId, Grant, Input, Output, Right, Server, ServerConfig, Tokens};
use syncline::store::{MemoryStore, Transact};

const NOW: Now = Now { wall_ms: 1_700_000_000_000, mono_ms: 1_000 };

/// A server with one connection, welcomed.
struct Talk {
    server: Server,
    store: MemoryStore,
}

impl Talk {
    fn new(tokens: &[(&str, &[&str])]) -> Self {
        let rights = |spaces: &[&str]| spaces.iter().map(|space| (space.to_string(), Right::Write)).collect();
        let grant = |spaces: &[&str]| Grant { rights: rights(spaces), ..Grant::full("s") };
        let granted: BTreeMap<String, Grant> = tokens.iter().map(|(token, spaces)| (token.to_string(), grant(spaces))).collect();
        let access = if granted.is_empty() { Access::default() } else { Access::new(Tokens(granted)) };
        let config = ServerConfig { access, ..ServerConfig::default() };
        Self { server: Server::new(config, Entropy::from_u64(1)), store: MemoryStore::default() }
    }

    fn connect(&mut self, conn: ConnId, token: Option<&str>) {
        self.input(Input::Connect(conn));
        let token = token.map(str::to_owned);
        self.say(conn, 0, Message::Hello(Hello { versions: vec![1], profiles: vec![0], limits: Vec::new(), token }));
    }

    fn open(&mut self, conn: ConnId, channel: u16, space: &str, replica: [u8; 16]) -> Vec<Message> {
        self.say(
            conn,
            channel,
            Message::Open(Open {
                space: space.into(),
                replica: Replica(replica),
                settled: 0,
                cursor: None,
                collections: None,
                known: None,
                names: None,
            }),
        )
    }

    /// Sends one message and returns all that comes back on its channel.
    fn say(&mut self, conn: ConnId, channel: u16, message: Message) -> Vec<Message> {
        self.input(Input::Frame(conn, &encode_frame(channel, &[message], 0)));
        let mut heard = Vec::new();
        while let Some(output) = self.server.poll(NOW, &self.store, conn).expect("a store in memory does not fail") {
            let Output::Frame(frame) = output else { continue };
            let frame = decode_frame(&frame, Profiles::CORE, |_| 0).expect("a server's frames decode");
            assert_eq!(frame.channel, channel, "nothing is said elsewhere");
            heard.extend(frame.messages);
        }
        heard
    }

    fn input(&mut self, input: Input) {
        self.server.handle(NOW, &mut self.store, input).expect("a store in memory does not fail");
        self.store.commit().expect("a store in memory does not fail");
        self.server.committed();
        self.server.take_ready();
    }
}

fn only_error(heard: &[Message]) -> Option<(Code, Option<u64>)> {
    match heard {
        [Message::Error(error)] => Some((error.code, error.detail)),
        _ => None,
    }
}

#[test]
fn a_space_without_a_right_is_forbidden_and_silent_there_or_not() {
    let mut talk = Talk::new(&[("alice", &["hers"]), ("bob", &["his"])]);
    talk.connect(ConnId(1), Some("alice"));
    talk.connect(ConnId(2), Some("bob"));
    let opened = talk.open(ConnId(1), 1, "hers", [1; 16]);
    assert!(matches!(opened[0], Message::Opened(_)), "{opened:?}");
    for (channel, space) in [(1, "hers"), (2, "nobodys")] {
        let heard = talk.open(ConnId(2), channel, space, [2; 16]);
        assert_eq!(only_error(&heard), Some((Code::FORBIDDEN, None)), "SEC-4, SEC-5: {heard:?}");
    }
}

#[test]
fn a_space_binds_no_more_replicas_than_its_limit() {
    let mut talk = Talk::new(&[]);
    talk.connect(ConnId(1), None);
    let replica = |number: usize| std::array::from_fn(|i| number.to_be_bytes().get(i).copied().unwrap_or(9));
    for number in 0..SPACE_REPLICAS_MAX {
        let opened = talk.open(ConnId(1), 1, "home", replica(number));
        assert!(matches!(opened[0], Message::Opened(_)), "{opened:?}");
        talk.say(ConnId(1), 1, Message::Shut);
    }
    let heard = talk.open(ConnId(1), 1, "home", replica(SPACE_REPLICAS_MAX));
    assert_eq!(only_error(&heard), Some((Code::TOO_MANY_REPLICAS, Some(SPACE_REPLICAS_MAX as u64))), "LIMIT-9: {heard:?}");
    assert!(matches!(talk.open(ConnId(1), 2, "home", replica(0))[0], Message::Opened(_)), "one that is bound still opens");
}
