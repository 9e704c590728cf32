//! The log of a world as the spec's naive model sees it: what its changes add up to at each position, and what a client that
//! stands there shows. It takes bytes from the log and shares no code with the reference.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use syncline::server::Logged;
use syncline::space::{Shown, View};
use syncline::value::Value;

use crate::cbor::{Item, decode};
use crate::oracle::{self, Cell, Change, Op, Record, Replica, Row, Space, State, Tally};

/// Collection and id.
pub type Name = (String, String);
/// What columns show, by field and rule.
pub type Columns = BTreeMap<(String, u64), Item>;
type Link = [u8; 16];

/// Verdicts that hang on what a log does not hold: the horizon, conditions, quotas, skips, dependents.
const TAKEN_AS_GIVEN: [u64; 5] = [34, 35, 39, 40, 41];

/// A settled change.
#[derive(Debug, Clone)]
pub struct Entry {
    /// As the log has it.
    pub logged: Logged,
    /// What was written; none for a skip.
    pub change: Option<Change>,
}

/// The log so far.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// In order.
    pub entries: Vec<Entry>,
    space: Space,
    heads: BTreeMap<Replica, (u64, Link)>,
    links: BTreeMap<(Replica, u64), Link>,
    /// The verdicts under the names that re-minted changes were first minted under.
    origins: BTreeMap<(Replica, u64, Link), u64>,
    /// Every literal that was ever seen, by name: a log that was restored may hold it without the values of a purged record.
    written: BTreeMap<(Replica, u64, Link), Vec<u8>>,
    /// Positions, names and verdicts that were right by the clock of their time: a copy that was restored brings them back.
    judged: BTreeSet<(u64, (Replica, u64, Link), u64)>,
}

impl Log {
    /// Takes in the next entry, settled between two times of the server's clock.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn take(&mut self, space: &str, logged: Logged, (from_ms, to_ms): (u64, u64), judged: bool) -> Result<(), String> {
        let here = format!("position {}, seq {} of {}", logged.position, logged.seq, hex(&logged.author));
        let expected = self.entries.len() as u64 + 1;
        if logged.position != expected {
            return Err(format!("{here} stands where position {expected} is due"));
        }
        let (last, link) = self.heads.get(&logged.author).copied().unwrap_or((0, oracle::start_link(space, &logged.author)));
        if logged.seq != last + 1 {
            return Err(format!("{here} follows seq {last}"));
        }
        let claimed = logged.link.ok_or_else(|| format!("{here} has no link"))?;
        let name = (logged.author, logged.seq, claimed);
        let mut logged = logged;
        if let Some(literal) = logged.literal.as_mut().filter(|literal| !literal.is_empty()) {
            let due = oracle::next_link(&link, &Sha256::digest(&*literal).into());
            match self.written.get(&name) {
                Some(written) => literal.clone_from(written),
                None if due == claimed => drop(self.written.insert(name, literal.clone())),
                None => return Err(format!("{here} has the link {}, and {} follows from its bytes", hex(&claimed), hex(&due))),
            }
        }
        let parsed = logged.literal.as_deref().filter(|literal| !literal.is_empty()).map(parse).transpose()?;
        self.heads.insert(logged.author, (logged.seq, claimed));
        self.links.insert((logged.author, logged.seq), claimed);
        if let Some((change, origin)) = &parsed {
            // Its own name may be the origin of another that came before it.
            let verdicts = [self.origins.get(&name).copied(), origin.as_ref().and_then(|origin| self.first_verdict(origin))];
            let first = verdicts.into_iter().flatten().find(|code| !oracle::PUT_OFF.contains(code));
            let judgement = (logged.position, name, logged.code);
            let given = TAKEN_AS_GIVEN.contains(&logged.code) || !judged || self.judged.contains(&judgement);
            let due = |ms| self.space.verdict_after(ms, logged.author, change, first);
            if !given && due(to_ms) != logged.code && due(from_ms) != logged.code {
                return Err(format!("{here} has the verdict {}, and {} is due by the spec", logged.code, due(to_ms)));
            }
            self.judged.insert(judgement);
            self.space.settle(logged.author, change, logged.code);
            if let Some(origin) = origin {
                self.origins.insert(*origin, logged.code);
            }
        }
        self.entries.push(Entry { logged, change: parsed.map(|(change, _)| change) });
        Ok(())
    }

    /// The verdict on the change that was first minted under this name. (IDENT-15)
    fn first_verdict(&self, origin: &(Replica, u64, Link)) -> Option<u64> {
        let (replica, seq, link) = *origin;
        let same = self.links.get(&(replica, seq)) == Some(&link);
        let direct = self.space.verdicts.get(&(replica, seq)).filter(|_| same);
        // A later name may have what the first was only put off for.
        self.origins.get(origin).or(direct).copied()
    }

    /// Keeps what another log has in common with this one.
    pub fn rewind(&mut self, other: &[Logged]) {
        let same = |(mine, theirs): &(&Entry, &Logged)| {
            let mine = &mine.logged;
            (mine.author, mine.seq, mine.link, mine.code) == (theirs.author, theirs.seq, theirs.link, theirs.code)
        };
        let common = self.entries.iter().zip(other).take_while(same).count();
        let kept: Vec<Entry> = self.entries.drain(..common).collect();
        let (written, judged) = (std::mem::take(&mut self.written), std::mem::take(&mut self.judged));
        *self = Self { written, judged, ..Self::default() };
        for entry in kept {
            let Logged { author, seq, link, code, .. } = entry.logged;
            let link = link.unwrap_or_default();
            self.heads.insert(author, (seq, link));
            self.links.insert((author, seq), link);
            if let Some(change) = &entry.change {
                self.space.settle(author, change, code);
            }
            let literal = entry.logged.literal.as_deref().filter(|literal| !literal.is_empty());
            if let Some((_, Some(origin))) = literal.and_then(|literal| parse(literal).ok()) {
                self.origins.insert(origin, code);
            }
            self.entries.push(entry);
        }
    }
}

