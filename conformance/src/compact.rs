//! The numbers that a server said for names, and messages with the names in their place. Spec 22.

use std::collections::BTreeMap;

use crate::cbor::Item;
use crate::checks::{code, code_of, extension};
use crate::edn::print;
use crate::trouble::Trouble;

/// What one channel was told.
#[derive(Debug, Clone, Default)]
pub struct Numbers {
    /// How many columns and replicas the client said it had; none: it takes no numbers.
    held: Option<(u64, u64)>,
    columns: BTreeMap<u64, Item>,
    replicas: BTreeMap<u64, Item>,
    records: BTreeMap<u64, Item>,
    /// The records of the rows that the client pushed, by seq.
    pushed: BTreeMap<u64, Vec<Item>>,
    /// The last of its seqs with a verdict.
    settled: u64,
    /// Whether base began on this channel, so that every record was told on it.
    afresh: bool,
}

impl Numbers {
    /// What an `open` says of names.
    pub fn of(open: &Item, agreed: bool) -> Self {
        let count = |at: usize| extension(open, 2).and_then(|held| held.items().get(at)?.as_u64()).unwrap_or(0);
        let held = extension(open, 2).filter(|_| agreed).map(|_| (count(0), count(1)));
        Self { held, ..Self::default() }
    }

    /// With what the same client was told of the space before.
    pub fn after(self, before: &Self) -> Self {
        let before = before.clone();
        Self { columns: before.columns, replicas: before.replicas, records: before.records, ..self }
    }

    /// Takes note of what the client pushed for itself.
    pub fn push(&mut self, message: &Item) {
        if code_of(message) != Some(code::PUSH) {
            return;
        }
        for change in message.items().iter().skip(1) {
            let [seq, _, rows @ ..] = change.items() else { continue };
            let records = rows.iter().filter_map(|row| row.items().first().cloned());
            self.pushed.extend(seq.as_u64().map(|seq| (seq, records.collect())));
        }
    }

    /// Takes the numbers that an ack lists for the rows of the changes since the last verdict. (COMPACT-9)
    fn ack(&mut self, message: &Item) -> Result<(), Trouble> {
        let seq = message.items().get(1).and_then(Item::as_u64).unwrap_or(0);
        let records: Vec<Item> =
            self.pushed.range(self.settled + 1..seq.max(self.settled) + 1).flat_map(|(_, records)| records.clone()).collect();
        self.settled = self.settled.max(seq);
        let Some(numbers) = extension(message, 0).map(Item::items).filter(|_| self.held.is_some()) else { return Ok(()) };
        if numbers.len() != records.len() || numbers.iter().all(|number| *number == Item::Int(0)) {
            return Err(Trouble::broken("COMPACT-9", format!("a number for each of {} rows, not all 0", records.len()), print(message)));
        }
        self.records.extend(numbers.iter().filter_map(Item::as_u64).zip(records).filter(|(number, _)| *number > 0));
        Ok(())
    }

