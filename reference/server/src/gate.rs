//! Who may come in: the HTTP side of the WebSocket binding. Spec 11.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{HOST, HeaderMap, HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use hyper::{Method, Request, Response, StatusCode};
use syncline::fault;
use tokio_tungstenite::tungstenite::handshake::server::create_response;
use tracing::{debug, info};

use crate::app::App;
use crate::engine::Engine;
use crate::limiter::Visit;
use crate::reply::{Body, say};
use crate::socket;

/// The subprotocol of this version. (BIND-1)
const SUBPROTOCOL: &str = "syncline.1";

/// The checks before a connection speaks Syncline.
pub(crate) struct Gate {
    address: SocketAddr,
    /// Everyone on this machine may come in, and nobody else: `Host` must name this machine.
    local_only: bool,
    allow_origins: Vec<String>,
    app: Option<App>,
}

impl Gate {
    pub(crate) fn new(address: SocketAddr, open: bool, allow_origins: Vec<String>, app: Option<App>) -> Self {
        Self { address, local_only: open && address.ip().is_loopback(), allow_origins, app }
    }

    /// Whether browsers get an application here.
    pub(crate) fn serves_app(&self) -> bool {
        self.app.is_some()
    }

    /// Answers one request; a good handshake leaves a task that serves the WebSocket and keeps the visit.
    pub(crate) fn answer(&self, mut request: Request<Incoming>, engine: &Engine, visit: &Arc<Visit>) -> Response<Body> {
        if let Some(file) = self.file(&request) {
            return file;
        }
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/healthz") => return say(StatusCode::OK, "ok\n"),
            (&Method::GET, "/" | "/sync") => {}
            (_, "/" | "/sync" | "/healthz") => return say(StatusCode::METHOD_NOT_ALLOWED, "only GET\n"),
            _ => return say(StatusCode::NOT_FOUND, "only /, /sync and /healthz\n"),
        }
        if let Err((status, why)) = self.check(request.headers()) {
            info!(status = status.as_u16(), why = why.trim_end(), "refused a handshake");
            return say(status, why);
        }
        let mut bare = Request::new(());
        *bare.version_mut() = request.version();
        *bare.headers_mut() = request.headers().clone();
        let mut response = match create_response(&bare) {
            Ok(response) => response.map(|()| Body::Left(String::new())),
            Err(error) => return say(StatusCode::BAD_REQUEST, &format!("not a WebSocket handshake: {error}\n")),
        };
        response.headers_mut().insert(
            SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(if fault::is("bind-subprotocol-unsaid") { "syncline.0" } else { SUBPROTOCOL }),
        );
        let (engine, visit) = (engine.clone(), Arc::clone(visit));
        // The request itself, and the buffer that its headers are a part of, are not kept.
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            match upgrade.await {
                Ok(upgraded) => socket::serve(upgraded, engine, visit).await,
                Err(error) => debug!(%error, "a handshake was not completed"),
            }
        });
        response
    }

    /// A file of the application, for a request that is no handshake.
    fn file(&self, request: &Request<Incoming>) -> Option<Response<Body>> {
        let file = self.app.as_ref().filter(|_| !request.headers().contains_key(UPGRADE))?.answer(request)?;
        Some(self.check_names(request.headers()).map_or_else(|(status, why)| say(status, why), |()| file))
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
        self.check_names(headers)?;
        if !headers.contains_key(UPGRADE) {
            return Err((StatusCode::UPGRADE_REQUIRED, "a Syncline server: connect by WebSocket with the subprotocol syncline.1\n"));
        }
        // BIND-2
        let offers = headers.get_all(SEC_WEBSOCKET_PROTOCOL);
        let mut offered = offers.iter().filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(','));
        if !offered.any(|name| name.trim() == SUBPROTOCOL) && !fault::is("bind-any-subprotocol") {
            return Err((StatusCode::BAD_REQUEST, "the subprotocol syncline.1 is not offered\n"));
        }
        Ok(())
    }

    /// Who the request is for, and which page sends it.
    pub(crate) fn check_names(&self, headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let host = text(HOST).unwrap_or_default();
        // SEC-3. A page on another site can have its name resolve to this machine; its requests still carry that name.
        if self.local_only && !self.names_this_machine(host) && !fault::is("sec-any-host") {
            return Err((StatusCode::FORBIDDEN, "this server is open to this machine only, and Host names another\n"));
        }
        // BIND-4. Only browsers send Origin, and programs have no cookies to steal.
        if headers.contains_key(ORIGIN) && !fault::is("bind-any-origin") && !self.admits(text(ORIGIN).unwrap_or_default(), host) {
            return Err((StatusCode::FORBIDDEN, "this origin is not allowed; see allow_origins\n"));
        }
        Ok(())
    }

    fn names_this_machine(&self, host: &str) -> bool {
        let name = host_name(host);
        let address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback() || address == self.address.ip())
    }

    fn admits(&self, origin: &str, host: &str) -> bool {
        let own = |scheme: &str, port: &str| {
            let authority = origin.strip_prefix(scheme);
            authority
                .is_some_and(|authority| !host.is_empty() && without_port(authority, port).eq_ignore_ascii_case(without_port(host, port)))
        };
        own("http://", ":80") || own("https://", ":443") || self.allow_origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
    }
}

