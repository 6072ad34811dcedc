//! Waiting for a word in shared memory to change, and waking those who wait.
//!
//! The word is any aligned `u32` of a view that two processes (or threads) share; a copy-on-write
//! view shares nothing, and cannot wait. Linux waits on
//! the page behind it (a futex that is not private), macOS from 14.4 on by
//! `os_sync_wait_on_address`. Windows can wait on an address inside one process only; between
//! processes the waiter looks again every few milliseconds there.
//!
//! As with a condition variable a wait may end early: look at the word again, in a loop.
//!
//! ```
//! use bifolio_map::{ReadWrite, Section, View, wait};
//! use std::time::Duration;
//! let view: View<ReadWrite> = Section::anonymous(4096)?.view()?;
//! let word = view.atomic_u32(0)?;
//! std::thread::scope(|scope| {
//!     scope.spawn(|| {
//!         word.store(1).unwrap();
//!         wait::wake_all(&view, 0).unwrap();
//!     });
//!     while word.load()? == 0 {
//!         wait::wait(&view, 0, 0, Some(Duration::from_secs(10)))?;
//!     }
//!     Ok::<(), bifolio_map::Error>(())
//! })?;
//! # Ok::<(), bifolio_map::Error>(())
//! ```

use std::time::Duration;

use crate::error::Result;
use crate::sys::Waited;
use crate::view::explain::Doing;
use crate::view::{Shared, View};

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Wake {
    /// Somebody woke us, or the system did for no reason.
    Woken,
    /// The word did not have the expected value when the wait began.
    Changed,
    /// The time is over.
    TimedOut,
}

/// Waits while the word at `offset` is `expected`, at most for `timeout` (`None`: for ever).
///
/// # Errors
/// `OutOfBounds`, `Misaligned`; the fault of the page.
pub fn wait<M: Shared>(
    view: &View<M>,
    offset: u64,
    expected: u32,
    timeout: Option<Duration>,
) -> Result<Wake> {
    let waited = view.span.word(offset).and_then(|word| {
        // The load says whether the page is there, and saves the system call when the word changed.
        if word.load_acquire()? != expected {
            return Ok(Waited::Changed);
        }
        word.wait(expected, timeout)
    });
    match waited.map_err(|stop| view.explain(stop, Doing::Load, offset, 4))? {
        Waited::Changed => Ok(Wake::Changed),
        Waited::TimedOut => Ok(Wake::TimedOut),
        Waited::Woken | Waited::Fault => Ok(Wake::Woken),
    }
}

/// Wakes one waiter of the word at `offset`; how many were waiting and were woken (macOS and
/// Windows do not say, and answer 0).
///
/// # Errors
/// `OutOfBounds`, `Misaligned`.
pub fn wake_one<M: Shared>(view: &View<M>, offset: u64) -> Result<u32> {
    wake(view, offset, 1)
}

/// Wakes all waiters of the word at `offset`; how many, as for [`wake_one`].
///
/// # Errors
/// `OutOfBounds`, `Misaligned`.
pub fn wake_all<M: Shared>(view: &View<M>, offset: u64) -> Result<u32> {
    wake(view, offset, u32::MAX)
}

fn wake<M: Shared>(view: &View<M>, offset: u64, count: u32) -> Result<u32> {
    let word = view.span.word::<u32>(offset);
    let word = word.map_err(|stop| view.explain(stop, Doing::Load, offset, 4))?;
    Ok(word.wake(count))
}
