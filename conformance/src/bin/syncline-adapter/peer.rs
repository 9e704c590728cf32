//! One peer: a server or a client of the core, and its store.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use syncline::change::RecordName;
use syncline::client::{self, Client, ClientConfig, Event, Guard, Wiped, WriteError};
use syncline::clock::{Now, Replica};
use syncline::entropy::Entropy;
use syncline::fault;
use syncline::peer::LinkId;
use syncline::registry::Profiles;
use syncline::server::{self, Access, ConnId, Quota, Retention, Server, ServerConfig};
use syncline::store::{MemoryStore, Store, StoreError, Transact};

use crate::Answer;
use crate::access;
use crate::values::{hex, unhex, view, write_rows};

/// What a peer is opened with.
#[derive(Clone)]
pub struct Setup {
    seed: u64,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Server { access: Access, quota: Quota, retention: Retention },
    Client { space: String, token: Option<String> },
}

impl Setup {
    /// Reads the fields of `open`.
    pub fn read(command: &Value) -> Result<Self, String> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let kind = match command["role"].as_str() {
            Some("server") => {
                Kind::Server { access: access::tokens(&command["tokens"])?, quota: Quota::default(), retention: Retention::default() }
            }
            Some("client") => Kind::Client { space: text(&command["space"]).ok_or("`space` is missing")?, token: text(&command["token"]) },
            _ => return Err("`role` is neither server nor client".to_owned()),
        };
        Ok(Self { seed: command["seed"].as_u64().unwrap_or(0) + if fault::is("mirror-other-seed") { 1_000 } else { 0 }, kind })
    }
}

enum Core {
    Server { server: Box<Server>, conns: BTreeMap<String, ConnId> },
    Client { client: Box<Client>, conn: Option<String>, links: BTreeMap<String, LinkId>, wake: Option<u64> },
}

/// The commit at which a peer dies.
struct Death {
    commits: u64,
    after: bool,
}

/// A peer and its store.
pub struct Peer {
    name: String,
    setup: Setup,
    store: MemoryStore,
    core: Core,
    skew: i64,
    death: Option<Death>,
    dead: bool,
    opened: u64,
}

impl Peer {
    /// Opens a peer on a store.
    pub fn open(name: String, setup: Setup, mut store: MemoryStore, now: u64) -> Result<Self, String> {
        let core = core(&setup, 0, &mut store, Now { wall_ms: now, mono_ms: now })?;
        Ok(Self { name, setup, store, core, skew: 0, death: None, dead: false, opened: 1 })
    }

    /// Opens it again on a store, as after a crash.
    pub fn reopen(&mut self, store: MemoryStore, now: u64) -> Result<(), String> {
        let at = self.now(now);
        self.store = store;
        self.core = core(&self.setup, self.opened, &mut self.store, at)?;
        (self.death, self.dead) = (None, false);
        self.opened += 1;
        Ok(())
    }

    /// What a crash leaves.
    pub fn durable(&self) -> MemoryStore {
        self.store.durable()
    }

    /// When it wants `advance`.
    pub fn wake(&self) -> Option<u64> {
        match &self.core {
            _ if self.dead => None,
            Core::Server { server, .. } => server.next_wake(),
            Core::Client { wake, .. } => *wake,
        }
    }

    fn now(&self, now: u64) -> Now {
        Now { wall_ms: now.saturating_add_signed(self.skew), mono_ms: now }
    }

    /// Time is now `now`.
    pub fn advance(&mut self, now: u64, lines: &mut Vec<Value>) -> Result<(), String> {
        if self.wake().is_none_or(|wake| wake > now) {
            return Ok(());
        }
        match &mut self.core {
            Core::Server { .. } => self.serve(now, server::Input::Tick, lines),
            Core::Client { wake, .. } => {
                *wake = None;
                self.tell(now, client::Input::Tick, lines)
            }
        }
    }

