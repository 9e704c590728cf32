//! Who may do what, on the running program. Spec 14.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use syncline::limits::REVOKE_MS_MAX;
use syncline::message::Message;
use syncline::registry::Code;
use tempfile::tempdir;

use crate::peer::{ALICE, BOB, Peer};
use crate::program::{PROGRAM, Program, command};

fn start(folder: &Path, settings: &str) -> Program {
    let file = folder.join("s.toml");
    fs::write(&file, settings).expect("it is written");
    let mut command = command(folder);
    command.arg("--config").arg(file);
    Program::start(command)
}

/// Runs `f` within the time that the spec gives a server.
async fn in_time<T>(f: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_millis(REVOKE_MS_MAX), f).await.expect("within revoke_ms_max")
}

#[tokio::test]
async fn a_reader_is_told_so_when_it_writes() {
    let folder = tempdir().expect("a temporary folder");
    let program = start(folder.path(), "tokens = [{token = 'a', subject = 'a'}, {token = 'b', subject = 'b', spaces = {home = 'read'}}]");
    let mut alice = Peer::welcomed(program.address, Some("a")).await;
    alice.open("home", ALICE).await;
    let mut bob = Peer::welcomed(program.address, Some("b")).await;
    bob.open("home", BOB).await;
    bob.push(1, "not mine to say").await;
    // ACCESS-1
    bob.refused(Code::FORBIDDEN).await;
    alice.push(1, "Buy milk").await;
    alice.acked(1).await;
}

#[tokio::test]
async fn an_idle_connection_ends_with_its_token() {
    let folder = tempdir().expect("a temporary folder");
    let end = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time of today").as_secs() + 2;
    let program = start(folder.path(), &format!("tokens = [{{token = 'a', subject = 'a', expires = {end}}}]"));
    let mut alice = Peer::welcomed(program.address, Some("a")).await;
    alice.open("home", ALICE).await;
    // ACCESS-3
    in_time(alice.refused(Code::UNAUTHORIZED)).await;
    alice.closed().await;
}

#[tokio::test]
async fn a_list_of_revocations_is_noticed_and_a_wrong_one_changes_nothing() {
    let folder = tempdir().expect("a temporary folder");
    let list = folder.path().join("revoked.toml");
    fs::write(&list, "").expect("it is written");
    let tokens = "tokens = [{token = 'a', subject = 'a', id = 'one'}, {token = 'b', subject = 'b'}]";
    let mut program = start(folder.path(), &format!("{tokens}\nrevoked = '{}'", list.display()));
    let mut alice = Peer::welcomed(program.address, Some("a")).await;
    let mut bob = Peer::welcomed(program.address, Some("b")).await;
    fs::write(&list, "subject = ['b']").expect("it is written");
    program.logged("revoked.toml");
    bob.lives().await;
    fs::write(&list, "tokens = ['one']").expect("it is written");
    // ACCESS-4
    in_time(alice.refused(Code::UNAUTHORIZED)).await;
    alice.closed().await;
    bob.lives().await;
    let (_, log) = program.terminate();
    assert!(log.contains("subjects"), "the fault is logged: {log}");
}

#[tokio::test]
async fn a_token_in_an_address_lets_nobody_in_and_is_not_logged() {
    let folder = tempdir().expect("a temporary folder");
    let file = folder.path().join("s.toml");
    fs::write(&file, "tokens = [{token = 'hunter2', subject = 'a'}]").expect("it is written");
    let mut traced = command(folder.path());
    traced.arg("--config").arg(file).env("RUST_LOG", "trace");
    let program = Program::start(traced);
    let mut mallory = Peer::connect_at(program.address, "/sync?token=hunter2&access_token=hunter2").await;
    mallory.hello(None).await;
    let refused = mallory.refused(Code::UNAUTHORIZED).await;
    assert!(!refused.text.contains("hunter2"), "SEC-2: {}", refused.text);
    let (_, log) = program.terminate();
    assert!(log.contains("unauthorized") && !log.contains("hunter2"), "BIND-5, SEC-2: {log}");
}

/// A key set with one shared secret.
fn keys(secret: &str) -> String {
    format!("{{\"keys\": [{{\"kty\": \"oct\", \"k\": \"{secret}\"}}]}}")
}

#[tokio::test]
async fn a_json_web_token_lets_in_until_its_key_is_gone() {
    // 32 zero bytes and 32 of 0x04, in base64url.
    let (zeros, other) = ("A".repeat(43), "BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ");
    let folder = tempdir().expect("a temporary folder");
    let set = folder.path().join("keys.json");
    fs::write(&set, keys(&zeros)).expect("it is written");
    let program = start(folder.path(), &format!("jwt = {{keys = '{}', issuer = 'us'}}", set.display()));
    let end = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time of today").as_secs() + 60;
    let claims = serde_json::json!({"sub": "alice", "exp": end, "iss": "us", "spaces": {"home": "write"}});
    let key = jsonwebtoken::EncodingKey::from_secret(&[0; 32]);
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("it is signed");
    let mut alice = Peer::welcomed(program.address, Some(&token)).await;
    alice.open("home", ALICE).await;
    let mut forged = token.clone().into_bytes();
    let middle = forged.len() / 2;
    forged[middle] ^= 1;
    let mut mallory = Peer::connect(program.address).await;
    mallory.hello(Some(&String::from_utf8(forged).expect("a text"))).await;
    // SESS-5
    mallory.refused(Code::UNAUTHORIZED).await;
    fs::write(&set, keys(other)).expect("it is written");
    // ACCESS-4
    in_time(alice.refused(Code::UNAUTHORIZED)).await;
    let (_, log) = program.terminate();
    assert!(!log.contains(&token) && !log.contains(&zeros), "SEC-2: {log}");
}

