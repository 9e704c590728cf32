//! The operator's door of a running server, by HTTP beside the WebSocket. Spec 14.
//!
//! | request | gives |
//! |---|---|
//! | `/admin/spaces…` | what `admin` lists |
//! | `POST /admin/backup` | a copy of the store at one moment, as a file |
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

use crate::admin::Admin;
use crate::engine::Engine;
use crate::gate::Gate;
use crate::reply::{Body, file, say};

/// What lies behind the door begins so.
pub(crate) const PATH: &str = "/admin/";
/// Where a running server is asked for a backup.
pub(crate) const BACKUP_PATH: &str = "/admin/backup";
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
        let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        match engine.is_admin(token.map(str::to_owned)).await {
            None => return say(StatusCode::SERVICE_UNAVAILABLE, "the server stops\n"),
            Some(false) => return say(StatusCode::FORBIDDEN, "{\"error\":\"this needs the token of an administrator\"}\n"),
            Some(true) => {}
        }
        match (request.method(), request.uri().path()) {
            (&Method::POST, BACKUP_PATH) => self.back_up().await,
            (_, BACKUP_PATH) => say(StatusCode::METHOD_NOT_ALLOWED, "only POST\n"),
            (method, path) => administer(method, path, engine).await,
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
