//! What an operator sees of a running server.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;
use syncline::registry::Code;
use syncline_server::config::TokenEntry;
use syncline_server::{Config, bind};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::peer::{ALICE, Peer};
use crate::program::PROGRAM;

const SECRET: &str = "a secret title";

pub(crate) struct Running {
    folder: TempDir,
    pub(crate) address: SocketAddr,
    operator: SocketAddr,
    _stop: oneshot::Sender<()>,
}

async fn serve(operator: &str) -> Running {
    serve_with(operator, |_| {}).await
}

pub(crate) async fn serve_with(operator: &str, set: impl FnOnce(&mut Config)) -> Running {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = Config::new(folder.path());
    config.listen.set_port(0);
    config.operator = Some(operator.parse().expect("an address"));
    let root = TokenEntry { admin: true, ..TokenEntry::new("t00r", "op") };
    config.tokens = Some(vec![TokenEntry::new("hunter2", "alice"), root]);
    set(&mut config);
    let bound = bind(config).await.expect("the server starts");
    let (address, operator) = (bound.address(), bound.operator_address().expect("it was asked for"));
    let (stop, stopping) = oneshot::channel::<()>();
    tokio::spawn(bound.run(async {
        // A dropped sender stops it, too.
        let _ = stopping.await;
    }));
    Running { folder, address, operator, _stop: stop }
}

/// The status and the rest of an answer to a request with these headers.
pub(crate) async fn ask(address: SocketAddr, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", address.port())).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it is answered");
    (answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"), answer)
}

pub(crate) async fn get(server: &Running, path: &str) -> String {
    let (status, answer) = ask(server.operator, path, "Host: localhost\r\n").await;
    assert_eq!(status, 200, "{path}: {answer}");
    assert!(!answer.contains("hunter") && !answer.contains("t00r") && !answer.contains(SECRET), "SEC-2: {answer}");
    answer
}

async fn used() -> (Running, Peer) {
    let server = serve("127.0.0.1:0").await;
    let mut alice = Peer::welcomed(server.address, Some("hunter2")).await;
    alice.open("home", ALICE).await;
    alice.push(1, SECRET).await;
    alice.acked(1).await;
    (server, alice)
}

#[tokio::test]
async fn what_happened_is_measured() {
    let (server, alice) = used().await;
    let mut mallory = Peer::connect(server.address).await;
    mallory.hello(Some("hunter3")).await;
    mallory.refused(Code::UNAUTHORIZED).await;
    let page = get(&server, "/metrics").await;
    for line in [
        "syncline_accepted_connections_total 2",
        "syncline_changes_total{code=\"accepted\"} 1",
        "syncline_refusals_total{code=\"unauthorized\"} 1",
        "syncline_fingerprint_mismatches_total 0",
        "syncline_lag_positions 0",
        "syncline_channels 1",
        "# TYPE syncline_commit_seconds histogram",
        "# TYPE syncline_fan_out_seconds histogram",
    ] {
        assert!(page.lines().any(|held| held == line), "{line} in {page}");
    }
    let commits = page.lines().find_map(|line| line.strip_prefix("syncline_commit_seconds_count ")?.parse::<u64>().ok());
    assert!(commits.is_some_and(|commits| commits > 0), "{page}");
    assert!(page.contains("syncline_catch_ups_total ") && page.contains("syncline_connections "), "{page}");
    drop(alice);
}

#[tokio::test]
async fn health_readiness_and_the_page_are_there() {
    let (server, _alice) = used().await;
    for path in ["/health", "/ready"] {
        assert!(get(&server, path).await.ends_with("ok\n"));
    }
    let page = get(&server, "/").await;
    assert!(page.contains("content-security-policy: default-src 'self'") && page.contains("status.js"), "{page}");
    for path in ["/status.js", "/status.css"] {
        assert!(get(&server, path).await.contains("nosniff"));
    }
    let json = |answer: String| -> Value {
        let body = answer.split_once("\r\n\r\n").expect("a body").1;
        serde_json::from_str(body).expect("JSON")
    };
    let status = json(get(&server, "/status").await);
    assert_eq!((&status["accepted"], &status["spaces"][0]["position"], &status["spaces"][0]["readers"]), (&1.into(), &1.into(), &1.into()));
    let space = json(get(&server, "/space/home").await);
    assert_eq!((&space["log"][0]["verdict"], &space["replicas"][0]["subject"]), (&"accepted".into(), &"alice".into()));
    assert_eq!(ask(server.operator, "/elsewhere", "Host: localhost\r\n").await.0, 404);
}

#[tokio::test]
async fn other_names_and_pages_get_nothing() {
    let server = serve("127.0.0.1:0").await;
    // SEC-3, BIND-4
    assert_eq!(ask(server.operator, "/metrics", "Host: evil.example\r\n").await.0, 403);
    assert_eq!(ask(server.operator, "/metrics", "Host: localhost\r\nOrigin: https://evil.example\r\n").await.0, 403);
}

#[tokio::test]
async fn an_address_that_others_reach_asks_for_an_administrator() {
    let server = serve("0.0.0.0:0").await;
    let bearing = |token: &str| format!("Host: sync.example\r\nAuthorization: Bearer {token}\r\n");
    for (headers, expected) in [("Host: sync.example\r\n".to_owned(), 403), (bearing("hunter2"), 403), (bearing("t00r"), 200)] {
        for path in ["/metrics", "/", "/status", "/space/home"] {
            assert_eq!(ask(server.operator, path, &headers).await.0, expected, "{path} {headers}");
        }
    }
    assert_eq!(ask(server.operator, "/ready", "Host: sync.example\r\n").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_space_can_be_inspected_while_it_is_served() {
    let (server, _alice) = used().await;
    let inspect = |target: &[&str]| {
        let output = Command::new(PROGRAM).args(["inspect", "home"]).args(target).env_remove("SYNCLINE_TOKEN").output().expect("it starts");
        let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("text");
        (output.status.success(), text)
    };
    let url = format!("http://{}", server.address);
    let data = server.folder.path().to_str().expect("a text");
    for target in [&["--data", data][..], &["--server", &url, "--token", "t00r"]] {
        let (done, text) = inspect(target);
        let found: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert!(done && found["records"][0]["cells"][0]["value"] == SECRET, "{found}");
        assert_eq!((&found["position"], &found["records_in_all"]), (&1.into(), &1.into()));
    }
    for target in [&["--edn", "--data", data][..], &["--edn", "--server", &url, "--token", "t00r"]] {
        let (done, text) = inspect(target);
        assert!(done && text.contains("\"value\": \"a secret title\"") && text.contains("\"position\": 1"), "{text}");
    }
    let (done, text) = inspect(&["--server", &url, "--token", "hunter2"]);
    assert!(!done && text.contains("403") && !text.contains(SECRET), "{text}");
    let (done, text) = inspect(&["--data", "nowhere"]);
    assert!(!done && text.contains("nowhere"), "{text}");
}
