//! Nothing of a space reaches a connection without the right to it, whatever happens to rights meanwhile. (SEC-4, ACCESS-2 to ACCESS-7)

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use syncline::change::{Change, Op, Payload, Pushed, RecordName, Row};
use syncline::clock::{Now, Reading, Replica};
use syncline::entropy::Entropy;
use syncline::message::{Hello, Message, Open, Presence, Push, Signal, decode_frame, encode_frame};
use syncline::registry::Profiles;
use syncline::rules::LWW;
use syncline::server::{Access, ConnId, Grant, Input, Output, Revoked, Right, Rights, Server, ServerConfig, Tokens};
use syncline::store::{MemoryStore, Transact};
use syncline::value::Value;

const SPACES: [&str; 2] = ["hers", "his"];
const SUBJECTS: [&str; 3] = ["ann", "bob", "eve"];
const START_MS: u64 = 1_700_000_000_000;

/// What happens next; numbers choose a subject and a space.
#[derive(Debug, Clone)]
enum Step {
    Grant(usize, usize, Right),
    Revoke(usize, bool),
    RevokeDevice(usize, bool),
    Ends(usize, u64),
    Open(usize, usize),
    Push(usize, usize),
    Present(usize, usize),
    Signal(usize, usize, usize),
    Renew(usize),
    Purge(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (subject, space) = (0..SUBJECTS.len(), 0..SPACES.len());
    let right = prop_oneof![Just(Right::None), Just(Right::Read), Just(Right::Write)];
    let both = (subject.clone(), space.clone());
    prop_oneof![
        3 => (subject.clone(), space.clone(), right).prop_map(|(a, b, right)| Step::Grant(a, b, right)),
        1 => (subject.clone(), any::<bool>()).prop_map(|(a, on)| Step::Revoke(a, on)),
        1 => (subject.clone(), any::<bool>()).prop_map(|(a, on)| Step::RevokeDevice(a, on)),
        1 => (subject.clone(), 0..20_000u64).prop_map(|(a, ms)| Step::Ends(a, ms)),
        5 => both.clone().prop_map(|(a, b)| Step::Open(a, b)),
        5 => both.clone().prop_map(|(a, b)| Step::Push(a, b)),
        2 => both.clone().prop_map(|(a, b)| Step::Present(a, b)),
        2 => (both, subject.clone()).prop_map(|((a, b), to)| Step::Signal(a, b, to)),
        1 => subject.prop_map(Step::Renew),
        1 => space.prop_map(Step::Purge),
        2 => (1..10_000u64).prop_map(Step::Pass),
    ]
}

/// A server, and one connection for each subject at a time. All that a subject may not have carries its space's mark.
struct World {
    server: Server,
    store: MemoryStore,
    now_ms: u64,
    rights: BTreeMap<(usize, usize), Right>,
    ends: BTreeMap<usize, u64>,
    revoked: Revoked,
    conns: BTreeMap<usize, ConnId>,
    pushed: BTreeMap<(usize, usize), u64>,
    counter: u64,
    /// Frames that held a mark and were allowed to.
    shown: u64,
}

impl World {
    fn new() -> Self {
        let config = ServerConfig { tail_changes_max: 2, part_bytes_max: 256, ..ServerConfig::default() };
        let mut world = Self {
            server: Server::new(config, Entropy::from_u64(1)),
            store: MemoryStore::default(),
            now_ms: 0,
            rights: BTreeMap::new(),
            ends: BTreeMap::new(),
            revoked: Revoked::default(),
            conns: BTreeMap::new(),
            pushed: BTreeMap::new(),
            counter: 0,
            shown: 0,
        };
        world.set_access();
        world
    }

    fn now(&self) -> Now {
        Now { wall_ms: START_MS + self.now_ms, mono_ms: self.now_ms }
    }

