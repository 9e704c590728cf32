//! What a server said of its log, to whomever: positions, verdicts, links, lives and fingerprints agree (spec, sections 5, 6 and 8).

use std::collections::BTreeMap;

use crate::cbor::Item;
use crate::checks::{code, code_of, extension};
use crate::compute::{self, State};
use crate::edn::hex;

use super::{Fault, Seen};

const RULES: u64 = 1;

/// The logs of a server's spaces, and the channels that show them.
#[derive(Debug, Default)]
pub struct Log {
    spaces: BTreeMap<String, Space>,
    channels: BTreeMap<(String, u64), Channel>,
    /// The profiles agreed on each connection.
    agreed: BTreeMap<String, Vec<u64>>,
    /// By client: the space and the collections that it opened last.
    opened_by: BTreeMap<String, (String, Option<Item>)>,
    /// Where clients in sync stand: by space, collections, history and position, who said so and the fingerprint.
    synced: BTreeMap<(String, String, String, u64), (String, String)>,
    /// Whether the server died since the trace began.
    died: bool,
}

/// What is known of one space.
#[derive(Debug, Default)]
struct Space {
    positions: BTreeMap<u64, Entry>,
    /// By author and seq: the position.
    verdicts: BTreeMap<(Vec<u8>, u64), u64>,
    /// By author: the last seq with a verdict that was told.
    settled: BTreeMap<Vec<u8>, u64>,
    /// By author and seq: the hash, of what was pushed and has a verdict.
    hashes: BTreeMap<(Vec<u8>, u64), Vec<u8>>,
    /// By record: each life that a change took it to, with the position.
    lives: BTreeMap<Vec<u8>, Vec<(u64, u64)>>,
    /// Whether the server forgets.
    horizon: bool,
    /// The state up to a position before which all is known.
    state: State,
    done: u64,
}

#[derive(Debug, Clone)]
struct Entry {
    author: Vec<u8>,
    seq: u64,
    accepted: bool,
    /// An accepted change in the form of a push, with the base of its stamps; and whether it is whole, not only its `lww` columns.
    content: Option<(i128, Item, bool)>,
}

#[derive(Debug, Default)]
struct Channel {
    space: String,
    replica: Vec<u8>,
    base: i128,
    settled: u64,
    part: bool,
    pushed: BTreeMap<u64, Item>,
}

impl Log {
    /// A peer died.
    pub fn died(&mut self, who: &str) {
        self.died |= who == "server";
    }

    /// A peer went back to a copy: what it said since does not bind it.
    pub fn loaded(&mut self, who: &str) {
        if who == "server" {
            self.spaces.clear();
            self.synced.clear();
        }
    }

    /// The space is no more.
    pub fn dropped(&mut self, space: &str) {
        self.spaces.remove(space);
        self.synced.retain(|(of, ..), _| of != space);
    }

    /// A client says that it is in sync.
    pub fn synced(&mut self, who: &str, position: u64, history: &str, fingerprint: &str) -> Result<(), Fault> {
        let Some((space, collections)) = self.opened_by.get(who).cloned() else { return Ok(()) };
        let collections = collections.map(|names| crate::edn::print(&names)).unwrap_or_default();
        let place = (space, collections, history.to_owned(), position);
        let (other, first) = self.synced.entry(place).or_insert_with(|| (who.to_owned(), fingerprint.to_owned()));
        if first == fingerprint { Ok(()) } else { Err(("MERGE-12", format!("the fingerprint {first} at {position}, as {other} has"))) }
    }

