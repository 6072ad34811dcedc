//! Random numbers for the unit tests. (bifolio-testkit stands on this crate, and a program cannot
//! hold the assembly of two copies of it.)

use std::ops::{Deref, DerefMut};

/// A generator that prints its seed when it is dropped by a panic; `BIFOLIO_SEED` repeats a run.
#[derive(Debug)]
pub(crate) struct Random {
    generator: fastrand::Rng,
    seed: u64,
}

impl Random {
    pub(crate) fn new() -> Self {
        let seed = std::env::var("BIFOLIO_SEED").ok().map(|seed| seed.parse().expect("a number"));
        let seed = seed.unwrap_or_else(|| fastrand::u64(..));
        Self { generator: fastrand::Rng::with_seed(seed), seed }
    }

    /// Happens once in `times` calls, on average.
    pub(crate) fn one_in(&mut self, times: u32) -> bool {
        self.generator.u32(0..times) == 0
    }
}

impl Deref for Random {
    type Target = fastrand::Rng;

    fn deref(&self) -> &fastrand::Rng {
        &self.generator
    }
}

impl DerefMut for Random {
    fn deref_mut(&mut self) -> &mut fastrand::Rng {
        &mut self.generator
    }
}

impl Drop for Random {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to repeat: BIFOLIO_SEED={}", self.seed);
        }
    }
}

/// `count` times the budget of this run, `BIFOLIO_BUDGET`.
pub(crate) fn budget(count: u64) -> u64 {
    let times = std::env::var("BIFOLIO_BUDGET").ok().and_then(|times| times.parse().ok());
    count * times.unwrap_or(1)
}
