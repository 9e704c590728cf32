//! Adapters that lie or break: what the harness has to withstand and to name (tests/liars.rs).
//!
//! The first argument is one of [`MODES`]; the second, where there is one, a port.

use std::io::{BufRead, BufReader, Read, Write, stdin, stdout};
use std::net::TcpStream;
use std::process::{Command, ExitCode};

use serde_json::{Value, json};

/// What it can do wrong.
const MODES: [(&str, Mode); 26] = [
    ("unsupported", unsupported),
    ("echo", echo),
    ("yes", yes),
    ("claims-all", claims_all),
    ("client-only", client_only),
    ("hang", |command| after_hello(command, hang)),
    ("hang-at-once", |_| hang()),
    ("flood", |command| after_hello(command, || flood(b"{\"peer\":\"c\",\"connect\":true}\n"))),
    ("flood-line", |command| after_hello(command, || flood(b"0123456789abcdef"))),
    ("flood-after", flood_after),
    ("flood-stderr", flood_stderr),
    ("deep", |command| after_hello(command, || "[".repeat(1_000_000) + "\n")),
    ("crash", crash),
    ("wrong-id", wrong_id),
    ("disorder", unsupported),
    ("garbage", |command| format!("DEBUG {}\n{}", command["verb"], unsupported(command))),
    ("greeting", unsupported),
    ("no-newline", |command| unsupported(command).trim_end().to_owned()),
    ("not-utf8", not_utf8),
    ("unasked", unasked),
    ("dies-of-garbage", dies_of_garbage),
    ("repeat", |command| unsupported(command).repeat(2)),
    ("fresh-wake", fresh_wake),
    ("babble", babble),
    ("eager", eager),
    ("table-tennis", table_tennis),
];

/// For whoever talks at random.
const FRAMES: &str = include_str!("../../vectors/frame.vec");

/// What a command is answered with.
type Mode = fn(&Value) -> String;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mode, port) = (arguments.next().unwrap_or_default(), arguments.next());
    match (mode.as_str(), port) {
        ("parent", Some(port)) => return parent(&port),
        ("child", Some(port)) => return child(&port),
        ("greeting", _) => println!("adapter 0.1, listening on stdin"),
        _ => {}
    }
    let Some((_, answer)) = MODES.iter().find(|(name, _)| *name == mode) else {
        eprintln!("{mode} is none of {}", MODES.map(|(name, _)| name).join(", "));
        return ExitCode::from(2);
    };
    serve(*answer, mode == "disorder");
    ExitCode::SUCCESS
}

/// Answers every command; where several wait and it is told so, the later one first.
fn serve(answer: Mode, disorder: bool) {
    let mut commands = BufReader::new(stdin());
    let (mut line, mut put_off) = (String::new(), String::new());
    while commands.read_line(&mut line).is_ok_and(|count| count > 0) {
        let reply = answer(&serde_json::from_str(&line).unwrap_or_default());
        line.clear();
        if disorder && put_off.is_empty() && commands.buffer().contains(&b'\n') {
            put_off = reply;
            continue;
        }
        say((reply + &std::mem::take(&mut put_off)).as_bytes());
    }
}

fn say(bytes: &[u8]) {
    if stdout().write_all(bytes).and_then(|()| stdout().flush()).is_err() {
        std::process::exit(0);
    }
}

fn reply(command: &Value, fields: Value) -> String {
    let mut reply = json!({"id": command["id"]});
    let (Value::Object(all), Value::Object(fields)) = (&mut reply, fields) else { unreachable!("both are objects") };
    all.extend(fields);
    format!("{reply}\n")
}

fn hello(command: &Value, profiles: &[&str], roles: &[&str]) -> String {
    reply(command, json!({"ok": true, "version": 1, "name": "liar", "profiles": profiles, "roles": roles}))
}

/// Honest, and able to do nothing.
fn unsupported(command: &Value) -> String {
    match command["verb"].as_str() {
        Some("hello") => hello(command, &["core"], &[]),
        Some("vectors") => reply(command, json!({"ok": true, "error": "unknown-kind"})),
        _ => reply(command, json!({"error": "unsupported"})),
    }
}

/// Gives back what it is given, whatever that is.
fn echo(command: &Value) -> String {
    let mut fields = command.clone();
    fields["ok"] = json!(true);
    if command["verb"] == "hello" {
        fields =
            json!({"ok": true, "version": command["version"], "name": "echo", "profiles": ["core"], "roles": ["server", "client", "peer"]});
    }
    reply(command, fields)
}

/// Says yes to all, and does nothing.
fn yes(command: &Value) -> String {
    if command["verb"] == "hello" {
        return hello(command, &["core"], &["server", "client", "peer"]);
    }
    reply(command, json!({"ok": true, "wake": null, "hex": "00", "records": [], "rejections": [], "presence": [], "in_sync": true}))
}

