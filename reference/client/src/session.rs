//! A task that owns a [`Local`] and keeps it in sync with a server.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::pin::Pin;
use std::time::Instant;

use syncline::client::{Event, Input, Output};
use syncline::store::StoreError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Bytes;

use crate::address::Address;
use crate::local::Local;
use crate::socket::{Socket, dial};

/// A replica that a task of its own keeps in sync. Dropped, the task ends and the replica with it.
pub struct Session {
    remote: Remote,
    notices: mpsc::Receiver<Notice>,
    task: JoinHandle<(Local, Result<(), StoreError>)>,
}

/// Reaches the replica of a session from another task. While one is kept, the session does not end.
#[derive(Clone)]
pub struct Remote {
    commands: mpsc::Sender<Command>,
    /// The address, where a token may not travel to it.
    unsafe_address: Option<Address>,
}

/// What a session tells the application.
#[derive(Debug)]
pub enum Notice {
    /// An event of the protocol.
    Event(Event),
    /// The server was not reached; the session tries again by itself.
    NotReached(String),
}

/// Why a session does not start or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The token would be sent where others can read it. (BIND-6)
    #[error("the token would travel unencrypted to {0}; allowed are wss:// and loopback addresses, or --insecure-token")]
    TokenInClear(Address),
    /// The session has ended.
    #[error("the session has ended")]
    Ended,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether a token may be sent over a connection that others can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenPolicy {
    /// Only encrypted or on this device. (BIND-6)
    Guarded,
    /// Anywhere: the user forces it.
    Forced,
}

type Command = Box<dyn FnOnce(&mut Local) + Send>;

/// Notices that wait for the application. When as many wait, the session reads no more from the server.
const NOTICES_MAX: usize = 1_024;
/// Commands that wait for the session.
const COMMANDS_MAX: usize = 64;

impl Session {
    /// Starts to sync with the server at `address`. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the replica has a token and the address does not keep secrets. The replica is dropped.
    pub fn start(local: Local, address: Address, policy: TokenPolicy) -> Result<Self, SessionError> {
        let unsafe_address = (policy == TokenPolicy::Guarded && !address.keeps_secrets()).then(|| address.clone());
        if let Some(address) = unsafe_address.clone().filter(|_| local.has_token()) {
            return Err(SessionError::TokenInClear(address));
        }
        let (commands, to_run) = mpsc::channel(COMMANDS_MAX);
        let (to_tell, notices) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            let mut running = Running { local, address, line: Line::Down, wake: None, closing: None, notices: VecDeque::new() };
            let ended = running.run(to_run, to_tell).await;
            (running.local, ended)
        });
        Ok(Self { remote: Remote { commands, unsafe_address }, notices, task })
    }

    /// A handle for other tasks.
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// Runs `command` on the replica, between two frames, and returns what it returns.
    ///
    /// # Errors
    /// `Ended` when the session has ended.
    pub async fn with<R: Send + 'static>(&self, command: impl FnOnce(&mut Local) -> R + Send + 'static) -> Result<R, SessionError> {
        self.remote.with(command).await
    }

    /// The next notice; nothing when the session has ended, and [`Session::stop`] says why.
    pub async fn next(&mut self) -> Option<Notice> {
        self.notices.recv().await
    }

    /// Ends the connection and gives the replica back.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn stop(self) -> Result<Local, SessionError> {
        drop(self.remote);
        drop(self.notices);
        match self.task.await {
            Ok((local, Ok(()))) => Ok(local),
            Ok((_, Err(error))) => Err(error.into()),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(SessionError::Ended),
        }
    }
}

