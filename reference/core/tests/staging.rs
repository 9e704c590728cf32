//! A catch-up that is cut again and again comes to its end, and is sent once. (SYNC-16, SYNC-27, SYNC-28)

#[allow(dead_code, reason = "other tests use the rest of it")]
mod counted;

use counted::{Counted, NOW, Talk, change};
use proptest::collection::vec;
use proptest::prelude::*;
use syncline::client::{Client, ClientConfig, Input, Output, Status};
use syncline::clock::Now;
use syncline::entropy::Entropy;
use syncline::limits::CREDIT_BYTES;
use syncline::message::{Message, decode_frame};
use syncline::registry::Profiles;
use syncline::server::{self, ConnId, ServerConfig};
use syncline::store::{MemoryStore, Transact};

const WRITER: ConnId = ConnId(1);
const RECORDS: u64 = 300;

/// A client and its connection to the server, of which every frame can be the last.
struct Reader {
    client: Client,
    store: MemoryStore,
    now_ms: u64,
    conn: ConnId,
    /// Bytes of the parts that came.
    parts_bytes: u64,
    parts: u64,
}

impl Reader {
    fn new(credit_bytes: u64) -> Self {
        let mut store = MemoryStore::default();
        let client = Self::load(&mut store, credit_bytes);
        Self { client, store, now_ms: NOW.mono_ms, conn: ConnId(100), parts_bytes: 0, parts: 0 }
    }

    fn load(store: &mut MemoryStore, credit_bytes: u64) -> Client {
        let config = ClientConfig { space: "s".into(), token: None, profiles: Profiles::OFFERED.of_links(), credit_bytes };
        let client = Client::load(config, store, Entropy::from_u64(7), NOW).expect("a store in memory does not fail");
        store.commit().expect("a store in memory does not fail");
        client
    }

    fn now(&self) -> Now {
        Now { wall_ms: NOW.wall_ms + self.now_ms, mono_ms: self.now_ms }
    }

    fn tell(&mut self, talk: &mut Talk, input: Input) {
        self.client.handle(self.now(), &mut self.store, input).expect("a store in memory does not fail");
        self.store.commit().expect("a store in memory does not fail");
        while let Some(output) = self.client.poll() {
            match output {
                Output::Connect => {
                    self.conn = ConnId(self.conn.0 + 1);
                    talk.take(server::Input::Connect(self.conn));
                    self.tell(talk, Input::Connected);
                }
                Output::Send(frame) => {
                    talk.take(server::Input::Frame(self.conn, &frame));
                    talk.commit();
                }
                _ => {}
            }
        }
    }

    /// Connects, takes in so many frames, and is cut, or crashes too.
    fn connection(&mut self, talk: &mut Talk, frames: usize, crashes: bool, credit_bytes: u64) {
        self.now_ms += 120_000;
        talk.at(self.now_ms);
        self.tell(talk, Input::Start);
        self.tell(talk, Input::Tick);
        for _ in 0..frames {
            let Some(frame) = talk.bytes(self.conn) else { break };
            if let Ok(read) = decode_frame(&frame, Profiles::OFFERED, |_| 0)
                && read.messages.iter().any(|message| matches!(message, Message::States(_)))
            {
                self.parts += 1;
                self.parts_bytes += frame.len() as u64;
            }
            self.tell(talk, Input::Frame(&frame));
        }
        talk.take(server::Input::HungUp(self.conn));
        self.tell(talk, Input::HungUp);
        if crashes {
            self.store = self.store.durable();
            self.client = Self::load(&mut self.store, credit_bytes);
        }
    }

    fn status(&self) -> Status {
        self.client.status(&self.store).expect("a store in memory does not fail")
    }
}

fn full_server() -> Talk {
    let mut talk = Talk::with(Counted::default(), ServerConfig { part_bytes_max: 1_000, ..ServerConfig::default() });
    talk.open(WRITER, "s", 1, None);
    for first in (0..RECORDS).step_by(50) {
        talk.push_all(WRITER, (first + 1..=first + 50).map(|seq| change(&format!("r{seq}"), seq, NOW.wall_ms)).collect());
        talk.commit();
        talk.hear(WRITER);
    }
    talk
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Each connection brings one part at least. Whatever the cuts, crashes and credit, the parts are those of one
    /// catch-up without a cut, and so is what the client holds at the end.
    #[test]
    fn cuts_cost_no_part_twice(cuts in vec((3usize..9, any::<bool>()), 1..40), credit_bytes in prop_oneof![Just(CREDIT_BYTES as u64), 1u64..3_000]) {
        let mut whole = Reader::new(CREDIT_BYTES as u64);
        whole.connection(&mut full_server(), usize::MAX, false, CREDIT_BYTES as u64);
        prop_assert!(whole.parts > 9, "there is something to cut");
        let mut talk = full_server();
        let mut reader = Reader::new(credit_bytes);
        for (frames, crashes) in cuts {
            let before = reader.parts;
            let done = reader.status().cursor.is_some();
            reader.connection(&mut talk, frames, crashes, credit_bytes);
            prop_assert!(done || reader.parts > before, "each connection brings a part");
            let shown = reader.client.records(&reader.store, None).expect("a store in memory does not fail").len() as u64;
            prop_assert!(shown == 0 || shown == RECORDS, "SYNC-13: {shown} show");
        }
        reader.connection(&mut talk, usize::MAX, false, credit_bytes);
        // A cut between the last part and the mark brings one empty catch-up at most.
        prop_assert_eq!(reader.status().fingerprint, whole.status().fingerprint);
        prop_assert_eq!(reader.status().cursor.map(|cursor| cursor.position), Some(RECORDS));
        prop_assert_eq!((reader.parts, reader.parts_bytes), (whole.parts, whole.parts_bytes));
    }
}