/// What `syncline-server space …` prints; the error where it fails.
fn space(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(PROGRAM).arg("space").args(arguments).env_remove("SYNCLINE_TOKEN").output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints text");
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_administers_a_running_server() {
    let folder = tempdir().expect("a temporary folder");
    let program =
        start(folder.path(), "tokens = [{token = 'a', subject = 'a'}, {token = 'root', subject = 'op', spaces = [], admin = true}]");
    let server = url(program.address);
    let operate = |arguments: &[&str]| space(&[&["--server", &server, "--token", "root"], arguments].concat());
    let mut alice = Peer::welcomed(program.address, Some("a")).await;
    alice.open("home", ALICE).await;
    alice.push(1, "a secret title").await;
    alice.acked(1).await;
    let listed = operate(&["list"]).expect("it lists");
    assert!(listed.contains("\"space\":\"home\"") && listed.contains("\"records\":1"), "{listed}");
    assert!(kept(folder.path(), b"a secret title"));
    // ACCESS-19
    let purged = operate(&["purge", "home", "todos/t1"]).expect("it purges");
    assert!(purged.contains("\"log_entries\":1"), "{purged}");
    let told = alice.until(|message| matches!(message, Message::States(_) | Message::Change(_))).await;
    assert!(!matches!(told, Message::Error(_)), "{told:?}");
    assert!(!kept(folder.path(), b"a secret title"), "ACCESS-19: nothing is left in the files of a running server");
    // ACCESS-8
    operate(&["delete", "home"]).expect("it deletes");
    alice.refused(Code::UNKNOWN_SPACE).await;
    assert!(operate(&["delete", "home"]).expect_err("it is gone").contains("404"));
    operate(&["create", "home"]).expect("it makes");
    assert_eq!(alice.open("home", ALICE).await.position, 0);
    for (token, words) in [("a", "403"), ("nobody", "403")] {
        let refused = space(&["--server", &server, "--token", token, "list"]).expect_err(token);
        assert!(refused.contains(words) && !refused.contains("home"), "SEC-5: {refused}");
    }
}

#[test]
fn an_operator_administers_a_stopped_servers_folder() {
    let folder = tempdir().expect("a temporary folder");
    let data = folder.path().to_str().expect("a text");
    let operate = |arguments: &[&str]| space(&[&["--data", data], arguments].concat());
    assert_eq!(operate(&["create", "home"]).expect("it makes"), "{\"space\":\"home\",\"made\":true}\n");
    assert!(operate(&["create", "home"]).expect_err("it is there").contains("409"));
    assert!(operate(&["list"]).expect("it lists").contains("\"position\":0"));
    assert!(operate(&["purge", "elsewhere", "a/b"]).expect_err("there is none").contains("404"));
    let program = Program::start(command(folder.path()));
    assert!(operate(&["list"]).expect_err("it runs").contains("another process"));
    drop(program);
}

#[test]
fn an_operators_token_stays_on_this_machine() {
    let refused = space(&["--server", "http://192.0.2.1:7747", "--token", "hunter2", "list"]).expect_err("it is refused");
    // BIND-6, SEC-2
    assert!(refused.contains("unencrypted") && refused.contains("--insecure-token") && !refused.contains("hunter2"), "{refused}");
    assert!(space(&["--server", "https://me@host/x", "--token", "t", "list"]).expect_err("it is no address").contains("http://HOST:PORT"));
}

#[test]
fn the_door_of_the_operator_is_closed_to_other_pages_and_names() {
    let folder = tempdir().expect("a temporary folder");
    let program = start(folder.path(), "tokens = [{token = 'root', subject = 'op', admin = true}]");
    let ask = |headers: &str| {
        let mut stream = std::net::TcpStream::connect(program.address).expect("it listens");
        let request = format!("GET /admin/spaces HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).expect("it is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it is answered");
        answer.split(' ').nth(1).expect("a status").to_owned()
    };
    let host = format!("Host: {}\r\n", program.address);
    assert_eq!(ask(&format!("{host}Authorization: Bearer root\r\n")), "200");
    assert_eq!(ask(&host), "403");
    // BIND-4
    assert_eq!(ask(&format!("{host}Authorization: Bearer root\r\nOrigin: https://evil.example\r\n")), "403");
}

/// Whether a file of the store holds these bytes.
fn kept(folder: &Path, bytes: &[u8]) -> bool {
    let files = fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("it can be read").path());
    files.into_iter().any(|file| fs::read(file).expect("it can be read").windows(bytes.len()).any(|window| window == bytes))
}
