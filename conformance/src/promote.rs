//! Turns a trace into a scenario for servers: what the clients sent is sent again, and what the server answered is asserted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::cbor::{Item, decode_sequence};
use crate::checks::{Rulebook, code, code_of};
use crate::compute::{State, start};
use crate::edn::print;
use crate::fold::Fold;
use crate::packed::readable;
use crate::trace::{Event, Frame, What};
use crate::trace_file::Trace;

/// The letters that name connections.
const CONNS: &str = "abcdefghijklmnopqrstuvwxyz";
/// `R1` to `R9`.
const REPLICAS_MAX: usize = 9;
/// A longer session would lead its clocks too far ahead of a server's that hears it at once (spec, section 4).
const SESSION_MS_MAX: u64 = 30_000;

/// Where a client has a space open.
#[derive(Clone)]
struct Channel {
    replica: String,
    start: Vec<u8>,
    base: i128,
    base_name: String,
}

/// What a connection has shown, and what it began with.
#[derive(Default)]
struct Seen {
    began: State,
    fold: Fold,
}

#[derive(Default)]
struct Promotion {
    began: i128,
    space: Option<String>,
    /// Replica ids and histories, and what stands for them.
    names: BTreeMap<Vec<u8>, String>,
    replicas: usize,
    histories: usize,
    bases: usize,
    changes: usize,
    conns: BTreeMap<String, char>,
    ended: BTreeSet<String>,
    channels: BTreeMap<(String, u64), Channel>,
    folds: BTreeMap<String, Seen>,
    covers: BTreeSet<&'static str>,
    profiles: BTreeSet<u64>,
    tokens: BTreeSet<String>,
    steps: Vec<String>,
}

/// A scenario of the role server in the notation of the README, with this title. Ids, histories, bases and times are symbols; what
/// a server is free in (its limits and clock, texts, parts of a catch-up, marks) is left out or matches anything.
///
/// # Errors
/// What in the trace no scenario can say, with its event, from 1.
pub fn promote(rulebook: &Rulebook, trace: &Trace, title: &str) -> Result<String, String> {
    let (Some(first), Some(last)) = (trace.events.first(), trace.events.last()) else { return Err("the trace holds no event".to_owned()) };
    let took = last.at.saturating_sub(first.at);
    if took > SESSION_MS_MAX {
        return Err(format!("the session took {took} ms, and at most {SESSION_MS_MAX} are allowed"));
    }
    let mut promotion = Promotion { began: i128::from(first.at), ..Promotion::default() };
    for (index, event) in trace.events.iter().enumerate() {
        promotion.event(event).map_err(|why| format!("event {}: {why}", index + 1))?;
    }
    let standing: Vec<_> =
        promotion.conns.iter().filter(|(conn, _)| !promotion.ended.contains(*conn)).map(|(conn, to)| (conn.clone(), *to)).collect();
    standing.iter().for_each(|(conn, letter)| promotion.holds(conn, *letter));
    promotion.text(rulebook, title)
}

impl Promotion {
    fn event(&mut self, event: &Event) -> Result<(), String> {
        match &event.what {
            What::Connect { conn, to, .. } if to == "server" => {
                let letter = CONNS.chars().nth(self.conns.len()).ok_or(format!("more than {} connections", CONNS.len()))?;
                self.conns.insert(conn.clone(), letter);
                self.steps.push(format!("connect {letter}"));
            }
            What::Frame(frame) if frame.from == "server" => self.answer(frame)?,
            What::Frame(frame) if frame.to == "server" => self.ask(frame)?,
            What::End { conn, by, .. } => {
                let letter = self.letter(conn)?;
                if !self.ended.contains(conn) {
                    self.holds(conn, letter);
                    self.ended.insert(conn.clone());
                    self.steps.push(if by == "server" { format!("{letter} closed") } else { format!("cut {letter}") });
                }
            }
            What::Step { .. } | What::Told { .. } | What::Synced { .. } => {}
            What::Tokens { grants } if grants.is_null() => {}
            _ => return Err(format!("of connections and frames only a scenario is made, and this is {event}")),
        }
        Ok(())
    }