    /// A verb about this peer.
    pub fn verb(&mut self, verb: &str, command: &Value, now: u64, lines: &mut Vec<Value>) -> Answer {
        match verb {
            "commit" => {
                self.death = Some(Death { commits: command["n"].as_u64().unwrap_or(1), after: command["after"] == true });
                Ok(json!({}))
            }
            "wall" => {
                self.skew = command["skew"].as_i64().unwrap_or(0);
                Ok(json!({}))
            }
            _ if self.dead => Ok(json!({})),
            "link" => {
                let conn = command["conn"].as_str().ok_or("`conn` is missing")?.to_owned();
                let Core::Client { links, .. } = &mut self.core else { return Err("a server has no peer links".to_owned()) };
                let id = LinkId(links.values().map(|id| id.0 + 1).max().unwrap_or(1).max(now));
                links.insert(conn, id);
                self.tell(now, client::Input::Linked(id, command["dials"] == true), lines)?;
                Ok(json!({}))
            }
            "connect" | "frame" | "hangup" => {
                let conn = command["conn"].as_str().ok_or("`conn` is missing")?.to_owned();
                let frame = unhex(command["frame"].as_str().unwrap_or(""))?;
                self.transport(verb, &conn, &frame, now, lines)?;
                Ok(json!({}))
            }
            _ => self.local(verb, command, now, lines),
        }
    }

    fn transport(&mut self, verb: &str, conn: &str, frame: &[u8], now: u64, lines: &mut Vec<Value>) -> Result<(), String> {
        match &mut self.core {
            Core::Server { conns, .. } => {
                let next = ConnId(conns.values().map(|conn| conn.0 + 1).max().unwrap_or(1));
                let id = if verb == "connect" {
                    *conns.entry(conn.to_owned()).or_insert(next)
                } else {
                    *conns.get(conn).ok_or("no such conn")?
                };
                let too_large = frame.len() > syncline::limits::FRAME_BYTES_MAX;
                let input = match verb {
                    "connect" => server::Input::Connect(id),
                    "hangup" => server::Input::HungUp(id),
                    _ if too_large => server::Input::TooLarge(id),
                    _ => server::Input::Frame(id, frame),
                };
                self.serve(now, input, lines)
            }
            Core::Client { conn: current, links, .. } => {
                let input = match verb {
                    "frame" if links.contains_key(conn) => client::Input::LinkFrame(links[conn], frame),
                    "hangup" if links.contains_key(conn) => client::Input::Unlinked(links.remove(conn).ok_or("no such link")?),
                    "connect" => {
                        *current = Some(conn.to_owned());
                        client::Input::Connected
                    }
                    "hangup" => {
                        *current = None;
                        client::Input::HungUp
                    }
                    _ if current.as_deref() == Some(conn) => client::Input::Frame(frame),
                    _ => return Ok(()),
                };
                self.tell(now, input, lines)
            }
        }
    }

    fn local(&mut self, verb: &str, command: &Value, now: u64, lines: &mut Vec<Value>) -> Answer {
        let at = self.now(now);
        let Core::Client { client, .. } = &mut self.core else { return self.administer(verb, command, now, lines) };
        match verb {
            "start" => self.tell(now, client::Input::Start, lines)?,
            "stop" => self.tell(now, client::Input::Stop, lines)?,
            "write" => {
                let rows = match write_rows(&command["rows"])? {
                    Ok(rows) => rows,
                    Err(refused) => return Ok(json!({"refused": refused})),
                };
                let written = client.write_if(at, &mut self.store, &rows, &guards(&command["if"])?);
                return self.written(written, now, lines);
            }
            "signal" => {
                let to = unhex(command["to"].as_str().unwrap_or(""))?;
                let to = Replica(to.try_into().map_err(|_| "`to` is no replica")?);
                let payload = unhex(command["payload"].as_str().unwrap_or(""))?;
                let sent = client.signal(at, to, &payload);
                self.drain(now, lines);
                return Ok(json!({"sent": sent}));
            }
            "state" => return Ok(json!({"records": view(client.records(&self.store, None).map_err(told)?)})),
            "status" => return status(client, &self.store),
            "rejections" => {
                let rejections = client.rejections(&self.store).map_err(told)?;
                return Ok(json!({"rejections": rejections.iter().map(|r| json!({"seq": r.seq, "code": r.code.0})).collect::<Vec<_>>()}));
            }
            "dismiss" => {
                let rejections = client.rejections(&self.store).map_err(told)?;
                let found = rejections.iter().find(|r| Some(r.seq) == command["seq"].as_u64()).ok_or("no such rejection")?;
                client.dismiss(&mut self.store, found.number).map_err(told)?;
                self.commit(lines)?;
            }
            "spoil" => {
                let named = |at: usize| command["record"][at].as_str().unwrap_or_default().to_owned();
                let record = RecordName { collection: named(0), id: named(1) };
                client.spoil(&mut self.store, &record, command["field"].as_str()).map_err(told)?;
                self.commit(lines)?;
            }
            "present" => {
                let payload = command["payload"].as_str().map(unhex).transpose()?;
                if let Err(refusal) = client.set_presence(at, payload, command["ttl"].as_u64().unwrap_or(0)) {
                    return Ok(json!({"refused": WriteError::Refused(refusal).to_string()}));
                }
                self.drain(now, lines);
            }
            "subscribe" => {
                let names = command["collections"].as_array();
                let names: Option<Vec<String>> =
                    names.map(|names| names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect());
                match client.subscribe(at, &mut self.store, names.as_deref()) {
                    Ok(()) if self.commit(lines)? => self.drain(now, lines),
                    Ok(()) => {}
                    Err(why @ WriteError::Refused(_)) => {
                        self.store.rollback();
                        return Ok(json!({"refused": why.to_string()}));
                    }
                    Err(WriteError::Store(error)) => return Err(told(error)),
                }
            }
            "presence" => {
                let others = client.presence().iter().map(|(replica, payload)| json!([hex(&replica.0), hex(payload)]));
                return Ok(json!({"presence": others.collect::<Vec<_>>()}));
            }
            "token" => {
                let given = command["token"].as_str().map(str::to_owned);
                client.set_token(at, given.clone(), command["expires"].as_u64());
                if let Kind::Client { token, .. } = &mut self.setup.kind {
                    *token = given;
                }
                self.tell(now, client::Input::Start, lines)?;
            }
            "link-token" => client.set_link_token(command["token"].as_str().map(str::to_owned)),
            "wipe" => return self.wipe(command["force"] == true, now),
            _ => return Err(format!("no such verb: {verb}")),
        }
        Ok(json!({}))
    }

