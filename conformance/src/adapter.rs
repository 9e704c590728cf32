//! The harness's side of the adapter protocol: one JSON object a line (README, The adapter).

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::edn::unhex;
use crate::trouble::Trouble;

/// The version of the adapter protocol.
pub const PROTOCOL: u64 = 1;
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// What an implementation did.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // peer and conn as in the README
pub enum Output {
    /// It sent a frame.
    Frame { peer: String, conn: String, bytes: Vec<u8> },
    /// It sent something that is no frame on a transport that has such.
    NoFrame { conn: String },
    /// It ended a connection.
    Close { peer: String, conn: String },
    /// A client wants a connection.
    Connect { peer: String },
    /// It told the application something.
    Event { peer: String, event: Map<String, Value> },
    /// It died at a crash point.
    Crashed { peer: String },
}

/// A running adapter.
pub struct Adapter {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    next_id: u64,
    /// The harness's present, Unix milliseconds.
    pub now: u64,
    /// When the earliest peer wants `advance`.
    pub wake: Option<u64>,
    outputs: Vec<Output>,
}

impl Adapter {
    /// Starts the program and greets it.
    ///
    /// # Errors
    /// It could not be started, or did not answer.
    pub fn start(cmd: &[String], now: u64) -> Result<Self, Trouble> {
        let (program, arguments) = cmd.split_first().ok_or(Trouble::Start("[adapter] cmd is empty".to_owned()))?;
        let spawned = Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|error| Trouble::Start(format!("{program}: {error}")))?;
        let stdin = child.stdin.take().expect("it was piped");
        let stdout = child.stdout.take().expect("it was piped");
        let (send, lines) = channel();
        std::thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let mut adapter = Self { child, stdin, lines, next_id: 1, now, wake: None, outputs: Vec::new() };
        let hello = adapter.call("hello", json!({"version": PROTOCOL})).map_err(|trouble| Trouble::Start(trouble.to_string()))?;
        match hello.get("version").and_then(Value::as_u64) {
            Some(PROTOCOL) => Ok(adapter),
            _ => Err(Trouble::Start(format!("the adapter does not speak version {PROTOCOL}"))),
        }
    }

    /// Gives a command and takes its reply; what it caused is kept for [`Adapter::take`].
    ///
    /// # Errors
    /// It died, did not answer, refused, or wrote something that is no reply.
    pub fn call(&mut self, verb: &str, fields: Value) -> Result<Map<String, Value>, Trouble> {
        let id = self.next_id;
        self.next_id += 1;
        let mut command = json!({"id": id, "verb": verb, "now": self.now});
        let (Value::Object(command_fields), Value::Object(fields)) = (&mut command, fields) else { unreachable!("both are objects") };
        command_fields.extend(fields);
        let line = format!("{command}\n");
        if self.stdin.write_all(line.as_bytes()).and_then(|()| self.stdin.flush()).is_err() {
            return Err(self.death());
        }
        loop {
            let line = self.line(verb)?;
            let Ok(Value::Object(object)) = serde_json::from_str(&line) else {
                return Err(Trouble::Adapter(format!("`{line}` is no JSON object")));
            };
            if object.contains_key("id") {
                return self.reply(id, verb, object);
            }
            let output = output(object).map_err(|why| Trouble::Adapter(format!("{why}: {line}")))?;
            self.outputs.push(output);
        }
    }

    /// What was done since the last time.
    pub fn take(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    fn reply(&mut self, id: u64, verb: &str, object: Map<String, Value>) -> Result<Map<String, Value>, Trouble> {
        if object.get("id").and_then(Value::as_u64) != Some(id) {
            return Err(Trouble::Adapter(format!("the reply to {verb} has another id")));
        }
        // A reply that is `ok` may name an error as its result: a vector's.
        if object.get("ok") != Some(&Value::Bool(true)) {
            let error = object.get("error").cloned().unwrap_or_default();
            return Err(Trouble::Adapter(format!("{verb}: {}", error.as_str().unwrap_or("an error without a text"))));
        }
        self.wake = object.get("wake").and_then(Value::as_u64);
        Ok(object)
    }

    fn line(&mut self, verb: &str) -> Result<String, Trouble> {
        match self.lines.recv_timeout(ANSWER_WITHIN) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => Err(Trouble::Timeout(format!("the adapter, to {verb}"))),
            Err(RecvTimeoutError::Disconnected) => Err(self.death()),
        }
    }

    fn death(&mut self) -> Trouble {
        let status = self.child.wait().map(|status| status.to_string());
        Trouble::Crash(format!("the adapter ended: {}", status.unwrap_or_default()))
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        // It is ours, and holds nothing that outlives it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn output(mut object: Map<String, Value>) -> Result<Output, String> {
    let text = |object: &Map<String, Value>, name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
    let peer = text(&object, "peer").ok_or("a line without an id and a peer")?;
    if let Some(frame) = text(&object, "frame") {
        let conn = text(&object, "conn").ok_or("a frame without a conn")?;
        return Ok(Output::Frame { peer, conn, bytes: unhex(&frame)? });
    }
    if object.contains_key("close") {
        let conn = text(&object, "conn").ok_or("a close without a conn")?;
        return Ok(Output::Close { peer, conn });
    }
    if object.contains_key("connect") {
        return Ok(Output::Connect { peer });
    }
    if object.contains_key("crashed") {
        return Ok(Output::Crashed { peer });
    }
    if object.contains_key("event") {
        object.remove("peer");
        return Ok(Output::Event { peer, event: object });
    }
    Err("a line that is neither an output nor a reply".to_owned())
}
