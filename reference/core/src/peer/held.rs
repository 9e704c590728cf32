//! What a client holds of other authors: how far base settles each, and their changes after that. Spec 21.
//!
//! Keys: `ya` author the last settled change; `yh` author seq a held change; `yw` whether the settled ones are all known,
//! the position of the last reset, and the cursors of earlier histories that base went on from.

use crate::fault;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::change::{Change, Cursor, Pushed, RecordName, read_fixed};
use crate::clock::{History, Replica};
use crate::codec::{CodecError, Reader, Writer};
use crate::hash::{ChangeHash, Link, start_link};
use crate::limits;
use crate::space::after_prefix;
use crate::store::{Store, StoreError};

/// A change of another author that is not settled.
#[derive(Debug, Clone)]
pub struct HeldChange {
    /// The author's link there.
    pub link: Link,
    /// Its place among all that waits here: behind the own change of this seq, in the order of arrival. (PEER-16)
    pub place: Place,
    /// The change, or the skip that stands for it.
    pub item: Pushed,
}

/// A place in the order of push: an own seq, and 0 for the own change itself, else the number of the arrival.
pub type Place = (u64, u64);

/// What became of a change that a peer pushed.
#[derive(Debug, PartialEq)]
pub enum Taken {
    /// It is held from now on; these records may show something else. `replaced` says that another chain left for it.
    New {
        /// The records.
        changed: Vec<RecordName>,
        /// Whether another chain left.
        replaced: bool,
    },
    /// It is settled, or held already.
    Known,
    /// It does not continue what is held, or there is no room.
    Left,
    /// Another change has its name, and stays. (PEER-12)
    Lost,
}

/// How far base settles an author.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// The last seq.
    pub seq: u64,
    /// The link there.
    pub link: Link,
    /// A position at or above that of the change.
    pub position: u64,
}

/// What is known of base beside its cells.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ground {
    /// Whether every settled author is known, so that base may be given and gone on from.
    pub whole: bool,
    /// The position of the last reset: which deletions came before is not known.
    pub floor: u64,
    /// Positions of earlier histories up to which base is the same log.
    pub past: Vec<(History, u64)>,
}

/// Earlier histories that are remembered.
const PAST_MAX: usize = 16;

/// What is held of other authors.
#[derive(Debug)]
pub struct Held {
    space: String,
    /// What is known of base.
    pub ground: Ground,
    chains: BTreeMap<Replica, BTreeMap<u64, HeldChange>>,
    order: BTreeMap<Place, (Replica, u64)>,
    touched: BTreeMap<RecordName, BTreeSet<(Replica, u64)>>,
    arrivals: u64,
    /// How many changes have room. (PEER-11)
    pub room: usize,
}

impl Held {
    /// Loads what is kept. `fresh` says that base holds nothing yet.
    pub fn load(store: &dyn Store, space: &str, fresh: bool) -> Result<Self, StoreError> {
        let ground = match store.get(GROUND)? {
            Some(bytes) => read_ground(&bytes).map_err(damaged)?,
            None => Ground { whole: fresh, ..Ground::default() },
        };
        let (chains, order, touched) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut held = Self { space: space.to_owned(), ground, chains, order, touched, arrivals: 0, room: limits::HELD_CHANGES_MAX };
        for (key, bytes) in store.scan(CHANGES, &after_prefix(CHANGES), usize::MAX)? {
            let (author, seq) = split(&key)?;
            let change = read_held(&bytes, seq).map_err(damaged)?;
            held.arrivals = held.arrivals.max(change.place.1);
            held.keep(author, change);
        }
        Ok(held)
    }

    /// How many changes of others wait.
    pub fn count(&self) -> u64 {
        self.order.len() as u64
    }

    /// Keeps what is known of base.
    pub fn save_ground(&self, store: &mut dyn Store) -> Result<(), StoreError> {
        store.put(GROUND, &ground_bytes(&self.ground))
    }

    /// Base went on from this cursor into a later history.
    pub fn leave_history(&mut self, cursor: &Cursor) {
        self.ground.past.retain(|(history, _)| *history != cursor.history);
        self.ground.past.push((cursor.history, cursor.position));
        if self.ground.past.len() > PAST_MAX {
            self.ground.past.remove(0);
        }
    }

    /// Whether what another cursor describes is the beginning of what `own` describes. (PEER-8)
    pub fn continues(&self, own: &Cursor, other: &Cursor) -> bool {
        let earlier = |(history, upto): &(History, u64)| *history == other.history && other.position <= *upto;
        own.history == other.history && other.position <= own.position || self.ground.past.iter().any(earlier)
    }

