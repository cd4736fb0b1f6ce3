use std::fmt;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};

/// The source of all randomness of one endpoint.
///
/// A production driver draws it from the operating system, a test writes it down. Equal seeds give equal runs.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Seed([u8; 32]);

impl Seed {
    /// Makes a seed of 32 bytes; for production they come from the system's generator.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Makes a seed from a number, for tests and simulations.
    pub fn from_u64(number: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Self(bytes)
    }

    /// Derives the seed of a named part, so that parts added later do not shift the draws of others.
    pub fn derive(&self, name: &str) -> Self {
        let digest = Sha256::new()
            .chain_update(self.0)
            .chain_update((name.len() as u64).to_be_bytes())
            .chain_update(name)
            .finalize();
        Self(digest.into())
    }

    /// Opens the named sub-stream. The order in which streams are opened does not matter.
    pub(crate) fn stream(&self, name: &str) -> Rng {
        Rng(ChaCha12Rng::from_seed(self.derive(name).0))
    }
}

/// Hides the bytes: tags and nonces can be foretold from a seed.
impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// One deterministic stream of unguessable numbers.
#[derive(Clone)]
pub(crate) struct Rng(ChaCha12Rng);

impl Rng {
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Draws a number below `bound`, which must not be zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // The bias of a 128-bit product is below 2^-64 for the bounds used here.
        ((u128::from(self.0.next_u64()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_named_and_independent() {
        let seed = Seed::from_u64(7);
        let (mut a, mut b) = (seed.stream("branch"), seed.stream("tag"));
        let first = (a.next_u64(), b.next_u64());
        assert_ne!(first.0, first.1);
        let mut again = seed.stream("branch");
        assert_eq!(again.next_u64(), first.0);
    }

    #[test]
    fn draws_stay_below_their_bound() {
        let mut rng = Seed::from_u64(1).stream("test");
        assert!((0..1000).all(|_| rng.below(10) < 10));
    }
}
