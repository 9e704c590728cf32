//! The client's state machine, for one space. Spec 2, 4 and 6 to 8.
//!
//! The shell's contract: `handle` or `write`, commit the store, then `poll` until none. After a failed commit: roll the
//! store back and `load` again. So a change is durable before it is sent, and data and cursor move together. (MODEL-3, SYNC-5)
//!
//! ```text
//! Idle ──start──▶ Connecting ──▶ AwaitWelcome ──▶ AwaitOpened ──▶ Streaming
//!   ▲                 ▲                │                │              │
//!   └──never, stop────┴──wake-up── Waiting ◀──hang-up, errors──────────┘
//! ```

mod access;
mod api;
mod dependents;
mod edit;
mod flow;
mod fork;
mod horizon;
mod links;
mod look;
mod names;
mod outbox;
mod overlay;
mod presence;
mod relay;
mod repair;
mod session;
mod staging;
mod stream;
mod subscription;
mod write;

use crate::fault;
use std::collections::{BTreeMap, VecDeque};

use crate::clock::{Clock, Now, Replica};
use crate::entropy::Entropy;
use crate::message::{
    ErrorMessage, Frame, Hello, Message, Signal, Welcome, costs, decode_frame, encode_frame, frame_of, packed_frame, unpack,
};
use crate::peer::LinkId;
use crate::peer::held::Held;
use crate::peer::link::Link;
use crate::registry::{Class, Code, Profiles};
use crate::space::Space;
use crate::store::{Store, StoreError};
use crate::{limits, server::VERSION};
use access::Access;
use names::NameTables;
use outbox::Outbox;
use presence::Present;
use session::Session;
use staging::Staging;
use subscription::Subscription;

pub use access::Wiped;
pub use api::{ClientConfig, Event, Input, Output, Status};
pub use dependents::Guard;
pub use edit::Edit;
pub use look::upgrade;
pub use outbox::Rejection;
pub use write::{Refusal, Write, WriteError};

#[derive(Debug)]
enum State {
    Idle,
    Waiting { until_ms: u64 },
    Connecting { since_ms: u64 },
    AwaitWelcome { sent: Now },
    AwaitOpened { since_ms: u64 },
    Streaming(Session),
}

/// A client of one space over one store.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    entropy: Entropy,
    clock: Clock,
    outbox: Outbox,
    held: Held,
    /// What the other side of a link has to show, and is shown. (PEER-2)
    link_token: Option<String>,
    /// The own seqs without a verdict before a fresh id was taken.
    old_numbers: Vec<u64>,
    links: BTreeMap<LinkId, Link>,
    base: Space,
    /// What is kept of a catch-up under way; nothing of it is in base. (SYNC-13)
    staging: Option<Staging>,
    /// What the server advertised last. (LIMIT-6)
    limits: Vec<(u64, u64)>,
    /// The profiles agreed on this connection.
    agreed: Profiles,
    access: Access,
    state: State,
    outputs: VecDeque<Output>,
    /// Connection attempts since the last mark. (SESS-10)
    attempts: u32,
    /// Times the space was opened again since the last mark.
    reopened: u32,
    channel: u16,
    heard_ms: u64,
    sent_ms: u64,
    /// The ping under way and when it was sent.
    ping: Option<(u64, Now)>,
    pings: u64,
    head: Option<u64>,
    /// The position at which a mark was last found equal. (SYNC-20)
    verified: Option<u64>,
    /// The last mark: its position and fingerprint. (REPAIR-8)
    marked: Option<(u64, [u8; 16])>,
    /// When base was last compared by ranges. (REPAIR-8)
    repaired_ms: Option<u64>,
    /// When base was last reset because of a mark. (SYNC-22)
    reset_ms: Option<u64>,
    /// Whether the last mark differed and no reset was allowed.
    mismatched: bool,
    told_in_sync: bool,
    present: Present,
    subscription: Subscription,
    names: NameTables,
}

/// Reopens of a space between two marks before the connection is given up.
const REOPENS_MAX: u32 = 3;

/// SESS-7: it may be sent before its time.
fn ping_interval_ms() -> u64 {
    match () {
        () if fault::is("sess-client-never-pings") => u64::MAX / 4,
        () if fault::is("mirror-early-pings") => limits::PING_INTERVAL_MS / 4,
        () => limits::PING_INTERVAL_MS,
    }
}

