//! Values, changes and frames at random, as the schema has them.

use std::collections::BTreeMap;

use proptest::array::uniform;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use syncline::change::{Change, Condition, Cursor, Entry, Op, Origin, Payload, Pushed, RecordName, Row};
use syncline::clock::{History, MS_MAX, Reading, Replica, Stamp};
use syncline::codec::Writer;
use syncline::hash::{ChangeHash, Link};
use syncline::limits::INT_MAX;
use syncline::message::{
    Ack, ErrorMessage, Frame, Hello, Item, Mark, Message, Open, Opened, Outcome, PlacedChange, Push, Reject, States, Void, Welcome,
};
use syncline::registry::{Class, Code};
use syncline::rules::multi::Dot;
use syncline::rules::{Key, LWW, SET};
use syncline::value::{Value, ValueMap};

/// What the stamps of the frames are relative to.
pub const BASE_MS: u64 = 1_700_000_000_000;

/// Any value, up to a few levels deep.
pub fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        uint().prop_map(|number| Value::Int(number as i64)),
        uint().prop_map(|number| Value::Int(-(number as i64))),
        any::<f64>().prop_filter_map("a number", Value::number),
        any::<f32>().prop_filter_map("a number", |number| Value::number(number.into())),
        (-4096i32..4096).prop_filter_map("a number", |number| Value::number(f64::from(number) / 64.0)),
        vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
        ".{0,12}".prop_map(Value::Text),
    ];
    scalar.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::Array),
            btree_map(".{0,4}", inner, 0..5)
                .prop_map(|pairs| Value::Map(ValueMap::new(pairs.into_iter().collect()).expect("the keys of a map differ"))),
        ]
    })
}

/// Numbers of every length of encoding.
fn uint() -> impl Strategy<Value = u64> {
    (0u32..54).prop_flat_map(|bits| 0..(1u64 << bits).min(INT_MAX as u64) + 1).prop_map(|number| number.min(INT_MAX as u64))
}

fn seq() -> impl Strategy<Value = u64> {
    uint().prop_map(|number| number.max(1))
}

fn name() -> impl Strategy<Value = String> {
    "\\PC{1,8}"
}

fn reading() -> impl Strategy<Value = Reading> {
    let ms = prop_oneof![0..=MS_MAX, BASE_MS - 100..BASE_MS + 100];
    let counter = prop_oneof![Just(0u16), any::<u16>()];
    (ms, counter).prop_map(|(ms, counter)| Reading::new(ms, counter).expect("the range is a reading's"))
}

fn replica() -> impl Strategy<Value = Replica> {
    uniform::<_, 16>(any::<u8>()).prop_map(Replica)
}

fn history() -> impl Strategy<Value = History> {
    uniform::<_, 8>(any::<u8>()).prop_map(History)
}

fn link() -> impl Strategy<Value = Link> {
    uniform::<_, 16>(any::<u8>()).prop_map(Link)
}

fn class() -> impl Strategy<Value = Class> {
    (0u64..4).prop_map(|code| Class::from_code(code).expect("there are four classes"))
}

fn code() -> impl Strategy<Value = Code> {
    uint().prop_map(Code)
}

/// The ops of a row by field and rule, each with the distance of its `after`.
type Ops = BTreeMap<(String, u64), (Option<u16>, Payload)>;

/// Where ops stand: in a change, or in an item of states.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Change,
    Stamped,
    Plain,
    Keyed,
}

/// A rule whose ops may stand there; 6 stands for those that are not kept.
fn rule(place: Place) -> impl Strategy<Value = u64> {
    prop::sample::select(match place {
        Place::Change => vec![0, 0, 0, 2, 3, 4, 6, 8, 9, 16, 24, 11],
        Place::Stamped => vec![0, 0, 8, 16, 24],
        Place::Plain => vec![2, 9, 10, 17],
        Place::Keyed => vec![3, 4, 11, 28],
    })
}

fn payload(rule: u64, place: Place) -> BoxedStrategy<Payload> {
    let amount = uint().prop_map(move |number| Payload::Add(if place == Place::Change { number.max(1) } else { number } as i64));
    match rule {
        0 => option::of(value()).prop_map(|value| value.map_or(Payload::Unset, Payload::Set)).boxed(),
        3 => amount.boxed(),
        6 => value().prop_map(|value| Payload::Other(value.encoded())).boxed(),
        8 => entries("[a-z]{0,9}".prop_map(Value::Text).boxed(), Just(Value::Bool(true)).boxed()),
        16 => entries("[a-z]{0,9}".prop_map(Value::Text).boxed(), value().boxed()),
        24 => entries(uint().prop_map(|key| Value::Int(key as i64)).boxed(), value().boxed()),
        4 | 28 if place == Place::Change => {
            let dot = (replica(), seq(), uint()).prop_map(|(author, seq, index)| Dot { author, seq, index });
            let dots = prop::collection::btree_set(dot, 0..3);
            let values = (dots, vec(value(), 1..3));
            values.prop_map(|(removed, added)| Payload::Values { removed: removed.into_iter().collect(), added }).boxed()
        }
        4 | 28 => btree_map(uint(), option::of(value()), 1..4)
            .prop_map(|held| {
                let removed = held.iter().filter(|(_, value)| value.is_none()).map(|(index, _)| *index).collect();
                Payload::Indexed { removed, values: held.into_iter().filter_map(|(index, value)| Some((index, value?))).collect() }
            })
            .boxed(),
        _ => value().prop_map(Payload::Set).boxed(),
    }
}

