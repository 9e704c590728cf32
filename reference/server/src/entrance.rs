//! Connections before they speak HTTP: who is let in, by TLS or without, and who serves them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use syncline::limits;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch::Receiver;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use crate::ACCEPT_PAUSE;
use crate::cluster::{Role, pass_on};
use crate::door::{self, Door};
use crate::engine::Engine;
use crate::gate::Gate;
use crate::limiter::{Arrivals, Visit};
use crate::metrics::Limited;
use crate::socket::Stream;

/// How long a TLS handshake, and then the head of a request, may take.
const HANDSHAKE_WAIT: Duration = Duration::from_millis(limits::HELLO_TIMEOUT_MS);
/// How long a connection waits for a leader; a lease and an election of the stream's servers are shorter.
const ROLE_WAIT: Duration = Duration::from_secs(8);

/// What answers HTTP.
pub(crate) struct Entrance {
    pub gate: Gate,
    pub door: Door,
}

/// How connections come in at one address.
pub(crate) struct Entry {
    /// How they are encrypted, if they are.
    pub tls: Option<TlsAcceptor>,
    pub entrance: Arc<Entrance>,
    /// Who is let in.
    pub arrivals: Arrivals,
    /// Counts those who are not.
    pub refused: Limited,
    /// What this server does for them.
    pub roles: Receiver<Role>,
    /// Whether those that another server is to serve are passed on to it.
    pub passes_on: bool,
}

impl Entry {
    /// Accepts connections for ever.
    pub async fn accept(self, listener: TcpListener) {
        let entry = Arc::new(self);
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let visit = match entry.arrivals.admit(peer.ip()) {
                Ok(visit) => visit,
                Err(bound) => {
                    info!(%peer, limit = bound.name(), "no room for a connection");
                    entry.refused.count(bound);
                    continue;
                }
            };
            // A frame is written whole; waiting for more to fill a packet only delays it.
            let _ = stream.set_nodelay(true);
            let entry = Arc::clone(&entry);
            tokio::spawn(async move { entry.admit(stream, Arc::new(visit)).await });
        }
    }

    /// Serves the connection where this server leads, and passes it on to who leads where it may. Where nobody leads it waits a moment.
    async fn admit(&self, stream: TcpStream, visit: Arc<Visit>) {
        let Some(stream) = self.secured(stream).await else { return };
        let mut roles = self.roles.clone();
        let known = roles.wait_for(|role| !matches!(role, Role::Waits));
        let role = timeout(ROLE_WAIT, known).await.map(|role| role.map(|role| role.clone()));
        match role {
            Ok(Ok(Role::Leads(engine))) => self.serve(stream, engine, visit).await,
            Ok(Ok(Role::Follows(leader))) if self.passes_on => pass_on(stream, leader, roles, visit).await,
            // Who is turned away comes back.
            _ => drop(stream),
        }
    }

    /// The connection after its TLS handshake, where there is one; none where that failed.
    async fn secured(&self, stream: TcpStream) -> Option<Stream> {
        let Some(tls) = &self.tls else { return Some(Stream::Left(stream)) };
        match timeout(HANDSHAKE_WAIT, tls.accept(stream)).await {
            Ok(Ok(stream)) => Some(Stream::Right(Box::new(stream))),
            Ok(Err(error)) => {
                debug!(%error, "a TLS handshake failed");
                None
            }
            Err(_) => None,
        }
    }

    /// Serves HTTP; a connection that becomes a WebSocket lives on in a task of its own and keeps the visit.
    async fn serve(&self, stream: Stream, engine: Engine, visit: Arc<Visit>) {
        let service = service_fn(|request| {
            let (entrance, engine, visit) = (Arc::clone(&self.entrance), engine.clone(), Arc::clone(&visit));
            async move {
                let answer = match request.uri().path().starts_with(door::PATH) {
                    true => entrance.door.answer(&request, &entrance.gate, &engine).await,
                    false => entrance.gate.answer(request, &engine, &visit),
                };
                Ok::<_, Infallible>(answer)
            }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HANDSHAKE_WAIT)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await;
        if let Err(error) = served {
            debug!(%error, "a connection ended before its handshake");
        }
    }
}
