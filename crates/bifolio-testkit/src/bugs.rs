//! Seeded bugs: broken variants of a protocol, each of which the tests must catch.
//!
//! [`seeded_bugs!`](crate::seeded_bugs) declares the variants where the protocol is, as an enum
//! with a switch that holds for one thread. The protocol asks `Bug::NoSync.is_on()` at the place
//! in question, under `#[cfg(test)]` or in a type that only tests use; no switch reaches
//! production. [`every_bug_is_caught`] then runs the tests' own method against each variant.
//!
//! ```
//! use bifolio_testkit::bugs::{Hunt, Verdict, every_bug_is_caught};
//!
//! bifolio_testkit::seeded_bugs! {
//!     /// What can be wrong with an addition.
//!     enum Bug {
//!         /// It forgets the second number.
//!         OnlyTheFirst,
//!     }
//! }
//!
//! fn add(a: u64, b: u64) -> u64 {
//!     if Bug::OnlyTheFirst.is_on() { a } else { a + b }
//! }
//!
//! every_bug_is_caught("addition", Bug::ALL, Hunt::new(), |bug, hunt| {
//!     for tried in 0..hunt.states {
//!         if bug.while_on(|| add(tried, tried)) != tried + tried {
//!             return Verdict::Caught { by: "the sum".into(), after: tried + 1 };
//!         }
//!     }
//!     Verdict::Missed { after: hunt.states }
//! });
//! ```

use std::fmt::Debug;
use std::time::{Duration, Instant};

use crate::random::budget;
use crate::replay::{CrashFailure, CrashReport};

/// How far a hunt for one bug goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hunt {
    /// States, schedules or runs to be tried before the bug counts as missed. This is the bound.
    pub states: u64,
    /// A guard for slow machines and hangs: a bug caught later than this is reported as slow,
    /// which does not fail a test, because no test may depend on the speed of a machine.
    pub guard: Duration,
}

impl Hunt {
    /// 100,000 states (times `BIFOLIO_BUDGET`), and a guard of 10 seconds.
    #[must_use]
    pub fn new() -> Self {
        Self { states: budget(100_000), guard: Duration::from_secs(10) }
    }

    /// With this many states.
    #[must_use]
    pub fn states(mut self, states: u64) -> Self {
        self.states = states;
        self
    }
}

impl Default for Hunt {
    fn default() -> Self {
        Self::new()
    }
}

/// How a hunt for one bug ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The tests noticed it.
    Caught {
        /// What noticed it, in a line.
        by: String,
        /// States tried until then.
        after: u64,
    },
    /// The tests did not notice it.
    Missed {
        /// States tried.
        after: u64,
    },
}

impl From<Result<CrashReport, Box<CrashFailure>>> for Verdict {
    fn from(result: Result<CrashReport, Box<CrashFailure>>) -> Self {
        match result {
            Ok(report) => Self::Missed { after: report.states },
            Err(failure) => {
                Self::Caught { by: failure.complaint.clone(), after: failure.report.states }
            }
        }
    }
}

/// What was caught, for the counts of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catch {
    /// The variant's name.
    pub bug: String,
    /// What noticed it.
    pub by: String,
    /// States tried until then.
    pub after: u64,
}

/// Hunts every bug of a protocol by `run`, prints what caught it after how many states, and
/// returns the list.
///
/// # Panics
/// If one was missed: then the tests are what is to be fixed.
pub fn every_bug_is_caught<B: Copy + Debug>(
    protocol: &str,
    bugs: &[B],
    hunt: Hunt,
    mut run: impl FnMut(B, Hunt) -> Verdict,
) -> Vec<Catch> {
    let mut caught = Vec::new();
    let mut missed = Vec::new();
    for bug in bugs {
        let name = format!("{bug:?}");
        let start = Instant::now();
        let verdict = run(*bug, hunt);
        let took = start.elapsed();
        match verdict {
            Verdict::Caught { by, after } => {
                let slow = if took > hunt.guard { " (SLOW)" } else { "" };
                println!("{protocol}: {name} caught after {after} states, {took:.1?}{slow}: {by}");
                caught.push(Catch { bug: name, by, after });
            }
            Verdict::Missed { after } => {
                println!("{protocol}: {name} MISSED after {after} states, {took:.1?}");
                missed.push(name);
            }
        }
    }
    println!("{protocol}: {} of {} seeded bugs caught", caught.len(), bugs.len());
    assert!(missed.is_empty(), "{protocol}: the tests miss {}", missed.join(", "));
    caught
}

