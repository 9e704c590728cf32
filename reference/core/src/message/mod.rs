//! Frames and messages. Spec 3 and 7; the schema is `spec/syncline.cddl`.

mod compact;
mod cost;
mod items;
mod optional;
mod packed;
mod read;
mod write;

use crate::change::{Change, Cursor, Pushed, Row};
use crate::clock::{History, Replica, Stamp};
use crate::hash::Link;
use crate::registry::{Class, Code};

pub use compact::{Expanded, Names, Numbers, RecordForm, expand, shrink};
pub use cost::costs;
pub use items::{RecordCells, cells_of, items_of};
pub use optional::{AddressRange, NewNames, Presence, Range, RangeContent, Ranges, Signal};
pub use packed::{packed_frame, unpack};
pub use read::{WireError, decode_frame};
pub use write::{encode_frame, frame_of, message_bytes};

/// A channel number and the messages that share its frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// 0 speaks for the connection.
    pub channel: u16,
    /// At least one. (FRAME-1)
    pub messages: Vec<Message>,
}

/// A message.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the table of messages in spec 7 says what each is")]
pub enum Message {
    Hello(Hello),
    Welcome(Welcome),
    Open(Open),
    Opened(Opened),
    Shut,
    Push(Push),
    Ack(Ack),
    Reject(Reject),
    Change(PlacedChange),
    States(States),
    Mark(Mark),
    Ping(u64),
    Pong { number: u64, time_ms: u64 },
    Error(ErrorMessage),
    Bye { wait_ms: u64 },
    Auth { token: String },
    Credit { bytes: u64 },
    Ranges(Ranges),
    Presence(Presence),
    Signal(Signal),
    Void(Void),
    Names(NewNames),
}

impl Message {
    /// The message's code in the registry.
    pub fn code(&self) -> u64 {
        match self {
            Self::Hello(_) => 0,
            Self::Welcome(_) => 1,
            Self::Open(_) => 2,
            Self::Opened(_) => 3,
            Self::Shut => 4,
            Self::Push(_) => 5,
            Self::Ack(_) => 6,
            Self::Reject(_) => 7,
            Self::Change(_) => 8,
            Self::States(_) => 9,
            Self::Mark(_) => 10,
            Self::Ping(_) => 11,
            Self::Pong { .. } => 12,
            Self::Error(_) => 13,
            Self::Bye { .. } => 14,
            Self::Auth { .. } => 15,
            Self::Credit { .. } => 16,
            Self::Ranges(_) => 17,
            Self::Presence(_) => 18,
            Self::Signal(_) => 19,
            Self::Void(_) => 21,
            Self::Names(_) => 22,
        }
    }
}

/// What the client speaks, wants and is.
#[derive(Debug, Clone, PartialEq)]
pub struct Hello {
    /// Versions, at least one.
    pub versions: Vec<u64>,
    /// Profiles by code.
    pub profiles: Vec<u64>,
    /// Limits by key, ascending.
    pub limits: Vec<(u64, u64)>,
    /// Credentials.
    pub token: Option<String>,
}

/// What is agreed, and the server's clock.
#[derive(Debug, Clone, PartialEq)]
pub struct Welcome {
    /// The version agreed.
    pub version: u64,
    /// The profiles agreed.
    pub profiles: Vec<u64>,
    /// Limits by key, ascending.
    pub limits: Vec<(u64, u64)>,
    /// The server's time in Unix milliseconds.
    pub time_ms: u64,
}

/// Asks to sync a space.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    /// The space.
    pub space: String,
    /// The replica's id in it.
    pub replica: Replica,
    /// The last own seq whose verdict the client has.
    pub settled: u64,
    /// Up to where base reaches.
    pub cursor: Option<Cursor>,
    /// The collections wanted, ascending; none: all. `subscribe` profile.
    pub collections: Option<Vec<String>>,
    /// Those of them that base holds at the cursor, ascending; none: all of them. `subscribe` profile.
    pub known: Option<Vec<String>>,
    /// How many columns and replicas the client holds the names of; none: it takes literals. `compact` profile.
    pub names: Option<(u64, u64)>,
}

/// Changes offered.
#[derive(Debug, Clone, PartialEq)]
pub struct Push {
    /// Whose they are in a relay; none: the sender's own. `peer` profile.
    pub author: Option<Relayed>,
    /// Them, in the order of seq; at least one.
    pub items: Vec<Pushed>,
}

/// Whose the changes of a relay are, and where they go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relayed {
    /// The author.
    pub replica: Replica,
    /// The author's link before the first of the changes. (PEER-9)
    pub before: Link,
}

