//! A client by hand: frames as the test says, right or wrong.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use syncline::change::{Change, Op, Payload, Pushed, RecordName, Row};
use syncline::clock::{Reading, Replica};
use syncline::message::{ErrorMessage, Frame, Hello, Message, Open, Opened, Push, decode_frame, encode_frame};
use syncline::registry::Code;
use syncline::registry::Profiles;
use syncline::rules::LWW;
use syncline::value::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message as Packet};

pub const ALICE: Replica = Replica([0xa1; 16]);
pub const BOB: Replica = Replica([0xb0; 16]);
/// The channel that peers open their space on.
pub const CHANNEL: u16 = 1;

pub struct Peer {
    socket: WebSocketStream<TcpStream>,
    base_ms: u64,
}

/// A handshake that browsers and programs would send, before a test spoils it.
pub fn request(address: SocketAddr) -> Request<()> {
    let mut request = format!("ws://{address}/sync").into_client_request().expect("a good address");
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("syncline.1"));
    request
}

/// The status that refuses the handshake; 101 if nothing does.
pub async fn handshake(address: SocketAddr, request: Request<()>) -> u16 {
    let stream = TcpStream::connect(address).await.expect("the server listens");
    match tokio_tungstenite::client_async(request, stream).await {
        Ok((_, response)) => response.status().as_u16(),
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("no answer: {error}"),
    }
}

impl Peer {
    /// A connection on which nothing was said.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::connect_at(address, "/sync").await
    }

    /// The same, by another path of the address.
    pub async fn connect_at(address: SocketAddr, path: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        let mut asked = request(address);
        *asked.uri_mut() = format!("ws://{address}{path}").parse().expect("a good address");
        let (socket, response) = tokio_tungstenite::client_async(asked, stream).await.expect("a good handshake");
        assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "syncline.1");
        Self { socket, base_ms: 0 }
    }

    /// A connection that was welcomed.
    pub async fn welcomed(address: SocketAddr, token: Option<&str>) -> Self {
        let mut peer = Self::connect(address).await;
        peer.hello(token).await;
        assert!(matches!(peer.receive().await.messages[..], [Message::Welcome(_)]));
        peer
    }

    /// A connection with the space open on `CHANNEL`.
    pub async fn opened(address: SocketAddr, space: &str, replica: Replica) -> (Self, Opened) {
        let mut peer = Self::welcomed(address, None).await;
        let opened = peer.open(space, replica).await;
        (peer, opened)
    }

    pub async fn hello(&mut self, token: Option<&str>) {
        let hello = Hello { versions: vec![1], profiles: vec![0], limits: Vec::new(), token: token.map(str::to_owned) };
        self.send(0, Message::Hello(hello)).await;
    }

    pub async fn open(&mut self, space: &str, replica: Replica) -> Opened {
        self.send(
            CHANNEL,
            Message::Open(Open { space: space.to_owned(), replica, settled: 0, cursor: None, collections: None, known: None, names: None }),
        )
        .await;
        match self.until(|message| matches!(message, Message::Opened(_))).await {
            Message::Opened(opened) => {
                self.base_ms = opened.base_ms;
                opened
            }
            other => panic!("not opened: {other:?}"),
        }
    }

    pub async fn send(&mut self, channel: u16, message: Message) {
        let frame = encode_frame(channel, &[message], self.base_ms);
        self.send_packet(Packet::Binary(frame.into())).await;
    }

    /// Sends to a server that may have closed the connection.
    pub async fn try_send(&mut self, channel: u16, message: Message) {
        self.try_send_packet(Packet::Binary(encode_frame(channel, &[message], self.base_ms).into())).await;
    }

    pub async fn send_packet(&mut self, packet: Packet) {
        self.socket.send(packet).await.expect("the connection takes it");
    }

    /// Sends what may be more than the server reads.
    pub async fn try_send_packet(&mut self, packet: Packet) {
        let _ = self.socket.send(packet).await;
    }

    /// Pushes the replica's next change: one title.
    pub async fn push(&mut self, seq: u64, title: &str) {
        self.send(CHANNEL, self.pushed(seq, title)).await;
    }

    /// The same, to a server that may have closed the connection.
    pub async fn try_push(&mut self, seq: u64, title: &str) {
        self.try_send(CHANNEL, self.pushed(seq, title)).await;
    }

    fn pushed(&self, seq: u64, title: &str) -> Message {
        let change = change(seq, self.base_ms, title);
        Message::Push(Push { author: None, items: vec![Pushed::Change { change, bytes: 0, value_bytes_max: 0 }] })
    }

    pub async fn receive(&mut self) -> Frame {
        match self.socket.next().await {
            Some(Ok(Packet::Binary(bytes))) => {
                decode_frame(&bytes, Profiles::CORE, |_| self.base_ms).expect("the server's frames are good")
            }
            other => panic!("not a frame: {other:?}"),
        }
    }

    /// The first message for which the condition holds, or an error.
    pub async fn until(&mut self, wanted: impl Fn(&Message) -> bool) -> Message {
        loop {
            for message in self.receive().await.messages {
                if wanted(&message) || matches!(message, Message::Error(_)) {
                    return message;
                }
            }
        }
    }

    /// The replica's changes up to the seq are acknowledged; gives how far.
    pub async fn acked(&mut self, seq: u64) -> u64 {
        match self.until(|message| matches!(message, Message::Ack(ack) if ack.seq >= seq)).await {
            Message::Ack(ack) => ack.seq,
            other => panic!("not acknowledged: {other:?}"),
        }
    }

    /// The connection answers.
    pub async fn lives(&mut self) {
        self.send(0, Message::Ping(7)).await;
        let answer = self.until(|message| matches!(message, Message::Pong { number: 7, .. })).await;
        assert!(matches!(answer, Message::Pong { .. }), "{answer:?}");
    }

    /// The error that the server sends before it closes.
    pub async fn refused(&mut self, code: Code) -> ErrorMessage {
        match self.until(|_| false).await {
            Message::Error(error) => {
                assert_eq!((error.code, error.class), (code, code.class()), "{}", error.text);
                error
            }
            other => panic!("not refused: {other:?}"),
        }
    }

    /// The code that the server closes the WebSocket with.
    pub async fn closed(&mut self) -> CloseCode {
        match self.socket.next().await {
            Some(Ok(Packet::Close(Some(frame)))) => {
                // The hang-up after it is clean, too.
                assert!(self.socket.next().await.is_none_or(|packet| packet.is_err()));
                frame.code
            }
            other => panic!("not closed: {other:?}"),
        }
    }
}

fn change(seq: u64, base_ms: u64, title: &str) -> Change {
    let op = Op { field: "title".to_owned(), rule: LWW, after: None, payload: Payload::Set(Value::Text(title.to_owned())) };
    let record = RecordName { collection: "todos".to_owned(), id: format!("t{seq}") };
    let reading = Reading::new(base_ms + seq, 0).expect("a time of today");
    Change { seq, reading, rows: vec![Row { record, life: 1, ops: vec![op] }], origin: None, extra: Vec::new() }
}
