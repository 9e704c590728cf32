//! Where the token comes from: the command line, the environment, or a file that something else renews.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use syncline_client::session::Remote;

use super::args::Global;
use super::{Failure, failed};

/// How often the file is looked at.
const POLL: Duration = Duration::from_secs(1);

/// A token, and when it ends where it says so.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub expires_ms: Option<u64>,
}

impl Token {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned(), expires_ms: expiry(text) }
    }
}

/// The token that was asked for, if any.
pub fn given(global: &Global) -> Result<Option<Token>, Failure> {
    match (&global.token, &global.token_file) {
        (Some(text), _) => Ok(Some(Token::new(text))),
        (None, Some(path)) => read(path).map(Some),
        (None, None) => Ok(None),
    }
}

/// The token in a file, without the white space around it.
fn read(path: &Path) -> Result<Token, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => failed(format!("--token-file {}: the file is empty", path.display())),
        Ok(text) => Ok(Token::new(text.trim())),
        Err(error) => failed(format!("--token-file {}: cannot be read: {error}", path.display())),
    }
}

/// Hands each new token of the file to the session, for ever. (ACCESS-15)
pub async fn follow(global: &Global, remote: Remote) -> Result<(), Failure> {
    let Some(path) = global.token_file.as_ref().filter(|_| global.token.is_none()) else { return std::future::pending().await };
    let mut last = read(path).ok();
    loop {
        tokio::time::sleep(POLL).await;
        // A file that is being written is looked at again.
        let Ok(token) = read(path) else { continue };
        if last.as_ref() != Some(&token) {
            last = Some(token.clone());
            remote.set_token(token.text, token.expires_ms).await?;
            eprintln!("note: the new token of {} is in use", path.display());
        }
    }
}

/// When a JSON Web Token ends, in Unix milliseconds; none for other tokens. It is not checked: the server does that.
fn expiry(token: &str) -> Option<u64> {
    let payload = token.split('.').nth(1)?;
    let claims: Value = serde_json::from_slice(&base64url(payload)?).ok()?;
    claims["exp"].as_u64()?.checked_mul(1_000)
}

/// Bytes of base64url without padding.
fn base64url(text: &str) -> Option<Vec<u8>> {
    let (mut bits, mut count, mut bytes) = (0u32, 0, Vec::new());
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_web_token_says_when_it_ends() {
        // {"exp":1700000000}
        assert_eq!(expiry("e30.eyJleHAiOjE3MDAwMDAwMDB9.c2ln"), Some(1_700_000_000_000));
        for other in ["", "open sesame", "a.b.c", "e30.e30.e30", "e30.eyJleHAiOiJub3cifQ.x"] {
            assert_eq!(expiry(other), None, "{other}");
        }
    }
}
