//! Presence under load, and in any order of events. (PRES-6 to PRES-10)

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use syncline::clock::{Now, Replica};
use syncline::entropy::Entropy;
use syncline::limits::{CHANNELS_MAX, PRESENCE_AUTHORS_MAX, PRESENCE_TTL_MAX_MS};
use syncline::message::{Hello, Message, Open, Presence, decode_frame, encode_frame};
use syncline::registry::Profiles;
use syncline::server::{ConnId, Input, Output, Server, ServerConfig};
use syncline::store::{MemoryStore, Transact};

/// A server, and what each connection's presences add up to.
struct Talk {
    server: Server,
    store: MemoryStore,
    now_ms: u64,
    shown: BTreeMap<ConnId, BTreeMap<Replica, Vec<u8>>>,
    /// Presences that came, in all.
    came: usize,
}

impl Talk {
    fn new() -> Self {
        let server = Server::new(ServerConfig::default(), Entropy::from_u64(1));
        Self { server, store: MemoryStore::default(), now_ms: 1_000, shown: BTreeMap::new(), came: 0 }
    }

    fn now(&self) -> Now {
        Now { wall_ms: 1_700_000_000_000 + self.now_ms, mono_ms: self.now_ms }
    }

    fn input(&mut self, input: Input) {
        self.server.handle(self.now(), &mut self.store, input).expect("a store in memory does not fail");
        self.store.commit().expect("a store in memory does not fail");
        self.server.committed();
    }

    fn connect(&mut self, conn: ConnId) {
        self.input(Input::Connect(conn));
        let hello = Hello { versions: vec![1], profiles: Profiles::PRESENCE.codes(), limits: Vec::new(), token: None };
        self.say(conn, 0, Message::Hello(hello));
    }

    fn open(&mut self, conn: ConnId, channel: u16, replica: Replica) {
        let open = Open { space: "home".into(), replica, settled: 0, cursor: None, collections: None, known: None, names: None };
        self.say(conn, channel, Message::Open(open));
    }

    fn say(&mut self, conn: ConnId, channel: u16, message: Message) {
        let frame = encode_frame(channel, &[message], 0);
        self.input(Input::Frame(conn, &frame));
    }

    fn present(&mut self, conn: ConnId, channel: u16, replica: Replica, counter: u64, payload: Option<u8>) {
        let ttl_ms = if payload.is_some() { PRESENCE_TTL_MAX_MS } else { 0 };
        let presence = Presence { replica, counter, ttl_ms, payload: payload.map(|byte| vec![byte]) };
        self.say(conn, channel, Message::Presence(presence));
    }

    /// Takes all that waits for a connection; the presences of its last channel count.
    fn read(&mut self, conn: ConnId) {
        let now = self.now();
        while let Some(output) = self.server.poll(now, &self.store, conn).expect("a store in memory does not fail") {
            let Output::Frame(frame) = output else { continue };
            let frame = decode_frame(&frame, Profiles::OFFERED, |_| 0).expect("a server's frames decode");
            for message in frame.messages {
                let Message::Presence(presence) = message else { continue };
                self.came += 1;
                let shown = self.shown.entry(conn).or_default();
                match presence.payload {
                    Some(payload) => drop(shown.insert(presence.replica, payload)),
                    None => drop(shown.remove(&presence.replica)),
                }
            }
        }
    }
}

fn replica(number: usize) -> Replica {
    Replica(std::array::from_fn(|i| number.to_be_bytes().get(i).copied().unwrap_or(9)))
}

#[test]
fn what_was_not_read_is_replaced_and_not_queued() {
    let mut talk = Talk::new();
    let (author, reader) = (ConnId(1), ConnId(2));
    for (conn, number) in [(author, 1), (reader, 2)] {
        talk.connect(conn);
        talk.open(conn, 1, replica(number));
        talk.read(conn);
    }
    for counter in 1..=10_000 {
        talk.present(author, 1, replica(1), counter, Some(counter as u8));
    }
    talk.read(reader);
    assert_eq!(talk.came, 1, "PRES-7: only what is latest is sent");
    assert_eq!(talk.shown[&reader][&replica(1)], [10_000u64 as u8]);
}

