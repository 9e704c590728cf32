//! Reading and writing a ten-op change, beside ciborium on the same bytes in the same run.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use syncline::change::{Change, Op, Payload, Pushed, RecordName, Row};
use syncline::clock::Reading;
use syncline::message::{Message, Push, decode_frame, encode_frame};
use syncline::registry::Profiles;
use syncline::rules::LWW;
use syncline::value::Value;

fn change() -> Change {
    let op = |n: i64| Op { field: format!("field{n}"), rule: LWW, after: None, payload: Payload::Set(Value::Int(n * 1_000)) };
    let record = RecordName { collection: "todos".into(), id: "t1".into() };
    let row = Row { record, life: 1, ops: (0..10).map(op).collect() };
    let reading = Reading::new(1_700_000_000_000, 0).expect("within the range of readings");
    Change { seq: 1, reading, rows: vec![row], origin: None, extra: Vec::new() }
}

fn ten_ops(criterion: &mut Criterion) {
    let base_ms = 1_700_000_000_000;
    let message = [Message::Push(Push { author: None, items: vec![Pushed::Change { change: change(), bytes: 0, value_bytes_max: 0 }] })];
    let frame = encode_frame(1, &message, base_ms);
    let mut group = criterion.benchmark_group(format!("ten-op push, {} bytes", frame.len()));
    group.bench_function("encode", |b| b.iter(|| encode_frame(1, black_box(&message), base_ms)));
    group.bench_function("decode", |b| b.iter(|| decode_frame(black_box(&frame), Profiles::CORE, |_| base_ms)));
    // Behind the channel, one byte, stands one item.
    group.bench_function("decode by ciborium, not strict", |b| {
        b.iter(|| ciborium::from_reader::<ciborium::Value, _>(black_box(&frame[1..])));
    });
    group.finish();
}

criterion_group!(benches, ten_ops);
criterion_main!(benches);
