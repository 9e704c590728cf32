//! What one client may take up, and what comes of more.

use syncline::message::Message;
use syncline::registry::Code;
use syncline_server::limiter::ClientLimits;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::operator::{Running, get, serve_with};
use crate::peer::{ALICE, Peer};

const TOKEN: Option<&str> = Some("hunter2");

async fn serve(limits: ClientLimits) -> Running {
    serve_with("127.0.0.1:0", |config| config.limits = limits).await
}

/// So many refusals were counted for the limit.
async fn counted(server: &Running, limit: &str, count: u64) {
    let page = get(server, "/metrics").await;
    let line = format!("syncline_limited_clients_total{{limit=\"{limit}\"}} {count}");
    assert!(page.lines().any(|held| held == line), "{line} in {page}");
}

/// The connection is closed before anything is said.
async fn turned_away(server: &Running) {
    let mut stream = TcpStream::connect(server.address).await.expect("the system accepts it");
    let read = stream.read(&mut [0; 1]).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

#[tokio::test]
async fn a_subject_with_too_many_connections_is_told_when_to_come_back() {
    let server = serve(ClientLimits { connections_per_subject: Some(1), ..ClientLimits::default() }).await;
    let mut first = Peer::welcomed(server.address, TOKEN).await;
    let mut second = Peer::connect(server.address).await;
    second.hello(TOKEN).await;
    assert_eq!(second.refused(Code::BUSY).await.detail, Some(5_000));
    second.closed().await;
    first.lives().await;
    counted(&server, "connections_per_subject", 1).await;
    Peer::welcomed(server.address, Some("t00r")).await.lives().await;
}

#[tokio::test]
async fn a_client_that_sends_too_fast_is_told_when_to_come_back() {
    let server = serve(ClientLimits { frames_per_second: Some(1), ..ClientLimits::default() }).await;
    let mut alice = Peer::welcomed(server.address, TOKEN).await;
    let mut other = Peer::welcomed(server.address, Some("t00r")).await;
    // The connection may be closed before all are taken.
    for _ in 0..200 {
        alice.try_send(0, Message::Ping(1)).await;
    }
    let wait_ms = alice.refused(Code::BUSY).await.detail.expect("when to come back");
    assert!((1..=5_000).contains(&wait_ms), "{wait_ms}");
    alice.closed().await;
    counted(&server, "frames_per_second", 1).await;
    other.lives().await;
    // Another connection of the same client does not begin anew.
    let mut again = Peer::connect(server.address).await;
    again.hello(TOKEN).await;
    for _ in 0..20 {
        again.try_send(0, Message::Ping(1)).await;
    }
    again.refused(Code::BUSY).await;
}

#[tokio::test]
async fn bytes_are_counted_too() {
    let server = serve(ClientLimits { bytes_per_second: Some(1), ..ClientLimits::default() }).await;
    let mut alice = Peer::welcomed(server.address, TOKEN).await;
    alice.open("home", ALICE).await;
    let title = "milk ".repeat(20_000);
    for seq in 1..=12 {
        alice.try_push(seq, &title).await;
    }
    alice.refused(Code::BUSY).await;
    counted(&server, "bytes_per_second", 1).await;
}

#[tokio::test]
async fn an_address_with_too_many_connections_is_turned_away() {
    let server = serve(ClientLimits { connections_per_address: Some(1), ..ClientLimits::default() }).await;
    let mut first = Peer::welcomed(server.address, TOKEN).await;
    turned_away(&server).await;
    first.lives().await;
    counted(&server, "connections_per_address", 1).await;
}

#[tokio::test]
async fn only_so_many_sockets_wait_for_their_hello() {
    let server = serve(ClientLimits { connections_before_hello: Some(1), ..ClientLimits::default() }).await;
    let mut first = Peer::welcomed(server.address, TOKEN).await;
    let mut silent = Peer::connect(server.address).await;
    turned_away(&server).await;
    counted(&server, "connections_before_hello", 1).await;
    first.lives().await;
    silent.hello(TOKEN).await;
    silent.lives().await;
    Peer::welcomed(server.address, TOKEN).await.lives().await;
}