    fn letter(&self, conn: &str) -> Result<char, String> {
        self.conns.get(conn).copied().ok_or(format!("no connection {conn} to the server stands"))
    }

    /// What a client sent: it is sent again.
    fn ask(&mut self, frame: &Frame) -> Result<(), String> {
        let letter = self.letter(&frame.conn)?;
        let (channel, messages) = parts(&frame.bytes)?;
        let mut said = Vec::new();
        for message in &messages {
            let resumed = Fold::resumed(message, self.folds.values().map(|seen| &seen.fold));
            let seen = self.folds.entry(frame.conn.clone()).or_default();
            if let Some(state) = resumed {
                (seen.began, seen.fold.state) = (state.clone(), state);
            }
            seen.fold.client(message);
            match code_of(message) {
                // The harness answers each `ping`, and its own are no part of a story.
                Some(code::PING | code::PONG) => {}
                Some(code::HELLO) => {
                    self.greet(message);
                    said.push(self.say(message));
                }
                Some(code::OPEN) => said.push(self.open(&frame.conn, channel, message)?),
                Some(code::PUSH) => said.push(self.push(&frame.conn, channel, message)?),
                Some(code::SHUT | code::CREDIT | code::PRESENCE | code::SIGNAL | code::AUTH | code::BYE) => said.push(self.say(message)),
                _ => return Err(format!("no client's message that can be told again: {}", print(message))),
            }
        }
        if !said.is_empty() {
            self.steps.push(format!("{letter} > {channel}, {}", said.join(", ")));
        }
        Ok(())
    }

    fn greet(&mut self, hello: &Item) {
        self.profiles.extend(hello.items().get(2).map(Item::items).unwrap_or_default().iter().filter_map(Item::as_u64));
        self.tokens.extend(hello.items().get(4).and_then(Item::as_text).map(str::to_owned));
    }

    fn open(&mut self, conn: &str, channel: u64, message: &Item) -> Result<String, String> {
        let [_, Item::Text(space), Item::Bytes(replica), rest @ ..] = message.items() else {
            return Err(format!("no open: {}", print(message)));
        };
        let known = self.space.get_or_insert_with(|| space.clone());
        if known != space {
            return Err(format!("a second space, {space:?}, where a scenario has one"));
        }
        if !self.names.contains_key(replica) {
            self.replicas += 1;
            if self.replicas > REPLICAS_MAX {
                return Err(format!("more than {REPLICAS_MAX} replicas"));
            }
            self.names.insert(replica.clone(), format!("R{}", self.replicas));
        }
        let name = self.names[replica].clone();
        let begun = Channel { replica: name.clone(), start: start(space, replica), base: 0, base_name: String::new() };
        self.channels.insert((conn.to_owned(), channel), begun);
        let rest: String = rest.iter().map(|item| format!(", {}", self.say(item))).collect();
        Ok(format!("[2, $space, {name}{rest}]"))
    }

    fn push(&mut self, conn: &str, channel: u64, message: &Item) -> Result<String, String> {
        let open = self.channel(conn, channel)?.clone();
        let mut said = vec!["5".to_owned()];
        for item in &message.items()[1..] {
            let [seq, stamp, rows @ ..] = item.items() else { return Err(format!("no change: {}", print(item))) };
            let rows: String = rows.iter().map(|row| format!(", {}", self.say(row))).collect();
            self.changes += 1;
            self.steps.push(format!("let $c{} = [{}, {}{rows}]", self.changes, print(seq), self.stamp(&open, stamp)));
            said.push(format!("$c{}", self.changes));
        }
        Ok(format!("[{}]", said.join(", ")))
    }