    /// Removes all that a client holds; it begins anew on the empty store, and does not start.
    fn wipe(&mut self, force: bool, now: u64) -> Answer {
        let Core::Client { client, .. } = &mut self.core else { return Err("it is no client".to_owned()) };
        match client.wipe(&mut self.store, force).map_err(told)? {
            Wiped::Refused { unsent } => Ok(json!({"refused": format!("{unsent} changes have no verdict"), "unsent": unsent})),
            Wiped::Done { lost } => {
                self.store.commit().map_err(told)?;
                let store = self.store.clone();
                self.reopen(store, now)?;
                Ok(json!({"lost": lost}))
            }
        }
    }

    /// What the operator of a server does.
    fn administer(&mut self, verb: &str, command: &Value, now: u64, lines: &mut Vec<Value>) -> Answer {
        let text = |name: &str| command[name].as_str().unwrap_or_default();
        let named = |at: usize| command["record"][at].as_str().unwrap_or_default().to_owned();
        let (at, record) = (Now { wall_ms: now, mono_ms: now }, RecordName { collection: named(0), id: named(1) });
        if let Core::Server { server, .. } = &mut self.core {
            let done = match verb {
                "purge" => server.purge(at, &mut self.store, text("space"), &record).map(|held| json!({"held": held})),
                "make" => server.make_space(&mut self.store, text("space")).map(|made| json!({"done": made})),
                "drop" => server.delete_space(&mut self.store, text("space")).map(|gone| json!({"done": gone})),
                "quota" => {
                    let set = Quota { records: command["records"].as_u64(), bytes: command["bytes"].as_u64() };
                    server.set_quota(set);
                    if let Kind::Server { quota, .. } = &mut self.setup.kind {
                        *quota = set;
                    }
                    Ok(json!({}))
                }
                "retention" => {
                    let number = |name: &str| command[name].as_u64().unwrap_or(0);
                    let set = Retention { ms: number("ms"), positions: number("positions") };
                    server.set_retention(set);
                    if let Kind::Server { retention, .. } = &mut self.setup.kind {
                        *retention = set;
                    }
                    Ok(json!({}))
                }
                "stores" => Ok(json!({"found": stores(&self.store, &unhex(text("bytes"))?)?})),
                _ => Ok(Value::Null),
            };
            let done = done.map_err(told)?;
            if done != Value::Null {
                self.commit_and_poll(now, lines)?;
                return Ok(done);
            }
        }
        let Kind::Server { access, .. } = &mut self.setup.kind else { return Err("it is no server".to_owned()) };
        match verb {
            "tokens" => *access = Access { revoked: access.revoked.clone(), ..access::tokens(&command["tokens"])? },
            "revoke" => *access = access::revoked(access, command)?,
            _ => return Err(format!("a server knows no {verb}")),
        }
        let access = access.clone();
        if let Core::Server { server, .. } = &mut self.core {
            server.set_access(access);
        }
        self.serve(now, server::Input::Recheck, lines)?;
        Ok(json!({}))
    }

