//! Writes a run as a scenario of the role both, in the verbs of the suite's README. What has no verb is said in a comment.

use std::collections::VecDeque;

use syncline::change::RecordName;
use syncline::client::{Edit, Write};
use syncline::sim::{Outcome, Step, TAINT, Way, World};
use syncline::value::Value;

use super::model::hex;
use super::swarm::Run;
use super::watch::Violation;
use crate::cbor::{Item, decode};
use crate::edn::print;

/// Copies of each store that a world keeps.
const COPIES_MAX: usize = 8;

/// A failing run as a scenario file.
pub fn scenario(run: &Run, violation: &Violation) -> String {
    let mut lines = vec![
        format!("# {:?}: {}", violation.oracle, violation.what.replace('\n', "; ")),
        format!("# Seed {}, faults {}.", run.seed, run.kinds.join(",")),
        format!(
            "# Parts of {} bytes, {} changes in memory, credit of {}, deletions remembered for {} ms (0: for ever), profiles {}.",
            run.setup.part_bytes_max,
            run.setup.tail_changes_max,
            run.setup.credit_bytes,
            run.setup.retention_ms,
            run.setup.profiles.names().join(" ")
        ),
        "covers MERGE-12".to_owned(),
        "level L3".to_owned(),
        "role both".to_owned(),
        String::new(),
    ];
    for (client, served) in run.setup.served.iter().enumerate() {
        lines.push(format!("hold {}", name(client)));
        lines.push(format!("client {}{}", name(client), if *served { "" } else { " apart" }));
    }
    lines.extend(steps(run));
    for client in 0..run.setup.served.len() {
        lines.push(format!("release {}", name(client)));
        lines.push(format!("heal {}", name(client)));
    }
    lines.push("settle".to_owned());
    lines.extend((1..run.setup.served.len()).map(|client| format!("same a {}", name(client))));
    lines.push(String::new());
    lines.join("\n")
}

fn name(client: usize) -> char {
    char::from(b'a' + client as u8)
}

/// The steps, each as it went: a write that its client refused is not written.
fn steps(run: &Run) -> Vec<String> {
    let mut world = World::new(run.seed, run.setup.clone());
    let mut copies: VecDeque<usize> = VecDeque::new();
    let mut lines = Vec::new();
    for (at, step) in run.steps.iter().enumerate() {
        let shows = shows(&world, step);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.perform(step)));
        let written = !matches!(outcome, Ok(Outcome::Refused));
        match step {
            Step::Write { .. } if !written => {}
            Step::Write { client, number, wanted } => lines.push(write(*client, *number, shows.then_some(wanted))),
            Step::Snapshot => {
                copies.push_back(at);
                if copies.len() > COPIES_MAX {
                    copies.pop_front();
                }
                lines.push(format!("save server copy{at}"));
                lines.extend((0..world.clients()).map(|client| format!("save {} copy{at}", name(client))));
            }
            Step::RestoreServer => lines.extend(copies.pop_front().map(|copy| format!("load server copy{copy}"))),
            Step::RestoreClient(client) => {
                lines.extend(copies.front().map(|copy| format!("load {} copy{copy}", name(*client))));
                lines.push(format!("{} start", name(*client)));
            }
            other => lines.extend(line(other)),
        }
        if outcome.is_err() {
            break;
        }
    }
    lines
}

/// Whether the client can take what a write wants besides its own record.
fn shows(world: &World, step: &Step) -> bool {
    let Step::Write { client, wanted, .. } = step else { return true };
    let seen = world.seen(*client);
    let covered = seen.wanted.is_none_or(|names| names.iter().any(|name| name == "shared"));
    let Write::Delete { collection, id } = wanted else { return covered };
    covered && seen.records.iter().any(|(record, _)| record == &RecordName { collection: collection.clone(), id: id.clone() })
}

