//! Every conflict rule against the oracle: its laws at random, and all orders of delivery of small scopes.
//!
//! `SYNCLINE_CASES` sets the cases of a property, `SYNCLINE_SCOPE` the ops of the small scope.
#![allow(clippy::unwrap_used, reason = "a test stops where it is not as it says")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use syncline::change::{Change as CoreChange, Pushed, RecordName};
use syncline::clock::Replica as CoreReplica;
use syncline::codec::Reader;
use syncline::message::{cells_of, items_of};
use syncline::rules::State as CoreCell;
use syncline::space::{CellName, Changed, Minted, RecordState, Space};
use syncline::store::MemoryStore;
use syncline_conformance::cbor::{Item, decode, encode};
use syncline_conformance::oracle::{self, Cell, Change, Op, Record, Replica, Row, State};

/// The rules under test, unknown ones of each join among them.
const RULES: [u64; 12] = [0, 2, 3, 4, 8, 9, 16, 24, 17, 10, 11, 28];

fn record() -> (String, String) {
    ("c".to_owned(), "r".to_owned())
}

fn name() -> RecordName {
    RecordName { collection: "c".into(), id: "r".into() }
}

fn replica(number: u8) -> Replica {
    [number; 16]
}

fn text(text: &str) -> Item {
    Item::Text(text.to_owned())
}

fn array(items: impl IntoIterator<Item = Item>) -> Item {
    Item::Array(items.into_iter().collect())
}

fn dot(author: u8, seq: u64, index: i128) -> Item {
    array([Item::Bytes(replica(author).to_vec()), Item::Int(i128::from(seq)), Item::Int(index)])
}

/// A pair of `multi`: dots of `seen` that are removed, ascending, and how many values are added.
fn dots(seen: &BTreeSet<(u8, u64)>, added: u8) -> Item {
    let removed = array(seen.iter().map(|(author, seq)| dot(*author, *seq, 0)));
    array(std::iter::once(removed).chain((0..added).map(|value| Item::Int(i128::from(value)))))
}

// ---- the reference on the one side, the oracle on the other ---------------------------------------

/// The change as the reference reads it from a push.
fn core_change(change: &Change) -> CoreChange {
    let row = |row: &Row| {
        let mut items = vec![array([text(&row.record.0), text(&row.record.1)])];
        if row.life != 1 {
            items.extend([Item::Int(0), Item::Int(row.life.into())]);
        }
        for op in &row.ops {
            items.extend([array([text(&op.field), Item::Int(op.rule.into())]), op.item.clone()]);
        }
        array(items)
    };
    let stamp = match change.reading {
        (ms, 0) => Item::Int(ms.into()),
        (ms, counter) => array([Item::Int(ms.into()), Item::Int(counter.into())]),
    };
    let pushed = array([Item::Int(change.seq.into()), stamp].into_iter().chain(change.rows.iter().map(row)));
    match Pushed::read(&mut Reader::new(&encode(&pushed)), 0, true).unwrap_or_else(|fault| panic!("{fault}: {change:?}")) {
        Pushed::Change { change, .. } => change,
        Pushed::Skip { .. } => panic!("a change was written"),
    }
}

fn oracle_cell(state: &CoreCell) -> Cell {
    let item = |value: &syncline::value::Value| decode(&value.encoded()).unwrap();
    match state {
        CoreCell::Stamped(lww) => {
            let reading = (lww.stamp.reading.ms(), lww.stamp.reading.counter());
            Cell::Stamped(reading, lww.stamp.author.0, lww.value.as_ref().map(|value| value.encoded()))
        }
        CoreCell::Extreme(value) => Cell::Value(item(value)),
        CoreCell::Sequenced { seq, value } => Cell::Numbered(*seq, item(value)),
        CoreCell::Dot(value) => Cell::Dot(value.as_ref().map(|value| value.encoded())),
    }
}

fn oracle_record(held: &RecordState) -> Record {
    let cell = |(name, state): (&CellName, &CoreCell)| ((name.field.clone(), name.rule, name.key.as_bytes().to_vec()), oracle_cell(state));
    Record { life: held.life, cells: held.cells.iter().map(cell).collect() }
}

/// The log in its order through the store, and through the oracle; both must say the same, the fingerprint too.
fn same_by_log(log: &[(Replica, Change)]) -> RecordState {
    let (space, mut store, mut theirs) = (Space::new(b"s"), MemoryStore::default(), State::new());
    for (position, (author, change)) in (1..).zip(log) {
        space.apply(&mut store, CoreReplica(*author), &core_change(change), position).unwrap();
        oracle::apply_change(&mut theirs, *author, change);
    }
    let held = space.record(&store, &name()).unwrap();
    assert_eq!(oracle_record(&held), theirs.get(&record()).cloned().unwrap_or_default(), "{log:?}");
    assert_eq!(space.fingerprint(&store, true).unwrap().wire(), oracle::fingerprint(&theirs));
    // What a catch-up carries is the whole state: cells to items, their bytes, and back.
    let changed = space.changed_after(&store, |_| Some(0), usize::MAX).unwrap();
    assert_eq!(by_items(changed.into_iter().map(|(_, cell)| cell).collect()), held);
    held
}

