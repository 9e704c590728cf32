//! A Syncline server: WebSocket in front, SQLite behind.
//!
//! ```text
//! gate ──▶ socket (a task per connection) ──events──▶ engine (one thread: state machine, store)
//!                                         ◀──batches──
//! ```
//!
//! The engine takes what has arrived into one transaction, commits it, and only then gives out what it led to. A socket
//! asks for a batch when the one before is written, so a slow reader costs one batch and nothing more.

pub mod admin;
pub mod config;
mod door;
mod engine;
mod gate;
pub mod operate;
mod reply;
mod socket;
pub mod tokens;
mod trail;
mod watch;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use syncline::entropy::Entropy;
use syncline::limits;
use syncline::server::{Server, ServerConfig};
use syncline_store::{Kind, OpenError, SqliteStore};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tracing::{info, warn};

pub use config::Config;
use door::Door;
use engine::Engine;
use gate::Gate;
use watch::Watch;

/// The file in the data folder.
const STORE_FILE: &str = "syncline.db";
/// Connections served at a time, handshakes included; more are closed at once.
const CONNECTIONS_MAX: usize = 10_000;
/// What the server waits after it could not accept a connection, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the server did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {listen}: {reason}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The data folder cannot be made.
    #[error("{}: cannot make the data folder: {reason}", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// A file that says who may come in cannot be used.
    #[error("{0}")]
    Access(String),
    /// The store was not opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The operating system gave no random bytes.
    #[error("no random bytes: {0}")]
    Entropy(getrandom::Error),
    /// The thread of the engine could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// The engine met a bug and stopped.
    #[error("the engine stopped; what was acknowledged is safe in the store")]
    Engine,
}

/// Serves until `shutdown` resolves, and says on standard output where.
///
/// # Errors
/// The server could not start, or its engine stopped.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
    let bound = bind(config).await?;
    let line = format!("listening on ws://{}\n", bound.address());
    // Whoever closed our standard output does not want the line.
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
    bound.run(shutdown).await
}

/// Takes the address and the store, and serves nothing yet.
///
/// # Errors
/// The address or the store cannot be had.
pub async fn bind(config: Config) -> Result<Bound, ServeError> {
    let refused = |reason| ServeError::Listen { listen: config.listen, reason };
    let listener = TcpListener::bind(config.listen).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let store = open_store(config.data.clone())?;
    let door = Door::new(store.path().to_owned());
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(ServeError::Entropy)?;
    let watch = Watch::new(&config).map_err(ServeError::Access)?;
    let settings = ServerConfig {
        access: watch.access(),
        quota: config.quota,
        retention: config.retention,
        create_spaces: config.create_spaces,
        ..ServerConfig::default()
    };
    let server = Server::new(settings, Entropy::new(seed));
    let (engine, stopped) = Engine::start(server, store).map_err(ServeError::Thread)?;
    let gate = Gate::new(address, config.is_open(), config.allow_origins);
    Ok(Bound { listener, address, entrance: Arc::new(Entrance { gate, door }), watch, engine, stopped })
}

fn open_store(folder: PathBuf) -> Result<SqliteStore, ServeError> {
    make_folder(&folder)?;
    Ok(SqliteStore::open(folder.join(STORE_FILE), Kind::Server)?)
}

/// Makes the folder, for its owner alone, where there is none.
fn make_folder(folder: &Path) -> Result<(), ServeError> {
    let mut made = std::fs::DirBuilder::new();
    made.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut made, 0o700);
    made.create(folder).map_err(|reason| ServeError::Folder { folder: folder.to_owned(), reason })
}

/// What answers HTTP.
struct Entrance {
    gate: Gate,
    door: Door,
}

/// A server that has its address and its store.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    entrance: Arc<Entrance>,
    watch: Watch,
    engine: Engine,
    stopped: oneshot::Receiver<()>,
}

impl Bound {
    /// Where it listens, with the port that the system chose where none was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` resolves; then says `bye` to every client and gives them a moment to leave.
    ///
    /// # Errors
    /// The engine stopped for another reason.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Self { listener, address, entrance, watch, engine, mut stopped } = self;
        info!(%address, "listening");
        tokio::select! {
            () = shutdown => {}
            () = accept(&listener, &entrance, &engine) => {}
            () = watch.run(engine.clone()) => {}
            _ = &mut stopped => return Err(ServeError::Engine),
        }
        drop(listener);
        info!("draining");
        engine.drain().await;
        stopped.await.map_err(|_| ServeError::Engine)?;
        info!("stopped");
        Ok(())
    }
}

async fn accept(listener: &TcpListener, entrance: &Arc<Entrance>, engine: &Engine) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else {
            warn!(%peer, connections_max = CONNECTIONS_MAX, "no room for a connection");
            continue;
        };
        tokio::spawn(serve(stream, Arc::clone(entrance), engine.clone(), Arc::new(seat)));
    }
}

/// Serves HTTP on the connection; one that becomes a WebSocket lives on in a task of its own and keeps the seat.
async fn serve(stream: TcpStream, entrance: Arc<Entrance>, engine: Engine, seat: Arc<tokio::sync::OwnedSemaphorePermit>) {
    // A frame is written whole; waiting for more to fill a packet only delays it.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let (entrance, engine, seat) = (Arc::clone(&entrance), engine.clone(), Arc::clone(&seat));
        async move {
            let answer = match request.uri().path().starts_with(door::PATH) {
                true => entrance.door.answer(&request, &entrance.gate, &engine).await,
                false => entrance.gate.answer(request, &engine, &seat),
            };
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits::HELLO_TIMEOUT_MS))
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended before its handshake");
    }
}
