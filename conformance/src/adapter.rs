//! The harness's side of the adapter protocol: one JSON object a line (README, The adapter).

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::config::AdapterProgram;
use crate::edn::unhex;
use crate::process::{NoLine, Process};
use crate::trouble::Trouble;

/// The version of the adapter protocol that the harness speaks.
pub const PROTOCOL: u64 = 1;
/// Bytes of one line.
pub const LINE_BYTES_MAX: usize = 8 << 20;
/// Bytes of all that one command causes, its reply included.
pub const ANSWER_BYTES_MAX: usize = 32 << 20;
/// Lines of all that one command causes.
pub const ANSWER_LINES_MAX: usize = 20_000;
/// What all the waiting for one adapter may come to, as a multiple of what one answer may take.
const WAITS_MAX: u32 = 6;
const QUOTED_CHARS: usize = 120;

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

/// What an adapter said of itself.
#[derive(Debug, Clone, Default)]
pub struct Hello {
    /// The implementation's name.
    pub name: String,
    /// The profiles it has.
    pub profiles: Vec<String>,
    /// The roles it plays: `server`, `client`, `peer`.
    pub roles: Vec<String>,
}

/// A running adapter.
pub struct Adapter {
    process: Process,
    /// For one answer.
    within: Duration,
    /// Of all the waiting, what is left.
    patience: Duration,
    next_id: u64,
    /// What it said of itself.
    pub hello: Hello,
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
    /// It could not be started, or did not greet as it should.
    pub fn start(program: &AdapterProgram, now: u64) -> Result<Self, Trouble> {
        let mut adapter = Self::spawn(program, now)?;
        let hello = adapter.call("hello", json!({"version": PROTOCOL})).map_err(|trouble| Trouble::Start(trouble.to_string()))?;
        adapter.hello = read_hello(&hello).map_err(Trouble::Start)?;
        Ok(adapter)
    }

    /// Starts the program and says nothing to it.
    ///
    /// # Errors
    /// It could not be started.
    pub fn spawn(program: &AdapterProgram, now: u64) -> Result<Self, Trouble> {
        let (name, arguments) = program.cmd.split_first().ok_or(Trouble::Start("[adapter] cmd is empty".to_owned()))?;
        let mut command = Command::new(name);
        command.args(arguments).stdin(Stdio::piped());
        let process = Process::start(command).map_err(|error| Trouble::Start(format!("{name}: {error}")))?;
        let within = program.within();
        let patience = within * WAITS_MAX;
        Ok(Self { process, within, patience, next_id: 1, hello: Hello::default(), now, wake: None, outputs: Vec::new() })
    }

    /// Gives a command and takes its reply; what it caused is kept for [`Adapter::take`].
    ///
    /// # Errors
    /// It died, did not answer, refused, or wrote something that is no reply.
    pub fn call(&mut self, verb: &str, fields: Value) -> Result<Map<String, Value>, Trouble> {
        let id = self.next_id;
        self.unasked()?;
        self.send(&[id], verb, &fields);
        self.answer(Some(id), verb)
    }

    /// Gives a command under each of these ids, all in one write, and takes no reply.
    pub fn send(&mut self, ids: &[u64], verb: &str, fields: &Value) {
        let command = |id: &u64| {
            let mut command = fields.clone();
            (command["id"], command["verb"], command["now"]) = (json!(id), json!(verb), json!(self.now));
            command.to_string()
        };
        let lines: Vec<String> = ids.iter().map(command).collect();
        self.next_id = ids.iter().fold(self.next_id, |next, id| next.max(id + 1));
        self.send_line(&lines.join("\n"));
    }

    /// Writes a line that need not be a command.
    pub fn send_line(&mut self, line: &str) {
        self.process.write(format!("{line}\n").into_bytes());
    }

    /// Takes what comes up to the reply that has this id, none standing for null.
    ///
    /// # Errors
    /// As [`Adapter::call`].
    pub fn answer(&mut self, id: Option<u64>, verb: &str) -> Result<Map<String, Value>, Trouble> {
        let asked = Instant::now();
        let until = asked + self.within.min(self.patience);
        let (mut bytes, mut lines) = (0, 0);
        loop {
            let line = self.process.line(until, LINE_BYTES_MAX).map_err(|none| self.no_line(none, verb))?;
            (bytes, lines) = (bytes + line.len(), lines + 1);
            if bytes > ANSWER_BYTES_MAX || lines > ANSWER_LINES_MAX {
                let allowed = format!("{ANSWER_BYTES_MAX} bytes in {ANSWER_LINES_MAX} lines are allowed before the reply");
                return Err(self.flood(&format!("wrote {bytes} bytes in {lines} lines after {verb}; {allowed}")));
            }
            let object = self.object(&line)?;
            if object.contains_key("id") {
                self.patience = self.patience.saturating_sub(asked.elapsed());
                return self.reply(id, verb, object);
            }
            match output(object) {
                Ok(output) => self.outputs.push(output),
                Err(why) => return Err(self.broken(&format!("{why}: {}", quoted(&line)))),
            }
        }
    }