    fn channel(&self, conn: &str, channel: u64) -> Result<&Channel, String> {
        self.channels.get(&(conn.to_owned(), channel)).ok_or(format!("nothing is open on channel {channel} of {conn}"))
    }

    /// A stamp of the wire, by the time at which the scenario began. The hash of a skip is said as it is.
    fn stamp(&self, open: &Channel, stamp: &Item) -> String {
        match stamp {
            Item::Int(ms) => {
                let after = open.base + ms - self.began;
                format!("$began - {} {} {}", open.base_name, if after < 0 { '-' } else { '+' }, after.abs())
            }
            Item::Array(parts) => match parts.as_slice() {
                [ms, counter] => format!("[{}, {}]", self.stamp(open, ms), print(counter)),
                _ => print(stamp),
            },
            _ => self.say(stamp),
        }
    }

    /// What the server answered: it is expected again, wherever the spec leaves no choice.
    fn answer(&mut self, frame: &Frame) -> Result<(), String> {
        let letter = self.letter(&frame.conn)?;
        let (channel, messages) = parts(&frame.bytes)?;
        for message in &messages {
            let fold = &mut self.folds.entry(frame.conn.clone()).or_default().fold;
            fold.server(message)?;
            let (position, complete) = (fold.position, fold.complete);
            if let Some(rule) = leads(message) {
                if complete {
                    self.reaches(letter, rule, position);
                }
            } else if let Some((rule, pattern)) = self.expect(&frame.conn, channel, message)? {
                self.covers.insert(rule);
                self.steps.push(format!("[{rule}] {letter} < {channel}, {pattern}"));
            }
        }
        Ok(())
    }

    /// Whether by changes or by states is the server's choice (SYNC-7), and so is how many an `ack` speaks of.
    fn reaches(&mut self, letter: char, rule: &'static str, position: u64) {
        self.covers.insert(rule);
        let step = format!("[{rule}] {letter} reaches ");
        self.steps.pop_if(|last| last.starts_with(&step));
        self.steps.push(format!("{step}{position}"));
    }

    /// What a connection that ends has brought: each record that it shows otherwise than when it began.
    fn holds(&mut self, conn: &str, letter: char) {
        let Some(Seen { began, fold }) = self.folds.get(conn).filter(|seen| seen.fold.complete) else { return };
        let mut steps = Vec::new();
        for name in fold.state.names().filter(|name| fold.state.record(name) != began.record(name)) {
            let shown = fold.state.record(name).map_or("absent".to_owned(), |(fields, columns)| match columns.as_slice() {
                [] => self.say(&Item::Map(fields)),
                _ => format!("{} {}", self.say(&Item::Map(fields)), self.say(&Item::Map(columns))),
            });
            steps.push(format!("[SYNC-7] {letter} holds {}/{} {shown}", plain(&name.0), plain(&name.1)));
        }
        self.covers.extend(steps.first().map(|_| "SYNC-7"));
        self.steps.append(&mut steps);
    }

    /// The rule that a message shows, and the pattern that it must match; none where it comes when the server likes.
    fn expect(&mut self, conn: &str, channel: u64, message: &Item) -> Result<Option<(&'static str, String)>, String> {
        let part = |at: usize| message.items().get(at).map_or_else(|| "$_".to_owned(), |item| self.say(item));
        Ok(Some(match code_of(message) {
            Some(code::WELCOME) => ("SESS-2", format!("[1, {}, {}, $_, $_]", part(1), part(2))),
            Some(code::OPENED) => ("IDENT-2", self.opened(conn, channel, message)?),
            Some(code::REJECT) => ("SYNC-1", format!("[7, {}, {}, {}, {}, ...]", part(1), part(2), part(3), part(4))),
            Some(code::ERROR) => ("ERROR-3", format!("[13, {}, {}, ...]", part(1), part(2))),
            Some(code::PING | code::PONG | code::MARK) => return Ok(None),
            _ => return Err(format!("no server's message that can be asserted: {}", print(message))),
        }))
    }