    /// How far base settles the author; 0 and the start where it does not.
    pub fn settled(&self, store: &dyn Store, author: Replica) -> Result<Settled, StoreError> {
        match store.get(&author_key(author))? {
            Some(bytes) => read_settled(&bytes).map_err(damaged),
            None => Ok(Settled { seq: 0, link: start_link(&self.space, author), position: 0 }),
        }
    }

    /// Every author that base settles something of.
    pub fn all_settled(&self, store: &dyn Store) -> Result<Vec<(Replica, Settled)>, StoreError> {
        let rows = store.scan(AUTHORS, &after_prefix(AUTHORS), usize::MAX)?;
        let read = |(key, bytes): &(Vec<u8>, Vec<u8>)| {
            let author = key.last_chunk::<16>().copied().map(Replica).ok_or_else(|| StoreError("an author's key is damaged".into()))?;
            Ok((author, read_settled(bytes).map_err(damaged)?))
        };
        rows.iter().map(read).collect()
    }

    /// The last change held of each author.
    pub fn heads(&self) -> impl Iterator<Item = (Replica, u64, Link)> + '_ {
        self.chains.iter().filter_map(|(author, chain)| chain.last_key_value().map(|(seq, held)| (*author, *seq, held.link)))
    }

    /// The last change held of one author.
    pub fn heads_of(&self, author: Replica) -> Option<(u64, Link)> {
        self.chains.get(&author)?.last_key_value().map(|(seq, held)| (*seq, held.link))
    }

    /// The author's link at a seq, where it is known.
    pub fn link_at(&self, store: &dyn Store, author: Replica, seq: u64) -> Result<Option<Link>, StoreError> {
        if let Some(held) = self.change(author, seq) {
            return Ok(Some(held.link));
        }
        let settled = self.settled(store, author)?;
        Ok((settled.seq == seq).then_some(settled.link))
    }

    /// A held change.
    pub fn change(&self, author: Replica, seq: u64) -> Option<&HeldChange> {
        self.chains.get(&author)?.get(&seq)
    }

    /// The held changes behind a place, in the order of push.
    pub fn after(&self, place: Place) -> impl Iterator<Item = (Replica, &HeldChange)> {
        let range = self.order.range((Bound::Excluded(place), Bound::Unbounded));
        range.filter_map(|(_, (author, seq))| Some((*author, self.change(*author, *seq)?)))
    }

    /// The held changes in the order of their arrival, skips left out.
    pub fn changes(&self) -> impl Iterator<Item = (Replica, &Change)> {
        let held = self.order.values().filter_map(|(author, seq)| Some((*author, self.change(*author, *seq)?)));
        held.filter_map(|(author, held)| match &held.item {
            Pushed::Change { change, .. } => Some((author, change)),
            Pushed::Skip { .. } => None,
        })
    }

    /// The held changes that touch a record.
    pub fn touching(&self, record: &RecordName) -> impl Iterator<Item = (Replica, Link, &Change)> {
        self.touched.get(record).into_iter().flatten().filter_map(|(author, seq)| {
            let held = self.change(*author, *seq)?;
            match &held.item {
                Pushed::Change { change, .. } => Some((*author, held.link, change)),
                Pushed::Skip { .. } => None,
            }
        })
    }

    /// The records that held changes touch.
    pub fn touched(&self) -> impl Iterator<Item = &RecordName> {
        self.touched.keys()
    }

    /// Takes a change that a peer pushed, behind the own change `own_last`. (PEER-10 to PEER-12)
    pub fn take(&mut self, store: &mut dyn Store, author: Replica, own_last: u64, item: Pushed) -> Result<Taken, StoreError> {
        let seq = item.seq();
        if seq <= self.settled(store, author)?.seq {
            return Ok(Taken::Known);
        }
        let any = fault::is("peer-holds-what-does-not-go-on").then(|| start_link(&self.space, author));
        let Some(before) = self.link_at(store, author, seq - 1)?.or(any) else { return Ok(Taken::Left) };
        let link = before.next(hash(&item));
        let replaced = self.change(author, seq).is_some();
        let mut changed = match self.change(author, seq) {
            Some(held) if held.link == link => return Ok(Taken::Known),
            Some(held) if held.link.0 < link.0 || fault::is("peer-the-greater-chain-stays") => return Ok(Taken::Lost),
            Some(_) => self.drop_from(store, author, seq)?,
            None => Vec::new(),
        };
        // PEER-11
        if self.order.len() >= self.room {
            return Ok(Taken::Left);
        }
        self.arrivals += 1;
        let held = HeldChange { link, place: (own_last, self.arrivals), item };
        store.put(&change_key(author, seq), &held_bytes(&held))?;
        changed.extend(names(&held.item));
        self.keep(author, held);
        Ok(Taken::New { changed, replaced })
    }

    /// Base settles the author up to `settled`: what is held up to there leaves, and what does not continue it. Returns
    /// the records that may show something else. (PEER-5)
    pub fn settle(&mut self, store: &mut dyn Store, author: Replica, settled: Settled) -> Result<Vec<RecordName>, StoreError> {
        store.put(&author_key(author), &settled_bytes(&settled))?;
        let continued = match self.chains.get(&author).and_then(|chain| chain.first_key_value()) {
            None => return Ok(Vec::new()),
            Some((first, _)) if *first == settled.seq + 1 => self.fits(author, *first, settled.link),
            Some(_) => self.change(author, settled.seq).is_some_and(|held| held.link == settled.link),
        };
        if !continued {
            return self.drop_from(store, author, 0);
        }
        let gone: Vec<u64> = self.chains[&author].range(..=settled.seq).map(|(seq, _)| *seq).collect();
        let mut changed = Vec::new();
        for seq in gone.into_iter().filter(|_| !fault::is("peer-holds-what-is-settled")) {
            changed.extend(self.release(store, author, seq)?);
        }
        Ok(changed)
    }

    /// A change of the author, the next after what base settles, is settled: accepted or not. False where it is not the next.
    pub fn advance(&mut self, store: &mut dyn Store, author: Replica, change: &Change, position: u64) -> Result<bool, StoreError> {
        let settled = self.settled(store, author)?;
        let link = settled.link.next(change.hash());
        self.settle(store, author, Settled { seq: change.seq, link, position })?;
        Ok(settled.seq + 1 == change.seq)
    }

    /// Base is replaced whole: nothing is known to be settled. (SYNC-15)
    pub fn forget_settled(&mut self, store: &mut dyn Store, floor: u64, whole: bool) -> Result<(), StoreError> {
        store.delete_range(AUTHORS, &after_prefix(AUTHORS))?;
        self.ground = Ground { whole, floor, past: Vec::new() };
        self.save_ground(store)
    }

    /// Drops what does not continue what is settled; call when base has moved whole.
    pub fn prune(&mut self, store: &mut dyn Store) -> Result<Vec<RecordName>, StoreError> {
        let authors: Vec<Replica> = self.chains.keys().copied().collect();
        let mut changed = Vec::new();
        for author in authors {
            let settled = self.settled(store, author)?;
            if settled.seq > 0 {
                changed.extend(self.settle(store, author, settled)?);
            } else if !self.fits(author, 1, settled.link) {
                changed.extend(self.drop_from(store, author, 0)?);
            }
        }
        Ok(changed)
    }

    /// The own replica has this id from now on: what is held of it becomes its own matter, and the places of the others
    /// follow the own changes to their new numbers.
    pub fn renumber(&mut self, store: &mut dyn Store, place_of: impl Fn(u64) -> u64) -> Result<(), StoreError> {
        let old = std::mem::take(&mut self.order);
        for ((own, arrival), (author, seq)) in old {
            let Some(held) = self.chains.get_mut(&author).and_then(|chain| chain.get_mut(&seq)) else { continue };
            held.place = (place_of(own), arrival);
            store.put(&change_key(author, seq), &held_bytes(held))?;
            self.order.insert(held.place, (author, seq));
        }
        Ok(())
    }

    /// Whether the held change at `seq` comes right after this link.
    fn fits(&self, author: Replica, seq: u64, before: Link) -> bool {
        self.change(author, seq).is_some_and(|held| held.link == before.next(hash(&held.item)))
    }

    fn drop_from(&mut self, store: &mut dyn Store, author: Replica, seq: u64) -> Result<Vec<RecordName>, StoreError> {
        let gone: Vec<u64> = self.chains.get(&author).into_iter().flat_map(|chain| chain.range(seq..)).map(|(seq, _)| *seq).collect();
        let mut changed = Vec::new();
        for seq in gone {
            changed.extend(self.release(store, author, seq)?);
        }
        Ok(changed)
    }

    fn keep(&mut self, author: Replica, held: HeldChange) {
        let seq = held.item.seq();
        for record in names(&held.item) {
            self.touched.entry(record).or_default().insert((author, seq));
        }
        self.order.insert(held.place, (author, seq));
        self.chains.entry(author).or_default().insert(seq, held);
    }

    fn release(&mut self, store: &mut dyn Store, author: Replica, seq: u64) -> Result<Vec<RecordName>, StoreError> {
        let Some(chain) = self.chains.get_mut(&author) else { return Ok(Vec::new()) };
        let Some(held) = chain.remove(&seq) else { return Ok(Vec::new()) };
        if chain.is_empty() {
            self.chains.remove(&author);
        }
        self.order.remove(&held.place);
        let records = names(&held.item);
        for record in &records {
            if let Some(changes) = self.touched.get_mut(record) {
                changes.remove(&(author, seq));
                if changes.is_empty() {
                    self.touched.remove(record);
                }
            }
        }
        store.delete(&change_key(author, seq))?;
        Ok(records)
    }
}

