//! What a replica writes: changes, their rows and ops, in pushed and in literal form. Spec 2 and 6.

mod map;
mod op;

use crate::clock::{History, Reading, Replica};
use crate::codec::{CodecError, Fault, Major, Reader, Writer};
use crate::fault;
use crate::hash::{ChangeHash, Link, sha256};
use crate::limits::{COLLECTION_NAME_BYTES_MAX, INT_MAX, RECORD_ID_BYTES_MAX};

pub use map::{CONDITIONS_KEY, Condition, NEEDS_KEY};
use map::{ORIGIN_KEY, read_map};
pub(crate) use op::Form;
pub use op::{Entry, Op, Payload};
use op::{read_op, write_op};

/// A record's name in its space.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordName {
    /// The collection.
    pub collection: String,
    /// The id within it.
    pub id: String,
}

/// What a change does to one record.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The record.
    pub record: RecordName,
    /// The life it is written in; even: deleted.
    pub life: u64,
    /// Ops in the order of (field, rule). (MODEL-6)
    pub ops: Vec<Op>,
}

/// The name that a re-minted change's rows were first minted under. (IDENT-14)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The replica.
    pub replica: Replica,
    /// Its seq there.
    pub seq: u64,
    /// The link there.
    pub link: Link,
}

/// An atomic change.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Its number among its author's changes, from 1. (MODEL-1)
    pub seq: u64,
    /// When.
    pub reading: Reading,
    /// Rows in the order of their records. (MODEL-6)
    pub rows: Vec<Row>,
    /// Where it was first minted, if elsewhere.
    pub origin: Option<Origin>,
    /// The other keys of the change map, ascending, as their encodings: the same everywhere. (FRAME-7)
    pub extra: Vec<(u64, Vec<u8>)>,
}

/// An item of a push.
#[derive(Debug, Clone, PartialEq)]
pub enum Pushed {
    /// A change.
    Change {
        /// It.
        change: Change,
        /// Its bytes in the push. (LIMIT-3)
        bytes: usize,
        /// The bytes of its largest value. (LIMIT-4)
        value_bytes_max: usize,
    },
    /// Stands for a change that was rejected before. (IDENT-20)
    Skip {
        /// Its seq.
        seq: u64,
        /// Its hash.
        hash: ChangeHash,
    },
}

/// Up to where a store reaches in which history. (SYNC-3)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The last position base holds.
    pub position: u64,
    /// The history it was reached in.
    pub history: History,
    /// The position that a kept part of an incomplete catch-up reaches.
    pub staged: Option<u64>,
}

impl Change {
    /// Ops as the limits count them: a row without ops counts as one, an op of several cells as many. (LIMIT-3)
    pub fn op_count(&self) -> usize {
        self.rows.iter().map(|row| row.ops.iter().map(Op::cell_count).sum::<usize>().max(1)).sum()
    }

    /// The literal change, from which its hash is taken and in which stores keep it. Spec 6.
    pub fn literal(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.array(5);
        w.uint(self.seq);
        w.uint(self.reading.ms());
        w.uint(u64::from(self.reading.counter()));
        w.array(self.rows.len());
        for row in &self.rows {
            w.array(2 + 2 * row.ops.len());
            write_record(&mut w, &row.record);
            w.uint(row.life);
            for op in &row.ops {
                write_op(&mut w, op, write_pair);
            }
        }
        self.write_map(&mut w);
        w.finish()
    }

    /// The change of a literal.
    pub fn from_bytes(literal: &[u8]) -> Result<Self, CodecError> {
        let mut r = Reader::new(literal);
        expect_items(&mut r, 5..=5)?;
        let seq = r.uint()?;
        let reading = read_pair(&mut r)?;
        let mut rows = Vec::new();
        for _ in 0..r.array()? {
            let items = expect_items(&mut r, 2..=usize::MAX)?;
            let record = read_record(&mut r)?;
            let life = r.uint()?;
            let mut ops = Vec::new();
            for _ in 0..(items - 2) / 2 {
                ops.push(read_op(&mut r, &Form::Literal)?.0);
            }
            rows.push(Row { record, life, ops });
        }
        let (origin, extra) = read_map(&mut r, seq)?;
        r.end()?;
        Ok(Self { seq, reading, rows, origin, extra })
    }

    /// SHA-256 over the literal change.
    pub fn hash(&self) -> ChangeHash {
        ChangeHash(sha256(&self.literal()))
    }

    /// Whether the change has a change map.
    pub(crate) fn has_map(&self) -> bool {
        self.origin.is_some() || !self.extra.is_empty()
    }

    /// Writes the change map, empty or not.
    pub(crate) fn write_map(&self, w: &mut Writer) {
        w.map(usize::from(self.origin.is_some()) + self.extra.len());
        if let Some(origin) = &self.origin {
            w.uint(ORIGIN_KEY);
            w.array(3);
            w.bytes(&origin.replica.0);
            w.uint(origin.seq);
            w.bytes(&origin.link.0);
        }
        for (key, encoded) in &self.extra {
            w.uint(*key);
            w.raw(encoded);
        }
    }

