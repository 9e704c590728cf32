//! Bytes of any kind, fed to the codec and to both machines: nothing panics, and what is kept can be opened. (CODEC-13, CODEC-14)

use proptest::prelude::*;
use syncline::sim::hostile;

/// How a recorded story is spoilt.
#[derive(Debug, Clone)]
enum Damage {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Drop(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
    Put(prop::sample::Index, Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        1 => at().prop_map(Damage::Cut),
        2 => (at(), 1_usize..80).prop_map(|(at, count)| Damage::Drop(at, count)),
        2 => (at(), 1_usize..80).prop_map(|(at, count)| Damage::Repeat(at, count)),
        2 => (at(), prop::collection::vec(any::<u8>(), 1..40)).prop_map(|(at, bytes)| Damage::Put(at, bytes)),
    ]
}

fn damaged(mut story: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        if story.is_empty() {
            break;
        }
        let length = story.len();
        match damage {
            Damage::Flip(at, bits) => story[at.index(length)] ^= bits,
            Damage::Cut(at) => story.truncate(at.index(length)),
            Damage::Drop(at, count) => drop(story.drain(at.index(length)..(at.index(length) + count).min(length))),
            Damage::Repeat(at, count) => {
                let again = story[at.index(length)..(at.index(length) + count).min(length)].to_vec();
                story.splice(at.index(length)..at.index(length), again);
            }
            Damage::Put(at, bytes) => drop(story.splice(at.index(length)..at.index(length), bytes.iter().copied())),
        }
    }
    story
}

/// The stories that the damage is done to reach what there is to reach.
#[test]
fn recorded_stories_run_again_to_the_same_end() {
    let recorded = hostile::record();
    assert_eq!(hostile::server(&recorded.server), 7, "changes that the server accepted");
    let shown: Vec<usize> = recorded.clients.iter().map(|story| hostile::client(story)).collect();
    assert_eq!(shown, [4, 4], "records that the clients show after the link");
}

proptest! {
    #[test]
    fn no_bytes_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        hostile::value(&bytes);
        hostile::frame(&bytes);
        hostile::server(&bytes);
        hostile::client(&bytes);
    }

    #[test]
    fn no_damage_to_a_session_is_too_odd(damages in prop::collection::vec(damage(), 1..8), who in 0..3_usize) {
        let recorded = hostile::record();
        if who == 2 {
            hostile::server(&damaged(recorded.server, &damages));
        } else {
            hostile::client(&damaged(recorded.clients[who].clone(), &damages));
        }
    }
}
