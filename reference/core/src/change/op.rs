//! Ops: what they hold by their rule, and their encoding. Spec 5; `op` and `rule-op` in the schema.

use super::{expect_items, in_order, read_name, read_pair, read_stamp, write_pair};
use crate::clock::Reading;
use crate::codec::{CodecError, Fault, Reader, Writer};
use crate::fault;
use crate::limits::{FIELD_NAME_BYTES_MAX, INT_MAX, KEY_BYTES_MAX};
use crate::rules::multi::Dot;
use crate::rules::{Join, LWW, Shape, join_of, set, shape};
use crate::value::Value;

/// An op on one column of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Op {
    /// The field.
    pub field: String,
    /// The rule's code.
    pub rule: u64,
    /// The reading it overwrites, where that is not below the change's own; `lww` only. (CLOCK-7)
    pub after: Option<Reading>,
    /// What it does.
    pub payload: Payload,
}

/// What an op does to its cells.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// Sets the value, or offers it to `max`, `min` and their like.
    Set(Value),
    /// Unsets it.
    Unset,
    /// Adds to a counter; in states the sum.
    Add(i64),
    /// Elements of a set, entries of a map, in the order of their encoded keys.
    Entries(Vec<Entry>),
    /// Values side by side.
    Values {
        /// The dots removed, ascending.
        removed: Vec<Dot>,
        /// The values added.
        added: Vec<Value>,
    },
    /// Values side by side, in states: those of one author and seq.
    Indexed {
        /// The indexes removed, ascending.
        removed: Vec<u64>,
        /// Indexes and their values, ascending.
        values: Vec<(u64, Value)>,
    },
    /// An op of a rule that is not known or not agreed here, as its encoding.
    Other(Vec<u8>),
}

/// What an op does to one element of a set, or one entry of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The element, or the entry's key.
    pub key: Value,
    /// The entry's value, true for an element; none: unset, or absent.
    pub value: Option<Value>,
    /// The reading it overwrites, where that is not below the change's own. (CLOCK-7)
    pub after: Option<Reading>,
}

impl Op {
    /// The cells it writes, at least one. (LIMIT-3)
    pub fn cell_count(&self) -> usize {
        match &self.payload {
            Payload::Entries(entries) => entries.len().max(1),
            Payload::Values { removed, added } => (removed.len() + added.len()).max(1),
            Payload::Indexed { removed, values } => (removed.len() + values.len()).max(1),
            Payload::Set(_) | Payload::Unset | Payload::Add(_) | Payload::Other(_) => 1,
        }
    }
}

/// Where an op stands, and so which form it has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    /// In a push or a `change`.
    Pushed {
        /// What stamps are relative to.
        base_ms: u64,
        /// The change's own reading.
        reading: Reading,
        /// Whether the further rules are agreed; if not, their ops are taken as they are. (FRAME-8)
        rules: bool,
    },
    /// In a literal change.
    Literal,
    /// In states: cells of one stamp.
    Stamped {
        /// Whether the further rules are agreed.
        rules: bool,
    },
    /// In states: cells without a stamp or author.
    Plain,
    /// In states: cells of one author and seq.
    Keyed,
}

impl Form {
    /// Whether ops of this rule may stand here. (SYNC-12)
    fn admits(&self, rule: u64) -> bool {
        let join = shape(rule).and(join_of(rule));
        match self {
            Self::Pushed { .. } | Self::Literal => true,
            Self::Stamped { rules } => rule == LWW || *rules && join == Some(Join::GreaterStamp),
            Self::Plain => matches!(join, Some(Join::Greatest | Join::Least)),
            Self::Keyed => matches!(join, Some(Join::GreaterSeq | Join::RemovedWins)),
        }
    }

    fn in_states(&self) -> bool {
        matches!(self, Self::Stamped { .. } | Self::Plain | Self::Keyed)
    }
}

/// Writes a column and its op; `write_after` writes the column's `after`.
pub(super) fn write_op(w: &mut Writer, op: &Op, write_after: impl Fn(&mut Writer, Reading)) {
    w.array(if op.after.is_some() { 3 } else { 2 });
    w.text(&op.field);
    w.uint(op.rule);
    if let Some(after) = op.after {
        write_after(w, after);
    }
    match &op.payload {
        Payload::Set(value) => w.value(value),
        Payload::Unset => w.undefined(),
        Payload::Add(amount) => w.int(*amount),
        Payload::Entries(entries) => {
            w.array(entries.len());
            entries.iter().for_each(|entry| write_entry(w, op.rule, entry));
        }
        Payload::Values { removed, added } => {
            w.array(1 + added.len());
            w.array(removed.len());
            removed.iter().for_each(|dot| dot.write(w));
            added.iter().for_each(|value| w.value(value));
        }
        Payload::Indexed { removed, values } => {
            w.array(1 + values.len());
            w.array(removed.len());
            removed.iter().for_each(|index| w.uint(*index));
            for (index, value) in values {
                w.array(2);
                w.uint(*index);
                w.value(value);
            }
        }
        Payload::Other(encoded) => w.raw(encoded),
    }
}