    fn opened(&mut self, conn: &str, channel: u64, message: &Item) -> Result<String, String> {
        let [_, position, Item::Bytes(history), seq, link, Item::Int(base), reset, ..] = message.items() else {
            return Err(format!("no opened: {}", print(message)));
        };
        if !self.names.contains_key(history) {
            self.histories += 1;
            self.names.insert(history.clone(), format!("$history{}", self.histories));
        }
        self.bases += 1;
        let base_name = format!("$base{}", self.bases);
        let key = (conn.to_owned(), channel);
        let open = self.channels.get_mut(&key).ok_or(format!("nothing is open on channel {channel} of {conn}"))?;
        (open.base, open.base_name) = (*base, base_name.clone());
        let link =
            if link.as_bytes() == Some(open.start.as_slice()) { format!("start($space, {})", open.replica) } else { "$_".to_owned() };
        let history = &self.names[history];
        Ok(format!("[3, {}, {history}, {}, {link}, {base_name}, {}]", print(position), print(seq), print(reset)))
    }

    /// An item in the notation, with symbols in the place of ids.
    fn say(&self, item: &Item) -> String {
        match item {
            Item::Bytes(bytes) => self.names.get(bytes).cloned().unwrap_or_else(|| print(item)),
            Item::Array(items) => format!("[{}]", items.iter().map(|item| self.say(item)).collect::<Vec<_>>().join(", ")),
            Item::Map(pairs) => {
                let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{}: {}", self.say(key), self.say(value))).collect();
                format!("{{{}}}", pairs.join(", "))
            }
            _ => print(item),
        }
    }

    fn text(&self, rulebook: &Rulebook, title: &str) -> Result<String, String> {
        if self.covers.is_empty() {
            return Err("the server answered nothing that could be asserted".to_owned());
        }
        let covers: Vec<&str> = self.covers.iter().copied().collect();
        let mut text = format!("# {}\ncovers {}\n", title.replace(['\n', '\r'], " "), covers.join(" "));
        let claimed = |name: &String| name != "core" && rulebook.profile_code(name).is_some_and(|code| self.profiles.contains(&code));
        let profiles: Vec<String> = rulebook.profiles().into_iter().filter(claimed).collect();
        if !profiles.is_empty() {
            let _ = writeln!(text, "profile {}", profiles.join(" "));
        }
        if !self.tokens.is_empty() {
            let tokens: Vec<String> = self.tokens.iter().map(|token| format!("{token:?}: {token:?}")).collect();
            let _ = writeln!(text, "tokens {{{}}}", tokens.join(", "));
        }
        let level = if self.tokens.is_empty() { "L0" } else { "L3" };
        let _ = write!(text, "level {level}\nrole server\n\nlet $began = $now\n");
        text.push_str(&self.steps.join("\n"));
        text.push('\n');
        Ok(text)
    }
}

/// The rule of a message that leads on in the log, whatever form the server chose for it.
fn leads(message: &Item) -> Option<&'static str> {
    match code_of(message)? {
        code::ACK => Some("SYNC-1"),
        code::CHANGE | code::VOID | code::STATES => Some("SESS-20"),
        _ => None,
    }
}

/// A part of a record's name as a step says it.
fn plain(part: &str) -> String {
    let word = !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c));
    if word { part.to_owned() } else { print(&Item::Text(part.to_owned())) }
}

/// The channel and the messages of a frame.
fn parts(bytes: &[u8]) -> Result<(u64, Vec<Item>), String> {
    let items = decode_sequence(bytes).map_err(|fault| format!("a frame that is not well-formed: {fault}"))?;
    let mut items = readable(items).into_iter();
    let channel = items.next().as_ref().and_then(Item::as_u64).ok_or("a frame without a channel")?;
    Ok((channel, items.collect()))
}
