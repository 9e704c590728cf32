//! What an operator sets: flags over a file over defaults.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};
use serde::Deserialize;
use syncline::limits;
use syncline::server::{Grant, Quota, Retention, Right, Rights};

use crate::operate::Command;
use crate::tokens::JwtConfig;

const DEFAULT_LISTEN: &str = "127.0.0.1:7747";
/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 3_600_000;
/// The folder of the store where none is named.
pub const DEFAULT_DATA: &str = "./syncline-data";

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
    /// A TOML file with the keys listen, data, tokens, jwt, revoked, quota, retention, allow_origins, create_spaces, log_format; flags
    /// override it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How to write the log on standard error [default: text]
    #[arg(long, value_enum)]
    pub log_format: Option<LogFormat>,
    /// Let everyone who can reach the address read and write everything
    #[arg(long)]
    pub open: bool,
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

/// The settings of a server.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The folder of the store.
    pub data: PathBuf,
    /// Who may come in by a token of the file; none, and no `jwt`: everyone.
    pub tokens: Option<Vec<TokenEntry>>,
    /// Who may come in by a JSON Web Token.
    pub jwt: Option<JwtConfig>,
    /// A TOML file of what is not let in any more: subjects, tokens (their ids) and replicas. Read again when it changes.
    pub revoked: Option<PathBuf>,
    /// What each space may hold.
    pub quota: Quota,
    /// For how long each space remembers deletions. (HORIZON-2)
    pub retention: Retention,
    /// Origins of web pages that may connect, besides the server's own.
    pub allow_origins: Vec<String>,
    /// Whether opening an unknown space creates it.
    pub create_spaces: bool,
    /// How the log is written.
    pub log_format: LogFormat,
}

/// A token and what it grants.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenEntry {
    /// What a client sends in `hello`.
    pub token: String,
    /// Who it stands for.
    pub subject: String,
    /// The spaces it opens; none: all, for writing.
    pub spaces: Option<Spaces>,
    /// When it ends, in Unix seconds; none: never.
    pub expires: Option<u64>,
    /// The name by which it can be revoked.
    pub id: Option<String>,
    /// Whether it may make spaces by opening them; by default it may.
    pub creates: Option<bool>,
    /// Whether it may administer the server.
    #[serde(default)]
    pub admin: bool,
}

/// The spaces of a token. A name that ends in `*` stands for all that begin so.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "allowed is a list of spaces, or a table of spaces with \"read\", \"write\" or \"none\"")]
pub enum Spaces {
    /// Reading and writing in these.
    Writing(Vec<String>),
    /// Each with its right.
    Each(BTreeMap<String, String>),
}

impl Spaces {
    fn names(&self) -> Vec<&String> {
        match self {
            Self::Writing(names) => names.iter().collect(),
            Self::Each(rights) => rights.keys().collect(),
        }
    }

    fn rights(&self) -> Rights {
        match self {
            Self::Writing(names) => names.iter().map(|name| (name.clone(), Right::Write)).collect(),
            Self::Each(rights) => rights.iter().map(|(name, word)| (name.clone(), Right::from_word(word).unwrap_or(Right::None))).collect(),
        }
    }
}

impl TokenEntry {
    /// A token that may do all but administer the server.
    pub fn new(token: impl Into<String>, subject: impl Into<String>) -> Self {
        Self { token: token.into(), subject: subject.into(), spaces: None, expires: None, id: None, creates: None, admin: false }
    }

    fn grant(&self) -> Grant {
        let full = Grant::full(&self.subject);
        Grant {
            rights: self.spaces.as_ref().map_or(full.rights, Spaces::rights),
            creates: self.creates.unwrap_or(true),
            admin: self.admin,
            expires_ms: self.expires.map(|end| end.saturating_mul(1_000)),
            token_id: self.id.clone(),
            ..full
        }
    }
}

impl fmt::Debug for TokenEntry {
    /// Without the token, so that no log holds it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenEntry").field("subject", &self.subject).field("spaces", &self.spaces).finish_non_exhaustive()
    }
}

/// What is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot read the configuration: {reason}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A key of the file.
    #[error("{}: {reason}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Which key, what was found, what is allowed.
        reason: String,
    },
    /// Settings that do not go together.
    #[error(
        "listen = {listen} can be reached from other machines, and no tokens are set: everyone could read and write everything. \
         Set tokens in --config FILE, listen on 127.0.0.1 or [::1], or allow it with --open"
    )]
    Exposed {
        /// The address.
        listen: SocketAddr,
    },
}

/// The keys of the file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
    data: Option<PathBuf>,
    tokens: Option<Vec<TokenEntry>>,
    jwt: Option<JwtConfig>,
    revoked: Option<PathBuf>,
    quota: Option<QuotaFile>,
    retention: Option<RetentionFile>,
    #[serde(default)]
    allow_origins: Vec<String>,
    create_spaces: Option<bool>,
    log_format: Option<LogFormat>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct QuotaFile {
    records: Option<u64>,
    bytes: Option<u64>,
}

