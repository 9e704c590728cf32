//! Where a scenario runs: the implementation, the connections to it, and the time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tungstenite::Message;

use crate::adapter::{Adapter, Output};
use crate::cbor::{Item, encode_sequence};
use crate::checks::{Rulebook, code, code_of};
use crate::edn::{Expr, hex, print, print_expr};
use crate::fold::Fold;
use crate::pattern::{Names, matches};
use crate::peers::other_end;
use crate::scenario::Role;
use crate::sockets::{Sockets, unix_ms};
use crate::trace::{Event, Frame, What};
use crate::trouble::Trouble;
use crate::universal::order::Watch;

/// For how long a client's attempt to connect stands. (SESS-27)
const CONNECT_TIMEOUT_MS: u64 = 30_000;

/// Where the deterministic time begins.
pub const START_MS: u64 = 1_700_000_000_000;
const SPINS_MAX: u32 = 2000;
/// What the implementation may do in one scenario, and the bytes of all its frames.
const OUTPUTS_MAX: usize = 20_000;
const FRAME_BYTES_MAX: usize = 16 << 20;

/// How the implementation is attached.
pub enum Sut {
    /// By an adapter: L3.
    Adapter(Adapter),
    /// By sockets: L0 and L1.
    Sockets(Sockets),
}

/// One connection, seen from the harness.
#[derive(Default)]
pub struct Link {
    /// Its name in the adapter protocol; unique in the run.
    pub conn: String,
    /// Whether the implementation ended it.
    pub closed: bool,
    /// Whether it still stands.
    pub open: bool,
    /// Messages that came, by channel.
    pub queues: BTreeMap<u64, VecDeque<Item>>,
    /// Whether pings are left unanswered.
    pub muted: bool,
    /// Whether frames are held.
    pub stalled: bool,
    /// For the checks of order.
    pub watch: Watch,
    /// What the messages add up to.
    pub fold: Fold,
    /// The channel opened last.
    pub channel: u64,
}

/// What must not come.
pub enum Never {
    /// A message.
    Message(Vec<Expr>),
    /// An event with these fields.
    Event(String, Vec<(String, Expr)>),
}

/// The run of one scenario.
pub struct World<'a> {
    pub(crate) rulebook: &'a Rulebook,
    pub(crate) role: Role,
    pub(crate) sut: Sut,
    pub(crate) seed: u64,
    pub(crate) names: Names,
    pub(crate) links: BTreeMap<String, Link>,
    pub(crate) events: BTreeMap<String, VecDeque<Map<String, Value>>>,
    pub(crate) nevers: Vec<(String, Never)>,
    pub(crate) wants: BTreeMap<String, u64>,
    pub(crate) crashed: BTreeSet<String>,
    pub(crate) apart: BTreeSet<String>,
    /// Whose frames wait to be carried one by one.
    pub(crate) held: BTreeSet<String>,
    pub(crate) flight: VecDeque<(String, String, Vec<u8>)>,
    pub(crate) peers: BTreeSet<String>,
    pub(crate) conns: u64,
    /// Whether what is under way is being carried.
    routing: bool,
    /// Answers that are due, and on which connection.
    pongs: VecDeque<(String, Item)>,
    /// Outputs taken in, and the bytes of the frames among them.
    taken: (usize, usize),
    /// The codes of the profiles that the harness wants or offers, the core first.
    pub(crate) profiles: Vec<u64>,
    /// What happened, for the report of a failure.
    pub trace: Vec<Event>,
}

impl<'a> World<'a> {
    /// An empty world.
    pub fn new(rulebook: &'a Rulebook, role: Role, sut: Sut, space: &str, seed: u64) -> Self {
        let names = BTreeMap::from([("space".to_owned(), Item::Text(space.to_owned()))]);
        Self {
            rulebook,
            role,
            sut,
            seed,
            names,
            links: BTreeMap::new(),
            events: BTreeMap::new(),
            nevers: Vec::new(),
            wants: BTreeMap::new(),
            crashed: BTreeSet::new(),
            apart: BTreeSet::new(),
            held: BTreeSet::new(),
            flight: VecDeque::new(),
            peers: BTreeSet::new(),
            conns: 0,
            routing: false,
            pongs: VecDeque::new(),
            taken: (0, 0),
            profiles: vec![0],
            trace: Vec::new(),
        }
    }

