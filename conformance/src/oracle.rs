//! The naive oracle: what chapters 4, 5, 6 and 8 of the spec say about a space, as plain maps. It shares no code with the reference.
//!
//! Values are their encoded bytes, since the oracle needs no more of them than equality and order (MERGE-9).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// A replica's id.
pub type Replica = [u8; 16];
/// Milliseconds and counter; ordered as the spec's readings are.
pub type Reading = (u64, u16);

const CLOCK_ADMIT_MS: u64 = 300_000;
const DEPENDENCY: u64 = 33;
const CLOCK: u64 = 32;
const DUPLICATE: u64 = 38;

/// One op of the rule `lww`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// The field it writes.
    pub field: String,
    /// The reading it overwrites, where that is not below the change's own.
    pub after: Option<Reading>,
    /// The encoded value, or unset.
    pub value: Option<Vec<u8>>,
}

/// What a change says of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Collection and record.
    pub record: (String, String),
    /// The life it is written in.
    pub life: u64,
    /// Its ops.
    pub ops: Vec<Op>,
}

/// What a replica writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The author's number for it.
    pub seq: u64,
    /// When it was minted.
    pub reading: Reading,
    /// Its rows.
    pub rows: Vec<Row>,
    /// The first name of a re-minted change.
    pub origin: Option<(Replica, u64)>,
}

/// A cell of a record's present life.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// The effective stamp's reading.
    pub reading: Reading,
    /// The effective stamp's replica.
    pub author: Replica,
    /// The encoded value; unset is the least.
    pub value: Option<Vec<u8>>,
}

/// A record: its life, and the cells of that life.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// 0 absent, odd alive, even deleted.
    pub life: u64,
    /// By field.
    pub cells: BTreeMap<String, Cell>,
}

/// The state of a space: records by collection and id.
pub type State = BTreeMap<(String, String), Record>;

/// What a server holds of a space.
#[derive(Debug, Clone, Default)]
pub struct Space {
    /// The joined cells.
    pub state: State,
    /// How many changes are settled.
    pub position: u64,
    /// The verdict on each settled change, by its name: 0 accepted, else the code.
    pub verdicts: BTreeMap<(Replica, u64), u64>,
    /// The verdicts under the names that changes were first minted under.
    origins: BTreeMap<(Replica, u64), u64>,
}

impl Space {
    /// Settles a replica's next change at the server's time and says with which code; 0 is accepted.
    pub fn apply(&mut self, server_ms: u64, author: Replica, change: &Change) -> u64 {
        let code = self.verdict(server_ms, change);
        if code == 0 {
            apply_change(&mut self.state, author, change);
        }
        self.position += 1;
        self.verdicts.insert((author, change.seq), code);
        if let Some(origin) = change.origin {
            let first = if code == DUPLICATE { 0 } else { code };
            self.origins.insert(origin, first);
        }
        code
    }

    fn verdict(&self, server_ms: u64, change: &Change) -> u64 {
        // IDENT-15
        if let Some(origin) = change.origin {
            match self.verdicts.get(&origin).or(self.origins.get(&origin)) {
                Some(0 | &DUPLICATE) => return DUPLICATE,
                Some(&CLOCK) | None => {}
                Some(code) => return *code,
            }
        }
        // CLOCK-10
        if change.reading.0 > server_ms + CLOCK_ADMIT_MS {
            return CLOCK;
        }
        // MERGE-5
        let too_far = |row: &Row| row.life > self.state.get(&row.record).map_or(0, |record| record.life) + 1;
        if change.rows.iter().any(too_far) { DEPENDENCY } else { 0 }
    }
}

/// Applies an accepted change to a state. (MERGE-2 to MERGE-4, MERGE-8)
pub fn apply_change(state: &mut State, author: Replica, change: &Change) {
    for row in &change.rows {
        let record = state.entry(row.record.clone()).or_default();
        if row.life > record.life {
            *record = Record { life: row.life, cells: BTreeMap::new() };
        }
        if row.life < record.life {
            continue;
        }
        for op in &row.ops {
            let old = record.cells.get(&op.field);
            let reading = effective(change.reading, op.after, old);
            let new = Cell { reading, author, value: op.value.clone() };
            if old.is_none_or(|old| *old < new) {
                record.cells.insert(op.field.clone(), new);
            }
        }
    }
}

/// The reading of an op's effective stamp. (CLOCK-9)
fn effective(own: Reading, after: Option<Reading>, cell: Option<&Cell>) -> Reading {
    match (after, cell) {
        (Some(after), Some(cell)) if cell.reading >= after => next(after),
        _ => own,
    }
}