/// For how long deletions are remembered: days, and positions behind the head.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetentionFile {
    days: Option<u64>,
    positions: Option<u64>,
}

impl RetentionFile {
    /// What is not said is as the registry has it. Less than a day would have what was just written refused as stale.
    fn retention(self) -> Retention {
        let defaults = Retention::default();
        let ms = self.days.map_or(defaults.ms, |days| days.max(1).saturating_mul(DAY_MS));
        Retention { ms, positions: self.positions.unwrap_or(defaults.positions) }
    }
}

impl Config {
    /// Settings for a folder, otherwise the defaults.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            listen: DEFAULT_LISTEN.parse().expect("the constant is an address"),
            data: data.into(),
            tokens: None,
            jwt: None,
            revoked: None,
            quota: Quota::default(),
            retention: Retention::default(),
            allow_origins: Vec::new(),
            create_spaces: true,
            log_format: LogFormat::default(),
        }
    }

    /// The settings that the command line and the file it names ask for.
    ///
    /// # Errors
    /// The file cannot be read, a key in it is wrong, or the settings would expose an open server.
    pub fn load(args: Args) -> Result<Self, ConfigError> {
        let file = match &args.config {
            None => File::default(),
            Some(path) => {
                let unreadable = |error: std::io::Error| ConfigError::Unreadable { file: path.clone(), reason: error.to_string() };
                parse(path, &std::fs::read_to_string(path).map_err(unreadable)?)?
            }
        };
        let defaults = Self::new(DEFAULT_DATA);
        let config = Self {
            listen: args.listen.or(file.listen).unwrap_or(defaults.listen),
            data: args.data.or(file.data).unwrap_or(defaults.data),
            tokens: file.tokens,
            jwt: file.jwt,
            revoked: file.revoked,
            quota: file.quota.map_or(defaults.quota, |quota| Quota { records: quota.records, bytes: quota.bytes }),
            retention: file.retention.map_or(defaults.retention, RetentionFile::retention),
            allow_origins: file.allow_origins,
            create_spaces: file.create_spaces.unwrap_or(defaults.create_spaces),
            log_format: args.log_format.or(file.log_format).unwrap_or_default(),
        };
        if config.is_open() && !config.listen.ip().is_loopback() && !args.open {
            return Err(ConfigError::Exposed { listen: config.listen });
        }
        Ok(config)
    }

    /// Whether everyone may come in.
    pub fn is_open(&self) -> bool {
        self.tokens.is_none() && self.jwt.is_none()
    }

    /// The tokens of the file and what they grant.
    pub(crate) fn grants(&self) -> Option<BTreeMap<String, Grant>> {
        let tokens = self.tokens.as_ref()?;
        Some(tokens.iter().map(|entry| (entry.token.clone(), entry.grant())).collect())
    }
}

fn parse(path: &Path, text: &str) -> Result<File, ConfigError> {
    let wrong = |reason| ConfigError::File { file: path.to_owned(), reason };
    let file: File = toml::from_str(text).map_err(|error| {
        // The library's own display quotes the line, which may hold a token.
        let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
        let key = key_at(text, error.span());
        wrong(format!("line {line}: {key}{}", error.message()))
    })?;
    check(&file).map_err(wrong)?;
    Ok(file)
}

/// The key at the start of the line where the fault is, if it is a value's.
fn key_at(text: &str, span: Option<std::ops::Range<usize>>) -> String {
    let Some(span) = span else { return String::new() };
    let start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    match text[start..span.start].split_once('=') {
        Some((key, _)) => format!("{}: ", key.trim()),
        None => String::new(),
    }
}

fn check(file: &File) -> Result<(), String> {
    for (i, origin) in file.allow_origins.iter().enumerate() {
        let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        if !host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', ' '])) {
            return Err(format!(
                "allow_origins[{i}]: found \"{origin}\"; allowed is a scheme and a host, as in \"https://app.example:8443\""
            ));
        }
    }
    let Some(tokens) = &file.tokens else { return Ok(()) };
    if tokens.is_empty() {
        return Err("tokens: the list is empty, so nobody could come in; add one, or leave the key out to let everyone in".to_owned());
    }
    for (i, entry) in tokens.iter().enumerate() {
        if !(1..=limits::TOKEN_BYTES_MAX).contains(&entry.token.len()) {
            return Err(format!("tokens[{i}].token: found {} bytes; allowed are 1 to {}", entry.token.len(), limits::TOKEN_BYTES_MAX));
        }
        if let Some(first) = tokens[..i].iter().position(|other| other.token == entry.token) {
            return Err(format!("tokens[{i}].token: the same as tokens[{first}].token; each may be given once"));
        }
        if entry.subject.is_empty() || entry.subject.chars().any(char::is_control) {
            return Err(format!("tokens[{i}].subject: found an empty name or a control character; allowed is any other"));
        }
        check_spaces(entry).map_err(|fault| format!("tokens[{i}].spaces{fault}"))?;
    }
    Ok(())
}

