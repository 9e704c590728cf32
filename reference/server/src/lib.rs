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
mod app;
pub mod cluster;
pub mod config;
mod door;
mod edn;
mod engine;
mod entrance;
mod gate;
pub mod inspect;
pub mod limiter;
mod log;
mod metrics;
pub mod operate;
mod operator;
mod reply;
mod socket;
pub mod tls;
pub mod tokens;
mod trail;
mod watch;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use syncline::entropy::Entropy;
use syncline::registry::{DURABILITY_REPLICATED, DURABILITY_STORED};
use syncline::server::{Server, ServerConfig};
use syncline_store::{Kind, OpenError, SqliteStore};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::sync::watch::{Sender, channel};
use tokio::task::JoinSet;
use tracing::info;

use app::App;
use cluster::{ClusterError, Membership, Role};
pub use config::Config;
use door::Door;
use engine::Engine;
use entrance::{Entrance, Entry};
use gate::Gate;
use limiter::{Arrivals, Limiter};
use log::Log;
use metrics::Times;
use operator::Operator;
use tls::Tls;
use watch::Watch;

/// The file in the data folder.
const STORE_FILE: &str = "syncline.db";
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
    /// The web application cannot be read.
    #[error("--app {}: {reason}", .folder.display())]
    App {
        /// The folder.
        folder: PathBuf,
        /// What the system said, or what is wrong with a file.
        reason: std::io::Error,
    },
    /// A file that says who may come in cannot be used.
    #[error("{0}")]
    Access(String),
    /// The store was not opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The shard was not joined.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
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
    let (address, safe) = (bound.address(), if bound.tls.is_some() { "s" } else { "" });
    let mut line = format!("listening on ws{safe}://{address}\n");
    if bound.entrance.gate.serves_app() {
        line += &format!("open http{safe}://{address}/\n");
    }
    if let Some(address) = bound.operator_address() {
        line += &format!("operator on http://{address}\n");
    }
    // Whoever closed our standard output does not want the line.
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
    bound.run(shutdown).await
}

/// Takes the address and the store, and serves nothing yet.
///
/// # Errors
/// The address, the store or the web application cannot be had.
pub async fn bind(config: Config) -> Result<Bound, ServeError> {
    let app = config.app.as_deref().map(|folder| App::read(folder).map_err(|reason| ServeError::App { folder: folder.to_owned(), reason }));
    let app = app.transpose()?;
    let tls = config.tls.clone().map(Tls::new).transpose().map_err(ServeError::Access)?;
    let (listener, address) = listen(config.listen).await?;
    let gate = Gate::new(address, config.is_open(), config.allow_origins.clone(), app);
    let entrance = Arc::new(Entrance { gate, door: Door::new(config.data.join(STORE_FILE)) });
    let operator = match config.operator {
        None => None,
        Some(address) => Some(listen(address).await?),
    };
    let times = Times::default();
    let (role, _) = channel(Role::Waits);
    let life = match &config.cluster {
        None => Life::Alone(Box::new(start(&config, Box::new(open_store(config.data.clone())?), times.clone())?)),
        Some(cluster) => {
            make_folder(&config.data)?;
            let (member, relay) = Membership::join(cluster, &config.data).await?;
            Life::Member(Box::new(member), relay)
        }
    };
    Ok(Bound { listener, address, tls, operator, entrance, config, times, role, life })
}

/// A listener and its address, with the port that the system chose where none was asked for.
async fn listen(listen: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let refused = |reason| ServeError::Listen { listen, reason };
    let listener = TcpListener::bind(listen).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}

/// An engine at work, and what watches the files for it.
struct Running {
    watch: Watch,
    engine: Engine,
    stopped: oneshot::Receiver<()>,
}

