//! Threads that work on the same thing: as many as suit the work, or as many as one gets; and how
//! many files they may hold open.

use std::thread::Builder;

use bifolio::map::machine::limits;

use super::walk::{joined, lock};

/// More threads are of no use to any device.
const MOST: usize = 256;
/// Descriptors for everything that is not a file of the walk.
const OTHERS: usize = 24;
/// What a thread of a walk holds open at least: a directory, a file, and what a call opens.
const EACH: usize = 4;

/// How many threads may work, and how far ahead each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crew {
    pub(super) threads: usize,
    /// Files that each of them may hold open beside the one it works on.
    pub(super) ahead: usize,
}

impl Crew {
    /// What the limit of open files leaves of a wish.
    pub(super) fn of(threads: usize) -> Self {
        let files = limits().descriptors.value().and_then(|limit| limit.now);
        Self::within(threads, files.and_then(|files| usize::try_from(files).ok()))
    }

    fn within(threads: usize, files: Option<usize>) -> Self {
        /// Files that a thread has asked for and not waited for: enough for any device.
        const AHEAD: usize = 48;
        let files = files.unwrap_or(usize::MAX).saturating_sub(OTHERS);
        let threads = threads.clamp(1, MOST).min(files / EACH).max(1);
        let ahead = (files / threads).saturating_sub(EACH).clamp(1, AHEAD);
        Self { threads, ahead }
    }
}

/// Has several threads, this one among them, do the same work. Where the system gives fewer, it is
/// done by fewer.
pub(super) fn together<T: Send>(threads: usize, work: impl Fn() -> T + Sync) -> Vec<T> {
    let work = &work;
    std::thread::scope(|scope| {
        let running: Vec<_> = (1..threads.min(MOST))
            .map_while(|_| Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let mut done = vec![work()];
        done.extend(running.into_iter().map(joined));
        done
    })
}

/// Whether so many threads can be had just now.
pub(super) fn can_have(threads: usize) -> bool {
    let gate = std::sync::Mutex::new(());
    let wait = || drop(lock(&gate));
    std::thread::scope(|scope| {
        // All of them are there at once, waiting.
        let _closed = lock(&gate);
        (0..threads).all(|_| Builder::new().spawn_scoped(scope, wait).is_ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_threads_together_stay_within_the_limit_of_open_files() {
        for files in [40, 64, 100, 256, 1024, 4096] {
            for threads in [1, 2, 8, 32, 200, 100_000] {
                let crew = Crew::within(threads, Some(files));
                assert!(crew.threads >= 1 && crew.threads <= threads.min(MOST));
                let open = crew.threads * (crew.ahead + EACH - 1) + OTHERS;
                assert!(open <= files, "{files} files, {threads} threads: {crew:?}");
            }
        }
        assert_eq!(Crew::within(8, None), Crew { threads: 8, ahead: 48 });
        assert_eq!(Crew::within(8, Some(3)), Crew { threads: 1, ahead: 1 });
    }

    #[test]
    fn the_work_is_done_by_as_many_as_are_wanted_and_no_more() {
        for threads in [0, 1, 3] {
            assert_eq!(together(threads, || 7), vec![7; threads.max(1)]);
        }
        assert!(can_have(2));
    }
}
