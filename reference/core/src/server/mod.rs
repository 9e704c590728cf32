//! The server's state machine. Spec 6 to 10.
//!
//! The shell's contract: `handle` any number of inputs, commit the store, `committed`, then `poll` the connections of
//! `take_ready` while they can take frames. On a failed commit: roll the store back, `rolled_back`. Nothing that `handle`
//! derived is polled before it is durable. (SESS-22) A store that fails one frame ends the connection it came on; what
//! others did in the same transaction stands. (SESS-13)
//!
//! ```text
//! AwaitHello ──hello──▶ Open ──error, bye, hang-up──▶ gone
//! ```

mod access;
mod admin;
mod channel;
mod counts;
mod frames;
mod horizon;
mod judge;
mod log;
mod look;
mod names;
mod part;
mod presence;
mod quota;
mod relay;
mod repair;
mod signal;
mod stream;
mod timers;

use crate::fault;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::clock::Now;
use crate::entropy::Entropy;
use crate::limits;
use crate::message::{ErrorMessage, Hello, Message, Welcome, encode_frame};
use crate::registry::{Code, DURABILITY_STORED, Profiles};
use crate::store::{Store, StoreError};
use access::Granted;
use horizon::Compaction;
pub use relay::RelayPolicy;

use stream::{Channel, Hosted};
use timers::{Timers, ping_interval_ms};

pub use access::{Access, Anyone, Grant, Revoked, Right, Rights, Tokens, Verifier};
pub use admin::SpaceInfo;
pub use counts::{Counts, Standing};
pub use horizon::Retention;
pub use look::{KnownReplica, Logged, accepted, base, gone, head, histories, logged, replicas, upgrade};
pub use quota::{Quota, Usage};

/// The protocol version this server speaks.
pub const VERSION: u64 = 1;
/// Replies that wait for a connection to be polled; a client that makes more is closed as busy.
const REPLIES_MAX: usize = 256;
/// What a client that met an internal error or a timeout waits.
const RETRY_MS: u64 = 1_000;

/// Names a connection; the shell's choice, unique while it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// What an operator sets.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Who may come in, and what they may do.
    pub access: Access,
    /// Recent changes kept in memory for each space. 0: every reader is served by states.
    pub tail_changes_max: usize,
    /// Whether opening an unknown space creates it.
    pub create_spaces: bool,
    /// Bytes of one part of a catch-up.
    pub part_bytes_max: usize,
    /// What each space may hold. (ACCESS-10)
    pub quota: Quota,
    /// Bytes of data that a client may have under way on a channel, at least 1. (FLOW-2)
    pub credit_bytes: u64,
    /// For how long deletions are remembered. (HORIZON-2)
    pub retention: Retention,
    /// The profiles it offers. (SESS-4)
    pub profiles: Profiles,
    /// Whose changes a client may bring. (PEER-19)
    pub relay: RelayPolicy,
    /// What an ack says of where a change is kept, from the registry. (SESS-20)
    pub durability: u64,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            access: Access::default(),
            tail_changes_max: 1_024,
            create_spaces: true,
            part_bytes_max: limits::PART_BYTES_MAX,
            quota: Quota::default(),
            retention: Retention::default(),
            credit_bytes: limits::CREDIT_BYTES as u64,
            profiles: Profiles::OFFERED,
            relay: RelayPolicy::default(),
            durability: DURABILITY_STORED,
        }
    }
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A connection was accepted.
    Connect(ConnId),
    /// A frame arrived.
    Frame(ConnId, &'a [u8]),
    /// A frame above the limit began to arrive. (LIMIT-2)
    TooLarge(ConnId),
    /// Something that is not a binary message arrived. (BIND-3)
    NotBinary(ConnId),
    /// The connection is gone.
    HungUp(ConnId),
    /// The client takes up more than the shell lets it: it comes back after so many milliseconds.
    Busy(ConnId, u64),
    /// Time passed.
    Tick,
    /// Who may come in was set anew: every connection is judged by it. (ACCESS-4)
    Recheck,
    /// The server is about to stop; clients come back after up to `wait_ms`.
    Drain {
        /// Milliseconds that clients spread their return over.
        wait_ms: u64,
    },
}

