//! What an operator sets: flags over a file over defaults.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use syncline::server::{Grant, Quota, Retention, Right, Rights};

use crate::cluster::ClusterConfig;
use crate::limiter::ClientLimits;
use crate::tls::TlsConfig;
use crate::tokens::JwtConfig;

mod args;
mod file;

pub use args::{Args, LogFormat};
use file::{File, RetentionFile, parse};

const DEFAULT_LISTEN: &str = "127.0.0.1:7747";
/// The folder of the store where none is named.
pub const DEFAULT_DATA: &str = "./syncline-data";

/// The settings of a server.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where to show how the server is; none: nowhere.
    pub operator: Option<SocketAddr>,
    /// The folder of the store.
    pub data: PathBuf,
    /// Who may come in by a token of the file; none, and no `jwt`: everyone.
    pub tokens: Option<Vec<TokenEntry>>,
    /// Who may come in by a JSON Web Token.
    pub jwt: Option<JwtConfig>,
    /// The certificate that the server shows its clients; none: they connect without TLS.
    pub tls: Option<TlsConfig>,
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
    /// The folder of a web application that is served at `/`.
    pub app: Option<PathBuf>,
    /// What one client may take up.
    pub limits: ClientLimits,
    /// The log that it shares with others; none: one of its own.
    pub cluster: Option<ClusterConfig>,
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
        "{listen} can be reached from other machines, and no tokens are set: everyone could read and write everything. \
         Set tokens in --config FILE, listen on 127.0.0.1 or [::1], or allow it with --open"
    )]
    Exposed {
        /// The address.
        listen: SocketAddr,
    },
}

impl Config {
    /// Settings for a folder, otherwise the defaults.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            listen: DEFAULT_LISTEN.parse().expect("the constant is an address"),
            operator: None,
            data: data.into(),
            tokens: None,
            jwt: None,
            tls: None,
            revoked: None,
            quota: Quota::default(),
            retention: Retention::default(),
            allow_origins: Vec::new(),
            create_spaces: true,
            log_format: LogFormat::default(),
            app: None,
            limits: ClientLimits::default(),
            cluster: None,
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
            operator: args.operator.or(file.operator),
            data: args.data.or(file.data).unwrap_or(defaults.data),
            tokens: file.tokens,
            jwt: file.jwt,
            tls: file.tls,
            revoked: file.revoked,
            quota: file.quota.map_or(defaults.quota, |quota| Quota { records: quota.records, bytes: quota.bytes }),
            retention: file.retention.map_or(defaults.retention, RetentionFile::retention),
            allow_origins: file.allow_origins,
            create_spaces: file.create_spaces.unwrap_or(defaults.create_spaces),
            log_format: args.log_format.or(file.log_format).unwrap_or_default(),
            app: args.app,
            limits: file.limits.unwrap_or_default(),
            cluster: args.log.map(|log| ClusterConfig {
                log,
                shard: args.shard,
                replicas: args.replicas.into(),
                log_bytes: args.log_bytes,
                relay: args.relay,
            }),
        };
        let listens = [Some(config.listen), config.cluster.as_ref().map(|cluster| cluster.relay)];
        let exposed = listens.into_iter().flatten().find(|listen| !listen.ip().is_loopback());
        if let Some(listen) = exposed.filter(|_| config.is_open() && !args.open) {
            return Err(ConfigError::Exposed { listen });
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

#[cfg(test)]
mod tests {
    use clap::Parser;

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
        refused("limits = {frames = 1}", &[], &["`frames`", "`frames_per_second`"]);
        refused("limits = {bytes_per_second = 0}", &[], &["limits.bytes_per_second", "found 0", "1 or more"]);
        refused("", &["--listen", "7747"], &["--listen"]);
        refused("", &["--log", "http://one:4222"], &["--log", "nats://HOST:PORT"]);
        refused("", &["--log", "nats://one,nats://"], &["--log", "nats://HOST:PORT"]);
        refused("", &["--log", "nats://one", "--shard", "a.b"], &["--shard", "letters, digits"]);
        refused("", &["--log", "nats://one", "--relay", "0.0.0.0:7748"], &["--relay", "this machine"]);
        refused("", &["--log", "nats://one", "--replicas", "6"], &["--replicas", "1..=5"]);
        refused("", &["--shard", "one"], &["--log"]);
    }

    #[test]
    fn an_open_server_stays_on_this_machine_unless_told_otherwise() {
        refused("", &["--listen", "0.0.0.0:7747"], &["0.0.0.0:7747", "--open", "tokens"]);
        refused("", &["--log", "nats://localhost:4222", "--relay", "10.0.0.1:7748"], &["10.0.0.1:7748", "--open", "tokens"]);
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
