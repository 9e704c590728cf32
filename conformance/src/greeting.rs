//! What is learned of an implementation before it is judged, and for how long it is waited for.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::adapter::{Adapter, Hello};
use crate::config::{AdapterProgram, Config};
use crate::play::Attachment;
use crate::scenario::Role;
use crate::sockets::Sockets;
use crate::trouble::Trouble;
use crate::world::START_MS;

/// Checks that may end in no answer or in too much before nothing more is asked.
const LOST_MAX: usize = 8;

/// What is known of an implementation, and whether anything is still asked of it.
#[derive(Default)]
pub struct Greeting {
    hello: Option<Hello>,
    /// Why the adapter, and why the server, could not be started.
    adapter: Option<Trouble>,
    server: Option<Trouble>,
    lost: AtomicUsize,
}

impl Greeting {
    /// Starts, once, what the attachments need.
    pub fn of(config: &Config, attachments: impl Iterator<Item = Attachment>) -> Self {
        let mut greeting = Self::default();
        let (mut adapter, mut server) = (None, None);
        for attachment in attachments {
            match attachment {
                Attachment::Adapter(program) => adapter = Some(program),
                other => server = Some(other),
            }
        }
        match adapter.map(|program| greet(config, &program)) {
            Some(Ok(hello)) => greeting.hello = Some(hello),
            Some(Err(trouble)) => greeting.adapter = Some(trouble),
            None => {}
        }
        greeting.server = server.and_then(|server| reach(&server).err());
        greeting
    }

    /// What could not be started, and why.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, &Trouble)> {
        [("adapter", &self.adapter), ("server", &self.server)].into_iter().filter_map(|(name, trouble)| Some((name, trouble.as_ref()?)))
    }

    /// Why nothing is asked over this attachment; none where it is.
    pub fn silence(&self, attachment: &Attachment) -> Option<String> {
        let (name, trouble) = match attachment {
            Attachment::Adapter(_) => ("adapter", &self.adapter),
            _ => ("server", &self.server),
        };
        if trouble.is_some() {
            return Some(format!("the {name} could not be started"));
        }
        let lost = self.lost.load(Ordering::Relaxed);
        (lost >= LOST_MAX).then(|| format!("not asked: {lost} checks before it ended in no answer, or in more than is allowed"))
    }

    /// The role that a scenario needs and the adapter does not play.
    pub fn unplayed(&self, role: Role) -> Option<&'static str> {
        let hello = self.hello.as_ref()?;
        let needed: &[&str] = match role {
            Role::Server => &["server"],
            Role::Client => &["client"],
            Role::Both => &["server", "client"],
            Role::Peer => &["peer"],
        };
        needed.iter().find(|needed| !hello.roles.iter().any(|role| role == *needed)).copied()
    }

    /// Takes note of how a check ended.
    pub fn note(&self, trouble: &Trouble) {
        if matches!(trouble, Trouble::Timeout(_) | Trouble::Flood(_) | Trouble::Start(_)) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn greet(config: &Config, program: &AdapterProgram) -> Result<Hello, Trouble> {
    let hello = Adapter::start(program, START_MS)?.hello.clone();
    match config.profiles.iter().find(|profile| !hello.profiles.contains(profile)) {
        None => Ok(hello),
        Some(profile) => {
            let has = hello.profiles.join(", ");
            Err(Trouble::Start(format!("conform.toml claims the profile {profile}; the adapter's hello names {has}")))
        }
    }
}

fn reach(attachment: &Attachment) -> Result<(), Trouble> {
    match attachment {
        Attachment::Server(cmd) => Sockets::start(cmd).map(drop),
        Attachment::Address(address) => Sockets::attach(address.clone())?.reach(),
        Attachment::Adapter(_) => Ok(()),
    }
}
