//! W7: a change of ten ops as bytes; W6: a comparison of two states that differ in few cells.

use std::convert::Infallible;
use std::hint::black_box;

use minicbor::{Decode, Encode};
use negentropy::{Id, Negentropy, NegentropyStorageVector};
use sha2::{Digest, Sha256};
use syncline::change::{Change, Op, Payload, Pushed, RecordName, Row as Part};
use syncline::clock::Reading;
use syncline::message::{AddressRange, Message, Push, decode_frame, encode_frame};
use syncline::ranges::{self, Cells};
use syncline::registry::Profiles;
use syncline::rules::LWW;
use syncline::value::Value;

use crate::table::{Row, Target, median, ms, timed};

const BASE_MS: u64 = 1_700_000_000_000;
/// The ops of each of three records.
const OPS: [usize; 3] = [4, 3, 3];
const GOES: u32 = 10_000;

fn text(at: usize) -> String {
    if at.is_multiple_of(2) { format!("{at:032}") } else { format!("{at:07}") }
}

fn frame() -> (Vec<u8>, [Message; 1]) {
    let op = |at: usize| Op { field: format!("field{at}"), rule: LWW, after: None, payload: Payload::Set(Value::Text(text(at))) };
    let row = |(nth, ops): (usize, &usize)| {
        let record = RecordName { collection: "r".into(), id: format!("{nth:016}") };
        Part { record, life: 1, ops: (0..*ops).map(op).collect() }
    };
    let reading = Reading::new(BASE_MS, 0).expect("within the range of readings");
    let change = Change { seq: 1, reading, rows: OPS.iter().enumerate().map(row).collect(), origin: None, extra: Vec::new() };
    let message = [Message::Push(Push { author: None, items: vec![Pushed::Change { change, bytes: 0, value_bytes_max: 0 }] })];
    (encode_frame(1, &message, BASE_MS), message)
}

/// The same change as minicbor's own shapes: nothing is checked but the types.
#[derive(Encode, Decode)]
struct Grouped {
    #[cbor(n(0), with = "minicbor::bytes")]
    actor: [u8; 16],
    #[n(1)]
    seq: u64,
    #[n(2)]
    ms: u64,
    #[n(3)]
    rows: Vec<GroupedRow>,
}

#[derive(Encode, Decode)]
struct GroupedRow {
    #[n(0)]
    record: String,
    #[n(1)]
    ops: Vec<GroupedOp>,
}

#[derive(Encode, Decode)]
struct GroupedOp {
    #[n(0)]
    field: String,
    #[n(1)]
    value: String,
}

fn grouped() -> Grouped {
    let op = |at: usize| GroupedOp { field: format!("field{at}"), value: text(at) };
    let row = |(nth, ops): (usize, &usize)| GroupedRow { record: format!("{nth:016}"), ops: (0..*ops).map(op).collect() };
    Grouped { actor: [7; 16], seq: 1, ms: BASE_MS, rows: OPS.iter().enumerate().map(row).collect() }
}

/// Microseconds of one go.
fn us(mut go: impl FnMut()) -> f64 {
    let each = median(7, || timed(|| (0..GOES).for_each(|_| go())).0);
    ms(each) * 1e3 / f64::from(GOES)
}

pub fn codec(rows: &mut Vec<Row>, beside: bool) {
    let (bytes, message) = frame();
    let encode = us(|| drop(black_box(encode_frame(1, black_box(&message), BASE_MS))));
    let decode = us(|| {
        let _ = black_box(decode_frame(black_box(&bytes), Profiles::CORE, |_| BASE_MS).is_ok());
    });
    let mut size = Row::new("W7", "bytes of a push of ten ops", "B", bytes.len() as f64, Target::AtMost(300.0));
    let mut encode = Row::new("W7", "encode it", "µs", encode, Target::AtMost(0.5));
    let mut decode = Row::new("W7", "decode it, strictly", "µs", decode, Target::AtMost(1.0));
    if beside {
        let (grouped, name) = (grouped(), "minicbor, not strict");
        let bytes = minicbor::to_vec(&grouped).expect("memory takes all");
        size = size.beside(name, bytes.len() as f64);
        encode = encode.beside(name, us(|| drop(black_box(minicbor::to_vec(black_box(&grouped))))));
        decode = decode.beside(
            name,
            us(|| {
                let _ = black_box(minicbor::decode::<Grouped>(black_box(&bytes)).is_ok());
            }),
        );
    }
    rows.extend([size, encode, decode]);
}