    /// What was done since the last time.
    pub fn take(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// Waits as long again for it as at its start.
    pub fn renew(&mut self) {
        self.patience = self.within * WAITS_MAX;
    }

    /// The end of what it wrote on stderr.
    pub fn stderr(&self) -> String {
        self.process.stderr()
    }

    /// Says whether it wrote anything that it was not asked for, as far as that has come.
    ///
    /// # Errors
    /// It did.
    pub fn unasked(&mut self) -> Result<(), Trouble> {
        let unread = self.process.unread();
        if unread.is_empty() {
            return Ok(());
        }
        let allowed = "whatever a command causes is written before its reply, and nothing without a command";
        Err(self.broken(&format!("wrote {} when nothing was asked; {allowed}", quoted(&unread))))
    }

    fn object(&mut self, line: &[u8]) -> Result<Map<String, Value>, Trouble> {
        let logs = "Logs belong on stderr";
        let Ok(text) = std::str::from_utf8(line) else {
            return Err(
                self.broken(&format!("wrote {}, which is no UTF-8; each line of stdout is one JSON object in UTF-8. {logs}", quoted(line)))
            );
        };
        match serde_json::from_str(text) {
            Ok(Value::Object(object)) => Ok(object),
            _ => Err(self.broken(&format!("wrote {}; each line of stdout is one JSON object. {logs}", quoted(line)))),
        }
    }

    fn reply(&mut self, id: Option<u64>, verb: &str, object: Map<String, Value>) -> Result<Map<String, Value>, Trouble> {
        let found = object.get("id").cloned().unwrap_or_default();
        if found != json!(id) {
            let asked = json!(id);
            let found = quoted(found.to_string().as_bytes());
            return Err(self.broken(&format!(
                "replied with the id {found} to {verb}, whose id is {asked}; replies come in the order of the commands"
            )));
        }
        // A reply that is `ok` may name an error as its result: a vector's.
        if object.get("ok") == Some(&Value::Bool(true)) {
            self.wake = object.get("wake").and_then(Value::as_u64);
            return Ok(object);
        }
        match object.get("error").and_then(Value::as_str) {
            Some(error) => Err(Trouble::Refused(format!("{verb}: {}", quoted(error.as_bytes())))),
            None => Err(self.broken(&format!("replied to {verb} with neither \"ok\": true nor an \"error\" that is a text"))),
        }
    }

    fn no_line(&mut self, none: NoLine, verb: &str) -> Trouble {
        match none {
            NoLine::Late => {
                self.patience = Duration::ZERO;
                let ms = self.within.as_millis();
                Trouble::Timeout(format!("the adapter had not replied to {verb} after {ms} ms{}{}", self.half_a_line(), self.said()))
            }
            NoLine::TooLong(line) => {
                self.flood(&format!("wrote a line of over {LINE_BYTES_MAX} bytes, the most that is allowed: {}", quoted(&line)))
            }
            NoLine::Ended(rest) => {
                let half = if rest.is_empty() { String::new() } else { format!(" in the midst of the line {}", quoted(&rest)) };
                let end = self.process.end();
                Trouble::Crash(format!("the adapter closed its stdout after {verb}{half}; {end}{}", self.said()))
            }
        }
    }

    /// What stands where a line was to end.
    fn half_a_line(&mut self) -> String {
        let rest = self.process.unread();
        if rest.is_empty() { String::new() } else { format!("; it wrote {} without the line's end", quoted(&rest)) }
    }

    fn broken(&self, what: &str) -> Trouble {
        Trouble::Adapter(format!("it {what}{}", self.said()))
    }

    fn flood(&mut self, what: &str) -> Trouble {
        self.process.end();
        Trouble::Flood(format!("it {what}{}", self.said()))
    }

    fn said(&self) -> String {
        let stderr = self.stderr();
        if stderr.is_empty() { String::new() } else { format!("\non stderr: {stderr}") }
    }
}

/// Text of an adapter for a person: short, and with nothing in it that moves a terminal's cursor.
fn quoted(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * QUOTED_CHARS)]);
    let short: String = text.chars().take(QUOTED_CHARS).map(|c| if c.is_control() { '?' } else { c }).collect();
    if short.len() < bytes.len() { format!("`{short}…` ({} bytes)", bytes.len()) } else { format!("`{short}`") }
}

fn read_hello(reply: &Map<String, Value>) -> Result<Hello, String> {
    let version = reply.get("version").cloned().unwrap_or_default();
    if version != json!(PROTOCOL) {
        return Err(format!("the reply to hello has version {version}; the harness speaks {PROTOCOL}"));
    }
    let texts = |name: &str| -> Result<Vec<String>, String> {
        let listed = reply.get(name).and_then(Value::as_array).ok_or(format!("the reply to hello has no list `{name}`"))?;
        let texts = listed.iter().map(|item| item.as_str().map(str::to_owned));
        texts.collect::<Option<_>>().ok_or(format!("`{name}` of hello is no list of texts"))
    };
    let name = reply.get("name").and_then(Value::as_str).ok_or("the reply to hello has no text `name`")?;
    Ok(Hello { name: name.to_owned(), profiles: texts("profiles")?, roles: texts("roles")? })
}

fn output(mut object: Map<String, Value>) -> Result<Output, String> {
    let text = |object: &Map<String, Value>, name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
    let peer = text(&object, "peer").ok_or("wrote a line without an id and a peer")?;
    if let Some(frame) = text(&object, "frame") {
        let conn = text(&object, "conn").ok_or("wrote a frame without a conn")?;
        return Ok(Output::Frame { peer, conn, bytes: unhex(&frame)? });
    }
    if object.contains_key("close") {
        let conn = text(&object, "conn").ok_or("wrote a close without a conn")?;
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
    Err("wrote a line that is neither an output nor a reply".to_owned())
}
