//! Watches a world step by step: what its stores and applications show must follow from the changes that were accepted.

use std::collections::{BTreeMap, BTreeSet};

use syncline::client::Status;
use syncline::sim::{Handed, Outcome, Seen, Step, TAINT, Way, World};

use super::model::{Columns, Follower, Log, Name, claimed, hex, parse};
use super::swarm::Run;
use crate::oracle::{Change, Replica};

/// Bytes of replies that a server keeps for one connection at most.
pub const QUEUED_BYTES_MAX: usize = 256 * 1_024;
/// Every so many steps, all that is shown is compared, and every change is looked for.
const WHOLE_EVERY: usize = 24;

/// An oracle, by what it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Oracle {
    /// The log is dense, each author's part of it a chain, each verdict the spec's.
    Log,
    /// What shows is the accepted changes up to the client's position, and its own behind them.
    View,
    /// A fingerprint is that of the state it is said to be of.
    Fingerprint,
    /// Each local change waits, is in the log once, or was visibly rejected.
    Ledger,
    /// What a client has seen it goes on seeing, and what it writes comes after it.
    Session,
    /// What does not show any more was deleted, reset, left or rejected.
    Vanished,
    /// Nobody is handed what he may not read.
    Taint,
    /// What is kept for a connection is bounded.
    Resources,
    /// Healed, everything comes to rest in time and with few messages.
    Rest,
    /// At rest, everyone shows the same.
    Equal,
    /// Nothing panics.
    Panic,
}

/// What a run showed that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Who saw it.
    pub oracle: Oracle,
    /// After how many steps; those of phase 2 are not counted.
    pub step: usize,
    /// What was seen.
    pub what: String,
}

/// A finding of one oracle.
pub type Finding = (Oracle, String);

/// What is known of one client.
#[derive(Default)]
struct Client {
    follower: Follower,
    /// Its store's life, history and position when last seen.
    seen: Option<(u64, [u8; 8], u64)>,
    /// The names it showed, and under which life of its store.
    shown: Option<(u64, BTreeSet<Name>)>,
    resets: u64,
    /// The position it stood at when a frame on its way to it was damaged, until a mark behind that has shown its base to be right.
    doubted: Option<u64>,
}

/// A local write.
struct Written {
    client: usize,
    life: u64,
    /// The position of the client's base and its history, when it wrote.
    after: Option<([u8; 8], u64)>,
    /// The client died over it: it may have been lost.
    died: bool,
}

/// The oracles of one run.
pub struct Watch {
    log: Log,
    clients: Vec<Client>,
    written: BTreeMap<String, Written>,
    server_life: u64,
    /// The least and the greatest time of the server's clock since the log was last looked at.
    server_ms: (u64, u64),
    judged: bool,
    modelled: bool,
    linked: bool,
    damaged: bool,
    loses: bool,
    forgets_verdicts: bool,
    steps: usize,
}

impl Watch {
    /// Over a fresh world.
    pub fn new(run: &Run, world: &World) -> Self {
        Self {
            log: Log::default(),
            clients: (0..world.clients()).map(|_| Client::default()).collect(),
            written: BTreeMap::new(),
            server_life: 0,
            server_ms: (world.server_ms(), world.server_ms()),
            // What the horizon has taken is not in the log any more.
            judged: run.faults.retain == 0,
            modelled: run.faults.retain == 0 && run.faults.spoil == 0,
            linked: run.faults.links > 0,
            damaged: false,
            loses: run.faults.loses_changes(),
            forgets_verdicts: run.faults.loses_verdicts(),
            steps: 0,
        }
    }

    /// Notes what the application asked for, before it is done.
    pub fn before(&mut self, world: &World, step: &Step) {
        let Step::Write { client, number, .. } = step else { return };
        let Some(status) = world.clients().gt(client).then(|| world.standing_of(*client)) else { return };
        let after = status.cursor.map(|cursor| (cursor.history.0, cursor.position));
        let written = Written { client: *client, life: world.life_of(*client), after, died: false };
        self.written.insert(format!("{client}-{number}"), written);
    }