/// The hash that the chain takes for an item.
pub fn hash(item: &Pushed) -> ChangeHash {
    match item {
        Pushed::Change { change, .. } => change.hash(),
        Pushed::Skip { hash, .. } => *hash,
    }
}

fn names(item: &Pushed) -> Vec<RecordName> {
    match item {
        Pushed::Change { change, .. } => change.rows.iter().map(|row| row.record.clone()).collect(),
        Pushed::Skip { .. } => Vec::new(),
    }
}

const AUTHORS: &[u8] = b"ya";
const CHANGES: &[u8] = b"yh";
const GROUND: &[u8] = b"yw";

fn author_key(author: Replica) -> Vec<u8> {
    [AUTHORS, &author.0].concat()
}

fn change_key(author: Replica, seq: u64) -> Vec<u8> {
    [CHANGES, &author.0, &seq.to_be_bytes()].concat()
}

fn split(key: &[u8]) -> Result<(Replica, u64), StoreError> {
    let parts = key.get(CHANGES.len()..).and_then(|rest| Some((*rest.first_chunk::<16>()?, *rest.last_chunk::<8>()?)));
    let (author, seq) =
        parts.filter(|_| key.len() == CHANGES.len() + 24).ok_or_else(|| StoreError("a held change's key is damaged".into()))?;
    Ok((Replica(author), u64::from_be_bytes(seq)))
}