/// A step as lines of a scenario.
fn line(step: &Step) -> Vec<String> {
    let way = |way: &Way| if *way == Way::Up { "up" } else { "down" };
    let one = match step {
        Step::Deliver(client, towards) => format!("carry {} {}", name(*client), way(towards)),
        Step::Pass(ms) => format!("clock +{ms}"),
        Step::Present(client, Some(payload)) => format!("{} present h'{}'", name(*client), hex(payload)),
        Step::Present(client, None) => format!("{} present null", name(*client)),
        Step::Subscribe(client, None) => format!("{} subscribe null", name(*client)),
        Step::Subscribe(client, Some(names)) => format!("{} subscribe {names:?}", name(*client)),
        Step::Start(client) | Step::Renew(client) => format!("{} start", name(*client)),
        Step::Cut(client) => format!("cut {}", name(*client)),
        Step::CrashServer => "crash server".to_owned(),
        Step::CrashClient(client) => return vec![format!("crash {}", name(*client)), format!("{} start", name(*client))],
        Step::Clone { client, from } => format!("clone {} {}", name(*from), name(*client)),
        Step::Skew(client, ms) => format!("wall {} {}{ms}", name(*client), if *ms < 0 { "" } else { "+" }),
        Step::Spoil(client, record, field) => {
            let field = field.as_ref().map_or(String::new(), |field| format!(" {field}"));
            format!("{} spoil {}/{}{field}", name(*client), record.collection, record.id)
        }
        Step::Retain(ms) if *ms > 0 => format!("retention {{\"ms\": {ms}, \"positions\": 4}}"),
        Step::Purge(record) => format!("purge {}/{}", record.collection, record.id),
        Step::Wire(a, b) if a != b => format!("link {} {}", name(*a), name(*b)),
        other => format!("# no verb: {other:?}"),
    };
    vec![one]
}

fn write(client: usize, number: u64, wanted: Option<&Write>) -> String {
    let own = format!("own/{client}-{number} {{\"by\": \"{TAINT}{client}-{number}\"}}");
    let sum = "sum/all {} {\"changes\": {\"counter\": 1}}";
    let wanted = wanted.map(row).map_or(String::new(), |row| format!(" and {row}"));
    format!("{} write {own} and {sum}{wanted}", name(client))
}

fn row(write: &Write) -> String {
    match write {
        Write::Delete { collection, id } => format!("delete {collection}/{id}"),
        Write::Put { collection, id, fields } => {
            let fields: Vec<String> = fields.iter().map(|(field, value)| format!("{field:?}: {}", edn(value.as_ref()))).collect();
            format!("{collection}/{id} {{{}}}", fields.join(", "))
        }
        Write::Edit { collection, id, edits } => {
            let edits: Vec<String> = edits.iter().map(|(field, one)| format!("{field:?}: {{{}}}", edit(one))).collect();
            format!("{collection}/{id} {{}} {{{}}}", edits.join(", "))
        }
    }
}

fn edit(edit: &Edit) -> String {
    match edit {
        Edit::Add(amount) => format!("\"counter\": {amount}"),
        Edit::Max(value) => format!("\"max\": {}", edn(Some(value))),
        Edit::Min(value) => format!("\"min\": {}", edn(Some(value))),
        Edit::Elements(all) => {
            let pairs: Vec<String> = all.iter().map(|(value, is)| format!("[{}, {is}]", edn(Some(value)))).collect();
            format!("\"set\": [{}]", pairs.join(", "))
        }
        Edit::Entries(all) => {
            let pairs: Vec<String> = all.iter().map(|(key, value)| format!("{key:?}: {}", edn(value.as_ref()))).collect();
            format!("\"map\": {{{}}}", pairs.join(", "))
        }
        Edit::Values(all) => format!("\"multi\": [{}]", all.iter().map(|value| edn(Some(value))).collect::<Vec<_>>().join(", ")),
    }
}

fn edn(value: Option<&Value>) -> String {
    print(&value.map_or(Item::Undefined, |value| decode(&value.encoded()).unwrap_or(Item::Undefined)))
}