/// What a connection is to be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A frame to send.
    Frame(Arc<[u8]>),
    /// Close the connection, once what was polled before is sent.
    Close,
}

#[derive(Debug)]
enum Phase {
    AwaitHello {
        until_ms: u64,
    },
    Open {
        granted: Granted,
        profiles: Profiles,
    },
    /// An error or a bye is queued; what arrives is ignored. (SESS-9)
    Closing,
}

#[derive(Debug)]
struct Conn {
    phase: Phase,
    replies: VecDeque<Arc<[u8]>>,
    /// Boxed: a node of the tree has room for eleven, and most connections have one.
    channels: BTreeMap<u16, Box<Channel>>,
    /// Channels that ended and the base of their stamps; what still arrives on them is ignored. (SESS-17, ERROR-6)
    ended: BTreeMap<u16, u64>,
    heard_ms: u64,
    sent_ms: u64,
    pings: u64,
    /// The credit that the client gives each channel at first. (FLOW-2)
    credit_bytes: u64,
    /// The channel that was served last: the others come first.
    served: u16,
    close_polled: bool,
}

impl Conn {
    /// The profiles agreed, so far the core.
    fn agreed(&self) -> Profiles {
        match self.phase {
            Phase::Open { profiles, .. } => profiles,
            _ => Profiles::CORE,
        }
    }
}

/// The server. One instance serves one store on one thread.
pub struct Server {
    config: ServerConfig,
    entropy: Entropy,
    conns: BTreeMap<ConnId, Conn>,
    spaces: BTreeMap<u64, Hosted>,
    numbers: HashMap<String, u64>,
    /// Connections whose inputs and spaces whose logs the open transaction holds.
    batch_conns: BTreeSet<ConnId>,
    batch_spaces: BTreeSet<u64>,
    /// The spaces that the present frame touched, each with its head before; none where the frame made it known.
    touched: BTreeMap<u64, Option<u64>>,
    ready: BTreeSet<ConnId>,
    /// Tokens are to be verified anew at the next `Input::Recheck`.
    reverify: bool,
    timers: Timers,
    faults: Vec<StoreError>,
    compaction: Compaction,
    counts: Counts,
}

/// A refusal of what a peer sent: ends the channel, or the connection where the channel is 0.
struct Refusal {
    channel: u16,
    code: Code,
    detail: Option<u64>,
    text: &'static str,
}

enum Failure {
    Peer(Refusal),
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn refuse<T>(channel: u16, code: Code, detail: Option<u64>, text: &'static str) -> Result<T, Failure> {
    Err(Failure::Peer(Refusal { channel, code, detail, text }))
}

fn unexpected<T>(code: u64, text: &'static str) -> Result<T, Failure> {
    refuse(0, Code::UNEXPECTED, Some(code), text)
}

impl Server {
    /// A server on a store; spaces are loaded when they are opened.
    pub fn new(config: ServerConfig, entropy: Entropy) -> Self {
        Self {
            config,
            entropy,
            conns: BTreeMap::new(),
            spaces: BTreeMap::new(),
            numbers: HashMap::new(),
            batch_conns: BTreeSet::new(),
            batch_spaces: BTreeSet::new(),
            touched: BTreeMap::new(),
            ready: BTreeSet::new(),
            reverify: false,
            timers: Timers::default(),
            faults: Vec::new(),
            compaction: Compaction::default(),
            counts: Counts::default(),
        }
    }