impl Client {
    /// Loads the replica that the store holds, or makes a fresh one in it.
    ///
    /// # Errors
    /// Where the store fails, is damaged, or holds another space.
    pub fn load(config: ClientConfig, store: &mut dyn Store, mut entropy: Entropy, now: Now) -> Result<Self, StoreError> {
        let outbox = Outbox::load(store, &config.space, &mut entropy)?;
        let held = Held::load(store, &config.space, outbox.identity.cursor.is_none())?;
        held.save_ground(store)?;
        Ok(Self {
            held,
            link_token: None,
            old_numbers: Vec::new(),
            links: BTreeMap::new(),
            clock: Clock::new(outbox.identity.reading, outbox.identity.offset_ms),
            base: outbox::base(),
            staging: Staging::load(store)?,
            limits: Vec::new(),
            agreed: Profiles::CORE,
            access: Access::default(),
            config,
            entropy,
            outbox,
            state: State::Idle,
            outputs: VecDeque::new(),
            attempts: 0,
            reopened: 0,
            channel: 0,
            heard_ms: now.mono_ms,
            sent_ms: now.mono_ms,
            ping: None,
            pings: 0,
            head: None,
            verified: None,
            marked: None,
            repaired_ms: None,
            reset_ms: None,
            mismatched: false,
            told_in_sync: false,
            present: Present::default(),
            subscription: Subscription::load(store)?,
            names: NameTables::load(store)?,
        })
    }

    /// Takes in what happened. A store error leaves the open transaction to be rolled back and the client to be loaded again.
    pub fn handle(&mut self, now: Now, store: &mut dyn Store, input: Input) -> Result<(), StoreError> {
        match input {
            Input::Start if matches!(self.state, State::Idle) => self.connect(now),
            Input::Start => {}
            Input::Stop => self.stop(),
            Input::Connected => self.connected(now),
            Input::Frame(bytes) => self.frame(now, store, bytes)?,
            Input::HungUp => self.hung_up(now, 0),
            Input::Tick => {
                self.tick_links(now);
                self.tick(now, store)?;
            }
            Input::Linked(id, dials) => self.linked(now, id, dials),
            Input::LinkFrame(id, bytes) => self.link_frame(now, store, id, bytes)?,
            Input::Unlinked(id) => drop(self.links.remove(&id)),
        }
        self.push_all(now, store)?;
        self.pump_links(now, store)?;
        self.tell_in_sync();
        self.wake();
        Ok(())
    }

    /// Up to where the parts of a catch-up under way are kept. (SYNC-27)
    pub(crate) fn staged(&self) -> Option<u64> {
        self.staging.as_ref().map(|staging| staging.to)
    }

    /// What the shell is to do next, or none. Call only when the store is committed.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Sends a few bytes to another replica of the space; false where that cannot be now. (SIGNAL-1)
    pub fn signal(&mut self, now: Now, to: Replica, payload: &[u8]) -> bool {
        let fits = payload.len() <= limits::SIGNAL_BYTES_MAX && self.agreed.has(Profiles::SIGNAL);
        if !fits || !matches!(self.state, State::Streaming(_)) {
            return false;
        }
        self.send(now, self.channel, &[Message::Signal(Signal { replica: to, payload: payload.to_vec() })], 0);
        true
    }

    /// A limit as the server advertised it, where that is lower than the registry's. (LIMIT-6)
    fn limit(&self, key: u64, registered: usize) -> usize {
        let advertised = self.limits.iter().find(|(known, _)| *known == key && !fault::is("limit-advertised-unread"));
        advertised.map_or(registered, |(_, value)| usize::try_from(*value).unwrap_or(usize::MAX).min(registered))
    }

