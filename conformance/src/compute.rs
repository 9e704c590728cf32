//! What scenarios compute of changes as a push has them, by the oracle: hashes, links, fingerprints and the state that they add up to.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::cbor::{Item, decode, encode, encode_sequence};
use crate::edn::print;
use crate::oracle::{self, Change};
use crate::packed::deflated;

/// A call of a scenario's expression.
///
/// # Errors
/// An unknown name, or arguments that make no sense.
pub fn call(name: &str, arguments: &[Item]) -> Result<Item, String> {
    match (name, arguments) {
        ("start", [Item::Text(space), Item::Bytes(replica)]) => Ok(Item::Bytes(start(space, replica))),
        ("hash", [Item::Int(base), change]) => Ok(Item::Bytes(hash(*base, change)?)),
        ("link", [Item::Text(space), Item::Bytes(replica), Item::Int(base), Item::Array(changes)]) => {
            let first = start(space, replica);
            changes.iter().try_fold(first, |link, change| Ok(next_link(&link, &hash(*base, change)?))).map(Item::Bytes)
        }
        ("fingerprint", [Item::Int(base), Item::Array(log)]) => {
            let mut state = State::default();
            for entry in log {
                let [Item::Bytes(author), change] = entry.items() else { return Err(format!("{} is no [author, change]", print(entry))) };
                state.apply(*base, author, change)?;
            }
            Ok(Item::Bytes(state.fingerprint()))
        }
        ("text", [Item::Int(length)]) => Ok(Item::Text("x".repeat(*length as usize))),
        ("text", [Item::Int(length), Item::Text(piece)]) => Ok(Item::Text(piece.repeat(*length as usize / piece.len().max(1)))),
        ("bytes", [Item::Int(length)]) => Ok(Item::Bytes(vec![0; *length as usize])),
        ("digest", [seed, cell]) => {
            let digest = Item::Bytes(sha256(&encode(cell)));
            Ok(Item::Bytes(sha256(&encode(&Item::Array(vec![seed.clone(), digest])))))
        }
        ("lesser", [Item::Bytes(one), Item::Bytes(other)]) => Ok(Item::Bytes(one.min(other).clone())),
        ("id", [Item::Int(number)]) => Ok(Item::Bytes(number.to_be_bytes().to_vec())),
        ("ranges", [Item::Int(count)]) => {
            let bound = |i: i128| Item::Bytes(if i == *count { Vec::new() } else { (i as u32).to_be_bytes().to_vec() });
            let range = |i| Item::Array(vec![bound(i), Item::Int(1), Item::Int(1), Item::Bytes(vec![0; 16])]);
            Ok(Item::Array((1..=*count).map(range).collect()))
        }
        ("array", [Item::Int(length), item]) => Ok(Item::Array(vec![item.clone(); *length as usize])),
        ("nested", [Item::Int(depth)]) => Ok((1..*depth).fold(Item::Array(Vec::new()), |inner, _| Item::Array(vec![inner]))),
        ("ops", [Item::Int(count)]) => {
            let column = |i| [Item::Array(vec![Item::Text(format!("f{i:04}")), Item::Int(0)]), Item::Int(0)];
            Ok(Item::Array((0..*count).flat_map(column).collect()))
        }
        ("rows", [Item::Int(count)]) => {
            let record = |i| Item::Array(vec![Item::Text(format!("c{i:04}")), Item::Text("r".to_owned())]);
            Ok(Item::Array((0..*count).map(|i| Item::Array(vec![record(i)])).collect()))
        }
        ("deflated", [Item::Bytes(bytes)]) => Ok(Item::Bytes(deflated(bytes))),
        ("packed", messages) => Ok(Item::Array(vec![Item::Int(20), Item::Int(0), Item::Bytes(deflated(&encode_sequence(messages)))])),
        ("names", [Item::Int(count)]) => Ok(Item::Array((0..*count).map(|i| Item::Text(format!("c{i:04}"))).collect())),
        _ => Err(format!("{name}({}) makes no sense", arguments.iter().map(print).collect::<Vec<_>>().join(", "))),
    }
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

/// Link 0 of a replica in a space.
pub fn start(space: &str, replica: &[u8]) -> Vec<u8> {
    let item = Item::Array(vec![Item::Text("syncline".to_owned()), Item::Text(space.to_owned()), Item::Bytes(replica.to_vec())]);
    sha256(&encode(&item))[..16].to_vec()
}

/// The link after a change of this hash.
pub fn next_link(link: &[u8], hash: &[u8]) -> Vec<u8> {
    sha256(&[link, hash].concat())[..16].to_vec()
}

/// The hash of a change as it stands in a push, or the one that a skip names.
///
/// # Errors
/// Something that is no change.
pub fn hash(base: i128, pushed: &Item) -> Result<Vec<u8>, String> {
    if let [Item::Int(_), Item::Bytes(hash)] = pushed.items() {
        return Ok(hash.clone());
    }
    Ok(sha256(&encode(&literal(base, pushed)?)))
}

/// The literal change of one that was pushed.
fn literal(base: i128, pushed: &Item) -> Result<Item, String> {
    let [seq, stamp, rest @ ..] = pushed.items() else { return Err(format!("{} is no change", print(pushed))) };
    let (rows, map) = match rest {
        [rows @ .., map @ Item::Map(_)] => (rows, map.clone()),
        rows => (rows, Item::Map(Vec::new())),
    };
    let (ms, counter) = reading(base, stamp)?;
    let rows: Vec<Item> = rows.iter().map(|row| literal_row(base, row)).collect::<Result<_, _>>()?;
    Ok(Item::Array(vec![seq.clone(), Item::Int(ms), Item::Int(counter), Item::Array(rows), map]))
}

fn literal_row(base: i128, row: &Item) -> Result<Item, String> {
    let Row { record, life, columns } = Row::of(row)?;
    let mut out = vec![record.clone(), Item::Int(life)];
    for pair in columns.chunks(2) {
        let [column, op] = pair else { return Err(format!("{} has a column without an op", print(row))) };
        let column = match column.items() {
            [field, rule, after] => {
                let (ms, counter) = reading(base, after)?;
                Item::Array(vec![field.clone(), rule.clone(), Item::Array(vec![Item::Int(ms), Item::Int(counter)])])
            }
            _ => column.clone(),
        };
        out.extend([column, op.clone()]);
    }
    Ok(Item::Array(out))
}

/// The parts of a row.
struct Row<'a> {
    record: &'a Item,
    life: i128,
    columns: &'a [Item],
}