/// A space is open.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// The head of the log.
    pub position: u64,
    /// Its present history.
    pub history: History,
    /// The last seq settled for the replica.
    pub last_seq: u64,
    /// The link there. (IDENT-2)
    pub link: Link,
    /// What stamps on this channel are relative to, in Unix milliseconds.
    pub base_ms: u64,
    /// Whether base starts anew and why.
    pub reset: u64,
    /// What the token allows: 1 reading, 2 writing too. `access` profile.
    pub rights: Option<u64>,
}

/// Own changes up to a seq are accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Ack {
    /// Up to this.
    pub seq: u64,
    /// The position of the last.
    pub position: u64,
    /// How durable they are.
    pub durability: u64,
    /// For each row of them the number its record got by it, or 0; empty where none did. `compact` profile.
    pub numbers: Vec<u64>,
}

/// An own change is rejected.
#[derive(Debug, Clone, PartialEq)]
pub struct Reject {
    /// Its seq.
    pub seq: u64,
    /// The position it took. (IDENT-21)
    pub position: u64,
    /// Why.
    pub code: Code,
    /// What may be tried again.
    pub class: Class,
    /// What the registry says the code's detail is.
    pub detail: Option<u64>,
}

/// An accepted change of another replica.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedChange {
    /// Its position.
    pub position: u64,
    /// Its author.
    pub author: Replica,
    /// It.
    pub change: Change,
}

/// A rejected change of another replica.
#[derive(Debug, Clone, PartialEq)]
pub struct Void {
    /// Its position.
    pub position: u64,
    /// Its author.
    pub author: Replica,
    /// Its seq.
    pub seq: u64,
    /// Why.
    pub code: Code,
    /// The author's link there. `peer` profile.
    pub link: Option<Link>,
}

/// A part of a catch-up.
#[derive(Debug, Clone, PartialEq)]
pub struct States {
    /// Whether it is the last.
    pub last: bool,
    /// Up to where it reaches.
    pub to: u64,
    /// The present history.
    pub history: History,
    /// What it holds.
    pub items: Vec<Item>,
    /// The ranges of addresses, lower bound and upper, that it replaces; empty in a catch-up. `repair` profile.
    pub replaced: Vec<AddressRange>,
}

/// An item of a part.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// Cells of one stamp.
    Cells {
        /// Their stamp.
        stamp: Stamp,
        /// Them, in the order of their records.
        rows: Vec<Row>,
    },
    /// What became of an own change. (SYNC-11)
    Outcome(Outcome),
    /// Lives that no cell implies, and the cells that have neither stamp nor author. (SYNC-12)
    Plain(Vec<Row>),
    /// Cells of one author and seq. `rules` profile.
    Keyed {
        /// The author.
        author: Replica,
        /// The seq.
        seq: u64,
        /// Them, in the order of their records.
        rows: Vec<Row>,
    },
    /// The last change of an author that the sender holds; 0: none. `peer` profile.
    Held {
        /// The author.
        author: Replica,
        /// Its seq.
        seq: u64,
        /// The link there.
        link: Link,
    },
    /// The part gives base: the cells that changed after this position; 0: all of it. `peer` profile.
    Base {
        /// The position.
        from: u64,
    },
    /// What is settled of a replica; for peers.
    Settled {
        /// The replica.
        author: Replica,
        /// Its last seq.
        seq: u64,
        /// The link there.
        link: Link,
    },
}

/// What became of an own change.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Its seq.
    pub seq: u64,
    /// The server's link there. (IDENT-11)
    pub link: Link,
    /// 0: accepted.
    pub code: Code,
    /// What may be tried again.
    pub class: Class,
    /// What the registry says the code's detail is.
    pub detail: Option<u64>,
}

/// All up to a position was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// The position.
    pub position: u64,
    /// Its history.
    pub history: History,
    /// The fingerprint there. (SYNC-18)
    pub fingerprint: [u8; 16],
    /// Up to where the server is backed up, where it says so. (IDENT-18)
    pub backed_up: Option<u64>,
    /// The position up to which the server has forgotten what was deleted, where it moved. (HORIZON-11)
    pub horizon: Option<u64>,
}

/// Ends a channel, or the connection.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorMessage {
    /// What.
    pub code: Code,
    /// What may be tried again.
    pub class: Class,
    /// What the registry says the code's detail is.
    pub detail: Option<u64>,
    /// For people. (LIMIT-7)
    pub text: String,
}