    /// Looks at the world after a step.
    ///
    /// # Errors
    /// What must not be.
    pub fn after(&mut self, world: &mut World, step: Option<&Step>, outcome: Outcome) -> Result<(), Finding> {
        self.steps += 1;
        if let Some(Step::Write { client, number, .. }) = step {
            let id = format!("{client}-{number}");
            match outcome {
                Outcome::Written => {}
                Outcome::Died => drop(self.written.entry(id).and_modify(|written| written.died = true)),
                Outcome::Done | Outcome::Refused => drop(self.written.remove(&id)),
            }
        }
        self.server_ms = (self.server_ms.0.min(world.server_ms()), self.server_ms.1.max(world.server_ms()));
        self.doubt(world, step);
        handed(&world.take_handed())?;
        queued(world.queued_bytes())?;
        if !world.is_durable() {
            return Ok(());
        }
        self.take_log(world)?;
        let whole = self.steps.is_multiple_of(WHOLE_EVERY);
        for at in 0..self.clients.len() {
            let wrote = matches!(step, Some(Step::Write { client, .. }) if *client == at);
            self.client(world, at, whole || wrote)?;
        }
        if whole { self.ledger(world) } else { Ok(()) }
    }

    /// A connection carries frames in order (chapter 7). Where one loses, doubles, replays or reorders them, a base may differ
    /// until a mark tells (SYNC-20), and so may that of whoever takes it over.
    fn doubt(&mut self, world: &World, step: Option<&Step>) {
        let hit = match step {
            Some(Step::Lose(at, Way::Down) | Step::Duplicate(at, Way::Down)) => Some(*at),
            Some(Step::Reorder(at, Way::Down) | Step::Replay(at, Way::Down, _)) => Some(*at),
            Some(Step::Clone { client, .. } | Step::RestoreClient(client)) if self.damaged => return self.doubt_one(world, *client),
            _ => None,
        };
        let Some(hit) = hit else { return };
        self.damaged = true;
        match self.linked {
            true => (0..self.clients.len()).for_each(|at| self.doubt_one(world, at)),
            false => self.doubt_one(world, hit),
        }
    }

    /// Whether a connection to a client broke the order of what it carried.
    pub fn was_damaged(&self) -> bool {
        self.damaged
    }

    fn doubt_one(&mut self, world: &World, at: usize) {
        if at < self.clients.len() {
            self.clients[at].doubted = Some(world.standing_of(at).cursor.map_or(0, |cursor| cursor.position));
        }
    }

    fn take_log(&mut self, world: &World) -> Result<(), Finding> {
        if self.server_life != world.server_life() {
            self.server_life = world.server_life();
            self.log.rewind(&world.log_after(0));
            self.clients.iter_mut().for_each(|client| client.follower = Follower::default());
        }
        let times = std::mem::replace(&mut self.server_ms, (world.server_ms(), world.server_ms()));
        for logged in world.log_after(self.log.entries.len() as u64) {
            let position = logged.position;
            self.log.take(world.space(), logged, times, self.judged).map_err(|what| (Oracle::Log, what))?;
            self.order(position)?;
        }
        Ok(())
    }

    /// Writes follow reads: a change stands in the log behind all that its author had seen. (chapter 8)
    fn order(&self, position: u64) -> Result<(), Finding> {
        let Some(entry) = self.log.entries.last() else { return Ok(()) };
        let Some(change) = &entry.change else { return Ok(()) };
        for id in markers(change) {
            let Some(written) = self.written.get(id) else { continue };
            if let Some((_, after)) = written.after.filter(|(_, after)| *after >= position && !self.loses) {
                let what = format!("own/{id} of client {} stands at {position}, and its author had seen {after}", written.client);
                return Err((Oracle::Session, what));
            }
        }
        Ok(())
    }

    fn client(&mut self, world: &World, at: usize, whole: bool) -> Result<(), Finding> {
        let status = world.standing_of(at);
        let life = world.life_of(at);
        self.monotonic(world, at, &status, life)?;
        let valid = status.cursor.as_ref().filter(|cursor| self.knows(world, &cursor.history.0, cursor.position));
        let position = valid.map(|cursor| cursor.position).or(status.cursor.is_none().then_some(0));
        let Some(position) = position.filter(|_| self.modelled) else { return Ok(()) };
        let client = &mut self.clients[at];
        client.follower.go(&self.log, position);
        // SYNC-21: whoever claims to be in sync has compared.
        client.doubted = client.doubted.filter(|since| self.linked || !status.in_sync || position <= *since);
        if client.doubted.is_some() && !status.in_sync {
            return Ok(());
        }
        let seen = if whole { Some(world.seen(at)) } else { None };
        let Some(seen) = seen.filter(|seen| !seen.joining) else { return Ok(()) };
        if status.state == "streaming" {
            let due = client.follower.fingerprint(seen.wanted.as_deref());
            if due != status.fingerprint {
                let what = format!("client {at} claims {} at position {position}, and {} is due", hex(&status.fingerprint), hex(&due));
                return Err((Oracle::Fingerprint, what));
            }
        }
        view(&client.follower, at, position, &seen)?;
        self.vanished(at, life, &seen, world)
    }