    /// Writes the change as an item of a push. Stamps are relative to `base_ms`.
    pub fn write_pushed(&self, w: &mut Writer, base_ms: u64) {
        w.array(2 + self.rows.len() + usize::from(self.has_map()));
        w.uint(self.seq);
        write_stamp(w, self.reading, base_ms);
        self.write_rows_and_map(w, base_ms);
    }

    /// Writes what follows the stamp in a push and in a `change`.
    pub(crate) fn write_rows_and_map(&self, w: &mut Writer, base_ms: u64) {
        self.rows.iter().for_each(|row| write_row(w, row, base_ms));
        if self.has_map() {
            self.write_map(w);
        }
    }

    /// Reads what follows the stamp: `items` of them, where the further rules are agreed or not. Also returns the bytes of
    /// the largest value.
    pub(crate) fn read_rows_and_map(
        r: &mut Reader,
        items: usize,
        (seq, reading): (u64, Reading),
        (base_ms, rules): (u64, bool),
    ) -> Result<(Self, usize), CodecError> {
        let form = Form::Pushed { base_ms, reading, rules };
        let mut change = Self { seq, reading, rows: Vec::new(), origin: None, extra: Vec::new() };
        let mut largest = 0;
        for item in 0..items {
            if item > 0 && item + 1 == items && r.peek()? == Major::Map {
                (change.origin, change.extra) = read_map(r, seq)?;
                if !change.has_map() {
                    return r.fault(Fault::Schema("no empty change map"));
                }
                continue;
            }
            let at = r.position();
            let (row, value_bytes) = read_row(r, &form)?;
            largest = largest.max(value_bytes);
            in_order(at, change.rows.last().map(|before| &before.record), &row.record)?;
            change.rows.push(row);
        }
        if change.rows.is_empty() {
            return r.fault(Fault::Schema("a row"));
        }
        Ok((change, largest))
    }
}

impl Pushed {
    /// The seq it is offered under.
    pub fn seq(&self) -> u64 {
        match self {
            Self::Change { change, .. } => change.seq,
            Self::Skip { seq, .. } => *seq,
        }
    }

    /// Writes an item of a push.
    pub fn write(&self, w: &mut Writer, base_ms: u64) {
        match self {
            Self::Change { change, .. } => change.write_pushed(w, base_ms),
            Self::Skip { seq, hash } => {
                w.array(2);
                w.uint(*seq);
                w.bytes(&hash.0);
            }
        }
    }

    /// Reads an item of a push, where the further rules are agreed or not.
    pub fn read(r: &mut Reader, base_ms: u64, rules: bool) -> Result<Self, CodecError> {
        let start = r.position();
        let items = expect_items(r, 2..=usize::MAX)?;
        let seq = read_seq(r)?;
        if r.peek()? == Major::Bytes {
            let hash = ChangeHash(read_fixed(r, "a hash of 32 bytes")?);
            return if items == 2 { Ok(Self::Skip { seq, hash }) } else { r.fault(Fault::Schema("a skip of two items")) };
        }
        let reading = read_stamp(r, base_ms)?;
        let (change, value_bytes_max) = Change::read_rows_and_map(r, items - 2, (seq, reading), (base_ms, rules))?;
        Ok(Self::Change { change, bytes: r.position() - start, value_bytes_max })
    }
}

/// Writes a row; life 1 is left out.
pub(crate) fn write_row(w: &mut Writer, row: &Row, base_ms: u64) {
    let life_items = if row.life == 1 { 0 } else { 2 };
    w.array(1 + life_items + 2 * row.ops.len());
    write_record(w, &row.record);
    if row.life != 1 {
        w.uint(0);
        w.uint(row.life);
    }
    for op in &row.ops {
        write_op(w, op, |w, after| write_stamp(w, after, base_ms));
    }
}

/// Reads a row and the bytes of its largest value.
pub(crate) fn read_row(r: &mut Reader, form: &Form) -> Result<(Row, usize), CodecError> {
    let items = expect_items(r, 1..=usize::MAX)?;
    let record = read_record(r)?;
    let mut left = items - 1;
    let mut life = 1;
    if left >= 2 && r.peek()? == Major::Uint {
        let at = r.position();
        let (key, found) = (r.uint()?, r.uint()?);
        // Other numbers are columns of the compact profile. A life of 1 is left out.
        if key != 0 || !(2..=INT_MAX as u64).contains(&found) {
            return Err(CodecError { at, fault: Fault::Schema("a column, or 0 and a life above 1") });
        }
        life = found;
        left -= 2;
    }
    if left % 2 == 1 || left > 0 && life % 2 == 0 && !fault::is("model-ops-in-an-even-life") {
        // MODEL-7
        return r.fault(Fault::Schema("pairs of column and op, in an odd life"));
    }
    let mut ops: Vec<Op> = Vec::new();
    let mut largest = 0;
    for _ in 0..left / 2 {
        let at = r.position();
        let (op, bytes) = read_op(r, form)?;
        in_order(at, ops.last().map(|before| (&before.field, before.rule)), (&op.field, op.rule))?;
        largest = largest.max(bytes);
        ops.push(op);
    }
    Ok((Row { record, life, ops }, largest))
}