/// What the log adds up to at a position, brought forward step by step.
#[derive(Debug, Clone, Default)]
pub struct Follower {
    /// Where it stands.
    pub position: u64,
    /// The records.
    pub state: State,
    tallies: BTreeMap<String, Tally>,
}

impl Follower {
    /// Goes to a position; back means from the start.
    pub fn go(&mut self, log: &Log, position: u64) {
        if position < self.position {
            *self = Self::default();
        }
        for entry in &log.entries[self.position as usize..position as usize] {
            let Some(change) = entry.change.as_ref().filter(|_| entry.logged.code == 0) else { continue };
            let names: BTreeSet<&Name> = change.rows.iter().map(|row| &row.record).collect();
            self.count(&names, false);
            oracle::apply_change(&mut self.state, entry.logged.author, change);
            self.count(&names, true);
        }
        self.position = position;
    }

    fn count(&mut self, names: &BTreeSet<&Name>, adds: bool) {
        for name in names {
            let Some(record) = self.state.get(*name) else { continue };
            let tally = Tally::of(name, record);
            let sum = self.tallies.entry(name.0.clone()).or_default();
            if adds { sum.add(&tally) } else { sum.subtract(&tally) }
        }
    }

    /// The fingerprint over these collections; none: all. (SYNC-18)
    pub fn fingerprint(&self, wanted: Option<&[String]>) -> [u8; 16] {
        let mut all = Tally::default();
        for (_, tally) in self.tallies.iter().filter(|(name, _)| wanted.is_none_or(|wanted| wanted.contains(name))) {
            all.add(tally);
        }
        all.wire()
    }

    /// What a client shows whose base stands here, with changes laid over it. (MODEL-11, MODEL-14, RULES-18)
    pub fn shown(&self, wanted: Option<&[String]>, overlay: &[(Replica, Change)]) -> Result<BTreeMap<Name, Columns>, String> {
        let mut over = State::new();
        for name in overlay.iter().flat_map(|(_, change)| &change.rows).map(|row| &row.record) {
            over.insert(name.clone(), self.state.get(name).cloned().unwrap_or_default());
        }
        for (author, change) in overlay {
            oracle::lay_change(&mut over, *author, change);
        }
        let base = self.state.iter().filter(|(name, _)| !over.contains_key(*name));
        let covered = |(name, record): &(&Name, &Record)| record.life % 2 == 1 && wanted.is_none_or(|wanted| wanted.contains(&name.0));
        base.chain(&over).filter(covered).map(|(name, record)| Ok((name.clone(), columns(record)?))).collect()
    }
}

