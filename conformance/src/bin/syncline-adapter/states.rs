//! The vectors about states: merge, join, admit and fingerprint (conformance/vectors/README.md), by the core's space, rules and hash.

use std::collections::BTreeMap;

use syncline::change::{Change, Pushed, RecordName};
use syncline::clock::{Replica, Stamp};
use syncline::codec::{Reader, Writer};
use syncline::limits::CLOCK_ADMIT_MS;
use syncline::registry::Code;
use syncline::rules::lww::Lww;
use syncline::rules::{Join, Key, LWW, State, join_of};
use syncline::space::{CellName, RecordState, Space};
use syncline::store::MemoryStore;

use crate::vectors::{Fault, reading, write};

type Records = BTreeMap<RecordName, RecordState>;

/// `[state, [* [author, stamp, + row]]]`: the state after the changes.
pub fn merge(reader: &mut Reader, writer: &mut Writer) -> Result<(), Fault> {
    reader.array()?;
    let (space, mut store) = stored(&records(reader)?)?;
    for position in 1..=reader.array()? as u64 {
        let (author, change) = change(reader, position)?;
        space.apply(&mut store, author, &change, position)?;
    }
    let names = space.records(&store, None)?;
    let after: Records =
        names.into_iter().map(|name| space.record(&store, &name).map(|record| (name, record))).collect::<Result<_, _>>()?;
    write_records(writer, &after);
    Ok(())
}

/// `[state, state]`: their join, which must be one in both orders.
pub fn join(reader: &mut Reader, writer: &mut Writer) -> Result<(), Fault> {
    reader.array()?;
    let (one, other) = (records(reader)?, records(reader)?);
    let joined = joined(&one, &other);
    if joined != self::joined(&other, &one) {
        return Err("the order of the two states makes a difference".into());
    }
    write_records(writer, &joined);
    Ok(())
}

/// `[server's time, state, [author, stamp, + row]]`: the code, 0 where the change is accepted.
pub fn admit(reader: &mut Reader, writer: &mut Writer) -> Result<(), Fault> {
    reader.array()?;
    let server_ms = reader.uint()?;
    let (space, store) = stored(&records(reader)?)?;
    let (author, change) = change(reader, 2)?;
    let code = if change.reading.ms() > server_ms + CLOCK_ADMIT_MS {
        Code::CLOCK
    } else if space.raises_too_far(&store, &change, 0)? {
        Code::DEPENDENCY
    } else if space.sums_too_far(&store, author, &change)? {
        Code::LIMIT
    } else {
        Code::ACCEPTED
    };
    writer.uint(code.0);
    Ok(())
}

/// A state: its fingerprint on the wire.
pub fn fingerprint(reader: &mut Reader, writer: &mut Writer) -> Result<(), Fault> {
    let (space, store) = stored(&records(reader)?)?;
    writer.bytes(&space.fingerprint(&store, true)?.wire());
    Ok(())
}

fn joined(one: &Records, other: &Records) -> Records {
    let mut joined = one.clone();
    for (name, theirs) in other {
        let ours = joined.remove(name).unwrap_or_default();
        joined.insert(name.clone(), ours.join(theirs.clone()));
    }
    joined
}

/// The space that holds this state.
fn stored(records: &Records) -> Result<(Space, MemoryStore), Fault> {
    let (space, mut store) = (Space::new(b"s"), MemoryStore::default());
    for (name, record) in records {
        space.set_life(&mut store, name, record.life, 0)?;
        for (cell, state) in &record.cells {
            space.set_cell(&mut store, name, cell.clone(), state.clone(), 0)?;
        }
    }
    Ok((space, store))
}

