//! The machine of one link: what may come when, and what the other side was heard to hold. Spec 21.

use crate::fault;
use std::collections::BTreeMap;

use super::held::Place;
use crate::change::Cursor;
use crate::clock::{Now, Replica};
use crate::limits;
use crate::message::{ErrorMessage, Hello, Item, Message, Open, Opened, Push, Signal, States, Welcome};
use crate::registry::{Code, Profiles, Reset};
use crate::server::VERSION;

/// The one channel of a link.
pub const CHANNEL: u16 = 1;

/// What a client says of itself on a link.
#[derive(Debug, Clone)]
pub struct Own {
    pub space: String,
    pub replica: Replica,
    pub settled: u64,
    pub cursor: Option<Cursor>,
    pub profiles: Profiles,
    pub token: Option<String>,
}

/// A link to another client.
#[derive(Debug)]
pub struct Link {
    phase: Phase,
    /// The profiles agreed.
    pub agreed: Profiles,
    /// What stamps on the channel are relative to.
    pub base_ms: u64,
    heard_ms: u64,
    sent_ms: u64,
    pings: u64,
    /// What the other side was heard to hold.
    pub theirs: Theirs,
    /// The cursor that the other side was told last.
    pub told: Option<Cursor>,
    /// When base may be given, or the cursor told, again.
    pub next_base_ms: u64,
    /// Up to where the order of push was gone through for the other side.
    pub sent: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    AwaitHello { until_ms: u64 },
    AwaitWelcome { until_ms: u64 },
    AwaitOpen { until_ms: u64 },
    AwaitOpened { until_ms: u64 },
    Joined,
}

/// What the other side was heard to hold.
#[derive(Debug, Default)]
pub struct Theirs {
    pub cursor: Option<Cursor>,
    /// The last change of each author that it holds or was sent, and the link there.
    pub known: BTreeMap<Replica, (u64, crate::hash::Link)>,
    /// Authors of whom it holds another chain, and the head it was told of when that was last seen. (PEER-12)
    pub contested: BTreeMap<Replica, (u64, crate::hash::Link)>,
    /// The parts of an incomplete report.
    parts: Vec<Item>,
    /// Whether its first report is complete.
    pub ready: bool,
}

/// What a message leads to.
#[derive(Debug)]
pub enum Step {
    /// Nothing more.
    None,
    /// These go back, each on its channel.
    Reply(Vec<(u16, Message)>),
    /// The link is joined: these go back, and then the own report.
    Joined(Vec<(u16, Message)>),
    /// A report is complete.
    Report(States),
    /// Changes are offered.
    Push(Push),
    /// The own id is another's too, and this side takes a fresh one.
    Replaced,
    /// The other side ends the link.
    Ended(Option<ErrorMessage>),
}

/// Why a link is ended from this side.
#[derive(Debug)]
pub struct Fault {
    pub channel: u16,
    pub code: Code,
    pub detail: Option<u64>,
    pub text: &'static str,
}

fn fault<T>(channel: u16, code: Code, detail: Option<u64>, text: &'static str) -> Result<T, Fault> {
    Err(Fault { channel, code, detail, text })
}

impl Link {
    /// A link whose bytes can flow, and what goes out first.
    pub fn new(now: Now, own: &Own, dials: bool) -> (Self, Vec<(u16, Message)>) {
        let until_ms = now.mono_ms + limits::HELLO_TIMEOUT_MS;
        let phase = if dials { Phase::AwaitWelcome { until_ms } } else { Phase::AwaitHello { until_ms } };
        let link = Self {
            phase,
            agreed: Profiles::CORE,
            base_ms: 0,
            heard_ms: now.mono_ms,
            sent_ms: now.mono_ms,
            pings: 0,
            theirs: Theirs::default(),
            told: None,
            next_base_ms: 0,
            sent: (0, 0),
        };
        let hello = Hello { versions: vec![VERSION], profiles: own.profiles.codes(), limits: Vec::new(), token: own.token.clone() };
        (link, if dials { vec![(0, Message::Hello(hello))] } else { Vec::new() })
    }

