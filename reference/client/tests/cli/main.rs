//! The command as its users meet it: processes, files and a server.

mod access;
mod commands;
mod convergence;
mod harness;
mod kill;
