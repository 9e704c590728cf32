//! Links, hashes and fingerprints, from the spec's text alone (sections 5, 6 and 8), and the state that accepted changes add up to.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::cbor::{Item, encode};
use crate::edn::print;

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
        ("array", [Item::Int(length), item]) => Ok(Item::Array(vec![item.clone(); *length as usize])),
        ("nested", [Item::Int(depth)]) => Ok((1..*depth).fold(Item::Array(Vec::new()), |inner, _| Item::Array(vec![inner]))),
        ("ops", [Item::Int(count)]) => {
            let column = |i| [Item::Array(vec![Item::Text(format!("f{i:04}")), Item::Int(0)]), Item::Int(0)];
            Ok(Item::Array((0..*count).flat_map(column).collect()))
        }
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
/// The effective stamp (reading, author) and the value; none where it is unset.
type Cell = (i128, Vec<u8>, Option<Item>);

/// What a space holds, joined naively: `lww` and `life` only.
#[derive(Debug, Clone, Default)]
pub struct State {
    lives: BTreeMap<Name, i128>,
    cells: BTreeMap<(Name, String), Cell>,
}

impl State {
    /// Applies an accepted change, in the form that a push has.
    ///
    /// # Errors
    /// Something that is no change.
    pub fn apply(&mut self, base: i128, author: &[u8], pushed: &Item) -> Result<(), String> {
        let items: Vec<Item> = pushed.items().iter().skip(1).cloned().collect();
        self.rows(base, author, &items)
    }

    /// Applies `stamp, + row, ? map` of an author: the tail of a `change`, or of a group of cells.
    ///
    /// # Errors
    /// Something that is no row.
    pub fn rows(&mut self, base: i128, author: &[u8], stamp_and_rows: &[Item]) -> Result<(), String> {
        let [stamp, rows @ ..] = stamp_and_rows else { return Err("a stamp is missing".to_owned()) };
        let (ms, counter) = reading(base, stamp)?;
        for row in rows.iter().filter(|row| !matches!(row, Item::Map(_))) {
            self.row(base, author, ms * 65536 + counter, row)?;
        }
        Ok(())
    }

    /// Raises the life of a row without columns.
    ///
    /// # Errors
    /// Something that is no row.
    pub fn life(&mut self, row: &Item) -> Result<(), String> {
        self.row(0, &[], 0, row)
    }

    fn row(&mut self, base: i128, author: &[u8], stamp: i128, row: &Item) -> Result<(), String> {
        let parsed = Row::of(row)?;
        let name = parsed.name()?;
        let life = self.lives.entry(name.clone()).or_insert(0);
        if parsed.life > *life {
            *life = parsed.life;
            self.cells.retain(|(record, _), _| *record != name);
        } else if parsed.life < *life {
            return Ok(());
        }
        for pair in parsed.columns.chunks(2) {
            let [column, op] = pair else { return Err(format!("{} has a column without an op", print(row))) };
            let Some(Item::Text(field)) = column.items().first() else { return Err(format!("{} is no column", print(column))) };
            self.op(base, (name.clone(), field.clone()), author, stamp, column, op)?;
        }
        Ok(())
    }

    fn op(&mut self, base: i128, address: (Name, String), author: &[u8], stamp: i128, column: &Item, op: &Item) -> Result<(), String> {
        let held = self.cells.get(&address);
        let effective = match column.items().get(2) {
            Some(after) => {
                let (ms, counter) = reading(base, after)?;
                let after = ms * 65536 + counter;
                if held.is_some_and(|cell| cell.0 >= after) { after + 1 } else { stamp }
            }
            None => stamp,
        };
        let order = |op: &Item| if *op == Item::Undefined { Vec::new() } else { encode(op) };
        let next = (effective, author.to_vec(), order(op));
        let wins = held.is_none_or(|cell| (cell.0, cell.1.clone(), cell.2.as_ref().map(encode).unwrap_or_default()) < next);
        if wins {
            let value = (*op != Item::Undefined).then(|| op.clone());
            self.cells.insert(address, (effective, author.to_vec(), value));
        }
        Ok(())
    }

    /// A record's fields; none where it is not shown.
    pub fn record(&self, name: &Name) -> Option<Vec<(Item, Item)>> {
        let life = self.lives.get(name)?;
        let shown = self.cells.iter().filter(|((record, _), _)| record == name);
        let fields = shown.filter_map(|((_, field), cell)| Some((Item::Text(field.clone()), cell.2.clone()?)));
        (life % 2 == 1).then(|| fields.collect())
    }

    /// The fingerprint as a mark carries it.
    pub fn fingerprint(&self) -> Vec<u8> {
        let mut digests = Vec::new();
        for ((collection, id), life) in self.lives.iter().filter(|(_, life)| *life % 2 == 1) {
            let cell = |field: Item, rule: i128, state: Item| {
                let address = vec![
                    Item::Text(collection.clone()),
                    Item::Text(id.clone()),
                    field,
                    Item::Int(rule),
                    Item::Null,
                    Item::Int(*life),
                    state,
                ];
                sha256(&encode(&Item::Array(address)))
            };
            digests.push(cell(Item::Null, 1, Item::Null));
            let name = (collection.clone(), id.clone());
            for ((_, field), (stamp, author, value)) in self.cells.iter().filter(|((record, _), _)| *record == name) {
                let Some(value) = value else { continue };
                let state = vec![Item::Int(stamp / 65536), Item::Int(stamp % 65536), Item::Bytes(author.clone()), value.clone()];
                digests.push(cell(Item::Text(field.clone()), 0, Item::Array(state)));
            }
        }
        let sum = digests.iter().fold(vec![0u8; 32], |sum, digest| add(&sum, digest));
        sha256(&encode(&Item::Array(vec![Item::Int(digests.len() as i128), Item::Bytes(sum)])))[..16].to_vec()
    }
}

/// The sum of two big-endian integers of 32 bytes, modulo 2^256.
fn add(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut carry = 0u16;
    let mut sum: Vec<u8> = a
        .iter()
        .zip(b)
        .rev()
        .map(|(a, b)| {
            carry += u16::from(*a) + u16::from(*b);
            let low = carry as u8;
            carry >>= 8;
            low
        })
        .collect();
    sum.reverse();
    sum
}
