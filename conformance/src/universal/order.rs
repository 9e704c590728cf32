//! In which order positions come on a channel, and to whom (spec, sections 7 and 17).

use std::collections::BTreeMap;

use crate::cbor::Item;
use crate::checks::{Rulebook, code, code_of, extension};
use crate::compact::Numbers;
use crate::edn::print;
use crate::trouble::Trouble;

/// The profile by which a channel may carry a part of a space.
const SUBSCRIBE: u64 = 5;
/// The profile by which numbers stand for names.
const COMPACT: u64 = 2;

/// What one connection has shown so far, for the checks of order.
#[derive(Debug, Default)]
pub struct Watch {
    /// The profiles that `welcome` named.
    agreed: Vec<u64>,
    channels: BTreeMap<u64, Channel>,
}

#[derive(Debug, Default)]
struct Channel {
    replica: Option<Item>,
    /// The numbers said on it.
    numbers: Numbers,
    cursor: u64,
    /// The collections that the channel carries; none: all.
    collections: Option<Vec<Item>>,
    /// Whether a catch-up begins below the cursor.
    joins: bool,
    /// The last position shown; none before a catch-up after a reset is complete.
    last: Option<u64>,
    /// The last seq of the receiver that has a verdict: an answer under IDENT-4 repeats an older position.
    settled: u64,
    ended: bool,
}

impl Watch {
    /// Takes note of what the client's side said.
    pub fn client(&mut self, channel: u64, message: &Item) {
        if let Some(channel) = self.channels.get_mut(&channel) {
            channel.numbers.push(message);
        }
        if let [Item::Int(2), _, replica, _, cursor, ..] = message.items() {
            let cursor = cursor.items().first().and_then(Item::as_u64).unwrap_or(0);
            let agreed = self.agreed.contains(&SUBSCRIBE);
            let named = |key| extension(message, key).filter(|_| agreed).map(|names| names.items().to_vec());
            let (collections, joins) = (named(0), named(1).is_some());
            let numbers = Numbers::of(message, self.agreed.contains(&COMPACT));
            self.channels
                .insert(channel, Channel { replica: Some(replica.clone()), numbers, cursor, collections, joins, ..Channel::default() });
        }
    }

    /// Checks what a server under judgement said.
    ///
    /// # Errors
    /// A rule that is broken.
    pub fn server(&mut self, rulebook: &Rulebook, number: u64, message: &Item) -> Result<(), Trouble> {
        rulebook.error(number, message)?;
        let message = &self.channels.entry(number).or_default().numbers.literal(message)?;
        let channel = self.channels.entry(number).or_default();
        if channel.ended && number > 0 {
            return Err(Trouble::broken("ERROR-5", "nothing on a channel after its error", print(message)));
        }
        channel.ended = code_of(message) == Some(code::ERROR);
        let position = message.items().get(1).and_then(Item::as_u64);
        match code_of(message) {
            Some(code::WELCOME) => {
                let profiles = message.items().get(2).map(Item::items).unwrap_or_default();
                self.agreed = profiles.iter().filter_map(Item::as_u64).collect();
                Ok(())
            }
            Some(code::OPENED) => {
                let reset = message.items().get(6).and_then(Item::as_u64);
                channel.last = (reset == Some(0) && !channel.joins).then_some(channel.cursor);
                channel.settled = message.items().get(3).and_then(Item::as_u64).unwrap_or(0);
                Ok(())
            }
            Some(code::STATES) => channel.states(message),
            Some(code::ACK) => {
                let position = message.items().get(2).and_then(Item::as_u64);
                channel.last = channel.last.map(|last| last.max(position.unwrap_or(0)));
                channel.settled = channel.settled.max(message.items().get(1).and_then(Item::as_u64).unwrap_or(0));
                Ok(())
            }
            Some(code::REJECT) => channel.reject(message),
            Some(code::VOID) if channel.collections.is_some() => {
                Err(Trouble::broken("SUB-2", "no void on a channel with a subscription", print(message)))
            }
            Some(code::VOID) => channel.next(position, message),
            Some(code::CHANGE) => {
                let rows = message.items().get(4..).unwrap_or_default();
                if !channel.carried(rows).any(|carried| carried) {
                    return Err(Trouble::broken("SUB-2", "a change with a row in a collection subscribed", print(message)));
                }
                if channel.replica.is_some() && message.items().get(2) == channel.replica.as_ref() {
                    return Err(Trouble::broken("SESS-23", "no change of the receiver's own replica", print(message)));
                }
                channel.next(position, message)
            }
            _ => Ok(()),
        }
    }
}

impl Channel {
    fn states(&mut self, message: &Item) -> Result<(), Trouble> {
        let last_part = message.items().get(1) == Some(&Item::Bool(true));
        let to = message.items().get(2).and_then(Item::as_u64).unwrap_or(0);
        if self.last.is_some_and(|last| to < last) {
            return Err(Trouble::broken("SESS-20", "positions that rise", print(message)));
        }
        if last_part || self.last.is_some() {
            self.last = Some(to);
        }
        for item in message.items().iter().skip(4) {
            if !self.carried(item.items()).all(|carried| carried) {
                return Err(Trouble::broken("SUB-5", "cells of the collections subscribed", print(message)));
            }
        }
        Ok(())
    }

    /// For each row among these items whether its collection is subscribed; a row begins with `[collection, id]`.
    fn carried<'a>(&'a self, items: &'a [Item]) -> impl Iterator<Item = bool> + 'a {
        let carried = |row: &'a Item| match row.items().first() {
            // A record that the client had before.
            Some(Item::Int(number)) if *number > 0 => Some(true),
            Some(Item::Array(name)) => match name.as_slice() {
                [collection @ Item::Text(_), Item::Text(_)] => Some(self.collections.as_ref().is_none_or(|all| all.contains(collection))),
                _ => None,
            },
            _ => None,
        };
        items.iter().filter_map(carried)
    }

    fn reject(&mut self, message: &Item) -> Result<(), Trouble> {
        let number = |index: usize| message.items().get(index).and_then(Item::as_u64);
        let again = number(1).is_some_and(|seq| seq <= self.settled) && number(2) <= self.last;
        if again {
            return Ok(());
        }
        self.settled = number(1).unwrap_or(self.settled);
        self.next(number(2), message)
    }

    fn next(&mut self, position: Option<u64>, message: &Item) -> Result<(), Trouble> {
        if let (Some(last), Some(position)) = (self.last, position) {
            let follows = if self.collections.is_some() { position > last } else { position == last + 1 };
            if !follows {
                let (rule, wanted) =
                    if self.collections.is_some() { ("SUB-3", "a position above") } else { ("SESS-20", "the position after") };
                return Err(Trouble::broken(rule, format!("{wanted} {last}"), print(message)));
            }
            self.last = Some(position);
        }
        Ok(())
    }
}