    /// A message of the server with names for its numbers. A record that the client had before stays a number.
    ///
    /// # Errors
    /// A number where none may stand, or that was not said.
    pub fn literal(&mut self, message: &Item) -> Result<Item, Trouble> {
        let items = message.items();
        let at = |index: usize| items.get(index).and_then(Item::as_u64);
        match code_of(message) {
            Some(code::OPENED) => {
                self.afresh = at(6) != Some(0);
                self.settled = at(3).unwrap_or(0);
                self.held = self.held.map(|held| if self.afresh { (0, 0) } else { held });
                if self.afresh {
                    self.columns.clear();
                    self.replicas.clear();
                    self.records.clear();
                }
            }
            Some(code::NAMES) => {
                let names = |index: usize| items.get(index).map(Item::items).unwrap_or_default().iter().cloned();
                self.columns.extend((at(1).unwrap_or(0)..).zip(names(2)));
                self.replicas.extend((at(3).unwrap_or(0)..).zip(names(4)));
            }
            Some(code::ACK) => self.ack(message)?,
            Some(code::REJECT) => self.settled = self.settled.max(at(1).unwrap_or(0)),
            Some(code::CHANGE) => {
                let mut items = items.to_vec();
                if let Some(author) = items.get_mut(2) {
                    *author = self.author(author, message)?;
                }
                for row in items.iter_mut().skip(5) {
                    *row = self.row(row, message)?;
                }
                return Ok(Item::Array(items));
            }
            Some(code::STATES) => {
                // Outcomes are verdicts.
                let outcomes = items.iter().skip(4).map(Item::items).filter(|item| item.first() == Some(&Item::Int(-3)));
                self.settled = outcomes.filter_map(|item| item.get(1)?.as_u64()).fold(self.settled, u64::max);
                let rest = items.iter().skip(4).map(|item| self.item(item, message)).collect::<Result<Vec<_>, _>>()?;
                return Ok(Item::Array([items.get(..4).unwrap_or_default(), &rest].concat()));
            }
            _ => {}
        }
        Ok(message.clone())
    }

    fn item(&mut self, item: &Item, message: &Item) -> Result<Item, Trouble> {
        let mut items = item.items().to_vec();
        let Some((author, rows)) = places(&items) else { return Ok(item.clone()) };
        if let Some(author) = author.and_then(|at| items.get_mut(at)) {
            *author = self.author(author, message)?;
        }
        for row in items.iter_mut().skip(rows) {
            *row = self.row(row, message)?;
        }
        Ok(Item::Array(items))
    }

    fn author(&self, author: &Item, message: &Item) -> Result<Item, Trouble> {
        let Some(number) = author.as_u64() else { return Ok(author.clone()) };
        let held = self.taken(message)?.1;
        told(&self.replicas, number, held, "the replica", message).map(|name| name.unwrap_or(author).clone())
    }

    fn row(&mut self, row: &Item, message: &Item) -> Result<Item, Trouble> {
        let Item::Array(items) = row else { return Ok(row.clone()) };
        let mut items = items.clone();
        if let Some(record) = items.first_mut() {
            *record = self.record(record, message)?;
        }
        // 0 and a life are no pair of column and op.
        let life = items.len() >= 3 && items[1] == Item::Int(0);
        for column in items.iter_mut().skip(if life { 3 } else { 1 }).step_by(2) {
            *column = self.column(column, message)?;
        }
        Ok(Item::Array(items))
    }

    fn record(&mut self, record: &Item, message: &Item) -> Result<Item, Trouble> {
        if let [number, collection, id] = record.items() {
            self.taken(message)?;
            let name = Item::Array(vec![collection.clone(), id.clone()]);
            self.records.extend(number.as_u64().map(|number| (number, name.clone())));
            return Ok(name);
        }
        let Some(number) = record.as_u64() else { return Ok(record.clone()) };
        self.taken(message)?;
        match self.records.get(&number) {
            Some(name) => Ok(name.clone()),
            None if !self.afresh => Ok(record.clone()),
            None => Err(Trouble::broken("COMPACT-8", format!("record {number} announced before it is known"), print(message))),
        }
    }

    fn column(&self, column: &Item, message: &Item) -> Result<Item, Trouble> {
        let (number, after) = match column.items() {
            [number @ Item::Int(_), after] => (number.as_u64(), Some(after)),
            _ => (column.as_u64(), None),
        };
        let Some(number) = number else { return Ok(column.clone()) };
        let held = self.taken(message)?.0;
        let name = told(&self.columns, number, held, "the column", message)?;
        let whole = |name: &Item| Item::Array(name.items().iter().chain(after).cloned().collect());
        Ok(name.map_or_else(|| column.clone(), whole))
    }

