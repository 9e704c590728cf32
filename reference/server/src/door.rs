//! The operator's door of a running server, by HTTP beside the WebSocket. Spec 14.
//!
//! | request | gives |
//! |---|---|
//! | `/admin/spaces…` | what `admin` lists |
//! | `POST /admin/backup` | a copy of the store at one moment, as a file |
//! | `GET /admin/inspect/NAME` | a space as the store holds it |
//!
//! The token of an administrator stands in `Authorization: Bearer`, never in the address. (BIND-5)

use std::path::PathBuf;

use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::{Method, Request, Response, StatusCode};
use syncline_store::{Kind, copy};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tracing::{error, info};

use crate::admin::{Admin, decoded};
use crate::engine::Engine;
use crate::gate::Gate;
use crate::inspect::inspect_file;
use crate::reply::{Body, file, say};

/// What lies behind the door begins so.
pub(crate) const PATH: &str = "/admin/";
/// Where a running server is asked for a backup.
pub(crate) const BACKUP_PATH: &str = "/admin/backup";
/// Where a running server is asked for a space as its store holds it.
pub(crate) const INSPECT_PATH: &str = "/admin/inspect/";
/// The copy in the data folder, until it is sent.
const BACKUP_FILE: &str = "backup.db";

/// The door.
pub(crate) struct Door {
    store: PathBuf,
    /// Held while a backup is made: the copy takes the space of the store.
    backup: Mutex<()>,
}

impl Door {
    /// The door of a server whose store is this file.
    pub(crate) fn new(store: PathBuf) -> Self {
        Self { store, backup: Mutex::new(()) }
    }

    /// Answers a request to `/admin/…`.
    pub(crate) async fn answer(&self, request: &Request<Incoming>, gate: &Gate, engine: &Engine) -> Response<Body> {
        if let Err((status, why)) = gate.check_names(request.headers()) {
            return say(status, why);
        }
        match engine.is_admin(bearer(request)).await {
            None => return say(StatusCode::SERVICE_UNAVAILABLE, "the server stops\n"),
            Some(false) => return say(StatusCode::FORBIDDEN, "{\"error\":\"this needs the token of an administrator\"}\n"),
            Some(true) => {}
        }
        match (request.method(), request.uri().path()) {
            (&Method::POST, BACKUP_PATH) => self.back_up().await,
            (_, BACKUP_PATH) => say(StatusCode::METHOD_NOT_ALLOWED, "only POST\n"),
            (&Method::GET, path) if path.starts_with(INSPECT_PATH) => self.inspect(&path[INSPECT_PATH.len()..]).await,
            (method, path) => administer(method, path, engine).await,
        }
    }

    /// Reads beside the engine, which is not held up by it.
    async fn inspect(&self, name: &str) -> Response<Body> {
        let Some(space) = decoded(name) else { return say(StatusCode::BAD_REQUEST, "the name of a space, percent-encoded\n") };
        let path = self.store.clone();
        let read = spawn_blocking(move || inspect_file(&path, &space).map_err(|error| error.to_string()));
        match read.await.map_err(|error| error.to_string()).and_then(|read| read) {
            Ok(Some(found)) => say(StatusCode::OK, &format!("{found}\n")),
            Ok(None) => say(StatusCode::NOT_FOUND, "{\"error\":\"no such space\"}\n"),
            Err(fault) => {
                error!(%fault, "cannot inspect");
                say(StatusCode::INTERNAL_SERVER_ERROR, "{\"error\":\"the store cannot be read; the server's log says why\"}\n")
            }
        }
    }

    async fn back_up(&self) -> Response<Body> {
        let Ok(_one) = self.backup.try_lock() else {
            return say(StatusCode::CONFLICT, "{\"error\":\"a backup is being made; try again when it is done\"}\n");
        };
        let to = self.store.with_file_name(BACKUP_FILE);
        let (from, made) = (self.store.clone(), to.clone());
        let copied = spawn_blocking(move || {
            // One that a killed server left.
            let _ = std::fs::remove_file(&made);
            copy(&from, &made, Kind::Server)
        });
        let fault = match copied.await {
            Ok(Ok(())) => match tokio::fs::File::open(&to).await {
                Ok(copy) => {
                    // An open file can be read to its end without its name.
                    let _ = tokio::fs::remove_file(&to).await;
                    match file(copy).await {
                        Ok(response) => {
                            info!("backed up");
                            return response;
                        }
                        Err(error) => error.to_string(),
                    }
                }
                Err(error) => error.to_string(),
            },
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        error!(%fault, "cannot back up");
        say(StatusCode::INTERNAL_SERVER_ERROR, "{\"error\":\"the backup failed; the server's log says why\"}\n")
    }
}

/// The token that a request bears.
pub(crate) fn bearer(request: &Request<Incoming>) -> Option<String> {
    request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer ")).map(str::to_owned)
}

async fn administer(method: &Method, path: &str, engine: &Engine) -> Response<Body> {
    let admin = match Admin::from_request(method, path) {
        Ok(admin) => admin,
        Err(status) => return say(status, "see GET /admin/spaces\n"),
    };
    match engine.administer(admin).await {
        Some(answer) => say(answer.status, &format!("{}\n", answer.body)),
        None => say(StatusCode::SERVICE_UNAVAILABLE, "the server stops\n"),
    }
}