/// What a record's columns show, by chapter 5.
fn columns(record: &Record) -> Result<Columns, String> {
    let mut shown = Columns::new();
    for ((field, rule, key), cell) in &record.cells {
        let value = |bytes: &[u8]| decode(bytes).map_err(|fault| format!("a value of {field}: {fault}"));
        let at = (field.clone(), *rule);
        let item = match cell {
            Cell::Stamped(_, _, None) | Cell::Dot(None) => continue,
            Cell::Stamped(_, _, Some(bytes)) if *rule == 0 => value(bytes)?,
            Cell::Stamped(_, _, Some(bytes)) => Item::Array(vec![value(key)?, value(bytes)?]),
            Cell::Value(item) => item.clone(),
            Cell::Numbered(_, item) => item.clone(),
            Cell::Dot(Some(bytes)) => value(bytes)?,
        };
        // The code modulo 8 names the join: one value is left of what stamps, greatest and least decide, one sum of a counter.
        let single = *rule == 0 || matches!(rule % 8, 1..=3);
        match (single, shown.entry(at).or_insert(Item::Undefined)) {
            (true, Item::Int(sum)) if *rule == 3 => *sum += if let Item::Int(amount) = item { amount } else { 0 },
            (true, entry) => *entry = item,
            (_, Item::Array(items)) => items.push(item),
            (_, entry) => *entry = Item::Array(vec![item]),
        }
    }
    shown.iter_mut().filter(|((_, rule), _)| *rule == 8).for_each(|(_, items)| {
        // A set shows its elements in the total order.
        let mut elements: Vec<Item> = items.items().iter().filter_map(|pair| pair.items().first().cloned()).collect();
        elements.sort_by(oracle::order);
        *items = Item::Array(elements);
    });
    Ok(shown)
}

/// What a client says that a record shows, in the same form.
pub fn claimed(view: &View) -> Result<Columns, String> {
    let item = |value: &Value| decode(&value.encoded()).map_err(|fault| fault.to_string());
    let mut shown = Columns::new();
    for (field, value) in &view.fields {
        shown.insert((field.clone(), 0), item(value)?);
    }
    for (at, column) in &view.columns {
        let column = match column {
            Shown::Counter(sum) => Item::Int(i128::from(*sum)),
            Shown::Max(value) | Shown::Min(value) => item(value)?,
            Shown::Set(elements) => Item::Array(elements.iter().map(item).collect::<Result<_, _>>()?),
            Shown::Map(map) => {
                let pair = |(key, value): &(String, Value)| Ok(Item::Array(vec![Item::Text(key.clone()), item(value)?]));
                Item::Array(map.pairs().iter().map(pair).collect::<Result<_, String>>()?)
            }
            Shown::Multi(values) => Item::Array(values.iter().map(|(_, value)| item(value)).collect::<Result<_, _>>()?),
        };
        shown.insert(at.clone(), column);
    }
    Ok(shown)
}

/// A change and the name it was first minted under.
type Parsed = (Change, Option<(Replica, u64, Link)>);

/// Reads a literal change. (chapter 6)
///
/// # Errors
/// Bytes that are none.
pub fn parse(literal: &[u8]) -> Result<Parsed, String> {
    let item = decode(literal).map_err(|fault| format!("a literal change: {fault}"))?;
    let [seq, ms, counter, rows, map] = item.items() else { return Err("a literal change of other than five items".to_owned()) };
    let reading = moment(ms, counter).ok_or("a literal change without a reading")?;
    let rows = rows.items().iter().map(|row| row_of(row).ok_or("a literal row of another form")).collect::<Result<_, _>>()?;
    let pairs = if let Item::Map(pairs) = map { pairs.as_slice() } else { &[] };
    let origin = pairs.iter().find(|(key, _)| *key == Item::Int(0)).and_then(|(_, origin)| {
        let [replica, seq, link] = origin.items() else { return None };
        Some((replica.as_bytes()?.try_into().ok()?, seq.as_u64()?, link.as_bytes()?.try_into().ok()?))
    });
    let seq = seq.as_u64().ok_or("a literal change without a seq")?;
    Ok((Change { seq, reading, rows, origin: origin.map(|(replica, seq, _)| (replica, seq)) }, origin))
}

fn moment(ms: &Item, counter: &Item) -> Option<oracle::Reading> {
    Some((ms.as_u64()?, u16::try_from(counter.as_u64()?).ok()?))
}

fn row_of(row: &Item) -> Option<Row> {
    let [record, life, ops @ ..] = row.items() else { return None };
    let [collection, id] = record.items() else { return None };
    let op = |pair: &[Item]| {
        let [column, item] = pair else { return None };
        let (field, rule, after) = match column.items() {
            [field, rule] => (field, rule, None),
            [field, rule, after] => (field, rule, Some(moment(after.items().first()?, after.items().get(1)?)?)),
            _ => return None,
        };
        Some(Op { field: field.as_text()?.to_owned(), rule: rule.as_u64()?, after, item: item.clone() })
    };
    let record = (collection.as_text()?.to_owned(), id.as_text()?.to_owned());
    Some(Row { record, life: life.as_u64()?, ops: ops.chunks(2).map(op).collect::<Option<_>>()? })
}

/// Bytes as text.
pub fn hex(bytes: &[u8]) -> String {
    crate::edn::hex(bytes)
}