    fn state_name(&self) -> &'static str {
        match self.state {
            State::Idle => "idle",
            State::Waiting { .. } => "waiting",
            State::Connecting { .. } => "connecting",
            State::AwaitWelcome { .. } => "await-welcome",
            State::AwaitOpened { .. } => "await-opened",
            State::Streaming(_) => "streaming",
        }
    }

    /// SYNC-21
    fn is_in_sync(&self) -> bool {
        let State::Streaming(session) = &self.state else { return false };
        let position = self.outbox.identity.cursor.as_ref().map(|cursor| cursor.position);
        if fault::is("sync-always-in-sync") {
            return true;
        }
        session.is_quiet()
            && self.staging.is_none()
            && !self.subscription.joins()
            && self.outbox.is_settled()
            && self.held.count() == 0
            && self.verified.is_some()
            && self.verified == position
    }

    fn tell_in_sync(&mut self) {
        let in_sync = self.is_in_sync();
        if in_sync && !self.told_in_sync {
            self.event(Event::InSync);
        }
        self.told_in_sync = in_sync;
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn send(&mut self, now: Now, channel: u16, messages: &[Message], base_ms: u64) {
        self.send_frame(now, encode_frame(channel, messages, base_ms));
    }

    /// A frame on the channel of the space, packed where that was agreed. (PACK-1)
    fn frame_of(&self, messages: &[u8]) -> Vec<u8> {
        if self.agreed.has(Profiles::PACKED) { packed_frame(self.channel, messages) } else { frame_of(self.channel, messages) }
    }

    fn send_frame(&mut self, now: Now, frame: Vec<u8>) {
        self.sent_ms = now.mono_ms;
        self.outputs.push_back(Output::Send(frame));
    }

    fn connect(&mut self, now: Now) {
        self.state = State::Connecting { since_ms: now.mono_ms };
        self.outputs.push_back(Output::Connect);
    }

    fn connected(&mut self, now: Now) {
        if !matches!(self.state, State::Connecting { .. }) {
            return;
        }
        self.heard_ms = now.mono_ms;
        self.state = State::AwaitWelcome { sent: now };
        self.channel = if fault::is("mirror-channel-numbers") { 7 } else { 0 };
        self.agreed = Profiles::CORE;
        self.ping = None;
        self.access.sent();
        let hello = Hello {
            versions: vec![VERSION],
            profiles: self.config.profiles.codes(),
            limits: self.advertised(),
            token: self.config.token.clone(),
        };
        self.send(now, 0, &[Message::Hello(hello)], 0);
    }

    fn stop(&mut self) {
        if !matches!(self.state, State::Idle | State::Waiting { .. }) {
            self.outputs.push_back(Output::Close);
        }
        self.state = State::Idle;
        self.forget_presence();
    }

    /// The connection is gone: another attempt after a wait drawn evenly. (SESS-10, SESS-11)
    fn hung_up(&mut self, now: Now, wait_ms: u64) {
        if matches!(self.state, State::Idle | State::Waiting { .. }) {
            return;
        }
        let doubled = limits::BACKOFF_BASE_MS << self.attempts.min(16);
        let wait_ms = if fault::is("sess-bye-unheard") { 0 } else { wait_ms };
        let bound = doubled.min(limits::BACKOFF_CAP_MS).max(wait_ms);
        let bound = bound + if fault::is("sess-waits-too-long") { 2 * limits::BACKOFF_CAP_MS } else { 0 };
        self.attempts += 1;
        let drawn = self.entropy.below(bound + 1);
        let drawn = if fault::is("mirror-longest-waits") { bound } else { drawn };
        self.state = State::Waiting { until_ms: now.mono_ms + drawn };
        self.forget_presence();
        self.event(Event::Disconnected);
    }

    /// Ends the connection from this side and comes back after a wait.
    fn give_up(&mut self, now: Now, wait_ms: u64) {
        self.outputs.push_back(Output::Close);
        self.hung_up(now, wait_ms);
    }

    /// Tells the server what was wrong with what it sent, and gives the connection up. (SESS-9)
    fn accuse(&mut self, now: Now, code: Code, detail: Option<u64>, text: &str) {
        let error = ErrorMessage { code, class: code.class(), detail, text: text.to_owned() };
        self.send(now, 0, &[Message::Error(error)], 0);
        self.give_up(now, 0);
    }

    fn frame(&mut self, now: Now, store: &mut dyn Store, bytes: &[u8]) -> Result<(), StoreError> {
        if matches!(self.state, State::Idle | State::Waiting { .. } | State::Connecting { .. }) {
            return Ok(());
        }
        self.heard_ms = now.mono_ms;
        let base_ms = match &self.state {
            State::Streaming(session) => session.base_ms,
            _ => 0,
        };
        let unpacked = match unpack(bytes, self.agreed) {
            Ok(unpacked) => unpacked,
            Err(error) => {
                self.accuse(now, error.code, error.detail, &error.text);
                return Ok(());
            }
        };
        let decoded = self.literal(store, &unpacked)?.and_then(|literal| {
            let Some((literal, announced)) = literal else { return Ok(None) };
            let frame = decode_frame(&literal, self.agreed, |_| base_ms)?;
            Ok(Some((frame, announced)))
        });
        let (Frame { channel, messages }, announced) = match decoded {
            Ok(None) => return Ok(()),
            Ok(Some(decoded)) => decoded,
            Err(error) => {
                self.accuse(now, error.code, error.detail, &error.text);
                return Ok(());
            }
        };
        let costs = if self.agreed.has(Profiles::FLOW) { costs(&unpacked) } else { Vec::new() };
        for (message, cost) in messages.into_iter().zip(costs.into_iter().chain(std::iter::repeat(0))) {
            // FLOW-4
            if self.credit(channel).is_some_and(|credit| !credit.taking.take(cost)) {
                self.accuse(now, Code::UNEXPECTED, Some(message.code()), "it began without credit");
                return Ok(());
            }
            self.message(now, store, channel, message)?;
        }
        self.learn(store, &announced)?;
        self.give_credit(now, channel);
        Ok(())
    }

    /// The client's rows of the state table in spec 7.
    fn message(&mut self, now: Now, store: &mut dyn Store, channel: u16, message: Message) -> Result<(), StoreError> {
        let code = message.code();
        match (&self.state, channel, message) {
            (State::Idle | State::Waiting { .. } | State::Connecting { .. }, ..) => Ok(()),
            (State::AwaitWelcome { sent }, 0, Message::Welcome(welcome)) => {
                let sent = *sent;
                self.welcome(now, store, sent, &welcome)
            }
            (_, 0, Message::Error(error)) => {
                self.doubt(store, &error)?;
                self.refused(now, &error);
                Ok(())
            }
            (_, 0, Message::Bye { wait_ms }) => {
                self.give_up(now, wait_ms);
                Ok(())
            }
            (State::AwaitOpened { .. } | State::Streaming(_), 0, Message::Ping(number)) => {
                self.send(now, 0, &[Message::Pong { number, time_ms: self.clock.now_ms(&now) }], 0);
                Ok(())
            }
            (State::AwaitOpened { .. } | State::Streaming(_), 0, Message::Pong { number, time_ms }) => {
                self.pong(now, store, number, time_ms)
            }
            (State::AwaitOpened { .. }, at, Message::Opened(opened)) if at == self.channel => self.opened(now, store, opened),
            (State::AwaitOpened { .. } | State::Streaming(_), at, Message::Error(error)) if at == self.channel => {
                self.channel_refused(now, store, &error)
            }
            (State::Streaming(_), at, message) if at == self.channel => self.streamed(now, store, message),
            // A channel that this client has shut.
            (State::AwaitOpened { .. } | State::Streaming(_), at, _) if at != 0 && at < self.channel => Ok(()),
            (_, _, _) => {
                self.accuse(now, Code::UNEXPECTED, Some(code), "not a message for this state");
                Ok(())
            }
        }
    }

    fn welcome(&mut self, now: Now, store: &mut dyn Store, sent: Now, welcome: &Welcome) -> Result<(), StoreError> {
        if welcome.version != VERSION {
            self.accuse(now, Code::VERSION, Some(VERSION), "a version that was not offered");
            return Ok(());
        }
        self.limits.clone_from(&welcome.limits);
        // SESS-4
        self.agreed = Profiles::from_codes(&welcome.profiles).common(self.config.profiles);
        // CLOCK-14
        if !fault::is("clock-welcome-ignored") {
            self.clock.correct(sent, now, welcome.time_ms);
        }
        self.outbox.note_clock(&self.clock);
        self.outbox.save(store)?;
        self.open(now, store)?;
        self.renew(now);
        Ok(())
    }

    fn pong(&mut self, now: Now, store: &mut dyn Store, number: u64, time_ms: u64) -> Result<(), StoreError> {
        if let Some((_, sent)) = self.ping.take_if(|(asked, _)| *asked == number) {
            self.clock.correct(sent, now, time_ms);
            self.outbox.note_clock(&self.clock);
            self.outbox.save(store)?;
        }
        Ok(())
    }

    /// An error on channel 0. (SESS-12, SESS-25)
    fn refused(&mut self, now: Now, error: &ErrorMessage) {
        let class = if fault::is("sess-class-unread") { error.code.class() } else { error.class };
        match class {
            Class::Never | Class::Credentials if fault::is("sess-never-is-soon") => self.give_up(now, 0),
            Class::Never | Class::Credentials => {
                self.stop();
                self.event(Event::Refused { code: error.code, text: error.text.clone() });
            }
            Class::Wait => self.give_up(now, error.detail.unwrap_or(0).min(limits::BACKOFF_CAP_MS)),
            Class::Change => self.give_up(now, 0),
        }
    }

    /// An error on the space's channel. (SESS-24)
    fn channel_refused(&mut self, now: Now, store: &mut dyn Store, error: &ErrorMessage) -> Result<(), StoreError> {
        if error.code == Code::REPLACED {
            // IDENT-24: someone else lives under this id. ERROR-5: the channel is not spoken on again.
            if !fault::is("ident-replaced-keeps-its-id") {
                self.take_fresh_id(store, None)?;
            }
            self.open(now, store)?;
            return Ok(());
        }
        if fault::is("access-shut-out-loses-base") {
            self.base.clear(store)?;
        }
        self.doubt(store, error)?;
        if fault::is("sess-channel-error-is-final") {
            self.stop();
            return Ok(());
        }
        self.refused(now, error);
        Ok(())
    }

    fn tick(&mut self, now: Now, store: &mut dyn Store) -> Result<(), StoreError> {
        if !matches!(self.state, State::Idle) {
            self.want_token(now);
        }
        self.renew_presence(now);
        match &self.state {
            State::Waiting { until_ms } if *until_ms <= now.mono_ms => self.connect(now),
            State::Idle | State::Waiting { .. } => {}
            _ if self.deadline_ms().is_some_and(|due| due <= now.mono_ms) => self.give_up(now, 0),
            State::AwaitOpened { .. } | State::Streaming(_) if self.sent_ms + ping_interval_ms() <= now.mono_ms => {
                // SESS-7
                self.pings += 1;
                self.ping = Some((self.pings, now));
                self.send(now, 0, &[Message::Ping(self.pings)], 0);
                self.repeat_credit(now);
            }
            State::Streaming(_) => self.retry_reset(now, store)?,
            _ => {}
        }
        Ok(())
    }

    /// When the connection is given up unless something arrives.
    fn deadline_ms(&self) -> Option<u64> {
        match &self.state {
            State::Idle | State::Waiting { .. } => None,
            State::Streaming(_) if fault::is("sess-client-waits-on") => None,
            // SESS-27
            State::Connecting { .. } if fault::is("sess-connects-for-ever") => None,
            State::Connecting { since_ms } => Some(since_ms + limits::CONNECT_TIMEOUT_MS),
            State::AwaitWelcome { sent } => Some(sent.mono_ms + limits::HELLO_TIMEOUT_MS),
            State::AwaitOpened { since_ms } => Some(since_ms + limits::ACK_TIMEOUT_MS),
            State::Streaming(session) => {
                // SESS-8, SESS-14, FLOW-6
                let silence = self.heard_ms + limits::SILENCE_TIMEOUT_MS;
                Some(session.answer_due_ms().map_or(silence, |due| due.min(silence)))
            }
        }
    }

    fn wake(&mut self) {
        let at = match &self.state {
            State::Idle => u64::MAX,
            State::Waiting { until_ms } => *until_ms,
            State::Connecting { .. } | State::AwaitWelcome { .. } => self.deadline_ms().unwrap_or(u64::MAX),
            State::AwaitOpened { .. } | State::Streaming(_) => {
                let ping = self.sent_ms + ping_interval_ms();
                let reset = self.reset_due_ms().filter(|_| self.mismatched);
                [self.deadline_ms(), reset, self.presence_due_ms()].into_iter().flatten().fold(ping, u64::min)
            }
        };
        // ACCESS-16
        let refresh_ms = self.access.refresh_ms().filter(|_| !matches!(self.state, State::Idle));
        let at = refresh_ms.into_iter().chain(self.links_wake_ms()).fold(at, u64::min);
        if at < u64::MAX {
            self.outputs.push_back(Output::WakeAt(at));
        }
    }
}
