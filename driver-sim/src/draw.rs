use std::{ops::Range, time::Duration};

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};

/// One named stream of a simulation's random numbers.
///
/// Streams with different names are independent: drawing more from one never changes what another gives.
#[derive(Clone, Debug)]
pub struct Draws(ChaCha12Rng);

impl Draws {
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        let digest = Sha256::new()
            .chain_update(b"sansip-sim")
            .chain_update(seed.to_be_bytes())
            .chain_update((name.len() as u64).to_be_bytes())
            .chain_update(name)
            .finalize();
        Self(ChaCha12Rng::from_seed(digest.into()))
    }

    /// Draws 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Draws a number below `bound`, zero if `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        scale(self.next_u64(), bound)
    }

    /// Draws true with probability `p` of 0 to 1.
    pub fn chance(&mut self, p: f64) -> bool {
        Chance::new(p).hits(self.next_u64())
    }

    /// Draws a duration of a range, its start if the range is empty.
    pub fn within(&mut self, range: Range<Duration>) -> Duration {
        let span = range.end.saturating_sub(range.start);
        range.start + Duration::from_nanos(self.below(nanos(span)))
    }

    /// Draws one of several items, `None` if there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let index = self.below(items.len() as u64);
        items.get(usize::try_from(index).unwrap_or(usize::MAX))
    }

    /// Puts items in a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1);
            items.swap(last, usize::try_from(other).unwrap_or(0));
        }
    }

    /// Draws the numbers that decide the fate of one packet. Always as many, so that no setting shifts later packets.
    pub(crate) fn eight(&mut self) -> [u64; 8] {
        std::array::from_fn(|_| self.0.next_u64())
    }
}

/// A probability as a threshold on 53 bits, which is the same on every platform.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chance(u64);

impl Chance {
    const ONE: f64 = (1_u64 << 53) as f64;

    /// Makes a probability; what is outside of 0 to 1 is cut to it.
    pub(crate) fn new(p: f64) -> Self {
        Self((p.clamp(0.0, 1.0) * Self::ONE) as u64)
    }

    pub(crate) const fn hits(self, draw: u64) -> bool {
        draw >> 11 < self.0
    }
}

/// Maps a draw evenly to the numbers below `bound`.
pub(crate) fn scale(draw: u64, bound: u64) -> u64 {
    ((u128::from(draw) * u128::from(bound)) >> 64) as u64
}

/// Returns the nanoseconds of a duration, the most that fit if it is longer than 584 years.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_named_and_independent() {
        let first = Draws::new(7, "network").next_u64();
        let mut other = Draws::new(7, "faults");
        assert_ne!(first, other.next_u64());
        assert_eq!(first, Draws::new(7, "network").next_u64());
        assert_ne!(first, Draws::new(8, "network").next_u64());
    }

    #[test]
    fn chances_meet_their_ends() {
        let mut draws = Draws::new(1, "test");
        assert!((0..1000).all(|_| draws.chance(1.0) && !draws.chance(0.0)));
        assert!(Chance::new(1.0).hits(u64::MAX) && !Chance::new(0.0).hits(0));
        let hits = (0..10_000).filter(|_| draws.chance(0.3)).count();
        assert!((2_700..3_300).contains(&hits), "{hits}");
    }

    #[test]
    fn draws_stay_in_their_range() {
        let mut draws = Draws::new(1, "test");
        let (low, high) = (Duration::from_millis(4), Duration::from_millis(9));
        assert!((0..1000).all(|_| (low..high).contains(&draws.within(low..high))));
        assert_eq!(draws.within(high..low), high);
        assert_eq!(draws.pick::<u8>(&[]), None);
        assert!((0..100).all(|_| draws.pick(&[1, 2, 3]).is_some()));
        let mut items = [1, 2, 3, 4, 5];
        draws.shuffle(&mut items);
        items.sort_unstable();
        assert_eq!(items, [1, 2, 3, 4, 5]);
    }
}
