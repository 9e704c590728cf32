//! The one thread that owns the state machine and the store.
//!
//! ```text
//! wait ──▶ take what has arrived ──▶ commit ──▶ poll who has room ──▶ wait
//! ```
//!
//! All that arrived while the last commit was under way shares the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::StatusCode;
use syncline::clock::Now;
use syncline::server::{Access, ConnId, Input, Output, Server};
use syncline::store::StoreError;
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tracing::{error, info};

use crate::admin::{Admin, Answer};
use crate::limiter::{Limiter, Over, Visit};
use crate::log::Log;
use crate::metrics::{Moment, Times, observe};
use crate::trail::{Trace, log_errors, log_opens};

/// Events that wait for the engine; more make their sockets wait.
const EVENTS_MAX: usize = 4_096;
/// Bytes of the frames that wait for the engine; more make their sockets wait.
const EVENTS_BYTES_MAX: usize = 64 << 20;
/// Events that share one commit.
const COMMIT_EVENTS_MAX: usize = 1_024;
/// A batch is full at this many frames, or with the frame that brings it to this many bytes.
const BATCH_FRAMES_MAX: usize = 256;
const BATCH_BYTES: usize = 64 * 1024;
/// What `bye` tells clients to spread their return over.
const BYE_WAIT_MS: u64 = 2_000;
/// How long clients have to leave when the server stops.
const DRAIN_WAIT_MS: u64 = 2_000;
/// How long after a reader held the write-ahead log back it is looked at again.
const SCRUB_WAIT_MS: u64 = 5_000;

/// What sockets tell the engine.
enum Event {
    Connect(ConnId, mpsc::Sender<Batch>, Arc<Visit>),
    /// With the part of `EVENTS_BYTES_MAX` that it takes up.
    Frame(ConnId, Bytes, OwnedSemaphorePermit),
    TooLarge(ConnId),
    NotBinary(ConnId),
    HungUp(ConnId),
    /// The last batch is written.
    Room(ConnId),
    /// Who may come in has changed.
    Access(Access),
    /// Whether this is the token of an administrator.
    Ask(Option<String>, oneshot::Sender<bool>),
    /// How things stand.
    Moment(oneshot::Sender<Moment>),
    /// What an administrator wants done, and where the answer goes.
    Admin(Admin, oneshot::Sender<Answer>),
    Drain,
}

/// Frames to write in one go, then perhaps the end.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) frames: Vec<Bytes>,
    pub(crate) closing: Option<Closing>,
}

/// Why the engine closes a connection; the last frame says it in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// It was refused.
    Refused,
    /// The server stops.
    Away,
}

/// The sockets' end of the engine. What is told to an engine that has stopped goes nowhere.
#[derive(Clone)]
pub(crate) struct Engine {
    events: mpsc::Sender<Event>,
    bytes: Arc<Semaphore>,
    next: Arc<AtomicU64>,
}

impl Engine {
    /// Starts the thread. The receiver resolves when it has drained or lost its log, and fails if it stopped before.
    pub(crate) fn start(
        server: Server,
        store: Box<dyn Log>,
        limiter: Limiter,
        times: Times,
        random: u64,
    ) -> io::Result<(Self, oneshot::Receiver<()>)> {
        let (events, received) = mpsc::channel(EVENTS_MAX);
        let (drained, stopped) = oneshot::channel();
        let core = Core {
            server,
            store,
            limiter,
            seats: BTreeMap::new(),
            due: BTreeSet::new(),
            started: Instant::now(),
            drain_until_ms: None,
            wake_ms: None,
            scrub_ms: None,
            renew_ms: None,
            connected: 0,
            times,
        };
        let runtime = Handle::current();
        thread::Builder::new().name("engine".to_owned()).spawn(move || {
            core.run(&runtime, received);
            // Nobody listens when the caller is gone.
            let _ = drained.send(());
        })?;
        Ok((Self { events, bytes: Arc::new(Semaphore::new(EVENTS_BYTES_MAX)), next: Arc::new(Trace::first(random).into()) }, stopped))
    }

    /// A new connection, and what is to be written to it; nothing once the engine has stopped.
    pub(crate) async fn connect(&self, visit: Arc<Visit>) -> Option<(ConnId, mpsc::Receiver<Batch>)> {
        let id = ConnId(self.next.fetch_add(1, Ordering::Relaxed));
        // One batch at a time: the engine sends the next when it was told that there is room.
        let (outbox, batches) = mpsc::channel(1);
        self.events.send(Event::Connect(id, outbox, visit)).await.ok()?;
        Some((id, batches))
    }