    /// Whether the log that is watched holds this history up to there.
    fn knows(&self, world: &World, history: &[u8; 8], position: u64) -> bool {
        let all = world.histories();
        let Some(at) = all.iter().position(|(known, _)| known == history) else { return false };
        let end = all.get(at + 1).map_or(self.log.entries.len() as u64, |(_, first)| *first);
        position >= all[at].1 && position <= end
    }

    /// Monotonic reads: a position goes back only with another history, a reset or another store.
    fn monotonic(&mut self, world: &World, at: usize, status: &Status, life: u64) -> Result<(), Finding> {
        let now = status.cursor.as_ref().map(|cursor| (life, cursor.history.0, cursor.position));
        let resets = world.resets + world.behind_horizon;
        let client = &mut self.clients[at];
        let before = client.seen.filter(|_| client.resets == resets);
        (client.seen, client.resets) = (now, resets);
        match (before, now) {
            (Some((life, history, position)), Some(now)) if (life, history) == (now.0, now.1) && now.2 < position => {
                Err((Oracle::Session, format!("client {at} went back from position {position} to {}", now.2)))
            }
            _ => Ok(()),
        }
    }

    /// Explained disappearances.
    fn vanished(&mut self, at: usize, life: u64, seen: &Seen, world: &World) -> Result<(), Finding> {
        let names: BTreeSet<Name> = seen.records.iter().map(|(name, _)| (name.collection.clone(), name.id.clone())).collect();
        let before = self.clients[at].shown.replace((life, names.clone()));
        let Some((_, before)) = before.filter(|(then, _)| *then == life && !self.loses && world.resets == 0) else { return Ok(()) };
        for name in before.difference(&names) {
            let wanted = seen.wanted.as_ref().is_none_or(|wanted| wanted.contains(&name.0));
            let deletes = |change: &Change| change.rows.iter().any(|row| row.record == *name && row.life % 2 == 0);
            let deleted = self.log.entries.iter().filter_map(|entry| entry.change.as_ref()).any(deletes);
            let touches = |change: &syncline::change::Change, deletes: bool| {
                change.rows.iter().any(|row| row.record.collection == name.0 && row.record.id == name.1 && (!deletes || row.life % 2 == 0))
            };
            // Who held it for its author learns of the verdict, which the author's application sees.
            let refused = self.log.entries.iter().filter(|entry| entry.logged.code != 0).filter_map(|entry| entry.change.as_ref());
            let refused = refused.flat_map(|change| &change.rows).any(|row| row.record == *name);
            let own = seen.overlay.iter().any(|(_, change)| touches(change, true));
            let rejected = seen.rejections.iter().any(|rejection| touches(&rejection.change, false));
            if wanted && !deleted && !own && !rejected && !refused {
                return Err((Oracle::Vanished, format!("client {at} shows {}/{} no more, and nobody deleted it", name.0, name.1)));
            }
        }
        Ok(())
    }

    /// Each local change waits somewhere, is in the log once, or was visibly rejected: never none, never two.
    ///
    /// # Errors
    /// One that is not, or that counts twice.
    pub fn ledger(&self, world: &World) -> Result<(), Finding> {
        let mut logged: BTreeMap<&str, u64> = BTreeMap::new();
        for entry in self.log.entries.iter().filter(|entry| entry.logged.code == 0) {
            entry.change.iter().flat_map(markers).for_each(|id| *logged.entry(id).or_default() += 1);
        }
        let (mut waiting, mut rejected) = (BTreeSet::new(), BTreeSet::new());
        let own = |change: &syncline::change::Change| -> Vec<String> {
            change.rows.iter().filter(|row| row.record.collection == "own").map(|row| row.record.id.clone()).collect()
        };
        for at in 0..self.clients.len() {
            let seen = world.seen(at);
            waiting.extend(seen.overlay.iter().map(|(_, change)| change).chain(&seen.unsettled).flat_map(own));
            rejected.extend(seen.rejections.iter().flat_map(|rejection| own(&rejection.change)));
        }
        for (id, written) in &self.written {
            let times = logged.get(id.as_str()).copied().unwrap_or(0);
            let (waits, was_rejected) = (waiting.contains(id), rejected.contains(id));
            let who = format!("own/{id} of client {}", written.client);
            if times > 1 {
                return Err((Oracle::Ledger, format!("{who} is in the log {times} times")));
            }
            let left_behind = written.died || written.life != world.life_of(written.client);
            if times == 0 && !waits && !was_rejected && !self.loses && !left_behind {
                return Err((Oracle::Ledger, format!("{who} waits nowhere, is not in the log and was not rejected")));
            }
            if times == 1 && was_rejected && !self.forgets_verdicts {
                return Err((Oracle::Ledger, format!("{who} is in the log and was reported as rejected")));
            }
        }
        Ok(())
    }