fn write_entry(w: &mut Writer, rule: u64, entry: &Entry) {
    w.array(if entry.after.is_some() { 3 } else { 2 });
    w.value(&entry.key);
    match &entry.value {
        _ if shape(rule) == Some(Shape::Elements) => w.bool(entry.value.is_some()),
        Some(value) => w.value(value),
        None => w.undefined(),
    }
    if let Some(after) = entry.after {
        write_pair(w, after);
    }
}

/// Reads a column and its op, and the bytes of its largest value.
pub(super) fn read_op(r: &mut Reader, form: &Form) -> Result<(Op, usize), CodecError> {
    let at = r.position();
    let items = expect_items(r, 2..=3)?;
    let field = read_name(r, FIELD_NAME_BYTES_MAX)?;
    let rule = r.uint()?;
    if !form.admits(rule) {
        return Err(CodecError { at, fault: Fault::Schema("a column whose rule belongs to this item") });
    }
    let after = if items == 3 { Some(read_after(r, form)?) } else { None };
    let (payload, value_bytes) = match form {
        // Kept as it came, whatever it holds: it was judged when it came.
        Form::Literal if rule != LWW => read_lenient(r, rule)?,
        Form::Pushed { rules, .. } if rule != LWW && (!rules || shape(rule).is_none()) => read_other(r)?,
        // CLOCK-8, RULES-4
        _ if after.is_some() && rule != LWW && !fault::is("rules-after-on-any-column") => {
            return Err(CodecError { at, fault: Fault::Schema("a column without `after`") });
        }
        _ => read_payload(r, rule, form)?,
    };
    Ok((Op { field, rule, after, payload }, value_bytes))
}

/// The `after` of a column. (CLOCK-8)
fn read_after(r: &mut Reader, form: &Form) -> Result<Reading, CodecError> {
    let at = r.position();
    let (after, own) = match form {
        Form::Pushed { base_ms, reading, .. } => (read_stamp(r, *base_ms)?, Some(*reading)),
        Form::Literal => {
            expect_items(r, 2..=2)?;
            (read_pair(r)?, None)
        }
        Form::Stamped { .. } | Form::Plain | Form::Keyed => return r.fault(Fault::Schema("a column without `after`")),
    };
    above(at, after, own)
}

fn above(at: usize, after: Reading, own: Option<Reading>) -> Result<Reading, CodecError> {
    if own.is_some_and(|own| after < own) && !fault::is("clock-any-after") {
        return Err(CodecError { at, fault: Fault::Schema("an `after` at or above the change's reading") });
    }
    Ok(after)
}

fn read_other(r: &mut Reader) -> Result<(Payload, usize), CodecError> {
    let raw = r.skip_item()?;
    Ok((Payload::Other(raw.to_vec()), raw.len()))
}

fn read_lenient(r: &mut Reader, rule: u64) -> Result<(Payload, usize), CodecError> {
    let raw = r.skip_item()?;
    let mut inside = Reader::new(raw);
    let read = if shape(rule).is_some() { read_payload(&mut inside, rule, &Form::Literal).ok() } else { None };
    Ok(read.filter(|_| inside.is_end()).unwrap_or_else(|| (Payload::Other(raw.to_vec()), raw.len())))
}

fn read_payload(r: &mut Reader, rule: u64, form: &Form) -> Result<(Payload, usize), CodecError> {
    let start = r.position();
    let payload = match shape(rule) {
        Some(Shape::Field) if r.is_undefined() => {
            r.undefined()?;
            Payload::Unset
        }
        Some(Shape::Field | Shape::Offer | Shape::Sequenced) => Payload::Set(r.value(0)?),
        Some(Shape::Amount) => Payload::Add(read_amount(r, form.in_states())?),
        Some(shape @ (Shape::Elements | Shape::Entries | Shape::Keyed)) => return read_entries(r, shape, form),
        Some(Shape::Dots) if form.in_states() => return read_indexed(r),
        Some(Shape::Dots) => return read_values(r),
        None => return r.fault(Fault::Schema("a rule that can be kept")),
    };
    Ok((payload, r.position() - start))
}