#[test]
fn a_space_holds_the_presence_of_so_many_authors_and_no_more() {
    let mut talk = Talk::new();
    let place = |number: usize| (ConnId((number / CHANNELS_MAX) as u64), (number % CHANNELS_MAX + 1) as u16);
    for number in 0..=PRESENCE_AUTHORS_MAX {
        let (conn, channel) = place(number);
        if channel == 1 {
            talk.connect(conn);
        }
        talk.open(conn, channel, replica(number));
    }
    for number in 0..PRESENCE_AUTHORS_MAX {
        let (conn, channel) = place(number);
        talk.present(conn, channel, replica(number), 1, Some(1));
    }
    let (conn, channel) = place(PRESENCE_AUTHORS_MAX);
    talk.read(conn);
    assert_eq!(talk.shown[&conn].len(), PRESENCE_AUTHORS_MAX);
    talk.shown.entry(conn).or_default().insert(replica(PRESENCE_AUTHORS_MAX), vec![0]);
    for counter in 1..=10 {
        talk.present(conn, channel, replica(PRESENCE_AUTHORS_MAX), counter, Some(1));
    }
    talk.came = 0;
    talk.read(conn);
    assert_eq!(talk.came, 10, "PRES-10: each is answered");
    assert_eq!(talk.shown[&conn].len(), PRESENCE_AUTHORS_MAX, "PRES-10: by its author being gone");
    // A place that becomes free can be taken.
    talk.present(ConnId(0), 1, replica(0), 2, None);
    talk.present(conn, channel, replica(PRESENCE_AUTHORS_MAX), 11, Some(1));
    talk.came = 0;
    talk.read(conn);
    assert_eq!(talk.came, 1, "who left, and nothing of itself");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever is said, read, cut and waited for: in the end everyone has been shown who is there. (PRES-6, PRES-8, PRES-9)
    #[test]
    fn everyone_is_shown_who_is_there(steps in vec((0u8..8, 0usize..4, any::<u8>()), 0..60)) {
        let mut talk = Talk::new();
        let (mut live, mut counter) = (BTreeMap::new(), 0);
        let conn = |number: usize| ConnId(number as u64);
        for number in 0..4 {
            talk.connect(conn(number));
            talk.open(conn(number), 1, replica(number));
        }
        for (step, number, byte) in steps {
            counter += 1;
            match step {
                0..3 => {
                    talk.present(conn(number), 1, replica(number), counter, Some(byte % 3));
                    live.insert(replica(number), (vec![byte % 3], talk.now_ms + PRESENCE_TTL_MAX_MS));
                }
                3 => {
                    talk.present(conn(number), 1, replica(number), counter, None);
                    live.remove(&replica(number));
                }
                4 => {
                    talk.say(conn(number), 1, Message::Shut);
                    talk.read(conn(number));
                    talk.shown.remove(&conn(number));
                    live.remove(&replica(number));
                    talk.open(conn(number), 1, replica(number));
                }
                5 => {
                    talk.now_ms += u64::from(byte) * 150;
                    live.retain(|_, (_, end_ms)| *end_ms > talk.now_ms);
                    talk.input(Input::Tick);
                    for number in 0..4 {
                        talk.say(conn(number), 0, Message::Ping(1));
                    }
                }
                _ => talk.read(conn(number)),
            }
        }
        for number in 0..4 {
            talk.read(conn(number));
            let others: BTreeMap<_, _> =
                live.iter().filter(|(author, _)| **author != replica(number)).map(|(author, (payload, _))| (*author, payload.clone())).collect();
            prop_assert_eq!(talk.shown.remove(&conn(number)).unwrap_or_default(), others);
        }
    }
}