    fn written(&mut self, written: Result<u64, WriteError>, now: u64, lines: &mut Vec<Value>) -> Answer {
        match written {
            Ok(seq) => {
                if self.commit(lines)? || fault::is("model-sends-before-durable") {
                    self.drain(now, lines);
                }
                Ok(json!({"seq": seq}))
            }
            Err(why @ WriteError::Refused(_)) => {
                self.store.rollback();
                Ok(json!({"refused": why.to_string()}))
            }
            Err(WriteError::Store(error)) => Err(told(error)),
        }
    }

    /// Makes what is staged durable; false where the peer died of it.
    fn commit(&mut self, lines: &mut Vec<Value>) -> Result<bool, String> {
        if let (Some(death), true) = (&mut self.death, self.store.is_dirty()) {
            death.commits = death.commits.saturating_sub(1);
            if death.commits == 0 {
                if death.after {
                    self.store.commit().map_err(told)?;
                }
                self.dead = true;
                lines.push(json!({"peer": self.name, "crashed": true}));
                return Ok(false);
            }
        }
        self.store.commit().map_err(told)?;
        Ok(true)
    }

    fn serve(&mut self, now: u64, input: server::Input, lines: &mut Vec<Value>) -> Result<(), String> {
        let at = self.now(now);
        let Core::Server { server, .. } = &mut self.core else { return Err("it is no server".to_owned()) };
        server.handle(at, &mut self.store, input).map_err(told)?;
        self.commit_and_poll(now, lines)
    }

    /// Makes durable what a server staged, and sends what it led to.
    fn commit_and_poll(&mut self, now: u64, lines: &mut Vec<Value>) -> Result<(), String> {
        let at = self.now(now);
        if !self.commit(lines)? && !fault::is("sess-says-before-durable") {
            return Ok(());
        }
        let Core::Server { server, conns } = &mut self.core else { return Ok(()) };
        server.committed();
        for id in server.take_ready() {
            while let Some(output) = server.poll(at, &self.store, id).map_err(told)? {
                let Some(conn) = conns.iter().find(|(_, conn)| **conn == id).map(|(name, _)| name.clone()) else { continue };
                lines.push(match output {
                    server::Output::Frame(frame) => json!({"peer": self.name, "conn": conn, "frame": hex(&frame)}),
                    server::Output::Close => json!({"peer": self.name, "conn": conn, "close": true}),
                });
            }
        }
        Ok(())
    }

    fn tell(&mut self, now: u64, input: client::Input, lines: &mut Vec<Value>) -> Result<(), String> {
        let at = self.now(now);
        let Core::Client { client, .. } = &mut self.core else { return Err("it is no client".to_owned()) };
        client.handle(at, &mut self.store, input).map_err(told)?;
        if self.commit(lines)? || fault::is("model-sends-before-durable") {
            self.drain(now, lines);
        }
        Ok(())
    }

    fn drain(&mut self, _now: u64, lines: &mut Vec<Value>) {
        let Core::Client { client, conn, links, wake } = &mut self.core else { return };
        while let Some(output) = client.poll() {
            let name = conn.clone().unwrap_or_default();
            match output {
                client::Output::Connect => lines.push(json!({"peer": self.name, "connect": true})),
                client::Output::Send(frame) => lines.push(json!({"peer": self.name, "conn": name, "frame": hex(&frame)})),
                client::Output::Close => {
                    *conn = None;
                    lines.push(json!({"peer": self.name, "conn": name, "close": true}));
                }
                client::Output::LinkSend(id, frame) => {
                    let conn = links.iter().find(|(_, known)| **known == id).map(|(conn, _)| conn);
                    lines.push(json!({"peer": self.name, "conn": conn, "frame": hex(&frame)}));
                }
                client::Output::Unlink(id) => {
                    let conn = links.iter().find(|(_, known)| **known == id).map(|(conn, _)| conn.clone()).unwrap_or_default();
                    links.remove(&conn);
                    lines.push(json!({"peer": self.name, "conn": conn, "close": true}));
                }
                client::Output::Event(event) => lines.push(told_event(&self.name, &event)),
                client::Output::WakeAt(at) => *wake = Some(at),
            }
        }
    }
}

