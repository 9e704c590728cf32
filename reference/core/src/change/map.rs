//! The change map: the origin, the conditions and the changes that a change needs. Spec 6 and 16.

use super::{Change, Origin, RecordName, expect_items, read_fixed, read_name, read_record, read_seq, write_record};
use crate::clock::{Replica, Stamp};
use crate::codec::{CodecError, Fault, Reader, Writer};
use crate::fault;
use crate::hash::Link;
use crate::limits::{FIELD_NAME_BYTES_MAX, LIFE_MAX};
use crate::rules::{Join, Key, LWW, Shape, join_of, shape};

/// The key of the origin in a change map.
pub(super) const ORIGIN_KEY: u64 = 0;
/// The key of the conditions in a change map.
pub const CONDITIONS_KEY: u64 = 1;
/// The key of the changes that a change needs.
pub const NEEDS_KEY: u64 = 4;

/// What must hold where a change is accepted. (COND-2)
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// The record has exactly this life.
    Life {
        /// The record.
        record: RecordName,
        /// Its life; 0: never seen.
        life: u64,
    },
    /// The cell was written last under this stamp, or holds no value.
    Cell {
        /// The record.
        record: RecordName,
        /// The field.
        field: String,
        /// A rule whose cells have stamps.
        rule: u64,
        /// What tells apart the cells of the column.
        key: Key,
        /// The stamp; none: no value is there.
        stamp: Option<Stamp>,
    },
}

impl Condition {
    /// The record that it is about.
    pub fn record(&self) -> &RecordName {
        let (Self::Life { record, .. } | Self::Cell { record, .. }) = self;
        record
    }

    fn write(&self, w: &mut Writer) {
        match self {
            Self::Life { record, life } => {
                w.array(2);
                write_record(w, record);
                w.uint(*life);
            }
            Self::Cell { record, field, rule, key, stamp } => {
                w.array(3);
                write_record(w, record);
                w.array(if *rule == LWW { 2 } else { 3 });
                w.text(field);
                w.uint(*rule);
                if *rule != LWW {
                    w.raw(key.as_bytes());
                }
                let Some(stamp) = stamp else { return w.null() };
                w.array(3);
                w.uint(stamp.reading.ms());
                w.uint(u64::from(stamp.reading.counter()));
                w.bytes(&stamp.author.0);
            }
        }
    }

    fn read(r: &mut Reader) -> Result<Self, CodecError> {
        let items = expect_items(r, 2..=3)?;
        let record = read_record(r)?;
        if items == 2 {
            let at = r.position();
            let life = r.uint()?;
            let allowed = life <= LIFE_MAX + 1;
            return if allowed { Ok(Self::Life { record, life }) } else { Err(CodecError { at, fault: Fault::Schema("a life") }) };
        }
        let parts = expect_items(r, 2..=3)?;
        let field = read_name(r, FIELD_NAME_BYTES_MAX)?;
        let at = r.position();
        let rule = r.uint()?;
        let stamped = join_of(rule) == Some(Join::GreaterStamp) && shape(rule).is_some();
        if !stamped || (parts == 2) != (shape(rule) == Some(Shape::Field)) {
            return Err(CodecError { at, fault: Fault::Schema("a rule with stamps, and a key where it has keys") });
        }
        let key = if parts == 3 { Key::value(&r.value(0)?) } else { Key::none() };
        Ok(Self::Cell { record, field, rule, key, stamp: read_stamp(r)? })
    }
}

/// Null, or milliseconds, counter and author.
fn read_stamp(r: &mut Reader) -> Result<Option<Stamp>, CodecError> {
    if r.is_null() {
        return r.null().map(|()| None);
    }
    expect_items(r, 3..=3)?;
    let reading = super::read_pair(r)?;
    Ok(Some(Stamp { reading, author: Replica(read_fixed(r, "a replica of 16 bytes")?) }))
}

fn read_list<T>(r: &mut Reader, read: impl Fn(&mut Reader) -> Result<T, CodecError>) -> Result<Vec<T>, CodecError> {
    (0..expect_items(r, usize::from(!fault::is("cond-empty-lists"))..=usize::MAX)?).map(|_| read(r)).collect()
}

fn encoded_list<T>(items: &[T], write: impl Fn(&T, &mut Writer)) -> Vec<u8> {
    let mut w = Writer::default();
    w.array(items.len());
    items.iter().for_each(|item| write(item, &mut w));
    w.finish()
}

impl Change {
    /// What must hold where the change is accepted; empty: nothing. (COND-1)
    pub fn conditions(&self) -> Vec<Condition> {
        self.key(CONDITIONS_KEY).and_then(|encoded| read_list(&mut Reader::new(encoded), Condition::read).ok()).unwrap_or_default()
    }

