//! A client's own changes: the chain, the overlay and what is retained. Spec 2 and 6.
//!
//! Keys: `m` the identity, `w` there while one change at a time is pushed, `p` seq an own change with its verdict, `x` number a rejection the application has not dismissed,
//! `X` the last number given to one.

use std::collections::{BTreeMap, BTreeSet};

use crate::change::{Change, Cursor, Origin, Pushed, RecordName, read_fixed};
use crate::clock::{Clock, History, Reading, Replica};
use crate::codec::{CodecError, Reader, Writer};
use crate::entropy::Entropy;
use crate::fault;
use crate::hash::{Link, start_link};
use crate::limits;
use crate::registry::Code;
use crate::space::{Space, after_prefix};
use crate::store::{Store, StoreError};

/// Who the store is, how far its chain goes, and what of it is settled.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Identity {
    pub space: String,
    pub replica: Replica,
    /// The last seq minted and its link.
    pub last: (u64, Link),
    /// The last seq settled and its link.
    pub settled: (u64, Link),
    pub reading: Reading,
    pub offset_ms: i64,
    pub cursor: Option<Cursor>,
}

/// An own change that has no verdict, or that the server lost. (IDENT-17)
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub change: Change,
    pub link: Link,
    /// The bytes of its literal form, for the push window.
    pub bytes: usize,
    /// The code it was rejected with before; it is offered as a skip. (IDENT-20)
    pub rejected: Option<Code>,
}

/// An own change in the store.
struct Kept {
    /// None while it has no verdict.
    verdict: Option<(Code, u64)>,
    link: Link,
    change: Change,
    bytes: usize,
}

/// A rejection the application has not dismissed. (IDENT-22)
#[derive(Debug, Clone, PartialEq)]
pub struct Rejection {
    /// Names the rejection; `dismiss` takes it.
    pub number: u64,
    /// The name the change had.
    pub replica: Replica,
    /// The seq the change had.
    pub seq: u64,
    /// Why.
    pub code: Code,
    /// What was written.
    pub change: Change,
}

/// The client's own changes over its store.
#[derive(Debug)]
pub(super) struct Outbox {
    pub identity: Identity,
    pending: BTreeMap<u64, Pending>,
    touched: BTreeMap<RecordName, BTreeSet<u64>>,
    /// One change at a time is pushed, for one of them may be why the server ended a session. (IDENT-28)
    careful: bool,
}

impl Outbox {
    /// Loads what is kept, or makes a fresh replica. (IDENT-1)
    pub fn load(store: &mut dyn Store, space: &str, entropy: &mut Entropy) -> Result<Self, StoreError> {
        let identity = match store.get(b"m")? {
            Some(bytes) => read_identity(&bytes).map_err(damaged)?,
            None => fresh(space, entropy),
        };
        if identity.space != space {
            return Err(StoreError(format!("this store holds the space {:?}, not {space:?}", identity.space)));
        }
        let mut outbox = Self { identity, pending: BTreeMap::new(), touched: BTreeMap::new(), careful: store.get(CAREFUL_KEY)?.is_some() };
        for (seq, kept) in outbox.kept_after(store, outbox.identity.settled.0)? {
            let reading = if fault::is("model-change-altered") { kept.change.reading.next() } else { kept.change.reading };
            let change = Change { reading, ..kept.change };
            outbox.hold(seq, Pending { change, link: kept.link, bytes: kept.bytes, rejected: skipped_as(kept.verdict) });
        }
        outbox.save(store)?;
        Ok(outbox)
    }

    /// Keeps the identity and the clock; call after each change to either. (CLOCK-3)
    pub fn save(&self, store: &mut dyn Store) -> Result<(), StoreError> {
        store.put(b"m", &identity_bytes(&self.identity))
    }

    /// Takes the clock's state into the identity, to be saved with it.
    pub fn note_clock(&mut self, clock: &Clock) {
        if !fault::is("clock-reading-not-kept") {
            self.identity.reading = clock.last();
        }
        self.identity.offset_ms = clock.offset_ms();
    }

