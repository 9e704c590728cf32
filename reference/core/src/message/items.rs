//! Cells as the items of a part, and back. Spec 8.

use crate::fault;
use std::collections::{BTreeMap, BTreeSet};

use super::Item;
use crate::change::{Entry, Op, Payload, RecordName, Row};
use crate::clock::{Replica, Stamp};
use crate::codec::CodecError;
use crate::rules::lww::Lww;
use crate::rules::multi::Dot;
use crate::rules::{Key, Shape, State, shape};
use crate::space::{CellName, Changed};
use crate::value::Value;

/// Columns under construction.
type Columns = BTreeMap<(String, u64), Payload>;

/// Rows under construction: life and columns by record.
#[derive(Default)]
struct Rows(BTreeMap<RecordName, (u64, Columns)>);

impl Rows {
    /// The column of a cell; `empty` where it holds nothing yet.
    fn column(&mut self, record: RecordName, life: u64, name: &CellName, empty: Payload) -> &mut Payload {
        let (_, columns) = self.0.entry(record).or_insert((life, Columns::new()));
        columns.entry((name.field.clone(), name.rule)).or_insert(empty)
    }

    fn finish(self) -> Vec<Row> {
        let op = |((field, rule), payload)| Op { field, rule, after: None, payload };
        let row = |(record, (life, ops)): (_, (_, Columns))| Row { record, life, ops: ops.into_iter().map(op).collect() };
        self.0.into_iter().map(row).collect()
    }
}

/// The cells as items: an author's of one stamp together, an author's of one seq together, and then the lives that none
/// of them implies with what has neither. (SYNC-12, RULES-19)
///
/// # Errors
/// Where a key is not one of its rule.
pub fn items_of(cells: Vec<Changed>) -> Result<Vec<Item>, CodecError> {
    let mut stamped: BTreeMap<Stamp, Rows> = BTreeMap::new();
    let mut keyed: BTreeMap<(Replica, u64), Rows> = BTreeMap::new();
    let (mut plain, mut lives, mut implied) = (Rows::default(), Vec::new(), BTreeSet::new());
    for cell in cells {
        let (record, life, name, state) = match cell {
            Changed::Life(record, life) => {
                lives.push((record, life));
                continue;
            }
            Changed::Cell(record, life, name, state) => (record, life, name, state),
        };
        implied.insert(record.clone());
        match state {
            State::Stamped(cell) => put_stamped(stamped.entry(cell.stamp).or_default(), record, life, &name, cell.value)?,
            State::Extreme(value) => {
                plain.column(record, life, &name, Payload::Set(value));
            }
            State::Sequenced { .. } if fault::is("rules-states-without-counters") => {}
            State::Sequenced { seq, value } => {
                let payload = match value {
                    Value::Int(sum) if shape(name.rule) == Some(Shape::Amount) => Payload::Add(sum),
                    value => Payload::Set(value),
                };
                keyed.entry((name.key.to_replica()?, seq)).or_default().column(record, life, &name, payload);
            }
            State::Dot(value) => {
                let dot = name.key.to_dot()?;
                put_dot(keyed.entry((dot.author, dot.seq)).or_default(), record, life, &name, dot.index, value);
            }
        }
    }
    for (record, life) in lives.into_iter().filter(|(record, _)| !implied.contains(record)) {
        plain.0.entry(record).or_insert((life, Columns::new()));
    }
    let mut items: Vec<Item> = stamped.into_iter().map(|(stamp, rows)| Item::Cells { stamp, rows: rows.finish() }).collect();
    items.extend(keyed.into_iter().map(|((author, seq), rows)| Item::Keyed { author, seq, rows: rows.finish() }));
    if !plain.0.is_empty() {
        items.push(Item::Plain(plain.finish()));
    }
    Ok(items)
}

