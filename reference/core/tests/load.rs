//! What a server reads, sends and holds for those it serves, counted: no test here looks at a clock.

#[allow(dead_code, reason = "other tests use the rest of it")]
mod counted;

use counted::{Counted, NOW, Talk, change};
use syncline::change::Cursor;
use syncline::clock::History;
use syncline::message::Message;
use syncline::registry::Code;
use syncline::server::{ConnId, Retention, ServerConfig};

fn code(heard: &[Message]) -> Option<Code> {
    heard.iter().find_map(|message| if let Message::Error(error) = message { Some(error.code) } else { None })
}

/// One transaction holds pushes to two spaces, of which one is damaged: the other's stands and is acknowledged. (SESS-13)
#[test]
fn a_store_error_ends_the_connection_it_failed_and_no_other() {
    let mut talk = Talk::new(Counted::default());
    let (sound, hurt, third) = (ConnId(1), ConnId(2), ConnId(3));
    talk.open(sound, "sound", 1, None);
    talk.open(hurt, "hurt", 2, None);
    talk.open(third, "hurt", 3, None);
    talk.store.damage(b"S\0\0\0\0\0\0\0\x02r");
    talk.push(sound, 1, 1);
    talk.push(hurt, 2, 1);
    talk.commit();
    let (sound_heard, hurt_heard, third_heard) = (talk.hear(sound), talk.hear(hurt), talk.hear(third));
    assert!(matches!(sound_heard.as_slice(), [Message::Ack(ack), ..] if ack.seq == 1), "{sound_heard:?}");
    assert_eq!(code(&hurt_heard), Some(Code::INTERNAL), "{hurt_heard:?}");
    assert_eq!(code(&third_heard), None, "{third_heard:?}");
    assert_eq!(talk.server.take_faults().len(), 1);
    // The space mends, and nothing of the failed push is in it.
    talk.store.mend();
    talk.open(ConnId(4), "hurt", 2, None);
    talk.push(ConnId(4), 2, 1);
    talk.commit();
    let heard = talk.hear(ConnId(4));
    assert!(heard.iter().any(|message| matches!(message, Message::Ack(ack) if ack.position == 1)), "{heard:?}");
    let heard = talk.hear(third);
    assert!(matches!(heard.as_slice(), [Message::Change(change), ..] if change.position == 1), "{heard:?}");
}

/// A thousand connections that are at rest cost a wake-up nothing until their own time comes. (SESS-7)
#[test]
fn a_wake_up_is_for_those_whose_time_has_come() {
    // Nothing is forgotten here, so that only connections have times.
    let config = ServerConfig { retention: Retention::FOR_EVER, ..ServerConfig::default() };
    let mut talk = Talk::with(Counted::default(), config);
    for id in 1..=1_000 {
        talk.open(ConnId(id), &format!("space {id}"), 1, None);
    }
    talk.at(NOW.mono_ms + 1_000);
    talk.open(ConnId(1_001), "late", 1, None);
    talk.at(NOW.mono_ms + 20_000);
    assert_eq!(talk.tick().len(), 1_000, "all but the late one are pinged");
    talk.at(NOW.mono_ms + 21_000);
    assert_eq!(talk.tick(), [ConnId(1_001)]);
    assert_eq!(talk.server.next_wake(), Some(NOW.mono_ms + 40_000));
}

/// Replicas that write.
const WRITERS: u64 = 200;
/// Changes of one push.
const BATCH: u64 = 50;

/// Lets every writer bring its changes up to the share that makes `total` in all.
fn fill(talk: &mut Talk, from: u64, total: u64) {
    for writer in 1..=WRITERS {
        let id = ConnId(writer);
        talk.connect(id, "s", writer, None);
        // What the writer is to catch up with it leaves.
        while !talk.frame(id).expect("it is answered").iter().any(|message| matches!(message, Message::Opened(_))) {}
        for first in (from / WRITERS..total / WRITERS).step_by(BATCH as usize) {
            let seqs = first + 1..=(first + BATCH).min(total / WRITERS);
            talk.push_all(id, seqs.map(|seq| change(&format!("{writer}-{seq}"), seq, NOW.wall_ms)).collect());
            talk.commit();
        }
        talk.hang_up(id);
    }
}

fn accepted(talk: &Talk) -> usize {
    syncline::server::accepted(&talk.store, "s").expect("a store in memory does not fail").len()
}

/// What it took to serve one reader: calls that read the store, rows they returned, bytes sent.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    reads: u64,
    rows: u64,
    bytes: u64,
}