    /// Takes a message; a fault is the server's.
    pub fn message(&mut self, seen: &Seen) -> Result<(), Fault> {
        let items = seen.message.items();
        let number = |index: usize| items.get(index).and_then(Item::as_u64).unwrap_or(0);
        let bytes = |index: usize| items.get(index).and_then(Item::as_bytes).unwrap_or_default().to_vec();
        let key = (seen.conn.to_owned(), seen.channel);
        match (code_of(seen.message), seen.client) {
            (Some(code::WELCOME), false) => {
                let agreed = items.get(2).map(Item::items).unwrap_or_default().iter().filter_map(Item::as_u64).collect();
                self.agreed.insert(seen.conn.to_owned(), agreed);
                Ok(())
            }
            (Some(code::OPEN), true) => {
                let space = items.get(1).and_then(Item::as_text).unwrap_or_default().to_owned();
                let who = seen.conn.trim_end_matches(|digit: char| digit.is_ascii_digit()).to_owned();
                let collections = extension(seen.message, 0).cloned();
                self.opened_by.insert(who, (space.clone(), collections.clone()));
                let channel = Channel { space, replica: bytes(2), part: collections.is_some(), ..Channel::default() };
                self.channels.insert(key, channel);
                Ok(())
            }
            (Some(code::PUSH), true) => {
                let Some(channel) = self.channels.get_mut(&key) else { return Ok(()) };
                let changes = items.iter().skip(1).filter(|change| !change.items().is_empty());
                let own = changes.filter(|_| !matches!(items.get(1), Some(Item::Bytes(_))));
                let settled = channel.settled;
                let pairs = own.filter_map(|change| Some((change.items()[0].as_u64()?, change.clone())));
                channel.pushed.extend(pairs.filter(|(seq, _)| *seq > settled));
                Ok(())
            }
            (Some(_), true) | (None, _) => Ok(()),
            (Some(code), false) => {
                let whole = self.agreed.get(seen.conn).is_some_and(|agreed| agreed.contains(&RULES));
                let Some(channel) = self.channels.get_mut(&key) else { return Ok(()) };
                let space = self.spaces.entry(channel.space.clone()).or_default();
                match code {
                    code::OPENED => opened(space, channel, items, self.died),
                    code::ACK => ack(space, channel, number(1), number(2)),
                    code::REJECT => reject(space, channel, number(1), number(2)),
                    code::CHANGE => {
                        let content = Item::Array(items.get(3..).unwrap_or_default().to_vec());
                        let entry =
                            Entry { author: bytes(2), seq: number(3), accepted: true, content: Some((channel.base, content, whole)) };
                        space.take(number(1), entry)
                    }
                    code::VOID => space.take(number(1), Entry { author: bytes(2), seq: number(3), accepted: false, content: None }),
                    code::STATES => states(space, channel, seen.message),
                    code::MARK => mark(space, channel, seen.message, whole),
                    _ => Ok(()),
                }
            }
        }
    }
}

fn opened(space: &mut Space, channel: &mut Channel, items: &[Item], died: bool) -> Result<(), Fault> {
    let number = |index: usize| items.get(index).and_then(Item::as_u64).unwrap_or(0);
    channel.base = i128::from(number(5));
    channel.settled = number(3);
    let lost = |rule| if died { "SESS-22" } else { rule };
    let told = space.settled.get(&channel.replica).copied().unwrap_or(0);
    if number(3) < told {
        return Err((lost("IDENT-10"), format!("a last seq of at least {told}, whose verdict was told")));
    }
    let head = space.positions.keys().next_back().copied().unwrap_or(0);
    if number(1) < head {
        return Err((lost("SYNC-1"), format!("a head of at least {head}, which was told")));
    }
    space.horizon |= number(6) == 4;
    let mut link = compute::start(&channel.space, &channel.replica);
    for seq in 1..=number(3) {
        let Some(hash) = space.hashes.get(&(channel.replica.clone(), seq)) else { return Ok(()) };
        link = compute::next_link(&link, hash);
    }
    if items.get(4).and_then(Item::as_bytes) == Some(&link) {
        return Ok(());
    }
    Err(("IDENT-2", format!("the link h'{}' of what was pushed up to {}", hex(&link), number(3))))
}

/// The changes up to a seq are accepted, the last at this position and those before it at the positions before.
fn ack(space: &mut Space, channel: &mut Channel, seq: u64, position: u64) -> Result<(), Fault> {
    if seq <= channel.settled {
        return space.repeated(&channel.replica, seq, position);
    }
    for settled in channel.settled + 1..=seq {
        let place = position.saturating_sub(seq - settled);
        let content = channel.verdict(space, settled).map(|change| (channel.base, change, true));
        space.take(place, Entry { author: channel.replica.clone(), seq: settled, accepted: true, content })?;
    }
    Ok(())
}

fn reject(space: &mut Space, channel: &mut Channel, seq: u64, position: u64) -> Result<(), Fault> {
    if seq <= channel.settled {
        return space.repeated(&channel.replica, seq, position);
    }
    channel.verdict(space, seq);
    space.take(position, Entry { author: channel.replica.clone(), seq, accepted: false, content: None })
}

/// Deleted never back: no record in a life below one that the log had by then.
fn states(space: &mut Space, channel: &Channel, message: &Item) -> Result<(), Fault> {
    let to = message.items().get(2).and_then(Item::as_u64).unwrap_or(0);
    for item in message.items().iter().skip(4) {
        let rows = match item.items() {
            [Item::Bytes(_), _, rows @ ..] | [Item::Int(-5), _, _, rows @ ..] | [Item::Int(-4), rows @ ..] => rows,
            [Item::Int(-3), seq, _, code, ..] => {
                outcome(space, &channel.replica, seq.as_u64().unwrap_or(0), code == &Item::Int(0))?;
                continue;
            }
            _ => continue,
        };
        for (record, life) in rows.iter().filter_map(life_of) {
            let lives = space.lives.get(&record).map_or(&[][..], Vec::as_slice);
            let reached = lives.iter().filter(|(position, _)| *position <= to).map(|(_, life)| *life).max().unwrap_or(0);
            if life < reached && !space.horizon {
                return Err(("MERGE-1", format!("no life below {reached}, which the record had by {to}")));
            }
        }
    }
    Ok(())
}