impl<'a> Row<'a> {
    fn of(row: &'a Item) -> Result<Self, String> {
        match row.items() {
            [record @ Item::Array(_), Item::Int(0), Item::Int(life), columns @ ..] => Ok(Self { record, life: *life, columns }),
            [record @ Item::Array(_), columns @ ..] => Ok(Self { record, life: 1, columns }),
            _ => Err(format!("{} is no row", print(row))),
        }
    }

    fn name(&self) -> Result<Name, String> {
        match self.record.items() {
            [Item::Text(collection), Item::Text(id)] => Ok((collection.clone(), id.clone())),
            _ => Err(format!("{} is no record", print(self.record))),
        }
    }
}

fn reading(base: i128, stamp: &Item) -> Result<(i128, i128), String> {
    match (stamp, stamp.items()) {
        (Item::Int(ms), _) => Ok((base + ms, 0)),
        (_, [Item::Int(ms), Item::Int(counter)]) => Ok((base + ms, *counter)),
        _ => Err(format!("{} is no stamp", print(stamp))),
    }
}

/// A collection and a record's id.
pub type Name = (String, String);

/// What a space holds, as the oracle joins it.
#[derive(Debug, Clone, Default)]
pub struct State(oracle::State);

impl State {
    /// Applies an accepted change, in the form that a push has.
    ///
    /// # Errors
    /// Something that is no change.
    pub fn apply(&mut self, base: i128, author: &[u8], pushed: &Item) -> Result<(), String> {
        let seq = pushed.items().first().and_then(Item::as_u64).unwrap_or(0);
        self.rows(base, author, seq, pushed.items().get(1..).unwrap_or_default())
    }

    /// Applies `stamp, + row, ? map` of an author: the tail of a `change`, or of a group of cells, whose seq says nothing.
    ///
    /// # Errors
    /// Something that is no row.
    pub fn rows(&mut self, base: i128, author: &[u8], seq: u64, stamp_and_rows: &[Item]) -> Result<(), String> {
        let [stamp, rows @ ..] = stamp_and_rows else { return Err("a stamp is missing".to_owned()) };
        let reading = oracle_reading(base, stamp)?;
        let origin = rows.last().and_then(|map| if let Item::Map(pairs) = map { origin_of(pairs) } else { None });
        let rows = rows.iter().filter(|row| !matches!(row, Item::Map(_))).map(|row| oracle_row(base, row));
        let change = Change { seq, reading, rows: rows.collect::<Result<_, _>>()?, origin };
        oracle::apply_change(&mut self.0, replica(author)?, &change);
        Ok(())
    }

    /// Raises the life of a row without columns.
    ///
    /// # Errors
    /// Something that is no row.
    pub fn life(&mut self, row: &Item) -> Result<(), String> {
        let change = Change { seq: 0, reading: (0, 0), rows: vec![oracle_row(0, row)?], origin: None };
        oracle::apply_change(&mut self.0, [0; 16], &change);
        Ok(())
    }

    /// Takes in the rows of an item `-5`.
    ///
    /// # Errors
    /// Something that is no row.
    pub fn keyed(&mut self, author: &[u8], seq: u64, rows: &[Item]) -> Result<(), String> {
        for row in rows {
            oracle::take_keyed(&mut self.0, replica(author)?, seq, &oracle_row(0, row)?);
        }
        Ok(())
    }

