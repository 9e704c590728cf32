//! The operator's own listener: how the server is, for people and for programs that watch it.
//!
//! | request | gives |
//! |---|---|
//! | `GET /` | a page that shows the spaces live |
//! | `GET /metrics` | measurements, for Prometheus |
//! | `GET /health` | 200 while the engine answers |
//! | `GET /ready` | 200 while it takes new clients |
//! | `GET /status` | what the page shows, as JSON |
//! | `GET /space/NAME` | the end of a space's log and its replicas, as JSON |
//!
//! Nothing here shows what a record holds. On a loopback address everyone on the machine may ask; on another all but `/health` and
//! `/ready` need the token of an administrator.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use syncline::limits;
use syncline_store::{Kind, SqliteStore};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::watch::Receiver;
use tokio::time::timeout;

use crate::admin::decoded;
use crate::cluster::Role;
use crate::door::bearer;
use crate::engine::Engine;
use crate::gate::Gate;
use crate::inspect;
use crate::metrics::{self, Moment, Times, memory_bytes};
use crate::reply::{Body, say};

/// Connections served at a time; more are closed at once.
const CONNECTIONS_MAX: usize = 64;
/// How long the engine may take to answer before the server counts as ill.
const ENGINE_WAIT: Duration = Duration::from_secs(5);
/// What the page may load: what this listener gives, and nothing else.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the listener answers from.
pub(crate) struct Operator {
    gate: Gate,
    roles: Receiver<Role>,
    times: Times,
    store: PathBuf,
    /// Whether everyone who reaches it may ask.
    open: bool,
}

impl Operator {
    /// What answers at this address for the server whose roles and store these are.
    pub fn new(address: SocketAddr, roles: Receiver<Role>, times: Times, store: PathBuf) -> Self {
        let open = address.ip().is_loopback();
        Self { gate: Gate::new(address, open, Vec::new(), None), roles, times, store, open }
    }

    /// The engine, where this server serves clients itself.
    fn engine(&self) -> Option<Engine> {
        match &*self.roles.borrow() {
            Role::Leads(engine) => Some(engine.clone()),
            Role::Follows(_) | Role::Waits => None,
        }
    }

    /// Serves for ever.
    pub async fn run(self, listener: TcpListener) {
        let operator = Arc::new(self);
        let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(crate::ACCEPT_PAUSE).await;
                continue;
            };
            let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else { continue };
            let operator = Arc::clone(&operator);
            tokio::spawn(async move {
                operator.serve(stream).await;
                drop(seat);
            });
        }
    }

    async fn serve(&self, stream: TcpStream) {
        let service = service_fn(|request| async move { Ok::<_, std::convert::Infallible>(self.answer(&request).await) });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(limits::HELLO_TIMEOUT_MS))
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "an operator's connection ended");
        }
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let path = request.uri().path();
        if let Err((status, why)) = self.gate.check_names(request.headers()) {
            return say(status, why);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return say(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        }
        match path {
            "/health" => return self.health(|_| true, true).await,
            "/ready" => return self.health(|moment| !moment.draining, false).await,
            _ => {}
        }
        if !self.open {
            let Some(engine) = self.engine() else { return ill() };
            if engine.is_admin(bearer(request)).await != Some(true) {
                return say(StatusCode::FORBIDDEN, "this needs the token of an administrator\n");
            }
        }
        match path {
            "/" => page("text/html; charset=utf-8", include_str!("page/status.html")),
            "/status.css" => page("text/css; charset=utf-8", include_str!("page/status.css")),
            "/status.js" => page("text/javascript; charset=utf-8", include_str!("page/status.js")),
            "/metrics" => match self.moment().await {
                Some(moment) => page("application/openmetrics-text; version=1.0.0; charset=utf-8", &metrics::page(&moment, &self.times)),
                None => ill(),
            },
            "/status" => self.moment().await.map_or_else(ill, |moment| page("application/json", &status(&moment))),
            _ => match path.strip_prefix("/space/").and_then(decoded) {
                Some(space) => self.space(space).await,
                None => say(StatusCode::NOT_FOUND, "only /, /metrics, /health, /ready, /status and /space/NAME\n"),
            },
        }
    }

    async fn moment(&self) -> Option<Moment> {
        timeout(ENGINE_WAIT, self.engine()?.moment()).await.ok().flatten()
    }

    /// A member of a shard that does not lead has no engine, and passes clients on while it knows who leads.
    async fn health(&self, good: impl Fn(&Moment) -> bool, waiting: bool) -> Response<Body> {
        let follows = match &*self.roles.borrow() {
            Role::Leads(_) => None,
            Role::Follows(_) => Some(true),
            Role::Waits => Some(waiting),
        };
        match follows {
            Some(true) => return say(StatusCode::OK, "ok\n"),
            Some(false) => return say(StatusCode::SERVICE_UNAVAILABLE, "nobody leads the shard\n"),
            None => {}
        }
        match self.moment().await {
            Some(moment) if good(&moment) => say(StatusCode::OK, "ok\n"),
            Some(_) => say(StatusCode::SERVICE_UNAVAILABLE, "the server stops\n"),
            None => ill(),
        }
    }

    /// Reads beside the engine, which is not held up by it.
    async fn space(&self, space: String) -> Response<Body> {
        let path = self.store.clone();
        let read = tokio::task::spawn_blocking(move || {
            let store = SqliteStore::open_to_read(path, Kind::Server).map_err(|error| error.to_string())?;
            inspect::log(&store, &space).map_err(|error| error.to_string())
        });
        match read.await.map_err(|error| error.to_string()).and_then(|read| read) {
            Ok(found) => page("application/json", &found.to_string()),
            Err(error) => {
                tracing::error!(%error, "the store cannot be read for the operator");
                say(StatusCode::INTERNAL_SERVER_ERROR, "the store cannot be read; the server's log says why\n")
            }
        }
    }
}

fn ill() -> Response<Body> {
    say(StatusCode::SERVICE_UNAVAILABLE, "the engine does not answer, or another server leads the shard\n")
}

fn page(kind: &'static str, text: &str) -> Response<Body> {
    let mut response = say(StatusCode::OK, text);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn status(moment: &Moment) -> String {
    let space = |space: &syncline::server::Standing| json!({ "space": space.space, "position": space.position, "readers": space.readers, "lag": space.lag });
    let sum = |counts: &std::collections::BTreeMap<u64, u64>| counts.values().sum::<u64>();
    let accepted = moment.counts.verdicts.get(&0).copied().unwrap_or(0);
    json!({
        "connections": moment.connections,
        "accepted": accepted,
        "rejected": sum(&moment.counts.verdicts) - accepted,
        "refusals": sum(&moment.counts.errors),
        "catch_ups": moment.counts.catch_ups,
        "fingerprint_mismatches": moment.counts.comparisons,
        "memory_bytes": memory_bytes(),
        "draining": moment.draining,
        "spaces": moment.spaces.iter().map(space).collect::<Vec<_>>(),
    })
    .to_string()
}
