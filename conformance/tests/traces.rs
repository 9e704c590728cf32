//! Traces repeat byte by byte, a recording passes everything on, and a scenario made of a trace tells it again.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use syncline_conformance::cbor::{Item, encode_sequence};
use syncline_conformance::checks::Rulebook;
use syncline_conformance::config::Config;
use syncline_conformance::corpus::Corpus;
use syncline_conformance::judge::{Selection, Suite, run};
use syncline_conformance::promote::promote;
use syncline_conformance::record::{Tape, record};
use syncline_conformance::trace::What;
use syncline_conformance::trace_file::Trace;
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::server::{Request, Response};
use tungstenite::protocol::CloseFrame;
use tungstenite::{Message, WebSocket};

fn traces(suite: &Suite, config: &Config, rulebook: &Rulebook, seed: u64, filter: &str) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let selection = Selection { filter, level: 3, seed, traces: Some(folder.path()) };
    let judged = run(suite, config, rulebook, &selection);
    let read = |path: &Path| std::fs::read_to_string(path).expect("it was written");
    let named = judged.iter().map(|judged| (judged.check.clone(), folder.path().join(format!("{}.trace", judged.check))));
    named.filter(|(_, path)| path.exists()).map(|(check, path)| (check, read(&path))).collect()
}

/// The suite, and the reference by its adapter.
fn reference() -> (Suite, Config, Rulebook) {
    let suite = Suite::load(Corpus::own()).expect("the suite");
    let rulebook = Rulebook::load(&suite.corpus).expect("the spec");
    let mut config = Config::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("reference.toml")).expect("a config");
    let adapter = config.adapter.as_mut().expect("the reference has one");
    adapter.cmd = vec![env!("CARGO_BIN_EXE_syncline-adapter").to_owned()];
    config.server = None;
    (suite, config, rulebook)
}

/// The reference plays each promoted session; its trace, promoted again, is the same scenario.
#[test]
fn a_promoted_session_is_promoted_to_itself() {
    let (suite, config, rulebook) = reference();
    let traces = traces(&suite, &config, &rulebook, 7, "recorded/");
    assert!(traces.len() >= 5, "{:?}", traces.keys());
    for (check, text) in &traces {
        let id = check.split('@').next().unwrap_or_default();
        let written = suite.corpus.read(&format!("conformance/scenarios/{id}.scn")).expect("the scenario");
        let title = written.lines().next().and_then(|line| line.strip_prefix("# ")).expect("a title");
        let trace = Trace::read(text).expect("a trace");
        assert_eq!(promote(&rulebook, &trace, title).as_deref(), Ok(written.as_str()), "{check}");
    }
}

#[test]
fn what_no_scenario_can_say_is_not_promoted() {
    let (suite, config, rulebook) = reference();
    let traces = traces(&suite, &config, &rulebook, 7, "recorded/two-devices-write-one-record");
    let trace = Trace::read(traces.values().next().expect("one trace")).expect("a trace");
    let mut slow = trace.clone();
    slow.events.last_mut().expect("it ends").at += 40_000;
    assert!(promote(&rulebook, &slow, "x").is_err_and(|why| why.contains("at most 30000")));
    let mut crashed = trace.clone();
    crashed.events[0].what = What::Crash { who: "server".to_owned() };
    assert!(promote(&rulebook, &crashed, "x").is_err_and(|why| why.starts_with("event 1: ")));
    let empty = Trace { events: Vec::new(), ..trace };
    assert!(promote(&rulebook, &empty, "x").is_err());
}

#[test]
fn two_runs_with_one_seed_give_equal_traces() {
    let (suite, config, rulebook) = reference();
    let (one, two) = (traces(&suite, &config, &rulebook, 7, "@L3"), traces(&suite, &config, &rulebook, 7, "@L3"));
    let played = suite.scenarios.iter().filter(|scenario| !scenario.sockets).count();
    assert!(one.len() > played / 2 && one.keys().eq(two.keys()), "{} and {} traces of {played} scenarios", one.len(), two.len());
    for (check, text) in &one {
        let first = text.lines().zip(two[check].lines()).find(|(a, b)| a != b);
        assert!(*text == two[check], "{check}: {first:?}");
    }
    let other = traces(&suite, &config, &rulebook, 8, "identity/fork-changes-nothing");
    assert_ne!(other, traces(&suite, &config, &rulebook, 7, "identity/fork-changes-nothing"), "the seed changes nothing");
}