fn outcome(space: &Space, replica: &[u8], seq: u64, accepted: bool) -> Result<(), Fault> {
    let known = space.verdicts.get(&(replica.to_vec(), seq)).and_then(|position| space.positions.get(position));
    match known {
        Some(entry) if entry.accepted != accepted => Err(("SYNC-11", format!("the verdict on {seq} that was told before"))),
        _ => Ok(()),
    }
}

fn mark(space: &mut Space, channel: &Channel, message: &Item, whole: bool) -> Result<(), Fault> {
    space.horizon |= extension(message, 2).is_some();
    let position = message.items().get(1).and_then(Item::as_u64).unwrap_or(0);
    if channel.part {
        return Ok(());
    }
    match (space.fingerprint(position, whole), message.items().get(3).and_then(Item::as_bytes)) {
        (Some(expected), Some(got)) if expected != got => {
            Err(("SYNC-18", format!("the fingerprint h'{}' of the log up to {position}", hex(&expected))))
        }
        _ => Ok(()),
    }
}

impl Channel {
    /// A seq has its verdict: what was pushed under it, which the chain covers from here on.
    fn verdict(&mut self, space: &mut Space, seq: u64) -> Option<Item> {
        self.settled = seq;
        let change = self.pushed.remove(&seq)?;
        if let Ok(hash) = compute::hash(self.base, &change) {
            space.hashes.insert((self.replica.clone(), seq), hash);
        }
        Some(change)
    }
}

impl Space {
    /// A position has this verdict.
    fn take(&mut self, position: u64, entry: Entry) -> Result<(), Fault> {
        let name = (entry.author.clone(), entry.seq);
        let told = self.settled.entry(entry.author.clone()).or_default();
        *told = (*told).max(entry.seq);
        if let Some(known) = self.positions.get_mut(&position) {
            if (&known.author, known.seq, known.accepted) != (&entry.author, entry.seq, entry.accepted) {
                return Err(("SYNC-1", format!("one verdict at {position}: of h'{}' {}", hex(&known.author), known.seq)));
            }
            let better = known.content.as_ref().is_none_or(|(_, _, whole)| !whole);
            if better && entry.content.is_some() {
                known.content = entry.content;
                // What was computed of it was of fewer columns.
                (self.state, self.done) = (State::default(), 0);
            }
            return Ok(());
        }
        if let Some(first) = self.verdicts.insert(name, position) {
            return Err(("IDENT-4", format!("the verdict on seq {} at {first} again", entry.seq)));
        }
        if let (true, Some((_, change, _))) = (entry.accepted, &entry.content) {
            for (record, life) in change.items().iter().skip(2).filter_map(life_of) {
                self.lives.entry(record).or_default().push((position, life));
            }
        }
        self.positions.insert(position, entry);
        Ok(())
    }

    /// A verdict is told again.
    fn repeated(&self, replica: &[u8], seq: u64, position: u64) -> Result<(), Fault> {
        match self.verdicts.get(&(replica.to_vec(), seq)) {
            Some(first) if *first != position => Err(("IDENT-4", format!("the position {first} of seq {seq} again"))),
            _ => Ok(()),
        }
    }

    /// The fingerprint at a position, where all before it is known; of the `lww` cells where not `whole`.
    fn fingerprint(&mut self, position: u64, whole: bool) -> Option<Vec<u8>> {
        // What was forgotten counts for what comes after, and the log does not say what that was.
        if self.horizon {
            return None;
        }
        if position < self.done {
            (self.state, self.done) = (State::default(), 0);
        }
        // Whoever did not agree on `rules` is shown another state; only where there are no other columns are both the same.
        let known = self.positions.range(..=position).map(|(_, entry)| entry);
        let plain = |entry: &Entry| entry.content.as_ref().is_none_or(|(_, change, all)| (*all || !whole) && (whole || is_plain(change)));
        if !known.into_iter().all(plain) {
            return None;
        }
        while self.done < position {
            let entry = self.positions.get(&(self.done + 1))?;
            match &entry.content {
                Some((base, change, _)) => self.state.apply(*base, &entry.author, change).ok()?,
                None if entry.accepted => return None,
                None => {}
            }
            self.done += 1;
        }
        Some(self.state.fingerprint())
    }
}

/// The record and the life of a row.
fn life_of(row: &Item) -> Option<(Vec<u8>, u64)> {
    let record = match row.items().first().map(Item::items) {
        Some([Item::Text(_), Item::Text(_)]) => crate::cbor::encode(&row.items()[0]),
        _ => return None,
    };
    match row.items() {
        [_, Item::Int(0), life, ..] => Some((record, life.as_u64()?)),
        _ => Some((record, 1)),
    }
}

/// Whether all columns of a change are of the rule `lww`.
fn is_plain(change: &Item) -> bool {
    let columns = change.items().iter().skip(2).flat_map(|row| row.items().iter().skip(1));
    columns.filter_map(|column| column.items().get(1)).all(|rule| *rule == Item::Int(0))
}