/// `[author, stamp, + row]`, read as the change of this seq in a push.
fn change(reader: &mut Reader, seq: u64) -> Result<(Replica, Change), Fault> {
    let items = reader.array()?;
    let author = author(reader)?;
    let mut pushed = Writer::default();
    pushed.array(items);
    pushed.uint(seq);
    for _ in 1..items {
        pushed.raw(reader.skip_item()?);
    }
    match Pushed::read(&mut Reader::new(&pushed.finish()), 0, true)? {
        Pushed::Change { change, .. } => Ok((author, change)),
        Pushed::Skip { .. } => Err("a skip is no change".into()),
    }
}

fn records(reader: &mut Reader) -> Result<Records, Fault> {
    let mut records = Records::new();
    for _ in 0..reader.array()? {
        let parts = reader.array()?;
        reader.array()?;
        let name = RecordName { collection: reader.text()?.to_owned(), id: reader.text()?.to_owned() };
        let mut record = RecordState { life: reader.uint()?, cells: BTreeMap::new() };
        for _ in 0..reader.map()? {
            let field = CellName::lww(reader.text()?);
            let state = cell(reader, LWW)?;
            record.cells.insert(field, state);
        }
        for _ in 0..if parts == 4 { reader.array()? } else { 0 } {
            reader.array()?;
            let (field, rule) = (reader.text()?.to_owned(), reader.uint()?);
            let key = Key::from_bytes(reader.skip_item()?);
            let state = cell(reader, rule)?;
            record.cells.insert(CellName { field, rule, key }, state);
        }
        records.insert(name, record);
    }
    Ok(records)
}

/// What a cell of the rule holds: `[reading, author, value]`, `[value]`, `[seq, value]`, or `[]` for a dot that was removed.
fn cell(reader: &mut Reader, rule: u64) -> Result<State, Fault> {
    let items = reader.array()?;
    Ok(match join_of(rule).ok_or("a rule without a join")? {
        Join::GreaterStamp => {
            let stamp = Stamp { reading: reading(reader)?, author: author(reader)? };
            let value = if reader.is_undefined() { reader.undefined().map(|()| None)? } else { Some(reader.value(0)?) };
            State::Stamped(Lww { stamp, value })
        }
        Join::Greatest | Join::Least => State::Extreme(reader.value(0)?),
        Join::GreaterSeq => State::Sequenced { seq: reader.uint()?, value: reader.value(0)? },
        Join::RemovedWins => State::Dot(if items == 1 { Some(reader.value(0)?) } else { None }),
    })
}

fn author(reader: &mut Reader) -> Result<Replica, Fault> {
    Ok(Replica(reader.bytes()?.try_into()?))
}

fn write_records(writer: &mut Writer, records: &Records) {
    writer.array(records.len());
    for (name, record) in records {
        // Keys of a map stand in the order of their encodings: shorter first. (CODEC-5)
        let mut fields: Vec<_> = record.cells.iter().filter(|(name, _)| name.rule == LWW).collect();
        fields.sort_by_key(|(name, _)| (name.field.len(), &name.field));
        let further: Vec<_> = record.cells.iter().filter(|(name, _)| name.rule != LWW).collect();
        writer.array(if further.is_empty() { 3 } else { 4 });
        writer.array(2);
        writer.text(&name.collection);
        writer.text(&name.id);
        writer.uint(record.life);
        writer.map(fields.len());
        for (name, state) in fields {
            writer.text(&name.field);
            write_cell(writer, state);
        }
        if !further.is_empty() {
            writer.array(further.len());
        }
        for (name, state) in further {
            writer.array(4);
            writer.text(&name.field);
            writer.uint(name.rule);
            writer.raw(name.key.as_bytes());
            write_cell(writer, state);
        }
    }
}

fn write_cell(writer: &mut Writer, state: &State) {
    match state {
        State::Stamped(cell) => {
            writer.array(3);
            write(writer, cell.stamp.reading);
            writer.bytes(&cell.stamp.author.0);
            match &cell.value {
                Some(value) => writer.value(value),
                None => writer.undefined(),
            }
        }
        State::Dot(None) => writer.array(0),
        other => other.write_digested(writer),
    }
}