/// The record that the items of these cells make.
fn by_items(cells: Vec<Changed>) -> RecordState {
    let mut record = RecordState::default();
    for item in items_of(cells).unwrap() {
        for (_, life, cells) in cells_of(item) {
            record.life = life;
            record.cells.extend(cells);
        }
    }
    record
}

/// A log as the reference reads it.
type CoreLog = Vec<(CoreReplica, CoreChange)>;

fn core_log(log: &[(Replica, Change)]) -> CoreLog {
    log.iter().map(|(author, change)| (CoreReplica(*author), core_change(change))).collect()
}

/// The changes as an overlay over nothing.
fn overlaid<'a>(log: impl IntoIterator<Item = &'a (CoreReplica, CoreChange)>) -> RecordState {
    let mut state = RecordState::default();
    log.into_iter().for_each(|change| lay(&mut state, change));
    state
}

/// One more change in the overlay.
fn lay(state: &mut RecordState, (author, change): &(CoreReplica, CoreChange)) {
    change.rows.iter().for_each(|row| state.apply(&Minted::unconfirmed(*author, change), row));
}

// ---- small scopes, every order --------------------------------------------------------------------

/// How many ops the small scope has.
fn scope() -> usize {
    std::env::var("SYNCLINE_SCOPE").ok().and_then(|ops| ops.parse().ok()).unwrap_or(4)
}

/// The ops that one replica may write under a rule, having seen these dots.
fn choices(rule: u64, seen: &BTreeSet<(u8, u64)>) -> Vec<Item> {
    let entries = |rows: &[(&str, Item)]| array(rows.iter().map(|(key, held)| array([text(key), held.clone()])));
    match rule {
        0 => vec![Item::Int(1), Item::Undefined],
        8 => vec![entries(&[("x", Item::Bool(true))]), entries(&[("x", Item::Bool(false)), ("y", Item::Bool(true))])],
        16 | 24 => vec![entries(&[("x", Item::Int(1))]), entries(&[("x", Item::Undefined), ("y", Item::Bool(false))])],
        3 => vec![Item::Int(1), Item::Int(-5)],
        _ if rule % 8 == 4 => vec![dots(seen, 1), dots(&BTreeSet::new(), 2)],
        _ => vec![Item::Int(1), text("a")],
    }
}

/// Every log of so many ops by three replicas under a rule, the last of which may raise the life.
fn logs(rule: u64, ops: usize) -> Vec<Vec<(Replica, Change)>> {
    let mut all: Vec<Vec<(u8, Change)>> = vec![Vec::new()];
    for step in 0..ops {
        let mut longer = Vec::new();
        for log in &all {
            // Replicas differ in name only: the first to write is the first.
            let next = log.iter().map(|(author, _)| *author + 1).max().unwrap_or(0).min(2);
            for author in 0..=next {
                longer.extend(steps(rule, log, author, step, ops));
            }
        }
        all = longer;
    }
    all.into_iter().map(|log| log.into_iter().map(|(author, change)| (replica(author), change)).collect()).collect()
}

fn steps(rule: u64, log: &[(u8, Change)], author: u8, step: usize, ops: usize) -> Vec<Vec<(u8, Change)>> {
    let seq = 1 + log.iter().filter(|(by, _)| *by == author).count() as u64;
    let seen: BTreeSet<(u8, u64)> = log.iter().map(|(by, change)| (*by, change.seq)).collect();
    // Clocks that disagree: each replica's runs at its own pace.
    let reading = (5 + (step as u64) * (2 - u64::from(author).min(2)), 0);
    let mut rows: Vec<(u64, Vec<Op>)> =
        choices(rule, &seen).into_iter().map(|item| (1, vec![Op { field: "f".into(), rule, after: None, item }])).collect();
    if step + 1 == ops {
        rows.push((2, Vec::new()));
    }
    let change = |(life, ops): (u64, Vec<Op>)| Change { seq, reading, rows: vec![Row { record: record(), life, ops }], origin: None };
    rows.into_iter().map(|row| [log, &[(author, change(row))]].concat()).collect()
}

/// Every order of so many things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for before in orders(count - 1) {
        for at in 0..count {
            let mut order = before.clone();
            order.insert(at, count - 1);
            all.push(order);
        }
    }
    all
}

