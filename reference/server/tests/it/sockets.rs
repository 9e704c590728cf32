use std::net::SocketAddr;
use std::time::Duration;

use syncline::message::Message;
use syncline::registry::Code;
use syncline_server::config::{Spaces, TokenEntry};
use syncline_server::{Config, bind};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message as Packet;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::peer::{ALICE, BOB, Peer, handshake, request};

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    stopped: tokio::task::JoinHandle<()>,
    _folder: TempDir,
}

pub(crate) async fn serve(set: impl FnOnce(&mut Config)) -> Running {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = Config::new(folder.path());
    config.listen.set_port(0);
    set(&mut config);
    let bound = bind(config).await.expect("the server starts");
    let (address, (stop, stopping)) = (bound.address(), oneshot::channel());
    let run = bound.run(async {
        // A dropped sender stops it, too.
        let _ = stopping.await;
    });
    let stopped = tokio::spawn(async { run.await.expect("the server stops cleanly") });
    Running { address, stop, stopped, _folder: folder }
}

async fn open() -> Running {
    serve(|_| {}).await
}

#[tokio::test]
async fn a_handshake_without_the_subprotocol_is_refused() {
    let server = open().await;
    let mut bare = request(server.address);
    bare.headers_mut().remove("Sec-WebSocket-Protocol");
    assert_eq!(handshake(server.address, bare).await, 400);
    let mut other = request(server.address);
    other.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("syncline.9, chat"));
    assert_eq!(handshake(server.address, other).await, 400);
    assert_eq!(handshake(server.address, request(server.address)).await, 101);
}

#[tokio::test]
async fn a_foreign_origin_is_refused() {
    let server = serve(|config| config.allow_origins = vec!["https://app.example".to_owned()]).await;
    let from = |origin: String| {
        let mut request = request(server.address);
        request.headers_mut().insert("Origin", origin.parse().expect("a header"));
        handshake(server.address, request)
    };
    assert_eq!(from("https://evil.example".to_owned()).await, 403);
    assert_eq!(from("https://app.example".to_owned()).await, 101);
    assert_eq!(from(format!("http://{}", server.address)).await, 101);
}

#[tokio::test]
async fn a_name_that_was_bent_to_this_machine_is_refused() {
    let server = open().await;
    let mut bent = request(server.address);
    bent.headers_mut().insert("Host", HeaderValue::from_static("evil.example:7747"));
    assert_eq!(handshake(server.address, bent).await, 403, "SEC-3");
}

#[tokio::test]
async fn other_paths_answer_by_http() {
    let server = open().await;
    for (line, status) in [("GET /healthz", "200"), ("GET /", "426"), ("GET /other", "404"), ("POST /sync", "405")] {
        let mut stream = TcpStream::connect(server.address).await.expect("the server listens");
        let request = format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it is answered");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {answer}");
    }
}

#[tokio::test]
async fn garbage_is_malformed_and_disturbs_nobody() {
    let server = open().await;
    let (mut alice, _) = Peer::opened(server.address, "home", ALICE).await;
    let mut mallory = Peer::welcomed(server.address, None).await;
    mallory.send_packet(Packet::Binary(b"not a frame".as_slice().into())).await;
    mallory.refused(Code::MALFORMED).await;
    assert_eq!(mallory.closed().await, CloseCode::Normal);
    alice.lives().await;
}

#[tokio::test]
async fn a_text_message_is_malformed() {
    let server = open().await;
    let mut mallory = Peer::welcomed(server.address, None).await;
    mallory.send_packet(Packet::Text("hello".into())).await;
    mallory.refused(Code::MALFORMED).await;
    assert_eq!(mallory.closed().await, CloseCode::Unsupported);
}

#[tokio::test]
async fn a_frame_above_the_limit_is_refused_and_disturbs_nobody() {
    let server = open().await;
    let (mut alice, _) = Peer::opened(server.address, "home", ALICE).await;
    let limit = syncline::limits::FRAME_BYTES_MAX;
    for bytes in [limit + 1, 20 * limit] {
        let mut mallory = Peer::welcomed(server.address, None).await;
        mallory.try_send_packet(Packet::Binary(vec![0; bytes].into())).await;
        let error = mallory.refused(Code::FRAME_TOO_LARGE).await;
        assert_eq!(error.detail, Some(limit as u64));
        assert_eq!(mallory.closed().await, CloseCode::Size);
    }
    // One of just the limit is read, and found to be no frame.
    let mut mallory = Peer::welcomed(server.address, None).await;
    mallory.send_packet(Packet::Binary(vec![b'n'; limit].into())).await;
    mallory.refused(Code::MALFORMED).await;
    alice.lives().await;
}

#[tokio::test]
async fn only_a_known_token_is_welcomed() {
    let token = TokenEntry { spaces: Some(Spaces::Writing(vec!["home".to_owned()])), ..TokenEntry::new("open sesame", "alice") };
    let server = serve(|config| config.tokens = Some(vec![token])).await;
    for token in [None, Some("open says me")] {
        let mut mallory = Peer::connect(server.address).await;
        mallory.hello(token).await;
        mallory.refused(Code::UNAUTHORIZED).await;
        mallory.closed().await;
    }
    let mut alice = Peer::welcomed(server.address, Some("open sesame")).await;
    alice.open("home", ALICE).await;
}

#[tokio::test]
async fn a_change_reaches_the_others() {
    let server = open().await;
    let (mut alice, _) = Peer::opened(server.address, "home", ALICE).await;
    let (mut bob, _) = Peer::opened(server.address, "home", BOB).await;
    alice.push(1, "Buy milk").await;
    assert_eq!(alice.acked(1).await, 1);
    let change = bob.until(|message| matches!(message, Message::Change(_))).await;
    assert!(matches!(change, Message::Change(placed) if placed.author == ALICE && placed.change.seq == 1));
}

// SYNC-17, SESS-13
#[tokio::test]
async fn a_reader_that_does_not_read_delays_nobody() {
    const CHANGES: u64 = 200;
    let server = open().await;
    let (mut alice, _) = Peer::opened(server.address, "home", ALICE).await;
    let (_asleep, _) = Peer::opened(server.address, "home", BOB).await;
    // More than the buffers of a connection hold.
    let title = "milk ".repeat(20_000);
    for seq in 1..=CHANGES {
        alice.push(seq, &title).await;
        alice.acked(seq).await;
    }
}

#[tokio::test]
async fn a_stopping_server_says_bye_and_lets_clients_leave() {
    let server = open().await;
    let (mut alice, _) = Peer::opened(server.address, "home", ALICE).await;
    server.stop.send(()).expect("it runs");
    let bye = alice.until(|message| matches!(message, Message::Bye { .. })).await;
    assert!(matches!(bye, Message::Bye { wait_ms } if wait_ms > 0));
    assert_eq!(alice.closed().await, CloseCode::Away);
    tokio::time::timeout(Duration::from_secs(5), server.stopped).await.expect("in time").expect("cleanly");
}
