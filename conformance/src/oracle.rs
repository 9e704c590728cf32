//! The naive oracle: what chapters 4, 5, 6 and 8 of the spec say about a space, as plain maps. It shares no code with the reference.
//!
//! The cells of a record lie in one map by (field, rule, encoded key); what a cell holds, and how two of them join, hangs on the rule's code.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::cbor::{Item, encode};

/// A replica's id.
pub type Replica = [u8; 16];
/// Milliseconds and counter; ordered as the spec's readings are.
pub type Reading = (u64, u16);

const CLOCK_ADMIT_MS: u64 = 300_000;
const DEPENDENCY: u64 = 33;
const CLOCK: u64 = 32;
const UNSUPPORTED: u64 = 36;
const LIMIT: u64 = 37;
const DUPLICATE: u64 = 38;
const SKIPPED: u64 = 39;
const NEEDS: u64 = 41;
/// Verdicts after which a change may have another under its next name. (IDENT-15)
pub const PUT_OFF: [u64; 3] = [CLOCK, NEEDS, SKIPPED];
const INT_MAX: i128 = (1 << 53) - 1;

/// One op.
#[derive(Debug, Clone, PartialEq)]
pub struct Op {
    /// The field it writes.
    pub field: String,
    /// The code of its rule.
    pub rule: u64,
    /// The reading it overwrites, where that is not below the change's own.
    pub after: Option<Reading>,
    /// What it holds.
    pub item: Item,
}

/// What a change says of one record.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Collection and record.
    pub record: (String, String),
    /// The life it is written in.
    pub life: u64,
    /// Its ops.
    pub ops: Vec<Op>,
}

/// What a replica writes.
#[derive(Debug, Clone, PartialEq)]
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

/// What a cell of a record's present life holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Join 0: the effective stamp, and the encoded value or nothing.
    Stamped(Reading, Replica, Option<Vec<u8>>),
    /// Joins 1 and 2.
    Value(Item),
    /// Join 3: the author's seq, and the sum or value.
    Numbered(u64, Item),
    /// Join 4: the encoded value, or removed.
    Dot(Option<Vec<u8>>),
}

/// Field, rule and encoded key.
pub type CellKey = (String, u64, Vec<u8>);

/// A record: its life, and the cells of that life.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// 0 absent, odd alive, even deleted.
    pub life: u64,
    /// By address.
    pub cells: BTreeMap<CellKey, Cell>,
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
        let first = change.origin.and_then(|origin| self.origins.get(&origin).or(self.verdicts.get(&origin)).copied());
        let code = self.verdict_after(server_ms, author, change, first);
        self.settle(author, change, code);
        code
    }

    /// Settles a replica's next change with this code.
    pub fn settle(&mut self, author: Replica, change: &Change, code: u64) {
        if code == 0 {
            apply_change(&mut self.state, author, change);
        }
        self.position += 1;
        self.verdicts.insert((author, change.seq), code);
        if let Some(origin) = change.origin {
            let first = if code == DUPLICATE { 0 } else { code };
            self.origins.insert(origin, first);
        }
    }

    /// The verdict on a replica's next change, whose rows had this verdict under the name they were first minted under.
    pub fn verdict_after(&self, server_ms: u64, author: Replica, change: &Change, first: Option<u64>) -> u64 {
        // IDENT-15
        match first {
            Some(0 | DUPLICATE) => return DUPLICATE,
            Some(code) if !PUT_OFF.contains(&code) => return code,
            Some(_) | None => {}
        }
        // CLOCK-10
        if change.reading.0 > server_ms + CLOCK_ADMIT_MS {
            return CLOCK;
        }
        // RULES-3
        if change.rows.iter().flat_map(|row| &row.ops).any(|op| matches!(op.rule, 1 | 12 | 20) || op.rule % 8 > 4) {
            return UNSUPPORTED;
        }
        // MERGE-5
        let too_far = |row: &Row| row.life > self.state.get(&row.record).map_or(0, |record| record.life) + 1;
        if change.rows.iter().any(too_far) {
            return DEPENDENCY;
        }
        // RULES-10
        let written = change.rows.iter().filter_map(|row| Some((row.record.clone(), self.state.get(&row.record)?.clone())));
        let mut after: State = written.collect();
        apply_change(&mut after, author, change);
        let bad = |cell: &Cell| matches!(cell, Cell::Numbered(_, Item::Int(sum)) if sum.abs() > INT_MAX);
        if after.values().flat_map(|record| record.cells.values()).any(bad) { LIMIT } else { 0 }
    }
}

