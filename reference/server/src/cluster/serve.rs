//! A member's life: it follows, leads, and follows again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tracing::{debug, error, info, warn};

use super::member::{Member, Role};
use super::{ClusterConfig, READ_PAUSE};
use crate::limiter::Visit;
use crate::metrics::Times;
use crate::socket::Stream;
use crate::{Config, Running, STORE_FILE, ServeError};

/// A server that has joined its shard.
pub(crate) struct Membership {
    config: ClusterConfig,
    address: SocketAddr,
    file: PathBuf,
    member: Member,
}

impl Membership {
    /// Joins; with where the other members pass connections on to.
    ///
    /// # Errors
    /// The log or the address for the other members cannot be had.
    pub(crate) async fn join(config: &ClusterConfig, folder: &Path) -> Result<(Self, TcpListener), ServeError> {
        let refused = |reason| ServeError::Listen { listen: config.relay, reason };
        let relay = TcpListener::bind(config.relay).await.map_err(refused)?;
        let address = relay.local_addr().map_err(refused)?;
        let file = folder.join(STORE_FILE);
        let member = Member::join(config, address.to_string(), &file).await?;
        Ok((Self { config: config.clone(), address, file, member }, relay))
    }

    /// Follows and leads in turns until `shutdown` resolves.
    ///
    /// # Errors
    /// The cache cannot be written, or the engine stopped for another reason than a lost log.
    pub(crate) async fn live(
        self,
        config: &Config,
        times: &Times,
        role: &watch::Sender<Role>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let Self { config: cluster, address, file, member } = self;
        let mut shutdown = std::pin::pin!(shutdown);
        let mut next = Some(member);
        loop {
            let joined = async {
                match next.take() {
                    Some(member) => member,
                    None => rejoin(&cluster, address, &file).await,
                }
                .follow(role)
                .await
            };
            let log = tokio::select! {
                () = &mut shutdown => return Ok(()),
                log = joined => log.map_err(super::ClusterError::Store)?,
            };
            let Running { watch, engine, mut stopped } = crate::start(config, log, times.clone())?;
            role.send_replace(Role::Leads(engine.clone()));
            let over = tokio::select! {
                () = &mut shutdown => true,
                () = watch.run(engine.clone()) => true,
                lost = &mut stopped => {
                    lost.map_err(|_| ServeError::Engine)?;
                    false
                }
            };
            role.send_replace(Role::Waits);
            if over {
                info!("draining");
                engine.drain().await;
                return stopped.await.map_err(|_| ServeError::Engine);
            }
            warn!("follows again");
        }
    }
}

/// Joins again, however long it takes.
async fn rejoin(config: &ClusterConfig, address: SocketAddr, file: &Path) -> Member {
    loop {
        match Member::join(config, address.to_string(), file).await {
            Ok(member) => return member,
            Err(error) => error!(%error, "cannot join the shard; tries again"),
        }
        tokio::time::sleep(READ_PAUSE).await;
    }
}

/// Passes a connection on to the leader, until one of the three ends.
pub(crate) async fn pass_on(mut stream: Stream, leader: String, mut roles: watch::Receiver<Role>, visit: Arc<Visit>) {
    // Who leads sees its `hello`, and counts it until then.
    visit.greeted();
    let passed = async {
        let mut onward = TcpStream::connect(&leader).await?;
        let _ = onward.set_nodelay(true);
        tokio::io::copy_bidirectional(&mut stream, &mut onward).await
    };
    tokio::select! {
        passed = passed => {
            if let Err(error) = passed {
                debug!(leader, %error, "a connection that was passed on ended");
            }
        }
        _ = roles.wait_for(|role| !role.follows(&leader)) => {}
    }
    drop(visit);
}
