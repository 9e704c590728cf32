//! The join of two states of one cell, by rule, and the reconciliation of two sets of cells by ranges.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::hint::black_box;
use std::ops::Bound;

use criterion::{Criterion, criterion_group, criterion_main};
use syncline::clock::{Reading, Replica, Stamp};
use syncline::message::AddressRange;
use syncline::ranges::{self, Cells};
use syncline::rules::{COUNTER, LWW, Lww, MAX, MIN, MULTI, State};
use syncline::value::Value;

fn joins(criterion: &mut Criterion) {
    let stamped = |n: u8| {
        let reading = Reading::new(1_700_000_000_000 + u64::from(n), 0).expect("within the range of readings");
        State::Stamped(Lww { stamp: Stamp { reading, author: Replica([n; 16]) }, value: Some(Value::Int(i64::from(n))) })
    };
    let pairs = [
        ("lww", LWW, stamped(1), stamped(2)),
        ("max", MAX, State::Extreme(Value::Int(1)), State::Extreme(Value::Int(2))),
        ("min", MIN, State::Extreme(Value::Int(1)), State::Extreme(Value::Int(2))),
        ("counter", COUNTER, State::Sequenced { seq: 1, value: Value::Int(1) }, State::Sequenced { seq: 2, value: Value::Int(3) }),
        ("multi", MULTI, State::Dot(Some(Value::Int(1))), State::Dot(None)),
    ];
    let mut group = criterion.benchmark_group("join of two states");
    for (name, rule, one, other) in pairs {
        group.bench_function(name, |b| b.iter(|| black_box(one.clone()).join(black_box(other.clone()), rule)));
    }
    group.finish();
}

/// Addresses and digests.
#[derive(Clone)]
struct Set(BTreeMap<Vec<u8>, [u8; 32]>);

impl Cells for Set {
    type Error = Infallible;

    fn each(&mut self, range: &AddressRange, see: &mut dyn FnMut(&[u8], &[u8; 32])) -> Result<(), Infallible> {
        let upper = if range.1.is_empty() { Bound::Unbounded } else { Bound::Excluded(range.1.clone()) };
        for (address, digest) in self.0.range((Bound::Included(range.0.clone()), upper)) {
            see(address, digest);
        }
        Ok(())
    }
}

fn reconciliation(criterion: &mut Criterion) {
    let cell = |n: u32| (n.to_be_bytes().to_vec(), [n.to_le_bytes(); 8].concat().try_into().expect("32 bytes"));
    let mut ours = Set((0..100_000).map(cell).collect());
    let mut group = criterion.benchmark_group("ranges over 100000 cells");
    group.sample_size(10);
    for differing in [1u32, 100] {
        let mut theirs = ours.clone();
        for nth in 0..differing {
            theirs.0.remove(&(nth * 100_000 / differing).to_be_bytes()[..]);
        }
        group.bench_function(format!("{differing} differ"), |b| {
            b.iter(|| {
                let Ok(mut asked) = ranges::first(&mut ours, 7);
                while let Ok(Some(answer)) = ranges::answer(&mut theirs, &asked) {
                    let Ok(Some(next)) = ranges::next(&mut ours, &answer.ranges) else { break };
                    asked = next;
                }
                black_box(asked)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, joins, reconciliation);
criterion_main!(benches);