    /// The present, Unix milliseconds.
    pub fn now(&self) -> u64 {
        match &self.sut {
            Sut::Adapter(adapter) => adapter.now,
            Sut::Sockets(_) => unix_ms(),
        }
    }

    /// Whether a client waits for a connection that it has not given up.
    pub(crate) fn wants(&self, who: &str) -> bool {
        self.wants.get(who).is_some_and(|since| self.now() < since + CONNECT_TIMEOUT_MS)
    }

    /// Keeps what happened.
    pub(crate) fn note(&mut self, what: What) {
        let at = self.now();
        self.trace.push(Event { at, what });
    }

    /// Keeps what happened to someone, in words.
    pub(crate) fn tell(&mut self, who: &str, text: impl Into<String>) {
        self.note(What::Told { who: who.to_owned(), text: text.into() });
    }

    /// Keeps that a connection was made.
    pub(crate) fn connected(&mut self, conn: &str, from: &str, to: &str) {
        self.note(What::Connect { conn: conn.to_owned(), from: from.to_owned(), to: to.to_owned() });
    }

    /// Keeps that a connection ended.
    pub(crate) fn ended(&mut self, conn: &str, by: &str) {
        self.note(What::End { conn: conn.to_owned(), by: by.to_owned(), code: None });
    }

    fn sent(&mut self, conn: &str, from: &str, to: &str, bytes: &[u8], judged: bool) {
        let frame = Frame { conn: conn.to_owned(), from: from.to_owned(), to: to.to_owned(), judged, bytes: bytes.to_vec() };
        self.note(What::Frame(frame));
    }

    /// Gives the adapter a command; takes in what it caused.
    pub(crate) fn call(&mut self, verb: &str, fields: Value) -> Result<Map<String, Value>, Trouble> {
        let Sut::Adapter(adapter) = &mut self.sut else { return Err(Trouble::Unobservable(format!("{verb} needs an adapter"))) };
        let reply = adapter.call(verb, fields)?;
        let outputs = adapter.take();
        for output in outputs {
            self.output(output)?;
        }
        self.route()?;
        Ok(reply)
    }

    fn output(&mut self, output: Output) -> Result<(), Trouble> {
        self.count(&output)?;
        match output {
            Output::Frame { peer, conn, bytes } => self.frame(&peer, &conn, bytes),
            Output::NoFrame { .. } => Err(Trouble::broken("BIND-1", "binary messages", "a text message")),
            Output::Close { peer, conn } => self.close(&peer, &conn),
            Output::Connect { peer } => {
                self.tell(&peer, "wants to connect");
                let now = self.now();
                self.wants.insert(peer, now);
                Ok(())
            }
            Output::Event { peer, event } => self.event(peer, event),
            Output::Crashed { peer } => {
                self.note(What::Crash { who: peer.clone() });
                self.crashed.insert(peer.clone());
                self.drop_links(&peer)
            }
        }
    }

    fn count(&mut self, output: &Output) -> Result<(), Trouble> {
        let (outputs, bytes) = &mut self.taken;
        *outputs += 1;
        if let Output::Frame { bytes: frame, .. } = output {
            *bytes += frame.len();
        }
        if *outputs <= OUTPUTS_MAX && *bytes <= FRAME_BYTES_MAX {
            return Ok(());
        }
        let allowed = format!("{OUTPUTS_MAX} outputs and {FRAME_BYTES_MAX} bytes of frames are allowed in a scenario");
        Err(Trouble::Flood(format!("{outputs} outputs with {bytes} bytes of frames; {allowed}")))
    }

    fn who(&self, conn: &str) -> Option<String> {
        self.links.iter().find(|(_, link)| link.conn == conn).map(|(who, _)| who.clone())
    }

    fn frame(&mut self, peer: &str, conn: &str, bytes: Vec<u8>) -> Result<(), Trouble> {
        let Some(who) = self.who(conn) else { return Ok(()) };
        let server = peer == "server";
        let to = match self.role {
            Role::Client => "server".to_owned(),
            Role::Both if !server => other_end(conn, peer).unwrap_or("server".to_owned()),
            Role::Server | Role::Peer | Role::Both => who.clone(),
        };
        self.sent(conn, peer, &to, &bytes, true);
        let (channel, messages) = self.rulebook.frame(&bytes)?;
        for message in messages {
            self.message(&who, server, channel, message)?;
        }
        if self.role == Role::Both {
            self.flight.push_back((conn.to_owned(), to, bytes));
        }
        Ok(())
    }