fn claims_all(command: &Value) -> String {
    let profiles =
        ["core", "rules", "access", "presence", "signal", "subscribe", "flow", "conditions", "peer", "repair", "compact", "packed"];
    match command["verb"].as_str() {
        Some("hello") => hello(command, &profiles, &["server", "client", "peer"]),
        _ => unsupported(command),
    }
}

/// Honest in that it plays no server.
fn client_only(command: &Value) -> String {
    if command["verb"] == "hello" { hello(command, &["core"], &["client"]) } else { unsupported(command) }
}

fn after_hello(command: &Value, then: fn() -> String) -> String {
    if command["verb"] == "hello" { hello(command, &["core"], &["server", "client", "peer"]) } else { then() }
}

fn hang() -> String {
    // Until it is killed, or nobody is there any more.
    let _ = stdin().lock().read_to_end(&mut Vec::new());
    String::new()
}

fn flood(bytes: &[u8]) -> String {
    let much = bytes.repeat(10_000);
    loop {
        say(&much);
    }
}

fn flood_after(command: &Value) -> String {
    say(unsupported(command).as_bytes());
    flood(b"{\"peer\":\"c\",\"connect\":true}\n")
}

fn flood_stderr(command: &Value) -> String {
    (0..1000).for_each(|_| eprint!("{}", "x".repeat(10_000)));
    unsupported(command)
}

/// Dies at one command in five, in no order that shows.
fn crash(command: &Value) -> String {
    if command["verb"] != "hello" && hash(command).is_multiple_of(5) {
        eprintln!("panicked at `index out of bounds`");
        std::process::exit(101);
    }
    yes(command)
}

fn wrong_id(command: &Value) -> String {
    let mut other = command.clone();
    if command["verb"] != "hello" {
        other["id"] = json!(command["id"].as_u64().unwrap_or(0) + 1);
    }
    unsupported(&other)
}

fn not_utf8(command: &Value) -> String {
    if command["verb"] != "hello" {
        say(b"{\"id\": 2, \"ok\": true, \"name\": \"\xff\xfe\"}\n");
    }
    unsupported(command)
}

fn unasked(command: &Value) -> String {
    unsupported(command) + "{\"peer\":\"c\",\"event\":\"changed\"}\n"
}

fn dies_of_garbage(command: &Value) -> String {
    if command.is_null() {
        eprintln!("JSONDecodeError: Expecting value: line 1 column 1 (char 0)");
        std::process::exit(1);
    }
    unsupported(command)
}

fn fresh_wake(command: &Value) -> String {
    let wake = command["now"].as_u64().unwrap_or(0);
    if command["verb"] == "hello" { yes(command) } else { reply(command, json!({"ok": true, "wake": wake})) }
}

/// Answers with messages that are well formed and have nothing to do with what was said.
fn babble(command: &Value) -> String {
    let mut seed = hash(command) as usize;
    let frames: Vec<&str> = FRAMES.lines().filter_map(|line| line.strip_prefix("valid ")?.split(' ').nth(2)).collect();
    let peer = command["peer"].as_str().unwrap_or("server");
    let mut lines = String::new();
    for _ in 0..seed % 4 {
        seed = seed / 7 + 3;
        let frame = frames[seed % frames.len()];
        lines += &format!("{}\n", json!({"peer": peer, "conn": command["conn"].as_str().unwrap_or("a1"), "frame": frame}));
    }
    if command["verb"] == "start" {
        lines += &format!("{}\n", json!({"peer": peer, "connect": true}));
    }
    lines + &yes(command)
}

/// Wants to connect, whatever happens.
fn eager(command: &Value) -> String {
    let wants = json!({"peer": command["peer"].as_str().unwrap_or("a"), "connect": true});
    if command["verb"] == "hello" { yes(command) } else { format!("{wants}\n{}", yes(command)) }
}

/// Answers every frame with a frame.
fn table_tennis(command: &Value) -> String {
    match command["verb"].as_str() {
        Some("connect" | "frame") => {
            let back = json!({"peer": command["peer"], "conn": command["conn"], "frame": "00820b07"});
            format!("{back}\n{}", yes(command))
        }
        Some("start") => eager(command),
        _ => yes(command),
    }
}

fn hash(command: &Value) -> u32 {
    command.to_string().bytes().fold(17, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)))
}

/// Starts a child that outlives it, unless somebody ends the whole group.
fn parent(port: &str) -> ExitCode {
    let child = std::env::current_exe().and_then(|exe| Command::new(exe).args(["child", port]).spawn());
    if let Err(error) = child {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    serve(unsupported, false);
    ExitCode::SUCCESS
}

/// Holds a connection for as long as it lives.
fn child(port: &str) -> ExitCode {
    let held = TcpStream::connect(format!("127.0.0.1:{port}")).and_then(|mut stream| stream.read_to_end(&mut Vec::new()));
    ExitCode::from(u8::from(held.is_err()))
}
