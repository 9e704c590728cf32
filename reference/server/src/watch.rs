//! The files that say who may come in, read again when they change.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use syncline::server::{Access, Grant, Revoked};
use tracing::{error, info};

use crate::config::Config;
use crate::engine::Engine;
use crate::tokens::{Doors, JwtConfig, JwtVerifier, parse_revoked};

/// How often the files are looked at; well within `revoke_ms_max`. (ACCESS-4)
pub(crate) const POLL: Duration = Duration::from_secs(1);

/// When a file was written last, and its length: they change when it does.
pub(crate) type Stamp = (SystemTime, u64);

/// None where the file cannot be had.
pub(crate) fn stamp(path: &Path) -> Option<Stamp> {
    fs::metadata(path).and_then(|found| Ok((found.modified()?, found.len()))).ok()
}

/// The files, and what they said last.
pub(crate) struct Watch {
    tokens: Option<BTreeMap<String, Grant>>,
    jwt: Option<JwtConfig>,
    revoked: Option<PathBuf>,
    access: Access,
    seen: Vec<Option<Stamp>>,
}

impl Watch {
    /// Reads the files for the first time.
    pub(crate) fn new(config: &Config) -> Result<Self, String> {
        let mut watch = Self {
            tokens: config.grants(),
            jwt: config.jwt.clone(),
            revoked: config.revoked.clone(),
            access: Access::default(),
            seen: Vec::new(),
        };
        watch.seen = watch.stamps();
        watch.access = Access { verifier: Arc::new(watch.doors()?), revoked: watch.read_revoked()? };
        Ok(watch)
    }

    /// Who may come in, as the files said last.
    pub(crate) fn access(&self) -> Access {
        self.access.clone()
    }

    /// Tells the engine of every change, for ever.
    pub(crate) async fn run(mut self, engine: Engine) {
        if self.jwt.is_none() && self.revoked.is_none() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(POLL).await;
            if self.reread() {
                engine.access(self.access()).await;
            }
        }
    }

    /// Whether the files say something new. What cannot be read leaves things as they are.
    fn reread(&mut self) -> bool {
        let stamps = self.stamps();
        if stamps == self.seen {
            return false;
        }
        let (keys_changed, list_changed) = (stamps[0] != self.seen[0], stamps[1] != self.seen[1]);
        self.seen = stamps;
        let before = self.access();
        if keys_changed {
            self.keep("the keys", Self::doors, |access, doors| access.verifier = Arc::new(doors));
        }
        if list_changed {
            self.keep("the list of revocations", Self::read_revoked, |access, revoked| access.revoked = revoked);
        }
        !Arc::ptr_eq(&before.verifier, &self.access.verifier) || before.revoked != self.access.revoked
    }

    fn keep<T>(&mut self, what: &str, read: impl Fn(&Self) -> Result<T, String>, set: impl Fn(&mut Access, T)) {
        match read(self) {
            Ok(new) => {
                set(&mut self.access, new);
                info!("read {what} again");
            }
            Err(fault) => error!(%fault, "cannot read {what} again; what they said before holds"),
        }
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        let keys = self.jwt.as_ref().and_then(|jwt| stamp(&jwt.keys));
        vec![keys, self.revoked.as_deref().and_then(stamp)]
    }

    fn doors(&self) -> Result<Doors, String> {
        let jwt = match &self.jwt {
            None => None,
            Some(jwt) => {
                let told = |fault: String| format!("{}: {fault}", jwt.keys.display());
                Some(JwtVerifier::new(jwt, &read(&jwt.keys)?).map_err(told)?)
            }
        };
        Ok(Doors::new(self.tokens.clone(), jwt))
    }

    fn read_revoked(&self) -> Result<Revoked, String> {
        let Some(path) = &self.revoked else { return Ok(Revoked::default()) };
        parse_revoked(path, &read(path)?)
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: cannot be read: {error}", path.display()))
}