/// The cells of a state, sorted by address.
struct Sorted(Vec<(Vec<u8>, [u8; 32])>);

impl Cells for &Sorted {
    type Error = Infallible;

    fn each(&mut self, (lower, upper): &AddressRange, see: &mut dyn FnMut(&[u8], &[u8; 32])) -> Result<(), Infallible> {
        let first = self.0.partition_point(|(address, _)| address < lower);
        let inside = self.0[first..].iter().take_while(|(address, _)| upper.is_empty() || address < upper);
        inside.for_each(|(address, digest)| see(address, digest));
        Ok(())
    }
}

/// A cell of the state: a record's field, and the digest of what it holds.
fn cell(at: usize) -> (Vec<u8>, [u8; 32]) {
    let id: [u8; 32] = Sha256::digest(at.to_be_bytes()).into();
    let name: String = id[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    (name.into_bytes(), id)
}

/// Bytes both ways and rounds until it is known which cells differ.
fn compare(ours: &Sorted, theirs: &Sorted) -> (usize, usize) {
    let Ok(first) = ranges::first(&mut &*ours, 9);
    let (mut asked, mut bytes, mut rounds) = (Some(first), 0, 0);
    while let Some(question) = asked {
        bytes += encode_frame(1, &[Message::Ranges(question.clone())], BASE_MS).len();
        rounds += 1;
        let Ok(answer) = ranges::answer(&mut &*theirs, &question);
        let Some(answer) = answer else { return (bytes, rounds) };
        bytes += encode_frame(1, &[Message::Ranges(answer.ranges.clone())], BASE_MS).len();
        let Ok(next) = ranges::next(&mut &*ours, &answer.ranges);
        asked = next;
    }
    (bytes, rounds)
}

fn beside_negentropy(count: usize, missing: impl Fn(usize) -> (bool, bool)) -> (usize, usize) {
    let storage = |wanted: &dyn Fn(usize) -> bool| {
        let mut storage = NegentropyStorageVector::new();
        for at in (0..count).filter(|at| wanted(*at)) {
            storage.insert(1_700_000_000 + at as u64 / 10, Id::from_byte_array(cell(at).1)).expect("it is not sealed");
        }
        storage.seal().expect("it was not sealed");
        storage
    };
    let (a, b) = (storage(&|at| !missing(at).0), storage(&|at| !missing(at).1));
    let mut asking = Negentropy::borrowed(&a, 0).expect("no bound on frames");
    let mut answering = Negentropy::borrowed(&b, 0).expect("no bound on frames");
    let (mut bytes, mut rounds) = (0, 0);
    let mut asked = Some(asking.initiate().expect("it begins"));
    let (mut have, mut need) = (Vec::new(), Vec::new());
    while let Some(question) = asked {
        let answer = answering.reconcile(&question).expect("it was asked");
        (bytes, rounds) = (bytes + question.len() + answer.len(), rounds + 1);
        asked = asking.reconcile_with_ids(&answer, &mut have, &mut need).expect("it was answered");
    }
    (bytes, rounds)
}

pub fn repair(rows: &mut Vec<Row>, beside: bool) {
    const COUNT: usize = 1_000_000;
    for differences in [1, 100, 10_000] {
        let step = COUNT / differences;
        // Spread evenly, half missing on each side.
        let missing = |at: usize| {
            let (differs, ours) = (at.is_multiple_of(step), (at / step).is_multiple_of(2));
            (differs && ours, differs && !ours)
        };
        let state = |wanted: &dyn Fn(usize) -> bool| {
            let mut cells: Vec<_> = (0..COUNT).filter(|at| wanted(*at)).map(cell).collect();
            cells.sort_unstable();
            Sorted(cells)
        };
        let (ours, theirs) = (state(&|at| !missing(at).0), state(&|at| !missing(at).1));
        let (bytes, rounds) = compare(&ours, &theirs);
        let mut size =
            Row::new("W6", format!("bytes until {differences} differing of 10^6 cells are known"), "B", bytes as f64, Target::None);
        let mut trips = Row::new("W6", "round trips of that", "", rounds as f64, Target::None);
        if beside {
            let (bytes, rounds) = beside_negentropy(COUNT, missing);
            size.target = Target::AtMost(bytes as f64);
            size = size.beside("negentropy", bytes as f64);
            trips.target = Target::AtMost(rounds as f64);
            trips = trips.beside("negentropy", rounds as f64);
        }
        rows.extend([size, trips]);
    }
}
