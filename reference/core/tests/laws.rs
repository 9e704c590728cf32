//! The joins are semilattices, and ops in any order make the state that a join makes. Spec 5.

use proptest::collection::vec;
use proptest::prelude::*;
use syncline::change::{Op, Payload, RecordName, Row};
use syncline::clock::{Reading, Replica, Stamp};
use syncline::hash::Fingerprint;
use syncline::rules::lww::{Lww, effective};
use syncline::rules::{LWW, life};
use syncline::space::{Minted, RecordState};
use syncline::value::Value;

fn reading(ms: u64) -> Reading {
    Reading::new(ms, 0).expect("a test's readings are in range")
}

fn replica(number: u8) -> Replica {
    Replica([number; 16])
}

/// Few stamps and few values, so that ties are common.
fn cell() -> impl Strategy<Value = Lww> {
    let value = prop_oneof![
        Just(None),
        Just(Some(Value::Null)),
        (-2i64..300).prop_map(Value::int),
        Just(Value::number(1.5)),
        "[ab]{0,2}".prop_map(|text| Some(Value::Text(text))),
        vec(any::<u8>(), 0..3).prop_map(|bytes| Some(Value::Bytes(bytes))),
    ];
    (0u64..3, 0u8..3, value).prop_map(|(ms, author, value)| Lww { stamp: Stamp { reading: reading(ms), author: replica(author) }, value })
}

/// A change of one record: who, when, in which life, and what it writes.
type Write = (u64, u8, u64, Vec<(u8, Option<i64>)>);

fn write() -> impl Strategy<Value = Write> {
    let ops = vec((0u8..3, prop::option::of(0i64..3)), 0..3);
    (0u64..4, 0u8..3, 1u64..5, ops)
        .prop_map(|(ms, author, life, ops)| (ms, author, life, if life::is_alive(life) { ops } else { Vec::new() }))
}

fn apply<'a>(writes: impl IntoIterator<Item = &'a Write>) -> RecordState {
    let mut state = RecordState::default();
    for (ms, author, life, ops) in writes {
        let op = |(field, value): &(u8, Option<i64>)| Op {
            field: field.to_string(),
            rule: LWW,
            after: None,
            payload: value.map_or(Payload::Unset, |number| Payload::Set(Value::Int(number))),
        };
        let record = RecordName { collection: "c".into(), id: "r".into() };
        let row = Row { record, life: *life, ops: ops.iter().map(op).collect() };
        let minted = Minted { author: replica(*author), seq: 1, reading: reading(*ms), first: (replica(*author), 1), confirmed: false };
        state.apply(&minted, &row);
    }
    state
}

proptest! {
    #[test]
    fn lww_is_commutative(a in cell(), b in cell()) {
        prop_assert_eq!(a.clone().join(b.clone()), b.join(a));
    }

    #[test]
    fn lww_is_associative(a in cell(), b in cell(), c in cell()) {
        prop_assert_eq!(a.clone().join(b.clone()).join(c.clone()), a.join(b.join(c)));
    }

    #[test]
    fn lww_is_idempotent(a in cell(), b in cell()) {
        let joined = a.clone().join(b.clone());
        prop_assert_eq!(a.clone().join(a.clone()), a.clone());
        prop_assert_eq!(joined.clone().join(a), joined.clone());
        prop_assert_eq!(joined.clone().join(b), joined);
    }

    #[test]
    fn life_is_a_semilattice(a: u64, b: u64, c: u64) {
        prop_assert_eq!(life::join(a, b), life::join(b, a));
        prop_assert_eq!(life::join(life::join(a, b), c), life::join(a, life::join(b, c)));
        prop_assert_eq!(life::join(a, a), a);
    }

    #[test]
    fn states_join_as_a_semilattice(a in vec(write(), 0..6), b in vec(write(), 0..6), c in vec(write(), 0..6)) {
        let (a, b, c) = (apply(&a), apply(&b), apply(&c));
        prop_assert_eq!(a.clone().join(b.clone()), b.clone().join(a.clone()));
        prop_assert_eq!(a.clone().join(b.clone()).join(c.clone()), a.clone().join(b.join(c)));
        prop_assert_eq!(a.clone().join(a.clone()), a);
    }

    #[test]
    fn ops_then_join_equals_join(writes in vec(write(), 0..8), side in vec(0u8..3, 8)) {
        // Each write reaches one side, the other, or both.
        let reached = |which: u8| writes.iter().zip(&side).filter(move |(_, side)| **side != which).map(|(write, _)| write);
        prop_assert_eq!(apply(reached(0)).join(apply(reached(1))), apply(&writes));
    }

    #[test]
    fn the_order_and_number_of_applications_do_not_matter(
        (writes, shuffled) in vec(write(), 0..8).prop_flat_map(|writes| (Just(writes.clone()), Just(writes).prop_shuffle())),
    ) {
        prop_assert_eq!(apply(&writes), apply(&shuffled));
        prop_assert_eq!(apply(writes.iter().chain(&shuffled)), apply(&writes));
    }
}