fn check_spaces(entry: &TokenEntry) -> Result<(), String> {
    let Some(spaces) = &entry.spaces else { return Ok(()) };
    for (j, space) in spaces.names().into_iter().enumerate() {
        if !(1..=limits::SPACE_NAME_BYTES_MAX).contains(&space.len()) {
            return Err(format!("[{j}]: found {} bytes; allowed are 1 to {}", space.len(), limits::SPACE_NAME_BYTES_MAX));
        }
    }
    let Spaces::Each(rights) = spaces else { return Ok(()) };
    match rights.iter().find(|(_, word)| Right::from_word(word).is_none()) {
        Some((name, word)) => Err(format!(".\"{name}\": found \"{word}\"; allowed are read, write and none")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, flags: &[&str]) -> Result<Config, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("s.toml");
        std::fs::write(&file, text).expect("the file is written");
        let args = ["syncline-server", "--config"].map(std::ffi::OsString::from);
        let args = args.into_iter().chain([file.into_os_string()]).chain(flags.iter().map(Into::into));
        let args = Args::try_parse_from(args).map_err(|error| error.to_string())?;
        Config::load(args).map_err(|error| error.to_string())
    }

    fn refused(text: &str, flags: &[&str], words: &[&str]) {
        let error = load(text, flags).expect_err(text);
        for word in words {
            assert!(error.contains(word), "{error:?} says {word:?}");
        }
        assert!(!error.contains("hunter2"), "{error:?} shows a token");
    }

    #[test]
    fn flags_stand_over_the_file_and_the_file_over_defaults() {
        let config = load("listen = '127.0.0.1:1'\ndata = 'here'\nlog_format = 'json'\ncreate_spaces = false", &["--listen", "[::1]:2"]);
        let config = config.expect("good settings");
        assert_eq!(config.listen.to_string(), "[::1]:2");
        assert_eq!((config.data, config.log_format, config.create_spaces), ("here".into(), LogFormat::Json, false));
        let config = load("", &[]).expect("no settings");
        assert_eq!((config.listen.to_string().as_str(), config.data, config.create_spaces), (DEFAULT_LISTEN, DEFAULT_DATA.into(), true));
    }

    #[test]
    fn a_wrong_key_is_named_with_what_is_allowed() {
        refused("lisen = 'a'", &[], &["s.toml", "line 1", "`lisen`", "`listen`", "`allow_origins`"]);
        refused("\nlisten = 'here'", &[], &["line 2", "listen: "]);
        refused("log_format = 'xml'", &[], &["log_format: ", "`xml`", "`text`", "`json`"]);
        refused("allow_origins = ['*']", &[], &["allow_origins[0]", "*", "https://"]);
        refused("tokens = []", &[], &["tokens", "empty"]);
        refused("tokens = [{token = '', subject = 'a'}]", &[], &["tokens[0].token", "1 to 4096"]);
        refused("tokens = [{token = 'hunter2', subject = ''}]", &[], &["tokens[0].subject"]);
        refused("tokens = [{token = 'hunter2', subject = 1}]", &[], &["line 1"]);
        refused(
            "tokens = [{token = 'hunter2', subject = 'a'}, {token = 'hunter2', subject = 'b'}]",
            &[],
            &["tokens[1].token", "tokens[0]"],
        );
        refused(
            "tokens = [{token = 'hunter2', subject = 'a', spaces = {home = 'all'}}]",
            &[],
            &["tokens[0].spaces", "home", "all", "read"],
        );
        refused("tokens = [{token = 'hunter2', subject = 'a', spaces = 1}]", &[], &["a list of spaces", "a table"]);
        refused("jwt = {key = 'k'}", &[], &["`key`", "`keys`"]);
        refused("", &["--listen", "7747"], &["--listen"]);
    }

    #[test]
    fn an_open_server_stays_on_this_machine_unless_told_otherwise() {
        refused("", &["--listen", "0.0.0.0:7747"], &["0.0.0.0:7747", "--open", "tokens"]);
        load("", &["--listen", "0.0.0.0:7747", "--open"]).expect("it was told");
        load("tokens = [{token = 'hunter2', subject = 'a'}]", &["--listen", "0.0.0.0:7747"]).expect("it has tokens");
    }

    #[test]
    fn settings_are_printed_without_their_tokens() {
        let config = load("tokens = [{token = 'hunter2', subject = 'alice'}]", &[]).expect("good settings");
        let printed = format!("{config:?}");
        assert!(printed.contains("alice") && !printed.contains("hunter2"), "{printed}");
    }
}