    /// The seq of the next change. (MODEL-1)
    pub fn next_seq(&self) -> u64 {
        self.identity.last.0 + if fault::is("model-seq-gap") { 2 } else { 1 }
    }

    /// Appends a change to the chain. (MODEL-1)
    pub fn mint(&mut self, store: &mut dyn Store, change: Change) -> Result<u64, StoreError> {
        let seq = self.next_seq();
        debug_assert_eq!(change.seq, seq, "a change is minted under the next seq");
        let link = self.identity.last.1.next(change.hash());
        let bytes = put_kept(store, seq, None, link, &change)?;
        self.identity.last = (seq, link);
        self.hold(seq, Pending { change, link, bytes, rejected: None });
        self.save(store)?;
        Ok(seq)
    }

    /// Unsettled changes. Skips do not count: the application had their verdict.
    pub fn pending_count(&self) -> u64 {
        self.pending.values().filter(|pending| pending.rejected.is_none()).count() as u64
    }

    /// Whether nothing waits for a verdict, skips included.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// The pending change with this seq.
    pub fn pending(&self, seq: u64) -> Option<&Pending> {
        self.pending.get(&seq)
    }

    /// What to push for a seq: the change, or a skip. (IDENT-20)
    pub fn pushed(&self, seq: u64) -> Option<(Pushed, usize)> {
        let pending = self.pending.get(&seq)?;
        let item = match pending.rejected {
            Some(_) if !fault::is("ident-rejected-pushed-again") => Pushed::Skip { seq, hash: pending.change.hash() },
            _ => Pushed::Change { change: pending.change.clone(), bytes: pending.bytes, value_bytes_max: 0 },
        };
        Some((item, pending.bytes))
    }

    /// The own changes without a verdict that touch a record, in the order of seq.
    pub fn touching(&self, record: &RecordName) -> impl Iterator<Item = &Pending> {
        let pending = self.touched.get(record).into_iter().flatten().filter_map(|seq| self.pending.get(seq));
        pending.filter(|pending| pending.rejected.is_none())
    }

    /// The own changes without a verdict behind a seq, and their links.
    pub fn pending_after(&self, seq: u64) -> impl Iterator<Item = (u64, Link)> {
        self.pending.range(seq + 1..).map(|(seq, pending)| (*seq, pending.link))
    }

    /// The own seqs that a fresh id would mint again.
    pub fn offered(&self) -> Vec<u64> {
        self.pending.iter().filter(|(_, pending)| pending.rejected.is_none()).map(|(seq, _)| *seq).collect()
    }

    /// The records that the overlay touches.
    pub fn touched(&self) -> impl Iterator<Item = &RecordName> {
        self.touched.keys()
    }

    /// The link of an own change, if it is still known.
    pub fn link_at(&self, store: &dyn Store, seq: u64) -> Result<Option<Link>, StoreError> {
        let identity = &self.identity;
        if seq == 0 {
            return Ok(Some(start_link(&identity.space, identity.replica)));
        }
        for (known, link) in [identity.last, identity.settled] {
            if known == seq {
                return Ok(Some(link));
            }
        }
        let stored = store.get(&kept_key(seq))?;
        stored.map(|bytes| read_kept(&bytes).map(|kept| kept.link).map_err(damaged)).transpose()
    }

    /// The next change has its verdict: it leaves the overlay. (MODEL-13, IDENT-18)
    pub fn settle(&mut self, store: &mut dyn Store, code: Code, position: u64) -> Result<Option<Pending>, StoreError> {
        let seq = self.identity.settled.0 + 1;
        let Some(pending) = self.release(seq) else { return Ok(None) };
        self.set_careful(store, false)?;
        self.identity.settled = (seq, pending.link);
        put_kept(store, seq, Some((code, position)), pending.link, &pending.change)?;
        if let Some(old) = seq.checked_sub(if fault::is("ident-retains-nothing") { 0 } else { limits::RETAINED_CHANGES_MIN as u64 }) {
            store.delete(&kept_key(old))?;
        }
        Ok(Some(pending))
    }

