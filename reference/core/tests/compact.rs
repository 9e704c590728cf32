//! Numbers for names: what is made short becomes what it was, and what few bytes could become is bounded. Spec 22.

use std::collections::BTreeMap;

use proptest::prelude::*;
use syncline::change::{Change, Op, Payload, RecordName, Row};
use syncline::clock::{Reading, Replica};
use syncline::codec::Fault;
use syncline::limits::{FRAME_BYTES_MAX, NAMES_MAX};
use syncline::message::{Message, Names, NewNames, Numbers, PlacedChange, RecordForm, expand, frame_of, message_bytes, shrink};
use syncline::rules::LWW;
use syncline::value::Value;

const AUTHOR: Replica = Replica([7; 16]);

fn record(number: u64) -> RecordName {
    RecordName { collection: "todos".into(), id: format!("r{number:03}") }
}

/// A reader who knows these names.
#[derive(Default)]
struct Reader {
    records: BTreeMap<u64, RecordName>,
    columns: BTreeMap<u64, (String, u64)>,
    replicas: BTreeMap<u64, Replica>,
}

impl Names for Reader {
    fn record(&self, number: u64) -> Option<RecordName> {
        self.records.get(&number).cloned()
    }

    fn column(&self, number: u64) -> Option<(String, u64)> {
        self.columns.get(&number).cloned()
    }

    fn replica(&self, number: u64) -> Option<Replica> {
        self.replicas.get(&number).copied()
    }
}

fn change(rows: &[(u64, Vec<u64>)]) -> Message {
    let op = |field: &u64| Op { field: format!("f{field}"), rule: LWW, after: None, payload: Payload::Set(Value::Int(5)) };
    let row = |(number, fields): &(u64, Vec<u64>)| Row { record: record(*number), life: 1, ops: fields.iter().map(op).collect() };
    let reading = Reading::new(9, 0).expect("a small time is in range");
    let change = Change { seq: 1, reading, rows: rows.iter().map(row).collect(), origin: None, extra: Vec::new() };
    Message::Change(PlacedChange { position: 1, author: AUTHOR, change })
}

proptest! {
    /// Whatever of it has numbers. (COMPACT-8)
    #[test]
    fn what_is_made_short_becomes_what_it_was(
        rows in prop::collection::btree_map(1_u64..99, prop::collection::btree_set(1_u64..9, 0..4), 1..5),
        numbered in prop::collection::btree_map(1_u64..99, any::<bool>(), 0..60),
        columns in prop::collection::btree_set(1_u64..9, 0..9),
        author in any::<bool>(),
    ) {
        let rows: Vec<_> = rows.into_iter().map(|(number, fields)| (number, fields.into_iter().collect())).collect();
        let literal = message_bytes(&change(&rows), 0);
        let (mut numbers, mut reader) = (Numbers::default(), Reader::default());
        for (number, known) in numbered {
            let form = if known { RecordForm::Known(number) } else { RecordForm::Announced(number) };
            numbers.records.insert(record(number), form);
            reader.records.extend(known.then(|| (number, record(number))));
        }
        for number in columns {
            numbers.columns.insert((format!("f{number}"), LWW), number);
            reader.columns.insert(number, (format!("f{number}"), LWW));
        }
        if author {
            numbers.replicas.insert(AUTHOR, 1);
            reader.replicas.insert(1, AUTHOR);
        }
        let short = shrink(&literal, &mut numbers).expect("a message has its shape");
        let expanded = expand(&frame_of(1, &short), &reader).expect("every number is known");
        prop_assert_eq!(expanded.frame, frame_of(1, &literal));
    }
}

/// COMPACT-10
#[test]
fn a_few_numbers_cannot_stand_for_more_than_a_frame() {
    let long = RecordName { collection: "c".repeat(64), id: "i".repeat(128) };
    let reader = Reader { records: BTreeMap::from([(1, long)]), ..Reader::default() };
    // [8, 1, author, 1, 0, + [1]]: each row is two bytes, and stands for 196.
    let frame = |rows: usize| {
        let head = [&[0x99][..], &u16::try_from(5 + rows).expect("few rows").to_be_bytes(), &[8, 1, 0x50], &AUTHOR.0, &[1, 0]].concat();
        frame_of(1, &[head, [0x81, 1].repeat(rows)].concat())
    };
    let most = FRAME_BYTES_MAX / 192;
    assert!(expand(&frame(most), &reader).is_ok());
    assert_eq!(expand(&frame(most + 1), &reader).map_err(|error| error.fault), Err(Fault::Schema("numbers whose names fit a frame")));
    assert!(expand(&frame(10 * most), &reader).is_err());
}

/// COMPACT-1
#[test]
fn a_table_has_no_more_names_than_its_bound() {
    let frame = |first: u64| {
        let names = NewNames { first_column: first, columns: vec![("f".into(), LWW)], first_replica: 1, replicas: Vec::new() };
        frame_of(1, &message_bytes(&Message::Names(names), 0))
    };
    assert!(expand(&frame(NAMES_MAX), &Reader::default()).is_ok());
    assert!(expand(&frame(NAMES_MAX + 1), &Reader::default()).is_err());
    assert!(expand(&frame(10 * NAMES_MAX), &Reader::default()).is_err());
}

/// How short a change of one known field is. (COMPACT-8)
#[test]
fn a_change_of_one_field_takes_few_bytes() {
    let literal = message_bytes(&change(&[(1, vec![1])]), 0);
    let mut numbers = Numbers::default();
    numbers.records.insert(record(1), RecordForm::Known(9_999));
    numbers.columns.insert(("f1".into(), LWW), 3);
    numbers.replicas.insert(AUTHOR, 2);
    let short = shrink(&literal, &mut numbers).expect("a message has its shape");
    assert_eq!((literal.len(), short.len()), (41, 12));
}
