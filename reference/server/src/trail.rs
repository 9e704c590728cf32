//! What the log says of a connection's messages.

use std::fmt;

use syncline::message::{self, Message};
use syncline::registry::Profiles;
use syncline::server::ConnId;
use tracing::{Level, debug, enabled, info};

/// A connection's id as each of its log lines shows it.
pub(crate) struct Trace(pub ConnId);

impl Trace {
    /// Bits of an id that count the connections of one run.
    const COUNT_BITS: u32 = 32;

    /// The first id of a run, from random bits: the ids of other runs and other servers are others.
    pub fn first(random: u64) -> u64 {
        random << Self::COUNT_BITS
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0.0)
    }
}

/// Logs which spaces a connection opens. Only at level debug: it reads the frame a second time.
pub(crate) fn log_opens(id: ConnId, frame: &[u8]) {
    if !enabled!(Level::DEBUG) {
        return;
    }
    let Ok(frame) = message::decode_frame(frame, Profiles::OFFERED, |_| 0) else { return };
    for message in frame.messages {
        if let Message::Open(open) = message {
            debug!(connection = %Trace(id), channel = frame.channel, space = open.space, replica = %open.replica, "open");
        }
    }
}

/// Logs the errors that a connection is sent. Frames of errors are short; the others are not read for it.
pub(crate) fn log_errors(id: ConnId, frame: &[u8]) {
    const ERROR_FRAME_BYTES_MAX: usize = 320;
    if frame.len() > ERROR_FRAME_BYTES_MAX || !enabled!(Level::INFO) {
        return;
    }
    let Ok(frame) = message::decode_frame(frame, Profiles::OFFERED, |_| 0) else { return };
    for message in frame.messages {
        if let Message::Error(error) = message {
            info!(
                connection = %Trace(id),
                channel = frame.channel,
                code = error.code.name(),
                detail = error.detail,
                text = error.text,
                "refused"
            );
        }
    }
}
