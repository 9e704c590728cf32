//! What the log says of a connection's messages.

use syncline::message::{self, Message};
use syncline::registry::Profiles;
use syncline::server::ConnId;
use tracing::{Level, debug, enabled, info};

/// Logs which spaces a connection opens. Only at level debug: it reads the frame a second time.
pub(crate) fn log_opens(id: ConnId, frame: &[u8]) {
    if !enabled!(Level::DEBUG) {
        return;
    }
    let Ok(frame) = message::decode_frame(frame, Profiles::OFFERED, |_| 0) else { return };
    for message in frame.messages {
        if let Message::Open(open) = message {
            debug!(connection = id.0, channel = frame.channel, space = open.space, replica = %open.replica, "open");
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
                connection = id.0,
                channel = frame.channel,
                code = error.code.name(),
                detail = error.detail,
                text = error.text,
                "refused"
            );
        }
    }
}