/// Digests near the bounds, so that sums carry and wrap.
fn digest() -> impl Strategy<Value = [u8; 32]> {
    prop::array::uniform32(prop_oneof![Just(0u8), Just(255), any::<u8>()])
}

fn fingerprint<'a>(digests: impl IntoIterator<Item = &'a [u8; 32]>) -> Fingerprint {
    let mut sum = Fingerprint::default();
    digests.into_iter().for_each(|digest| sum.add(digest));
    sum
}

proptest! {
    #[test]
    fn a_fingerprint_does_not_tell_in_which_order_cells_came_and_went(digests in vec(digest(), 1..6), at: prop::sample::Index) {
        let (gone, (before, after)) = (at.get(&digests), digests.split_at(at.index(digests.len())));
        let kept = fingerprint(before.iter().chain(&after[1..]));
        let mut left = fingerprint(digests.iter().rev());
        left.part(&fingerprint([gone]));
        prop_assert_eq!(left, kept);
        let mut merged = fingerprint(after);
        merged.merge(&fingerprint(before));
        prop_assert_eq!(merged.wire(), fingerprint(&digests).wire());
    }
}

#[test]
fn equal_stamps_are_decided_by_the_encoding() {
    let at = |value: Option<Value>| Lww { stamp: Stamp { reading: reading(1), author: replica(1) }, value };
    // Unset is least, then the encodings byte by byte: 00, 20, 41 00, 61 61, f6. (MERGE-9)
    let rising =
        [None, Some(Value::Int(0)), Some(Value::Int(-1)), Some(Value::Bytes(vec![0])), Some(Value::Text("a".into())), Some(Value::Null)];
    for pair in rising.windows(2) {
        let [less, more] = [at(pair[0].clone()), at(pair[1].clone())];
        assert_eq!(less.join(more.clone()), more);
    }
}

#[test]
fn an_after_counts_only_over_what_it_overwrites() {
    let existing = |ms| Lww { stamp: Stamp { reading: reading(ms), author: replica(1) }, value: None };
    let check = |own, after: Option<u64>, found: Option<u64>, expected: Reading| {
        let stamp = effective(reading(own), after.map(reading), replica(2), found.map(existing).as_ref());
        assert_eq!(stamp, Stamp { reading: expected, author: replica(2) }, "{own} after {after:?} over {found:?}");
    };
    let just_after = Reading::new(7, 1).expect("in range");
    check(5, None, None, reading(5));
    check(5, None, Some(7), reading(5));
    check(5, Some(7), Some(7), just_after);
    check(5, Some(7), Some(8), just_after);
    check(5, Some(7), Some(6), reading(5)); // CLOCK-9
    check(5, Some(7), None, reading(5)); // CLOCK-9
}

#[test]
fn a_life_rises_by_one() {
    let admitted = |current, next| life::admit(current, next);
    assert!(admitted(0, 1) && admitted(1, 1) && admitted(1, 2) && admitted(2, 3) && admitted(5, 1));
    assert!(!admitted(0, 2) && !admitted(1, 3));
    let most = syncline::limits::LIFE_MAX;
    assert!(admitted(most - 1, most) && !admitted(most, most + 1));
}
