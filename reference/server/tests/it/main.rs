//! The server over real sockets: in this process, and as the program that an operator runs.

mod access;
mod app;
mod limits;
mod operator;
mod peer;
mod process;
mod program;
mod shared_log;
mod sockets;
mod tls;