/// Applies an accepted change to a state. (MERGE-2 to MERGE-4, MERGE-8)
pub fn apply_change(state: &mut State, author: Replica, change: &Change) {
    change_rows(state, author, change, true);
}

/// Lays a change without a verdict over a state, as an overlay shows it. (RULES-18)
pub fn lay_change(state: &mut State, author: Replica, change: &Change) {
    change_rows(state, author, change, false);
}

fn change_rows(state: &mut State, author: Replica, change: &Change, accepted: bool) {
    for row in &change.rows {
        let record = state.entry(row.record.clone()).or_default();
        if row.life > record.life {
            *record = Record { life: row.life, cells: BTreeMap::new() };
        }
        if row.life < record.life {
            continue;
        }
        for op in &row.ops {
            apply_op(record, (author, accepted), change, op);
        }
    }
}

fn apply_op(record: &mut Record, (author, accepted): (Replica, bool), change: &Change, op: &Op) {
    let mut put = |key: Vec<u8>, make: &dyn Fn(Option<&Cell>) -> Option<Cell>| {
        let address = (op.field.clone(), op.rule, key);
        let old = record.cells.get(&address);
        let Some(new) = make(old) else { return };
        let joined = old.map_or(new.clone(), |old| join_cells(op.rule, old, &new));
        record.cells.insert(address, joined);
    };
    let stamped = |after: Option<Reading>, value: Option<Vec<u8>>| {
        move |old: Option<&Cell>| {
            let seen = if let Some(Cell::Stamped(reading, ..)) = old { Some(*reading) } else { None };
            // RULES-18: over base an `after` counts whatever is seen so far.
            let seen = if accepted { seen } else { after };
            Some(Cell::Stamped(effective(change.reading, after, seen), author, value.clone()))
        }
    };
    let set = |item: &Item| (*item != Item::Undefined && *item != Item::Bool(false)).then(|| encode(item));
    match (op.rule, op.rule % 8) {
        (0, _) => put(vec![NULL], &stamped(op.after, (op.item != Item::Undefined).then(|| encode(&op.item)))),
        (rule, 0) => {
            for entry in op.item.items() {
                let [key, held, after @ ..] = entry.items() else { continue };
                let after = after.first().and_then(moment);
                // A set's element is there or not; other rules' entries may well hold false.
                let value = if rule == 8 { set(held) } else { (*held != Item::Undefined).then(|| encode(held)) };
                put(encode(key), &stamped(after, value));
            }
        }
        (_, 1 | 2) => put(vec![NULL], &|_| Some(Cell::Value(op.item.clone()))),
        (3, _) => put(bytes(&author), &|old| match (old, &op.item) {
            (Some(Cell::Numbered(seq, Item::Int(sum))), Item::Int(amount)) if *seq < change.seq => {
                Some(Cell::Numbered(change.seq, Item::Int(sum + amount)))
            }
            (Some(_), _) => None,
            (None, amount) => Some(Cell::Numbered(change.seq, amount.clone())),
        }),
        (_, 3) => put(bytes(&author), &|_| Some(Cell::Numbered(change.seq, op.item.clone()))),
        _ => {
            let [removed, added @ ..] = op.item.items() else { return };
            let (first, seq) = change.origin.unwrap_or((author, change.seq));
            for (index, value) in added.iter().enumerate() {
                put(dot(&first, seq, index as u64), &|_| Some(Cell::Dot(Some(encode(value)))));
            }
            for dot in removed.items() {
                // RULES-16, and in an overlay a removed dot stays removed. (RULES-18)
                put(encode(dot), &|old| (old.is_some() || !accepted).then_some(Cell::Dot(None)));
            }
        }
    }
}

/// The encoding of a dot.
fn dot(author: &Replica, seq: u64, index: u64) -> Vec<u8> {
    [head(4, 3), bytes(author), head(0, seq), head(0, index)].concat()
}

