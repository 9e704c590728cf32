//! W1, a live update; W4, a catch-up; W5, a merge.

use crate::data::{Edit, Record, Scalar, edits, records};
use crate::library::{Automerge, Library, Loro, Yrs};
use crate::site::{Site, edit};
use crate::table::{Row, Target, ms, timed};

const UPDATES: usize = 1_000;
const PIPELINED: usize = 5_000;
/// Reconnects of which the middle one counts.
const GOES: u64 = 5;

/// Bytes that the y-protocol puts before an update: two codes and a length.
fn enveloped(update: usize) -> usize {
    2 + if update < 128 { 1 } else { 2 } + update
}

fn updates(field: usize, count: usize, records: usize) -> Vec<Edit> {
    let mut random = crate::data::Random(field as u64 + 77);
    let value = |random: &mut crate::data::Random| {
        if field == 3 { Scalar::Int(random.below(10) as i64) } else { Scalar::Text(random.words(32, 32)) }
    };
    (0..count).map(|_| Edit { record: random.below(records as u64) as usize, field, value: value(&mut random) }).collect()
}

/// The median bytes of an update out of a library.
fn library_update<L: Library>(records: &[Record], updates: &[Edit]) -> f64 {
    let mut doc = L::new(1);
    doc.load(records);
    let mut sizes: Vec<usize> = Vec::new();
    for update in updates {
        sizes.push(doc.edit(&records[update.record].id, update.field, &update.value, true).len());
    }
    sizes.sort_unstable();
    sizes[sizes.len() / 2] as f64
}

/// A server with so many records, and two devices that hold them.
fn pair(records: &[Record]) -> Site<syncline::store::MemoryStore> {
    let mut site = Site::in_memory();
    let (writer, reader) = (site.join(), site.join());
    site.connect(writer);
    site.load(writer, records);
    site.connect(reader);
    site.settle();
    site
}

pub fn live(rows: &mut Vec<Row>, beside: bool) {
    for (count, targets) in [(10_000, [24.0, 56.0]), (100_000, [27.0, 60.0])] {
        let records = records(count);
        let mut site = pair(&records);
        for ((field, name), target) in [(3, "int"), (0, "32-char text")].into_iter().zip(targets) {
            let updates = updates(field, UPDATES, count);
            let before = site.devices[1].down;
            site.cpu = Default::default();
            for update in &updates {
                site.write(0, &[edit(&records, update)]);
                site.run();
            }
            let bytes = (site.devices[1].down - before) as f64 / UPDATES as f64;
            let cpu = ms(site.cpu) / UPDATES as f64;
            let mut row = Row::new("W1", format!("bytes to a subscriber, {name}, {count} records"), "B", bytes, Target::AtMost(target));
            if beside && count == 10_000 {
                let yrs = library_update::<Yrs>(&records, &updates[..200]);
                row = row.beside("yrs in the y-protocol", enveloped(yrs as usize) as f64);
                row = row.beside("loro, update alone", library_update::<Loro>(&records, &updates[..200]));
                row = row.beside("automerge, change alone", library_update::<Automerge>(&records[..1_000], &small(&updates[..200])));
            }
            rows.push(row);
            let measure = format!("server CPU of an update, {name}, {count} records, memory store");
            rows.push(Row::new("W1", measure, "ms", cpu, Target::AtMost(0.04)));
        }
        let before = site.devices[0].down;
        for update in updates(0, PIPELINED, count) {
            site.write(0, &[edit(&records, &update)]);
            if site.devices[0].client.status(&site.devices[0].store).is_ok_and(|status| status.pending >= 100) {
                site.run();
            }
        }
        site.run();
        let back = (site.devices[0].down - before) as f64 / PIPELINED as f64;
        rows.push(Row::new(
            "W1",
            format!("bytes back to the writer of an update, pipelined, {count} records"),
            "B",
            back,
            Target::AtMost(2.0),
        ));
    }
}

fn small(updates: &[Edit]) -> Vec<Edit> {
    updates.iter().map(|update| Edit { record: update.record % 1_000, ..update.clone() }).collect()
}

fn library_catch_up<L: Library>(records: &[Record], edits: &[Edit]) -> (f64, f64) {
    let mut doc = L::new(1);
    doc.load(records);
    let before = doc.version();
    for edit in edits {
        doc.edit(&records[edit.record].id, edit.field, &edit.value, false);
    }
    let (time, delta) = timed(|| doc.delta(&before));
    (delta.len() as f64, ms(time))
}