    /// Takes in what happened. A store error that is returned leaves the open transaction to be rolled back; one that
    /// only a connection paid for is told by `take_faults`.
    pub fn handle(&mut self, now: Now, store: &mut dyn Store, input: Input) -> Result<(), StoreError> {
        match input {
            Input::Connect(id) => self.connect(now, id),
            Input::Frame(id, bytes) => self.frame_or_undo(now, store, id, bytes)?,
            Input::TooLarge(_) if fault::is("limit-large-frames-dropped") => {}
            Input::TooLarge(id) => {
                let limit = limits::FRAME_BYTES_MAX as u64;
                self.fail(id, Code::FRAME_TOO_LARGE, Some(limit), "a frame above the limit");
            }
            Input::NotBinary(_) if fault::is("bind-text-ignored") => {}
            Input::NotBinary(id) => self.fail(id, Code::MALFORMED, None, "frames are binary messages"),
            Input::HungUp(id) => self.forget(id),
            Input::Busy(id, wait_ms) => self.fail(id, Code::BUSY, Some(wait_ms), "more than one client may take up; come back later"),
            Input::Tick => {
                self.tick(now);
                self.compact(now, store)?;
            }
            Input::Recheck => self.recheck(now),
            Input::Drain { wait_ms } => self.drain(wait_ms),
        }
        Ok(())
    }

    /// The open transaction is durable: what it led to may be polled.
    pub fn committed(&mut self) {
        for number in std::mem::take(&mut self.batch_spaces) {
            self.count_verdicts(number);
            let Some(space) = self.spaces.get_mut(&number) else { continue };
            space.commit(if fault::is("mirror-tail-of-five") { 5 } else { self.config.tail_changes_max });
            self.ready.extend(space.readers.values().map(|(conn, _)| *conn));
        }
        self.batch_conns.clear();
    }

    /// The open transaction is gone: the sessions it held end with a retryable error.
    pub fn rolled_back(&mut self) {
        for number in std::mem::take(&mut self.batch_spaces) {
            let Some(space) = self.spaces.get_mut(&number) else { continue };
            space.roll_back_to(space.committed);
            if !space.durable {
                self.unhost(number);
            }
        }
        self.touched.clear();
        for id in std::mem::take(&mut self.batch_conns) {
            if let Some(conn) = self.conns.get_mut(&id) {
                conn.replies.clear();
            }
            self.fail(id, Code::INTERNAL, Some(RETRY_MS), "the store could not keep this; try again");
        }
    }

    /// What the store failed at since the last call, and only a connection had to pay for.
    pub fn take_faults(&mut self) -> Vec<StoreError> {
        std::mem::take(&mut self.faults)
    }

    /// The connections that may have something to poll.
    pub fn take_ready(&mut self) -> Vec<ConnId> {
        std::mem::take(&mut self.ready).into_iter().collect()
    }

    /// What the connection is to be given next. Call only when it can take a frame: nothing is queued for it here.
    pub fn poll(&mut self, now: Now, store: &dyn Store, id: ConnId) -> Result<Option<Output>, StoreError> {
        self.end_if_expired(now, id);
        let Some(conn) = self.conns.get_mut(&id) else { return Ok(None) };
        if let Some(frame) = conn.replies.pop_front() {
            conn.sent_ms = now.mono_ms;
            return Ok(Some(Output::Frame(frame)));
        }
        if matches!(conn.phase, Phase::Closing) {
            let first = !std::mem::replace(&mut conn.close_polled, true);
            return Ok(first.then_some(Output::Close));
        }
        let (later, sooner) = (conn.channels.range(..=conn.served), conn.channels.range(conn.served.saturating_add(1)..));
        let order: Vec<u16> = sooner.chain(later).map(|(number, _)| *number).collect();
        for number in order {
            let Some(channel) = conn.channels.get_mut(&number) else { continue };
            let Some(space) = self.spaces.get(&channel.space) else { continue };
            let frame = space.next_frame(store, number, channel, self.config.part_bytes_max, now.mono_ms)?;
            self.counts.catch_ups += std::mem::take(&mut channel.caught_up);
            if let Some(frame) = frame {
                (conn.sent_ms, conn.served) = (now.mono_ms, number);
                return Ok(Some(Output::Frame(frame.into())));
            }
        }
        self.set_alarm(now, id);
        Ok(None)
    }

