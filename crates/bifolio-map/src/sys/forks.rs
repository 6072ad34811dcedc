//! Whether this process has forked since a moment: a child shares the openings that were there.
//!
//! The C library calls back around each `fork`. Children that come about otherwise are not counted:
//! `vfork` and `posix_spawn`, which execute another program at once and so close what is ours, and
//! system calls by hand.
#![expect(unsafe_code, reason = "asks the C library to call back")]

use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often this process, and those that it was forked from, forked.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// How often this process began as a forked child: 1 more than its parent.
static CHILDHOODS: AtomicU64 = AtomicU64::new(0);

/// How many threads rely on there being no fork just now.
static RELYING: AtomicU32 = AtomicU32::new(0);

/// How long a fork waits for those. They make a few system calls; one that a signal handler forks
/// in the middle of would never end.
const PATIENCE: Duration = Duration::from_millis(10);

/// A moment of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Forks(Option<u64>);

impl Forks {
    /// Now.
    pub(super) fn so_far() -> Self {
        Self(counts().then(|| FORKS.load(Ordering::SeqCst)))
    }

    /// Does something that no fork gets into, if there was none since.
    pub(super) fn unless_forked_since<T>(self, act: impl FnOnce() -> T) -> Option<T> {
        let since = self.0?;
        // Each side says what it does before it looks at the other: one of them sees it.
        RELYING.fetch_add(1, Ordering::SeqCst);
        let done = (FORKS.load(Ordering::SeqCst) == since).then(act);
        RELYING.fetch_sub(1, Ordering::SeqCst);
        done
    }
}

/// The moment of a mark: how many forks led to this process, or its number where that is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Descent {
    Told(u64),
    Number(u32),
}

/// That of this process.
pub(crate) fn descent() -> Descent {
    if counts() {
        Descent::Told(CHILDHOODS.load(Ordering::Relaxed))
    } else {
        Descent::Number(std::process::id())
    }
}

/// Whether this is still the process of that moment.
#[inline]
pub(crate) fn is_current(descent: Descent) -> bool {
    match descent {
        Descent::Told(childhoods) => CHILDHOODS.load(Ordering::Relaxed) == childhoods,
        Descent::Number(number) => std::process::id() == number,
    }
}

/// Has forks counted from now on, if the C library can.
fn counts() -> bool {
    static ASKED: Once = Once::new();
    static GRANTED: AtomicBool = AtomicBool::new(false);
    ASKED.call_once(|| {
        // SAFETY: the two functions live as long as this library, touch nothing but atomics and a
        // clock, and so may be called wherever a fork may be.
        let code = unsafe { libc::pthread_atfork(Some(before), None, Some(in_the_child)) };
        GRANTED.store(code == 0, Ordering::Relaxed);
    });
    GRANTED.load(Ordering::Relaxed)
}

extern "C" fn before() {
    FORKS.fetch_add(1, Ordering::SeqCst);
    let since = Instant::now();
    while RELYING.load(Ordering::SeqCst) != 0 && since.elapsed() < PATIENCE {
        std::hint::spin_loop();
    }
}

extern "C" fn in_the_child() {
    CHILDHOODS.fetch_add(1, Ordering::Relaxed);
    // The threads that relied on something are not here.
    RELYING.store(0, Ordering::SeqCst);
}

/// What a fork would do here.
#[cfg(test)]
pub(super) fn as_if_forked() {
    before();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "asks the C library")]
    fn a_fork_ends_what_held_before_it() {
        let before = Forks::so_far();
        as_if_forked();
        assert_eq!(before.unless_forked_since(|| ()), None);
        // Other tests may fork meanwhile, so only some moment must hold.
        assert!((0..1000).any(|_| Forks::so_far().unless_forked_since(|| ()).is_some()));
        assert_eq!(Forks(None).unless_forked_since(|| ()), None);
    }
}