/// Whether an order keeps each author's changes in the order of seq.
fn keeps_authors(log: &[(Replica, Change)], order: &[usize]) -> bool {
    let mut last = BTreeMap::new();
    order.iter().all(|at| last.insert(log[*at].0, log[*at].1.seq).is_none_or(|before| before < log[*at].1.seq))
}

#[test]
fn small_scopes_end_in_one_state_by_every_order_and_every_mix_of_ops_and_states() {
    let ops = scope();
    let orders = orders(ops);
    for rule in RULES {
        let mut checked = 0;
        for log in logs(rule, ops) {
            same_by_log(&log);
            let core = core_log(&log);
            let states: Vec<RecordState> = (1..=ops).map(|upto| overlaid(&core[..upto])).collect();
            let whole = &states[ops - 1];
            for order in orders.iter().filter(|order| keeps_authors(&log, order)) {
                let delivered: Vec<&(CoreReplica, CoreChange)> = order.iter().map(|at| &core[*at]).collect();
                let by_ops = overlaid(delivered.iter().copied());
                assert_eq!(&by_ops, whole, "rule {rule}, order {order:?} of {log:?}");
                for cut in 0..=ops {
                    // Some ops, then a state that another holds, then the other ops: those come again that the state holds.
                    let held = overlaid(delivered[..cut].iter().copied());
                    for state in &states {
                        let mut mixed = held.clone().join(state.clone());
                        delivered[cut..].iter().for_each(|change| lay(&mut mixed, change));
                        assert_eq!(&mixed, whole, "rule {rule}: a state behind {cut} of {order:?} of {log:?}");
                    }
                }
                checked += 1;
            }
        }
        assert!(checked > 0, "rule {rule} was not checked");
    }
}

#[test]
fn sides_that_saw_different_authors_join_to_the_whole() {
    for rule in RULES {
        for log in logs(rule, scope()) {
            let core = core_log(&log);
            for kept in 0..8u8 {
                let side = |keep: bool| overlaid(core.iter().filter(|(author, _)| (kept >> author.0[0] & 1 == 1) == keep));
                assert_eq!(side(true).join(side(false)), overlaid(&core), "rule {rule}, authors {kept:03b} of {log:?}");
            }
        }
    }
}

// ---- laws at random ---------------------------------------------------------------------------------

