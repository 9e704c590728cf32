//! Randomness as an argument: a stream of bytes from one seed.

use crate::hash::sha256;

/// A stream of random bytes, all from the seed: SHA-256 over the seed and a count.
///
/// A shell seeds it from the operating system; a simulation from its own seed.
#[derive(Debug, Clone)]
pub struct Entropy {
    seed: [u8; 32],
    drawn: u64,
}

impl Entropy {
    /// The stream of `seed`.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { seed, drawn: 0 }
    }

    /// The stream of a small seed, for tests and simulations.
    pub fn from_u64(seed: u64) -> Self {
        Self::new(sha256(&seed.to_be_bytes()))
    }

    fn draw(&mut self) -> [u8; 32] {
        let mut input = [0; 40];
        input[..32].copy_from_slice(&self.seed);
        input[32..].copy_from_slice(&self.drawn.to_be_bytes());
        self.drawn += 1;
        sha256(&input)
    }

    /// 16 bytes: a replica id. (IDENT-1)
    pub fn bytes16(&mut self) -> [u8; 16] {
        let block = self.draw();
        std::array::from_fn(|i| block[i])
    }

    /// 8 bytes: a history. (SYNC-2)
    pub fn bytes8(&mut self) -> [u8; 8] {
        let block = self.draw();
        std::array::from_fn(|i| block[i])
    }

    /// A number from 0 to `bound` - 1; 0 when `bound` is 0. The bias is below 2^-32 for bounds below 2^32.
    pub fn below(&mut self, bound: u64) -> u64 {
        let number = u64::from_be_bytes(self.bytes8());
        if bound == 0 { 0 } else { number % bound }
    }
}
