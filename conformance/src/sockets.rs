//! A server attached over real WebSocket: started by a command (L0, L1), or at an address (L0).

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::Request;
use tungstenite::http::HeaderValue;
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

use crate::adapter::Output;
use crate::process::{NoLine, Process};
use crate::trouble::Trouble;

const READY_WITHIN: Duration = Duration::from_secs(20);
/// For a handshake, and for a frame to be taken.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// What the server did and nobody took yet; one that does more has to wait.
const OUTPUTS_WAITING_MAX: usize = 64;
/// Bytes of a message, above all that is legal.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Bytes of a line on its stdout.
const LINE_BYTES_MAX: usize = 65_536;
/// Lines before the one that says it is ready.
const LINES_MAX: usize = 1000;
const SUBPROTOCOL: &str = "syncline.1";

/// A server behind real sockets, and the connections to it.
pub struct Sockets {
    cmd: Vec<String>,
    data: tempfile::TempDir,
    process: Option<Process>,
    address: String,
    conns: BTreeMap<String, WebSocket<TcpStream>>,
    outputs: Receiver<Output>,
    sender: SyncSender<Output>,
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
        let (sender, outputs) = sync_channel(OUTPUTS_WAITING_MAX);
        Ok(Self { cmd: Vec::new(), data, process: None, address, conns: BTreeMap::new(), outputs, sender })
    }

    fn launch(&mut self) -> Result<(), Trouble> {
        let data = self.data.path().to_string_lossy().into_owned();
        let port = if self.cmd.iter().any(|word| word.contains(":{port}")) { "0".to_owned() } else { free_port() };
        let argv: Vec<String> = self.cmd.iter().map(|word| word.replace("{data}", &data).replace("{port}", &port)).collect();
        let (program, arguments) = argv.split_first().ok_or(Trouble::Start("[server] cmd is empty".to_owned()))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        let mut process = Process::start(command).map_err(|error| Trouble::Start(format!("{program}: {error}")))?;
        match ready(&mut process) {
            Ok(address) => {
                process.ignore_stdout();
                (self.address, self.process) = (address, Some(process));
                Ok(())
            }
            Err(found) => {
                Err(Trouble::Start(format!("{program} did not print `listening on ws://…`: {found}\non stderr: {}", process.stderr())))
            }
        }
    }

    /// The end of what the server wrote on stderr.
    pub fn stderr(&self) -> String {
        self.process.as_ref().map(Process::stderr).unwrap_or_default()
    }

    /// Kills the server (SIGKILL) and starts it again on the same folder. Every connection is gone.
    ///
    /// # Errors
    /// It is not ours to kill, or did not start again.
    pub fn crash(&mut self) -> Result<(), Trouble> {
        if self.process.take().is_none() {
            return Err(Trouble::Unobservable("the server is not ours to kill".to_owned()));
        }
        self.conns.clear();
        while self.outputs.try_recv().is_ok() {}
        self.launch()
    }

    /// Whether anything listens at its address.
    ///
    /// # Errors
    /// Nothing does.
    pub fn reach(&self) -> Result<(), Trouble> {
        self.stream().map(drop).map_err(|trouble| Trouble::Start(trouble.to_string()))
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// The server did not take it.
    pub fn connect(&mut self, conn: &str) -> Result<(), Trouble> {
        let request = self.request(&[("sec-websocket-protocol", Some(SUBPROTOCOL))])?;
        let (mut reader, response) = tungstenite::client(request, self.stream()?)
            .map_err(|error| Trouble::broken("BIND-1", "a WebSocket handshake", error.to_string()))?;
        if response.headers().get("sec-websocket-protocol").and_then(|value| value.to_str().ok()) != Some(SUBPROTOCOL) {
            return Err(Trouble::broken("BIND-1", "the subprotocol syncline.1 in the answer", format!("{:?}", response.headers())));
        }
        reader.set_config(|config| *config = config.max_message_size(Some(MESSAGE_BYTES_MAX)).max_frame_size(Some(MESSAGE_BYTES_MAX)));
        let stream = reader.get_ref().try_clone().map_err(|error| Trouble::Crash(error.to_string()))?;
        // From here on silence is allowed.
        let _ = stream.set_read_timeout(None);
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
        let unreachable = |error: std::io::Error| Trouble::Crash(format!("{authority}: {error}"));
        let mut last = std::io::ErrorKind::AddrNotAvailable.into();
        for address in authority.to_socket_addrs().map_err(unreachable)? {
            match TcpStream::connect_timeout(&address, ANSWERS_WITHIN) {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    let bounded = stream.set_read_timeout(Some(ANSWERS_WITHIN)).and(stream.set_write_timeout(Some(ANSWERS_WITHIN)));
                    return bounded.map(|()| stream).map_err(unreachable);
                }
                Err(error) => last = error,
            }
        }
        Err(unreachable(last))
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
    }
}

/// The address that a server says it listens on, or what it did instead.
fn ready(process: &mut Process) -> Result<String, String> {
    let until = Instant::now() + READY_WITHIN;
    for _ in 0..LINES_MAX {
        match process.line(until, LINE_BYTES_MAX) {
            Ok(line) => {
                let line = String::from_utf8_lossy(&line);
                if let Some((_, address)) = line.split_once("listening on ") {
                    return Ok(address.split_whitespace().next().unwrap_or("").to_owned());
                }
            }
            Err(NoLine::Late) => return Err(format!("{} s went by", READY_WITHIN.as_secs())),
            Err(NoLine::TooLong(_)) => return Err(format!("it wrote a line of over {LINE_BYTES_MAX} bytes")),
            Err(NoLine::Ended(_)) => return Err(process.end()),
        }
    }
    Err(format!("it wrote {LINES_MAX} other lines"))
}

/// The present, Unix milliseconds.
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as u64)
}

fn read(mut socket: WebSocket<TcpStream>, conn: &str, sender: &SyncSender<Output>) {
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