    /// Forgets accepted changes up to a position that is backed up. (IDENT-18)
    pub fn forget_backed_up(&mut self, store: &mut dyn Store, position: u64) -> Result<(), StoreError> {
        loop {
            let page = store.scan(b"p", &after_prefix(b"p"), FORGOTTEN_PAGE)?;
            for (key, bytes) in &page {
                let kept = read_kept(bytes).map_err(damaged)?;
                match kept.verdict {
                    Some((_, at)) if at <= position && key_number(key) < self.identity.settled.0 => store.delete(key)?,
                    _ => return Ok(()),
                }
            }
            if page.len() < FORGOTTEN_PAGE {
                return Ok(());
            }
        }
    }

    /// The server lost what it settled after `seq`: it is pending again. False where not all of it is retained. (IDENT-17)
    pub fn regress(&mut self, store: &mut dyn Store, seq: u64) -> Result<bool, StoreError> {
        let settled = self.identity.settled.0;
        let Some(link) = self.link_at(store, seq)? else { return Ok(false) };
        let kept: Vec<(u64, Kept)> = self.kept_after(store, seq)?.into_iter().take_while(|(at, _)| *at <= settled).collect();
        if kept.len() as u64 != settled - seq {
            return Ok(false);
        }
        for (at, kept) in kept {
            let rejected = skipped_as(kept.verdict);
            self.hold(at, Pending { change: kept.change, link: kept.link, bytes: kept.bytes, rejected });
        }
        self.identity.settled = (seq, link);
        Ok(true)
    }

    /// Takes a fresh replica id and mints again what is unsettled, and with `retained` also what was accepted and is
    /// still kept. (IDENT-12 to IDENT-14, IDENT-19)
    pub fn remint(&mut self, store: &mut dyn Store, entropy: &mut Entropy, retained_after: Option<u64>) -> Result<Reminted, StoreError> {
        let settled = self.identity.settled.0;
        let from = retained_after.unwrap_or(settled);
        let kept = self.kept_after(store, from)?;
        let found = kept.iter().filter(|(seq, _)| *seq <= settled).count() as u64;
        let lost = settled.saturating_sub(from) - found;
        let mut work = Reminting::of(self.identity.replica);
        for (seq, kept) in kept.into_iter().filter(|(_, kept)| skipped_as(kept.verdict).is_none()) {
            work.needs.insert(seq, self.stands_on(store, &kept.change)?);
            work.left.insert(seq, kept);
        }
        let space = self.identity.space.clone();
        let all = vec![b'p'];
        store.delete_range(&all, &after_prefix(&all))?;
        self.pending.clear();
        self.touched.clear();
        let replica = Replica(entropy.bytes16());
        let start = start_link(&space, replica);
        self.identity = Identity { replica, last: (0, start), settled: (0, start), ..self.identity.clone() };
        while let Some(seq) = work.left.keys().next().copied() {
            self.mint_again(store, &mut work, seq)?;
        }
        self.save(store)?;
        Ok(Reminted { lost, orphans: work.gone.into_iter().collect() })
    }

    /// What a change stands on, by the seqs under which that is now; none where some of it has no effect. (IDENT-27)
    fn stands_on(&self, store: &dyn Store, change: &Change) -> Result<Option<Vec<u64>>, StoreError> {
        let mut on = Vec::new();
        for need in change.needs() {
            match self.fate(store, need)? {
                Fate::Accepted => on.push(need),
                Fate::Waits(seq) if seq != need && fault::is("ident-replaced-need-is-lost") => return Ok(None),
                Fate::Waits(seq) => on.push(seq),
                Fate::Rejected => return Ok(None),
            }
        }
        Ok(Some(on))
    }

