//! A seeded world: a server and clients, a network, disks and clocks, in one thread.
//!
//! One seed, one run, byte for byte. Phase 1 does damage; phase 2 heals the network and demands that everything becomes equal.

pub mod hostile;
mod peers;
mod wires;
mod world;

use std::collections::BTreeMap;

use crate::change::RecordName;
use crate::client::{Edit, Write};
use crate::entropy::Entropy;
use crate::value::Value;
use world::World;

pub use peers::{Gathering, run_peers};

/// What may go wrong, and how often: chances in a thousand for each step.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// A connection is cut; what was under way is lost.
    pub cut: u64,
    /// A connection is cut after a part of a catch-up, with more to come.
    pub cut_catch_up: u64,
    /// A client reads nothing for up to a minute.
    pub stall: u64,
    /// A frame is lost without the connection noticing.
    pub lose: u64,
    /// A frame arrives twice.
    pub duplicate: u64,
    /// Two frames change places.
    pub reorder: u64,
    /// The server loses what was not committed, and starts again.
    pub crash_server: u64,
    /// A client loses what was not committed, and starts again.
    pub crash_client: u64,
    /// A client's clock jumps by up to two hours.
    pub skew: u64,
    /// A client syncs other collections from now on.
    pub subscribe: u64,
    /// A client's store becomes a copy of another's, both live.
    pub clone: u64,
    /// A client's store becomes what it was some time ago.
    pub restore_client: u64,
    /// The server's store becomes what it was some time ago.
    pub restore_server: u64,
    /// A client's base comes to differ in one place.
    pub spoil: u64,
    /// A long time passes, up to two minutes.
    pub jump: u64,
    /// For how long the server remembers deletions, in milliseconds; 0: for ever.
    pub retention_ms: u64,
}

impl Faults {
    /// What networks, processes and clocks do. A transport is ordered and reliable: what it loses, it loses by a cut.
    pub fn common() -> Self {
        Self { cut: 12, duplicate: 4, crash_server: 3, crash_client: 5, skew: 3, ..Self::default() }
    }

    /// The common faults, readers that stall, and catch-ups that are cut where they are.
    pub fn slow_readers() -> Self {
        Self { cut_catch_up: 150, stall: 12, ..Self::common() }
    }

    /// The common faults over a transport that breaks its word. A rejection that it loses can pass for an acceptance,
    /// so a change may go; the states become equal all the same.
    pub fn broken_transport() -> Self {
        Self { lose: 4, reorder: 4, ..Self::common() }
    }

    /// The common faults, catch-ups that are cut, and clients that change what they subscribe at any moment.
    pub fn subscribers() -> Self {
        Self { subscribe: 25, cut_catch_up: 20, stall: 5, ..Self::common() }
    }

    /// The common faults, and clients that are cloned and restored.
    pub fn identity() -> Self {
        Self { clone: 2, restore_client: 2, ..Self::common() }
    }

    /// All faults, with a server that forgets what it had acknowledged.
    pub fn forgetful() -> Self {
        Self { restore_server: 2, ..Self::identity() }
    }

    /// The common faults, and a server that forgets deletions while readers come, go and lag.
    pub fn short_memory() -> Self {
        Self { jump: 40, retention_ms: 30_000, ..Self::common() }
    }

    /// The common faults, and bases that come to differ.
    pub fn spoilt() -> Self {
        Self { spoil: 8, ..Self::common() }
    }

    /// Whether a store may go that held the only copy of a change.
    fn loses_changes(&self) -> bool {
        self.clone + self.restore_client + self.restore_server + self.lose + self.reorder > 0
    }

    /// Whether a verdict that an application saw may be forgotten and given anew.
    fn loses_verdicts(&self) -> bool {
        self.restore_server > 0
    }
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Local writes made.
    pub writes: u64,
    /// Positions in the server's log at the end.
    pub positions: u64,
    /// Catch-ups that were cut after a part.
    pub resumed: u64,
    /// Frames delivered.
    pub frames: u64,
    /// Rejections that applications saw.
    pub rejections: u64,
    /// Cells and lives that the server keeps only to say that something is gone.
    pub gone: u64,
    /// Catch-ups that replaced a base since its cursor lay before the horizon.
    pub behind_horizon: u64,
    /// Catch-ups that replaced a base for another reason.
    pub resets: u64,
}

