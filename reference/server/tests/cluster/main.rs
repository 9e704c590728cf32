//! Two servers over a stream that three others keep.
//!
//! `cargo cluster-test`; it needs `.ci/nats-server`, which fetches the stream's server. `SYNCLINE_CHAOS_SECONDS` says for how long
//! processes are killed, `SYNCLINE_CHAOS_SEED` in which order.

mod chaos;
mod client;
mod cost;
mod faults;
mod harness;
mod moving;
mod nats;
mod wire;