    /// Numbers may be said on this channel; how many names the client had.
    fn taken(&self, message: &Item) -> Result<(u64, u64), Trouble> {
        self.held.ok_or_else(|| Trouble::broken("COMPACT-5", "literals, for `open` said nothing of names", print(message)))
    }
}

/// Whether a row of a `change` or `states` still names its record by a number.
pub fn has_numbers(message: &Item) -> bool {
    let numbered = |row: &Item| matches!(row.items().first(), Some(Item::Int(number)) if *number > 0) && matches!(row, Item::Array(_));
    let items = message.items();
    match code_of(message) {
        Some(code::CHANGE) => items.iter().skip(5).any(numbered),
        Some(code::STATES) => items.iter().skip(4).any(|item| {
            let rows = places(item.items()).map(|(_, rows)| item.items().iter().skip(rows));
            rows.is_some_and(|mut rows| rows.any(numbered))
        }),
        _ => false,
    }
}

/// Where the author and the first row of an item of `states` stand; none for an item that has neither.
fn places(item: &[Item]) -> Option<(Option<usize>, usize)> {
    match item.first()? {
        Item::Int(-4) => Some((None, 1)),
        Item::Int(-5) => Some((Some(1), 3)),
        Item::Int(tag) if *tag < 0 => None,
        _ => Some((Some(0), 2)),
    }
}

/// The name of a number; none where the client had it before.
fn told<'a>(names: &'a BTreeMap<u64, Item>, number: u64, held: u64, what: &str, message: &Item) -> Result<Option<&'a Item>, Trouble> {
    match names.get(&number) {
        None if number > held => Err(Trouble::broken("COMPACT-7", format!("{what} {number} named before"), print(message))),
        name => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use super::Numbers;
    use crate::cbor::Item;
    use crate::edn::Cursor;
    use crate::pattern::{Names, value};
    use crate::trouble::Trouble;

    fn item(text: &str) -> Item {
        value(&Cursor::new(text).expr().expect("it parses"), &Names::new()).expect("it is a value")
    }

    /// What becomes of the last message after the others; an error as the rule it names.
    fn last(open: &str, messages: &[&str]) -> String {
        let mut numbers = Numbers::of(&item(open), true);
        let all: Result<Vec<_>, _> = messages.iter().map(|message| numbers.literal(&item(message))).collect();
        match all {
            Ok(all) => crate::edn::print(all.last().expect("a message")),
            Err(Trouble::Fault { rule: Some(rule), .. }) => rule,
            Err(trouble) => trouble.to_string(),
        }
    }

    const OPEN: &str = "[2, \"s\", R1, 0, null, {2: [0, 0]}]";
    const OPENED: &str = "[3, 0, h'00', 0, h'00', 0, 1]";
    const NAMES: &str = "[22, 1, [[\"f\", 0]], 1, [R2]]";

    #[test]
    fn numbers_become_names_and_what_was_not_said_is_a_fault() {
        let change = "[8, 1, 1, 1, 0, [[1, \"c\", \"r\"], [1, 5], 2]]";
        let literal = "[8, 1, h'22222222222222222222222222222222', 1, 0, [[\"c\", \"r\"], [\"f\", 0, 5], 2]]";
        assert_eq!(last(OPEN, &[OPENED, NAMES, change]), literal);
        assert_eq!(last(OPEN, &[OPENED, NAMES, "[8, 1, 1, 1, 0, [1, 1, 2]]"]), "COMPACT-8");
        assert_eq!(last(OPEN, &[OPENED, "[8, 1, R2, 1, 0, [[1, \"c\", \"r\"], 1, 2]]"]), "COMPACT-7");
        assert_eq!(last(OPEN, &[OPENED, NAMES, "[9, true, 1, h'00', [2, 0, [[1, \"c\", \"r\"]]]]"]), "COMPACT-7");
        assert_eq!(last("[2, \"s\", R1, 0, null]", &[OPENED, change]), "COMPACT-5");
    }
}
