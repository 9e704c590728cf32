//! What a change, a catch-up and a reconnect cost against the records of a space and the changes of its history.

use std::process::Command;

use syncline::store::MemoryStore;

use crate::data::{Record, edits, records};
use crate::site::{Site, edit};
use crate::table::{Curve, Row, Target, median, ms};

/// Records, and changes.
const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Records of the space whose history grows.
const SPACE: usize = 1_000;
/// Changes that a catch-up brings.
const BEHIND: usize = 10;
const GOES: usize = 21;
/// Changes before anything is measured: loading leaves the allocator with more free pieces than it can look through at once.
const WARM_UP: usize = 1_000;
/// A cost that grows with the logarithm is twice as high at 10^6 as at 10^3.
const LOGARITHMIC: f64 = 2.0;
const MEASURES: [&str; 3] = ["one change", "a catch-up of 10 changes", "a reconnect"];

/// What costs are held against.
pub const AGAINST: [&str; 2] = ["records in the space", "changes in history"];

/// The server's work in microseconds, of each measure.
type Costs = [f64; 3];

pub fn growth(rows: &mut Vec<Row>, curves: &mut Vec<Curve>) {
    for against in AGAINST {
        tell(rows, curves, against, SIZES.map(|size| in_fresh_process(against, size)));
    }
}

/// A heap that was much larger before makes the allocator itself slow: each size has a process of its own.
fn in_fresh_process(against: &str, size: usize) -> Costs {
    let program = std::env::current_exe().expect("a program knows where it is");
    let output = Command::new(program).args(["--grow", against, &size.to_string()]).output().expect("a program can run itself");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let costs: Vec<f64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    costs.try_into().unwrap_or_else(|_| panic!("no costs of {size} {against}: {said} {}", String::from_utf8_lossy(&output.stderr)))
}

/// The fresh process: prints the costs at one size.
pub fn grow(against: &str, size: &str) {
    let size: usize = size.parse().expect("a number");
    let records = records(if against == AGAINST[0] { size } else { SPACE });
    let mut site = Site::in_memory();
    let (writer, _) = (site.join(), site.join());
    site.connect(writer);
    site.load(writer, &records);
    let written = if against == AGAINST[0] { 0 } else { size };
    for change in edits(written, records.len(), 4) {
        site.write(0, &[edit(&records, &change)]);
        site.run();
    }
    site.connect(1);
    site.settle();
    let [change, catch_up, reconnect] = costs(&mut site, &records);
    println!("{change} {catch_up} {reconnect}");
}

/// What the server does for one change that a subscriber is sent, for a catch-up, and for a reconnect with nothing new.
fn costs(site: &mut Site<MemoryStore>, records: &[Record]) -> Costs {
    let status = site.devices[1].client.status(&site.devices[1].store).expect("memory can be read");
    assert!(status.in_sync, "the reader is in sync before anything is measured: {status:?}");
    let mut changes = edits(WARM_UP + GOES * (1 + BEHIND), records.len(), 5).into_iter();
    let mut write = |site: &mut Site<MemoryStore>| {
        let change = changes.next().expect("there are enough");
        site.write(0, &[edit(records, &change)]);
        site.run();
    };
    (0..WARM_UP).for_each(|_| write(site));
    let mut go = |work: &mut dyn FnMut(&mut Site<MemoryStore>)| {
        ms(median(GOES, || {
            site.cpu = Default::default();
            work(site);
            site.cpu
        })) * 1e3
    };
    let change = go(&mut |site| write(site));
    let again = |site: &mut Site<MemoryStore>| {
        site.cpu = Default::default();
        site.connect(1);
        site.run();
    };
    let catch_up = go(&mut |site| {
        site.disconnect(1);
        (0..BEHIND).for_each(|_| write(site));
        again(site);
    });
    let reconnect = go(&mut |site| {
        site.disconnect(1);
        again(site);
    });
    [change, catch_up, reconnect]
}

fn tell(rows: &mut Vec<Row>, curves: &mut Vec<Curve>, against: &'static str, costs: [Costs; 4]) {
    for (at, measure) in MEASURES.into_iter().enumerate() {
        let points: Vec<(f64, f64)> = SIZES.iter().zip(costs).map(|(size, costs)| (*size as f64, costs[at])).collect();
        let (first, last) = (points[0].1, points[points.len() - 1].1);
        let said = format!("server CPU of {measure} at 10^6 {against}, times that at 10^3");
        let row = Row::new("growth", said, "×", last / first, Target::AtMost(LOGARITHMIC));
        rows.push(row.beside("µs at 10^3", first).beside("µs at 10^6", last));
        curves.push(Curve { against, measure, points });
    }
}