    /// Whether both sides have said what they hold.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Joined && self.theirs.ready
    }

    /// Something was sent.
    pub fn note_sent(&mut self, now: Now) {
        self.sent_ms = now.mono_ms;
    }

    /// Takes a message: the table of spec 21.
    pub fn take(&mut self, now: Now, own: &Own, channel: u16, message: Message) -> Result<Step, Fault> {
        self.heard_ms = now.mono_ms;
        let code = message.code();
        match (self.phase, channel, message) {
            (Phase::AwaitHello { until_ms }, 0, Message::Hello(hello)) => self.hello(now, until_ms, own, &hello),
            (Phase::AwaitWelcome { until_ms }, 0, Message::Welcome(welcome)) => self.welcome(until_ms, own, &welcome),
            (_, 0, Message::Error(error)) => Ok(Step::Ended(Some(error))),
            (_, 0, Message::Bye { .. }) => Ok(Step::Ended(None)),
            (Phase::AwaitHello { .. } | Phase::AwaitWelcome { .. }, ..) => {
                fault(0, Code::UNEXPECTED, Some(code), "hello and welcome come first")
            }
            (_, 0, Message::Ping(number)) => Ok(Step::Reply(vec![(0, Message::Pong { number, time_ms: now.wall_ms })])),
            // A peer's clock is nobody's measure. (PEER-4)
            (_, 0, Message::Pong { .. }) => Ok(Step::None),
            (Phase::AwaitOpen { .. }, CHANNEL, Message::Open(open)) => self.open(now, own, &open),
            (Phase::AwaitOpened { .. }, CHANNEL, Message::Opened(opened)) => Ok(self.opened(&opened)),
            (_, CHANNEL, Message::Error(error)) if error.code == Code::REPLACED => Ok(Step::Replaced),
            (_, CHANNEL, Message::Error(error)) => Ok(Step::Ended(Some(error))),
            (_, CHANNEL, Message::Shut) => Ok(Step::Ended(None)),
            (Phase::Joined, CHANNEL, Message::States(part)) => Ok(self.part(part)),
            (Phase::Joined, CHANNEL, Message::Push(push)) => match push.author {
                Some(_) => Ok(Step::Push(push)),
                None => fault(0, Code::MALFORMED, None, "a push on a link names its author"),
            },
            (Phase::Joined, CHANNEL, Message::Signal(Signal { .. })) => Ok(Step::None),
            _ => fault(0, Code::UNEXPECTED, Some(code), "not a message for this state of a link"),
        }
    }

    fn hello(&mut self, now: Now, until_ms: u64, own: &Own, hello: &Hello) -> Result<Step, Fault> {
        // SESS-2
        if !hello.versions.contains(&VERSION) {
            return fault(0, Code::VERSION, Some(VERSION), "no version in common");
        }
        // PEER-2
        if own.token.is_some() && own.token != hello.token && !fault::is("peer-any-token") {
            return fault(0, Code::UNAUTHORIZED, None, "the token is missing or another");
        }
        let agreed = Profiles::from_codes(&hello.profiles).common(own.profiles);
        // PEER-1
        if !agreed.has(Profiles::PEER) && !fault::is("peer-link-without-the-profile") {
            return fault(0, Code::UNEXPECTED, Some(0), "a link needs the profile peer");
        }
        self.agreed = agreed;
        self.phase = Phase::AwaitOpen { until_ms };
        let profiles = agreed.codes().into_iter().filter(|code| hello.profiles.contains(code)).collect();
        let welcome = Welcome { version: VERSION, profiles, limits: limits::ADVERTISED.to_vec(), time_ms: now.wall_ms };
        Ok(Step::Reply(vec![(0, Message::Welcome(welcome))]))
    }

    fn welcome(&mut self, until_ms: u64, own: &Own, welcome: &Welcome) -> Result<Step, Fault> {
        if welcome.version != VERSION {
            return fault(0, Code::VERSION, Some(VERSION), "a version that was not offered");
        }
        self.agreed = Profiles::from_codes(&welcome.profiles).common(own.profiles);
        // PEER-1
        if !self.agreed.has(Profiles::PEER) {
            return fault(0, Code::UNEXPECTED, Some(1), "a link needs the profile peer");
        }
        self.phase = Phase::AwaitOpened { until_ms };
        let cursor = own.cursor.clone();
        self.told.clone_from(&cursor);
        let open = Open {
            space: own.space.clone(),
            replica: own.replica,
            settled: own.settled,
            cursor,
            collections: None,
            known: None,
            names: None,
        };
        Ok(Step::Reply(vec![(CHANNEL, Message::Open(open))]))
    }

    fn open(&mut self, now: Now, own: &Own, open: &Open) -> Result<Step, Fault> {
        if open.space != own.space {
            return fault(CHANNEL, Code::UNKNOWN_SPACE, None, "this client has another space");
        }
        // PEER-14
        if open.replica == own.replica && !fault::is("peer-one-id-at-both-ends") {
            return fault(CHANNEL, Code::REPLACED, None, "this is the replica's id here too");
        }
        self.theirs.cursor = open.cursor.clone();
        self.told.clone_from(&own.cursor);
        self.base_ms = now.wall_ms;
        self.phase = Phase::Joined;
        let (position, history) = crate::peer::place(own.cursor.as_ref());
        let opened = Opened {
            position,
            history,
            last_seq: 0,
            link: crate::hash::start_link(&own.space, open.replica),
            base_ms: now.wall_ms,
            reset: Reset::NONE,
            rights: None,
        };
        Ok(Step::Joined(vec![(CHANNEL, Message::Opened(opened))]))
    }

    fn opened(&mut self, opened: &Opened) -> Step {
        self.base_ms = opened.base_ms;
        self.theirs.cursor = crate::peer::cursor(opened.position, opened.history);
        self.phase = Phase::Joined;
        Step::Joined(Vec::new())
    }

    /// A part of a report is kept until the last. (PEER-6)
    fn part(&mut self, mut part: States) -> Step {
        self.theirs.parts.append(&mut part.items);
        if !part.last {
            return Step::None;
        }
        part.items = std::mem::take(&mut self.theirs.parts);
        self.theirs.cursor = crate::peer::cursor(part.to, part.history);
        self.theirs.ready = true;
        Step::Report(part)
    }

    /// What time asks for: a ping, or none and the end of the link.
    pub fn tick(&mut self, now: Now) -> Result<Option<Message>, Fault> {
        if self.deadline_ms() <= now.mono_ms {
            return fault(0, Code::TIMEOUT, Some(limits::BACKOFF_BASE_MS), "nothing was heard for too long");
        }
        if self.phase != Phase::Joined || self.sent_ms + limits::PING_INTERVAL_MS > now.mono_ms {
            return Ok(None);
        }
        // SESS-7
        self.pings += 1;
        Ok(Some(Message::Ping(self.pings)))
    }

    /// When the link wants `tick`.
    pub fn wake_ms(&self) -> u64 {
        match self.phase {
            Phase::Joined => self.deadline_ms().min(self.sent_ms + limits::PING_INTERVAL_MS),
            _ => self.deadline_ms(),
        }
    }

    /// SESS-3, SESS-8
    fn deadline_ms(&self) -> u64 {
        match self.phase {
            Phase::AwaitHello { until_ms }
            | Phase::AwaitWelcome { until_ms }
            | Phase::AwaitOpen { until_ms }
            | Phase::AwaitOpened { until_ms } => until_ms,
            Phase::Joined => self.heard_ms + limits::SILENCE_TIMEOUT_MS,
        }
    }
}
