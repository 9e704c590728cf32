//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use serde::Deserialize;

use crate::operate::Command;

const DEFAULT_OPERATOR: &str = "127.0.0.1:7748";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "syncline-server", version, about = "Serves Syncline spaces over WebSocket, from one SQLite file")]
pub struct Args {
    /// Address and port to listen on; port 0 takes a free one [default: 127.0.0.1:7747]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Folder of the store, made if missing [default: ./syncline-data]
    #[arg(long, value_name = "FOLDER", global = true)]
    pub data: Option<PathBuf>,
    /// A TOML file with the keys listen, operator, data, tokens, jwt, tls, revoked, quota, retention, allow_origins, create_spaces, log_format, limits;
    /// flags override it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Show how the server is, at this address: a page, /metrics, /health, /ready [default where no address is given: 127.0.0.1:7748]
    #[arg(long, value_name = "ADDRESS:PORT", num_args = 0..=1, default_missing_value = DEFAULT_OPERATOR)]
    pub operator: Option<SocketAddr>,
    /// How to write the log on standard error [default: text]
    #[arg(long, value_enum)]
    pub log_format: Option<LogFormat>,
    /// Let everyone who can reach the address read and write everything
    #[arg(long)]
    pub open: bool,
    /// Folder of a built web application to give to browsers at /, beside what is synced
    #[arg(long, value_name = "FOLDER")]
    pub app: Option<PathBuf>,
    /// Share the log of a shard with other servers: the addresses of its NATS servers, with commas between [default: one SQLite file]
    #[arg(long, value_name = "NATS://HOST:PORT,...", value_parser = log_address)]
    pub log: Option<String>,
    /// Which shard, of letters, digits, - and _
    #[arg(long, value_name = "NAME", requires = "log", default_value = "main", value_parser = shard_name)]
    pub shard: String,
    /// On how many NATS servers each commit is kept
    #[arg(long, value_name = "NUMBER", requires = "log", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub replicas: u8,
    /// Bytes of the shard's stream above which it may be written anew, as what the spaces hold; less than twice that it stays
    #[arg(long, value_name = "BYTES", requires = "log", default_value_t = 256 << 20)]
    pub log_bytes: u64,
    /// Where the other servers of the shard reach this one: never open to clients, since what passes there is not encrypted
    #[arg(long, value_name = "ADDRESS:PORT", requires = "log", default_value = "127.0.0.1:0", value_parser = relay_address)]
    pub relay: SocketAddr,
    /// What to do instead of serving
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// Addresses of the servers of a log.
fn log_address(text: &str) -> Result<String, String> {
    let good = |server: &str| server.strip_prefix("nats://").or(server.strip_prefix("tls://")).is_some_and(|rest| !rest.is_empty());
    match text.split(',').find(|server| !good(server)) {
        None => Ok(text.to_owned()),
        // What was found may hold a password.
        Some(_) => Err("allowed are nats://HOST:PORT and tls://HOST:PORT, with commas between".to_owned()),
    }
}

/// An address that the other servers of a shard can use as it stands.
fn relay_address(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_unspecified() => {
            Err("the other servers are told this address: name the one of this machine".to_owned())
        }
        Ok(address) => Ok(address),
        Err(error) => Err(error.to_string()),
    }
}

/// The name of a shard, which is part of the name of a stream.
fn shard_name(text: &str) -> Result<String, String> {
    let good = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if (1..=64).contains(&text.len()) && good {
        return Ok(text.to_owned());
    }
    Err("allowed are 1 to 64 letters, digits, - and _".to_owned())
}
