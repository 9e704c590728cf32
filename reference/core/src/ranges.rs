//! Finding the cells in which two states differ, by fingerprints of ranges of their addresses. Spec 20.
//!
//! Pure functions: the cells come from a [`Cells`], what is to be sent goes into a [`Ranges`].

use crate::codec::Writer;
use crate::fault;
use crate::hash::{Fingerprint, sha256};
use crate::limits::{REPAIR_LIST_MAX, REPAIR_RANGES_MAX};
use crate::message::{AddressRange, Range, RangeContent, Ranges};

/// Into how many ranges one that differs is split. (REPAIR-3)
const SPLIT: u64 = 16;

/// The live cells of a state, by address.
pub trait Cells {
    /// Why they cannot be read.
    type Error;
    /// Shows every live cell of the range, in the order of the addresses, with its digest.
    ///
    /// # Errors
    /// Where they cannot be read, or too many were.
    fn each(&mut self, range: &AddressRange, see: &mut dyn FnMut(&[u8], &[u8; 32])) -> Result<(), Self::Error>;
}

/// All addresses.
pub fn everything() -> AddressRange {
    (Vec::new(), Vec::new())
}

/// A cell's digest under a seed: what a fingerprint sums up, and a list names. (REPAIR-2)
pub fn seeded(seed: u64, digest: &[u8; 32]) -> [u8; 32] {
    let mut w = Writer::default();
    w.array(2);
    w.uint(if fault::is("repair-without-a-seed") { 0 } else { seed });
    w.bytes(digest);
    sha256(&w.finish())
}

/// The fingerprint of a range. (REPAIR-2)
///
/// # Errors
/// Where the cells cannot be read.
pub fn fingerprint<C: Cells>(cells: &mut C, seed: u64, range: &AddressRange) -> Result<Fingerprint, C::Error> {
    let mut sum = Fingerprint::default();
    cells.each(range, &mut |_, digest| sum.add(&seeded(seed, digest)))?;
    Ok(sum)
}

/// What the answer to a question comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What is to be asked further: fingerprints where the states differ.
    pub ranges: Ranges,
    /// The ranges to be replaced by the answering side's cells.
    pub replaced: Vec<AddressRange>,
}

/// The first question: all cells. (REPAIR-3)
///
/// # Errors
/// Where the cells cannot be read.
pub fn first<C: Cells>(cells: &mut C, seed: u64) -> Result<Ranges, C::Error> {
    let mut said = Said::default();
    ask(cells, seed, &everything(), &mut said)?;
    Ok(Ranges { seed, ranges: said.0 })
}

/// The answer to a question, none where it would be too long. (REPAIR-4, REPAIR-5)
///
/// # Errors
/// Where the cells cannot be read.
pub fn answer<C: Cells>(cells: &mut C, asked: &Ranges) -> Result<Option<Answer>, C::Error> {
    let (mut said, mut replaced) = (Said::default(), Vec::new());
    for (range, content) in bounded(&asked.ranges) {
        match content {
            RangeContent::Skip => said.skip(&range.1),
            RangeContent::Fingerprint { count, fingerprint: theirs } => {
                let ours = fingerprint(cells, asked.seed, &range)?;
                if ours.wire() == *theirs && ours.count == *count {
                    said.skip(&range.1);
                } else if ours.count == 0 || *count == 0 {
                    replaced.push(range.clone());
                    said.skip(&range.1);
                } else if ours.count <= REPAIR_LIST_MAX as u64 || fault::is("repair-answers-as-a-whole") {
                    said.fingerprint(&range.1, &ours);
                } else {
                    split(cells, asked.seed, &range, ours.count, &mut said)?;
                }
            }
            RangeContent::Cells(theirs) => {
                differing(cells, asked.seed, &range, theirs, &mut replaced)?;
                said.skip(&range.1);
            }
        }
        if said.0.len().max(replaced.len()) > REPAIR_RANGES_MAX && !fault::is("repair-names-any-number") {
            return Ok(None);
        }
    }
    Ok(Some(Answer { ranges: Ranges { seed: asked.seed, ranges: said.0 }, replaced }))
}