    /// The author's changes before it without which it has no effect, ascending. (IDENT-25)
    pub fn needs(&self) -> Vec<u64> {
        self.key(NEEDS_KEY).and_then(|encoded| read_list(&mut Reader::new(encoded), read_seq).ok()).unwrap_or_default()
    }

    /// Sets what must hold where the change is accepted.
    pub fn set_conditions(&mut self, conditions: &[Condition]) {
        self.set_key(CONDITIONS_KEY, conditions.is_empty(), encoded_list(conditions, |condition, w| condition.write(w)));
    }

    /// Sets the changes that it needs, ascending.
    pub fn set_needs(&mut self, needs: &[u64]) {
        self.set_key(NEEDS_KEY, needs.is_empty(), encoded_list(needs, |seq, w| w.uint(*seq)));
    }

    fn key(&self, key: u64) -> Option<&[u8]> {
        self.extra.iter().find(|(known, _)| *known == key).map(|(_, encoded)| encoded.as_slice())
    }

    fn set_key(&mut self, key: u64, empty: bool, encoded: Vec<u8>) {
        self.extra.retain(|(known, _)| *known != key);
        if !empty {
            self.extra.push((key, encoded));
            self.extra.sort();
        }
    }
}

/// A change map: the origin, and all other keys as their encodings.
type ChangeMap = (Option<Origin>, Vec<(u64, Vec<u8>)>);

/// Reads the change map of a change with this seq. What is known in it is checked.
pub(super) fn read_map(r: &mut Reader, seq: u64) -> Result<ChangeMap, CodecError> {
    let pairs = r.map()?;
    let mut origin = None;
    let mut extra: Vec<(u64, Vec<u8>)> = Vec::new();
    for _ in 0..pairs {
        let at = r.position();
        let key = r.uint()?;
        let before = extra.last().map(|(key, _)| *key).or(origin.as_ref().map(|_| ORIGIN_KEY));
        if before.is_some_and(|before| before >= key) {
            return Err(CodecError { at, fault: Fault::KeyOrder });
        }
        if key == ORIGIN_KEY {
            expect_items(r, 3..=3)?;
            let replica = Replica(read_fixed(r, "a replica of 16 bytes")?);
            origin = Some(Origin { replica, seq: read_seq(r)?, link: Link(read_fixed(r, "a link of 16 bytes")?) });
            continue;
        }
        let at = r.position();
        let encoded = r.skip_item()?.to_vec();
        let checked = check(key, &encoded, seq).map_err(|error| CodecError { at: at + error.at, fault: error.fault });
        checked?;
        extra.push((key, encoded));
    }
    Ok((origin, extra))
}

fn check(key: u64, encoded: &[u8], seq: u64) -> Result<(), CodecError> {
    let mut r = Reader::new(encoded);
    match key {
        CONDITIONS_KEY => read_list(&mut r, Condition::read).map(drop),
        NEEDS_KEY => {
            let needs = read_list(&mut r, read_seq)?;
            let earlier = needs.windows(2).all(|pair| pair[0] < pair[1]) && needs.last().is_none_or(|last| *last < seq);
            if earlier || fault::is("ident-any-needs") {
                Ok(())
            } else {
                Err(CodecError { at: 0, fault: Fault::Schema("earlier seqs in ascending order") })
            }
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Reading;

    #[test]
    fn what_is_set_in_a_map_comes_back() {
        let record = RecordName { collection: "todos".into(), id: "t1".into() };
        let stamp = Reading::new(5, 1).map(|reading| Stamp { reading, author: Replica([1; 16]) });
        let cell = |rule, key, stamp| Condition::Cell { record: record.clone(), field: "title".into(), rule, key, stamp };
        let conditions = [
            Condition::Life { record: record.clone(), life: 0 },
            cell(LWW, Key::none(), stamp),
            cell(crate::rules::SET, Key::value(&crate::value::Value::Bool(true)), None),
        ];
        let mut change = Change { seq: 9, reading: Reading::ZERO, rows: Vec::new(), origin: None, extra: vec![(7, vec![1])] };
        change.set_needs(&[2, 8]);
        change.set_conditions(&conditions);
        let again = Change::from_bytes(&change.literal()).expect("its own literal");
        assert_eq!((again.conditions(), again.needs()), (conditions.to_vec(), vec![2, 8]));
        change.set_needs(&[]);
        change.set_conditions(&[]);
        assert_eq!(change.extra, [(7, vec![1])]);
    }
}