fn entries(key: BoxedStrategy<Value>, held: BoxedStrategy<Value>) -> BoxedStrategy<Payload> {
    let sorted = |pairs: Vec<(Value, Option<Value>)>| {
        let by_key: BTreeMap<Vec<u8>, Entry> =
            pairs.into_iter().map(|(key, value)| (key.encoded(), Entry { key, value, after: None })).collect();
        Payload::Entries(by_key.into_values().collect())
    };
    vec((key, option::of(held)), 1..4).prop_map(sorted).boxed()
}

fn row_body(place: Place) -> impl Strategy<Value = (u64, Ops)> {
    let column = (name(), rule(place), option::of(any::<u16>()));
    let op = column.prop_flat_map(move |(field, rule, distance)| {
        payload(rule, place).prop_map(move |payload| ((field.clone(), rule), (distance, payload)))
    });
    (prop_oneof![Just(1u64), Just(2), seq()], vec(op, 0..4).prop_map(|ops| ops.into_iter().collect()))
}

fn rows(reading: Reading, place: Place) -> impl Strategy<Value = Vec<Row>> {
    btree_map((name(), name()), row_body(place), 1..4).prop_map(move |rows| {
        let row = |((collection, id), (life, ops)): ((String, String), (u64, Ops))| {
            let ops = if life % 2 == 1 { ops } else { Ops::new() };
            let ops = ops.into_iter().map(|column| op(column, reading, place)).collect();
            Row { record: RecordName { collection, id }, life, ops }
        };
        rows.into_iter().map(row).collect()
    })
}

fn op(((field, rule), (distance, mut payload)): ((String, u64), (Option<u16>, Payload)), reading: Reading, place: Place) -> Op {
    let later = |distance: u16| Reading::new((reading.ms() + u64::from(distance)).min(MS_MAX), reading.counter());
    let after = distance.filter(|_| place == Place::Change).and_then(later);
    if let Payload::Entries(entries) = &mut payload {
        entries[0].after = after;
    }
    Op { field, rule, after: after.filter(|_| rule == 0), payload }
}

fn origin() -> impl Strategy<Value = Origin> {
    (replica(), seq(), link()).prop_map(|(replica, seq, link)| Origin { replica, seq, link })
}