    /// Checks a message and puts it into its queue.
    fn message(&mut self, who: &str, server: bool, channel: u64, message: Item) -> Result<(), Trouble> {
        let link = self.links.get_mut(who).expect("found by its conn");
        if server {
            link.watch.server(self.rulebook, channel, &message)?;
        } else {
            link.watch.client(channel, &message);
        }
        self.check_never(who, channel, &message)?;
        if self.role == Role::Both {
            return Ok(());
        }
        let muted = self.links[who].muted;
        if let (Some(code::PING), Some(number), false) = (code_of(&message), message.items().get(1), muted) {
            let pong = Item::Array(vec![Item::Int(12), number.clone(), Item::Int(i128::from(self.now()))]);
            self.pongs.push_back((who.to_owned(), pong));
        }
        let link = self.links.get_mut(who).expect("found by its conn");
        let queue = link.queues.entry(channel).or_default();
        match message.items() {
            // A push of several changes is as good as several pushes.
            [Item::Int(5), changes @ .., Item::Map(_)] | [Item::Int(5), changes @ ..]
                if !server && changes.iter().all(|change| matches!(change, Item::Array(_))) =>
            {
                queue.extend(changes.iter().map(|change| Item::Array(vec![Item::Int(5), change.clone()])));
            }
            _ => queue.push_back(message),
        }
        Ok(())
    }

    pub(crate) fn check_never(&self, who: &str, channel: u64, message: &Item) -> Result<(), Trouble> {
        for (whose, never) in &self.nevers {
            let Never::Message(patterns) = never else { continue };
            let [on, pattern] = patterns.as_slice() else { continue };
            let mut names = self.names.clone();
            let on_channel = matches(on, &Item::Int(i128::from(channel)), &mut names).is_ok();
            if whose == who && on_channel && matches(pattern, message, &mut names).is_ok() {
                return Err(Trouble::fault(format!("never {}", print_expr(pattern)), print(message)));
            }
        }
        Ok(())
    }

    fn close(&mut self, peer: &str, conn: &str) -> Result<(), Trouble> {
        let Some(who) = self.who(conn) else { return Ok(()) };
        self.ended(conn, peer);
        let link = self.links.get_mut(&who).expect("found by its conn");
        let stood = std::mem::replace(&mut link.open, false);
        link.closed = true;
        if self.role == Role::Both && stood {
            let other = if peer == "server" { who } else { other_end(conn, peer).unwrap_or("server".to_owned()) };
            self.call("hangup", json!({"peer": other, "conn": conn}))?;
        }
        Ok(())
    }

    fn event(&mut self, peer: String, event: Map<String, Value>) -> Result<(), Trouble> {
        let fields = event.iter().filter(|(field, _)| *field != "event").map(|(field, value)| format!(" {field} {value}"));
        let name = event.get("event").and_then(Value::as_str).unwrap_or_default();
        self.tell(&peer, format!("event {name}{}", fields.collect::<String>()));
        for (whose, never) in &self.nevers {
            let Never::Event(name, fields) = never else { continue };
            if *whose == peer && crate::local::event_matches(&event, name, fields, &self.names) {
                return Err(Trouble::fault(format!("never the event {name}"), Value::Object(event).to_string()));
            }
        }
        self.events.entry(peer).or_default().push_back(event);
        Ok(())
    }

    /// A peer is gone, and with it its connections.
    pub(crate) fn drop_links(&mut self, peer: &str) -> Result<(), Trouble> {
        let among = |link: &Link| link.conn.contains('~');
        let ends = |link: &Link| among(link) && link.conn.split('~').take(2).any(|end| end == peer);
        let is_gone = |(who, link): &(&String, &Link)| peer == "server" && !among(link) || *who == peer || ends(link);
        let gone: Vec<String> = self.links.iter().filter(is_gone).map(|(who, _)| who.clone()).collect();
        for who in gone {
            let link = self.links.get_mut(&who).expect("listed above");
            let (stood, conn) = (std::mem::replace(&mut link.open, false), link.conn.clone());
            link.closed = true;
            if stood && self.role == Role::Both {
                let other = if peer == "server" { who } else { other_end(&conn, peer).unwrap_or("server".to_owned()) };
                self.call("hangup", json!({"peer": other, "conn": conn}))?;
            }
        }
        Ok(())
    }