    /// At rest: the whole log, every view, every change.
    ///
    /// # Errors
    /// What must not be.
    pub fn at_rest(&mut self, world: &mut World) -> Result<(), Finding> {
        self.take_log(world)?;
        for at in 0..self.clients.len() {
            self.client(world, at, true)?;
        }
        self.ledger(world)?;
        world.check_equal().map_err(|what| (Oracle::Equal, what))?;
        world.check_presence().map_err(|what| (Oracle::Equal, what))
    }
}

fn handed(frames: &[Handed]) -> Result<(), Finding> {
    for handed in frames {
        let tainted = handed.frame.windows(TAINT.len()).any(|bytes| bytes == TAINT.as_bytes());
        if !handed.may_read && tainted {
            return Err((Oracle::Taint, format!("client {} may not read, and is handed {}", handed.client, hex(&handed.frame))));
        }
    }
    Ok(())
}

fn queued(bytes: usize) -> Result<(), Finding> {
    match bytes {
        0..=QUEUED_BYTES_MAX => Ok(()),
        _ => Err((Oracle::Resources, format!("{bytes} bytes wait for one connection; allowed: {QUEUED_BYTES_MAX}"))),
    }
}

/// The names under which a change can be found again.
fn markers(change: &Change) -> impl Iterator<Item = &str> {
    change.rows.iter().filter(|row| row.record.0 == "own").map(|row| row.record.1.as_str())
}