/// What a run showed that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The seed that shows it again.
    pub seed: u64,
    /// What was seen.
    pub what: String,
}

/// What clients subscribe; none: all.
const SUBSCRIPTIONS: [Option<&[&str]>; 5] = [None, Some(&["own"]), Some(&["shared"]), Some(&["own", "shared"]), Some(&["empty"])];
/// Steps of phase 1.
const STEPS: u64 = 400;
/// Virtual time within which phase 2 must come to rest, in milliseconds.
const REST_MS: u64 = 20 * 60 * 1_000;

/// Runs one seed.
///
/// # Errors
/// Where the replicas do not become equal in time, or a change is lost or applied twice.
pub fn run(seed: u64, faults: &Faults) -> Result<Report, Violation> {
    let mut dice = Entropy::from_u64(seed);
    let clients = 2 + dice.below(4) as usize;
    let mut world = World::new(seed, clients, faults.retention_ms);
    let mut ledger = Ledger::default();
    for step in 0..STEPS {
        act(&mut world, &mut dice, &mut ledger, step);
        damage(&mut world, &mut dice, faults);
    }
    world.heal();
    // Someone has to see all, for the others to be compared with.
    world.subscribe(0, None);
    let violation = |what: String| Violation { seed, what };
    if !world.rest(REST_MS) {
        return Err(violation(format!("not in sync after {REST_MS} ms: {}", world.standing())));
    }
    world.check_equal().map_err(violation)?;
    world.check_presence().map_err(violation)?;
    // A deletion that only its reader remembers hides a new creation until the next mark, which repairs it (rationale, open questions).
    let repairs = faults.spoil > 0 || faults.retention_ms > 0;
    if !faults.loses_changes() && !repairs {
        world.check_unrepaired().map_err(violation)?;
    }
    ledger.check(&world, faults).map_err(violation)?;
    Ok(Report {
        writes: ledger.written,
        positions: world.log().len() as u64,
        resumed: world.resumed,
        frames: world.frames,
        rejections: world.rejections,
        gone: world.gone(),
        behind_horizon: world.behind_horizon,
        resets: world.resets,
    })
}

/// One ordinary thing happens: a write, a delivery, or time passes.
fn act(world: &mut World, dice: &mut Entropy, ledger: &mut Ledger, step: u64) {
    let client = dice.below(world.clients() as u64) as usize;
    match dice.below(10) {
        0..3 => ledger.write(world, dice, client, step),
        3 if dice.below(8) == 0 => world.present(client, (dice.below(4) > 0).then(|| step.to_be_bytes().to_vec())),
        3..8 => {
            for _ in 0..=dice.below(6) {
                let link = dice.below(world.clients() as u64) as usize;
                world.deliver(link, dice.below(2) == 0);
            }
        }
        _ => {
            let ms = match dice.below(20) {
                0 => dice.below(60_000),
                _ => dice.below(400),
            };
            world.pass(ms);
        }
    }
    if dice.below(8) == 0 {
        world.snapshot();
    }
}

fn damage(world: &mut World, dice: &mut Entropy, faults: &Faults) {
    let client = dice.below(world.clients() as u64) as usize;
    let other = dice.below(world.clients() as u64) as usize;
    let up = dice.below(2) == 0;
    let mut hits = |chance: u64| dice.below(1_000) < chance;
    if hits(faults.cut) {
        world.cut(client);
    }
    if hits(faults.cut_catch_up) {
        world.cut_catch_up();
    }
    if hits(faults.stall) {
        let ms = u64::from(client as u32 + 1) * 12_000;
        world.stall(client, ms);
    }
    if hits(faults.lose) {
        world.lose(client, up);
    }
    if hits(faults.duplicate) {
        world.duplicate(client, up);
    }
    if hits(faults.reorder) {
        world.reorder(client, up);
    }
    if hits(faults.crash_server) {
        world.crash_server();
    }
    if hits(faults.crash_client) {
        world.crash_client(client);
    }
    if hits(faults.clone) && client != other {
        world.clone_client(client, other);
    }
    if hits(faults.restore_client) {
        world.restore_client(client);
    }
    if hits(faults.restore_server) {
        world.restore_server();
    }
    let subscribes = hits(faults.subscribe);
    if faults.spoil > 0 && hits(faults.spoil) {
        world.spoil(client);
    }
    if faults.jump > 0 && dice.below(1_000) < faults.jump {
        world.pass(dice.below(120_000));
    }
    if dice.below(1_000) < faults.skew {
        let ms = dice.below(2 * 7_200_000) as i64 - 7_200_000;
        world.skew(client, ms);
    }
    if subscribes {
        let at = dice.below(SUBSCRIPTIONS.len() as u64) as usize;
        world.subscribe(client, SUBSCRIPTIONS[at]);
    }
}