fn held_bytes(held: &HeldChange) -> Vec<u8> {
    let mut w = Writer::default();
    let skip = matches!(held.item, Pushed::Skip { .. });
    w.array(if skip { 5 } else { 4 });
    w.bytes(&held.link.0);
    w.uint(held.place.0);
    w.uint(held.place.1);
    match &held.item {
        Pushed::Change { change, .. } => w.bytes(&change.literal()),
        Pushed::Skip { hash, .. } => {
            w.bytes(&hash.0);
            w.bool(true);
        }
    }
    w.finish()
}

fn read_held(bytes: &[u8], seq: u64) -> Result<HeldChange, CodecError> {
    let mut r = Reader::new(bytes);
    let items = r.array()?;
    let link = Link(read_fixed(&mut r, "a link of 16 bytes")?);
    let place = (r.uint()?, r.uint()?);
    let item = if items == 5 {
        Pushed::Skip { seq, hash: ChangeHash(read_fixed(&mut r, "a hash of 32 bytes")?) }
    } else {
        let literal = r.bytes()?;
        Pushed::Change { change: Change::from_bytes(literal)?, bytes: literal.len(), value_bytes_max: 0 }
    };
    Ok(HeldChange { link, place, item })
}

fn settled_bytes(settled: &Settled) -> Vec<u8> {
    let mut w = Writer::default();
    w.array(3);
    w.uint(settled.seq);
    w.bytes(&settled.link.0);
    w.uint(settled.position);
    w.finish()
}

fn read_settled(bytes: &[u8]) -> Result<Settled, CodecError> {
    let mut r = Reader::new(bytes);
    r.array()?;
    Ok(Settled { seq: r.uint()?, link: Link(read_fixed(&mut r, "a link of 16 bytes")?), position: r.uint()? })
}

fn ground_bytes(ground: &Ground) -> Vec<u8> {
    let mut w = Writer::default();
    w.array(2 + 2 * ground.past.len());
    w.bool(ground.whole);
    w.uint(ground.floor);
    for (history, position) in &ground.past {
        w.bytes(&history.0);
        w.uint(*position);
    }
    w.finish()
}

fn read_ground(bytes: &[u8]) -> Result<Ground, CodecError> {
    let mut r = Reader::new(bytes);
    let items = r.array()?;
    let mut ground = Ground { whole: r.bool()?, floor: r.uint()?, past: Vec::new() };
    for _ in 0..items.saturating_sub(2) / 2 {
        ground.past.push((History(read_fixed(&mut r, "a history of 8 bytes")?), r.uint()?));
    }
    Ok(ground)
}

fn damaged(error: CodecError) -> StoreError {
    StoreError(format!("what the store holds of other authors is damaged: {error}"))
}
