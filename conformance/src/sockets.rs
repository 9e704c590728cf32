//! A server attached over real WebSocket: started by a command (L0, L1), or at an address (L0).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::Request;
use tungstenite::http::HeaderValue;
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

use crate::adapter::Output;
use crate::trouble::Trouble;

const READY_WITHIN: Duration = Duration::from_secs(20);
const SUBPROTOCOL: &str = "syncline.1";

/// A server behind real sockets, and the connections to it.
pub struct Sockets {
    cmd: Vec<String>,
    data: tempfile::TempDir,
    child: Option<Child>,
    address: String,
    conns: BTreeMap<String, WebSocket<TcpStream>>,
    outputs: Receiver<Output>,
    sender: Sender<Output>,
}

impl Sockets {
    /// Starts a server on an empty data folder.
    ///
    /// # Errors
    /// It could not be started.
    pub fn start(cmd: &[String]) -> Result<Self, Trouble> {
        let mut sockets = Self::attach(String::new())?;
        sockets.cmd = cmd.to_vec();
        sockets.launch()?;
        Ok(sockets)
    }

    /// Uses a server that runs at an address.
    ///
    /// # Errors
    /// No temporary folder could be made.
    pub fn attach(address: String) -> Result<Self, Trouble> {
        let data = tempfile::tempdir().map_err(|error| Trouble::Start(error.to_string()))?;
        let (sender, outputs) = channel();
        Ok(Self { cmd: Vec::new(), data, child: None, address, conns: BTreeMap::new(), outputs, sender })
    }

    fn launch(&mut self) -> Result<(), Trouble> {
        let data = self.data.path().to_string_lossy().into_owned();
        let port = if self.cmd.iter().any(|word| word.contains(":{port}")) { "0".to_owned() } else { free_port() };
        let argv: Vec<String> = self.cmd.iter().map(|word| word.replace("{data}", &data).replace("{port}", &port)).collect();
        let (program, arguments) = argv.split_first().ok_or(Trouble::Start("[server] cmd is empty".to_owned()))?;
        let log = std::fs::File::create(self.data.path().join("conform-stderr.log")).map_err(|error| Trouble::Start(error.to_string()))?;
        let spawned = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn();
        let mut child = spawned.map_err(|error| Trouble::Start(format!("{program}: {error}")))?;
        let stdout = child.stdout.take().expect("it was piped");
        self.child = Some(child);
        let (send, lines) = channel();
        std::thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| drop(send.send(line))));
        let until = Instant::now() + READY_WITHIN;
        while let Ok(line) = lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            if let Some((_, address)) = line.split_once("listening on ") {
                self.address = address.split_whitespace().next().unwrap_or("").to_owned();
                return Ok(());
            }
        }
        let said = std::fs::read_to_string(self.data.path().join("conform-stderr.log")).unwrap_or_default();
        Err(Trouble::Start(format!("{program} did not print `listening on ws://…`; it said: {}", said.trim())))
    }

    /// Kills the server (SIGKILL) and starts it again on the same folder. Every connection is gone.
    ///
    /// # Errors
    /// It is not ours to kill, or did not start again.
    pub fn crash(&mut self) -> Result<(), Trouble> {
        let Some(child) = &mut self.child else { return Err(Trouble::Unobservable("the server is not ours to kill".to_owned())) };
        let _ = child.kill();
        let _ = child.wait();
        self.conns.clear();
        while self.outputs.try_recv().is_ok() {}
        self.launch()
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// The server did not take it.
    pub fn connect(&mut self, conn: &str) -> Result<(), Trouble> {
        let request = self.request(&[("sec-websocket-protocol", Some(SUBPROTOCOL))])?;
        let (reader, response) = tungstenite::client(request, self.stream()?)
            .map_err(|error| Trouble::broken("BIND-1", "a WebSocket handshake", error.to_string()))?;
        if response.headers().get("sec-websocket-protocol").and_then(|value| value.to_str().ok()) != Some(SUBPROTOCOL) {
            return Err(Trouble::broken("BIND-1", "the subprotocol syncline.1 in the answer", format!("{:?}", response.headers())));
        }
        let stream = reader.get_ref().try_clone().map_err(|error| Trouble::Crash(error.to_string()))?;
        self.conns.insert(conn.to_owned(), WebSocket::from_raw_socket(stream, Role::Client, None));
        let (sender, conn) = (self.sender.clone(), conn.to_owned());
        std::thread::spawn(move || read(reader, &conn, &sender));
        Ok(())
    }

    /// The HTTP status that a handshake of this kind is answered with.
    ///
    /// # Errors
    /// No answer.
    pub fn handshake(&self, headers: &[(&'static str, Option<&str>)]) -> Result<u16, Trouble> {
        match tungstenite::client(self.request(headers)?, self.stream()?) {
            Ok((_, response)) => Ok(response.status().as_u16()),
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) => Ok(response.status().as_u16()),
            // It accepted, but the answer names no subprotocol where one was offered, or the reverse.
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Protocol(_))) => Ok(101),
            Err(error) => Err(Trouble::fault("an HTTP answer", error.to_string())),
        }
    }

    fn request(&self, headers: &[(&'static str, Option<&str>)]) -> Result<Request, Trouble> {
        let mut request = self.address.as_str().into_client_request().map_err(|error| Trouble::Start(error.to_string()))?;
        for (name, value) in headers {
            let Some(value) = value else { continue };
            request.headers_mut().insert(*name, HeaderValue::from_str(value).map_err(|error| Trouble::Script(error.to_string()))?);
        }
        Ok(request)
    }

    fn stream(&self) -> Result<TcpStream, Trouble> {
        let authority = self.address.trim_start_matches("ws://").split('/').next().unwrap_or("");
        let stream = TcpStream::connect(authority).map_err(|error| Trouble::Crash(format!("{authority}: {error}")))?;
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    /// Sends a frame, or a text message. A connection that is gone is found by what it no longer says.
    pub fn send(&mut self, conn: &str, message: Message) {
        if let Some(socket) = self.conns.get_mut(conn) {
            let _ = socket.send(message);
        }
    }

    /// Ends a connection.
    pub fn hang_up(&mut self, conn: &str) {
        if let Some(socket) = self.conns.remove(conn) {
            let _ = socket.get_ref().shutdown(Shutdown::Both);
        }
    }

    /// The next thing the server does within this time.
    pub fn wait(&mut self, within: Duration) -> Option<Output> {
        self.outputs.recv_timeout(within).ok()
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        for socket in self.conns.values() {
            let _ = socket.get_ref().shutdown(Shutdown::Both);
        }
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The present, Unix milliseconds.
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as u64)
}

fn read(mut socket: WebSocket<TcpStream>, conn: &str, sender: &Sender<Output>) {
    loop {
        let output = match socket.read() {
            Ok(Message::Binary(bytes)) => Output::Frame { peer: "server".to_owned(), conn: conn.to_owned(), bytes: bytes.to_vec() },
            Ok(Message::Text(_)) => Output::NoFrame { conn: conn.to_owned() },
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
            Ok(Message::Close(_)) | Err(_) => Output::Close { peer: "server".to_owned(), conn: conn.to_owned() },
        };
        let last = matches!(output, Output::Close { .. });
        if sender.send(output).is_err() || last {
            return;
        }
    }
}

fn free_port() -> String {
    let bound = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    bound.map_or("0".to_owned(), |address| address.port().to_string())
}
