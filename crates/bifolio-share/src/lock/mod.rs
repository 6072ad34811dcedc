//! Locks in shared memory that survive their owners.

mod mutex;

pub use mutex::{Lock, Mutex, MutexGuard, Unsound, Why};

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

thread_local! {
    static NUMBER: Cell<u32> = const { Cell::new(0) };
}

/// The number of this thread in this process, never 0; different for all threads that live at a
/// time, unless four billion were started.
#[inline]
pub(crate) fn thread_number() -> u32 {
    NUMBER.with(|number| match number.get() {
        0 => next_thread_number(number),
        known => known,
    })
}

#[cold]
fn next_thread_number(number: &Cell<u32>) -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        if next != 0 {
            number.set(next);
            return next;
        }
    }
}