    /// Mints a change again, behind what it stands on. (IDENT-13, IDENT-14, IDENT-31)
    fn mint_again(&mut self, store: &mut dyn Store, work: &mut Reminting, seq: u64) -> Result<(), StoreError> {
        let Some(kept) = work.left.remove(&seq) else { return Ok(()) };
        let needs = work.needs.remove(&seq).flatten();
        for need in needs.iter().flatten() {
            self.mint_again(store, work, *need)?;
        }
        let Some(needs) = needs.and_then(|needs| work.renamed(&needs)) else {
            // IDENT-27: what it stood on is gone.
            work.gone.insert(seq);
            return keep_rejection(store, work.old, Code::NEEDS, &kept.change);
        };
        let earlier = kept.change.origin.clone().filter(|_| !fault::is("ident-origin-renamed"));
        let origin = earlier.unwrap_or(Origin { replica: work.old, seq, link: kept.link });
        let mut change = Change { seq: self.next_seq(), origin: Some(origin).filter(|_| !fault::is("ident-no-origin")), ..kept.change };
        change.set_needs(&needs);
        let name = self.mint(store, change)?;
        work.names.insert(seq, name);
        Ok(())
    }

    /// Whether one change at a time is pushed. (IDENT-28)
    pub fn is_careful(&self) -> bool {
        self.careful
    }

    /// Sets whether one change at a time is pushed, durably.
    pub fn set_careful(&mut self, store: &mut dyn Store, careful: bool) -> Result<(), StoreError> {
        let careful = careful && !fault::is("ident-not-careful");
        match (std::mem::replace(&mut self.careful, careful), careful) {
            (false, true) => store.put(CAREFUL_KEY, &[]),
            (true, false) => store.delete(CAREFUL_KEY),
            _ => Ok(()),
        }
    }

    /// Takes a change out of the view without a verdict of the server; it is offered as a skip. (IDENT-29)
    pub fn set_aside(&mut self, store: &mut dyn Store, seq: u64, code: Code) -> Result<Option<Change>, StoreError> {
        let Some(pending) = self.pending.get_mut(&seq) else { return Ok(None) };
        pending.rejected = Some(code);
        put_kept(store, seq, Some((code, 0)), pending.link, &pending.change)?;
        keep_rejection(store, self.identity.replica, code, &pending.change)?;
        Ok(Some(pending.change.clone()))
    }

    /// The changes without a verdict, in the order of their seqs; those set aside are not among them.
    pub fn unsettled(&self) -> impl Iterator<Item = &Change> {
        self.pending.values().filter(|pending| pending.rejected.is_none()).map(|pending| &pending.change)
    }

    /// The first change without a verdict that raised the record to this life. (IDENT-25)
    pub fn raised_by(&self, record: &RecordName, life: u64) -> Option<u64> {
        let mut seqs = self.touched.get(record)?.iter().copied();
        seqs.find(|seq| {
            let pending = self.pending.get(seq).filter(|pending| pending.rejected.is_none());
            pending.is_some_and(|pending| pending.change.rows.iter().any(|row| row.record == *record && row.life == life))
        })
    }

    /// Under which seq an own change, or what it was replaced by, still waits for its verdict. (IDENT-27)
    pub fn fate(&self, store: &dyn Store, seq: u64) -> Result<Fate, StoreError> {
        if let Some(pending) = self.pending.get(&seq) {
            return Ok(if pending.rejected.is_none() { Fate::Waits(seq) } else { Fate::Rejected });
        }
        let Some(bytes) = store.get(&kept_key(seq))? else { return Ok(Fate::Accepted) };
        let kept = read_kept(&bytes).map_err(damaged)?;
        if skipped_as(kept.verdict).is_none() {
            return Ok(Fate::Accepted);
        }
        let first = kept.change.origin.unwrap_or(Origin { replica: self.identity.replica, seq, link: kept.link });
        let later = self.kept_after(store, seq)?;
        let replacement = later.iter().rfind(|(_, kept)| kept.change.origin.as_ref() == Some(&first)).map(|(seq, _)| *seq);
        replacement.map_or(Ok(Fate::Rejected), |seq| self.fate(store, seq))
    }

    fn hold(&mut self, seq: u64, pending: Pending) {
        for row in &pending.change.rows {
            self.touched.entry(row.record.clone()).or_default().insert(seq);
        }
        self.pending.insert(seq, pending);
    }

    fn release(&mut self, seq: u64) -> Option<Pending> {
        let pending = self.pending.remove(&seq)?;
        for row in &pending.change.rows {
            if let Some(seqs) = self.touched.get_mut(&row.record) {
                seqs.remove(&seq);
                if seqs.is_empty() {
                    self.touched.remove(&row.record);
                }
            }
        }
        Some(pending)
    }

