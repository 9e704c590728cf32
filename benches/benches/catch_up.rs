//! A reader whose cursor lies 10 changes back, in spaces of 10^4, 10^5 and 10^6 changes by 200 replicas.
//!
//! Beside the time of one catch-up it prints what it cost: calls that read the store, rows they returned, bytes sent.

#[path = "../../reference/core/tests/counted/mod.rs"]
#[allow(dead_code, reason = "the tests of the core use the rest of it")]
mod counted;

use std::hint::black_box;

use counted::{Counted, NOW, Talk, change};
use criterion::{Criterion, criterion_group, criterion_main};
use syncline::change::Cursor;
use syncline::clock::History;
use syncline::message::Message;
use syncline::server::{ConnId, ServerConfig};

const WRITERS: u64 = 200;
/// Changes of one push.
const BATCH: u64 = 50;
const READER: ConnId = ConnId(1_000);

/// Lets every writer bring its changes up to its share of `total`; tells the history.
fn fill(talk: &mut Talk, from: u64, total: u64) -> History {
    let mut history = None;
    for writer in 1..=WRITERS {
        let id = ConnId(writer);
        talk.connect(id, "s", writer, None);
        let opened = |messages: Vec<Message>| {
            messages.into_iter().find_map(|message| if let Message::Opened(opened) = message { Some(opened.history) } else { None })
        };
        let at = std::iter::from_fn(|| talk.frame(id)).find_map(opened);
        history = Some(at.expect("the space opens"));
        for first in (from / WRITERS..total / WRITERS).step_by(BATCH as usize) {
            let seqs = first + 1..=(first + BATCH).min(total / WRITERS);
            talk.push_all(id, seqs.map(|seq| change(&format!("{writer}-{seq}"), seq, NOW.wall_ms)).collect());
            talk.commit();
        }
        talk.hang_up(id);
    }
    history.expect("there are writers")
}

fn catch_up(talk: &mut Talk, cursor: &Cursor) -> u64 {
    talk.sent.clear();
    let heard = talk.open(READER, "s", READER.0, Some(cursor.clone()));
    assert!(heard.iter().any(|message| matches!(message, Message::Mark(mark) if mark.position == cursor.position + 10)));
    talk.hang_up(READER);
    talk.sent[&READER]
}

fn ten_back(criterion: &mut Criterion) {
    for (kind, tail_changes_max) in [("by changes", 1_024), ("by states", 0)] {
        let mut talk = Talk::with(Counted::default(), ServerConfig { tail_changes_max, ..ServerConfig::default() });
        let mut group = criterion.benchmark_group(format!("10 back, {kind}"));
        let mut filled = 0;
        for total in [10_000, 100_000, 1_000_000] {
            let history = fill(&mut talk, filled, total);
            filled = total;
            let cursor = Cursor { position: total - 10, history, staged: None };
            (talk.store.reads, talk.store.rows) = Default::default();
            let bytes = catch_up(&mut talk, &cursor);
            println!("{total} changes: {} reads, {} rows, {bytes} bytes", talk.store.reads.get(), talk.store.rows.get());
            group.bench_function(format!("of {total}"), |b| b.iter(|| black_box(catch_up(&mut talk, &cursor))));
        }
        group.finish();
    }
}

criterion_group!(benches, ten_back);
criterion_main!(benches);