/// Starts an engine over a log.
fn start(config: &Config, log: Box<dyn Log>, times: Times) -> Result<Running, ServeError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(ServeError::Entropy)?;
    // Apart from the seed, which is a secret: the log shows these.
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(ServeError::Entropy)?;
    let watch = Watch::new(config).map_err(ServeError::Access)?;
    let settings = ServerConfig {
        access: watch.access(),
        quota: config.quota,
        retention: config.retention,
        create_spaces: config.create_spaces,
        durability: if config.cluster.is_some() { DURABILITY_REPLICATED } else { DURABILITY_STORED },
        ..ServerConfig::default()
    };
    let server = Server::new(settings, Entropy::new(seed));
    let (engine, stopped) =
        Engine::start(server, log, Limiter::new(config.limits.clone()), times, u64::from_le_bytes(random)).map_err(ServeError::Thread)?;
    Ok(Running { watch, engine, stopped })
}

fn open_store(folder: PathBuf) -> Result<SqliteStore, ServeError> {
    make_folder(&folder)?;
    let store = SqliteStore::open(folder.join(STORE_FILE), Kind::Server)?;
    // What is written to a cache alone would part it from its stream.
    match cluster::stream_of(&store).map_err(ClusterError::Store)? {
        Some(stream) => Err(ClusterError::Cache { folder, stream }.into()),
        None => Ok(store),
    }
}

/// Makes the folder, for its owner alone, where there is none.
fn make_folder(folder: &Path) -> Result<(), ServeError> {
    let mut made = std::fs::DirBuilder::new();
    made.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut made, 0o700);
    made.create(folder).map_err(|reason| ServeError::Folder { folder: folder.to_owned(), reason })
}

/// What a server is.
enum Life {
    /// The only one of its log.
    Alone(Box<Running>),
    /// One of several that share a log.
    Member(Box<Membership>, TcpListener),
}

/// A server that has its address and its store.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
    operator: Option<(TcpListener, SocketAddr)>,
    entrance: Arc<Entrance>,
    config: Config,
    times: Times,
    role: Sender<Role>,
    life: Life,
}

impl Bound {
    /// Where it listens, with the port that the system chose where none was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it shows how it is, if anywhere.
    pub fn operator_address(&self) -> Option<SocketAddr> {
        self.operator.as_ref().map(|(_, address)| *address)
    }

    /// Serves until `shutdown` resolves; then says `bye` to every client and gives them a moment to leave.
    ///
    /// # Errors
    /// The engine stopped for another reason.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Self { listener, address, tls, operator, entrance, config, times, role, life } = self;
        info!(%address, "listening");
        // It stays while the clients are sent away: that is when somebody asks.
        let mut beside = JoinSet::new();
        if let Some((listener, address)) = operator {
            let page = Operator::new(address, role.subscribe(), times.clone(), config.data.join(STORE_FILE));
            beside.spawn(page.run(listener));
        }
        let acceptor = tls.as_ref().map(Tls::acceptor).transpose().map_err(ServeError::Access)?;
        if let Some(tls) = tls {
            beside.spawn(tls.watch());
        }
        let arrivals = Arrivals::new(&config.limits);
        let refused = times.limited.clone();
        let clients = Entry { tls: acceptor, entrance: Arc::clone(&entrance), arrivals, refused, roles: role.subscribe(), passes_on: true };
        match life {
            Life::Alone(running) => alone(clients, listener, &role, *running, shutdown).await?,
            Life::Member(member, relay) => {
                let (arrivals, refused) = (Arrivals::passed_on(&config.limits), times.limited.clone());
                let relayed = Entry { tls: None, entrance, arrivals, refused, roles: role.subscribe(), passes_on: false };
                tokio::select! {
                    over = member.live(&config, &times, &role, shutdown) => over?,
                    () = clients.accept(listener) => {}
                    () = relayed.accept(relay) => {}
                }
            }
        }
        info!("stopped");
        Ok(())
    }
}

async fn alone(
    clients: Entry,
    listener: TcpListener,
    role: &Sender<Role>,
    running: Running,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let Running { watch, engine, mut stopped } = running;
    role.send_replace(Role::Leads(engine.clone()));
    tokio::select! {
        () = shutdown => {}
        // It owns the listener, which is closed with it.
        () = clients.accept(listener) => {}
        () = watch.run(engine.clone()) => {}
        _ = &mut stopped => return Err(ServeError::Engine),
    }
    info!("draining");
    engine.drain().await;
    stopped.await.map_err(|_| ServeError::Engine)
}