    /// What the subject may do now, by this test's own reckoning.
    fn may(&self, subject: usize, space: usize) -> Right {
        let over = self.ends.get(&subject).is_some_and(|end| *end <= self.now_ms);
        let out = over || self.revoked.subjects.contains(SUBJECTS[subject]) || self.revoked.replicas.contains(&replica(subject, space));
        if out { Right::None } else { self.rights.get(&(subject, space)).copied().unwrap_or(Right::None) }
    }

    fn set_access(&mut self) {
        let rights = |subject: usize| -> Rights {
            (0..SPACES.len())
                .map(|space| (SPACES[space].to_owned(), self.rights.get(&(subject, space)).copied().unwrap_or(Right::None)))
                .collect()
        };
        let grant = |subject: usize| Grant {
            rights: rights(subject),
            expires_ms: self.ends.get(&subject).map(|end| START_MS + end),
            ..Grant::full(SUBJECTS[subject])
        };
        let tokens = (0..SUBJECTS.len()).map(|subject| (SUBJECTS[subject].to_owned(), grant(subject))).collect();
        let access = Access { revoked: self.revoked.clone(), ..Access::new(Tokens(tokens)) };
        self.server.set_access(access);
        self.input(Input::Recheck);
    }

    fn input(&mut self, input: Input) {
        let now = self.now();
        self.server.handle(now, &mut self.store, input).expect("memory does not fail");
        self.settle();
    }

    fn settle(&mut self) {
        self.store.commit().expect("memory does not fail");
        self.server.committed();
        self.server.take_ready();
        for (subject, id) in self.conns.clone() {
            while let Some(output) = self.server.poll(self.now(), &self.store, id).expect("memory does not fail") {
                match output {
                    Output::Frame(frame) => self.look(subject, &frame),
                    Output::Close => {
                        self.conns.remove(&subject);
                        self.server.handle(self.now(), &mut self.store, Input::HungUp(id)).expect("memory does not fail");
                    }
                }
            }
        }
    }

    fn look(&mut self, subject: usize, frame: &[u8]) {
        for (space, name) in SPACES.iter().enumerate() {
            let mark = mark(space);
            if frame.windows(mark.len()).any(|bytes| bytes == mark.as_bytes()) {
                assert!(self.may(subject, space) > Right::None, "SEC-4: {} was sent something of {name}", SUBJECTS[subject]);
                self.shown += 1;
            }
        }
        decode_frame(frame, profiles(), |_| START_MS).expect("a server's frames decode");
    }

    fn say(&mut self, subject: usize, channel: u16, message: Message) {
        let id = *self.conns.entry(subject).or_insert_with(|| {
            self.counter += 1;
            ConnId(self.counter)
        });
        self.input(Input::Frame(id, &encode_frame(channel, &[message], START_MS)));
    }

    fn connect(&mut self, subject: usize) {
        if self.conns.contains_key(&subject) {
            return;
        }
        self.counter += 1;
        let id = ConnId(self.counter);
        self.conns.insert(subject, id);
        self.input(Input::Connect(id));
        let token = Some(SUBJECTS[subject].to_owned());
        self.say(subject, 0, Message::Hello(Hello { versions: vec![1], profiles: profiles().codes(), limits: Vec::new(), token }));
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Grant(subject, space, right) => {
                self.rights.insert((subject, space), right);
                self.set_access();
            }
            Step::Revoke(subject, on) => {
                self.revoked.subjects.retain(|name| name != SUBJECTS[subject]);
                self.revoked.subjects.extend(on.then(|| SUBJECTS[subject].to_owned()));
                self.set_access();
            }
            Step::RevokeDevice(subject, on) => {
                for space in 0..SPACES.len() {
                    self.revoked.replicas.remove(&replica(subject, space));
                    self.revoked.replicas.extend(on.then(|| replica(subject, space)));
                }
                self.set_access();
            }
            Step::Ends(subject, ms) => {
                self.ends.insert(subject, self.now_ms + ms);
                self.set_access();
            }
            Step::Open(subject, space) => {
                self.connect(subject);
                let (space, replica) = (SPACES[space].to_owned(), replica(subject, space));
                let open = Open { space, replica, settled: 0, cursor: None, collections: None, known: None, names: None };
                self.say(subject, channel(&open.space), Message::Open(open));
            }
            Step::Push(subject, space) => self.push(subject, space),
            Step::Present(subject, space) => {
                self.counter += 1;
                let payload = Some(mark(space).into_bytes());
                let presence = Presence { replica: replica(subject, space), counter: self.counter, ttl_ms: 10_000, payload };
                self.say_on(subject, space, Message::Presence(presence));
            }
            Step::Signal(subject, space, to) => {
                let signal = Signal { replica: replica(to, space), payload: mark(space).into_bytes() };
                self.say_on(subject, space, Message::Signal(signal));
            }
            Step::Renew(subject) => {
                if self.conns.contains_key(&subject) {
                    self.say(subject, 0, Message::Auth { token: SUBJECTS[subject].to_owned() });
                }
            }
            Step::Purge(space) => {
                let record = RecordName { collection: "c".into(), id: mark(space) };
                let now = self.now();
                self.server.purge(now, &mut self.store, SPACES[space], &record).expect("memory does not fail");
                self.settle();
            }
            Step::Pass(ms) => {
                self.now_ms += ms;
                self.input(Input::Tick);
            }
        }
    }

