//! The numbers of a space's names, and the compact form of what a channel is sent. Spec 22.
//!
//! Keys behind the space's prefix; the records' numbers are kept by the space itself:
//!
//! | key | value |
//! |---|---|
//! | `k` | how many numbers were given to records, columns and replicas |
//! | `v` field rule | a column's number |
//! | `V` number | the field, the rule, and the position of the change that first wrote it |
//! | `x` replica | a replica's number |
//! | `X` number | the replica, and the position of its first accepted change |

use std::collections::BTreeSet;

use super::log::Log;
use super::stream::{Channel, Hosted};
use crate::change::{Change, RecordName, read_fixed};
use crate::clock::Replica;
use crate::codec::{CodecError, Reader, Writer};
use crate::fault;
use crate::limits::NAMES_MAX;
use crate::message::{Item, Message, NewNames, Numbers, RecordForm, States, shrink};
use crate::rules::life;
use crate::space::{Numbered, after_prefix, escape};
use crate::store::{Store, StoreError};

/// What the client of a channel knows of the numbers. (COMPACT-5)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// How many columns and replicas it was told of, or held.
    pub lengths: (u64, u64),
    /// The position that its base stood at when the catch-up under way, or the last one, began.
    pub from: u64,
}

/// The numbers of an accepted change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Named {
    numbers: Numbers,
    /// For each row, the number that its record got by the change, or 0.
    pub rows: Vec<u64>,
    /// How many columns and replicas have numbers with it.
    pub lengths: (u64, u64),
}

impl Named {
    /// The compact form of the change's message.
    pub fn compact(&self, body: &[u8]) -> Vec<u8> {
        shrink(body, &mut self.numbers.clone()).expect("a message of our own has its shape")
    }
}

/// How many numbers were given.
#[derive(Debug, Clone, Copy, Default)]
struct Given {
    records: u64,
    columns: u64,
    replicas: u64,
}

impl Log {
    /// Numbers what an accepted change names for the first time. (COMPACT-1, COMPACT-2)
    pub fn name_all(&self, store: &mut dyn Store, author: Replica, change: &Change, position: u64) -> Result<Named, StoreError> {
        let before = self.given(store)?;
        let (mut given, mut named) = (before, Named::default());
        if let Some(number) = self.name_replica(store, author, position, &mut given)? {
            named.numbers.replicas.insert(author, number);
        }
        let one_collection = change.rows.iter().all(|row| row.record.collection == change.rows[0].record.collection);
        for row in &change.rows {
            let (numbered, fresh) = self.name_record(store, &row.record, position, &mut given)?;
            named.rows.push(if fresh { numbered.map_or(0, |numbered| numbered.number) } else { 0 });
            if let Some(Numbered { number, .. }) = numbered {
                // COMPACT-8: who subscribes one of several collections may not hold the record.
                let known = !fresh && one_collection || fault::is("compact-known-at-once");
                let form = if known { RecordForm::Known(number) } else { RecordForm::Announced(number) };
                named.numbers.records.insert(row.record.clone(), form);
            }
            let last = row.ops.len().saturating_sub(1);
            let in_turn = |index| if fault::is("compact-columns-numbered-backwards") { last - index } else { index };
            for op in (0..row.ops.len()).map(|index| &row.ops[in_turn(index)]) {
                if let Some(number) = self.name_column(store, (&op.field, op.rule), position, &mut given)? {
                    named.numbers.columns.insert((op.field.clone(), op.rule), number);
                }
            }
        }
        named.lengths = (given.columns, given.replicas);
        self.put_given(store, given)?;
        Ok(named)
    }

    /// How many columns and replicas have numbers.
    pub fn name_lengths(&self, store: &dyn Store) -> Result<(u64, u64), StoreError> {
        self.given(store).map(|given| (given.columns, given.replicas))
    }

