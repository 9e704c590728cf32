//! Where a server is, and what may be sent there.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use tokio_tungstenite::tungstenite::http::Uri;

/// A server's WebSocket address: `ws://` or `wss://`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    url: String,
    host: String,
    encrypted: bool,
}

/// An address that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the server address {found:?} {fault}; allowed is ws://HOST[:PORT][/PATH] or wss://HOST[:PORT][/PATH]")]
pub struct AddressError {
    found: String,
    fault: &'static str,
}

impl Address {
    /// Whether a token may travel there: encrypted, or no further than this device. (BIND-6)
    pub fn keeps_secrets(&self) -> bool {
        self.encrypted || self.is_loopback()
    }

    fn is_loopback(&self) -> bool {
        let name = self.host.trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }

    /// The address as a URL.
    pub fn as_str(&self) -> &str {
        &self.url
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(url: &str) -> Result<Self, AddressError> {
        let refuse = |fault| Err(AddressError { found: url.to_owned(), fault });
        let Ok(uri) = url.parse::<Uri>() else { return refuse("is not a URL") };
        let encrypted = match uri.scheme_str() {
            Some("ws") => false,
            Some("wss") => true,
            Some(_) => return refuse("has another scheme"),
            None => return refuse("has no scheme"),
        };
        let Some(host) = uri.host().filter(|host| !host.is_empty()) else { return refuse("names no host") };
        // BIND-5: a token travels in `hello`, never in an address.
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return refuse("holds a user name or password, which belong in --token");
        }
        Ok(Self { url: url.to_owned(), host: host.to_owned(), encrypted })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stays_on_encrypted_or_loopback_connections() {
        let cases = [
            ("wss://example.org", true),
            ("ws://localhost:7777/x", true),
            ("ws://127.0.0.9:7777", true),
            ("ws://[::1]:7777", true),
            ("ws://example.org", false),
            ("ws://10.0.0.1:80", false),
            ("ws://localhost.example.org", false),
        ];
        for (url, allowed) in cases {
            let address: Address = url.parse().expect("a case above is an address");
            assert_eq!(address.keeps_secrets(), allowed, "BIND-6: {url}");
        }
    }

    #[test]
    fn what_is_no_server_address_is_refused() {
        for url in ["", "example.org", "http://example.org", "ws://", "ws://me:secret@example.org", "ws:// x"] {
            assert!(url.parse::<Address>().is_err(), "BIND-5: {url}");
        }
    }
}
