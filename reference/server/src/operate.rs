//! `syncline-server space`: the operator's commands, against a running server or a stopped one's folder.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use hyper::StatusCode;
use syncline::change::RecordName;
use syncline::clock::Now;
use syncline::entropy::Entropy;
use syncline::server::{Server, ServerConfig};
use syncline::store::Transact;

use crate::admin::{Admin, Answer};
use crate::{ServeError, open_store};

/// How long a running server may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// What the program does instead of serving.
#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "the texts for the command line say it")]
pub enum Command {
    /// Lists, makes, deletes and purges, on a running server (--server) or on a stopped one's folder (--data)
    Space {
        #[command(flatten)]
        target: Target,
        #[command(subcommand)]
        verb: Verb,
    },
}

/// Where the spaces are.
#[derive(Debug, Args)]
pub struct Target {
    /// A running server, as in http://127.0.0.1:7747; else the folder of --data is used, of a server that does not run
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// The token of an administrator
    #[arg(long, global = true, env = "SYNCLINE_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Send the token even where others can read it
    #[arg(long, global = true)]
    pub insecure_token: bool,
}

/// What is done with spaces. Each writes JSON.
#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "the texts for the command line say it")]
pub enum Verb {
    /// List the spaces
    List,
    /// Make a space, also one that was deleted
    Create { space: String },
    /// Delete a space and all in it; clients are told that it is unknown
    Delete { space: String },
    /// Delete a record and erase its values from the log; backups and other devices may still hold them
    Purge {
        space: String,
        #[arg(value_name = "COLLECTION/ID", value_parser = record)]
        record: RecordName,
    },
}

fn record(text: &str) -> Result<RecordName, String> {
    match text.split_once('/') {
        Some((collection, id)) if !collection.is_empty() && !id.is_empty() => {
            Ok(RecordName { collection: collection.into(), id: id.into() })
        }
        _ => Err("a record is named COLLECTION/ID, as in people/p1".into()),
    }
}

impl Verb {
    fn admin(self) -> Admin {
        match self {
            Self::List => Admin::List,
            Self::Create { space } => Admin::Make(space),
            Self::Delete { space } => Admin::Delete(space),
            Self::Purge { space, record } => Admin::Purge(space, record),
        }
    }
}

/// Does it, and gives what there is to print; an answer other than 200 is an error.
///
/// # Errors
/// The server or the folder cannot be had, or the answer says why it was not done.
pub fn operate(target: &Target, verb: Verb, folder: PathBuf) -> Result<String, Box<dyn std::error::Error>> {
    let admin = verb.admin();
    let answer = match &target.server {
        Some(url) => ask(url, target, &admin)?,
        None => run(&admin, folder)?,
    };
    if answer.status == StatusCode::OK { Ok(answer.body) } else { Err(format!("{}: {}", answer.status, answer.body.trim_end()).into()) }
}

fn run(admin: &Admin, folder: PathBuf) -> Result<Answer, Box<dyn std::error::Error>> {
    let mut store = open_store(folder)?;
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(ServeError::Entropy)?;
    let mut server = Server::new(ServerConfig::default(), Entropy::new(seed));
    let wall_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    let answer = admin.run(Now { wall_ms, mono_ms: 0 }, &mut server, &mut store)?;
    store.commit()?;
    if admin.erases() {
        store.scrub()?;
    }
    Ok(answer)
}

fn ask(url: &str, target: &Target, admin: &Admin) -> Result<Answer, Box<dyn std::error::Error>> {
    let authority = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    let authority = authority.filter(|rest| !rest.contains('/')).ok_or("--server: allowed is http://HOST:PORT")?;
    let address = authority.to_socket_addrs()?.next().ok_or("--server: the host has no address")?;
    let token = target.token.as_deref().ok_or("a running server asks for an administrator's --token")?;
    // BIND-6
    if !address.ip().is_loopback() && !target.insecure_token {
        return Err(
            format!("the token would travel unencrypted to {authority}; allowed are loopback addresses, or --insecure-token").into()
        );
    }
    if token.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err("--token: allowed are printable ASCII characters without blanks".into());
    }
    let (method, path) = admin.request();
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse::<u16>().ok()).and_then(|code| StatusCode::from_u16(code).ok());
    let (status, (_, body)) = status.zip(answer.split_once("\r\n\r\n")).ok_or("the server's answer is no HTTP")?;
    Ok(Answer { status, body: body.to_owned() })
}
