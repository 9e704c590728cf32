//! Clients that come by TLS, and a certificate that changes under them.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use syncline_server::tls::TlsConfig;
use syncline_server::{Config, bind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use tokio_tungstenite::tungstenite::Message as Packet;

use crate::peer::request;

/// How long the server may take to notice a new certificate.
const NOTICE_WAIT: Duration = Duration::from_secs(30);

/// Writes a fresh certificate and its key into the folder.
fn certify(folder: &Path) -> CertifiedKey<KeyPair> {
    let made = generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).expect("it is written");
    fs::write(folder.join("certificate.pem"), made.cert.pem()).expect("it is written");
    made
}

fn files(folder: &Path) -> TlsConfig {
    TlsConfig { certificate: folder.join("certificate.pem"), key: folder.join("key.pem") }
}

/// A connection by somebody who trusts this certificate only.
async fn connect(address: SocketAddr, trusted: &CertificateDer<'static>) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider())).with_safe_default_protocol_versions();
    let config = config.expect("versions").with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(address).await?).await
}

async fn is_healthy(stream: &mut TlsStream<TcpStream>) -> bool {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("it is sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"ok\n") {
        let byte = stream.read_u8().await.expect("an answer");
        answer.push(byte);
    }
    answer.starts_with(b"HTTP/1.1 200")
}

#[tokio::test]
async fn a_certificate_changes_under_connections_that_stay() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = certify(folder.path());
    let mut config = Config::new(folder.path().join("data"));
    config.listen.set_port(0);
    config.tls = Some(files(folder.path()));
    let bound = bind(config).await.expect("the server starts");
    let address = bound.address();
    tokio::spawn(bound.run(std::future::pending()));
    let mut old = connect(address, first.cert.der()).await.expect("TLS");
    assert!(is_healthy(&mut old).await);

    let second = certify(folder.path());
    let noticed = async {
        loop {
            if let Ok(stream) = connect(address, second.cert.der()).await {
                return stream;
            }
        }
    };
    let new = tokio::time::timeout(NOTICE_WAIT, noticed).await.expect("the new certificate is shown");
    assert!(connect(address, first.cert.der()).await.is_err(), "the old one is not");
    assert!(is_healthy(&mut old).await, "who was there stays");

    let (mut socket, _) = tokio_tungstenite::client_async(request(address), new).await.expect("a WebSocket by TLS");
    socket.send(Packet::text("no frame")).await.expect("it is sent");
    let closed = async {
        loop {
            match socket.next().await {
                Some(Ok(Packet::Close(frame))) => return frame,
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    // BIND-3
    assert_eq!(closed.await.map(|frame| u16::from(frame.code)), Some(1003));
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_told_without_its_key() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let start = async || {
        let mut config = Config::new(folder.path().join("data"));
        config.listen.set_port(0);
        config.tls = Some(files(folder.path()));
        bind(config).await.err().map(|error| error.to_string())
    };
    assert!(start().await.is_some_and(|fault| fault.contains("certificate.pem")));
    let one = certify(folder.path());
    let other = certify(folder.path());
    fs::write(folder.path().join("certificate.pem"), one.cert.pem()).expect("it is written");
    let fault = start().await.expect("the key is of another certificate");
    let key = other.signing_key.serialize_pem();
    assert!(fault.contains("key.pem") && key.lines().all(|line| !fault.contains(line)), "{fault}");
    fs::write(folder.path().join("key.pem"), "hunter2").expect("it is written");
    let fault = start().await.expect("there is no key");
    assert!(fault.contains("key.pem") && !fault.contains("hunter2"), "{fault}");
}

#[test]
fn completions_and_manual_pages_are_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = |args: &[&str]| {
        let output = std::process::Command::new(crate::program::PROGRAM).args(args).output().expect("it starts");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let text = run(&["completions", shell]);
        assert!(text.contains("log-format") && text.contains("restore"), "{shell}: {text}");
    }
    run(&["man", folder.path().to_str().expect("text")]);
    let page = fs::read_to_string(folder.path().join("syncline-server-backup.1")).expect("a page for each command");
    assert!(page.starts_with(".ie") && page.contains("Copies all that a server holds"), "{page}");
}