/// Read your writes, and nothing but what was written: a client shows the model's state with its overlay laid over it.
fn view(follower: &Follower, at: usize, position: u64, seen: &Seen) -> Result<(), Finding> {
    let wrong = |what: String| (Oracle::View, format!("client {at} at position {position}: {what}"));
    if seen.status.held > 0 {
        // The order of changes that wait from several authors is the client's own affair. (PEER-16)
        return Ok(());
    }
    let overlay: Vec<(Replica, Change)> = seen
        .overlay
        .iter()
        .map(|(author, change)| Ok((author.0, parse(&change.literal())?.0)))
        .collect::<Result<_, String>>()
        .map_err(wrong)?;
    let due = follower.shown(seen.wanted.as_deref(), &overlay).map_err(wrong)?;
    let shown = |(name, view): &(syncline::change::RecordName, syncline::space::View)| {
        Ok(((name.collection.clone(), name.id.clone()), claimed(view)?))
    };
    let shown: BTreeMap<Name, Columns> = seen.records.iter().map(shown).collect::<Result<_, String>>().map_err(wrong)?;
    for name in due.keys().chain(shown.keys()) {
        let (due, shown) = (due.get(name), shown.get(name));
        if due != shown {
            return Err(wrong(format!("{}/{} shows {shown:?}, and {due:?} is due", name.0, name.1)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::swarm::draw;
    use super::*;

    /// A world in which a few changes are settled and seen by all, and what watches it.
    fn world() -> (World, Watch) {
        let run = draw(1, &["none".to_owned()]);
        let mut world = World::new(run.seed, run.setup.clone());
        let mut watch = Watch::new(&run, &world);
        for step in run.steps.iter().take(200) {
            watch.before(&world, step);
            let outcome = world.perform(step);
            watch.after(&mut world, Some(step), outcome).expect("nothing is planted");
        }
        (0..world.clients()).for_each(|client| world.serve_client(client));
        assert!(world.rest(1_000_000), "it comes to rest");
        watch.at_rest(&mut world).expect("nothing is planted");
        assert!(watch.log.entries.len() > 4 && watch.written.len() > 4);
        (world, watch)
    }

    fn oracle(finding: Result<(), Finding>) -> Option<Oracle> {
        finding.err().map(|(oracle, _)| oracle)
    }

    #[test]
    fn a_log_with_a_gap_another_link_another_verdict_or_a_doubled_change_is_found() {
        let (world, watch) = world();
        let entries = world.log_after(0);
        let spoil: [fn(&mut syncline::server::Logged); 4] =
            [|logged| logged.position += 1, |logged| logged.link = Some([0; 16]), |logged| logged.code = 33, |logged| logged.seq += 1];
        for spoil in spoil {
            let mut log = Log::default();
            let times = (0, world.server_ms());
            let mut first = entries[0].clone();
            spoil(&mut first);
            log.take(world.space(), first, times, true).expect_err("a planted fault");
            log = Log::default();
            log.take(world.space(), entries[0].clone(), times, true).expect("the entry as it is");
        }
        let mut doubled = watch;
        let copy = doubled.log.entries.iter().find(|entry| entry.logged.code == 0 && entry.change.is_some()).cloned();
        doubled.log.entries.extend(copy);
        assert_eq!(oracle(doubled.ledger(&world)), Some(Oracle::Ledger));
    }

    #[test]
    fn a_change_that_is_nowhere_is_found() {
        let (world, mut watch) = world();
        let lost = Written { client: 0, life: world.life_of(0), after: None, died: false };
        watch.written.insert("0-lost".to_owned(), lost);
        assert_eq!(oracle(watch.ledger(&world)), Some(Oracle::Ledger));
    }

    #[test]
    fn a_view_that_shows_something_else_is_found() {
        let (world, mut watch) = world();
        let mut seen = world.seen(0);
        let position = watch.log.entries.len() as u64;
        watch.clients[0].follower.go(&watch.log, position);
        assert_eq!(oracle(view(&watch.clients[0].follower, 0, position, &seen)), None);
        seen.records.pop();
        assert_eq!(oracle(view(&watch.clients[0].follower, 0, position, &seen)), Some(Oracle::View));
    }

    #[test]
    fn a_base_that_differs_from_what_it_claims_is_found() {
        let (mut world, mut watch) = world();
        let record = world.seen(0).records.first().map(|(name, _)| name.clone()).expect("something shows");
        world.perform(&Step::Spoil(0, record, None));
        assert_eq!(oracle(watch.client(&world, 0, true)), Some(Oracle::Fingerprint));
        assert_eq!(oracle(world.check_equal().map_err(|what| (Oracle::Equal, what))), Some(Oracle::Equal));
    }

    #[test]
    fn a_position_that_goes_back_and_a_change_before_what_its_author_saw_are_found() {
        let (world, mut watch) = world();
        let (life, history, position) = watch.clients[0].seen.expect("it has a cursor");
        watch.clients[0].seen = Some((life, history, position + 1));
        assert_eq!(oracle(watch.client(&world, 0, false)), Some(Oracle::Session));
        let (_, mut watch) = self::world();
        watch.written.values_mut().for_each(|written| written.after = Some((history, u64::MAX)));
        watch.log.entries.retain(|entry| entry.change.as_ref().is_some_and(|change| markers(change).next().is_some()));
        assert_eq!(oracle(watch.order(1)), Some(Oracle::Session));
    }

    #[test]
    fn a_record_that_vanished_without_a_reason_is_found() {
        let (world, mut watch) = world();
        let (_, shown) = watch.clients[0].shown.as_mut().expect("it was looked at");
        shown.insert(("own".to_owned(), "never-deleted".to_owned()));
        let seen = world.seen(0);
        assert_eq!(oracle(watch.vanished(0, world.life_of(0), &seen, &world)), Some(Oracle::Vanished));
    }

    #[test]
    fn a_value_for_who_may_not_read_and_a_queue_without_bound_are_found() {
        let frame = format!("..{TAINT}..").into_bytes();
        let told = |may_read| oracle(handed(&[Handed { client: 0, may_read, frame: frame.clone() }]));
        assert_eq!((told(true), told(false)), (None, Some(Oracle::Taint)));
        assert_eq!((oracle(queued(QUEUED_BYTES_MAX)), oracle(queued(QUEUED_BYTES_MAX + 1))), (None, Some(Oracle::Resources)));
    }

    #[test]
    fn a_world_that_does_not_come_to_rest_is_seen_not_to() {
        let (mut world, _) = world();
        let marked = syncline::client::Write::Put { collection: "shared".into(), id: "r0".into(), fields: Vec::new() };
        world.perform(&Step::Write { client: 0, number: 9_999, wanted: marked });
        world.perform(&Step::OneWay(0, Way::Up));
        assert!(!world.rest_a_while(u64::MAX), "its change cannot have arrived");
    }
}
