//! The compact form of `change` and `states`: numbers in the place of names, and back. Spec 22.
//!
//! Both ways walk the same parts of a message and write what stands for a name in another form; all else is copied. So
//! everything above and below knows literal messages only.

use std::collections::BTreeMap;

use super::NewNames;
use crate::change::{RecordName, expect_items, read_fixed, read_name};
use crate::clock::Replica;
use crate::codec::{CodecError, Fault, Major, Reader, Writer};
use crate::limits::{COLLECTION_NAME_BYTES_MAX, FIELD_NAME_BYTES_MAX, FRAME_BYTES_MAX, NAMES_MAX, RECORD_ID_BYTES_MAX};

const OPENED: u64 = 3;
const CHANGE: u64 = 8;
const STATES: u64 = 9;
const NAMES: u64 = 22;

/// How a record that has a number is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordForm {
    /// Number, collection and id.
    Announced(u64),
    /// Number.
    Known(u64),
}

impl RecordForm {
    fn number(self) -> u64 {
        let (Self::Announced(number) | Self::Known(number)) = self;
        number
    }
}

/// The numbers for the names of one message. What is not in it is literal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Numbers {
    /// Records. One that is announced is known for the rest of the message.
    pub records: BTreeMap<RecordName, RecordForm>,
    /// Fields and rules whose numbers the receiver knows.
    pub columns: BTreeMap<(String, u64), u64>,
    /// Authors whose numbers the receiver knows.
    pub replicas: BTreeMap<Replica, u64>,
}

/// The names that a receiver has for numbers.
pub trait Names {
    /// The record of a number.
    fn record(&self, number: u64) -> Option<RecordName>;
    /// The field and rule of a number.
    fn column(&self, number: u64) -> Option<(String, u64)>;
    /// The replica of a number.
    fn replica(&self, number: u64) -> Option<Replica>;
}

/// A frame whose names are literal, and the numbers of records that were announced in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expanded {
    /// The frame.
    pub frame: Vec<u8>,
    /// Numbers and their records, in the order in which they came.
    pub announced: Vec<(u64, RecordName)>,
}

/// The compact form of a literal message of our own. (COMPACT-8)
///
/// # Errors
/// Where the bytes are no message.
pub fn shrink(message: &[u8], numbers: &mut Numbers) -> Result<Vec<u8>, CodecError> {
    let (mut r, mut w) = (Reader::new(message), Writer::default());
    walk_message(&mut r, &mut w, &mut Shrink(numbers))?;
    r.end()?;
    Ok(w.finish())
}

/// The literal form of a frame that came. A `names` in it counts for what follows. (COMPACT-7, COMPACT-10)
///
/// # Errors
/// A number that stands for no name that is known, bytes that are no message, and a literal form above `frame_bytes_max`.
pub fn expand(frame: &[u8], names: &dyn Names) -> Result<Expanded, CodecError> {
    let (mut r, mut w) = (Reader::new(frame), Writer::default());
    let mut expand = Expand {
        names: Some(names),
        fresh: BTreeMap::new(),
        columns: BTreeMap::new(),
        replicas: BTreeMap::new(),
        announced: Vec::new(),
        bytes: 0,
    };
    copy(&mut r, &mut w, 1)?;
    while !r.is_end() {
        walk_message(&mut r, &mut w, &mut expand)?;
    }
    Ok(Expanded { frame: w.finish(), announced: expand.announced })
}

/// What is done with the places of a message that hold a name.
trait Walk {
    fn author(&mut self, r: &mut Reader, w: &mut Writer) -> Result<(), CodecError>;
    fn record(&mut self, r: &mut Reader, w: &mut Writer) -> Result<(), CodecError>;
    fn column(&mut self, r: &mut Reader, w: &mut Writer) -> Result<(), CodecError>;
    /// An `opened` with this reset reason: above 0, what was known is not.
    fn opened(&mut self, reset: u64);
    /// A `names` message, which is copied.
    fn names(&mut self, message: &[u8]) -> Result<(), CodecError>;
}

/// A message that is not of its shape is copied as far as it goes; who reads it refuses it.
fn walk_message(r: &mut Reader, w: &mut Writer, walk: &mut impl Walk) -> Result<(), CodecError> {
    let whole = r.clone();
    let left = expect_items(r, 1..=usize::MAX)? - 1;
    w.array(left + 1);
    let code = r.uint()?;
    w.uint(code);
    match code {
        OPENED if left >= 6 => {
            copy(r, w, 5)?;
            walk.opened(r.clone().uint()?);
            copy(r, w, left - 5)
        }
        CHANGE if left >= 4 => {
            copy(r, w, 1)?;
            walk.author(r, w)?;
            copy(r, w, 2)?;
            walk_rows(r, w, left - 4, walk)
        }
        STATES if left >= 3 => {
            copy(r, w, 3)?;
            (3..left).try_for_each(|_| walk_item(r, w, walk))
        }
        NAMES => {
            copy(r, w, left)?;
            let mut whole = whole;
            walk.names(whole.skip_item()?)
        }
        _ => copy(r, w, left),
    }
}

