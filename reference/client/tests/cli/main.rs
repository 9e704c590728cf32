//! The command as its users meet it: processes, files and a server.

mod commands;
mod convergence;
mod harness;
mod kill;
