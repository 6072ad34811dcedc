//! Seeded random numbers that say their seed when the test around them fails, and loop counts
//! that grow with the budget of the run.

use std::collections::hash_map::RandomState;
use std::env;
use std::hash::BuildHasher;
use std::ops::{Deref, DerefMut};
use std::thread;

/// The variable that repeats a run: its value is the seed that a failed run printed.
pub const SEED_VARIABLE: &str = "BIFOLIO_SEED";

/// The variable that makes runs longer: loop counts are multiplied by its value.
pub const BUDGET_VARIABLE: &str = "BIFOLIO_BUDGET";

/// A random number generator, with all the methods of [`fastrand::Rng`], that prints its seed
/// when it is dropped by a panic.
///
/// ```
/// let mut random = bifolio_testkit::Random::new();
/// assert!(random.u32(1..=6) <= 6, "on failure the seed is on stderr");
/// ```
#[derive(Debug)]
pub struct Random {
    generator: fastrand::Rng,
    seed: u64,
}

impl Random {
    /// A generator with the seed from `BIFOLIO_SEED`, or a new one for every call.
    ///
    /// # Panics
    /// If `BIFOLIO_SEED` is set to something that is not a number: a run that silently took
    /// another seed would not repeat anything.
    #[must_use]
    pub fn new() -> Self {
        Self::from_seed(seed_of_run().unwrap_or_else(fresh_seed))
    }

    /// A generator with this seed.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self { generator: fastrand::Rng::with_seed(seed), seed }
    }

    /// The seed that makes the same numbers again.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// `count` random bytes.
    #[must_use]
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.generator.fill(&mut bytes);
        bytes
    }

    /// Happens once in `times` calls, on average.
    ///
    /// # Panics
    /// If `times` is 0.
    #[must_use]
    pub fn one_in(&mut self, times: u32) -> bool {
        self.generator.u32(0..times) == 0
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
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
        if thread::panicking() {
            eprintln!("to repeat: {SEED_VARIABLE}={}", self.seed);
        }
    }
}

/// `count` times the budget of this run (`BIFOLIO_BUDGET`, 1 where it is not set), and at least
/// 1: how often a loop over random cases runs.
///
/// ```
/// for _ in 0..bifolio_testkit::budget(100) { /* one random case */ }
/// ```
///
/// # Panics
/// If `BIFOLIO_BUDGET` is set to something that is not a number above 0.
#[must_use]
pub fn budget(count: u64) -> u64 {
    match env::var(BUDGET_VARIABLE) {
        Err(_) => count.max(1),
        Ok(text) => scaled(count, &text),
    }
}

/// `count` times the number written in `text`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a loop count may be rounded; the product is positive and the cast saturates"
)]
fn scaled(count: u64, text: &str) -> u64 {
    let factor: f64 = text.trim().parse().unwrap_or(f64::NAN);
    assert!(factor > 0.0, "{BUDGET_VARIABLE} is {text:?}, not a number above 0");
    ((count as f64 * factor) as u64).max(1)
}

/// The seed in the environment, if there is one.
fn seed_of_run() -> Option<u64> {
    let text = env::var(SEED_VARIABLE).ok()?;
    let seed = text.trim().parse();
    Some(seed.unwrap_or_else(|_| panic!("{SEED_VARIABLE} is {text:?}, not a whole number")))
}

/// A seed that differs from call to call: the keys of std's hasher, which also work under Miri.
fn fresh_seed() -> u64 {
    RandomState::new().hash_one("bifolio")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence() {
        let mut first = Random::from_seed(7);
        let mut second = Random::from_seed(7);
        assert_eq!(first.bytes(100), second.bytes(100));
        assert_eq!(first.seed(), 7);
        assert_ne!(Random::from_seed(8).bytes(100), Random::from_seed(7).bytes(100));
    }

    #[test]
    fn fresh_seeds_differ() {
        assert_ne!(fresh_seed(), fresh_seed());
    }

    #[test]
    fn a_budget_multiplies_and_never_reaches_zero() {
        assert_eq!(scaled(100, "1"), 100);
        assert_eq!(scaled(100, " 2.5 "), 250);
        assert_eq!(scaled(100, "0.0001"), 1);
    }

    #[test]
    #[should_panic(expected = "not a number above 0")]
    fn a_budget_that_is_no_number_is_refused() {
        let _ = scaled(100, "many");
    }
}