/// The next question after an answer; none where nothing is left to ask. (REPAIR-4)
///
/// # Errors
/// Where the cells cannot be read.
pub fn next<C: Cells>(cells: &mut C, answered: &Ranges) -> Result<Option<Ranges>, C::Error> {
    let mut said = Said::default();
    for (range, content) in bounded(&answered.ranges) {
        let RangeContent::Fingerprint { count, fingerprint: theirs } = content else {
            said.skip(&range.1);
            continue;
        };
        let ours = fingerprint(cells, answered.seed, &range)?;
        if fault::is("repair-asks-what-is-known") {
            ask(cells, answered.seed, &range, &mut said)?;
        } else if ours.wire() == *theirs && ours.count == *count {
            said.skip(&range.1);
        } else {
            ask(cells, answered.seed, &range, &mut said)?;
        }
    }
    let asks = said.0.iter().any(|range| range.content != RangeContent::Skip);
    Ok(asks.then_some(Ranges { seed: answered.seed, ranges: said.0 }))
}

/// Lists a small range, splits a large one.
fn ask<C: Cells>(cells: &mut C, seed: u64, range: &AddressRange, said: &mut Said) -> Result<(), C::Error> {
    let count = fingerprint(cells, seed, range)?.count;
    if count > REPAIR_LIST_MAX as u64 {
        return split(cells, seed, range, count, said);
    }
    let mut list = Vec::new();
    cells.each(range, &mut |address, digest| list.push((address.to_vec(), seeded(seed, digest))))?;
    said.push(&range.1, RangeContent::Cells(list));
    Ok(())
}

/// Fingerprints of parts of a range with about as many cells each.
fn split<C: Cells>(cells: &mut C, seed: u64, range: &AddressRange, count: u64, said: &mut Said) -> Result<(), C::Error> {
    let each = count.div_ceil(SPLIT);
    let mut part = Fingerprint::default();
    cells.each(range, &mut |address, digest| {
        if part.count == each {
            said.fingerprint(address, &part);
            part = Fingerprint::default();
        }
        part.add(&seeded(seed, digest));
    })?;
    said.fingerprint(&range.1, &part);
    Ok(())
}

/// The addresses of a range whose cells the two sides do not have alike.
fn differing<C: Cells>(
    cells: &mut C,
    seed: u64,
    range: &AddressRange,
    theirs: &[(Vec<u8>, [u8; 32])],
    replaced: &mut Vec<AddressRange>,
) -> Result<(), C::Error> {
    let mut theirs = theirs.iter().filter(|(address, _)| contains(range, address)).peekable();
    // Addresses that differ in a row are one range.
    let mut in_row = false;
    let mut one = |address: &[u8], in_row: bool| {
        let upper = [address, &[0]].concat();
        match replaced.last_mut().filter(|_| in_row) {
            Some((_, last)) => *last = upper,
            None => replaced.push((address.to_vec(), upper)),
        }
    };
    cells.each(range, &mut |address, digest| {
        while let Some((missing, _)) = theirs.next_if(|(before, _)| before.as_slice() < address) {
            one(missing, std::mem::replace(&mut in_row, true));
        }
        let same = theirs.next_if(|(same, _)| same.as_slice() == address);
        if same.is_some_and(|(_, theirs)| *theirs == seeded(seed, digest)) {
            in_row = false;
        } else {
            one(address, std::mem::replace(&mut in_row, true));
        }
    })?;
    theirs.for_each(|(missing, _)| one(missing, std::mem::replace(&mut in_row, true)));
    Ok(())
}

/// Whether an address lies in a range.
pub fn contains((lower, upper): &AddressRange, address: &[u8]) -> bool {
    lower.as_slice() <= address && (upper.is_empty() || address < upper.as_slice())
}

/// Each range with its lower bound.
fn bounded(ranges: &[Range]) -> impl Iterator<Item = (AddressRange, &RangeContent)> {
    let lower = std::iter::once(Vec::new()).chain(ranges.iter().map(|range| range.upper.clone()));
    lower.zip(ranges).map(|(lower, range)| ((lower, range.upper.clone()), &range.content))
}

/// Ranges under construction; those to be skipped in a row are one.
#[derive(Default)]
struct Said(Vec<Range>);

impl Said {
    fn push(&mut self, upper: &[u8], content: RangeContent) {
        self.0.push(Range { upper: upper.to_vec(), content });
    }

    fn fingerprint(&mut self, upper: &[u8], sum: &Fingerprint) {
        self.push(upper, RangeContent::Fingerprint { count: sum.count, fingerprint: sum.wire() });
    }

    fn skip(&mut self, upper: &[u8]) {
        match self.0.last_mut() {
            Some(Range { upper: last, content: RangeContent::Skip }) => *last = upper.to_vec(),
            _ => self.push(upper, RangeContent::Skip),
        }
    }
}