    pub(crate) async fn frame(&self, id: ConnId, frame: Bytes) {
        let bytes = u32::try_from(frame.len()).expect("the socket refuses frames above the limit");
        let permit = Arc::clone(&self.bytes).acquire_many_owned(bytes).await.expect("the semaphore is never closed");
        self.tell(Event::Frame(id, frame, permit)).await;
    }

    pub(crate) async fn too_large(&self, id: ConnId) {
        self.tell(Event::TooLarge(id)).await;
    }

    pub(crate) async fn not_binary(&self, id: ConnId) {
        self.tell(Event::NotBinary(id)).await;
    }

    pub(crate) async fn room(&self, id: ConnId) {
        self.tell(Event::Room(id)).await;
    }

    pub(crate) async fn hung_up(&self, id: ConnId) {
        self.tell(Event::HungUp(id)).await;
    }

    pub(crate) async fn access(&self, access: Access) {
        self.tell(Event::Access(access)).await;
    }

    /// Whether this is the token of an administrator; nothing once the engine has stopped.
    pub(crate) async fn is_admin(&self, token: Option<String>) -> Option<bool> {
        let (answer, answered) = oneshot::channel();
        self.tell(Event::Ask(token, answer)).await;
        answered.await.ok()
    }

    /// What comes of what an administrator wants; nothing once the engine has stopped.
    pub(crate) async fn administer(&self, admin: Admin) -> Option<Answer> {
        let (answer, answered) = oneshot::channel();
        self.tell(Event::Admin(admin, answer)).await;
        answered.await.ok()
    }

    /// How things stand; nothing once the engine has stopped.
    pub(crate) async fn moment(&self) -> Option<Moment> {
        let (answer, answered) = oneshot::channel();
        self.tell(Event::Moment(answer)).await;
        answered.await.ok()
    }

    pub(crate) async fn drain(&self) {
        self.tell(Event::Drain).await;
    }

    async fn tell(&self, event: Event) {
        // It fails only once the engine has stopped, and then nobody is to be told.
        let _ = self.events.send(event).await;
    }
}

struct Core {
    server: Server,
    store: Box<dyn Log>,
    limiter: Limiter,
    seats: BTreeMap<ConnId, Seat>,
    /// Connections to poll after the commit.
    due: BTreeSet<ConnId>,
    started: Instant,
    /// Set when the server stops: new connections are turned away, and this is the end of the old ones.
    drain_until_ms: Option<u64>,
    /// When the state machine is due, as of the last wait or tick. Under load there may be no wait for long.
    wake_ms: Option<u64>,
    /// When what was erased is next tried to be driven out of the write-ahead log; a reader held it back.
    scrub_ms: Option<u64>,
    /// When the log is to be told that this server is still there.
    renew_ms: Option<u64>,
    /// Connections since the start.
    connected: u64,
    times: Times,
}

/// A connection, as the engine knows it.
struct Seat {
    outbox: mpsc::Sender<Batch>,
    /// The last batch is written: the next may be sent.
    room: bool,
    /// Its place among those who came, until it was welcomed.
    newcomer: Option<Arc<Visit>>,
    /// It met a limit and was told so: what it still sends is not looked at.
    refused: bool,
}

impl Core {
    fn run(mut self, runtime: &Handle, mut events: mpsc::Receiver<Event>) {
        self.renew_ms = self.store.renew_ms();
        loop {
            let first = match events.try_recv() {
                Ok(event) => Some(event),
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => match self.wait(runtime, &mut events) {
                    Ok(event) => event,
                    Err(Disconnected) => return,
                },
            };
            self.turn(first, &mut events);
            let over = self.drain_until_ms.is_some_and(|until_ms| self.seats.is_empty() || until_ms <= self.now().mono_ms);
            if over {
                self.store.leave();
            }
            if over || self.store.is_lost() {
                return;
            }
        }
    }

