//! The file of settings: its keys, and what is allowed in them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use syncline::limits;
use syncline::server::{Retention, Right};

use super::{ConfigError, LogFormat, Spaces, TokenEntry};
use crate::limiter::ClientLimits;
use crate::tls::TlsConfig;
use crate::tokens::JwtConfig;

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 3_600_000;

/// The keys of the file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) listen: Option<SocketAddr>,
    pub(super) operator: Option<SocketAddr>,
    pub(super) data: Option<PathBuf>,
    pub(super) tokens: Option<Vec<TokenEntry>>,
    pub(super) jwt: Option<JwtConfig>,
    pub(super) tls: Option<TlsConfig>,
    pub(super) revoked: Option<PathBuf>,
    pub(super) quota: Option<QuotaFile>,
    pub(super) retention: Option<RetentionFile>,
    #[serde(default)]
    pub(super) allow_origins: Vec<String>,
    pub(super) create_spaces: Option<bool>,
    pub(super) log_format: Option<LogFormat>,
    pub(super) limits: Option<ClientLimits>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QuotaFile {
    pub(super) records: Option<u64>,
    pub(super) bytes: Option<u64>,
}

/// For how long deletions are remembered: days, and positions behind the head.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetentionFile {
    days: Option<u64>,
    positions: Option<u64>,
}

impl RetentionFile {
    /// What is not said is as the registry has it. Less than a day would have what was just written refused as stale.
    pub(super) fn retention(self) -> Retention {
        let defaults = Retention::default();
        let ms = self.days.map_or(defaults.ms, |days| days.max(1).saturating_mul(DAY_MS));
        Retention { ms, positions: self.positions.unwrap_or(defaults.positions) }
    }
}

pub(super) fn parse(path: &Path, text: &str) -> Result<File, ConfigError> {
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
    if let Some(limits) = &file.limits {
        limits.check()?;
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
