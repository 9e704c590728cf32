//! The vectors about states: merge, join, admit and fingerprint (conformance/vectors/README.md), by the core's space, rules and hash.

use std::collections::BTreeMap;

use syncline::change::{Change, Pushed, RecordName};
use syncline::clock::{Replica, Stamp};
use syncline::codec::{Reader, Writer};
use syncline::limits::CLOCK_ADMIT_MS;
use syncline::registry::Code;
use syncline::rules::State;
use syncline::rules::lww::Lww;
use syncline::space::{CellName, RecordState, Space};
use syncline::store::MemoryStore;

use crate::vectors::{Fault, reading, write};

type Records = BTreeMap<RecordName, RecordState>;

/// `[state, [* [author, stamp, + row]]]`: the state after the changes.
pub fn merge(reader: &mut Reader, writer: &mut Writer) -> Result<(), Fault> {
    reader.array()?;
    let (space, mut store) = stored(&records(reader)?)?;
    for position in 0..reader.array()? {
        let (author, change) = change(reader)?;
        space.apply(&mut store, author, &change, 1 + position as u64)?;
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
    let (_, change) = change(reader)?;
    let code = if change.reading.ms() > server_ms + CLOCK_ADMIT_MS {
        Code::CLOCK
    } else if space.raises_too_far(&store, &change)? {
        Code::DEPENDENCY
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
            space.set_cell(&mut store, name, cell, state.clone(), 0)?;
        }
    }
    Ok((space, store))
}

/// `[author, stamp, + row]`, read as the change of seq 1 in a push.
fn change(reader: &mut Reader) -> Result<(Replica, Change), Fault> {
    let items = reader.array()?;
    let author = author(reader)?;
    let mut pushed = Writer::default();
    pushed.array(items);
    pushed.uint(1);
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
        reader.array()?;
        reader.array()?;
        let name = RecordName { collection: reader.text()?.to_owned(), id: reader.text()?.to_owned() };
        let mut record = RecordState { life: reader.uint()?, cells: BTreeMap::new() };
        for _ in 0..reader.map()? {
            let field = CellName::lww(reader.text()?);
            record.cells.insert(field, State::Stamped(cell(reader)?));
        }
        records.insert(name, record);
    }
    Ok(records)
}

fn cell(reader: &mut Reader) -> Result<Lww, Fault> {
    reader.array()?;
    let stamp = Stamp { reading: reading(reader)?, author: author(reader)? };
    if reader.is_undefined() {
        reader.undefined()?;
        return Ok(Lww { stamp, value: None });
    }
    Ok(Lww { stamp, value: Some(reader.value(0)?) })
}

fn author(reader: &mut Reader) -> Result<Replica, Fault> {
    Ok(Replica(reader.bytes()?.try_into()?))
}

fn write_records(writer: &mut Writer, records: &Records) {
    writer.array(records.len());
    for (name, record) in records {
        writer.array(3);
        writer.array(2);
        writer.text(&name.collection);
        writer.text(&name.id);
        writer.uint(record.life);
        // Keys of a map stand in the order of their encodings: shorter first. (CODEC-5)
        let mut fields: Vec<(&CellName, &Lww)> = Vec::new();
        for (name, state) in &record.cells {
            if let State::Stamped(cell) = state {
                fields.push((name, cell));
            }
        }
        fields.sort_by_key(|(name, _)| (name.field.len(), &name.field));
        writer.map(fields.len());
        for (name, cell) in fields {
            writer.text(&name.field);
            writer.array(3);
            write(writer, cell.stamp.reading);
            writer.bytes(&cell.stamp.author.0);
            match &cell.value {
                Some(value) => writer.value(value),
                None => writer.undefined(),
            }
        }
    }
}