    /// The records of which anything is held.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.0.keys()
    }

    /// A record's fields by `lww`, and by field and rule what its further columns show; none where it is not shown.
    pub fn record(&self, name: &Name) -> Option<(Fields, Fields)> {
        let record = self.0.get(name).filter(|record| record.life % 2 == 1)?;
        let (mut fields, mut columns) = (Fields::new(), BTreeMap::<(&String, u64), Vec<(&Vec<u8>, &oracle::Cell)>>::new());
        for ((field, rule, key), cell) in &record.cells {
            match (rule, cell) {
                (0, oracle::Cell::Stamped(_, _, value)) => {
                    fields.extend(value.iter().filter_map(|held| Some((Item::Text(field.clone()), decode(held).ok()?))))
                }
                (_, oracle::Cell::Stamped(_, _, None) | oracle::Cell::Dot(None)) => {}
                _ => columns.entry((field, *rule)).or_default().push((key, cell)),
            }
        }
        let mut shown: BTreeMap<&String, Fields> = BTreeMap::new();
        for ((field, rule), cells) in &columns {
            if let Some((rule, column)) = column(*rule, cells) {
                shown.entry(field).or_default().push((Item::Text(rule.to_owned()), column));
            }
        }
        Some((fields, shown.into_iter().map(|(field, rules)| (Item::Text(field.clone()), Item::Map(rules))).collect()))
    }

    /// The fingerprint as a mark carries it.
    pub fn fingerprint(&self) -> Vec<u8> {
        oracle::fingerprint(&self.0).to_vec()
    }
}

/// The name in a change map's origin.
fn origin_of(pairs: &[(Item, Item)]) -> Option<(oracle::Replica, u64)> {
    let (_, origin) = pairs.iter().find(|(key, _)| *key == Item::Int(0))?;
    let [author, seq, ..] = origin.items() else { return None };
    Some((replica(author.as_bytes()?).ok()?, seq.as_u64()?))
}

/// The pairs of a map.
pub type Fields = Vec<(Item, Item)>;

/// A rule's name, and what its live cells show; none for a rule that is not known.
fn column(rule: u64, cells: &[(&Vec<u8>, &oracle::Cell)]) -> Option<(&'static str, Item)> {
    let held = |cell: &oracle::Cell| match cell {
        oracle::Cell::Stamped(_, _, Some(value)) | oracle::Cell::Dot(Some(value)) => decode(value).unwrap_or(Item::Null),
        oracle::Cell::Value(value) | oracle::Cell::Numbered(_, value) => value.clone(),
        _ => Item::Null,
    };
    let key = |key: &[u8]| decode(key).unwrap_or(Item::Null);
    let values = || cells.iter().map(|(_, cell)| held(cell));
    Some(match rule {
        2 => ("min", values().next()?),
        9 => ("max", values().next()?),
        3 => {
            let sum: i128 = values().map(|value| if let Item::Int(sum) = value { sum } else { 0 }).sum();
            ("counter", Item::Int(sum.clamp(-9_007_199_254_740_991, 9_007_199_254_740_991)))
        }
        4 => ("multi", Item::Array(values().collect())),
        8 => {
            let mut elements: Vec<Item> = cells.iter().map(|(element, _)| key(element)).collect();
            elements.sort_by(oracle::order);
            ("set", Item::Array(elements))
        }
        16 => ("map", Item::Map(cells.iter().map(|(text, cell)| (key(text), held(cell))).collect())),
        _ => return None,
    })
}

fn replica(author: &[u8]) -> Result<oracle::Replica, String> {
    author.try_into().map_err(|_| format!("{author:02x?} is no replica"))
}

fn oracle_reading(base: i128, stamp: &Item) -> Result<oracle::Reading, String> {
    let (ms, counter) = reading(base, stamp)?;
    u64::try_from(ms).ok().zip(u16::try_from(counter).ok()).ok_or_else(|| format!("{} is no stamp", print(stamp)))
}

fn oracle_row(base: i128, row: &Item) -> Result<oracle::Row, String> {
    let parsed = Row::of(row)?;
    let life = u64::try_from(parsed.life).map_err(|_| format!("{} has no life", print(row)))?;
    let op = |pair: &[Item]| {
        let [column, op] = pair else { return Err(format!("{} has a column without an op", print(row))) };
        let Some(Item::Text(field)) = column.items().first() else { return Err(format!("{} is no column", print(column))) };
        let after = column.items().get(2).map(|after| oracle_reading(base, after)).transpose()?;
        let rule = column.items().get(1).and_then(Item::as_u64).ok_or_else(|| format!("{} is no column", print(column)))?;
        Ok(oracle::Op { field: field.clone(), rule, after, item: op.clone() })
    };
    Ok(oracle::Row { record: parsed.name()?, life, ops: parsed.columns.chunks(2).map(op).collect::<Result<_, _>>()? })
}