/// MODEL-5, MODEL-6
fn in_order<T: PartialOrd>(at: usize, before: Option<T>, this: T) -> Result<(), CodecError> {
    match before {
        Some(before) if before == this && fault::is("model-twice-in-a-change") => Ok(()),
        Some(before) if before > this && fault::is("model-any-order") => Ok(()),
        Some(before) if before >= this => Err(CodecError { at, fault: Fault::Schema("ascending order, each once") }),
        _ => Ok(()),
    }
}

fn write_record(w: &mut Writer, record: &RecordName) {
    w.array(2);
    w.text(&record.collection);
    w.text(&record.id);
}

fn read_record(r: &mut Reader) -> Result<RecordName, CodecError> {
    expect_items(r, 2..=2)?;
    let collection = read_name(r, COLLECTION_NAME_BYTES_MAX)?;
    Ok(RecordName { collection, id: read_name(r, RECORD_ID_BYTES_MAX)? })
}

/// A name of at least one byte. (MODEL-8, LIMIT-5)
pub(crate) fn read_name(r: &mut Reader, bytes_max: usize) -> Result<String, CodecError> {
    let at = r.position();
    let name = r.text()?;
    let allowed = (1..=bytes_max).contains(&name.len())
        || name.is_empty() && fault::is("model-empty-names")
        || name.len() > bytes_max && fault::is("limit-long-names");
    if !allowed {
        return Err(CodecError { at, fault: Fault::Schema("a name within its limit") });
    }
    Ok(name.to_owned())
}

/// A seq: 1 or more.
pub(crate) fn read_seq(r: &mut Reader) -> Result<u64, CodecError> {
    let at = r.position();
    match r.uint()? {
        0 => Err(CodecError { at, fault: Fault::Schema("a seq of 1 or more") }),
        seq => Ok(seq),
    }
}

/// Bytes of a fixed length.
pub(crate) fn read_fixed<const N: usize>(r: &mut Reader, expected: &'static str) -> Result<[u8; N], CodecError> {
    let at = r.position();
    r.bytes()?.try_into().map_err(|_| CodecError { at, fault: Fault::Schema(expected) })
}

/// The head of an array whose length lies in the range.
pub(crate) fn expect_items(r: &mut Reader, allowed: std::ops::RangeInclusive<usize>) -> Result<usize, CodecError> {
    let at = r.position();
    let items = r.array()?;
    if allowed.contains(&items) { Ok(items) } else { Err(CodecError { at, fault: Fault::Schema("another number of items") }) }
}

/// Writes a reading relative to `base_ms`: the milliseconds, and the counter unless it is 0. (CLOCK-1)
pub(crate) fn write_stamp(w: &mut Writer, reading: Reading, base_ms: u64) {
    let relative_ms = reading.ms() as i64 - base_ms as i64;
    if reading.counter() == 0 {
        return w.int(relative_ms);
    }
    w.array(2);
    w.int(relative_ms);
    w.uint(u64::from(reading.counter()));
}

/// Reads a reading relative to `base_ms`. (CLOCK-1)
pub(crate) fn read_stamp(r: &mut Reader, base_ms: u64) -> Result<Reading, CodecError> {
    let at = r.position();
    let paired = r.peek()? == Major::Array;
    if paired {
        expect_items(r, 2..=2)?;
    }
    let relative_ms = r.int()?;
    let counter = if paired { r.uint()? } else { 0 };
    let ms = u64::try_from(base_ms as i64 + relative_ms).ok();
    let counter = u16::try_from(counter).ok().filter(|counter| !paired || *counter > 0 || fault::is("clock-counter-of-0"));
    let reading = ms.zip(counter).and_then(|(ms, counter)| Reading::new(ms, counter));
    reading.ok_or(CodecError { at, fault: Fault::Schema("a stamp within its range, a counter of 0 left out") })
}

/// Writes a reading with absolute milliseconds as a pair.
fn write_pair(w: &mut Writer, reading: Reading) {
    w.array(2);
    w.uint(reading.ms());
    w.uint(u64::from(reading.counter()));
}

/// Reads absolute milliseconds and a counter.
fn read_pair(r: &mut Reader) -> Result<Reading, CodecError> {
    let at = r.position();
    let ms = r.uint()?;
    let counter = u16::try_from(r.uint()?).ok();
    counter.and_then(|counter| Reading::new(ms, counter)).ok_or(CodecError { at, fault: Fault::Schema("a reading") })
}
