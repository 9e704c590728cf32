//! W3: a fresh device brings in a whole space. Each system decodes in a process of its own, so that its peak of memory is its own.

use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use syncline::client::{Client, ClientConfig, Input};
use syncline::entropy::Entropy;
use syncline::registry::Profiles;
use syncline::store::{MemoryStore, Transact};

use crate::data::{FIELDS, Record, records};
use crate::library::{Automerge, Library, Loro, Yrs};
use crate::site::{Site, at, config};
use crate::table::{Row, Target, ms};

/// Records at which a library that needs more than a minute to build them is left out.
const BUILDS: usize = 100_000;
/// The code of the profile that packs.
const PACKED: u64 = 8;
/// As hard as zstd is to work on the others.
const LEVEL: i32 = 3;
const IO: &str = "a temporary file can be written and read";

/// What a fresh process said of its decoding.
struct Decoded {
    ms: f64,
    peak_mb: f64,
}

pub fn bootstrap(rows: &mut Vec<Row>, beside: bool) {
    for count in [10_000, BUILDS] {
        let records = records(count);
        let json: String = records.iter().map(|record| record.json() + "\n").collect();
        let unpacked: Vec<u64> = config().profiles.codes().into_iter().filter(|code| *code != PACKED).collect();
        let (unpacked, _) = recorded(&records, ClientConfig { profiles: Profiles::from_codes(&unpacked), ..config() });
        let (frames, now_ms) = recorded(&records, config());
        let each = |bytes: usize| bytes as f64 / count as f64;
        let sum = |frames: &[Vec<u8>]| each(frames.iter().map(Vec::len).sum());
        let folder = tempfile::tempdir().expect(IO);
        let ours = in_fresh_process(folder.path(), "syncline", &lengths(&frames), now_ms, count);
        let mut plain = Row::new("W3", format!("bytes of a record, {count} records, plain"), "B", sum(&unpacked), Target::AtMost(150.0));
        plain = plain.beside("JSON", each(json.len()));
        let mut small = Row::new("W3", format!("the same, packed; beside it with zstd -{LEVEL}"), "B", sum(&frames), Target::AtMost(59.0))
            .beside("zstd of JSON", each(compressed(json.as_bytes())));
        let last = count == BUILDS;
        let target = |bound| if last { Target::AtMost(bound) } else { Target::None };
        let mut time = Row::new("W3", format!("until all is read, {count} records, memory store"), "ms", ours.ms, target(700.0));
        let mut peak = Row::new("W3", format!("peak of memory, {count} records"), "MB", ours.peak_mb, target(120.0));
        if beside {
            for (name, made) in
                [("yrs", snapshot::<Yrs>(&records)), ("loro", snapshot::<Loro>(&records)), ("automerge", snapshot::<Automerge>(&records))]
            {
                plain = plain.beside(name, each(made.len()));
                small = small.beside(name, each(compressed(&made)));
                let theirs = in_fresh_process(folder.path(), name, &made, 0, count);
                time = time.beside(name, theirs.ms);
                peak = peak.beside(name, theirs.peak_mb);
            }
        }
        rows.extend([plain, small, time, peak]);
    }
}

/// The frames by which a fresh device is brought everything, and when it came.
fn recorded(records: &[Record], config: ClientConfig) -> (Vec<Vec<u8>>, u64) {
    let mut site = Site::in_memory();
    let writer = site.join();
    site.connect(writer);
    site.load(writer, records);
    let reader = site.join_with(config);
    let now_ms = site.now_ms();
    site.devices[reader].frames = Some(Vec::new());
    site.connect(reader);
    site.run();
    (site.devices[reader].frames.take().expect("they were kept"), now_ms)
}

fn snapshot<L: Library>(records: &[Record]) -> Vec<u8> {
    let mut doc = L::new(1);
    doc.load(records);
    doc.snapshot()
}

fn compressed(bytes: &[u8]) -> usize {
    zstd::bulk::compress(bytes, LEVEL).expect("memory can be compressed").len()
}

/// Frames with their lengths before them.
fn lengths(frames: &[Vec<u8>]) -> Vec<u8> {
    frames.iter().flat_map(|frame| (frame.len() as u32).to_be_bytes().into_iter().chain(frame.iter().copied())).collect()
}

fn in_fresh_process(folder: &Path, name: &str, bytes: &[u8], now_ms: u64, count: usize) -> Decoded {
    let file = folder.join(name);
    std::fs::File::create(&file).and_then(|mut file| file.write_all(bytes)).expect(IO);
    let program = std::env::current_exe().expect("a program knows where it is");
    let run = || {
        let output =
            Command::new(&program).args(["--decode", name]).arg(&file).arg(now_ms.to_string()).output().expect("a program can run itself");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let numbers: Vec<f64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [time, peak, fields] = numbers.as_slice() else {
            panic!("{name} did not decode: {said} {}", String::from_utf8_lossy(&output.stderr))
        };
        assert_eq!(*fields as usize, count * FIELDS.len(), "{name} shows all fields");
        (*time, *peak)
    };
    let mut runs: Vec<(f64, f64)> = (0..3).map(|_| run()).collect();
    runs.sort_by(|a, b| a.0.total_cmp(&b.0));
    Decoded { ms: runs[1].0, peak_mb: runs[1].1 }
}

/// The fresh process: decodes a file, reads every field, and prints milliseconds, peak megabytes and fields.
pub fn decode(name: &str, file: &str, now_ms: &str) {
    let mut bytes = Vec::new();
    std::fs::File::open(file).and_then(|mut file| file.read_to_end(&mut bytes)).expect(IO);
    let started = Instant::now();
    let fields = match name {
        "yrs" => read::<Yrs>(&bytes),
        "loro" => read::<Loro>(&bytes),
        "automerge" => read::<Automerge>(&bytes),
        _ => replay(&bytes, now_ms.parse().expect("a time in milliseconds")),
    };
    let time = ms(started.elapsed());
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<f64>().ok());
    println!("{time} {} {fields}", peak.unwrap_or(f64::NAN) / 1e3);
}

fn read<L: Library>(bytes: &[u8]) -> usize {
    let mut doc = L::new(2);
    doc.apply(bytes);
    doc.read_all()
}

/// A client takes the frames that the same client was sent before.
fn replay(bytes: &[u8], now_ms: u64) -> usize {
    let mut store = MemoryStore::default();
    let now = at(now_ms);
    let mut client = Client::load(config(), &mut store, Entropy::from_u64(1), now).expect(IO);
    let tell = |client: &mut Client, store: &mut MemoryStore, input| {
        client.handle(now, store, input).expect("the frames are sound");
        store.commit().expect("memory holds it");
        while client.poll().is_some() {}
    };
    tell(&mut client, &mut store, Input::Start);
    tell(&mut client, &mut store, Input::Connected);
    let mut rest = bytes;
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let (frame, behind) = behind.split_at(u32::from_be_bytes(*length) as usize);
        tell(&mut client, &mut store, Input::Frame(frame));
        rest = behind;
    }
    let mut fields = 0;
    client.each_record(&store, None, &mut |_, view| fields += view.fields.len()).expect("memory can be read");
    fields
}