    /// When the next `Tick` is due on the monotonic clock, if any. It may come to nothing.
    pub fn next_wake(&self) -> Option<u64> {
        self.timers.first().into_iter().chain(self.compaction_due_ms()).min()
    }

    /// Sets the connection's alarm for the first of its own times that is to come; what is due already was made ready.
    fn set_alarm(&mut self, now: Now, id: ConnId) {
        let Some(conn) = self.conns.get(&id) else { return };
        if let Some(at_ms) = self.wakes(conn).filter(|at_ms| *at_ms > now.mono_ms).min() {
            self.timers.ring_by(id, at_ms);
        }
    }

    fn wakes<'a>(&'a self, conn: &'a Conn) -> impl Iterator<Item = u64> + 'a {
        let own = match &conn.phase {
            Phase::AwaitHello { until_ms } => Some(*until_ms),
            Phase::Open { granted, .. } => {
                let silence = (conn.sent_ms + ping_interval_ms()).min(conn.heard_ms + limits::SILENCE_TIMEOUT_MS);
                Some(granted.ends_ms.map_or(silence, |end| end.min(silence)))
            }
            Phase::Closing => None,
        };
        let marks = conn.channels.values().filter_map(|channel| self.spaces.get(&channel.space)?.mark_due_ms(channel));
        let ends = conn.channels.values().filter_map(|channel| self.spaces.get(&channel.space)?.room.end_ms(channel.replica));
        own.into_iter().chain(marks).chain(ends)
    }

    fn connect(&mut self, now: Now, id: ConnId) {
        let conn = Conn {
            phase: Phase::AwaitHello { until_ms: now.mono_ms + limits::HELLO_TIMEOUT_MS },
            replies: VecDeque::new(),
            channels: BTreeMap::new(),
            ended: BTreeMap::new(),
            heard_ms: now.mono_ms,
            sent_ms: now.mono_ms,
            pings: 0,
            credit_bytes: limits::CREDIT_BYTES as u64,
            served: 0,
            close_polled: false,
        };
        self.conns.insert(id, conn);
        self.set_alarm(now, id);
    }

    fn forget(&mut self, id: ConnId) {
        self.release(id);
        self.conns.remove(&id);
        self.ready.remove(&id);
        self.timers.forget(id);
    }

    fn tick(&mut self, now: Now) {
        for id in self.timers.take_due(now.mono_ms) {
            let Some(conn) = self.conns.get_mut(&id) else { continue };
            match &conn.phase {
                Phase::AwaitHello { .. } if fault::is("sess-hello-never-late") => {}
                Phase::Open { .. } if fault::is("sess-server-never-pings") => {}
                // ACCESS-3
                Phase::Open { granted, .. } if granted.has_ended(now) => self.end_if_expired(now, id),
                // SESS-3
                Phase::AwaitHello { until_ms } if *until_ms <= now.mono_ms => self.fail_silent(id),
                // SESS-8
                Phase::Open { .. } if conn.heard_ms + limits::SILENCE_TIMEOUT_MS <= now.mono_ms && !fault::is("sess-server-waits-on") => {
                    self.fail_silent(id)
                }
                // SESS-7
                Phase::Open { .. } if conn.sent_ms + ping_interval_ms() <= now.mono_ms => {
                    conn.pings += 1;
                    conn.sent_ms = now.mono_ms;
                    conn.replies.push_back(encode_frame(0, &[Message::Ping(conn.pings)], 0).into());
                    // Should the transport have lost a grant, nothing else would tell.
                    for (number, channel) in &conn.channels {
                        let standing = channel.credit.taking.standing().map(|bytes| Message::Credit { bytes });
                        conn.replies.extend(standing.map(|credit| encode_frame(*number, &[credit], 0).into()));
                    }
                    self.ready.insert(id);
                }
                _ => {}
            }
            self.expire_presence(now, id);
            let due = |channel: &Channel| self.spaces.get(&channel.space).is_some_and(|space| space.has_more(channel, now.mono_ms));
            if self.conns.get(&id).is_some_and(|conn| conn.channels.values().any(|channel| due(channel))) {
                self.ready.insert(id);
            }
            self.set_alarm(now, id);
        }
    }

