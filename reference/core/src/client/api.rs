//! What passes between the client and its shell or application.

use crate::change::{Cursor, RecordName};
use crate::clock::Replica;
use crate::peer::LinkId;
use crate::registry::{Code, Profiles};

/// What the application sets.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The space to sync.
    pub space: String,
    /// Who the client is, where the server asks. (SESS-5)
    pub token: Option<String>,
    /// The profiles it wants. (SESS-4)
    pub profiles: Profiles,
    /// Bytes of data that the server may have under way to it, at least 1. (FLOW-2)
    pub credit_bytes: u64,
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// The application wants to be connected.
    Start,
    /// The application wants to be offline.
    Stop,
    /// The connection that `Output::Connect` asked for is there.
    Connected,
    /// A frame arrived.
    Frame(&'a [u8]),
    /// The connection ended or could not be made.
    HungUp,
    /// Time passed.
    Tick,
    /// Bytes flow between this client and another; it dialled or was dialled.
    Linked(LinkId, bool),
    /// A frame arrived on a link.
    LinkFrame(LinkId, &'a [u8]),
    /// A link ended.
    Unlinked(LinkId),
}

/// What the shell is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Connect to the server.
    Connect,
    /// Send a frame.
    Send(Vec<u8>),
    /// Close the connection; no `HungUp` is owed for it.
    Close,
    /// Send a frame on a link.
    LinkSend(LinkId, Vec<u8>),
    /// End a link; no `Unlinked` is owed for it.
    Unlink(LinkId),
    /// Tell the application.
    Event(Event),
    /// Call with `Tick` at this monotonic time, in milliseconds. The latest one counts.
    WakeAt(u64),
}

/// What the application is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The views of these records may have changed; any view where none is named.
    Changed(Vec<RecordName>),
    /// A change was rejected and rolled back; `rejections` holds it. (IDENT-22)
    Rejected {
        /// The seq it had.
        seq: u64,
        /// Why.
        code: Code,
    },
    /// The replica took a fresh id. (IDENT-12)
    Forked {
        /// Accepted changes that a server which lost them could not be offered again. (IDENT-19)
        lost: u64,
    },
    /// Everything is equal, here and there. (SYNC-21)
    InSync,
    /// The fingerprints differ even after a reset. (SYNC-22)
    Mismatch,
    /// The server replaces base whole.
    Reset {
        /// A reset reason of the registry.
        reason: u64,
    },
    /// The server refused the connection or the space, and trying again is of no use by itself. (SESS-12)
    Refused {
        /// Why.
        code: Code,
        /// For people.
        text: String,
    },
    /// Another replica of the space sent a signal. (SIGNAL-6)
    Signal {
        /// Who.
        from: Replica,
        /// What.
        payload: Vec<u8>,
    },
    /// The other side of a link ended it.
    LinkRefused {
        /// The link.
        link: LinkId,
        /// Why.
        code: Code,
        /// For people.
        text: String,
    },
    /// The connection is gone; another attempt follows.
    Disconnected,
    /// The token allows writing from now on, or no more; what is written meanwhile waits. (ACCESS-12)
    Rights {
        /// Whether changes are pushed.
        write: bool,
    },
    /// The token ends soon; a new one is wanted. (ACCESS-16)
    TokenWanted,
    /// These collections left the subscription, and base with it; their records were not deleted. (SUB-12)
    Left(Vec<String>),
    /// What these replicas say of their presence has changed; `presence` has it. The own one: the server has no place for it.
    Presence(Vec<Replica>),
}

/// How things stand.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The replica's present id.
    pub replica: Replica,
    /// The session's state, a word of the state table.
    pub state: &'static str,
    /// Whether everything is equal. (SYNC-21)
    pub in_sync: bool,
    /// Up to where base reaches.
    pub cursor: Option<Cursor>,
    /// The last position the server was heard to have.
    pub head: Option<u64>,
    /// Changes without a verdict.
    pub pending: u64,
    /// Changes of other authors without a verdict.
    pub held: u64,
    /// Links that both sides have spoken on.
    pub links: u64,
    /// Rejections not dismissed.
    pub rejected: u64,
    /// The fingerprint of base.
    pub fingerprint: [u8; 16],
    /// Whether the token allows writing, as far as the server said. (ACCESS-12)
    pub may_write: bool,
    /// The estimated offset of the server's clock from the device's, in milliseconds.
    pub clock_offset_ms: i64,
}
