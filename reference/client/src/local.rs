//! A replica on this device, without a network.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use syncline::change::RecordName;
use syncline::client::{Client, ClientConfig, Guard, Input, Output, Rejection, Status, Wiped, Write, WriteError};
use syncline::clock::{Now, Replica};
use syncline::entropy::Entropy;
use syncline::registry::Profiles;
use syncline::space::View;
use syncline::store::{Store, StoreError, Transact};
use syncline_store::{Kind, SqliteStore};

/// A replica of one space in one store file, which it holds alone while it lives.
///
/// Every change to the store is durable when the call that makes it returns.
pub struct Local {
    space: String,
    token: Option<String>,
    client: Client,
    store: SqliteStore,
    started: Instant,
    outputs: VecDeque<Output>,
    online: bool,
}

/// Why a replica was not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The file could not be opened.
    #[error(transparent)]
    File(#[from] syncline_store::OpenError),
    /// The file could be opened, the replica in it not.
    #[error("{}: {error}", .path.display())]
    Replica {
        /// The file.
        path: PathBuf,
        /// What failed.
        error: StoreError,
    },
}

impl OpenError {
    /// Whether another process holds the file, so that waiting may help.
    pub fn is_held(&self) -> bool {
        matches!(self, Self::File(syncline_store::OpenError::Locked { .. }))
    }
}

impl Local {
    /// Opens the replica in the file at `path`, which is made when it is not there.
    ///
    /// # Errors
    /// When the file cannot be opened, is held by another process, or holds another space.
    pub fn open(path: &Path, space: &str, token: Option<String>) -> Result<Self, OpenError> {
        let mut store = SqliteStore::open(path, Kind::Client)?;
        let unusable = |error| OpenError::Replica { path: path.to_owned(), error };
        let started = Instant::now();
        let client = load(space, token.clone(), &mut store, now(started)).map_err(unusable)?;
        store.commit().map_err(unusable)?;
        Ok(Self { space: space.to_owned(), token, client, store, started, outputs: VecDeque::new(), online: false })
    }

    /// The name of the space.
    pub fn space(&self) -> &str {
        &self.space
    }

    /// Whether a token is sent to the server.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Takes a new token, and when it ends in Unix milliseconds where that is known. (ACCESS-15, ACCESS-16)
    ///
    /// # Errors
    /// When the store fails.
    pub fn set_token(&mut self, token: Option<String>, expires_ms: Option<u64>) -> Result<(), StoreError> {
        self.token.clone_from(&token);
        self.client.set_token(now(self.started), token, expires_ms);
        self.collect();
        // A client that was refused begins again.
        if self.online { self.handle(Input::Start) } else { Ok(()) }
    }

    /// Removes all that the replica holds, unless changes have no verdict and it is not forced. Where it was done, the
    /// replica is of no use any more. (ACCESS-18)
    ///
    /// # Errors
    /// When the store fails.
    pub fn wipe(&mut self, force: bool) -> Result<Wiped, StoreError> {
        let wiped = match self.client.wipe(&mut self.store, force) {
            Ok(wiped) => wiped,
            Err(error) => return Err(self.undo(error)),
        };
        self.commit()?;
        self.store.scrub()?;
        Ok(wiped)
    }

    /// Makes one atomic change and returns its seq. It is durable and shown at once. (MODEL-3, MODEL-12)
    ///
    /// # Errors
    /// `Refused` when the change breaks a limit, and nothing has changed (MODEL-9); `Store` when it could not be kept.
    pub fn write(&mut self, writes: &[Write]) -> Result<u64, WriteError> {
        self.write_if(writes, &[])
    }

    /// The same, to be rejected by the server unless each guard still holds there. (COND-1)
    ///
    /// # Errors
    /// As `write`.
    pub fn write_if(&mut self, writes: &[Write], guards: &[Guard]) -> Result<u64, WriteError> {
        let seq = match self.client.write_if(now(self.started), &mut self.store, writes, guards) {
            Ok(seq) => seq,
            Err(WriteError::Refused(refusal)) => {
                self.store.rollback();
                return Err(WriteError::Refused(refusal));
            }
            Err(WriteError::Store(error)) => return Err(WriteError::Store(self.undo(error))),
        };
        self.commit().map_err(WriteError::Store)?;
        Ok(seq)
    }

    /// What shows of a record, or nothing. (MODEL-14)
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn record(&self, name: &RecordName) -> Result<Option<View>, StoreError> {
        self.client.record(&self.store, name)
    }

    /// The shown records of a collection, or of all, in ascending order of (collection, id).
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn records(&self, collection: Option<&str>) -> Result<Vec<(RecordName, View)>, StoreError> {
        let mut records = self.client.records(&self.store, collection)?;
        records.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(records)
    }