/// A write under one of the further rules.
fn edit(dice: &mut Entropy, marker: &Value) -> Edit {
    let element = Value::Int(dice.below(4) as i64);
    match dice.below(6) {
        0 => Edit::Add(dice.below(9) as i64 - 10),
        1 => Edit::Max(marker.clone()),
        2 => Edit::Min(marker.clone()),
        3 => Edit::Elements(vec![(element, dice.below(3) > 0)]),
        4 => Edit::Entries(vec![(format!("k{}", dice.below(3)), (dice.below(3) > 0).then(|| marker.clone()))]),
        _ => Edit::Values(if dice.below(4) == 0 { Vec::new() } else { vec![marker.clone(), element] }),
    }
}

/// What was written, to be found again once each.
#[derive(Default)]
struct Ledger {
    written: u64,
    /// Records that only one change ever writes, with the value it wrote.
    own: BTreeMap<RecordName, Value>,
}

impl Ledger {
    fn write(&mut self, world: &mut World, dice: &mut Entropy, client: usize, step: u64) {
        let marker = Value::Text(format!("{client}-{step}"));
        let id = format!("r{}", dice.below(6));
        let field = format!("f{}", dice.below(3));
        let own = RecordName { collection: "own".into(), id: format!("{client}-{step}") };
        let value = (dice.below(5) > 0).then(|| marker.clone());
        let shared = match dice.below(9) {
            0 => Write::Delete { collection: "shared".into(), id },
            1..4 => Write::Edit { collection: "shared".into(), id, edits: vec![(field, edit(dice, &marker))] },
            _ => Write::Put { collection: "shared".into(), id, fields: vec![(field, value)] },
        };
        let fields = vec![("by".to_owned(), Some(marker.clone()))];
        let noted = Write::Put { collection: own.collection.clone(), id: own.id.clone(), fields };
        // Counts the changes: one that has an effect twice, or in part, shows in the sum. (RULES-9)
        let counted = Write::Edit { collection: "sum".into(), id: "all".into(), edits: vec![("changes".into(), Edit::Add(1))] };
        if world.write(client, &[shared, noted.clone(), counted.clone()]) || world.write(client, &[noted, counted]) {
            self.written += 1;
            self.own.insert(own, marker);
        }
    }

    /// Every write is in the log once, or was rejected visibly: never none, never two.
    fn check(&self, world: &World, faults: &Faults) -> Result<(), String> {
        let (sum, shown) = world.counted();
        if sum != shown {
            return Err(format!("the counter of changes shows {sum} where {shown} changes show"));
        }
        let mut seen: BTreeMap<&RecordName, u64> = BTreeMap::new();
        let log = world.log();
        for change in &log {
            for row in change.rows.iter().filter(|row| row.record.collection == "own") {
                *seen.entry(&row.record).or_default() += 1;
            }
        }
        for record in self.own.keys() {
            let times = seen.get(record).copied().unwrap_or(0);
            let rejected = world.rejected.contains(record);
            if times > 1 {
                let names = log.iter().filter(|change| change.rows.iter().any(|row| row.record == *record));
                let names: Vec<_> = names.map(|change| (change.seq, change.reading, &change.origin)).collect();
                return Err(format!("{record:?} was applied {times} times, as {names:?}"));
            }
            if times == 0 && !rejected && !faults.loses_changes() {
                return Err(format!("{record:?} was lost"));
            }
            if times == 1 && rejected && !faults.loses_verdicts() {
                return Err(format!("{record:?} was applied and reported as rejected"));
            }
        }
        Ok(())
    }
}