fn change() -> impl Strategy<Value = Change> {
    // Keys up to 4 have forms of their own.
    let extra = btree_map(5u64..300, value().prop_map(|value| value.encoded()), 0..3);
    let at = reading().prop_flat_map(|reading| (Just(reading), rows(reading, Place::Change)));
    let map = (option::of(origin()), extra, vec(condition(), 0..3), btree_set(1u64..1_000, 0..3));
    (seq(), at, map).prop_map(|(seq, (reading, rows), (origin, extra, conditions, needs))| {
        let mut change = Change { seq, reading, rows, origin, extra: extra.into_iter().collect() };
        change.set_conditions(&conditions);
        change.set_needs(&needs.into_iter().filter(|needed| *needed < seq).collect::<Vec<_>>());
        change
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    let record = || (name(), name()).prop_map(|(collection, id)| RecordName { collection, id });
    let key = prop_oneof![Just((LWW, Key::none())), value().prop_map(|value| (SET, Key::value(&value)))];
    let stamp = option::of((reading(), replica()).prop_map(|(reading, author)| Stamp { reading, author }));
    prop_oneof![
        (record(), 0u64..9).prop_map(|(record, life)| Condition::Life { record, life }),
        (record(), name(), key, stamp).prop_map(|(record, field, (rule, key), stamp)| Condition::Cell { record, field, rule, key, stamp }),
    ]
}

fn pushed() -> impl Strategy<Value = Pushed> {
    let measured = |change: Change| {
        let mut w = Writer::default();
        change.write_pushed(&mut w, BASE_MS);
        let bytes = |value: &Value| value.encoded().len();
        let payload_bytes = |op: &Op| match &op.payload {
            Payload::Set(value) => bytes(value),
            Payload::Unset => 1,
            Payload::Add(amount) => bytes(&Value::Int(*amount)),
            Payload::Entries(entries) => {
                entries.iter().map(|entry| if op.rule == 8 { 1 } else { entry.value.as_ref().map_or(1, bytes) }).max().unwrap_or(0)
            }
            Payload::Values { added, .. } => added.iter().map(bytes).max().unwrap_or(0),
            Payload::Indexed { .. } => 0,
            Payload::Other(encoded) => encoded.len(),
        };
        let value_bytes_max = change.rows.iter().flat_map(|row| &row.ops).map(payload_bytes).max().unwrap_or(0);
        Pushed::Change { change, bytes: w.finish().len(), value_bytes_max }
    };
    prop_oneof![
        3 => change().prop_map(measured),
        1 => (seq(), uniform::<_, 32>(any::<u8>())).prop_map(|(seq, hash)| Pushed::Skip { seq, hash: ChangeHash(hash) }),
    ]
}

fn item() -> impl Strategy<Value = Item> {
    let cells = (replica(), reading()).prop_flat_map(|(author, reading)| {
        rows(reading, Place::Stamped).prop_map(move |rows| Item::Cells { stamp: Stamp { reading, author }, rows })
    });
    let outcome = (seq(), link(), code(), class(), option::of(uint()))
        .prop_map(|(seq, link, code, class, detail)| Item::Outcome(Outcome { seq, link, code, class, detail }));
    let plain = rows(Reading::ZERO, Place::Plain).prop_map(Item::Plain);
    let keyed = (replica(), seq(), rows(Reading::ZERO, Place::Keyed)).prop_map(|(author, seq, rows)| Item::Keyed { author, seq, rows });
    prop_oneof![cells, outcome, plain, keyed]
}

fn connection_message() -> impl Strategy<Value = Message> {
    let limits = || btree_map(0u64..100, uint(), 0..3).prop_map(|limits| limits.into_iter().collect::<Vec<_>>());
    prop_oneof![
        (vec(uint(), 1..3), vec(uint(), 0..3), limits(), option::of(name()))
            .prop_map(|(versions, profiles, limits, token)| Message::Hello(Hello { versions, profiles, limits, token })),
        (uint(), vec(uint(), 0..3), limits(), 0..=MS_MAX).prop_map(|(version, profiles, limits, time_ms)| Message::Welcome(Welcome {
            version,
            profiles,
            limits,
            time_ms
        })),
        uint().prop_map(Message::Ping),
        (uint(), 0..=MS_MAX).prop_map(|(number, time_ms)| Message::Pong { number, time_ms }),
        (code(), class(), option::of(uint()), ".{0,60}").prop_map(|(code, class, detail, text)| Message::Error(ErrorMessage {
            code,
            class,
            detail,
            text
        })),
        (0u64..=86_400_000).prop_map(|wait_ms| Message::Bye { wait_ms }),
    ]
}

fn space_message() -> impl Strategy<Value = Message> {
    let cursor = (uint(), history(), option::of(uint())).prop_map(|(position, history, staged)| {
        // SYNC-32
        Cursor { position, history, staged: staged.map(|staged: u64| staged.max(position)) }
    });
    prop_oneof![
        (name(), replica(), uint(), option::of(cursor)).prop_map(|(space, replica, settled, cursor)| Message::Open(Open {
            space,
            replica,
            settled,
            cursor,
            collections: None,
            known: None,
            names: None
        })),
        // An `opened` sets the base of what follows it, so that it is the same throughout.
        (uint(), history(), uint(), link(), 0u64..5).prop_map(|(position, history, last_seq, link, reset)| {
            Message::Opened(Opened { position, history, last_seq, link, base_ms: BASE_MS, reset, rights: None })
        }),
        Just(Message::Shut),
        vec(pushed(), 1..4).prop_map(|items| Message::Push(Push { author: None, items })),
        (seq(), uint(), 1u64..3).prop_map(|(seq, position, durability)| Message::Ack(Ack {
            seq,
            position,
            durability,
            numbers: Vec::new()
        })),
        (seq(), uint(), code(), class(), option::of(uint())).prop_map(|(seq, position, code, class, detail)| Message::Reject(Reject {
            seq,
            position,
            code,
            class,
            detail
        })),
        (uint(), replica(), change()).prop_map(|(position, author, change)| Message::Change(PlacedChange { position, author, change })),
        (any::<bool>(), uint(), history(), vec(item(), 0..4)).prop_map(|(last, to, history, items)| Message::States(States {
            last,
            to,
            history,
            items,
            replaced: Vec::new()
        })),
        (uint(), history(), uniform::<_, 16>(any::<u8>()), option::of(uint()), option::of(uint())).prop_map(
            |(position, history, fingerprint, backed_up, horizon)| {
                Message::Mark(Mark { position, history, fingerprint, backed_up, horizon })
            }
        ),
        (uint(), replica(), seq(), code()).prop_map(|(position, author, seq, code)| Message::Void(Void {
            position,
            author,
            seq,
            code,
            link: None
        })),
    ]
}

/// A frame of a few messages, whatever a state machine would say to them.
pub fn frame() -> impl Strategy<Value = Frame> {
    let message = prop_oneof![1 => connection_message(), 3 => space_message()];
    (any::<u16>(), vec(message, 1..4)).prop_map(|(channel, messages)| Frame { channel, messages })
}