impl Remote {
    /// Runs `command` on the replica, between two frames, and returns what it returns.
    ///
    /// # Errors
    /// `Ended` when the session has ended.
    pub async fn with<R: Send + 'static>(&self, command: impl FnOnce(&mut Local) -> R + Send + 'static) -> Result<R, SessionError> {
        let (answer, answered) = oneshot::channel();
        let run: Command = Box::new(move |local| {
            // Who asked may have gone.
            let _ = answer.send(command(local));
        });
        self.commands.send(run).await.map_err(|_| SessionError::Ended)?;
        answered.await.map_err(|_| SessionError::Ended)
    }

    /// Gives the replica a new token, and when it ends where that is known. It goes out on the open connection, or a refused
    /// client connects again with it. (ACCESS-15)
    ///
    /// # Errors
    /// When others could read the token on its way (BIND-6), the session has ended, or the store failed.
    pub async fn set_token(&self, token: String, expires_ms: Option<u64>) -> Result<(), SessionError> {
        if let Some(address) = &self.unsafe_address {
            return Err(SessionError::TokenInClear(address.clone()));
        }
        Ok(self.with(move |local| local.set_token(Some(token), expires_ms)).await??)
    }
}

struct Running {
    local: Local,
    address: Address,
    line: Line,
    wake: Option<Instant>,
    closing: Option<JoinHandle<()>>,
    notices: VecDeque<Notice>,
}

enum Line {
    Down,
    Dialling(Pin<Box<dyn Future<Output = Result<Socket, String>> + Send>>),
    Up(Socket),
}

enum Happened {
    Reached(Socket),
    NotReached(String),
    Frame(Bytes),
    HungUp,
}

impl Line {
    async fn next(&mut self) -> Happened {
        match self {
            Self::Down => pending().await,
            Self::Dialling(dialled) => dialled.await.map_or_else(Happened::NotReached, Happened::Reached),
            Self::Up(socket) => socket.next().await.map_or(Happened::HungUp, Happened::Frame),
        }
    }
}

impl Running {
    async fn run(&mut self, mut commands: mpsc::Receiver<Command>, told: mpsc::Sender<Notice>) -> Result<(), StoreError> {
        self.local.handle(Input::Start)?;
        loop {
            self.perform();
            let wake = self.wake;
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => command(&mut self.local),
                    None => break,
                },
                // When nobody listens any more, `commands` ends as well.
                Ok(place) = told.reserve(), if !self.notices.is_empty() => {
                    place.send(self.notices.pop_front().expect("guarded by the branch's condition"));
                }
                happened = self.line.next(), if self.notices.len() < NOTICES_MAX => self.happened(happened)?,
                () = at(wake) => {
                    self.wake = None;
                    self.local.handle(Input::Tick)?;
                }
            }
        }
        self.local.handle(Input::Stop)?;
        self.perform();
        if let Some(closing) = self.closing.take() {
            // It ends by itself within its patience, and has no answer.
            let _ = closing.await;
        }
        Ok(())
    }

    fn happened(&mut self, happened: Happened) -> Result<(), StoreError> {
        match happened {
            Happened::Reached(socket) => {
                self.line = Line::Up(socket);
                self.local.handle(Input::Connected)
            }
            Happened::NotReached(fault) => {
                self.line = Line::Down;
                self.notices.push_back(Notice::NotReached(fault));
                self.local.handle(Input::HungUp)
            }
            Happened::Frame(frame) => self.local.handle(Input::Frame(&frame)),
            Happened::HungUp => {
                self.line = Line::Down;
                self.local.handle(Input::HungUp)
            }
        }
    }

    /// Does what the core wants done.
    fn perform(&mut self) {
        while let Some(output) = self.local.take_output() {
            match output {
                // Nobody links on a session with a server.
                Output::LinkSend(..) | Output::Unlink(_) => {}
                Output::Connect => self.line = Line::Dialling(Box::pin(dial(self.address.clone()))),
                Output::Send(frame) => {
                    if let Line::Up(socket) = &self.line {
                        socket.send(frame);
                    }
                }
                Output::Close => self.hang_up(),
                Output::Event(event) => self.notices.push_back(Notice::Event(event)),
                Output::WakeAt(mono_ms) => self.wake = Some(self.local.instant(mono_ms)),
            }
        }
    }

    fn hang_up(&mut self) {
        if let Line::Up(socket) = std::mem::replace(&mut self.line, Line::Down) {
            self.closing = Some(tokio::spawn(socket.close()));
        }
    }
}

async fn at(wake: Option<Instant>) {
    match wake {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => pending().await,
    }
}