fn cases() -> u32 {
    std::env::var("SYNCLINE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(256)
}

fn any_value() -> impl Strategy<Value = Item> {
    prop_oneof![
        Just(Item::Null),
        any::<bool>().prop_map(Item::Bool),
        (-300i128..300).prop_map(Item::Int),
        Just(Item::Float(1.5)),
        "[a-c]{0,2}".prop_map(Item::Text),
        prop::collection::vec(any::<u8>(), 0..2).prop_map(Item::Bytes),
        prop::collection::vec((0i128..3).prop_map(Item::Int), 0..3).prop_map(Item::Array),
        (0i128..3).prop_map(|value| Item::Map(vec![(text("k"), Item::Int(value))])),
    ]
}

fn any_op(rule: u64) -> BoxedStrategy<Item> {
    let unset = || prop_oneof![3 => any_value(), 1 => Just(Item::Undefined)];
    let keyed = |held: BoxedStrategy<Item>, texts: bool| {
        let key = if texts { "[a-c]{0,2}".prop_map(Item::Text).boxed() } else { any_value().boxed() };
        let sorted =
            |entries: Vec<(Item, Item)>| entries.into_iter().map(|(key, held)| (encode(&key), (key, held))).collect::<BTreeMap<_, _>>();
        let pairs = prop::collection::vec((key, held), 1..4).prop_map(sorted);
        pairs.prop_map(|pairs| array(pairs.into_values().map(|(key, held)| array([key, held])))).boxed()
    };
    match rule {
        0 => unset().boxed(),
        3 => prop_oneof![-9i128..0, 1i128..9].prop_map(Item::Int).boxed(),
        8 => keyed(any::<bool>().prop_map(Item::Bool).boxed(), false),
        16 => keyed(unset().boxed(), true),
        24 => keyed(unset().boxed(), false),
        _ if rule % 8 == 4 => {
            let seen = prop::collection::btree_set((0u8..3, 1u64..4), 1..3);
            (seen, 0u8..3).prop_map(|(seen, added)| dots(&seen, added)).boxed()
        }
        _ => any_value().boxed(),
    }
}

/// Ops by field and rule, one for each column.
fn any_ops() -> impl Strategy<Value = BTreeMap<(String, u64), Item>> {
    let column = (prop_oneof![Just("f"), Just("g")], prop::sample::select(RULES.to_vec()));
    let op = column.prop_flat_map(|(field, rule)| any_op(rule).prop_map(move |item| ((field.to_owned(), rule), item)));
    prop::collection::vec(op, 0..4).prop_map(|ops| ops.into_iter().collect())
}

/// Changes in log order, numbered as their authors would.
fn any_log() -> impl Strategy<Value = Vec<(Replica, Change)>> {
    let change = (0u8..3, (0u64..5, 0u16..2), prop_oneof![8 => Just(1u64), 1 => Just(2), 1 => Just(3)], any_ops());
    prop::collection::vec(change, 1..12).prop_map(|steps| {
        let mut seqs = BTreeMap::<u8, u64>::new();
        let mut log = Vec::new();
        for (author, reading, life, ops) in steps {
            let seq = seqs.entry(author).or_default();
            *seq += 1;
            let op = |((field, rule), item)| Op { field, rule, after: None, item };
            let ops = if life % 2 == 1 { ops.into_iter().map(op).collect() } else { Vec::new() };
            log.push((replica(author), Change { seq: *seq, reading, rows: vec![Row { record: record(), life, ops }], origin: None }));
        }
        log
    })
}

/// The log shuffled, each author's changes still in the order of seq.
fn shuffled(log: &[(Replica, Change)], keys: &[u16]) -> Vec<(Replica, Change)> {
    let mut order: Vec<(u16, Replica)> = log.iter().zip(keys).map(|((author, _), key)| (*key, *author)).collect();
    order.sort_unstable();
    let mut left = log.to_vec();
    let next = |(_, author): (u16, Replica)| {
        let at = left.iter().position(|(by, _)| *by == author).unwrap();
        left.remove(at)
    };
    order.into_iter().map(next).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_rule_ends_where_the_oracle_does(log in any_log()) {
        same_by_log(&log);
    }

    #[test]
    fn the_order_among_authors_makes_no_difference(log in any_log(), keys in prop::collection::vec(any::<u16>(), 12)) {
        prop_assert_eq!(overlaid(&core_log(&shuffled(&log, &keys))), overlaid(&core_log(&log)));
    }

    #[test]
    fn states_of_every_rule_join_as_a_semilattice(log in any_log(), upto in prop::array::uniform3(prop::array::uniform3(0u64..6))) {
        // States that replicas of one space can hold: of each author a prefix of its changes.
        let core = core_log(&log);
        let held = |upto: &[u64; 3]| overlaid(core.iter().filter(|(author, change)| change.seq <= upto[usize::from(author.0[0])]));
        let [a, b, c] = [held(&upto[0]), held(&upto[1]), held(&upto[2])];
        prop_assert_eq!(a.clone().join(b.clone()), b.clone().join(a.clone()));
        prop_assert_eq!(a.clone().join(b.clone()).join(c.clone()), a.clone().join(b.join(c)));
        prop_assert_eq!(a.clone().join(a.clone()), a);
    }

    #[test]
    fn any_two_cells_join_as_the_oracle_says(rule in prop::sample::select(RULES.to_vec()), one in any_cell(), other in any_cell()) {
        let (Some(one), Some(other)) = (one.of(rule), other.of(rule)) else { return Ok(()) };
        let joined = one.clone().join(other.clone(), rule);
        prop_assert_eq!(&joined, &other.clone().join(one.clone(), rule));
        prop_assert_eq!(&joined, &joined.clone().join(one.clone(), rule));
        let state = |cell: &CoreCell| {
            let cells = BTreeMap::from([(("f".to_owned(), rule, vec![0xf6]), oracle_cell(cell))]);
            State::from([(record(), Record { life: 1, cells })])
        };
        prop_assert_eq!(state(&joined), oracle::join(&state(&one), &state(&other)));
    }
}

/// What cells of any rule are made of.
#[derive(Debug, Clone)]
struct Parts {
    reading: u64,
    author: u8,
    value: Option<Item>,
}

fn any_cell() -> impl Strategy<Value = Parts> {
    (0u64..3, 0u8..2, prop::option::of(any_value())).prop_map(|(reading, author, value)| Parts { reading, author, value })
}

impl Parts {
    /// The cell of a rule; none where it would hold nothing that such a cell can.
    fn of(&self, rule: u64) -> Option<CoreCell> {
        let value = self.value.as_ref().map(|item| Reader::new(&encode(item)).value(0).unwrap());
        Some(match rule % 8 {
            0 => {
                let reading = syncline::clock::Reading::new(self.reading, 0)?;
                let stamp = syncline::clock::Stamp { reading, author: CoreReplica(replica(self.author)) };
                CoreCell::Stamped(syncline::rules::lww::Lww { stamp, value })
            }
            1 | 2 => CoreCell::Extreme(value?),
            3 => CoreCell::Sequenced { seq: self.reading + 1, value: value? },
            _ => CoreCell::Dot(value),
        })
    }
}
