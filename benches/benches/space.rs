//! A space in process, without sockets and disk: changes taken in, a reader that missed some or all, and a change that goes to many.

#[path = "../../reference/core/tests/counted/mod.rs"]
#[allow(dead_code, reason = "the tests of the core use the rest of it")]
mod counted;

use std::hint::black_box;

use counted::{Counted, NOW, Talk, change};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use syncline::change::Cursor;
use syncline::clock::History;
use syncline::message::Message;
use syncline::server::ConnId;

const WRITER: ConnId = ConnId(1);
const READER: ConnId = ConnId(1_000_000);
/// Changes of one push.
const BATCH: u64 = 500;

/// A space with so many records, each of a change of its own, and its history.
fn filled(records: u64) -> (Talk, History) {
    let mut talk = Talk::new(Counted::default());
    let heard = talk.open(WRITER, "s", WRITER.0, None);
    let opened = heard.iter().find_map(|message| if let Message::Opened(opened) = message { Some(opened.history) } else { None });
    push(&mut talk, 0, records);
    (talk, opened.expect("the space opens"))
}

fn push(talk: &mut Talk, from: u64, to: u64) {
    for first in (from..to).step_by(BATCH as usize) {
        let seqs = first + 1..=(first + BATCH).min(to);
        talk.push_all(WRITER, seqs.map(|seq| change(&format!("r{seq}"), seq, NOW.wall_ms + seq)).collect());
        talk.commit();
        drained(talk, WRITER);
    }
}

/// Bytes of all that waits for a connection.
fn drained(talk: &mut Talk, id: ConnId) -> usize {
    std::iter::from_fn(|| talk.bytes(id)).map(|frame| frame.len()).sum()
}

/// Bytes that bring a reader from its cursor to the head.
fn brought(talk: &mut Talk, cursor: Option<Cursor>) -> usize {
    talk.connect(READER, "s", READER.0, cursor);
    let bytes = drained(talk, READER);
    talk.hang_up(READER);
    bytes
}

fn merge(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("changes taken in");
    group.throughput(Throughput::Elements(BATCH)).sample_size(20);
    for records in [1_000, 100_000] {
        let (mut talk, _) = filled(records);
        let mut at = records;
        group.bench_function(format!("{records} records"), |b| {
            b.iter(|| {
                push(&mut talk, at, at + BATCH);
                at += BATCH;
            });
        });
    }
    group.finish();
}

fn catch_up(criterion: &mut Criterion) {
    let (mut talk, history) = filled(100_000);
    let mut group = criterion.benchmark_group("a reader of 100000 records");
    group.sample_size(10);
    for missed in [1, 100, 10_000] {
        let cursor = Cursor { position: 100_000 - missed, history, staged: None };
        println!("{missed} missed: {} bytes", brought(&mut talk, Some(cursor.clone())));
        group.bench_function(format!("{missed} missed"), |b| b.iter(|| black_box(brought(&mut talk, Some(cursor.clone())))));
    }
    println!("snapshot: {} bytes", brought(&mut talk, None));
    group.bench_function("snapshot", |b| b.iter(|| black_box(brought(&mut talk, None))));
    group.finish();
}

fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a change to readers");
    for readers in [100, 1_000] {
        let (mut talk, _) = filled(100);
        for reader in 2..2 + readers {
            talk.open(ConnId(reader), "s", reader, None);
        }
        let mut seq = 100;
        group.throughput(Throughput::Elements(readers));
        group.bench_function(format!("{readers}"), |b| {
            b.iter(|| {
                seq += 1;
                talk.push_all(WRITER, vec![change("r1", seq, NOW.wall_ms + seq)]);
                talk.commit();
                (1..2 + readers).map(|reader| drained(&mut talk, ConnId(reader))).sum::<usize>()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, merge, catch_up, fan_out);
criterion_main!(benches);
