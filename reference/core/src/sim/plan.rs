//! What a run is made of: steps drawn from a seed, by what may go wrong and how often.

use super::faults::Faults;
use super::step::{Disk, Step, Way};
use crate::change::RecordName;
use crate::client::{Edit, Write};
use crate::entropy::Entropy;
use crate::server::Right;
use crate::value::Value;

/// What clients subscribe; none: all.
pub const SUBSCRIPTIONS: [Option<&[&str]>; 5] = [None, Some(&["own"]), Some(&["shared"]), Some(&["own", "shared"]), Some(&["empty"])];
/// The longest that one ordinary step waits, in milliseconds.
const WAIT_MS_MAX: u64 = 60_000;

/// The steps of phase 1: `rounds` times something ordinary, and perhaps trouble.
pub fn plan(dice: &mut Entropy, faults: &Faults, clients: usize, rounds: u64) -> Vec<Step> {
    let mut steps = Vec::new();
    for number in 0..rounds {
        let client = dice.below(clients as u64) as usize;
        act(dice, &mut steps, (client, clients), number);
        trouble(dice, &mut steps, faults, clients);
        if faults.links > 0 {
            wander(dice, &mut steps, clients, faults.links);
        }
    }
    steps
}

fn way(dice: &mut Entropy) -> Way {
    if dice.below(2) == 0 { Way::Up } else { Way::Down }
}

/// One ordinary thing happens: a write, a delivery, or time passes.
fn act(dice: &mut Entropy, steps: &mut Vec<Step>, (client, clients): (usize, usize), number: u64) {
    match dice.below(10) {
        0..3 => steps.push(Step::Write { client, number, wanted: wanted(dice, client, number) }),
        3 if dice.below(8) == 0 => {
            let payload = (dice.below(4) > 0).then(|| number.to_be_bytes().to_vec());
            steps.push(Step::Present(client, payload));
        }
        3..8 => {
            for _ in 0..=dice.below(6) {
                let link = dice.below(clients as u64) as usize;
                steps.push(Step::Deliver(link, way(dice)));
            }
        }
        _ => {
            let ms = match dice.below(20) {
                0 => dice.below(WAIT_MS_MAX),
                _ => dice.below(400),
            };
            steps.push(Step::Pass(ms));
        }
    }
    if dice.below(8) == 0 {
        steps.push(Step::Snapshot);
    }
}

/// A write to one of a few records that all write.
fn wanted(dice: &mut Entropy, client: usize, number: u64) -> Write {
    let marker = Value::Text(format!("{client}-{number}"));
    let RecordName { collection, id } = shared(dice);
    let field = format!("f{}", dice.below(3));
    let value = (dice.below(5) > 0).then(|| marker.clone());
    match dice.below(9) {
        0 => Write::Delete { collection, id },
        1..4 => Write::Edit { collection, id, edits: vec![(field, edit(dice, &marker))] },
        _ => Write::Put { collection, id, fields: vec![(field, value)] },
    }
}

fn shared(dice: &mut Entropy) -> RecordName {
    RecordName { collection: "shared".into(), id: format!("r{}", dice.below(6)) }
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

/// Perhaps something goes wrong: each kind by its chance.
fn trouble(dice: &mut Entropy, steps: &mut Vec<Step>, faults: &Faults, clients: usize) {
    let mut hit = |chance: u64, make: fn(&mut Entropy, usize, usize) -> Step| {
        if chance > 0 && dice.below(1_000) < chance {
            let (client, other) = (dice.below(clients as u64) as usize, dice.below(clients as u64) as usize);
            steps.push(make(dice, client, other));
        }
    };
    hit(faults.cut, |_, client, _| Step::Cut(client));
    hit(faults.cut_catch_up, |_, _, _| Step::CutCatchUp);
    hit(faults.half_open, |dice, client, _| Step::HalfOpen(client, way(dice)));
    hit(faults.one_way, |dice, client, _| Step::OneWay(client, way(dice)));
    hit(faults.stall, |dice, client, _| Step::Stall(client, dice.below(WAIT_MS_MAX)));
    hit(faults.lose, |dice, client, _| Step::Lose(client, way(dice)));
    hit(faults.duplicate, |dice, client, _| Step::Duplicate(client, way(dice)));
    hit(faults.reorder, |dice, client, _| Step::Reorder(client, way(dice)));
    hit(faults.replay, |dice, client, _| Step::Replay(client, way(dice), dice.below(24) as usize));
    hit(faults.batch, |dice, _, _| Step::Batch(1 + dice.below(12)));
    hit(faults.crash_server, |_, _, _| Step::CrashServer);
    hit(faults.crash_client, |_, client, _| Step::CrashClient(client));
    hit(faults.disk, |dice, client, _| {
        let disk = [Disk::Fails, Disk::DiesBefore, Disk::DiesAfter][dice.below(3) as usize];
        if dice.below(3) == 0 { Step::ServerDisk(disk) } else { Step::ClientDisk(client, disk) }
    });
    hit(faults.clone, |_, client, from| Step::Clone { client, from });
    hit(faults.restore_client, |_, client, _| Step::RestoreClient(client));
    hit(faults.restore_server, |_, _, _| Step::RestoreServer);
    hit(faults.spoil, |dice, client, _| {
        let (record, field) = (shared(dice), dice.below(4));
        Step::Spoil(client, record, (field > 0).then(|| format!("f{}", field - 1)))
    });
    hit(faults.jump, |dice, _, _| Step::Pass(dice.below(2 * WAIT_MS_MAX)));
    hit(faults.skew, |dice, client, _| Step::Skew(client, dice.below(2 * 7_200_000) as i64 - 7_200_000));
    hit(faults.freeze, |dice, client, _| Step::Freeze(client, dice.below(2) == 0));
    hit(faults.skew_server, |dice, _, _| Step::SkewServer(dice.below(1_200_000) as i64 - 600_000));
    hit(faults.subscribe, |dice, client, _| {
        let names = SUBSCRIPTIONS[dice.below(SUBSCRIPTIONS.len() as u64) as usize];
        Step::Subscribe(client, names.map(|names| names.iter().map(ToString::to_string).collect()))
    });
    hit(faults.rights, |dice, client, _| match dice.below(6) {
        0 => Step::Grant(client, Right::None),
        1 => Step::Grant(client, Right::Read),
        2 => Step::Grant(client, Right::Write),
        3 => Step::Revoke(client, dice.below(2) == 0),
        4 => Step::Expire(client, dice.below(WAIT_MS_MAX)),
        _ => Step::Renew(client),
    });
    hit(faults.retain, |dice, _, _| Step::Retain([0, 5_000, 30_000, 120_000][dice.below(4) as usize]));
    hit(faults.purge, |dice, _, _| Step::Purge(shared(dice)));
    hit(faults.start, |_, client, _| Step::Start(client));
}

/// Links come and go, and carry.
fn wander(dice: &mut Entropy, steps: &mut Vec<Step>, clients: usize, chance: u64) {
    let (a, b) = (dice.below(clients as u64) as usize, dice.below(clients as u64) as usize);
    if dice.below(1_000) < chance {
        steps.push(Step::Wire(a, b));
    }
    if dice.below(1_000) < chance / 3 {
        steps.push(Step::CutWire(dice.below(8) as usize));
    }
    if dice.below(2) == 0 {
        for at in 0..clients {
            steps.push(Step::DeliverWire(at + dice.below(2) as usize, dice.below(2) as usize));
        }
    }
}
