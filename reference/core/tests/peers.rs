//! Peer links of a client, where no scenario reaches. (PEER-2, PEER-11, PEER-21, PEER-23)

use syncline::change::{Change, Pushed, RecordName, Row};
use syncline::client::{Client, ClientConfig, Event, Input, Output};
use syncline::clock::{History, Now, Reading, Replica};
use syncline::entropy::Entropy;
use syncline::hash::start_link;
use syncline::limits;
use syncline::message::{Hello, Message, Open, Push, Relayed, States, decode_frame, encode_frame};
use syncline::peer::LinkId;
use syncline::registry::{Code, Profiles};
use syncline::store::{MemoryStore, Transact};

struct Peer {
    client: Client,
    store: MemoryStore,
}

const NOW: Now = Now { wall_ms: 1_750_000_000_000, mono_ms: 1 };

impl Peer {
    fn new(seed: u64) -> Self {
        let mut store = MemoryStore::default();
        let profiles = Profiles::PEER;
        let config = ClientConfig { space: "home".into(), token: None, profiles, credit_bytes: limits::CREDIT_BYTES as u64 };
        let client = Client::load(config, &mut store, Entropy::from_u64(seed), NOW).expect("memory does not fail");
        Self { client, store }
    }

    fn tell(&mut self, input: Input) -> Vec<Output> {
        self.client.handle(NOW, &mut self.store, input).expect("memory does not fail");
        self.store.commit().expect("memory does not fail");
        std::iter::from_fn(|| self.client.poll()).collect()
    }
}

/// The code of the error that a listening client with this token answers a `hello` with another with.
fn answer(wanted: Option<&str>, shown: Option<&str>) -> Option<Code> {
    let mut peer = Peer::new(1);
    peer.client.set_link_token(wanted.map(str::to_owned));
    peer.tell(Input::Linked(LinkId(1), false));
    let hello = Hello { versions: vec![1], profiles: vec![0, 1, 6], limits: Vec::new(), token: shown.map(str::to_owned) };
    let frame = encode_frame(0, &[Message::Hello(hello)], 0);
    let sent = peer.tell(Input::LinkFrame(LinkId(1), &frame)).into_iter().find_map(|output| match output {
        Output::LinkSend(_, frame) => Some(frame),
        _ => None,
    });
    let frame = decode_frame(&sent.expect("an answer"), Profiles::PEER, |_| 0).expect("a frame");
    match &frame.messages[0] {
        Message::Error(error) => Some(error.code),
        _ => None,
    }
}

#[test]
fn a_link_token_opens_and_its_absence_does_not() {
    assert_eq!(answer(Some("open sesame"), Some("open sesame")), None);
    assert_eq!(answer(None, Some("open sesame")), None);
    assert_eq!(answer(Some("open sesame"), None), Some(Code::UNAUTHORIZED));
    assert_eq!(answer(Some("open sesame"), Some("open says me")), Some(Code::UNAUTHORIZED));
}

#[test]
fn links_are_bounded() {
    let mut peer = Peer::new(2);
    for id in 1..=limits::LINKS_MAX as u64 {
        assert!(!peer.tell(Input::Linked(LinkId(id), true)).contains(&Output::Unlink(LinkId(id))));
    }
    let over = LinkId(limits::LINKS_MAX as u64 + 1);
    assert!(peer.tell(Input::Linked(over, true)).contains(&Output::Unlink(over)));
}

#[test]
fn who_has_a_part_of_the_space_does_not_link() {
    let mut peer = Peer::new(4);
    peer.client.subscribe(NOW, &mut peer.store, Some(&["todos".to_owned()])).expect("it can be asked for");
    assert!(peer.tell(Input::Linked(LinkId(1), true)).contains(&Output::Unlink(LinkId(1))));
}

/// What another pushes on the link 1: the change of this seq, behind those before it.
fn pushed(author: Replica, seq: u64) -> Vec<u8> {
    let change = |seq| {
        let record = RecordName { collection: "todos".into(), id: format!("t{seq}") };
        let rows = vec![Row { record, life: 1, ops: Vec::new() }];
        Change { seq, reading: Reading::new(NOW.wall_ms, 0).expect("a time"), rows, origin: None, extra: Vec::new() }
    };
    let before = (1..seq).fold(start_link("home", author), |link, seq| link.next(change(seq).hash()));
    let item = Pushed::Change { change: change(seq), bytes: 0, value_bytes_max: 0 };
    encode_frame(1, &[Message::Push(Push { author: Some(Relayed { replica: author, before }), items: vec![item] })], NOW.wall_ms)
}

#[test]
fn what_is_held_of_others_is_bounded() {
    let mut peer = Peer::new(5);
    peer.client.hold_at_most(2);
    peer.tell(Input::Linked(LinkId(1), false));
    let author = Replica([7; 16]);
    let hello = Hello { versions: vec![1], profiles: vec![0, 1, 6], limits: Vec::new(), token: None };
    let open = Open { space: "home".into(), replica: author, settled: 0, cursor: None, collections: None, known: None, names: None };
    let report = States { last: true, to: 0, history: History([0; 8]), items: Vec::new(), replaced: Vec::new() };
    peer.tell(Input::LinkFrame(LinkId(1), &encode_frame(0, &[Message::Hello(hello)], 0)));
    peer.tell(Input::LinkFrame(LinkId(1), &encode_frame(1, &[Message::Open(open), Message::States(report)], 0)));
    let held = |peer: &Peer| peer.client.status(&peer.store).expect("memory does not fail").held;
    for (seq, expected) in [(1, 1), (2, 2), (3, 2), (3, 2)] {
        peer.tell(Input::LinkFrame(LinkId(1), &pushed(author, seq)));
        assert_eq!(held(&peer), expected, "PEER-11: after change {seq}");
    }
    // What was left is taken when it comes again and there is room.
    peer.client.hold_at_most(3);
    peer.tell(Input::LinkFrame(LinkId(1), &pushed(author, 3)));
    assert_eq!(held(&peer), 3);
}

#[test]
fn what_is_no_frame_ends_the_link_and_nothing_else() {
    let mut peer = Peer::new(3);
    peer.tell(Input::Linked(LinkId(1), false));
    peer.tell(Input::Linked(LinkId(2), true));
    let outputs = peer.tell(Input::LinkFrame(LinkId(1), &[0xff, 0x00]));
    assert!(outputs.contains(&Output::Unlink(LinkId(1))) && !outputs.contains(&Output::Unlink(LinkId(2))));
    assert!(!outputs.iter().any(|output| matches!(output, Output::Event(Event::Forked { .. }))));
}
