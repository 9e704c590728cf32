//! The web application that `--app` names.

use std::fs;
use std::net::SocketAddr;

use syncline_server::{Config, bind};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::peer::{handshake, request};
use crate::sockets::serve;

/// A folder with a page, a script, a hidden file, a link out of it, and a secret beside it.
fn built() -> (TempDir, std::path::PathBuf) {
    let root = tempfile::tempdir().expect("a temporary folder");
    let app = root.path().join("app");
    fs::create_dir(&app).expect("a folder");
    for (name, text) in [("app/index.html", "<p>board"), ("app/main.js", "run()"), ("app/.env", "hidden"), ("secret.js", "secret")] {
        fs::write(root.path().join(name), text).expect("a file");
    }
    std::os::unix::fs::symlink(root.path().join("secret.js"), app.join("link.js")).expect("a link");
    (root, app)
}

async fn ask(address: SocketAddr, line: &str, host: &str) -> String {
    ask_with(address, line, &format!("Host: {host}")).await
}

async fn ask_with(address: SocketAddr, line: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    let request = format!("{line} HTTP/1.1\r\n{headers}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it is answered");
    answer
}

#[tokio::test]
async fn the_files_are_served_and_the_socket_stays() {
    let (_root, app) = built();
    let server = serve(|config| config.app = Some(app)).await;
    let page = ask(server.address, "GET /", "localhost").await;
    assert!(page.starts_with("HTTP/1.1 200 ") && page.ends_with("<p>board"), "{page}");
    let script = ask(server.address, "GET /main.js?v=1", "localhost").await;
    assert!(script.contains("content-type: text/javascript") && script.ends_with("run()"), "{script}");
    for line in
        ["content-security-policy: default-src 'none'; script-src 'self'", "x-content-type-options: nosniff", "frame-ancestors 'none'"]
    {
        assert!(page.contains(line) && script.contains(line), "{line} in {page}");
    }
    assert_eq!(handshake(server.address, request(server.address)).await, 101);
}

#[tokio::test]
async fn a_file_that_the_browser_has_is_not_sent_again() {
    let (_root, app) = built();
    let server = serve(|config| config.app = Some(app)).await;
    let page = ask(server.address, "GET /", "localhost").await;
    assert!(page.contains("cache-control: no-cache"), "{page}");
    let tag = page.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a file has a tag");
    let again = async |line: &str| ask_with(server.address, line, &format!("Host: localhost\r\nIf-None-Match: {tag}")).await;
    let same = again("GET /").await;
    assert!(same.starts_with("HTTP/1.1 304 ") && same.ends_with("\r\n\r\n") && same.contains("content-security-policy"), "{same}");
    let other = again("GET /main.js").await;
    assert!(other.starts_with("HTTP/1.1 200 ") && other.ends_with("run()"), "{other}");
    let head = ask(server.address, "HEAD /", "localhost").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains(tag) && head.ends_with("\r\n\r\n"), "{head}");
}

#[tokio::test]
async fn nothing_outside_the_folder_is_served() {
    let (_root, app) = built();
    let server = serve(|config| config.app = Some(app)).await;
    for path in [
        "/../secret.js",
        "/%2e%2e/secret.js",
        "/..%2fsecret.js",
        "//secret.js",
        "/./main.js",
        "/.env",
        "/link.js",
        "/main.js/",
        "/index.html/..",
    ] {
        let answer = ask(server.address, &format!("GET {path}"), "localhost").await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
    assert!(ask(server.address, "POST /main.js", "localhost").await.starts_with("HTTP/1.1 404 "));
    assert!(ask(server.address, "GET /", "evil.example").await.starts_with("HTTP/1.1 403 "), "SEC-3");
}

#[tokio::test]
async fn a_folder_that_is_no_application_is_refused_with_the_reason() {
    let refusal = async |folder: &std::path::Path| {
        let data = tempfile::tempdir().expect("a temporary folder");
        let mut config = Config::new(data.path());
        config.listen.set_port(0);
        config.app = Some(folder.to_owned());
        bind(config).await.err().expect("it is refused").to_string()
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    assert!(refusal(folder.path()).await.ends_with("no index.html in it"));
    fs::write(folder.path().join("photo.exe"), "x").expect("a file");
    assert!(refusal(folder.path()).await.contains("photo.exe: allowed are .html"));
    assert!(refusal(&folder.path().join("missing")).await.contains("--app"));
}
