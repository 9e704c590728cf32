//! Two sets of cells are reconciled by ranges, and what that costs. (REPAIR-2 to REPAIR-4, REPAIR-9)

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Bound;

use proptest::collection::btree_map;
use proptest::prelude::*;
use syncline::message::{AddressRange, Message, Ranges, encode_frame};
use syncline::ranges::{self, Cells, contains};

/// Addresses and digests.
#[derive(Debug, Clone, PartialEq, Default)]
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

/// What a repair came to.
#[derive(Debug, Default)]
struct Cost {
    rounds: u64,
    /// Bytes of the questions and answers.
    bytes: usize,
    /// Cells sent.
    cells: usize,
}

fn size(ranges: &Ranges) -> usize {
    encode_frame(1, &[Message::Ranges(ranges.clone())], 0).len()
}

/// The client's cells become the server's; none where the server declined.
fn repair(client: &mut Set, server: &mut Set, seed: u64) -> Option<Cost> {
    let Ok(mut question) = ranges::first(client, seed);
    let mut cost = Cost::default();
    loop {
        let Ok(answer) = ranges::answer(server, &question);
        let answer = answer?;
        cost.rounds += 1;
        cost.bytes += size(&question) + size(&answer.ranges);
        for range in &answer.replaced {
            client.0.retain(|address, _| !contains(range, address));
            let given: Vec<_> = server.0.iter().filter(|(address, _)| contains(range, address)).collect();
            cost.cells += given.len();
            client.0.extend(given.into_iter().map(|(address, digest)| (address.clone(), *digest)));
        }
        let Ok(next) = ranges::next(client, &answer.ranges);
        match next {
            Some(next) => question = next,
            None => return Some(cost),
        }
    }
}

fn cells(max: usize) -> impl Strategy<Value = Set> {
    btree_map(proptest::collection::vec(0u8..4, 1..6), 0u8..2, 0..max).prop_map(|cells| {
        let digest = |address: &Vec<u8>, value| syncline::hash::sha256(&[address.as_slice(), &[value]].concat());
        Set(cells.into_iter().map(|(address, value)| (address.clone(), digest(&address, value))).collect())
    })
}

proptest! {
    #[test]
    fn any_two_sets_become_equal(mut client in cells(300), mut server in cells(300), seed in any::<u64>()) {
        let cost = repair(&mut client, &mut server, seed >> 11).expect("so few ranges are never declined");
        prop_assert_eq!(&client, &server);
        prop_assert!(cost.rounds <= 16, "{cost:?}");
    }

    #[test]
    fn an_answer_replaces_only_what_differs(mut client in cells(200), mut server in cells(200)) {
        let before = client.clone();
        let Ok(question) = ranges::first(&mut client, 1);
        let Ok(answer) = ranges::answer(&mut server, &question);
        for (lower, upper) in answer.expect("so few ranges are never declined").replaced {
            let inside = |set: &Set| set.0.iter().filter(|(address, _)| contains(&(lower.clone(), upper.clone()), address)).map(|(a, d)| (a.clone(), *d)).collect::<Vec<_>>();
            prop_assert_ne!(inside(&before), inside(&server));
        }
    }
}

/// A set of `count` cells that lie `gap` apart.
fn spread(count: u64) -> Set {
    Set((0..count).map(|at| ((at * 7).to_be_bytes().to_vec(), syncline::hash::sha256(&at.to_be_bytes()))).collect())
}

/// With d differences among n cells, what is sent grows as d log n: some 1.5 KiB for each level of a tree of 16 branches,
/// and a list of 32 cells at its foot.
#[test]
fn what_is_sent_grows_with_the_differences_and_not_with_the_cells() {
    for count in [1_000, 10_000, 100_000] {
        for differences in [1u64, 10] {
            let mut server = spread(count);
            let mut client = server.clone();
            for at in 0..differences {
                client.0.insert((at * (count / differences) * 7).to_be_bytes().to_vec(), [0; 32]);
            }
            let cost = repair(&mut client, &mut server, 5).expect("so few ranges are never declined");
            assert_eq!(client, server);
            assert_eq!(cost.cells as u64, differences, "{count} cells");
            let levels = u64::from(count.ilog2().div_ceil(4));
            let bound = differences * (levels * 1_536 + 2_048);
            assert!(cost.bytes as u64 <= bound, "{differences} of {count}: {} bytes, more than {bound}", cost.bytes);
        }
    }
}

#[test]
fn a_seed_changes_every_digest() {
    assert_ne!(ranges::seeded(1, &[7; 32]), ranges::seeded(2, &[7; 32]));
}

#[test]
fn sets_without_anything_in_common_are_not_compared_to_the_end() {
    let mut server = spread(200_000);
    let mut client = Set(server.0.iter().enumerate().filter(|(at, _)| at % 2 == 0).map(|(_, (a, d))| (a.clone(), *d)).collect());
    assert!(repair(&mut client, &mut server, 1).is_none());
}