/// The reader misses some edits and comes back: bytes both ways, and the server's milliseconds.
fn reconnect(site: &mut Site<syncline::store::MemoryStore>, records: &[Record], edits: &[Edit]) -> (f64, f64) {
    site.disconnect(1);
    for edit_ in edits {
        site.write(0, &[edit(records, edit_)]);
        site.run();
    }
    site.settle();
    let (up, down) = (site.devices[1].up, site.devices[1].down);
    site.cpu = Default::default();
    site.connect(1);
    site.run();
    let cpu = ms(site.cpu);
    site.settle();
    assert!(site.devices[1].client.status(&site.devices[1].store).is_ok_and(|status| status.in_sync), "the reader is in sync");
    ((site.devices[1].down - down + site.devices[1].up - up) as f64, cpu)
}

pub fn catch_up(rows: &mut Vec<Row>, beside: bool) {
    let records = records(100_000);
    let mut site = pair(&records);
    for (k, bytes_max, work_max) in [(1, 80.0 + 400.0, 1.0), (100, 2_400.0 + 400.0, 2.0), (10_000, 155_000.0 + 400.0, 60.0)] {
        let goes: Vec<(f64, f64)> = (0..GOES).map(|go| reconnect(&mut site, &records, &edits(k, records.len(), k as u64 + go))).collect();
        let middle = |of: fn(&(f64, f64)) -> f64| {
            let mut figures: Vec<f64> = goes.iter().map(of).collect();
            figures.sort_by(f64::total_cmp);
            figures[figures.len() / 2]
        };
        let (bytes, cpu) = (middle(|go| go.0), middle(|go| go.1));
        let edits = edits(k, records.len(), k as u64);
        let mut row = Row::new("W4", format!("bytes of a whole reconnect, k = {k}, both ways"), "B", bytes, Target::AtMost(bytes_max));
        let mut work = Row::new("W4", format!("server CPU of the catch-up, k = {k}"), "ms", cpu, Target::AtMost(work_max));
        if beside {
            let (bytes, time) = library_catch_up::<Yrs>(&records, &edits);
            row = row.beside("yrs, delta alone", bytes);
            work = work.beside("yrs", time);
            let (bytes, time) = library_catch_up::<Loro>(&records, &edits);
            row = row.beside("loro, delta alone", bytes);
            work = work.beside("loro", time);
        }
        rows.extend([row, work]);
    }
}

fn library_merge<L: Library>(records: &[Record], ours: &[Edit], theirs: &[Edit]) -> (f64, f64) {
    let (mut a, mut b) = (L::new(1), L::new(2));
    a.load(records);
    let whole = a.snapshot();
    b.apply(&whole);
    let (a_before, b_before) = (a.version(), b.version());
    for edit in ours {
        a.edit(&records[edit.record].id, edit.field, &edit.value, false);
    }
    for edit in theirs {
        b.edit(&records[edit.record].id, edit.field, &edit.value, false);
    }
    let (from_a, from_b) = (a.delta(&a_before), b.delta(&b_before));
    let (time, ()) = timed(|| a.apply(&from_b));
    (ms(time), from_a.len().max(from_b.len()) as f64)
}

pub fn merge(rows: &mut Vec<Row>, beside: bool) {
    const EDITS: usize = 10_000;
    let records = records(1_000);
    let (ours, theirs) = (edits(EDITS, records.len(), 1), edits(EDITS, records.len(), 2));
    let mut site = pair(&records);
    site.disconnect(0);
    site.disconnect(1);
    for (device, edits) in [(0, &ours), (1, &theirs)] {
        for edit_ in edits {
            site.write(device, &[edit(&records, edit_)]);
        }
    }
    site.connect(0);
    site.settle();
    let (up, down) = (site.devices[1].up, site.devices[1].down);
    (site.cpu, site.devices[1].cpu) = Default::default();
    site.connect(1);
    site.settle();
    let bytes = (site.devices[1].down - down).max(site.devices[1].up - up) as f64;
    let time = ms(site.devices[1].cpu);
    let mut bytes = Row::new("W5", "bytes of a way, 10k + 10k edits, through the server", "B", bytes, Target::AtMost(130_000.0));
    let mut time = Row::new("W5", "the second device merges 10k and sends 10k", "ms", time, Target::AtMost(8.0));
    if beside {
        for (name, (spent, size)) in [
            (Yrs::NAME, library_merge::<Yrs>(&records, &ours, &theirs)),
            (Loro::NAME, library_merge::<Loro>(&records, &ours, &theirs)),
            (Automerge::NAME, library_merge::<Automerge>(&records, &ours, &theirs)),
        ] {
            bytes = bytes.beside(name, size);
            time = time.beside(name, spent);
        }
    }
    rows.extend([time, bytes]);
}