fn core(setup: &Setup, opened: u64, store: &mut MemoryStore, now: Now) -> Result<Core, String> {
    let entropy = Entropy::from_u64(setup.seed.wrapping_mul(1_000_003).wrapping_add(opened));
    Ok(match &setup.kind {
        Kind::Server { access, quota, retention } => {
            let config = ServerConfig { access: access.clone(), quota: *quota, retention: *retention, ..ServerConfig::default() };
            Core::Server { server: Box::new(Server::new(config, entropy)), conns: BTreeMap::new() }
        }
        Kind::Client { space, token } => {
            let config = ClientConfig {
                space: space.clone(),
                token: token.clone(),
                profiles: Profiles::OFFERED,
                credit_bytes: syncline::limits::CREDIT_BYTES as u64,
            };
            let client = Client::load(config, store, entropy, now).map_err(told)?;
            store.commit().map_err(told)?;
            Core::Client { client: Box::new(client), conn: None, links: BTreeMap::new(), wake: None }
        }
    })
}

/// What must still be as it shows where the server takes a write.
fn guards(listed: &Value) -> Result<Vec<Guard>, String> {
    let guard = |guard: &Value| {
        let part = |at: usize| guard["record"][at].as_str().map(str::to_owned).ok_or("a guard names a record");
        let record = RecordName { collection: part(0)?, id: part(1)? };
        Ok(match guard["field"].as_str() {
            Some(field) => Guard::Field(record, field.to_owned()),
            None => Guard::Record(record),
        })
    };
    listed.as_array().into_iter().flatten().map(guard).collect()
}

fn status(client: &Client, store: &MemoryStore) -> Answer {
    let status = client.status(store).map_err(told)?;
    Ok(json!({
        "replica": hex(&status.replica.0),
        "state": status.state,
        "in_sync": status.in_sync,
        "position": status.cursor.as_ref().map(|cursor| cursor.position),
        "history": status.cursor.as_ref().map(|cursor| hex(&cursor.history.0)),
        "pending": status.pending,
        "collections": client.subscription(),
        "held": status.held,
        "links": status.links,
        "rejected": status.rejected,
        "may_write": status.may_write,
        "fingerprint": hex(&status.fingerprint),
        "offset": status.clock_offset_ms,
    }))
}

fn told_event(peer: &str, event: &Event) -> Value {
    let mut line = match event {
        Event::Changed(_) => json!({"event": "changed"}),
        Event::Rejected { seq, code } => json!({"event": "rejected", "seq": seq, "code": code.0}),
        Event::Forked { lost } => json!({"event": "forked", "lost": lost}),
        Event::InSync => json!({"event": "in-sync"}),
        Event::Mismatch => json!({"event": "mismatch"}),
        Event::Reset { reason } => json!({"event": "reset", "reason": reason}),
        Event::Refused { code, .. } => json!({"event": "refused", "code": code.0, "class": code.class().code()}),
        Event::Signal { from, payload } => json!({"event": "signal", "from": hex(&from.0), "payload": {"$bytes": hex(payload)}}),
        Event::LinkRefused { code, .. } => json!({"event": "link-refused", "code": code.0}),
        Event::Disconnected => json!({"event": "disconnected"}),
        Event::Rights { write } => json!({"event": "rights", "write": write}),
        Event::TokenWanted => json!({"event": "token-wanted"}),
        Event::Left(collections) => json!({"event": "left", "collections": collections}),
        Event::Presence(replicas) => json!({"event": "presence", "count": replicas.len()}),
    };
    line["peer"] = json!(peer);
    line
}

/// Whether these bytes stand anywhere in what a peer keeps.
fn stores(store: &MemoryStore, bytes: &[u8]) -> Result<bool, String> {
    let all = store.scan(&[], &[0xff], usize::MAX).map_err(told)?;
    let held = |text: &[u8]| text.windows(bytes.len().max(1)).any(|window| window == bytes);
    Ok(all.iter().any(|(key, value)| held(key) || held(value)))
}

fn told(error: StoreError) -> String {
    error.to_string()
}
