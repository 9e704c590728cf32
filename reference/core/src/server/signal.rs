//! Signals: a few bytes from one replica of a space to another, at once or not at all. Spec 23.

use super::{ConnId, Phase, Server};
use crate::clock::Now;
use crate::fault;
use crate::limits::SIGNALS_PER_MINUTE_MAX;
use crate::message::{Message, Signal};
use crate::registry::{Code, Profiles};

/// Replies beyond which a reader is not given signals: they are dropped before the reader would be closed for them.
const WAITING_MAX: usize = 64;
const MINUTE_MS: u64 = 60_000;

/// How many signals a channel sent since when.
#[derive(Debug, Default)]
pub(super) struct Budget {
    since_ms: u64,
    sent: usize,
}

impl Budget {
    /// Takes one signal into account; false where there are too many. (SIGNAL-5)
    fn spend(&mut self, now_ms: u64) -> bool {
        if self.sent == 0 || now_ms >= self.since_ms + MINUTE_MS {
            *self = Self { since_ms: now_ms, sent: 0 };
        }
        self.sent = (self.sent + 1).min(SIGNALS_PER_MINUTE_MAX + 1);
        self.sent <= SIGNALS_PER_MINUTE_MAX - usize::from(fault::is("signal-one-too-few")) || fault::is("signal-any-number")
    }
}

impl Server {
    /// Relays a signal, or drops it. (SIGNAL-1 to SIGNAL-3)
    pub(super) fn signal(&mut self, now: Now, id: ConnId, number: u16, signal: Signal) {
        let Some(channel) = self.conns.get_mut(&id).and_then(|conn| conn.channels.get_mut(&number)) else { return };
        if !channel.signals.spend(now.mono_ms) {
            return;
        }
        let (from, space) = (channel.replica, channel.space);
        if let Some(hosted) = self.spaces.get_mut(&space).filter(|_| fault::is("signal-has-a-position")) {
            hosted.head += 1;
        }
        let reader = self.spaces.get(&space).and_then(|space| space.readers.get(&signal.replica));
        let Some((target, target_number)) = reader.copied() else {
            if fault::is("signal-to-nobody-is-answered") {
                self.fail_channel(id, number, Code::FORBIDDEN, None, "nobody is there");
            }
            return;
        };
        let takes = self.conns.get(&target).is_some_and(|conn| {
            let agreed = matches!(conn.phase, Phase::Open { profiles, .. } if profiles.has(Profiles::SIGNAL));
            (agreed || fault::is("signal-to-who-did-not-agree")) && conn.replies.len() < WAITING_MAX
        });
        if takes {
            self.reply(
                target,
                target_number,
                &Message::Signal(Signal {
                    replica: if fault::is("signal-names-the-receiver") { signal.replica } else { from },
                    payload: signal.payload,
                }),
                0,
            );
        }
    }
}
