//! What holds of every trace, whatever its story: each broken rule with the side at fault.
//!
//! A trace shows messages in the order in which they were sent, so a side may have sent a message before it read one that stands
//! earlier. No check blames a side for what it could not know yet, and none looks at the harness's own frames.

mod limits;
mod log;
pub(crate) mod order;
mod rights;
mod session;

use std::collections::BTreeMap;
use std::fmt;

use crate::cbor::Item;
use crate::checks::{Rulebook, code, code_of};
use crate::compact::{Numbers, has_numbers};
use crate::edn::print;
use crate::trace::{Event, Frame, What};
use crate::trace_file::Trace;
use crate::trouble::Trouble;

/// A rule that a side broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The rule.
    pub rule: String,
    /// The side at fault.
    pub by: String,
    /// The place of the event in the trace, from 0.
    pub event: usize,
    /// What was expected.
    pub expected: String,
    /// What came.
    pub got: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The header is line 1 of a file.
        write!(f, "line {}: {} broke {}: expected {}, got {}", self.event + 2, self.by, self.rule, self.expected, self.got)
    }
}

impl From<Broken> for Trouble {
    fn from(broken: Broken) -> Self {
        Self::broken(&broken.rule, broken.expected, format!("{} (by {})", broken.got, broken.by))
    }
}

/// A rule, and what it expects.
type Fault = (&'static str, String);

/// A message, and where it stands.
struct Seen<'a> {
    at: u64,
    conn: &'a str,
    /// Whether the side that dialled sent it.
    client: bool,
    channel: u64,
    message: &'a Item,
}

/// Every broken rule of a trace, in order; at most one of each event.
///
/// `parsed` says that the frames' encoding and schema were checked before.
pub fn judge(rulebook: &Rulebook, trace: &Trace, parsed: bool) -> Vec<Broken> {
    let mut checker = Checker {
        conns: BTreeMap::new(),
        numbers: BTreeMap::new(),
        log: log::Log::default(),
        rights: rights::Rights::default(),
        judged: judged(trace),
    };
    let mut all = Vec::new();
    for (index, event) in trace.events.iter().enumerate() {
        let broken = |(by, rule, expected, got): (String, String, String, String)| Broken { rule, by, event: index, expected, got };
        let result = checker.late(event).and_then(|()| checker.event(rulebook, event, parsed));
        all.extend(result.err().map(broken));
    }
    all
}

/// Whether the side judged is the one that dials; none where both are, and frames may be under way for long.
fn judged(trace: &Trace) -> Option<bool> {
    match trace.header.role.as_str() {
        "server" => Some(false),
        "client" => Some(true),
        _ => None,
    }
}

type Found = (String, String, String, String);

struct Checker {
    conns: BTreeMap<String, Conn>,
    /// What each client was last told of the numbers of a space.
    numbers: BTreeMap<(String, String), Numbers>,
    log: log::Log,
    rights: rights::Rights,
    judged: Option<bool>,
}

struct Conn {
    from: String,
    to: String,
    over: bool,
    watch: order::Watch,
    session: session::Session,
    limits: limits::Limits,
    /// The space and replica of each channel.
    spaces: BTreeMap<u64, String>,
}

impl Conn {
    fn side(&self, client: bool) -> &str {
        if client { &self.from } else { &self.to }
    }
}

impl Checker {
    fn event(&mut self, rulebook: &Rulebook, event: &Event, parsed: bool) -> Result<(), Found> {
        match &event.what {
            What::Connect { conn, from, to } => {
                let (watch, session, limits, spaces) = Default::default();
                self.conns.insert(conn.clone(), Conn { from: from.clone(), to: to.clone(), over: false, watch, session, limits, spaces });
            }
            What::End { conn, .. } => {
                if let Some(conn) = self.conns.get_mut(conn) {
                    conn.over = true;
                }
            }
            What::Crash { who } => {
                self.gone(who);
                self.log.died(who);
            }
            What::Load { who } => {
                self.gone(who);
                self.log.loaded(who);
            }
            What::Drop { space } => self.log.dropped(space),
            What::Tokens { grants } => self.rights.tokens(event.at, grants),
            What::Synced { who, position, history, fingerprint } => self
                .log
                .synced(who, *position, history, fingerprint)
                .map_err(|(rule, expected)| (who.clone(), rule.to_owned(), expected, fingerprint.clone()))?,
            What::Frame(frame) => self.frame(rulebook, event.at, frame, parsed)?,
            What::Step { .. } | What::Told { .. } => {}
        }
        Ok(())
    }