    /// Opens a connection under this name.
    pub(crate) fn connect(&mut self, who: &str) -> Result<(), Trouble> {
        self.conns += 1;
        let conn = format!("{who}{}", self.conns);
        let fold = if self.role == Role::Client { self.links.remove(who).map(|link| link.fold) } else { None };
        let link = Link { conn: conn.clone(), open: true, channel: 1, fold: fold.unwrap_or_default(), ..Link::default() };
        self.links.insert(who.to_owned(), link);
        self.connected(&conn, who, "server");
        if let Sut::Sockets(sockets) = &mut self.sut {
            return sockets.connect(&conn);
        }
        let peer = if self.role == Role::Server { "server" } else { who };
        if self.role == Role::Both {
            self.call("connect", json!({"peer": "server", "conn": conn}))?;
        }
        self.call("connect", json!({"peer": peer, "conn": conn})).map(drop)
    }

    /// The harness sends a frame.
    pub(crate) fn send(&mut self, who: &str, channel: u64, messages: Vec<Item>) -> Result<(), Trouble> {
        let server = self.role == Role::Client;
        let resumed = messages.iter().find_map(|message| Fold::resumed(message, self.links.values().map(|link| &link.fold)));
        let link = self.links.get_mut(who).ok_or(format!("{who} is not connected"))?;
        if let Some(state) = resumed {
            link.fold.state = state;
        }
        for message in &messages {
            if server {
                link.fold.server(message)?;
            } else if self.role != Role::Peer {
                link.watch.client(channel, message);
                link.fold.client(message);
            }
        }
        let mut items = vec![Item::Int(i128::from(channel))];
        items.extend(messages);
        self.send_bytes(who, encode_sequence(&items))
    }

    /// The harness sends bytes.
    pub(crate) fn send_bytes(&mut self, who: &str, bytes: Vec<u8>) -> Result<(), Trouble> {
        let conn = self.links.get(who).ok_or(format!("{who} is not connected"))?.conn.clone();
        let (from, peer) = match self.role {
            Role::Client => ("server", who),
            Role::Peer => (who, "c"),
            Role::Server | Role::Both => (who, "server"),
        };
        self.sent(&conn, from, peer, &bytes, false);
        if let Sut::Sockets(sockets) = &mut self.sut {
            sockets.send(&conn, Message::binary(bytes));
            return Ok(());
        }
        self.call("frame", json!({"peer": peer, "conn": conn, "frame": hex(&bytes)})).map(drop)
    }

    /// The harness ends a connection.
    pub(crate) fn cut(&mut self, who: &str) -> Result<(), Trouble> {
        let link = self.links.get_mut(who).ok_or_else(|| Trouble::fault(format!("a connection of {who}"), "none"))?;
        let conn = link.conn.clone();
        if !std::mem::replace(&mut link.open, false) {
            return Ok(());
        }
        self.flight.retain(|(on, _, _)| *on != conn);
        self.ended(&conn, "harness");
        if let Sut::Sockets(sockets) = &mut self.sut {
            sockets.hang_up(&conn);
            return Ok(());
        }
        if self.role == Role::Peer {
            return self.call("hangup", json!({"peer": "c", "conn": conn})).map(drop);
        }
        if self.role != Role::Client {
            self.call("hangup", json!({"peer": "server", "conn": conn}))?;
        }
        if self.role != Role::Server {
            self.call("hangup", json!({"peer": who, "conn": conn}))?;
        }
        Ok(())
    }

    /// A frame under way arrives, where its connection still stands.
    fn arrive(&mut self, index: usize) -> Result<(), Trouble> {
        let Some((conn, peer, bytes)) = self.flight.remove(index) else { return Ok(()) };
        if !self.links.values().any(|link| link.conn == conn && link.open) {
            return Ok(());
        }
        self.call("frame", json!({"peer": peer, "conn": conn, "frame": hex(&bytes)})).map(drop)
    }

    /// Frames of a client's connections, the present and later ones, wait to be carried one by one, or flow again.
    pub(crate) fn hold(&mut self, who: &str, holds: bool) -> Result<(), Trouble> {
        if holds {
            self.held.insert(who.to_owned());
        } else {
            self.held.remove(who);
        }
        self.call("advance", json!({})).map(drop)
    }