/// The authority without the port that its scheme implies.
fn without_port<'a>(authority: &'a str, implied: &str) -> &'a str {
    authority.strip_suffix(implied).unwrap_or(authority)
}

/// The host of `host:port`, with the brackets of an IPv6 address.
fn host_name(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(listen: &str, open: bool, host: &str, origin: Option<&str>, expected: u16) {
        let allowed = vec!["https://app.example".to_owned()];
        let gate = Gate::new(listen.parse().expect("an address"), open, allowed, None);
        let mut headers = HeaderMap::new();
        let mut put = |name, value: &str| headers.insert(name, HeaderValue::from_str(value).expect("a header"));
        put(HOST, host);
        put(UPGRADE, "websocket");
        put(SEC_WEBSOCKET_PROTOCOL, "other, syncline.1");
        if let Some(origin) = origin {
            put(ORIGIN, origin);
        }
        let status = gate.check(&headers).map_or_else(|(status, _)| status.as_u16(), |()| 101);
        assert_eq!(status, expected, "{host} {origin:?}");
    }

    #[test]
    fn an_open_server_on_loopback_answers_only_to_names_of_this_machine() {
        for host in ["localhost:7747", "LOCALHOST", "127.0.0.1:7747", "127.8.8.8", "[::1]:7747", "[::1]"] {
            check("127.0.0.1:7747", true, host, None, 101);
        }
        for host in ["evil.example:7747", "localhost.evil.example", "10.0.0.1", "", "[::2]:1", "127.0.0.1.evil.example"] {
            check("127.0.0.1:7747", true, host, None, 403);
        }
        check("127.0.0.1:7747", false, "sync.example", None, 101);
        check("0.0.0.0:7747", true, "sync.example", None, 101);
    }

    #[test]
    fn an_origin_is_the_servers_own_or_an_allowed_one() {
        let local = |origin, expected| check("127.0.0.1:80", true, "localhost:7747", Some(origin), expected);
        local("http://localhost:7747", 101);
        local("https://localhost:7747", 101);
        local("https://app.example", 101);
        for origin in
            ["http://localhost:5173", "http://localhost", "null", "", "https://app.example.evil", "file://", "http://127.0.0.1:7747"]
        {
            local(origin, 403);
        }
        check("0.0.0.0:80", false, "sync.example", Some("http://sync.example:80"), 101);
        check("0.0.0.0:80", false, "sync.example:443", Some("https://sync.example"), 101);
        check("0.0.0.0:80", false, "sync.example", Some("http://sync.example:443"), 403);
    }
}
