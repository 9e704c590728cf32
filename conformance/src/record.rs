//! Stands between clients and a server, passes everything on, and keeps a trace.

use std::io::{BufWriter, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tungstenite::http::{HeaderMap, Uri};
use tungstenite::protocol::{CloseFrame, Role};
use tungstenite::{Error, HandshakeError, Message, WebSocket};

use crate::cbor::decode_sequence;
use crate::sockets::unix_ms;
use crate::trace::{Event, Frame, What};
use crate::trace_file::{Header, Redaction, VERSION};

/// So many connections at a time; more are not let in.
const CONNECTIONS_MAX: usize = 256;
/// What of a client's handshake goes to the server.
const PASSED_ON: [&str; 5] = ["sec-websocket-protocol", "authorization", "origin", "cookie", "user-agent"];

/// Where a recording goes.
pub struct Tape {
    out: BufWriter<Box<dyn Write + Send>>,
    redacted: Redaction,
    print: bool,
}

impl Tape {
    /// Begins a trace; `print` shows each event on standard output as well.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(out: Box<dyn Write + Send>, print: bool) -> std::io::Result<Self> {
        let mut tape = Self { out: BufWriter::new(out), redacted: Redaction::default(), print };
        let header = Header { trace: VERSION, name: "recording".to_owned(), role: "both".to_owned(), space: String::new(), seed: 0 };
        tape.line(&serde_json::to_string(&header)?)?;
        Ok(tape)
    }

    fn line(&mut self, line: &str) -> std::io::Result<()> {
        writeln!(self.out, "{line}").and_then(|()| self.out.flush())
    }

    fn take(&mut self, what: What) -> std::io::Result<()> {
        let event = self.redacted.event(&Event { at: unix_ms(), what });
        if self.print {
            println!("{event}");
        }
        self.line(&serde_json::to_string(&event)?)
    }
}

/// A tape that several connections write on.
type Shared = Arc<Mutex<Tape>>;

/// Takes connections for as long as the listener lives, and passes each on to the server.
///
/// # Errors
/// An address that is not of the form `ws://HOST:PORT/…`.
pub fn record(listener: &TcpListener, to: &str, tape: Tape) -> Result<(), String> {
    let server = authority(to)?;
    let (tape, running) = (Arc::new(Mutex::new(tape)), Arc::new(AtomicUsize::new(0)));
    for (index, stream) in listener.incoming().flatten().enumerate() {
        if running.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS_MAX {
            running.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let (tape, running, to, server) = (tape.clone(), running.clone(), to.to_owned(), server.clone());
        std::thread::spawn(move || {
            if let Err(error) = connection(stream, index + 1, &to, &server, &tape) {
                eprintln!("connection {}: {error}", index + 1);
            }
            running.fetch_sub(1, Ordering::SeqCst);
        });
    }
    Ok(())
}

/// The host and port of the server's address.
///
/// # Errors
/// What is wrong with it.
pub fn authority(to: &str) -> Result<String, String> {
    let uri: Uri = to.parse().map_err(|error| format!("{to}: {error}"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("ws"), Some(host)) => Ok(format!("{host}:{}", uri.port_u16().unwrap_or(80))),
        (Some("wss"), _) => Err(format!("{to}: the recorder speaks no TLS; give the ws:// address behind it")),
        _ => Err(format!("{to}: an address begins with ws:// and names a host")),
    }
}

/// One client's connection, from its handshake to its end.
#[allow(clippy::result_large_err)] // the library's own type
fn connection(stream: TcpStream, number: usize, to: &str, server: &str, tape: &Shared) -> Result<(), String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let mut upstream = None;
    let answer = |request: &Request, mut response: Response| {
        let (socket, headers) = dial(to, server, request.headers())?;
        if let Some(subprotocol) = headers.get("sec-websocket-protocol") {
            response.headers_mut().insert("sec-websocket-protocol", subprotocol.clone());
        }
        upstream = Some(socket);
        Ok(response)
    };
    let _ = stream.set_nodelay(true);
    let client = tungstenite::accept_hdr(stream, answer).map_err(|error| said(&error))?;
    let upstream = upstream.ok_or("no connection to the server")?;
    let (conn, name) = (format!("c{number}"), format!("client{number}"));
    keep(tape, What::Connect { conn: conn.clone(), from: name.clone(), to: "server".to_owned() });
    let to_client = beside(&client, Role::Server).map_err(|error| said(&error))?;
    let to_server = beside(&upstream, Role::Client).map_err(|error| said(&error))?;
    let down = Pass { tape: tape.clone(), conn: conn.clone(), from: "server".to_owned(), to: name.clone() };
    let up = Pass { tape: tape.clone(), conn, from: name, to: "server".to_owned() };
    let ended = Arc::new(AtomicUsize::new(0));
    let other = ended.clone();
    let thread = std::thread::spawn(move || down.run(upstream, to_client, &other));
    up.run(client, to_server, &ended);
    thread.join().map_err(|_| "the other direction failed".to_owned())
}

