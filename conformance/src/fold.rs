//! What the messages of one channel add up to, in whatever form they come.

use std::collections::BTreeMap;

use crate::cbor::Item;
use crate::checks::{code, code_of, extension};
use crate::compact::{Numbers, has_numbers};
use crate::compute::{State, hash, next_link, start};

/// The state a channel's messages have shown so far.
#[derive(Debug, Clone, Default)]
pub struct Fold {
    /// What they add up to.
    pub state: State,
    /// The last position shown.
    pub position: u64,
    /// Whether no catch-up is under way.
    pub complete: bool,
    /// Whether positions may be left out: the channel has a subscription.
    partial: bool,
    /// Whether the open leaves a collection out of what is known.
    joins: bool,
    /// The base of stamps.
    pub base: i128,
    /// The replica that opened the channel.
    pub replica: Vec<u8>,
    /// The last of its seqs with a verdict.
    pub settled: u64,
    /// The numbers said for names.
    numbers: Numbers,
    /// Its changes as pushed, with the base of their stamps.
    pushed: BTreeMap<u64, (i128, Item)>,
}

impl Fold {
    /// What one of these showed at the position from which an `open` goes on for the same replica.
    pub fn resumed<'a>(open: &Item, mut folds: impl Iterator<Item = &'a Self>) -> Option<State> {
        let [Item::Int(2), _, Item::Bytes(replica), _, cursor, ..] = open.items() else { return None };
        let position = cursor.items().first().and_then(Item::as_u64)?;
        let fold = folds.find(|fold| fold.complete && fold.replica == *replica && fold.position == position)?;
        Some(fold.state.clone())
    }

    /// Takes in a message of the client's side.
    pub fn client(&mut self, message: &Item) {
        self.numbers.push(message);
        match message.items() {
            [Item::Int(2), _, Item::Bytes(replica), _, cursor, ..] => {
                self.numbers = Numbers::of(message, true);
                if self.replica != *replica {
                    self.pushed.clear();
                    self.settled = 0;
                }
                self.replica.clone_from(replica);
                if let Some(position) = cursor.items().first().and_then(Item::as_u64) {
                    self.position = position;
                }
                let (collections, known) = (extension(message, 0), extension(message, 1));
                self.partial = collections.is_some();
                self.joins = known.is_some_and(|known| collections != Some(known));
            }
            [Item::Int(5), changes @ ..] => {
                for change in changes {
                    if let Some(seq) = change.items().first().and_then(Item::as_u64) {
                        self.pushed.entry(seq).or_insert_with(|| (self.base, change.clone()));
                    }
                }
            }
            _ => {}
        }
    }

    /// Takes in a message of the server's side.
    ///
    /// # Errors
    /// A message that makes no sense.
    pub fn server(&mut self, message: &Item) -> Result<(), String> {
        let Some(message) = &self.numbers.literal(message).ok().filter(|literal| !has_numbers(literal)) else {
            // What a record's number stood for before this channel is not known here.
            self.complete = false;
            return Ok(());
        };
        let items = message.items();
        let number = |index: usize| items.get(index).and_then(Item::as_u64).unwrap_or(0);
        match code_of(message) {
            Some(code::OPENED) => {
                self.base = i128::from(number(5));
                self.complete = number(6) == 0 && !self.joins;
                if number(6) != 0 {
                    self.state = State::default();
                    self.position = 0;
                }
            }
            Some(code::ACK) => {
                self.accept(number(1))?;
                self.position = self.position.max(number(2));
            }
            Some(code::REJECT) => {
                self.accept(number(1).saturating_sub(1))?;
                self.settled = self.settled.max(number(1));
                self.position = self.position.max(number(2));
            }
            Some(code::CHANGE) => {
                let author = items.get(2).and_then(Item::as_bytes).unwrap_or_default();
                self.state.rows(self.base, author, number(3), items.get(4..).unwrap_or_default())?;
                self.position = number(1);
            }
            Some(code::VOID) => self.position = number(1),
            Some(code::MARK) if self.partial => self.position = self.position.max(number(1)),
            Some(code::STATES) => self.states(message)?,
            _ => {}
        }
        Ok(())
    }

    fn states(&mut self, message: &Item) -> Result<(), String> {
        for item in message.items().iter().skip(4) {
            match item.items() {
                [Item::Bytes(author), rest @ ..] => self.state.rows(self.base, author, 0, rest)?,
                [Item::Int(-4), rows @ ..] => rows.iter().try_for_each(|row| self.state.life(row))?,
                [Item::Int(-5), Item::Bytes(author), seq, rows @ ..] => self.state.keyed(author, seq.as_u64().unwrap_or(0), rows)?,
                _ => {}
            }
        }
        self.position = message.items().get(2).and_then(Item::as_u64).unwrap_or(0);
        self.complete = message.items().get(1) == Some(&Item::Bool(true));
        Ok(())
    }

    /// The replica's changes up to a seq are accepted.
    fn accept(&mut self, seq: u64) -> Result<(), String> {
        while self.settled < seq {
            self.settled += 1;
            if let Some((base, change)) = self.pushed.get(&self.settled).cloned() {
                self.state.apply(base, &self.replica, &change)?;
            }
        }
        Ok(())
    }

    /// The link at the last seq with a verdict, as far as the pushes were seen.
    ///
    /// # Errors
    /// A push that is no change.
    pub fn link(&self, space: &str) -> Result<Vec<u8>, String> {
        let settled = self.pushed.range(..=self.settled).map(|(_, pushed)| pushed);
        settled.into_iter().try_fold(start(space, &self.replica), |link, (base, change)| Ok(next_link(&link, &hash(*base, change)?)))
    }
}
