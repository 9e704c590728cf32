//! The oracle agrees with the vectors, with the laws of a join, and with the reference.
#![allow(clippy::unwrap_used, clippy::field_reassign_with_default, reason = "a test stops where its files are not as it says")]

mod common;

use std::collections::BTreeMap;

use common::{Case, change, reading, replica, state, vectors};
use proptest::prelude::*;
use syncline::change::{Change as CoreChange, Op as CoreOp, Payload, RecordName, Row as CoreRow};
use syncline::clock::{Reading as CoreReading, Replica as CoreReplica};
use syncline::codec::Reader;
use syncline::rules::State as CoreCell;
use syncline::space::Space as CoreSpace;
use syncline::store::MemoryStore;
use syncline::value::Value;
use syncline_conformance::cbor::{Item, encode};
use syncline_conformance::oracle::{self, Cell, Change, Op, Record, Replica, Row, Space, State, apply_change, dump, fingerprint, join};

const SERVER_MS: u64 = 1_000_000;

#[test]
fn the_oracle_computes_what_the_vectors_say() {
    for vector in vectors() {
        let Case::Computed { given, expected } = &vector.case else { continue };
        let name = format!("{}/{}", vector.kind, vector.name);
        let given = given.items();
        match vector.kind.as_str() {
            "merge" => {
                let mut merged = state(given[0].items());
                for (index, entry) in given[1].items().iter().enumerate() {
                    apply_change(&mut merged, replica(&entry.items()[0]), &change(index as u64 + 1, &entry.items()[1..]));
                }
                assert_eq!(dump(&merged), dump(&state(expected.items())), "{name}");
            }
            "join" => {
                let (one, other) = (state(given[0].items()), state(given[1].items()));
                assert_eq!(join(&one, &other), state(expected.items()), "{name}");
                assert_eq!(join(&other, &one), state(expected.items()), "{name}, turned round");
            }
            "admit" => {
                let [now, records, entry] = given else { panic!("{name}: three things are given") };
                let mut space = Space::default();
                space.state = state(records.items());
                let code = space.apply(now.as_u64().unwrap(), replica(&entry.items()[0]), &change(2, &entry.items()[1..]));
                assert_eq!(Some(code), expected.as_u64(), "{name}");
            }
            "fingerprint" => assert_eq!(expected.as_bytes(), Some(&fingerprint(&state(given))[..]), "{name}"),
            "link" => assert_eq!(*expected, links(given), "{name}"),
            "clock" => {}
            other => panic!("{other} is no kind"),
        }
    }
}

fn links(given: &[Item]) -> Item {
    let [space, replica_id, base, changes] = given else { panic!("four things are given") };
    let mut link = oracle::start_link(space.as_text().unwrap(), &replica(replica_id));
    let mut all = vec![Item::Bytes(link.to_vec())];
    for pushed in changes.items() {
        let hash = match pushed.items() {
            [_, Item::Bytes(hash)] => hash.as_slice().try_into().unwrap(),
            pushed => sha256(&encode(&literal(base.as_u64().unwrap(), pushed))),
        };
        link = oracle::next_link(&link, &hash);
        all.push(Item::Bytes(link.to_vec()));
    }
    Item::Array(all)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).into()
}

/// The literal change of a pushed one. (chapter 6)
fn literal(base: u64, pushed: &[Item]) -> Item {
    let absolute = |stamp: &Item| match stamp.items() {
        [Item::Int(ms), counter] => vec![Item::Int(ms + i128::from(base)), counter.clone()],
        _ => match stamp {
            Item::Int(ms) => vec![Item::Int(ms + i128::from(base)), Item::Int(0)],
            other => panic!("{other:?} is no stamp"),
        },
    };
    let row = |row: &Item| {
        let (life, ops) = match &row.items()[1..] {
            [Item::Int(0), life, ops @ ..] => (life.clone(), ops),
            ops => (Item::Int(1), ops),
        };
        let mut literal = vec![row.items()[0].clone(), life];
        for pair in ops.chunks(2) {
            let mut column = pair[0].items().to_vec();
            if let Some(after) = column.get_mut(2) {
                *after = Item::Array(absolute(after));
            }
            literal.extend([Item::Array(column), pair[1].clone()]);
        }
        Item::Array(literal)
    };
    let (rows, map): (Vec<&Item>, Vec<&Item>) = pushed[2..].iter().partition(|item| matches!(item, Item::Array(_)));
    let map = map.first().map_or(Item::Map(Vec::new()), |map| (*map).clone());
    let mut change = vec![pushed[0].clone()];
    change.extend(absolute(&pushed[1]));
    change.extend([Item::Array(rows.into_iter().map(row).collect()), map]);
    Item::Array(change)
}