    fn gone(&mut self, who: &str) {
        self.conns.values_mut().filter(|conn| conn.from == who || conn.to == who).for_each(|conn| conn.over = true);
    }

    /// What was due before this event.
    fn late(&mut self, event: &Event) -> Result<(), Found> {
        for conn in self.conns.values_mut().filter(|conn| !conn.over) {
            let judged = |client: bool| self.judged.is_none_or(|side| side == client);
            if let Some((client, (rule, expected))) = conn.session.late(event.at, self.judged.is_none(), judged) {
                conn.over = true;
                return Err((conn.side(client).to_owned(), rule.to_owned(), expected, format!("nothing up to {}", event.at)));
            }
        }
        Ok(())
    }

    fn frame(&mut self, rulebook: &Rulebook, at: u64, frame: &Frame, parsed: bool) -> Result<(), Found> {
        let found = if parsed || !frame.judged { rulebook.parse(&frame.bytes) } else { rulebook.frame(&frame.bytes) };
        let (channel, messages) = match found {
            Ok(found) => found,
            Err(Trouble::Fault { rule: Some(rule), expected, got, .. }) if frame.judged => {
                return Err((frame.from.clone(), rule, expected, got));
            }
            Err(_) => return Ok(()),
        };
        let Some(conn) = self.conns.get_mut(&frame.conn).filter(|conn| conn.to == "server") else { return Ok(()) };
        let client = frame.from == conn.from;
        let mut result = if frame.judged { conn.limits.frame(client, frame.bytes.len()) } else { Ok(()) };
        let mut got = format!("{} bytes", frame.bytes.len());
        for message in &messages {
            let known = (frame.to.clone(), conn.spaces.get(&channel).cloned().unwrap_or_default());
            let literal = match self.numbers.get_mut(&known).filter(|_| !client) {
                // A fault in the numbers is told below.
                Some(numbers) => numbers.literal(message).unwrap_or_else(|_| message.clone()),
                None => message.clone(),
            };
            let seen = Seen { at, conn: &frame.conn, client, channel, message: &literal };
            // Each takes note of the message, also where another finds a fault in it.
            let mut found = vec![conn.session.message(&seen), conn.limits.message(&seen), self.rights.message(&seen)];
            // What a number stands for that a client had before the trace began is not known here.
            if !has_numbers(&literal) {
                found.push(self.log.message(&seen));
            }
            if client {
                conn.watch.client(channel, message);
                if code_of(message) == Some(code::OPEN) {
                    let space: String = message.items().iter().skip(1).take(2).map(print).collect();
                    conn.spaces.insert(channel, space.clone());
                    let numbers = self.numbers.entry((frame.from.clone(), space)).or_default();
                    *numbers = Numbers::of(message, true).after(numbers);
                } else if let Some(space) = conn.spaces.get(&channel) {
                    self.numbers.entry((frame.from.clone(), space.clone())).or_default().push(message);
                }
            } else if frame.judged
                && let Err(Trouble::Fault { rule: Some(rule), expected, got, .. }) = conn.watch.server(rulebook, channel, message)
            {
                return Err((frame.from.clone(), rule, expected, got));
            }
            if let (Ok(()), Some(fault)) = (&result, found.drain(..).find_map(Result::err)) {
                (result, got) = (Err(fault), print(message));
            }
        }
        result.or_else(|(rule, expected)| if frame.judged { Err((frame.from.clone(), rule.to_owned(), expected, got)) } else { Ok(()) })
    }
}