    fn fail_silent(&mut self, id: ConnId) {
        self.fail(id, Code::TIMEOUT, Some(RETRY_MS), "nothing was heard for too long");
    }

    fn drain(&mut self, wait_ms: u64) {
        let ids: Vec<ConnId> = self.conns.keys().copied().collect();
        for id in ids {
            self.end(id, &Message::Bye { wait_ms });
        }
    }

    /// Ends the connection with an error on channel 0. (ERROR-3, SESS-9)
    fn fail(&mut self, id: ConnId, code: Code, detail: Option<u64>, text: &str) {
        let others: Vec<ConnId> = self.conns.keys().copied().filter(|other| *other != id && fault::is("sess-error-ends-all")).collect();
        others.into_iter().for_each(|other| self.close(other));
        let error = ErrorMessage { code, class: code.class(), detail, text: text.to_owned() };
        self.count_error(id, code);
        self.end(id, &Message::Error(error));
    }

    fn end(&mut self, id: ConnId, last: &Message) {
        if let Some(conn) = self.conns.get_mut(&id).filter(|conn| !matches!(conn.phase, Phase::Closing)) {
            conn.replies.push_back(encode_frame(u16::from(fault::is("error-on-a-channel")), std::slice::from_ref(last), 0).into());
            if fault::is("sess-error-and-go-on") {
                self.ready.insert(id);
                return;
            }
            self.close(id);
        }
    }

    /// Closes the connection once what is queued for it is polled.
    fn close(&mut self, id: ConnId) {
        self.release(id);
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.phase = Phase::Closing;
            self.ready.insert(id);
        }
    }

    /// Gives up the connection's channels.
    fn release(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        for channel in std::mem::take(&mut conn.channels).into_values() {
            self.unread(&channel);
        }
    }

    /// Ends a channel with an error on it. (ERROR-3, ERROR-5)
    fn fail_channel(&mut self, id: ConnId, channel: u16, code: Code, detail: Option<u64>, text: &str) {
        let error = ErrorMessage { code, class: code.class(), detail, text: text.to_owned() };
        self.count_error(id, code);
        if !fault::is("error-and-the-channel-goes-on") {
            self.detach(id, channel);
        }
        self.reply(id, channel, &Message::Error(error), 0);
    }

