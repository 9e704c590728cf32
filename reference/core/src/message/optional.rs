//! Messages of the profiles beyond the core.

use super::compact::read_tables;
use super::read::Fields;
use crate::change::read_fixed;
use crate::clock::Replica;
use crate::codec::{CodecError, Fault, Writer};
use crate::fault;
use crate::limits::{PRESENCE_BYTES_MAX, PRESENCE_TTL_MAX_MS, SIGNAL_BYTES_MAX};

/// What is never stored: where a cursor stands, who is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Presence {
    /// Whose it is.
    pub replica: Replica,
    /// Rises with each of the author's messages.
    pub counter: u64,
    /// For how long it holds, in milliseconds; 0 where the author is gone.
    pub ttl_ms: u64,
    /// What it says; none: the author is gone.
    pub payload: Option<Vec<u8>>,
}

/// What one replica tells another through the server. (SIGNAL-4)
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// To the server: for whom. From it: from whom.
    pub replica: Replica,
    /// What it says.
    pub payload: Vec<u8>,
}

/// Names of both tables, each with the numbers from its first on. (COMPACT-7)
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NewNames {
    /// The number of the first column.
    pub first_column: u64,
    /// Fields and rules.
    pub columns: Vec<(String, u64)>,
    /// The number of the first replica.
    pub first_replica: u64,
    /// Authors.
    pub replicas: Vec<Replica>,
}

/// Addresses from a lower bound up to but not an upper one; an empty upper bound is none.
pub type AddressRange = (Vec<u8>, Vec<u8>);

/// A comparison of cells by ranges of their addresses.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranges {
    /// Goes into each digest, so that nobody can prepare cells that collide.
    pub seed: u64,
    /// Ranges in the order of their upper bounds, the first from the least address on.
    pub ranges: Vec<Range>,
}

/// The addresses below an upper bound and not below that of the range before.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// The first address beyond it; empty: no bound.
    pub upper: Vec<u8>,
    /// What is said of it.
    pub content: RangeContent,
}

/// What is said of a range.
#[derive(Debug, Clone, PartialEq)]
pub enum RangeContent {
    /// Nothing.
    Skip,
    /// How many cells it holds, and their fingerprint.
    Fingerprint {
        /// How many.
        count: u64,
        /// Of them all.
        fingerprint: [u8; 16],
    },
    /// Its cells: address and digest, in the order of the addresses.
    Cells(Vec<(Vec<u8>, [u8; 32])>),
}

impl NewNames {
    pub(super) fn write(&self, w: &mut Writer) {
        w.uint(self.first_column);
        w.array(self.columns.len());
        for (field, rule) in &self.columns {
            w.array(2);
            w.text(field);
            w.uint(*rule);
        }
        w.uint(self.first_replica);
        w.array(self.replicas.len());
        self.replicas.iter().for_each(|replica| w.bytes(&replica.0));
    }

    pub(super) fn read(fields: &mut Fields) -> Result<Self, CodecError> {
        fields.take(4)?;
        read_tables(fields.r)
    }
}

impl Presence {
    pub(super) fn write(&self, w: &mut Writer) {
        w.bytes(&self.replica.0);
        w.uint(self.counter);
        w.uint(self.ttl_ms);
        match &self.payload {
            Some(payload) => w.bytes(payload),
            None => w.null(),
        }
    }

    pub(super) fn read(fields: &mut Fields) -> Result<Self, CodecError> {
        fields.take(4)?;
        let (replica, counter, ttl_ms) = (fields.replica()?, fields.r.uint()?, fields.r.uint()?);
        let at = fields.r.position();
        let payload = if fields.r.is_null() { fields.r.null().map(|()| None) } else { fields.r.bytes().map(|bytes| Some(bytes.to_vec())) }?;
        // PRES-2
        let fits = match &payload {
            Some(payload) => {
                (payload.len() <= PRESENCE_BYTES_MAX || fault::is("pres-of-any-length"))
                    && ((1..=PRESENCE_TTL_MAX_MS).contains(&ttl_ms) || fault::is("pres-for-any-time"))
            }
            None => ttl_ms == 0,
        };
        if fits {
            Ok(Self { replica, counter, ttl_ms, payload })
        } else {
            Err(CodecError { at, fault: Fault::Schema("a presence within its limits") })
        }
    }
}