    /// Where the replica stands.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn status(&self) -> Result<Status, StoreError> {
        self.client.status(&self.store)
    }

    /// The rejections that the application has not dismissed. (IDENT-22)
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn rejections(&self) -> Result<Vec<Rejection>, StoreError> {
        self.client.rejections(&self.store)
    }

    /// Forgets a rejection by its number. (IDENT-22)
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn dismiss(&mut self, number: u64) -> Result<(), StoreError> {
        match self.client.dismiss(&mut self.store, number) {
            Ok(()) => self.commit(),
            Err(error) => Err(self.undo(error)),
        }
    }

    /// Syncs these collections from now on and no others; none: all. (SUB-11 to SUB-14)
    ///
    /// # Errors
    /// `Refused` when the names break a limit, and nothing has changed; `Store` when it could not be kept.
    pub fn subscribe(&mut self, collections: Option<&[String]>) -> Result<(), WriteError> {
        match self.client.subscribe(now(self.started), &mut self.store, collections) {
            Ok(()) => self.commit().map_err(WriteError::Store),
            Err(WriteError::Refused(refusal)) => {
                self.store.rollback();
                Err(WriteError::Refused(refusal))
            }
            Err(WriteError::Store(error)) => Err(WriteError::Store(self.undo(error))),
        }
    }

    /// The collections that are synced; none: all.
    pub fn subscription(&self) -> Option<&BTreeSet<String>> {
        self.client.subscription()
    }

    /// Sets what others are told of this replica while it is connected; nothing of it is stored. None takes it back. (PRES-4)
    ///
    /// # Errors
    /// When the payload or the ttl breaks a limit.
    pub fn set_presence(&mut self, payload: Option<Vec<u8>>, ttl: Duration) -> Result<(), WriteError> {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        self.client.set_presence(now(self.started), payload, ttl_ms).map_err(WriteError::Refused)?;
        self.collect();
        Ok(())
    }

    /// The presence of the others that are connected, by replica.
    pub fn presence(&self) -> &BTreeMap<Replica, Vec<u8>> {
        self.client.presence()
    }

    /// The server that [`Local::remember_server`] last named.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn server(&self) -> Result<Option<String>, StoreError> {
        Ok(self.store.get(SERVER)?.map(|url| String::from_utf8_lossy(&url).into_owned()))
    }

    /// Keeps the address of the server for the next time.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn remember_server(&mut self, url: &str) -> Result<(), StoreError> {
        match self.store.put(SERVER, url.as_bytes()) {
            Ok(()) => self.commit(),
            Err(error) => Err(self.undo(error)),
        }
    }

    /// Feeds the core and makes durable what it did.
    pub(crate) fn handle(&mut self, input: Input) -> Result<(), StoreError> {
        match input {
            Input::Start => self.online = true,
            Input::Stop => self.online = false,
            _ => {}
        }
        match self.client.handle(now(self.started), &mut self.store, input) {
            Ok(()) => self.commit(),
            Err(error) => Err(self.undo(error)),
        }
    }

    /// What the other side of a peer link has to show, and is shown. (PEER-2)
    pub(crate) fn set_link_token(&mut self, token: Option<String>) {
        self.client.set_link_token(token);
    }

    /// The next thing the core wants done; everything it tells of is durable.
    pub(crate) fn take_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The instant of a wake-up time of the core.
    pub(crate) fn instant(&self, mono_ms: u64) -> Instant {
        self.started + Duration::from_millis(mono_ms)
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        if let Err(error) = self.store.commit() {
            return Err(self.undo(error));
        }
        self.collect();
        Ok(())
    }

    fn collect(&mut self) {
        while let Some(output) = self.client.poll() {
            self.outputs.push_back(output);
        }
    }

    /// Returns to what is durable after a failure, in memory too, and begins the connection anew.
    fn undo(&mut self, error: StoreError) -> StoreError {
        self.store.rollback();
        self.outputs.clear();
        let client = load(&self.space, self.token.clone(), &mut self.store, now(self.started));
        let again = client.and_then(|client| {
            self.client = client;
            self.outputs.push_back(Output::Close);
            if self.online {
                self.client.handle(now(self.started), &mut self.store, Input::Start)?;
            }
            self.store.commit()
        });
        match again {
            Ok(()) => {
                self.collect();
                error
            }
            Err(second) => StoreError(format!("{error}; and to return to the state before failed: {second}")),
        }
    }
}

/// A key of the shell; no key of the core starts so.
const SERVER: &[u8] = b"~server";

fn load(space: &str, token: Option<String>, store: &mut SqliteStore, now: Now) -> Result<Client, StoreError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| StoreError(format!("the system gives no randomness: {error}")))?;
    Client::load(
        ClientConfig { space: space.to_owned(), token, profiles: Profiles::OFFERED, credit_bytes: syncline::limits::CREDIT_BYTES as u64 },
        store,
        Entropy::new(seed),
        now,
    )
}

fn now(started: Instant) -> Now {
    let wall_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    Now { wall_ms, mono_ms: started.elapsed().as_millis() as u64 }
}