    fn detach(&mut self, id: ConnId, channel: u16) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let gone = conn.channels.remove(&channel);
        let base_ms = gone.as_ref().and_then(|gone| self.spaces.get(&gone.space)).map_or(0, |space| space.history.base_ms);
        conn.ended.insert(channel, base_ms);
        if let Some(gone) = gone {
            self.unread(&gone);
        }
    }

    /// Takes a channel from the readers of its space.
    fn unread(&mut self, channel: &Channel) {
        if let Some(space) = self.spaces.get_mut(&channel.space) {
            space.readers.remove(&channel.replica);
        }
        self.leave(channel.space, channel.replica);
    }

    /// Forgets a space of which nothing is durable.
    fn unhost(&mut self, number: u64) {
        self.spaces.remove(&number);
        self.numbers.retain(|_, known| *known != number);
    }

    /// The space takes part in the open transaction from here on.
    fn touch(&mut self, number: u64) {
        self.batch_spaces.insert(number);
        let head = self.spaces.get(&number).map(|space| space.head);
        self.touched.entry(number).or_insert(head);
    }

    fn reply(&mut self, id: ConnId, channel: u16, message: &Message, base_ms: u64) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.replies.push_back(encode_frame(channel, std::slice::from_ref(message), base_ms).into());
        self.ready.insert(id);
        // A client that asks and does not read is closed rather than queued for.
        if conn.replies.len() > REPLIES_MAX {
            conn.replies.clear();
            self.fail(id, Code::BUSY, Some(RETRY_MS), "too many replies wait to be read");
        }
    }

    /// The server's row of the state table in spec 7.
    fn message(&mut self, now: Now, store: &mut dyn Store, id: ConnId, channel: u16, message: Message) -> Result<(), Failure> {
        let Some(conn) = self.conns.get_mut(&id) else { return Ok(()) };
        let code = message.code();
        match (&conn.phase, channel, message) {
            (Phase::Closing, ..) => Ok(()),
            (Phase::AwaitHello { .. }, 0, Message::Hello(hello)) => self.hello(now, id, hello),
            // SESS-1
            (Phase::AwaitHello { .. }, ..) if fault::is("sess-waits-for-hello") => Ok(()),
            (Phase::AwaitHello { .. }, ..) => unexpected(code, "the first message is hello"),
            (Phase::Open { .. }, 0, Message::Ping(number)) => {
                // SESS-6
                self.reply(
                    id,
                    0,
                    &Message::Pong { number: number + u64::from(fault::is("sess-pong-of-its-own")), time_ms: now.wall_ms },
                    0,
                );
                Ok(())
            }
            (Phase::Open { .. }, 0, Message::Pong { .. }) => Ok(()),
            (Phase::Open { .. }, 0, Message::Bye { .. } | Message::Error(_)) => {
                self.close(id);
                Ok(())
            }
            (Phase::Open { .. }, 0, Message::Auth { token }) => self.auth(now, id, token),
            (Phase::Open { granted, .. }, 1.., Message::Open(open)) => {
                let grant = granted.grant.clone();
                self.open(now, store, id, channel, open, &grant)
            }
            (Phase::Open { .. }, 1.., message) => self.on_channel(now, store, id, channel, message),
            // FRAME-5
            (Phase::Open { .. }, 0, _) if fault::is("frame-unexpected-ignored") => Ok(()),
            (Phase::Open { .. }, 0, _) => unexpected(code, "not a message for channel 0"),
        }
    }

    fn hello(&mut self, now: Now, id: ConnId, hello: Hello) -> Result<(), Failure> {
        // SESS-2
        let unnamed = fault::is("profile-core-by-name") && !hello.profiles.contains(&0);
        if unnamed || !hello.versions.contains(&VERSION) && !fault::is("sess-any-version") {
            return refuse(0, Code::VERSION, Some(VERSION), "no version in common");
        }
        // SESS-5
        let grant = self.config.access.grant(hello.token.as_deref(), now.wall_ms);
        let grant = grant.or(fault::is("sess-any-token").then(|| Grant::full("anyone")));
        let Some(grant) = grant else { return refuse(0, Code::UNAUTHORIZED, None, "the token is missing or unknown") };
        let Some(conn) = self.conns.get_mut(&id) else { return Ok(()) };
        // SESS-4
        let agreed = Profiles::from_codes(&hello.profiles).common(self.config.profiles);
        conn.phase = Phase::Open { granted: Granted::new(grant, hello.token, now), profiles: agreed };
        let advertised = hello.limits.iter().find(|(key, _)| *key == limits::CREDIT_KEY && !fault::is("flow-advertised-credit-unread"));
        conn.credit_bytes = advertised.map_or(limits::CREDIT_BYTES as u64, |(_, bytes)| *bytes);
        let profiles = agreed.codes().into_iter().filter(|code| hello.profiles.contains(code));
        let profiles = if fault::is("sess-unknown-profiles") { hello.profiles.clone() } else { profiles.collect() };
        let welcome = Welcome { version: VERSION, profiles, limits: self.advertised(), time_ms: now.wall_ms };
        self.reply(id, 0, &Message::Welcome(welcome), 0);
        Ok(())
    }
}

impl Server {
    fn advertised(&self) -> Vec<(u64, u64)> {
        let own = |(key, value): &(u64, u64)| (*key, if *key == limits::CREDIT_KEY { self.config.credit_bytes } else { *value });
        limits::ADVERTISED.iter().map(own).collect()
    }
}