/// An item of `states`, or its extensions.
fn walk_item(r: &mut Reader, w: &mut Writer, walk: &mut impl Walk) -> Result<(), CodecError> {
    if r.peek()? != Major::Array {
        return copy(r, w, 1);
    }
    let left = expect_items(r, 2..=usize::MAX)? - 1;
    w.array(left + 1);
    if r.peek()? != Major::Nint {
        walk.author(r, w)?;
        copy(r, w, 1)?;
        return walk_rows(r, w, left - 1, walk);
    }
    let tag = r.int()?;
    w.int(tag);
    match tag {
        -4 => walk_rows(r, w, left, walk),
        -5 if left >= 2 => {
            walk.author(r, w)?;
            copy(r, w, 1)?;
            walk_rows(r, w, left - 2, walk)
        }
        _ => copy(r, w, left),
    }
}

/// Rows, and what stands among them that is none.
fn walk_rows(r: &mut Reader, w: &mut Writer, count: usize, walk: &mut impl Walk) -> Result<(), CodecError> {
    for _ in 0..count {
        if r.peek()? != Major::Array {
            copy(r, w, 1)?;
            continue;
        }
        let mut left = expect_items(r, 1..=usize::MAX)? - 1;
        w.array(left + 1);
        walk.record(r, w)?;
        let life = left >= 2 && r.clone().uint() == Ok(0);
        if life {
            copy(r, w, 2)?;
            left -= 2;
        }
        for _ in 0..left / 2 {
            walk.column(r, w)?;
            copy(r, w, 1)?;
        }
        copy(r, w, left % 2)?;
    }
    Ok(())
}

fn copy(r: &mut Reader, w: &mut Writer, items: usize) -> Result<(), CodecError> {
    (0..items).try_for_each(|_| r.skip_item().map(|item| w.raw(item)))
}

fn write_record(w: &mut Writer, number: Option<u64>, record: &RecordName) {
    w.array(2 + usize::from(number.is_some()));
    number.into_iter().for_each(|number| w.uint(number));
    w.text(&record.collection);
    w.text(&record.id);
}

fn read_record(r: &mut Reader) -> Result<RecordName, CodecError> {
    let collection = read_name(r, COLLECTION_NAME_BYTES_MAX)?;
    Ok(RecordName { collection, id: read_name(r, RECORD_ID_BYTES_MAX)? })
}

struct Shrink<'a>(&'a mut Numbers);

impl Walk for Shrink<'_> {
    fn author(&mut self, r: &mut Reader, w: &mut Writer) -> Result<(), CodecError> {
        let replica = Replica(read_fixed(r, "a replica of 16 bytes")?);
        match self.0.replicas.get(&replica) {
            Some(number) => w.uint(*number),
            None => w.bytes(&replica.0),
        }
        Ok(())
    }

    fn record(&mut self, r: &mut Reader, w: &mut Writer) -> Result<(), CodecError> {
        expect_items(r, 2..=2)?;
        let record = read_record(r)?;
        match self.0.records.get_mut(&record) {
            None => write_record(w, None, &record),
            Some(RecordForm::Known(number)) => w.uint(*number),
            Some(form @ RecordForm::Announced(_)) => {
                let number = form.number();
                write_record(w, Some(number), &record);
                *form = RecordForm::Known(number);
            }
        }
        Ok(())
    }

    fn column(&mut self, r: &mut Reader, w: &mut Writer) -> Result<(), CodecError> {
        let items = expect_items(r, 2..=3)?;
        let column = (read_name(r, FIELD_NAME_BYTES_MAX)?, r.uint()?);
        match (self.0.columns.get(&column), items) {
            (Some(number), 2) => w.uint(*number),
            (Some(number), _) => {
                w.array(2);
                w.uint(*number);
            }
            (None, _) => {
                w.array(items);
                w.text(&column.0);
                w.uint(column.1);
            }
        }
        copy(r, w, items - 2)
    }

    fn opened(&mut self, _: u64) {}

    fn names(&mut self, _: &[u8]) -> Result<(), CodecError> {
        Ok(())
    }
}

struct Expand<'a> {
    /// None where base begins anew in this frame.
    names: Option<&'a dyn Names>,
    /// What was announced earlier in the frame.
    fresh: BTreeMap<u64, RecordName>,
    columns: BTreeMap<u64, (String, u64)>,
    replicas: BTreeMap<u64, Replica>,
    announced: Vec<(u64, RecordName)>,
    /// Bytes of the names that were put in.
    bytes: usize,
}