/// The reading plus 1: the counter carries into the milliseconds.
fn next((ms, counter): Reading) -> Reading {
    match counter.checked_add(1) {
        Some(counter) => (ms, counter),
        None => (ms + 1, 0),
    }
}

/// The join of two states. (MERGE-1, MERGE-3, MERGE-8, MERGE-9)
pub fn join(one: &State, other: &State) -> State {
    let mut joined = one.clone();
    for (name, theirs) in other {
        let ours = joined.entry(name.clone()).or_default();
        if theirs.life > ours.life {
            *ours = theirs.clone();
        } else if theirs.life == ours.life {
            for (field, cell) in &theirs.cells {
                if ours.cells.get(field).is_none_or(|old| old < cell) {
                    ours.cells.insert(field.clone(), cell.clone());
                }
            }
        }
    }
    joined
}

/// The fingerprint as it travels. (SYNC-18)
pub fn fingerprint(state: &State) -> [u8; 16] {
    let (mut count, mut sum) = (0, [0; 32]);
    for cell in live_cells(state) {
        count += 1;
        add(&mut sum, &Sha256::digest(&cell).into());
    }
    let mut wire = head(4, 2);
    wire.extend(head(0, count));
    wire.extend(bytes(&sum));
    first_16(&wire)
}

/// The encodings whose digests are summed up: a life for each live record, and each cell of it that holds a value.
fn live_cells(state: &State) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for ((collection, id), record) in state.iter().filter(|(_, record)| record.life % 2 == 1) {
        let name = [head(4, 7), text(collection), text(id)].concat();
        all.push([name.clone(), vec![NULL, 1, NULL], head(0, record.life), vec![NULL]].concat());
        for (field, cell) in &record.cells {
            let Some(value) = &cell.value else { continue };
            let reading = [head(4, 4), head(0, cell.reading.0), head(0, cell.reading.1.into())].concat();
            let stamp = [reading, bytes(&cell.author), value.clone()].concat();
            all.push([name.clone(), text(field), vec![0, NULL], head(0, record.life), stamp].concat());
        }
    }
    all
}

/// A state as text, one line for each record and cell, equal exactly where states are.
pub fn dump(state: &State) -> String {
    let mut out = String::new();
    for ((collection, id), record) in state {
        writeln!(out, "{collection:?} {id:?} life {}", record.life).expect("a string takes all");
        for (field, Cell { reading: (ms, counter), author, value }) in &record.cells {
            let value = value.as_ref().map_or("unset".to_owned(), |value| hex(value));
            writeln!(out, "  {field:?} {ms}.{counter} {} {value}", hex(author)).expect("a string takes all");
        }
    }
    out
}

/// Link 0 of a replica. (chapter 6)
pub fn start_link(space: &str, replica: &Replica) -> [u8; 16] {
    first_16(&[head(4, 3), text("syncline"), text(space), bytes(replica)].concat())
}

/// The link after `before` for a change with this hash. (chapter 6)
pub fn next_link(before: &[u8; 16], hash: &[u8; 32]) -> [u8; 16] {
    first_16(&[&before[..], &hash[..]].concat())
}

fn first_16(content: &[u8]) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(content).into();
    std::array::from_fn(|at| digest[at])
}

/// Adds modulo 2^256, big-endian.
fn add(sum: &mut [u8; 32], digest: &[u8; 32]) {
    let mut carry = 0u16;
    for at in (0..32).rev() {
        let total = u16::from(sum[at]) + u16::from(digest[at]) + carry;
        sum[at] = total as u8;
        carry = total >> 8;
    }
}

const NULL: u8 = 0xf6;

/// A CBOR head in its shortest form.
fn head(major: u8, number: u64) -> Vec<u8> {
    let (extra, bytes) = match number {
        0..24 => return vec![major << 5 | number as u8],
        24..0x100 => (24, &number.to_be_bytes()[7..]),
        0x100..0x1_0000 => (25, &number.to_be_bytes()[6..]),
        0x1_0000..0x1_0000_0000 => (26, &number.to_be_bytes()[4..]),
        _ => (27, &number.to_be_bytes()[..]),
    };
    [&[major << 5 | extra], bytes].concat()
}

fn text(name: &str) -> Vec<u8> {
    [head(3, name.len() as u64), name.as_bytes().to_vec()].concat()
}

fn bytes(content: &[u8]) -> Vec<u8> {
    [head(2, content.len() as u64), content.to_vec()].concat()
}

fn hex(content: &[u8]) -> String {
    content.iter().fold(String::new(), |out, byte| out + &format!("{byte:02x}"))
}
