//! Random numbers that a seed brings back.

use headworks_testkit::SplitMix64;

#[derive(Clone)]
pub(super) struct Random(SplitMix64);

impl Random {
    /// The `stream`-th of a seed's independent streams.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut random = Self(SplitMix64::new(seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95)));
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0.draw()
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.range(1, 100) <= percent
    }

    pub(super) fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.range(0, choices.len() as u64 - 1)).unwrap()].clone()
    }
}