fn put_stamped(rows: &mut Rows, record: RecordName, life: u64, name: &CellName, value: Option<Value>) -> Result<(), CodecError> {
    if shape(name.rule) == Some(Shape::Field) {
        rows.column(record, life, name, value.map_or(Payload::Unset, Payload::Set));
        return Ok(());
    }
    let entry = Entry { key: name.key.to_value()?, value, after: None };
    // Cells of one column may come in any order; entries stand in that of their encoded keys.
    if let Payload::Entries(entries) = rows.column(record, life, name, Payload::Entries(Vec::new())) {
        let at = entries.partition_point(|before| before.key.encoded() < name.key.as_bytes().to_vec());
        entries.insert(at, entry);
    }
    Ok(())
}

fn put_dot(rows: &mut Rows, record: RecordName, life: u64, name: &CellName, index: u64, value: Option<Value>) {
    let column = rows.column(record, life, name, Payload::Indexed { removed: Vec::new(), values: Vec::new() });
    let Payload::Indexed { removed, values } = column else { return };
    match value {
        Some(value) => values.insert(values.partition_point(|(before, _)| *before < index), (index, value)),
        None => removed.insert(removed.partition_point(|before| *before < index), index),
    }
}

/// Cells of one record, and the life they stand in.
pub type RecordCells = (RecordName, u64, Vec<(CellName, State)>);

/// The cells that an item holds; none for items that hold no cells.
pub fn cells_of(item: Item) -> Vec<RecordCells> {
    let (rows, head) = match item {
        Item::Cells { stamp, rows } => (rows, Head::Stamp(stamp)),
        Item::Plain(rows) => (rows, Head::None),
        Item::Keyed { author, seq, rows } => (rows, Head::Seq(author, seq)),
        Item::Outcome(_) | Item::Settled { .. } | Item::Held { .. } | Item::Base { .. } => return Vec::new(),
    };
    let row = |row: Row| {
        let mut cells = Vec::with_capacity(row.ops.len());
        row.ops.into_iter().for_each(|op| cells_of_op(&head, op, &mut cells));
        (row.record, row.life, cells)
    };
    rows.into_iter().map(row).collect()
}

/// What the cells of an item have in common.
enum Head {
    Stamp(Stamp),
    Seq(Replica, u64),
    None,
}

fn cells_of_op(head: &Head, op: Op, cells: &mut Vec<(CellName, State)>) {
    let Op { field, rule, payload, .. } = op;
    let (key, state) = match (head, payload) {
        (Head::Stamp(stamp), Payload::Set(value)) => (Key::none(), stamped(*stamp, Some(value))),
        (Head::Stamp(stamp), Payload::Unset) => (Key::none(), stamped(*stamp, None)),
        (Head::None, Payload::Set(value)) => (Key::none(), State::Extreme(value)),
        (Head::Seq(author, seq), Payload::Add(sum)) => (Key::replica(*author), State::Sequenced { seq: *seq, value: Value::Int(sum) }),
        (Head::Seq(author, seq), Payload::Set(value)) => (Key::replica(*author), State::Sequenced { seq: *seq, value }),
        (Head::Stamp(stamp), Payload::Entries(entries)) => {
            let entry = |entry: Entry| (Key::value(&entry.key), stamped(*stamp, entry.value));
            return cells.extend(entries.into_iter().map(entry).map(|(key, state)| (CellName { field: field.clone(), rule, key }, state)));
        }
        (Head::Seq(author, seq), Payload::Indexed { removed, values }) => {
            let removed = removed.into_iter().map(|index| (index, None));
            let dots = removed.chain(values.into_iter().map(|(index, value)| (index, Some(value))));
            let key = |index| Key::dot(&Dot { author: *author, seq: *seq, index });
            let named = |index| CellName { field: field.clone(), rule, key: key(index) };
            return cells.extend(dots.map(|(index, value)| (named(index), State::Dot(value))));
        }
        // Forms that no reader lets through. (SYNC-12)
        _ => return,
    };
    cells.push((CellName { field, rule, key }, state));
}

fn stamped(stamp: Stamp, value: Option<Value>) -> State {
    State::Stamped(Lww { stamp, value })
}