    /// The names beyond those that are known which got their numbers up to a position. (COMPACT-7)
    fn names_after(&self, store: &dyn Store, (columns, replicas): (u64, u64), upto: u64) -> Result<NewNames, StoreError> {
        let after = |part: u8, known: u64| {
            let from = [self.key(part).as_slice(), &(known + 1).to_be_bytes()].concat();
            store.scan(&from, &after_prefix(&self.key(part)), NAMES_MAX as usize)
        };
        let mut names = NewNames { first_column: columns + 1, first_replica: replicas + 1, ..NewNames::default() };
        for (_, bytes) in after(b'V', columns)? {
            let (column, position) = read_column(&bytes).map_err(damaged)?;
            if position > upto {
                break;
            }
            names.columns.push(column);
        }
        for (_, bytes) in after(b'X', replicas)? {
            let (replica, position) = read_replica(&bytes).map_err(damaged)?;
            if position > upto {
                break;
            }
            names.replicas.push(replica);
        }
        Ok(names)
    }

    /// The number of a record that shows, and whether it got it here.
    fn name_record(
        &self,
        store: &mut dyn Store,
        record: &RecordName,
        position: u64,
        given: &mut Given,
    ) -> Result<(Option<Numbered>, bool), StoreError> {
        let cells = self.cells();
        if !life::is_alive(cells.life(store, record)?.life) {
            return Ok((None, false));
        }
        if let Some(numbered) = cells.number_of(store, record)? {
            return Ok((Some(numbered), false));
        }
        given.records += 1;
        let numbered = Numbered { number: given.records, position };
        cells.set_number(store, record, numbered)?;
        Ok((Some(numbered), true))
    }

    fn name_column(
        &self,
        store: &mut dyn Store,
        (field, rule): (&str, u64),
        position: u64,
        given: &mut Given,
    ) -> Result<Option<u64>, StoreError> {
        let key = self.column_key(field, rule);
        if let Some(number) = read_number(store, &key)? {
            return Ok(Some(number));
        }
        if given.columns == NAMES_MAX {
            return Ok(None);
        }
        given.columns += 1;
        let mut w = Writer::default();
        w.array(3);
        w.text(field);
        w.uint(rule);
        w.uint(position);
        self.give(store, &key, (b'V', given.columns), &w.finish())
    }

    fn name_replica(&self, store: &mut dyn Store, replica: Replica, position: u64, given: &mut Given) -> Result<Option<u64>, StoreError> {
        let key = self.author_number_key(replica);
        if let Some(number) = read_number(store, &key)? {
            return Ok(Some(number));
        }
        if given.replicas == NAMES_MAX {
            return Ok(None);
        }
        given.replicas += 1;
        let mut w = Writer::default();
        w.array(2);
        w.bytes(&replica.0);
        w.uint(position);
        self.give(store, &key, (b'X', given.replicas), &w.finish())
    }

    /// Keeps a number under its name, and the name under its number.
    fn give(&self, store: &mut dyn Store, key: &[u8], (part, number): (u8, u64), name: &[u8]) -> Result<Option<u64>, StoreError> {
        let mut w = Writer::default();
        w.uint(number);
        store.put(key, &w.finish())?;
        store.put(&[self.key(part).as_slice(), &number.to_be_bytes()].concat(), name)?;
        Ok(Some(number))
    }

    fn given(&self, store: &dyn Store) -> Result<Given, StoreError> {
        let Some(bytes) = store.get(&self.key(b'k'))? else { return Ok(Given::default()) };
        let mut r = Reader::new(&bytes);
        let mut read = || -> Result<Given, CodecError> {
            r.array()?;
            Ok(Given { records: r.uint()?, columns: r.uint()?, replicas: r.uint()? })
        };
        read().map_err(damaged)
    }

    fn put_given(&self, store: &mut dyn Store, given: Given) -> Result<(), StoreError> {
        let mut w = Writer::default();
        w.array(3);
        [given.records, given.columns, given.replicas].into_iter().for_each(|count| w.uint(count));
        store.put(&self.key(b'k'), &w.finish())
    }

    fn column_key(&self, field: &str, rule: u64) -> Vec<u8> {
        let mut key = self.key(b'v');
        escape(&mut key, field);
        key.extend(rule.to_be_bytes());
        key
    }