fn moment(item: &Item) -> Option<Reading> {
    let [ms, counter] = item.items() else { return None };
    Some((ms.as_u64()?, u16::try_from(counter.as_u64()?).ok()?))
}

/// Takes in a row of an item `-5`: a counter's sum, an unknown rule's value, or dots of one author and seq. (RULES-19)
pub fn take_keyed(state: &mut State, author: Replica, seq: u64, row: &Row) {
    let record = state.entry(row.record.clone()).or_default();
    if row.life > record.life {
        *record = Record { life: row.life, cells: BTreeMap::new() };
    }
    for op in row.ops.iter().filter(|_| row.life == record.life) {
        let at = |key: Vec<u8>| (op.field.clone(), op.rule, key);
        if op.rule % 8 == 3 {
            record.cells.insert(at(bytes(&author)), Cell::Numbered(seq, op.item.clone()));
            continue;
        }
        let [removed, added @ ..] = op.item.items() else { continue };
        for index in removed.items().iter().filter_map(Item::as_u64) {
            record.cells.insert(at(dot(&author, seq, index)), Cell::Dot(None));
        }
        for pair in added {
            if let [index, value] = pair.items() {
                record.cells.insert(at(dot(&author, seq, index.as_u64().unwrap_or(0))), Cell::Dot(Some(encode(value))));
            }
        }
    }
}

/// The join of two states of one cell. (MERGE-8, MERGE-9, RULES-1, RULES-7, RULES-15)
fn join_cells(rule: u64, one: &Cell, other: &Cell) -> Cell {
    let first = match (one, other) {
        (Cell::Stamped(..), Cell::Stamped(..)) => stamp_of(one) >= stamp_of(other),
        (Cell::Value(one), Cell::Value(other)) => (order(one, other) == Ordering::Greater) == (rule % 8 == 1),
        (Cell::Numbered(one, a), Cell::Numbered(other, b)) => (one, encode(a)) >= (other, encode(b)),
        (Cell::Dot(one), Cell::Dot(other)) => one.is_none() || other.is_some() && one >= other,
        _ => unreachable!("the cells of one address have one rule"),
    };
    if first { one.clone() } else { other.clone() }
}

fn stamp_of(cell: &Cell) -> Option<(Reading, Replica, &Option<Vec<u8>>)> {
    if let Cell::Stamped(reading, author, value) = cell { Some((*reading, *author, value)) } else { None }
}

/// The total order of values. (chapter 3)
pub fn order(one: &Item, other: &Item) -> Ordering {
    let rank = |item: &Item| match item {
        Item::Null | Item::Undefined => 0,
        Item::Bool(_) => 1,
        Item::Int(_) | Item::Float(_) => 2,
        Item::Bytes(_) => 3,
        Item::Text(_) => 4,
        Item::Array(_) => 5,
        Item::Map(_) => 6,
    };
    let number = |item: &Item| match item {
        Item::Int(number) => *number as f64,
        Item::Float(number) => *number,
        _ => 0.0,
    };
    match (one, other) {
        (Item::Bool(one), Item::Bool(other)) => one.cmp(other),
        (Item::Bytes(one), Item::Bytes(other)) => one.cmp(other),
        (Item::Text(one), Item::Text(other)) => one.as_bytes().cmp(other.as_bytes()),
        (Item::Array(one), Item::Array(other)) => {
            let unequal = one.iter().zip(other).map(|(one, other)| order(one, other)).find(|order| order.is_ne());
            unequal.unwrap_or(one.len().cmp(&other.len()))
        }
        (Item::Map(one), Item::Map(other)) => {
            let pair = |((a, x), (b, y))| order(a, b).then_with(|| order(x, y));
            let pairs = one.iter().map(|(a, x)| (a, x)).zip(other.iter().map(|(b, y)| (b, y)));
            pairs.map(pair).find(|order| order.is_ne()).unwrap_or(one.len().cmp(&other.len()))
        }
        _ if rank(one) == 2 && rank(other) == 2 => number(one).total_cmp(&number(other)),
        _ => rank(one).cmp(&rank(other)),
    }
}