/// Declares the seeded bugs of a protocol: an enum of unit variants with
///
/// - `ALL`, the list of them;
/// - `is_on(self) -> bool`, for the protocol to ask;
/// - `while_on(self, work) -> T`, which runs something on this thread with the bug switched on.
///
/// The switch belongs to the thread: tests that run beside each other do not disturb each other,
/// and threads that `work` starts do not see it.
#[macro_export]
macro_rules! seeded_bugs {
    (
        $(#[$attribute:meta])*
        $visibility:vis enum $Bug:ident {
            $($(#[$variant_attribute:meta])* $Variant:ident),+ $(,)?
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visibility enum $Bug {
            $($(#[$variant_attribute])* $Variant),+
        }

        const _: () = {
            ::std::thread_local! {
                static ON: ::std::cell::Cell<Option<$Bug>> = const { ::std::cell::Cell::new(None) };
            }

            impl $Bug {
                /// Every seeded bug.
                $visibility const ALL: &'static [Self] = &[$(Self::$Variant),+];

                /// Whether this bug is switched on in this thread.
                $visibility fn is_on(self) -> bool {
                    ON.get() == Some(self)
                }

                /// Runs something with this bug switched on in this thread.
                $visibility fn while_on<T>(self, work: impl FnOnce() -> T) -> T {
                    struct Restore(Option<$Bug>);
                    impl Drop for Restore {
                        fn drop(&mut self) {
                            ON.set(self.0);
                        }
                    }
                    let _restore = Restore(ON.replace(Some(self)));
                    work()
                }
            }
        };
    };
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    crate::seeded_bugs! {
        enum Bug {
            First,
            Second,
        }
    }

    #[test]
    fn a_bug_is_on_in_its_thread_and_only_for_its_time() {
        assert!(!Bug::First.is_on());
        Bug::First.while_on(|| {
            assert!(Bug::First.is_on());
            assert!(!Bug::Second.is_on());
            let elsewhere = std::thread::spawn(|| Bug::First.is_on());
            assert!(!elsewhere.join().unwrap());
            Bug::Second.while_on(|| assert!(!Bug::First.is_on()));
            assert!(Bug::First.is_on());
        });
        assert!(!Bug::First.is_on());
    }

    #[test]
    fn a_bug_is_off_again_after_a_panic() {
        let panic = catch_unwind(|| Bug::First.while_on(|| panic!("on purpose")));
        assert!(panic.is_err());
        assert!(!Bug::First.is_on());
    }

    #[test]
    fn the_catches_are_listed() {
        let hunt = Hunt::new().states(7);
        let caught = every_bug_is_caught("toy", Bug::ALL, hunt, |bug, hunt| Verdict::Caught {
            by: format!("{bug:?}"),
            after: hunt.states,
        });
        let names: Vec<&str> = caught.iter().map(|catch| catch.bug.as_str()).collect();
        assert_eq!(names, ["First", "Second"]);
        assert_eq!(caught[0].after, 7);
    }

    #[test]
    #[should_panic(expected = "the tests miss Second")]
    fn a_bug_that_is_missed_fails_the_test() {
        every_bug_is_caught("toy", Bug::ALL, Hunt::new(), |bug, _| match bug {
            Bug::First => Verdict::Caught { by: "luck".into(), after: 1 },
            Bug::Second => Verdict::Missed { after: 1 },
        });
    }
}
