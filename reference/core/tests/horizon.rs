//! Forgetting what was deleted changes nothing that shows. (HORIZON-1, HORIZON-4, HORIZON-8, HORIZON-11)

use proptest::collection::vec;
use proptest::prelude::*;
use syncline::change::{Change, Op, Payload, RecordName, Row};
use syncline::clock::{Reading, Replica};
use syncline::limits::CLOCK_ADMIT_MS;
use syncline::rules::{LWW, State};
use syncline::sim::{Faults, run};
use syncline::space::Space;
use syncline::store::MemoryStore;
use syncline::value::Value;

/// What happens next: a write, or the horizon moves.
#[derive(Debug, Clone)]
enum Step {
    Write { author: u8, record: u8, field: u8, value: Option<u8>, deletes: bool, late_ms: u64 },
    Forget { behind: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let write = (0u8..3, 0u8..3, 0u8..2, any::<Option<u8>>(), 0u8..4, prop_oneof![Just(0u64), 0u64..3_000_000]).prop_map(
        |(author, record, field, value, deletes, late_ms)| Step::Write { author, record, field, value, deletes: deletes == 0, late_ms },
    );
    prop_oneof![4 => write, 1 => (0u64..6).prop_map(|behind| Step::Forget { behind })]
}

/// A server's state and the horizon of one that forgets.
struct Side {
    store: MemoryStore,
    horizon: (u64, u64),
    greatest_life: u64,
}

impl Side {
    fn new() -> Self {
        Self { store: MemoryStore::default(), horizon: (0, 0), greatest_life: 0 }
    }
}

const SPACE_MS: u64 = 400_000;

fn change(space: &Space, store: &MemoryStore, seq: u64, now_ms: u64, step: &Step) -> Option<(Replica, Change)> {
    let Step::Write { author, record, field, value, deletes, late_ms } = step else { return None };
    let record = RecordName { collection: "c".into(), id: format!("r{record}") };
    let life = space.life(store, &record).expect("memory does not fail").life;
    let (life, ops) = match (life % 2 == 1, deletes) {
        (true, true) => (life + 1, Vec::new()),
        (alive, _) => {
            let payload = value.map_or(Payload::Unset, |value| Payload::Set(Value::Int(i64::from(value))));
            (if alive { life } else { life + 1 }, vec![Op { field: format!("f{field}"), rule: LWW, after: None, payload }])
        }
    };
    let reading = Reading::new(now_ms.saturating_sub(*late_ms), 0)?;
    let rows = vec![Row { record, life, ops }];
    Some((Replica([*author; 16]), Change { seq, reading, rows, origin: None, extra: Vec::new() }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Two servers take the same changes, of which one forgets: their fingerprints are equal all the way, as long as what is
    /// stale is refused by both.
    #[test]
    fn a_server_that_forgets_has_the_state_of_one_that_does_not(steps in vec(step(), 1..60)) {
        let space = Space::new(b"s");
        let (mut keeps, mut forgets) = (Side::new(), Side::new());
        let mut position: u64 = 0;
        let mut times = vec![0];
        for (at, step) in steps.iter().enumerate() {
            let now_ms = 10_000_000 + at as u64 * SPACE_MS;
            if let Step::Forget { behind } = step {
                let upto = position.saturating_sub(*behind);
                if upto > forgets.horizon.0 {
                    let ms = times[upto as usize];
                    let may_go = |_: &RecordName, state: Option<&State>| !matches!(state, Some(State::Stamped(cell)) if cell.stamp.reading.ms() > ms + CLOCK_ADMIT_MS);
                    let done = space.forget_gone(&mut forgets.store, (forgets.horizon.0, upto), 3, &may_go).expect("memory does not fail");
                    forgets.greatest_life = forgets.greatest_life.max(done.greatest_life);
                    forgets.horizon = (done.reached, ms);
                }
                continue;
            }
            let Some((author, change)) = change(&space, &forgets.store, position + 1, now_ms, step) else { continue };
            let stale = forgets.horizon.0 > 0 && change.reading.ms() <= forgets.horizon.1 + CLOCK_ADMIT_MS;
            if stale && space.writes_what_is_not_held(&forgets.store, author, &change).expect("memory does not fail") {
                continue;
            }
            // Who knows of a deletion that the server forgot writes in a later life: so does the server that keeps all.
            let lives = |side: &Side| space.life(&side.store, &change.rows[0].record).expect("memory does not fail").life;
            if lives(&keeps) != lives(&forgets) {
                continue;
            }
            position += 1;
            times.push(now_ms);
            space.apply(&mut keeps.store, author, &change, position).expect("memory does not fail");
            space.apply(&mut forgets.store, author, &change, position).expect("memory does not fail");
            let print = |side: &Side| space.fingerprint(&side.store, true).expect("memory does not fail");
            prop_assert_eq!(print(&keeps), print(&forgets));
        }
        let shown = |side: &Side| -> Vec<_> {
            let names = space.records(&side.store, None).expect("memory does not fail");
            let view = |name: RecordName| Some((name.clone(), space.record(&side.store, &name).expect("memory does not fail").view()?));
            names.into_iter().filter_map(view).collect()
        };
        prop_assert_eq!(shown(&keeps), shown(&forgets));
    }
}

/// The same worlds with and without a horizon: both come to rest, and the one that forgets holds less.
#[test]
fn worlds_with_a_horizon_hold_less_and_come_to_rest() {
    let (mut kept, mut held, mut behind) = (0, 0, 0);
    for seed in 1_000..1_040 {
        let forgets = run(seed, &Faults::short_memory()).unwrap_or_else(|violation| panic!("{violation:?}"));
        let keeps = run(seed, &Faults { retention_ms: 0, ..Faults::short_memory() }).unwrap_or_else(|violation| panic!("{violation:?}"));
        (kept, held, behind) = (kept + keeps.gone, held + forgets.gone, behind + forgets.behind_horizon);
    }
    assert!(held * 2 < kept, "{held} of {kept} were kept");
    assert!(behind > 0, "no reader was left behind");
}
