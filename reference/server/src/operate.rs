//! The operator's commands, against a running server or a folder: `space`, `backup`, `inspect`, `restore`.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, CommandFactory, Subcommand};
use hyper::{Method, StatusCode};
use syncline::change::RecordName;
use syncline::clock::Now;
use syncline::entropy::Entropy;
use syncline::server::{Server, ServerConfig};
use syncline::store::Transact;
use syncline_store::{Kind, SqliteStore, copy, create_private};

use crate::admin::{Admin, Answer, encoded};
use crate::cluster::forget_stream;
use crate::door::{BACKUP_PATH, INSPECT_PATH};
use crate::edn::to_edn;
use crate::inspect::inspect_file;
use crate::{STORE_FILE, ServeError, make_folder, open_store};

/// How long a running server may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take until it begins to send a backup: it makes the copy first, at the pace of its disk.
const BACKUP_PATIENCE: Duration = Duration::from_secs(6 * 3_600);
/// The longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// The longest head of an answer.
const HEAD_BYTES_MAX: u64 = 64 << 10;

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
    /// Copies all that a server holds to a file, whether it runs (--server, or --data on its machine) or not (--data)
    Backup {
        #[command(flatten)]
        target: Target,
        /// The copy; made, never overwritten
        file: PathBuf,
    },
    /// Shows a space as the store holds it: log, replicas, records; of a running server (--server, or --data on its machine) or not
    Inspect {
        #[command(flatten)]
        target: Target,
        space: String,
        /// Write CBOR's diagnostic notation, as the conformance scenarios do, instead of JSON
        #[arg(long)]
        edn: bool,
    },
    /// Makes the folder of --data from a backup, for a server to be started on
    Restore {
        /// What `backup` wrote
        file: PathBuf,
    },
    /// Write what has this shell complete commands, to its standard output
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages into a folder
    Man {
        /// The folder; it is there
        folder: PathBuf,
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

impl Command {
    /// Does it, and gives what there is to print.
    ///
    /// # Errors
    /// The server or the folder cannot be had, or the answer says why it was not done.
    pub fn run(self, folder: PathBuf) -> Result<String, Box<dyn std::error::Error>> {
        match self {
            Self::Space { target, verb } => operate(&target, verb, folder),
            Self::Backup { target, file } => back_up(&target, &file, &folder),
            Self::Inspect { target, space, edn } => {
                let json = inspect(&target, &space, &folder)?;
                if edn { Ok(to_edn(&serde_json::from_str(&json)?)) } else { Ok(json) }
            }
            Self::Restore { file } => restore(&file, &folder),
            Self::Completions { shell } => {
                let mut text = Vec::new();
                clap_complete::generate(shell, &mut crate::config::Args::command(), "syncline-server", &mut text);
                Ok(String::from_utf8(text)?)
            }
            Self::Man { folder } => {
                clap_mangen::generate_to(crate::config::Args::command(), &folder)?;
                Ok(format!("wrote manual pages to {}", folder.display()))
            }
        }
    }
}

/// An answer other than 200 is an error.
fn operate(target: &Target, verb: Verb, folder: PathBuf) -> Result<String, Box<dyn std::error::Error>> {
    let admin = verb.admin();
    match &target.server {
        Some(url) => {
            let (method, path) = admin.request();
            ask_text(url, target, (&method, &path))
        }
        None => match run(&admin, folder)? {
            Answer { status: StatusCode::OK, body } => Ok(body),
            refused => Err(format!("{}: {}", refused.status, refused.body).into()),
        },
    }
}

fn ask_text(url: &str, target: &Target, request: (&Method, &str)) -> Result<String, Box<dyn std::error::Error>> {
    let mut body = String::new();
    ask(url, target, request, PATIENCE)?.take(ANSWER_BYTES_MAX).read_to_string(&mut body)?;
    Ok(body.trim_end().to_owned())
}

fn inspect(target: &Target, space: &str, folder: &Path) -> Result<String, Box<dyn std::error::Error>> {
    if let Some(url) = &target.server {
        return ask_text(url, target, (&Method::GET, &format!("{INSPECT_PATH}{}", encoded(space))));
    }
    let found = inspect_file(&folder.join(STORE_FILE), space)?.ok_or_else(|| format!("there is no space {space:?}"))?;
    Ok(found.to_string())
}

fn back_up(target: &Target, file: &Path, folder: &Path) -> Result<String, Box<dyn std::error::Error>> {
    match &target.server {
        None => copy(&folder.join(STORE_FILE), file, Kind::Server)?,
        Some(url) => {
            let mut sent = file.as_os_str().to_owned();
            sent.push(".sent");
            let fetched = fetch(url, target, Path::new(&sent)).and_then(|()| Ok(copy(Path::new(&sent), file, Kind::Server)?));
            // It is copied or of no use; what is told is what came of it.
            let _ = fs::remove_file(&sent);
            fetched?;
        }
    }
    Ok(format!("backed up to {}, {} bytes", file.display(), fs::metadata(file)?.len()))
}

/// Has a running server send its backup. One that is cut short is found when it is read: it is no whole store.
fn fetch(url: &str, target: &Target, to: &Path) -> Result<(), Box<dyn std::error::Error>> {
    // One that was broken off; none is no fault.
    let _ = fs::remove_file(to);
    let mut sent = create_private(to)?;
    let mut answer = ask(url, target, (&Method::POST, BACKUP_PATH), BACKUP_PATIENCE)?;
    io::copy(&mut answer, &mut sent)?;
    Ok(())
}

fn restore(file: &Path, folder: &Path) -> Result<String, Box<dyn std::error::Error>> {
    make_folder(folder)?;
    let to = folder.join(STORE_FILE);
    copy(file, &to, Kind::Server)?;
    forget_stream(&mut SqliteStore::open(&to, Kind::Server)?)?;
    Ok(format!("restored to {}; start the server with --data {}", to.display(), folder.display()))
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

/// Asks a running server, and gives the body of an answer of 200; any other is an error.
fn ask(url: &str, target: &Target, (method, path): (&Method, &str), patience: Duration) -> Result<impl Read, Box<dyn std::error::Error>> {
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
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(patience))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let mut answer = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if (&mut answer).take(HEAD_BYTES_MAX).read_line(&mut head)? == 0 || head.len() as u64 > HEAD_BYTES_MAX {
            return Err("the server's answer is no HTTP".into());
        }
    }
    let status = head.split(' ').nth(1).and_then(|code| StatusCode::from_bytes(code.as_bytes()).ok());
    let status = status.ok_or("the server's answer is no HTTP")?;
    if status != StatusCode::OK {
        let mut body = String::new();
        answer.take(ANSWER_BYTES_MAX).read_to_string(&mut body)?;
        return Err(format!("{status}: {}", body.trim_end()).into());
    }
    Ok(answer)
}
