//! Random numbers: the same seed plays the same history.

use headworks_testkit::SplitMix64;

#[derive(Clone)]
pub(super) struct Random(SplitMix64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    pub(super) fn draw(&mut self) -> u64 {
        self.0.draw()
    }

    /// Draws a number less than `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.draw() % bound.max(1) as u64).unwrap()
    }

    /// Returns true once in `n` times.
    pub(super) fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}
