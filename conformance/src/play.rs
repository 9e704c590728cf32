//! Plays a scenario: sets the stage, and takes one step after the other.

use crate::adapter::Adapter;
use crate::cbor::Item;
use crate::checks::Rulebook;
use crate::config::AdapterProgram;
use crate::edn::{print, print_expr};
use crate::pattern::value;
use crate::scenario::{Role, Scenario, Step};
use crate::sockets::Sockets;
use crate::step::Action;
use crate::trace::What;
use crate::trace_file::{Header, Trace, VERSION};
use crate::trouble::Trouble;
use crate::world::{START_MS, Sut, World};
use serde_json::json;

const REAL_CLOCK_MS: u64 = 2000;

/// How to reach the implementation.
#[derive(Debug, Clone)]
pub enum Attachment {
    /// A command that speaks the adapter protocol.
    Adapter(AdapterProgram),
    /// A command that starts a server.
    Server(Vec<String>),
    /// A server that runs.
    Address(String),
}

/// What came of a scenario.
pub struct Outcome {
    /// The step at which it ended, and why; none where it went through.
    pub trouble: Option<(Option<Step>, Trouble)>,
    /// What happened.
    pub trace: Trace,
    /// The rules of the steps that were taken.
    pub shown: Vec<String>,
}

/// Plays a scenario from the beginning.
pub fn play(scenario: &Scenario, attachment: &Attachment, rulebook: &Rulebook, seed: u64) -> Outcome {
    let role = scenario.role.name().to_owned();
    let header = Header { trace: VERSION, name: scenario.id.clone(), role, space: String::new(), seed };
    let mut outcome = Outcome { trouble: None, trace: Trace { header, events: Vec::new() }, shown: Vec::new() };
    let mut world = match stage(scenario, attachment, rulebook, seed) {
        Ok(world) => world,
        Err(trouble) => {
            outcome.trouble = Some((None, trouble));
            return outcome;
        }
    };
    for step in &scenario.steps {
        let now = world.now();
        world.names.insert("now".to_owned(), Item::Int(i128::from(now)));
        world.note(What::Step { line: step.line, text: step.text.clone() });
        if let Err(trouble) = world.step(&step.action) {
            outcome.trouble = Some((Some(step.clone()), trouble));
            break;
        }
        if !outcome.shown.contains(&step.rule) {
            outcome.shown.push(step.rule.clone());
        }
    }
    outcome.trace.header.space = world.names["space"].as_text().unwrap_or_default().to_owned();
    outcome.trace.events = std::mem::take(&mut world.trace);
    if outcome.trouble.is_none() {
        let broken = crate::universal::judge(rulebook, &outcome.trace, true).into_iter().next();
        outcome.trouble = broken.map(|broken| (None, broken.into()));
    }
    // Other troubles say it themselves.
    if let Some((_, Trouble::Fault { .. })) = &outcome.trouble {
        world.stderr().lines().for_each(|line| world.tell("stderr:", line));
        outcome.trace.events.append(&mut world.trace);
    }
    outcome
}

fn stage<'a>(scenario: &Scenario, attachment: &Attachment, rulebook: &'a Rulebook, seed: u64) -> Result<World<'a>, Trouble> {
    let sut = match attachment {
        Attachment::Adapter(program) => Sut::Adapter(Adapter::start(program, START_MS)?),
        _ if scenario.tokens.is_some() => return Err(Trouble::Unobservable("a server with tokens needs an adapter".to_owned())),
        Attachment::Server(cmd) => Sut::Sockets(Sockets::start(cmd)?),
        Attachment::Address(address) => Sut::Sockets(Sockets::attach(address.clone())?),
    };
    let space = match attachment {
        Attachment::Address(_) => format!("home-{}", crate::sockets::unix_ms()),
        _ => "home".to_owned(),
    };
    let mut world = World::new(rulebook, scenario.role, sut, &space, seed);
    for name in scenario.profiles.iter().filter(|name| *name != "core") {
        world.profiles.push(rulebook.profile_code(name).ok_or(Trouble::Script(format!("no profile {name}")))?);
    }
    world.profiles.sort_unstable();
    if matches!(attachment, Attachment::Adapter(_)) {
        let tokens = scenario.tokens.as_ref().map(|tokens| value(tokens, &world.names)).transpose()?;
        if matches!(scenario.role, Role::Server | Role::Both) {
            world.open_peer("server", true, &tokens.unwrap_or(Item::Null))?;
        }
        if matches!(scenario.role, Role::Client | Role::Peer) {
            world.open_peer("c", false, &Item::Null)?;
        }
    }
    Ok(world)
}