    /// The next event, or nothing when it is time to wake.
    fn wait(&mut self, runtime: &Handle, events: &mut mpsc::Receiver<Event>) -> Result<Option<Event>, Disconnected> {
        self.wake_ms = self.server.next_wake();
        let due = [self.wake_ms, self.drain_until_ms, self.scrub_ms, self.renew_ms];
        let Some(wake_ms) = due.into_iter().flatten().min() else {
            return events.blocking_recv().map(Some).ok_or(Disconnected);
        };
        let wait = Duration::from_millis(wake_ms.saturating_sub(self.now().mono_ms));
        match runtime.block_on(async { timeout(wait, events.recv()).await }) {
            Ok(event) => event.map(Some).ok_or(Disconnected),
            Err(_) => Ok(None),
        }
    }

    /// One transaction, and what it leads to.
    fn turn(&mut self, first: Option<Event>, events: &mut mpsc::Receiver<Event>) {
        let now = self.now();
        if self.wake_ms.is_some_and(|wake_ms| wake_ms <= now.mono_ms) {
            self.handle(now, Input::Tick);
            self.wake_ms = self.server.next_wake();
        }
        let more = std::iter::from_fn(|| events.try_recv().ok());
        for event in first.into_iter().chain(more).take(COMMIT_EVENTS_MAX) {
            self.take(event);
        }
        let wrote = !self.store.is_clean();
        let begun = Instant::now();
        self.commit();
        let committed = Instant::now();
        self.renew();
        if self.store.is_lost() {
            return;
        }
        self.due.extend(self.server.take_ready());
        let now = self.now();
        if self.scrub_ms.is_some_and(|scrub_ms| scrub_ms <= now.mono_ms) {
            self.scrub(now);
        }
        for id in std::mem::take(&mut self.due) {
            self.poll(now, id);
        }
        if wrote {
            observe(&self.times.commit, committed - begun);
            observe(&self.times.fan_out, committed.elapsed());
        }
    }

    fn commit(&mut self) {
        match self.store.commit() {
            Ok(()) => self.server.committed(),
            Err(error) => self.roll_back(&error),
        }
    }

    fn renew(&mut self) {
        let now_ms = self.now().mono_ms;
        if self.renew_ms.is_some_and(|due_ms| due_ms <= now_ms) {
            self.store.renew();
            self.renew_ms = self.store.renew_ms().map(|every_ms| now_ms + every_ms);
        }
    }

    fn take(&mut self, event: Event) {
        let now = self.now();
        match event {
            // The socket sees its end of the outbox close.
            Event::Connect(..) if self.drain_until_ms.is_some() => {}
            Event::Connect(id, outbox, visit) => {
                self.connected += 1;
                self.seats.insert(id, Seat { outbox, room: true, newcomer: Some(visit), refused: false });
                self.handle(now, Input::Connect(id));
            }
            Event::Frame(id, frame, _permit) => {
                log_opens(id, &frame);
                self.frame(now, id, &frame);
            }
            Event::TooLarge(id) => self.handle(now, Input::TooLarge(id)),
            Event::NotBinary(id) => self.handle(now, Input::NotBinary(id)),
            Event::HungUp(id) => {
                self.seats.remove(&id);
                self.limiter.hung_up(id);
                self.handle(now, Input::HungUp(id));
            }
            Event::Room(id) => {
                if let Some(seat) = self.seats.get_mut(&id) {
                    seat.room = true;
                    self.due.insert(id);
                }
            }
            Event::Access(access) => {
                self.server.set_access(access);
                self.handle(now, Input::Recheck);
            }
            Event::Ask(token, answer) => {
                let is_admin = self.server.grant(token.as_deref(), now.wall_ms).is_some_and(|grant| grant.admin);
                // Who asked may have gone.
                let _ = answer.send(is_admin);
            }
            Event::Moment(answer) => {
                let moment = Moment {
                    connections: self.seats.len() as u64,
                    connected: self.connected,
                    draining: self.drain_until_ms.is_some(),
                    counts: self.server.counts().clone(),
                    spaces: self.server.standings(),
                };
                // Who asked may have gone.
                let _ = answer.send(moment);
            }
            Event::Admin(admin, answer) => self.administer(now, &admin, answer),
            Event::Drain => {
                self.drain_until_ms = Some(now.mono_ms + DRAIN_WAIT_MS);
                self.handle(now, Input::Drain { wait_ms: BYE_WAIT_MS });
            }
        }
    }

