//! The command as its users meet it: processes, files and a server.

mod access;
mod backup;
mod book;
mod commands;
mod convergence;
mod formats;
mod harness;
mod kill;