impl Expand<'_> {
    /// What a number stands for, read from here; `found` looks it up.
    fn number<T>(r: &mut Reader, found: impl Fn(u64) -> Option<T>) -> Result<T, CodecError> {
        let at = r.position();
        found(r.uint()?).ok_or(CodecError { at, fault: Fault::UnknownNumber })
    }

    /// A few bytes could stand for many: what comes of them is bounded. (COMPACT-10)
    fn charge(&mut self, at: usize, bytes: usize) -> Result<(), CodecError> {
        self.bytes += bytes;
        if self.bytes > FRAME_BYTES_MAX {
            return Err(CodecError { at, fault: Fault::Schema("numbers whose names fit a frame") });
        }
        Ok(())
    }
}

impl Walk for Expand<'_> {
    fn author(&mut self, r: &mut Reader, w: &mut Writer) -> Result<(), CodecError> {
        if r.peek()? != Major::Uint {
            return copy(r, w, 1);
        }
        let known = |number| self.names.and_then(|names| names.replica(number));
        let replica = Self::number(r, |number| self.replicas.get(&number).copied().or_else(|| known(number)))?;
        self.charge(r.position(), replica.0.len())?;
        w.bytes(&replica.0);
        Ok(())
    }

    fn record(&mut self, r: &mut Reader, w: &mut Writer) -> Result<(), CodecError> {
        let record = if r.peek()? == Major::Uint {
            let known = |number| self.names.and_then(|names| names.record(number));
            Self::number(r, |number| self.fresh.get(&number).cloned().or_else(|| known(number)))?
        } else if expect_items(r, 2..=3)? == 3 {
            let number = r.uint()?;
            let record = read_record(r)?;
            self.fresh.insert(number, record.clone());
            self.announced.push((number, record.clone()));
            record
        } else {
            read_record(r)?
        };
        self.charge(r.position(), record.collection.len() + record.id.len())?;
        write_record(w, None, &record);
        Ok(())
    }

    fn column(&mut self, r: &mut Reader, w: &mut Writer) -> Result<(), CodecError> {
        let mut inside = r.clone();
        let items = if r.peek()? == Major::Array { expect_items(&mut inside, 2..=3)? } else { 1 };
        if inside.peek()? != Major::Uint {
            return copy(r, w, 1);
        }
        *r = inside;
        let known = |number| self.names.and_then(|names| names.column(number));
        let (field, rule) = Self::number(r, |number| self.columns.get(&number).cloned().or_else(|| known(number)))?;
        self.charge(r.position(), field.len())?;
        w.array(1 + items);
        w.text(&field);
        w.uint(rule);
        copy(r, w, items - 1)
    }

    fn opened(&mut self, reset: u64) {
        self.names = self.names.filter(|_| reset == 0);
    }

    fn names(&mut self, message: &[u8]) -> Result<(), CodecError> {
        let mut r = Reader::new(message);
        let names = read_names(&mut r)?;
        self.columns.extend((names.first_column..).zip(names.columns));
        self.replicas.extend((names.first_replica..).zip(names.replicas));
        Ok(())
    }
}

/// The fields of a `names`, from its code on.
fn read_names(r: &mut Reader) -> Result<NewNames, CodecError> {
    expect_items(r, 5..=6)?;
    r.uint()?;
    read_tables(r)
}

/// The tables of a `names`. (COMPACT-1)
pub(super) fn read_tables(r: &mut Reader) -> Result<NewNames, CodecError> {
    let first_column = read_first(r)?;
    let columns = (0..r.array()?).map(|_| {
        expect_items(r, 2..=2)?;
        Ok((read_name(r, FIELD_NAME_BYTES_MAX)?, r.uint()?))
    });
    let columns = columns.collect::<Result<_, CodecError>>()?;
    let columns = within(r.position(), first_column, columns)?;
    let first_replica = read_first(r)?;
    let replicas = (0..r.array()?).map(|_| read_fixed(r, "a replica of 16 bytes").map(Replica));
    let replicas = replicas.collect::<Result<_, CodecError>>()?;
    let replicas = within(r.position(), first_replica, replicas)?;
    Ok(NewNames { first_column, columns, first_replica, replicas })
}

fn read_first(r: &mut Reader) -> Result<u64, CodecError> {
    let at = r.position();
    r.uint().and_then(|first| if first > 0 { Ok(first) } else { Err(CodecError { at, fault: Fault::Schema("a number of 1 or more") }) })
}

fn within<T>(at: usize, first: u64, names: Vec<T>) -> Result<Vec<T>, CodecError> {
    if first - 1 + names.len() as u64 > NAMES_MAX {
        return Err(CodecError { at, fault: Fault::Schema("numbers up to names_max") });
    }
    Ok(names)
}
