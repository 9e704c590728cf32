//! The commands.

mod args;
mod columns;
mod edit;
mod import;
mod live;
mod output;
mod peer;
mod read;
mod token;

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{CommandFactory, Parser};
use serde_json::json;
use syncline::client::Edit;
use syncline_client::text::plain;
use syncline_client::{Address, Local};

use args::{Cli, Command, Global};

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// It was called wrongly: exit status 2.
    Usage(String),
    /// It could not be done: exit status 1.
    Failed(String),
    /// Nobody reads the output any more, which is no failure.
    NoReader,
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}

fn failed<T>(text: impl Display) -> Result<T, Failure> {
    Err(Failure::Failed(text.to_string()))
}

pub fn main() -> ExitCode {
    let Cli { global, command } = Cli::parse();
    let (text, status) = match run(&global, command) {
        Ok(()) | Err(Failure::NoReader) => return ExitCode::SUCCESS,
        Err(Failure::Failed(text)) => (text, 1),
        Err(Failure::Usage(text)) => (text, 2),
    };
    if global.json {
        eprintln!("{}", json!({ "error": text }));
    } else {
        eprintln!("error: {}", plain(&text));
    }
    ExitCode::from(status)
}

fn run(global: &Global, command: Command) -> Result<(), Failure> {
    match command {
        Command::Put { record, fields, if_unchanged } => edit::put(global, record, fields, if_unchanged),
        Command::Unset { record, fields } => edit::unset(global, &record, fields),
        Command::Add { record, field, amount } => columns::column(global, record, field, Edit::Add(amount)),
        Command::Offer { record, field, value, least } => columns::offer(global, record, field, &value, least),
        Command::Set { record, field, elements, remove } => columns::set(global, record, field, &elements, !remove),
        Command::Map { record, field, entries, unset } => columns::map(global, record, field, entries, unset),
        Command::Multi { record, field, values } => columns::multi(global, record, field, &values),
        Command::Delete { records } => edit::delete(global, records),
        Command::Get { record } => read::get(global, &record),
        Command::List { collection } => read::list(global, collection.as_deref()),
        Command::Export { collection } => read::export(global, collection.as_deref()),
        Command::Rejected { dismiss } => read::rejected(global, dismiss),
        Command::Import { file, collection, id } => import::import(global, file.as_deref(), collection.zip(id)),
        Command::Subscribe { collections, all } => edit::subscribe(global, &collections, all),
        Command::Watch { collection, presence } => live::watch(global, collection, presence),
        Command::Peer { side, link_token, time } => peer::peer(global, side, link_token, time),
        Command::Sync { timeout } => live::sync(global, timeout),
        Command::Logout { force } => edit::logout(global, force),
        Command::Status => live::status(global),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "syncline", &mut std::io::stdout());
            Ok(())
        }
        Command::Man { folder } => Ok(clap_mangen::generate_to(Cli::command(), folder)?),
    }
}

/// Opens the replica; where another process holds the store, waits for it a while.
fn open(global: &Global) -> Result<Local, Failure> {
    let path = store_path(global);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let made = std::fs::create_dir_all(folder);
        made.map_err(|error| Failure::Failed(format!("cannot make the folder {} for the store: {error}", folder.display())))?;
    }
    let token = token::given(global)?;
    let until = Instant::now() + LOCK_PATIENCE;
    let mut local = loop {
        match Local::open(&path, &global.space, token.as_ref().map(|token| token.text.clone())) {
            Ok(local) => break local,
            Err(error) if error.is_held() && Instant::now() < until => std::thread::sleep(LOCK_PAUSE),
            Err(error) if error.is_held() => {
                return failed(format!("{} is in use by another syncline process; `watch` holds its store until it ends", path.display()));
            }
            Err(error) => return failed(error),
        }
    };
    if let Some(token) = token {
        local.set_token(Some(token.text), token.expires_ms)?;
    }
    if let Some(url) = &global.server {
        let address: Address = url.parse().map_err(|error| Failure::Usage(format!("{error}")))?;
        if local.server()?.as_deref() != Some(address.as_str()) {
            local.remember_server(address.as_str())?;
        }
    }
    Ok(local)
}

/// How long to wait for a store that another process holds.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// How often it looks meanwhile.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

fn store_path(global: &Global) -> PathBuf {
    global.store.clone().unwrap_or_else(|| PathBuf::from(".syncline").join(format!("{}.db", file_name(&global.space))))
}

/// A space's name as a file name: all but letters, digits, `-`, `_` and inner dots as percent and hexadecimal.
fn file_name(space: &str) -> String {
    let escape = |(at, byte): (usize, u8)| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
        b'.' if at > 0 => ".".to_owned(),
        _ => format!("%{byte:02x}"),
    };
    space.bytes().enumerate().map(escape).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_space_cannot_name_a_file_elsewhere() {
        assert_eq!(super::file_name("home"), "home");
        assert_eq!(super::file_name("../a b"), "%2e.%2fa%20b");
    }
}
