//! A Syncline replica on a device: the core's client, a SQLite store and a WebSocket.
//!
//! | module | holds |
//! |---|---|
//! | [`local`] | the replica without a network: durable writes, reads, status |
//! | [`session`] | a task that owns a [`Local`] and keeps it in sync with a server |
//! | [`address`] | where a server is, and what may be sent there |
//! | [`framing`] | frames on a byte stream |
//! | [`link`] | a [`Local`] linked with others without a server |
//! | [`json`] | values as JSON, exactly |
//! | [`text`] | text that a terminal cannot mistake for commands |
//!
//! The command line `syncline` is made of these alone.

pub mod address;
pub mod framing;
pub mod json;
pub mod link;
pub mod local;
pub mod session;
mod socket;
pub mod text;

pub use address::Address;
pub use local::Local;
pub use session::{Notice, Session};