// ---- random logs ------------------------------------------------------------

fn any_value() -> impl Strategy<Value = Item> {
    let items = prop_oneof![
        Just(Item::Null),
        any::<bool>().prop_map(Item::Bool),
        (-300i128..300).prop_map(Item::Int),
        "[a-c]{0,3}".prop_map(Item::Text),
        Just(Item::Float(1.5)),
        Just(Item::Array(vec![Item::Int(1), Item::Text("x".into())])),
    ];
    prop_oneof![4 => items, 1 => Just(Item::Undefined)]
}

fn any_reading() -> impl Strategy<Value = (u64, u16)> {
    prop_oneof![8 => (0u64..6, 0u16..3), 1 => Just((4, u16::MAX)), 1 => (SERVER_MS + 300_000..SERVER_MS + 300_003, 0u16..2)]
}

/// A row without its record: its life, and its ops by field.
type Ops = (u64, BTreeMap<String, Op>);

fn any_row(after: bool) -> impl Strategy<Value = Ops> {
    let later = if after { prop_oneof![3 => Just(None), 1 => (0u64..9, 0u16..3).prop_map(Some)].boxed() } else { Just(None).boxed() };
    let op = (prop_oneof![Just("done"), Just("title")], later, any_value())
        .prop_map(|(field, after, item)| (field.to_owned(), Op { field: field.to_owned(), rule: 0, after, item }));
    (1u64..6, prop::collection::vec(op, 0..3))
        .prop_map(|(life, ops)| (life, if life % 2 == 1 { ops.into_iter().collect() } else { BTreeMap::new() }))
}

fn any_change(after: bool) -> impl Strategy<Value = (Replica, Change)> {
    let record = (prop_oneof![Just("lists"), Just("todos")], prop_oneof![Just("a"), Just("b")]);
    let rows = prop::collection::btree_map(record, any_row(after), 1..3);
    (0u8..3, any_reading(), rows).prop_map(|(author, reading, rows)| {
        let row = |((collection, id), (life, ops)): ((&str, &str), Ops)| {
            // CLOCK-8: an `after` lies at or above the change's own reading.
            let ops = ops.into_values().map(|op| Op { after: op.after.filter(|after| *after >= reading), ..op }).collect();
            Row { record: (collection.to_owned(), id.to_owned()), life, ops }
        };
        ([author; 16], Change { seq: 0, reading, rows: rows.into_iter().map(row).collect(), origin: None })
    })
}

/// Changes in log order, numbered as their authors would.
fn any_log(after: bool) -> impl Strategy<Value = Vec<(Replica, Change)>> {
    prop::collection::vec(any_change(after), 1..24).prop_map(|mut log| {
        let mut seqs = BTreeMap::<Replica, u64>::new();
        for (author, change) in &mut log {
            let seq = seqs.entry(*author).or_default();
            *seq += 1;
            change.seq = *seq;
        }
        log
    })
}