    /// A frame of a client, as long as it takes up no more than it may.
    fn frame(&mut self, now: Now, id: ConnId, frame: &[u8]) {
        if self.seats.get(&id).is_none_or(|seat| seat.refused) {
            return;
        }
        if let Err(over) = self.limiter.frame(id, frame.len(), now.mono_ms) {
            return self.refuse(now, id, over);
        }
        self.handle(now, Input::Frame(id, frame));
        let Some(seat) = self.seats.get_mut(&id).filter(|seat| seat.newcomer.is_some()) else { return };
        let Some(subject) = self.server.subject(id) else { return };
        let welcomed = self.limiter.welcomed(id, subject, now.mono_ms);
        if let Some(visit) = seat.newcomer.take() {
            visit.greeted();
        }
        if let Err(over) = welcomed {
            self.refuse(now, id, over);
        }
    }

    /// Has the client come back later. What it sends after that is ignored. (SESS-9)
    fn refuse(&mut self, now: Now, id: ConnId, over: Over) {
        info!(connection = %Trace(id), limit = over.bound.name(), wait_ms = over.wait_ms, "over a limit");
        self.times.limited.count(over.bound);
        if let Some(seat) = self.seats.get_mut(&id) {
            seat.refused = true;
        }
        self.handle(now, Input::Busy(id, over.wait_ms));
    }

    /// Does what an operator wants, in a transaction of its own.
    fn administer(&mut self, now: Now, admin: &Admin, answer: oneshot::Sender<Answer>) {
        self.commit();
        let done = admin.run(now, &mut self.server, &mut *self.store).and_then(|done| self.store.commit().map(|()| done));
        let said = match done {
            Ok(done) => {
                self.server.committed();
                info!(?admin, status = done.status.as_u16(), "administered");
                if admin.erases() {
                    self.scrub(now);
                }
                done
            }
            Err(error) => {
                self.roll_back(&error);
                Answer { status: StatusCode::INTERNAL_SERVER_ERROR, body: "{\"error\":\"the store failed\"}".to_owned() }
            }
        };
        // Who asked may have gone.
        let _ = answer.send(said);
    }

    /// Drives what was erased out of the write-ahead log, at the latest once nobody reads the store. (ACCESS-19)
    fn scrub(&mut self, now: Now) {
        self.scrub_ms = match self.store.scrub() {
            Ok(true) => None,
            Ok(false) => Some(now.mono_ms + SCRUB_WAIT_MS),
            Err(error) => {
                error!(%error, "what was erased is still in the write-ahead log; this is tried again");
                Some(now.mono_ms + SCRUB_WAIT_MS)
            }
        };
    }

    fn handle(&mut self, now: Now, input: Input) {
        if let Err(error) = self.server.handle(now, &mut *self.store, input) {
            self.roll_back(&error);
        }
        for error in self.server.take_faults() {
            error!(%error, "the store failed a connection; it is told to try again");
        }
    }

    /// Undoes the open transaction. The sessions in it are told to come back; nobody else notices.
    fn roll_back(&mut self, error: &StoreError) {
        error!(%error, "the store failed; the sessions it failed are told to try again");
        self.store.rollback();
        self.server.rolled_back();
    }

    /// Gives the connection a batch, if it has room for one.
    fn poll(&mut self, now: Now, id: ConnId) {
        let Some(seat) = self.seats.get_mut(&id).filter(|seat| seat.room) else { return };
        let mut batch = Batch::default();
        let mut bytes = 0;
        while batch.frames.len() < BATCH_FRAMES_MAX && bytes < BATCH_BYTES {
            match self.server.poll(now, &*self.store, id) {
                Ok(Some(Output::Frame(frame))) => {
                    log_errors(id, &frame);
                    bytes += frame.len();
                    batch.frames.push(Bytes::from_owner(frame));
                }
                Ok(Some(Output::Close)) => {
                    batch.closing = Some(if self.drain_until_ms.is_some() { Closing::Away } else { Closing::Refused });
                    break;
                }
                Ok(None) => break,
                Err(error) => {
                    error!(connection = %Trace(id), %error, "the store cannot be read for a connection");
                    batch.closing = Some(Closing::Refused);
                    break;
                }
            }
        }
        if batch.frames.is_empty() && batch.closing.is_none() {
            return;
        }
        seat.room = false;
        // It fails only if the socket is gone, which `HungUp` is about to say.
        let _ = seat.outbox.try_send(batch);
    }

    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { wall_ms: millis(wall), mono_ms: millis(self.started.elapsed()) }
    }
}

/// The sockets are gone, and the server with them.
struct Disconnected;

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