/// A new reader comes with a cursor that lies so far back, and is brought to the head.
fn catch_up(talk: &mut Talk, id: ConnId, history: History, head: u64, back: u64) -> Cost {
    talk.store.reads.set(0);
    talk.store.rows.set(0);
    let heard = talk.open(id, "s", id.0, Some(Cursor { position: head - back, history, staged: None }));
    assert!(heard.iter().any(|message| matches!(message, Message::Mark(mark) if mark.position == head)), "it is at the head");
    Cost { reads: talk.store.reads.get(), rows: talk.store.rows.get(), bytes: talk.sent[&id] }
}

/// A cursor 10 changes back costs what 10 changes cost, whether ten thousand or a hundred thousand came before them.
#[test]
fn a_catch_up_costs_what_was_missed_and_not_what_is_there() {
    for tail_changes_max in [0, 1_024] {
        let mut talk = Talk::with(Counted::default(), ServerConfig { tail_changes_max, ..ServerConfig::default() });
        let history = history(&mut talk);
        fill(&mut talk, 0, 10_000);
        let small = catch_up(&mut talk, ConnId(1_001), history, 10_000, 10);
        fill(&mut talk, 10_000, 100_000);
        assert_eq!(accepted(&talk), 100_000);
        let large = catch_up(&mut talk, ConnId(1_002), history, 100_000, 10);
        assert_eq!((small.reads, small.rows), (large.reads, large.rows), "tail of {tail_changes_max}");
        // Numbers of 100000 take two bytes more than those of 10000: in ten changes and a few other places.
        assert!(small.bytes.abs_diff(large.bytes) < 64, "{small:?} {large:?}");
        assert!(large.bytes < 2_000 && large.reads < 64, "{large:?}");
        // It is the distance that costs.
        let further = catch_up(&mut talk, ConnId(1_003), history, 100_000, 500);
        assert!(further.bytes > 10 * large.bytes, "{further:?}");
    }
}

fn history(talk: &mut Talk) -> History {
    let heard = talk.open(ConnId(1_000), "s", 1_000, None);
    let opened = heard.iter().find_map(|message| if let Message::Opened(opened) = message { Some(opened.history) } else { None });
    talk.hang_up(ConnId(1_000));
    opened.expect("the space opens")
}

/// While a hundred thousand changes flow, a thousand readers of another collection and one that does not read are kept
/// nothing for; whoever reads in the end has it all. (SYNC-17)
#[test]
fn readers_that_do_not_read_are_kept_nothing_for() {
    const IDLE: u64 = 1_000;
    const RECORDS: u64 = 500;
    let mut talk = Talk::new(Counted::default());
    for reader in 1..=IDLE {
        talk.subscribe(ConnId(reader), "s", reader, None, Some(vec!["elsewhere".into()]));
        talk.hear(ConnId(reader));
        talk.sent.clear();
    }
    let (slow, writer) = (ConnId(IDLE + 1), ConnId(IDLE + 2));
    talk.open(slow, "s", slow.0, None);
    talk.open(writer, "s", writer.0, None);
    for first in (0..100_000).step_by(BATCH as usize) {
        let seqs = first + 1..=first + BATCH;
        talk.push_all(writer, seqs.map(|seq| change(&format!("r{}", seq % RECORDS), seq, NOW.wall_ms + seq)).collect());
        talk.commit();
        talk.hear(writer);
        if first % 10_000 == 0 {
            let most = (1..=slow.0).map(|id| talk.server.queued_bytes(ConnId(id))).max();
            assert_eq!(most, Some(0), "after {first} changes");
            for reader in 1..=IDLE {
                let heard = talk.hear(ConnId(reader));
                assert!(heard.iter().all(|message| !matches!(message, Message::Change(_) | Message::Void(_))), "{heard:?}");
            }
        }
    }
    let most = (1..=IDLE).filter_map(|reader| talk.sent.get(&ConnId(reader))).max();
    assert!(most.is_none_or(|bytes| *bytes < 2_000), "{most:?} bytes for a reader of another collection");
    talk.sent.clear();
    talk.at(NOW.mono_ms + 1_000);
    let heard = talk.hear(slow);
    let mark =
        |heard: &[Message]| heard.iter().find_map(|message| if let Message::Mark(mark) = message { Some(mark.clone()) } else { None });
    assert!(heard.iter().all(|message| !matches!(message, Message::Change(_))), "it gets states, not the changes it missed");
    assert!(talk.sent[&slow] < RECORDS * 100, "{} bytes for {RECORDS} cells", talk.sent[&slow]);
    assert_eq!(mark(&heard).map(|mark| mark.position), Some(100_000));
    let fresh = talk.open(ConnId(IDLE + 3), "s", IDLE + 3, None);
    assert_eq!(mark(&heard), mark(&fresh), "the slow one has what a new one gets");
}