fn apply_all<'a>(log: impl IntoIterator<Item = &'a (Replica, Change)>) -> State {
    let mut state = State::new();
    log.into_iter().for_each(|(author, change)| apply_change(&mut state, *author, change));
    state
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_order_of_delivery_ends_in_one_state(log in any_log(false), order in any::<prop::sample::Index>(), shuffled in any::<u64>()) {
        let mut other = log.clone();
        let turn = order.index(other.len());
        other.rotate_left(turn);
        let mut seed = shuffled;
        for at in (1..other.len()).rev() {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            other.swap(at, (seed >> 33) as usize % (at + 1));
        }
        prop_assert_eq!(dump(&apply_all(&log)), dump(&apply_all(&other)));
    }

    #[test]
    fn joining_the_states_of_parts_equals_applying_the_whole(log in any_log(false), cut in any::<prop::sample::Index>()) {
        let (one, other) = log.split_at(cut.index(log.len()));
        prop_assert_eq!(join(&apply_all(one), &apply_all(other)), apply_all(&log));
    }

    #[test]
    fn join_is_commutative_associative_and_idempotent(a in any_log(true), b in any_log(true), c in any_log(true)) {
        let (a, b, c) = (apply_all(&a), apply_all(&b), apply_all(&c));
        prop_assert_eq!(join(&a, &b), join(&b, &a));
        prop_assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
        prop_assert_eq!(join(&a, &a), a);
    }

    #[test]
    fn the_reference_ends_where_the_oracle_does(log in any_log(true)) {
        let (mut space, core, mut store) = (Space::default(), CoreSpace::new(b"s"), MemoryStore::default());
        for (author, change) in &log {
            let code = space.apply(SERVER_MS, *author, change);
            let theirs = core_change(change);
            if code == 33 || code == 0 {
                prop_assert_eq!(core.raises_too_far(&store, &theirs, 0).unwrap(), code == 33);
            }
            if code == 0 {
                core.apply(&mut store, CoreReplica(*author), &theirs, space.position).unwrap();
            }
        }
        prop_assert_eq!(dump(&core_state(&core, &store)), dump(&space.state));
        prop_assert_eq!(core.fingerprint(&store, true).unwrap().wire(), fingerprint(&space.state));
    }

    #[test]
    fn what_the_reference_says_changed_is_the_whole_state(log in any_log(true)) {
        let (mut space, core, mut store) = (Space::default(), CoreSpace::new(b"s"), MemoryStore::default());
        let (copy, mut copied) = (CoreSpace::new(b"t"), MemoryStore::default());
        for (author, change) in &log {
            if space.apply(SERVER_MS, *author, change) == 0 {
                core.apply(&mut store, CoreReplica(*author), &core_change(change), space.position).unwrap();
            }
        }
        let changed = core.changed_after(&store, |_| Some(0), usize::MAX).unwrap();
        prop_assert!(changed.is_sorted_by_key(|(position, _)| *position));
        for (position, cell) in changed {
            use syncline::space::Changed;
            match cell {
                Changed::Life(record, life) => if copy.life(&copied, &record).unwrap().life < life {
                    copy.set_life(&mut copied, &record, life, position).unwrap();
                },
                Changed::Cell(record, life, name, state) => {
                    if copy.life(&copied, &record).unwrap().life < life {
                        copy.set_life(&mut copied, &record, life, position).unwrap();
                    }
                    copy.set_cell(&mut copied, &record, name, state, position).unwrap();
                }
            }
        }
        prop_assert_eq!(dump(&core_state(&copy, &copied)), dump(&space.state));
    }
}

fn core_reading((ms, counter): (u64, u16)) -> CoreReading {
    CoreReading::new(ms, counter).expect("within CLOCK-1")
}

fn core_change(change: &Change) -> CoreChange {
    let op = |op: &Op| CoreOp { field: op.field.clone(), rule: 0, after: op.after.map(core_reading), payload: payload(&op.item) };
    let name = |(collection, id): &(String, String)| RecordName { collection: collection.clone(), id: id.clone() };
    let rows = change
        .rows
        .iter()
        .map(|row| CoreRow { record: name(&row.record), life: row.life, ops: row.ops.iter().map(op).collect() })
        .collect();
    CoreChange { seq: change.seq, reading: core_reading(change.reading), rows, origin: None, extra: Vec::new() }
}

fn payload(item: &Item) -> Payload {
    if *item == Item::Undefined { Payload::Unset } else { Payload::Set(Reader::new(&encode(item)).value(0).expect("a value")) }
}

/// The reference's cells, in the oracle's words.
fn core_state(space: &CoreSpace, store: &MemoryStore) -> State {
    let records = space.records(store, None).unwrap().into_iter().map(|name| {
        let held = space.record(store, &name).unwrap();
        let cells = held.cells.into_iter().map(|(name, state)| ((name.field, name.rule, name.key.as_bytes().to_vec()), core_cell(state)));
        ((name.collection, name.id), Record { life: held.life, cells: cells.collect() })
    });
    records.collect()
}

fn core_cell(state: CoreCell) -> Cell {
    let item = |value: &Value| syncline_conformance::cbor::decode(&value.encoded()).expect("a value");
    match state {
        CoreCell::Stamped(lww) => {
            let reading = (lww.stamp.reading.ms(), lww.stamp.reading.counter());
            Cell::Stamped(reading, lww.stamp.author.0, lww.value.map(|value| value.encoded()))
        }
        CoreCell::Extreme(value) => Cell::Value(item(&value)),
        CoreCell::Sequenced { seq, value } => Cell::Numbered(seq, item(&value)),
        CoreCell::Dot(value) => Cell::Dot(value.map(|value| value.encoded())),
    }
}

#[test]
fn a_reading_is_read_as_stamps_are_written() {
    assert_eq!((reading(&Item::Int(5)), reading(&Item::Array(vec![Item::Int(5), Item::Int(1)]))), ((5, 0), (5, 1)));
}