    fn kept_after(&self, store: &dyn Store, seq: u64) -> Result<Vec<(u64, Kept)>, StoreError> {
        let rows = store.scan(&kept_key(seq + 1), &after_prefix(b"p"), usize::MAX)?;
        let read = |(key, bytes): &(Vec<u8>, Vec<u8>)| Ok((key_number(key), read_kept(bytes).map_err(damaged)?));
        rows.iter().map(read).collect()
    }
}

/// What became of an own change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has its effect, under its own name or another.
    Accepted,
    /// It has no verdict yet, under this seq.
    Waits(u64),
    /// It has none and will have none.
    Rejected,
}

/// What became of the changes that were minted again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reminted {
    /// Changes that could not be offered. (IDENT-19)
    pub lost: u64,
    /// Changes that were rejected, for they need one that was. (IDENT-27)
    pub orphans: Vec<u64>,
}

/// Own changes that are being minted again.
struct Reminting {
    /// The id they were minted under.
    old: Replica,
    /// Those still to come, by their old seqs.
    left: BTreeMap<u64, Kept>,
    /// What they stand on, by old seqs; none where some of it has no effect.
    needs: BTreeMap<u64, Option<Vec<u64>>>,
    /// The new seqs of those that came.
    names: BTreeMap<u64, u64>,
    /// Those that stood on something without effect.
    gone: BTreeSet<u64>,
}

impl Reminting {
    fn of(old: Replica) -> Self {
        Self { old, left: BTreeMap::new(), needs: BTreeMap::new(), names: BTreeMap::new(), gone: BTreeSet::new() }
    }

    /// The new names of what a change needs; what is accepted needs none. None where some of it is gone.
    fn renamed(&self, needs: &[u64]) -> Option<Vec<u64>> {
        let mut names: Vec<u64> = needs.iter().filter_map(|seq| self.names.get(seq).copied()).collect();
        names.sort_unstable();
        needs.iter().all(|seq| !self.gone.contains(seq)).then_some(names)
    }
}

/// Own changes read in one call to the store where those are forgotten that are backed up.
const FORGOTTEN_PAGE: usize = 16;

/// Keeps a rejection for the application. (IDENT-22)
pub(super) fn keep_rejection(store: &mut dyn Store, replica: Replica, code: Code, change: &Change) -> Result<(), StoreError> {
    if fault::is("ident-rejection-not-kept") {
        return Ok(());
    }
    let number = store.get(b"X")?.map_or(Ok(0), |bytes| Reader::new(&bytes).uint()).map_err(damaged)? + 1;
    let mut last = Writer::default();
    last.uint(number);
    store.put(b"X", &last.finish())?;
    let mut w = Writer::default();
    w.array(3);
    w.bytes(&replica.0);
    w.uint(code.0);
    w.bytes(&change.literal());
    store.put(&rejection_key(number), &w.finish())
}

/// The rejections that were not dismissed, oldest first.
pub(super) fn rejections(store: &dyn Store) -> Result<Vec<Rejection>, StoreError> {
    let rows = store.scan(b"x", &after_prefix(b"x"), usize::MAX)?;
    rows.iter().map(|(key, bytes)| read_rejection(key_number(key), bytes).map_err(damaged)).collect()
}

/// Forgets a rejection.
pub(super) fn dismiss(store: &mut dyn Store, number: u64) -> Result<(), StoreError> {
    store.delete(&rejection_key(number))
}

/// Removes all that a client keeps. (ACCESS-18)
pub(super) fn wipe(store: &mut dyn Store) -> Result<(), StoreError> {
    store.delete_range(&[], &[0xff])
}

/// The key under which stands that one change at a time is pushed. (IDENT-28)
const CAREFUL_KEY: &[u8] = b"w";

/// The client's base.
pub(super) fn base() -> Space {
    Space::new(b"b")
}

