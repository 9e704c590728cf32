//! The chain's links and the fingerprint. Spec 6 and 8.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::clock::Replica;
use crate::codec::Writer;

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// A link of a replica's chain: covers a change and all before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link(pub [u8; 16]);

/// SHA-256 over a literal change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeHash(pub [u8; 32]);

/// Link 0 of a replica in a space, so that nothing can be replayed into another.
pub fn start_link(space: &str, replica: Replica) -> Link {
    let mut w = Writer::default();
    w.array(3);
    w.text("syncline");
    w.text(space);
    w.bytes(&replica.0);
    Link(first16(&sha256(&w.finish())))
}

impl Link {
    /// The link after this one.
    pub fn next(self, change: ChangeHash) -> Self {
        let mut input = [0; 48];
        input[..16].copy_from_slice(&self.0);
        input[16..].copy_from_slice(&change.0);
        Self(first16(&sha256(&input)))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The count and the sum, modulo 2^256 and big-endian, of the digests of live cells. (SYNC-18)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fingerprint {
    /// How many digests.
    pub count: u64,
    /// Their sum.
    pub sum: [u8; 32],
}

impl Fingerprint {
    /// A cell came to be.
    pub fn add(&mut self, digest: &[u8; 32]) {
        self.count += 1;
        add_into(&mut self.sum, digest);
    }

    /// Cells that were added are no more: takes away their fingerprint.
    pub fn part(&mut self, other: &Self) {
        self.count = self.count.wrapping_sub(other.count);
        let mut borrow = false;
        for (sum, digits) in self.sum.as_chunks_mut::<8>().0.iter_mut().zip(other.sum.as_chunks::<8>().0).rev() {
            let (difference, below) = u64::from_be_bytes(*sum).overflowing_sub(u64::from_be_bytes(*digits));
            let (difference, further) = difference.overflowing_sub(u64::from(borrow));
            (*sum, borrow) = (difference.to_be_bytes(), below || further);
        }
    }

    /// Adds the fingerprint of other cells.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        add_into(&mut self.sum, &other.sum);
    }

    /// What a mark carries.
    pub fn wire(&self) -> [u8; 16] {
        let mut w = Writer::default();
        w.array(2);
        w.uint(self.count);
        w.bytes(&self.sum);
        first16(&sha256(&w.finish()))
    }
}

fn add_into(sum: &mut [u8; 32], digest: &[u8; 32]) {
    let mut carry = false;
    for (sum, digits) in sum.as_chunks_mut::<8>().0.iter_mut().zip(digest.as_chunks::<8>().0).rev() {
        let (total, above) = u64::from_be_bytes(*sum).overflowing_add(u64::from_be_bytes(*digits));
        let (total, further) = total.overflowing_add(u64::from(carry));
        (*sum, carry) = (total.to_be_bytes(), above || further);
    }
}

fn first16(digest: &[u8; 32]) -> [u8; 16] {
    std::array::from_fn(|i| digest[i])
}