/// Makes the connection to the server as the client asked for it.
#[allow(clippy::result_large_err)] // the library's own type
fn dial(to: &str, server: &str, headers: &HeaderMap) -> Result<(WebSocket<TcpStream>, HeaderMap), ErrorResponse> {
    let refused = |status: u16, why: String| {
        let mut response = ErrorResponse::new(Some(why));
        *response.status_mut() = status.try_into().unwrap_or_default();
        response
    };
    let mut request = to.into_client_request().map_err(|error| refused(502, error.to_string()))?;
    for name in PASSED_ON {
        if let Some(value) = headers.get(name) {
            request.headers_mut().insert(name, value.clone());
        }
    }
    let stream = TcpStream::connect(server).map_err(|error| refused(502, format!("{server}: {error}")))?;
    let _ = stream.set_nodelay(true);
    match tungstenite::client(request, stream) {
        Ok((socket, response)) => Ok((socket, response.headers().clone())),
        Err(HandshakeError::Failure(Error::Http(response))) => Err(refused(response.status().as_u16(), String::new())),
        Err(error) => Err(refused(502, error.to_string())),
    }
}

/// A second end of the same socket, to write on while the first reads.
fn beside(socket: &WebSocket<TcpStream>, role: Role) -> std::io::Result<WebSocket<TcpStream>> {
    Ok(WebSocket::from_raw_socket(socket.get_ref().try_clone()?, role, None))
}

fn keep(tape: &Shared, what: What) {
    let Ok(mut tape) = tape.lock() else { return };
    if let Err(error) = tape.take(what) {
        eprintln!("the trace: {error}");
    }
}

/// One direction of a connection.
struct Pass {
    tape: Shared,
    conn: String,
    from: String,
    to: String,
}

impl Pass {
    fn run(self, mut from: WebSocket<TcpStream>, mut to: WebSocket<TcpStream>, ended: &AtomicUsize) {
        let close = loop {
            match from.read() {
                Ok(message @ (Message::Binary(_) | Message::Text(_))) => {
                    self.keep_message(&message);
                    if to.send(message).is_err() {
                        break None;
                    }
                }
                Ok(Message::Close(close)) => break Some(close),
                Ok(_) => {}
                Err(_) => break None,
            }
        };
        if ended.fetch_add(1, Ordering::SeqCst) == 0 {
            let code = close.as_ref().and_then(|close| close.as_ref().map(|close: &CloseFrame| close.code.into()));
            keep(&self.tape, What::End { conn: self.conn.clone(), by: self.from.clone(), code });
        }
        if let Some(close) = close {
            let _ = to.close(close);
            let _ = to.flush();
            let _ = from.flush();
        }
        let _ = to.get_ref().shutdown(if self.from == "server" { Shutdown::Both } else { Shutdown::Write });
    }

    /// A frame as it came. One that cannot be read might hold a token, so only its length is kept.
    fn keep_message(&self, message: &Message) {
        let who = self.from.clone();
        let Message::Binary(bytes) = message else {
            return keep(&self.tape, What::Told { who, text: "sends a text message".to_owned() });
        };
        if decode_sequence(bytes).is_err() && self.from != "server" {
            return keep(&self.tape, What::Told { who, text: format!("sends {} bytes that are no frame", bytes.len()) });
        }
        let (conn, from, to) = (self.conn.clone(), self.from.clone(), self.to.clone());
        keep(&self.tape, What::Frame(Frame { conn, from, to, judged: true, bytes: bytes.to_vec() }));
    }
}