/// RULES-8
fn read_amount(r: &mut Reader, zero: bool) -> Result<i64, CodecError> {
    let at = r.position();
    let amount = r.int()?;
    if !(-INT_MAX..=INT_MAX).contains(&amount) || amount == 0 && !zero && !fault::is("rules-amounts-of-0") {
        return Err(CodecError { at, fault: Fault::Schema("an amount other than 0") });
    }
    Ok(amount)
}

/// RULES-12
fn read_entries(r: &mut Reader, shape: Shape, form: &Form) -> Result<(Payload, usize), CodecError> {
    let count = expect_items(r, 1..=usize::MAX)?;
    let (mut entries, mut largest) = (Vec::new(), 0);
    let mut before: Option<Vec<u8>> = None;
    for _ in 0..count {
        let items = expect_items(r, 2..=3)?;
        let at = r.position();
        let key = r.value(0)?;
        if r.position() - at > KEY_BYTES_MAX || shape == Shape::Entries && !matches!(key, Value::Text(_)) {
            return Err(CodecError { at, fault: Fault::Schema("a key of its kind within its limit") });
        }
        let encoded = key.encoded();
        if !fault::is("rules-elements-in-any-order") {
            in_order(at, before.as_ref(), &encoded)?;
        }
        before = Some(encoded);
        let start = r.position();
        let value = match shape {
            Shape::Elements if fault::is("rules-ops-of-any-shape") => Some(r.value(0)?),
            Shape::Elements => r.bool()?.then_some(set::PRESENT),
            _ if r.is_undefined() => r.undefined().map(|()| None)?,
            _ => Some(r.value(0)?),
        };
        largest = largest.max(r.position() - start);
        let after = if items == 3 { Some(read_entry_after(r, form)?) } else { None };
        entries.push(Entry { key, value, after });
    }
    Ok((Payload::Entries(entries), largest))
}

/// The `after` of an entry: absolute, so that an op's bytes are the same in every form. (CLOCK-8)
fn read_entry_after(r: &mut Reader, form: &Form) -> Result<Reading, CodecError> {
    let at = r.position();
    if form.in_states() {
        return r.fault(Fault::Schema("an entry without `after`"));
    }
    expect_items(r, 2..=2)?;
    let own = if let Form::Pushed { reading, .. } = form { Some(*reading) } else { None };
    above(at, read_pair(r)?, own)
}

/// RULES-14
fn read_values(r: &mut Reader) -> Result<(Payload, usize), CodecError> {
    let at = r.position();
    let items = expect_items(r, 1..=usize::MAX)?;
    let mut removed: Vec<Dot> = Vec::new();
    for _ in 0..r.array()? {
        let at = r.position();
        let dot = Dot::read(r)?;
        in_order(at, removed.last(), &dot)?;
        removed.push(dot);
    }
    let (mut added, mut largest) = (Vec::new(), 0);
    for _ in 1..items {
        let start = r.position();
        added.push(r.value(0)?);
        largest = largest.max(r.position() - start);
    }
    if removed.is_empty() && added.is_empty() {
        return Err(CodecError { at, fault: Fault::Schema("a dot or a value") });
    }
    Ok((Payload::Values { removed, added }, largest))
}

fn read_indexed(r: &mut Reader) -> Result<(Payload, usize), CodecError> {
    let at = r.position();
    let items = expect_items(r, 1..=usize::MAX)?;
    let mut removed: Vec<u64> = Vec::new();
    for _ in 0..r.array()? {
        let at = r.position();
        let index = r.uint()?;
        in_order(at, removed.last(), &index)?;
        removed.push(index);
    }
    let mut values: Vec<(u64, Value)> = Vec::new();
    for _ in 1..items {
        let at = r.position();
        expect_items(r, 2..=2)?;
        let index = r.uint()?;
        in_order(at, values.last().map(|(before, _)| before), &index)?;
        if removed.binary_search(&index).is_ok() {
            return Err(CodecError { at, fault: Fault::Schema("an index removed or of a value, not both") });
        }
        values.push((index, r.value(0)?));
    }
    if removed.is_empty() && values.is_empty() {
        return Err(CodecError { at, fault: Fault::Schema("an index") });
    }
    Ok((Payload::Indexed { removed, values }, 0))
}
