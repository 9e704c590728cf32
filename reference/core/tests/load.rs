//! What a server reads, sends and holds for those it serves, counted: no test here looks at a clock.

mod counted;

use counted::{Counted, NOW, Talk};
use syncline::message::Message;
use syncline::registry::Code;
use syncline::server::ConnId;

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
    let mut talk = Talk::new(Counted::default());
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
