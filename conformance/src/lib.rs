//! The conformance suite: scenarios and vectors, and the harness that judges an implementation by them.

mod access;
pub mod adapter;
pub mod cbor;
pub mod checks;
pub mod compute;
pub mod config;
pub mod corpus;
pub mod edn;
pub mod fold;
pub mod judge;
pub mod local;
pub mod mutants;
pub mod oracle;
pub mod pattern;
mod peers;
pub mod play;
pub mod report;
pub mod scenario;
pub mod sockets;
pub mod spec;
pub mod step;
pub mod trace;
pub mod trouble;
pub mod vectors;
pub mod wire;
pub mod world;