/// What was written so far, and a bell for whoever waits for it.
#[derive(Clone, Default)]
struct Shared(Arc<(Mutex<Vec<u8>>, Condvar)>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.0.lock().expect("no writer panics").extend_from_slice(bytes);
        self.0.1.notify_all();
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn until(&self, holds: impl Fn(&str) -> bool) -> String {
        let guard = self.0.0.lock().expect("no writer panics");
        let waits = |bytes: &mut Vec<u8>| !holds(&String::from_utf8_lossy(bytes));
        let (bytes, _) = self.0.1.wait_timeout_while(guard, Duration::from_secs(20), waits).expect("no writer panics");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A server that says back each frame and text, and tells the test what it was asked and how it ended.
fn echo() -> (SocketAddr, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let (say, said) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let say = say.clone();
            std::thread::spawn(move || serve(stream, &say));
        }
    });
    (address, said)
}

#[allow(clippy::result_large_err)] // the library's own type
fn serve(stream: TcpStream, say: &std::sync::mpsc::Sender<String>) {
    let answer = |request: &Request, mut response: Response| {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("none").to_owned();
        let _ = say.send(format!("{} {}", header("sec-websocket-protocol"), header("authorization")));
        response.headers_mut().insert("sec-websocket-protocol", "syncline.1".parse().expect("a header"));
        Ok(response)
    };
    let Ok(mut socket) = tungstenite::accept_hdr(stream, answer) else { return };
    loop {
        match socket.read() {
            Ok(Message::Close(close)) => drop(say.send(format!("closed {:?}", close.map(|close| u16::from(close.code))))),
            Ok(message @ (Message::Binary(_) | Message::Text(_))) => drop(socket.send(message)),
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

fn dial(recorder: SocketAddr) -> WebSocket<TcpStream> {
    let mut request = format!("ws://{recorder}/").into_client_request().expect("an address");
    request.headers_mut().insert("sec-websocket-protocol", "syncline.1".parse().expect("a header"));
    request.headers_mut().insert("authorization", "Bearer hidden".parse().expect("a header"));
    let (socket, response) = tungstenite::client(request, TcpStream::connect(recorder).expect("it listens")).expect("a handshake");
    assert_eq!(response.headers().get("sec-websocket-protocol").map(|value| value.as_bytes()), Some(&b"syncline.1"[..]));
    socket
}

#[test]
fn a_recording_passes_everything_on_and_keeps_no_token() {
    let (server, said) = echo();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (recorder, tape) = (listener.local_addr().expect("it is bound"), Shared::default());
    let begun = Tape::begin(Box::new(tape.clone()), false).expect("it takes all");
    std::thread::spawn(move || record(&listener, &format!("ws://{server}/"), begun));

    let hello = encode_sequence(&[
        Item::Int(0),
        Item::Array(vec![
            Item::Int(0),
            Item::Array(vec![Item::Int(1)]),
            Item::Array(Vec::new()),
            Item::Map(Vec::new()),
            Item::Text("hush".to_owned()),
        ]),
    ]);
    let (mut one, mut two) = (dial(recorder), dial(recorder));
    assert_eq!(said.recv_timeout(Duration::from_secs(20)).as_deref(), Ok("syncline.1 Bearer hidden"));
    assert_eq!(said.recv_timeout(Duration::from_secs(20)).as_deref(), Ok("syncline.1 Bearer hidden"));
    for socket in [&mut one, &mut two] {
        for message in [Message::binary(hello.clone()), Message::binary(vec![0xff]), Message::text("words")] {
            socket.send(message.clone()).expect("it is passed on");
            assert_eq!(socket.read().expect("it comes back"), message);
        }
    }
    one.close(Some(CloseFrame { code: 4001.into(), reason: "".into() })).expect("it is passed on");
    assert_eq!(said.recv_timeout(Duration::from_secs(20)).as_deref(), Ok("closed Some(4001)"));

    let text = tape.until(|text| text.contains("\"end\""));
    let trace = Trace::read(&text).expect("a trace");
    assert!(!text.contains("hush") && !text.contains("68757368") && !text.contains("hidden"), "{text}");
    let count = |is: fn(&What) -> bool| trace.events.iter().filter(|event| is(&event.what)).count();
    assert_eq!(count(|what| matches!(what, What::Connect { .. })), 2);
    // Both hellos and their echoes; of what is no frame, only what the server said.
    assert_eq!(count(|what| matches!(what, What::Frame(_))), 6);
    assert_eq!(count(|what| matches!(what, What::End { code: Some(4001), .. })), 1);
}