fn fresh(space: &str, entropy: &mut Entropy) -> Identity {
    let replica = if fault::is("ident-fixed-id") { Replica([7; 16]) } else { Replica(entropy.bytes16()) };
    let start = (0, start_link(space, replica));
    Identity { space: space.to_owned(), replica, last: start, settled: start, reading: Reading::ZERO, offset_ms: 0, cursor: None }
}

/// The code of a change that was rejected, for which only a skip is offered again. (IDENT-20)
fn skipped_as(verdict: Option<(Code, u64)>) -> Option<Code> {
    verdict.map(|(code, _)| code).filter(|code| *code != Code::ACCEPTED && *code != Code::DUPLICATE)
}

fn kept_key(seq: u64) -> Vec<u8> {
    [b"p".as_slice(), &seq.to_be_bytes()].concat()
}

fn rejection_key(number: u64) -> Vec<u8> {
    [b"x".as_slice(), &number.to_be_bytes()].concat()
}

fn key_number(key: &[u8]) -> u64 {
    key.last_chunk::<8>().copied().map(u64::from_be_bytes).unwrap_or_default()
}

fn put_kept(store: &mut dyn Store, seq: u64, verdict: Option<(Code, u64)>, link: Link, change: &Change) -> Result<usize, StoreError> {
    let literal = change.literal();
    let mut w = Writer::default();
    w.array(if verdict.is_some() { 4 } else { 2 });
    w.bytes(&link.0);
    w.bytes(&literal);
    if let Some((code, position)) = verdict {
        w.uint(code.0);
        w.uint(position);
    }
    store.put(&kept_key(seq), &w.finish())?;
    Ok(literal.len())
}

fn read_kept(bytes: &[u8]) -> Result<Kept, CodecError> {
    let mut r = Reader::new(bytes);
    let items = r.array()?;
    let link = Link(read_fixed(&mut r, "an id of its length")?);
    let literal = r.bytes()?;
    let verdict = if items == 4 { Some((Code(r.uint()?), r.uint()?)) } else { None };
    Ok(Kept { verdict, link, change: Change::from_bytes(literal)?, bytes: literal.len() })
}

fn read_rejection(number: u64, bytes: &[u8]) -> Result<Rejection, CodecError> {
    let mut r = Reader::new(bytes);
    r.array()?;
    let replica = Replica(read_fixed(&mut r, "an id of its length")?);
    let code = Code(r.uint()?);
    let change = Change::from_bytes(r.bytes()?)?;
    Ok(Rejection { number, replica, seq: change.seq, code, change })
}

fn identity_bytes(identity: &Identity) -> Vec<u8> {
    let mut w = Writer::default();
    w.array(if identity.cursor.is_some() { 11 } else { 9 });
    w.text(&identity.space);
    w.bytes(&identity.replica.0);
    for (seq, link) in [identity.last, identity.settled] {
        w.uint(seq);
        w.bytes(&link.0);
    }
    w.uint(identity.reading.ms());
    w.uint(u64::from(identity.reading.counter()));
    w.int(identity.offset_ms);
    if let Some(cursor) = &identity.cursor {
        w.uint(cursor.position);
        w.bytes(&cursor.history.0);
    }
    w.finish()
}

fn read_identity(bytes: &[u8]) -> Result<Identity, CodecError> {
    let mut r = Reader::new(bytes);
    let items = r.array()?;
    let space = r.text()?.to_owned();
    let replica = Replica(read_fixed(&mut r, "an id of its length")?);
    let last = (r.uint()?, Link(read_fixed(&mut r, "an id of its length")?));
    let settled = (r.uint()?, Link(read_fixed(&mut r, "an id of its length")?));
    let (ms, counter) = (r.uint()?, r.uint()?);
    let reading = Reading::new(ms, counter as u16).unwrap_or(Reading::ZERO);
    let offset_ms = r.int()?;
    let cursor = match items {
        11 => Some(Cursor { position: r.uint()?, history: History(read_fixed(&mut r, "an id of its length")?), staged: None }),
        _ => None,
    };
    Ok(Identity { space, replica, last, settled, reading, offset_ms, cursor })
}

fn damaged(error: CodecError) -> StoreError {
    StoreError(format!("what the store holds of this replica is damaged: {error}"))
}