    fn say_on(&mut self, subject: usize, space: usize, message: Message) {
        if self.conns.contains_key(&subject) {
            self.say(subject, channel(SPACES[space]), message);
        }
    }

    /// Pushes what may be the next change, or a gap: the server says.
    fn push(&mut self, subject: usize, space: usize) {
        let seq = self.pushed.get(&(subject, space)).copied().unwrap_or(0) + 1;
        let before = syncline::server::accepted(&self.store, SPACES[space]).expect("the store is whole").len();
        let op = Op { field: "f".into(), rule: LWW, after: None, payload: Payload::Set(Value::Text(mark(space))) };
        let row = Row { record: RecordName { collection: "c".into(), id: mark(space) }, life: 1, ops: vec![op] };
        let reading = Reading::new(START_MS + self.now_ms, 0).expect("a time of today");
        let change = Change { seq, reading, rows: vec![row], origin: None, extra: Vec::new() };
        self.say_on(
            subject,
            space,
            Message::Push(Push { author: None, items: vec![Pushed::Change { change, bytes: 0, value_bytes_max: 0 }] }),
        );
        let after = syncline::server::accepted(&self.store, SPACES[space]).expect("the store is whole").len();
        if after > before {
            assert_eq!(self.may(subject, space), Right::Write, "ACCESS-1, ACCESS-2: {} wrote to {}", SUBJECTS[subject], SPACES[space]);
            self.pushed.insert((subject, space), seq);
        }
    }
}

fn profiles() -> Profiles {
    Profiles::ACCESS.and(Profiles::PRESENCE).and(Profiles::SIGNAL)
}

fn mark(space: usize) -> String {
    format!("mark-of-{}", SPACES[space])
}

fn channel(space: &str) -> u16 {
    if space == SPACES[0] { 1 } else { 2 }
}

fn replica(subject: usize, space: usize) -> Replica {
    Replica([(subject * 16 + space + 1) as u8; 16])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn nothing_of_a_space_reaches_who_has_no_right_to_it(steps in vec(step(), 1..60)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
    }
}

#[test]
fn the_marks_are_seen_by_who_has_the_right() {
    let mut world = World::new();
    world.take(Step::Grant(0, 0, Right::Write));
    world.take(Step::Grant(1, 0, Right::Read));
    for step in [Step::Open(0, 0), Step::Open(1, 0), Step::Push(0, 0), Step::Present(0, 0), Step::Signal(0, 0, 1)] {
        world.take(step);
    }
    assert_eq!(world.shown, 3, "a change, a presence and a signal");
    world.take(Step::Grant(1, 0, Right::None));
    world.take(Step::Push(0, 0));
    assert_eq!(world.shown, 3);
}