/// The reading of an op's effective stamp. (CLOCK-9)
fn effective(own: Reading, after: Option<Reading>, seen: Option<Reading>) -> Reading {
    match (after, seen) {
        (Some(after), Some(seen)) if seen >= after => next(after),
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
            for (at, cell) in &theirs.cells {
                let joined = ours.cells.get(at).map_or(cell.clone(), |old| join_cells(at.1, old, cell));
                ours.cells.insert(at.clone(), joined);
            }
        }
    }
    joined
}

/// The fingerprint as it travels. (SYNC-18)
pub fn fingerprint(state: &State) -> [u8; 16] {
    let mut all = Tally::default();
    state.iter().for_each(|(name, record)| all.add(&Tally::of(name, record)));
    all.wire()
}

/// How many live cells there are, and the sum of their digests modulo 2^256. (SYNC-18)
#[derive(Debug, Clone, Default)]
pub struct Tally {
    count: u64,
    sum: [u8; 32],
}

impl Tally {
    /// That of one record.
    pub fn of(name: &(String, String), record: &Record) -> Self {
        let mut tally = Self::default();
        for cell in live_cells(name, record) {
            tally.add(&Self { count: 1, sum: Sha256::digest(&cell).into() });
        }
        tally
    }

    /// Takes in another.
    pub fn add(&mut self, other: &Self) {
        self.count += other.count;
        add(&mut self.sum, &other.sum);
    }

    /// Takes out another that was taken in.
    pub fn subtract(&mut self, other: &Self) {
        self.count -= other.count;
        let mut negative = other.sum.map(|byte| !byte);
        add(&mut negative, &std::array::from_fn(|at| u8::from(at == 31)));
        add(&mut self.sum, &negative);
    }

    /// As it travels.
    pub fn wire(&self) -> [u8; 16] {
        let mut wire = head(4, 2);
        wire.extend(head(0, self.count));
        wire.extend(bytes(&self.sum));
        first_16(&wire)
    }
}

/// The encodings whose digests are summed up: a life for a live record, and each cell of it that holds a value.
fn live_cells((collection, id): &(String, String), record: &Record) -> Vec<Vec<u8>> {
    if record.life.is_multiple_of(2) {
        return Vec::new();
    }
    let name = [head(4, 7), text(collection), text(id)].concat();
    let mut all = vec![[name.clone(), vec![NULL, 1, NULL], head(0, record.life), vec![NULL]].concat()];
    for ((field, rule, key), cell) in &record.cells {
        let Some(held) = digested(cell) else { continue };
        all.push([name.clone(), text(field), head(0, *rule), key.clone(), head(0, record.life), held].concat());
    }
    all
}

/// What the digest of a live cell covers of its state.
fn digested(cell: &Cell) -> Option<Vec<u8>> {
    Some(match cell {
        Cell::Stamped(reading, author, value) => {
            [head(4, 4), head(0, reading.0), head(0, reading.1.into()), bytes(author), value.clone()?].concat()
        }
        Cell::Value(value) => [head(4, 1), encode(value)].concat(),
        Cell::Numbered(seq, value) => [head(4, 2), head(0, *seq), encode(value)].concat(),
        Cell::Dot(value) => [head(4, 1), value.clone()?].concat(),
    })
}

/// A state as text, one line for each record and cell, equal exactly where states are.
pub fn dump(state: &State) -> String {
    let mut out = String::new();
    for ((collection, id), record) in state {
        writeln!(out, "{collection:?} {id:?} life {}", record.life).expect("a string takes all");
        for ((field, rule, key), cell) in &record.cells {
            writeln!(out, "  {field:?} {rule} {} {}", hex(key), shown(cell)).expect("a string takes all");
        }
    }
    out
}

fn shown(cell: &Cell) -> String {
    let value = |value: &Option<Vec<u8>>| value.as_ref().map_or("gone".to_owned(), |value| hex(value));
    match cell {
        Cell::Stamped((ms, counter), author, held) => format!("{ms}.{counter} {} {}", hex(author), value(held)),
        Cell::Value(held) => hex(&encode(held)),
        Cell::Numbered(seq, held) => format!("{seq} {}", hex(&encode(held))),
        Cell::Dot(held) => value(held),
    }
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
