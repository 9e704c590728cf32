//! What the client may do, and its token. Spec 14.

use super::{Client, Event, State, outbox};
use crate::clock::Now;
use crate::fault;
use crate::limits;
use crate::message::Message;
use crate::registry::Profiles;
use crate::store::{Store, StoreError};

/// The right to write, as `opened` says it. (ACCESS-11)
const WRITE: u64 = 2;

/// What is known of the token and of what it allows.
#[derive(Debug)]
pub(super) struct Access {
    /// What the last `opened` said; writing until one says otherwise.
    rights: u64,
    /// When to ask for a new token, on the monotonic clock. (ACCESS-16)
    refresh_ms: Option<u64>,
    /// The token is not the one that the present connection has sent.
    changed: bool,
}

impl Default for Access {
    fn default() -> Self {
        Self { rights: WRITE, refresh_ms: None, changed: false }
    }
}

impl Access {
    /// Whether changes may be pushed. (ACCESS-12)
    pub fn may_write(&self) -> bool {
        self.rights >= WRITE || fault::is("access-client-pushes-all-the-same")
    }

    /// When a new token is to be asked for.
    pub fn refresh_ms(&self) -> Option<u64> {
        self.refresh_ms
    }

    /// The token goes out in `hello`.
    pub fn sent(&mut self) {
        self.changed = false;
    }
}

impl Client {
    /// Takes new credentials, and when they end in Unix milliseconds where that is known. An open connection is told where
    /// the profile `access` is agreed, else the next one. (ACCESS-15, ACCESS-16)
    pub fn set_token(&mut self, now: Now, token: Option<String>, expires_ms: Option<u64>) {
        self.config.token = token;
        self.access.changed = true;
        let left = |end: u64| end.saturating_sub(limits::TOKEN_REFRESH_MS).saturating_sub(self.clock.now_ms(&now));
        self.access.refresh_ms = expires_ms.map(|end| now.mono_ms.saturating_add(left(end)));
        self.renew(now);
        self.wake();
    }

    /// Whether what is written goes to the server, or waits for the right. (ACCESS-12)
    pub fn may_write(&self) -> bool {
        self.access.may_write()
    }

    /// Sends a token that the connection does not have yet. (ACCESS-15)
    pub(super) fn renew(&mut self, now: Now) {
        let welcomed = matches!(self.state, State::AwaitOpened { .. } | State::Streaming(_));
        if !welcomed || fault::is("access-token-waits-for-hello") || !self.access.changed || !self.agreed.has(Profiles::ACCESS) {
            return;
        }
        if let Some(token) = self.config.token.clone() {
            self.access.sent();
            self.send(now, 0, &[Message::Auth { token }], 0);
        }
    }

    /// Takes in what an `opened` says of rights; the application is told of a change. (ACCESS-12)
    pub(super) fn note_rights(&mut self, rights: Option<u64>) {
        let before = self.access.may_write();
        self.access.rights = rights.unwrap_or(WRITE);
        let write = self.access.may_write();
        if write != before {
            self.event(Event::Rights { write });
        }
    }

    /// Asks for a new token when its time has come. (ACCESS-16)
    pub(super) fn want_token(&mut self, now: Now) {
        if self.access.refresh_ms.take_if(|due| *due <= now.mono_ms).is_some() && !fault::is("access-token-not-asked-for") {
            self.event(Event::TokenWanted);
        }
    }

    /// Removes all that the store holds, unless changes have no verdict and the wipe is not forced; the client is not to be
    /// used any more. Gives the number of changes that were, or would be, lost. (ACCESS-18)
    ///
    /// # Errors
    /// Where the store fails.
    pub fn wipe(&mut self, store: &mut dyn Store, force: bool) -> Result<Wiped, StoreError> {
        let unsent = self.outbox.pending_count();
        if unsent > 0 && !force && !fault::is("access-wipe-loses-what-is-unsent") {
            return Ok(Wiped::Refused { unsent });
        }
        outbox::wipe(store)?;
        Ok(Wiped::Done { lost: unsent })
    }
}

/// What became of a wipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wiped {
    /// The store is empty; so many changes without a verdict went with it.
    Done {
        /// Changes that nobody else has.
        lost: u64,
    },
    /// Nothing was removed: so many changes have no verdict.
    Refused {
        /// Changes without a verdict.
        unsent: u64,
    },
}