    fn author_number_key(&self, replica: Replica) -> Vec<u8> {
        [self.key(b'x').as_slice(), &replica.0].concat()
    }
}

impl Hosted {
    /// The names that a channel lacks up to a position, which it knows from here on; none where it lacks none. (COMPACT-7)
    pub(super) fn new_names(&self, store: &dyn Store, known: &mut Known, upto: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let names = self.log.names_after(store, known.lengths, upto)?;
        if names.columns.is_empty() && names.replicas.is_empty() || fault::is("compact-names-unsaid") {
            return Ok(None);
        }
        known.lengths.0 += names.columns.len() as u64;
        known.lengths.1 += names.replicas.len() as u64;
        Ok(Some(self.bytes(Message::Names(names))))
    }

    /// A part as the channel is sent it: with numbers, and the names that it lacks before it, where it takes such.
    /// A record is known where base held it when the catch-up began; the cells that replace ranges say all anew. (COMPACT-8)
    pub(super) fn states_bytes(&self, store: &dyn Store, channel: &mut Channel, states: States) -> Result<(Vec<u8>, usize), StoreError> {
        let Some(mut known) = channel.names else {
            let bytes = self.bytes(Message::States(states));
            let length = bytes.len();
            return Ok((bytes, length));
        };
        let mut bytes = self.new_names(store, &mut known, states.to)?.unwrap_or_default();
        let repairs = !states.replaced.is_empty();
        let above = |collection: &str| channel.scope.above(collection, known.from).unwrap_or(0);
        let mut numbers = Numbers::default();
        let (mut columns, mut replicas) = (BTreeSet::new(), BTreeSet::new());
        for item in &states.items {
            let (author, rows) = match item {
                Item::Cells { stamp, rows } => (Some(stamp.author), rows),
                Item::Keyed { author, rows, .. } => (Some(*author), rows),
                Item::Plain(rows) => (None, rows),
                _ => continue,
            };
            replicas.extend(author);
            for row in rows {
                columns.extend(row.ops.iter().map(|op| (op.field.as_str(), op.rule)));
                if numbers.records.contains_key(&row.record) || !life::is_alive(row.life) {
                    continue;
                }
                if let Some(Numbered { number, position }) = self.log.cells().number_of(store, &row.record)? {
                    let held = !repairs && position <= above(&row.record.collection);
                    let form = if held { RecordForm::Known(number) } else { RecordForm::Announced(number) };
                    numbers.records.insert(row.record.clone(), form);
                }
            }
        }
        for (field, rule) in columns {
            let number = read_number(store, &self.log.column_key(field, rule))?.filter(|number| *number <= known.lengths.0);
            numbers.columns.extend(number.map(|number| ((field.to_owned(), rule), number)));
        }
        for replica in replicas {
            let number = read_number(store, &self.log.author_number_key(replica))?.filter(|number| *number <= known.lengths.1);
            numbers.replicas.extend(number.map(|number| (replica, number)));
        }
        channel.names = Some(known);
        let part = shrink(&self.bytes(Message::States(states)), &mut numbers).expect("a message of our own has its shape");
        bytes.extend_from_slice(&part);
        Ok((bytes, part.len()))
    }
}

fn read_number(store: &dyn Store, key: &[u8]) -> Result<Option<u64>, StoreError> {
    store.get(key)?.map(|bytes| Reader::new(&bytes).uint().map_err(damaged)).transpose()
}

fn read_column(bytes: &[u8]) -> Result<((String, u64), u64), CodecError> {
    let mut r = Reader::new(bytes);
    r.array()?;
    Ok(((r.text()?.to_owned(), r.uint()?), r.uint()?))
}

fn read_replica(bytes: &[u8]) -> Result<(Replica, u64), CodecError> {
    let mut r = Reader::new(bytes);
    r.array()?;
    Ok((Replica(read_fixed(&mut r, "a replica of 16 bytes")?), r.uint()?))
}

fn damaged(error: CodecError) -> StoreError {
    StoreError(format!("a stored name is damaged: {error}"))
}