impl World<'_> {
    fn step(&mut self, action: &Action) -> Result<(), Trouble> {
        match action {
            Action::Let(name, expr) => {
                let item = value(expr, &self.names)?;
                self.names.insert(name.clone(), item);
                Ok(())
            }
            Action::Repeat(times, action) => (0..*times).try_for_each(|n| {
                self.names.insert("n".to_owned(), Item::Int(i128::from(n)));
                self.step(action)
            }),
            Action::Clock(ms) => self.clock(*ms),
            Action::Equal(left, right, wanted) => {
                let (a, b) = (value(left, &self.names)?, value(right, &self.names)?);
                if (a == b) == *wanted {
                    return Ok(());
                }
                let relation = if *wanted { "equals" } else { "differs from" };
                Err(Trouble::fault(format!("{} {relation} {} = {}", print_expr(left), print_expr(right), print(&b)), print(&a)))
            }
            Action::Settle => self.settle(),
            Action::Deliver => self.call("advance", json!({})).map(drop),
            Action::Same(a, b) => self.same(a, b),
            Action::Client(who, options) => {
                let token = self.option(options, "token")?.unwrap_or(Item::Null);
                self.peers.insert(who.clone());
                if self.option(options, "apart")?.is_some() {
                    self.apart.insert(who.clone());
                }
                self.open_peer(who, false, &token)
            }
            Action::Link(a, b) => self.link(a, b),
            Action::Unlink(a, b) => self.unlink(a, b),
            Action::Clone(from, to) => {
                self.peers.insert(to.clone());
                self.clone_peer(from, to)
            }
            Action::Partition(who, apart) => self.partition(who, *apart),
            Action::Stall(who, stalled) => self.stall(who, *stalled),
            Action::Hold(who, holds) => self.hold(who, *holds),
            Action::Carry(who, up) => self.carry(who, *up),
            Action::Crash(who, point) => self.crash(who.as_deref(), *point),
            Action::Tokens(tokens) => self.tokens(tokens),
            Action::Revoke(revoked) => self.revoke(revoked),
            Action::Quota(bounds) => self.quota(bounds),
            Action::Retention(retention) => self.retention(retention),
            Action::Spoil(who, (collection, id), field) => {
                self.call("spoil", json!({"peer": who, "record": [collection, id], "field": field})).map(drop)
            }
            Action::Purge(collection, id) => self.purge(collection, id),
            Action::Space(verb, space) => self.space_step(verb, space),
            Action::Stores(bytes, wanted) => self.stores(bytes, *wanted),
            Action::Restart(who) => self.crash(who.as_deref(), None),
            Action::Save(who, name) => self.save(who.as_deref(), name, false),
            Action::Load(who, name) => self.save(who.as_deref(), name, true),
            _ if self.role == Role::Both => self.local(action),
            _ => self.wire(action),
        }
    }

    fn wire(&mut self, action: &Action) -> Result<(), Trouble> {
        match action {
            Action::Handshake(options) => self.handshake(options),
            Action::Connect(who) => self.connect(who),
            Action::Hello(who, options) => self.hello(who, options),
            Action::Meet(who, dials) => self.meet(who, *dials),
            Action::Join(who, options) => self.join(who, options),
            Action::Open(who, options) => self.open(who, options),
            Action::Send(who, payload) => self.send_payload(who, payload),
            Action::Expect(who, items) => self.expect(who, items),
            Action::Never(who, patterns) => self.never(who, patterns),
            Action::Quiet(who) => self.quiet(who),
            Action::Closed(who) => self.closed(who),
            Action::Reaches(who, position) => {
                let position = value(position, &self.names)?.as_u64().ok_or("a position is needed".to_owned())?;
                self.reaches(who, position)
            }
            Action::Holds(who, name, fields) => self.holds(who, name, fields.as_ref()),
            Action::Mute(who) => {
                self.links.get_mut(who).ok_or(format!("{who} is not connected"))?.muted = true;
                Ok(())
            }
            Action::Accept(who, within_ms) => {
                self.wanted(who, *within_ms)?;
                self.connect(who)
            }
            Action::Waits(who, ms) => {
                let ms = value(ms, &self.names)?.as_u64().ok_or("a time is needed".to_owned())?;
                let came = self.pass_until(ms, |world| world.wants(who))?;
                if came { Err(Trouble::fault(format!("no attempt to connect in {ms} ms"), "one")) } else { Ok(()) }
            }
            Action::Refuse(who) => self.refuse(who),
            Action::Serve(who, options) => self.serve(who, options),
            _ => self.local(action),
        }
    }

    /// Steps about a client's own state.
    fn local(&mut self, action: &Action) -> Result<(), Trouble> {
        match action {
            Action::Cut(who) => self.cut(who),
            Action::Never(who, patterns) => self.never(who, patterns),
            Action::Write { who, rows, guards, refused } => self.write(who, rows, guards, *refused),
            Action::State(who, name, fields) => self.state(who, name, fields.as_ref()),
            Action::Records(who, collection, ids) => self.records(who, collection, ids),
            Action::Status(who, fields) => self.status(who, fields),
            Action::Event(who, name, fields, wanted) => self.event_step(who, name, fields, *wanted),
            Action::Rejections(who, pattern) => self.rejections(who, pattern),
            Action::Dismiss(who, seq) => {
                let seq = value(seq, &self.names)?.as_u64().ok_or("a seq is needed".to_owned())?;
                self.call("dismiss", json!({"peer": who, "seq": seq})).map(drop)
            }
            Action::Presence { who, payload, ttl, refused } => self.presence(who, payload, ttl.as_ref(), *refused),
            Action::Subscribe { who, collections, refused } => self.subscribe(who, collections, *refused),
            Action::Present(who, pattern) => self.present(who, pattern),
            Action::Start(who, start) => self.call(if *start { "start" } else { "stop" }, json!({"peer": who})).map(drop),
            Action::Signals(who, to, payload) => self.signals(who, to, payload),
            Action::Token(who, token, options) => {
                let token = crate::local::to_json(&value(token, &self.names)?);
                let expires = self.option(options, "expires")?.and_then(|item| item.as_u64());
                self.call("token", json!({"peer": who, "token": token, "expires": expires})).map(drop)
            }
            Action::LinkToken(who, token) => {
                let token = crate::local::to_json(&value(token, &self.names)?);
                self.call("link-token", json!({"peer": who, "token": token})).map(drop)
            }
            Action::Wipe { who, force, refused } => self.wipe(who, *force, *refused),
            Action::Wall(who, skew) => self.call("wall", json!({"peer": who, "skew": skew})).map(drop),
            _ => Err(Trouble::Script("this step is not for this role".to_owned())),
        }
    }

    fn clock(&mut self, ms: u64) -> Result<(), Trouble> {
        if matches!(self.sut, Sut::Sockets(_)) && ms > REAL_CLOCK_MS {
            return Err(Trouble::Unobservable(format!("{ms} ms of real time")));
        }
        self.pass_until(ms, |_| false).map(drop)
    }
}
