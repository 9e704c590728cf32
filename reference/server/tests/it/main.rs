//! The server over real sockets: in this process, and as the program that an operator runs.

mod access;
mod peer;
mod process;
mod program;
mod sockets;