    /// The next frame of a held client's connection arrives, if one is under way.
    pub(crate) fn carry(&mut self, who: &str, up: bool) -> Result<(), Trouble> {
        let Some(conn) = self.links.get(who).map(|link| link.conn.clone()) else { return Ok(()) };
        let to = if up { "server" } else { who };
        let next = self.flight.iter().position(|(on, peer, _)| *on == conn && peer == to);
        next.map_or(Ok(()), |index| self.arrive(index))
    }

    /// Answers pings, carries frames between the implementation's server and clients, and lets clients connect, until nothing is left to do.
    fn route(&mut self) -> Result<(), Trouble> {
        // What a carried frame causes is carried by the loop that carried it, however long the chain.
        if std::mem::replace(&mut self.routing, true) {
            return Ok(());
        }
        let mut carried = Ok(true);
        while matches!(carried, Ok(true)) {
            carried = self.carry_one();
        }
        self.routing = false;
        carried.map(drop)
    }

    /// Says whether there was anything to carry.
    fn carry_one(&mut self) -> Result<bool, Trouble> {
        if let Some((who, pong)) = self.pongs.pop_front() {
            if self.links.get(&who).is_some_and(|link| link.open) {
                self.send(&who, 0, vec![pong])?;
            }
            return Ok(true);
        }
        if self.role != Role::Both {
            return Ok(false);
        }
        let waits = |conn: &String| self.links.iter().any(|(who, link)| link.conn == *conn && (link.stalled || self.held.contains(who)));
        if let Some(index) = self.flight.iter().position(|(conn, _, _)| !waits(conn)) {
            self.arrive(index)?;
            return Ok(true);
        }
        let Some((who, _)) = self.wants.pop_first() else { return Ok(false) };
        if self.apart.contains(&who) || self.crashed.contains("server") {
            self.conns += 1;
            let conn = format!("{who}{}", self.conns);
            self.call("hangup", json!({"peer": who, "conn": conn}))?;
        } else {
            self.connect(&who)?;
        }
        Ok(true)
    }

    /// Lets time pass until the condition holds, for at most so long; says whether it holds.
    pub(crate) fn pass_until(&mut self, limit_ms: u64, holds: impl Fn(&Self) -> bool) -> Result<bool, Trouble> {
        if matches!(self.sut, Sut::Sockets(_)) {
            return self.pass_really(limit_ms, holds);
        }
        let end = self.now() + limit_ms;
        let mut spins = 0;
        while !holds(self) {
            let before = self.now();
            let wake = self.wake().filter(|wake| *wake <= end);
            let Some(wake) = wake else { break };
            self.set_now(wake.max(before));
            self.call("advance", json!({}))?;
            spins = if self.now() == before { spins + 1 } else { 0 };
            if spins > SPINS_MAX {
                return Err(Trouble::Adapter("its wake-up stays in the past after `advance`".to_owned()));
            }
        }
        if holds(self) {
            return Ok(true);
        }
        self.set_now(end);
        self.call("advance", json!({}))?;
        Ok(holds(self))
    }

    fn pass_really(&mut self, limit_ms: u64, holds: impl Fn(&Self) -> bool) -> Result<bool, Trouble> {
        let end = Instant::now() + Duration::from_millis(limit_ms);
        while !holds(self) {
            let left = end.saturating_duration_since(Instant::now());
            let Sut::Sockets(sockets) = &mut self.sut else { unreachable!("asked by pass_until") };
            let Some(output) = sockets.wait(left) else { break };
            self.output(output)?;
            self.route()?;
        }
        Ok(holds(self))
    }

    /// The end of what the implementation wrote on stderr.
    pub(crate) fn stderr(&self) -> String {
        match &self.sut {
            Sut::Adapter(adapter) => adapter.stderr(),
            Sut::Sockets(sockets) => sockets.stderr(),
        }
    }

    pub(crate) fn wake(&self) -> Option<u64> {
        match &self.sut {
            Sut::Adapter(adapter) => adapter.wake,
            Sut::Sockets(_) => None,
        }
    }

    pub(crate) fn set_now(&mut self, now: u64) {
        if let Sut::Adapter(adapter) = &mut self.sut {
            adapter.now = now;
        }
    }
}