impl Signal {
    pub(super) fn write(&self, w: &mut Writer) {
        w.bytes(&self.replica.0);
        w.bytes(&self.payload);
    }

    pub(super) fn read(fields: &mut Fields) -> Result<Self, CodecError> {
        fields.take(2)?;
        let replica = fields.replica()?;
        let at = fields.r.position();
        let payload = fields.r.bytes()?;
        if payload.len() > SIGNAL_BYTES_MAX && !fault::is("signal-of-any-length") {
            return Err(CodecError { at, fault: Fault::Schema("a signal within its limit") });
        }
        Ok(Self { replica, payload: payload.to_vec() })
    }
}

impl Ranges {
    pub(super) fn write(&self, w: &mut Writer) {
        w.uint(self.seed);
        w.array(self.ranges.len());
        self.ranges.iter().for_each(|range| range.write(w));
    }

    pub(super) fn read(fields: &mut Fields) -> Result<Self, CodecError> {
        fields.take(2)?;
        let seed = fields.r.uint()?;
        let count = fields.r.array()?;
        let mut ranges: Vec<Range> = Vec::new();
        for place in 1..=count {
            let at = fields.r.position();
            let range = Range::read(fields)?;
            let rises = ranges.last().is_none_or(|before| before.upper < range.upper);
            let bounded = if range.upper.is_empty() { place == count } else { rises };
            if !bounded {
                return Err(CodecError { at, fault: Fault::Schema("ascending bounds, only the last without one") });
            }
            ranges.push(range);
        }
        Ok(Self { seed, ranges })
    }
}

impl Range {
    fn write(&self, w: &mut Writer) {
        let items = match &self.content {
            RangeContent::Skip => 2,
            RangeContent::Fingerprint { .. } => 4,
            RangeContent::Cells(cells) => 2 + cells.len(),
        };
        w.array(items);
        w.bytes(&self.upper);
        match &self.content {
            RangeContent::Skip => w.uint(0),
            RangeContent::Fingerprint { count, fingerprint } => {
                w.uint(1);
                w.uint(*count);
                w.bytes(fingerprint);
            }
            RangeContent::Cells(cells) => {
                w.uint(2);
                for (address, digest) in cells {
                    w.array(2);
                    w.bytes(address);
                    w.bytes(digest);
                }
            }
        }
    }

    fn read(fields: &mut Fields) -> Result<Self, CodecError> {
        let r = &mut *fields.r;
        let at = r.position();
        let items = r.array()?;
        let upper = r.bytes()?.to_vec();
        let content = match (r.uint()?, items) {
            (0, 2) => RangeContent::Skip,
            (1, 4) => RangeContent::Fingerprint { count: r.uint()?, fingerprint: read_fixed(r, "a fingerprint of 16 bytes")? },
            (2, 2..) => {
                let mut cells: Vec<(Vec<u8>, [u8; 32])> = Vec::new();
                for _ in 2..items {
                    let at = r.position();
                    let pair = r.array()?;
                    let address = r.bytes()?.to_vec();
                    if pair != 2 || cells.last().is_some_and(|(before, _)| *before >= address) {
                        return Err(CodecError { at, fault: Fault::Schema("pairs of address and digest in ascending order") });
                    }
                    cells.push((address, read_fixed(r, "a digest of 32 bytes")?));
                }
                RangeContent::Cells(cells)
            }
            _ => return Err(CodecError { at, fault: Fault::Schema("a range") }),
        };
        Ok(Self { upper, content })
    }
}
