//! What a forked child may do with a region of its parent: nothing, but join anew.
#![expect(unsafe_code, reason = "forks")]

use bifolio_share::{ErrorKind, Life, Region, Result};

use bifolio_testkit::child::{self, Rerun};
use bifolio_testkit::this_test;

use crate::support::{create, place, refused, sound};

/// Does something in a forked child; whether it returned true.
fn in_a_forked_child(work: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child uses what it has a copy of and leaves by `_exit`; the test is alone in its
    // process, so that no other thread holds a lock which the child needs.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let right = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(false);
        // SAFETY: ends the child without running the parent's destructors.
        unsafe { libc::_exit(i32::from(!right)) };
    }
    let mut status = 0;
    // SAFETY: writes one integer.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
}

fn is_forked<T>(outcome: Result<T>) -> bool {
    outcome.is_err_and(|error| error.kind() == ErrorKind::Forked)
}

#[test]
fn a_forked_child_is_refused_until_it_joins_and_takes_nothing_from_its_parent() {
    if child::role().is_none() {
        let alone = Rerun::of(this_test!(), "alone");
        return drop(alone.finish().expect("it holds"));
    }
    let (_dir, path) = place();
    let region = create(&path);
    let (lock, many) =
        (region.mutex("lock", 1_u64).unwrap(), region.rwlock("many", 1_u64).unwrap());
    let (pool, event) = (region.semaphore("pool", 2).unwrap(), region.event("event").unwrap());
    let mut guard = Some(sound(lock.lock()));
    let mut reads = Some(many.read().unwrap());
    let mut permit = Some(pool.acquire().unwrap());
    assert!(in_a_forked_child(|| {
        let refused = is_forked(lock.try_lock().map(drop))
            && is_forked(many.try_read())
            && is_forked(pool.try_acquire())
            && is_forked(event.set())
            && is_forked(region.append(b"x"));
        // What it has copies of gives nothing back.
        drop((guard.take(), reads.take(), permit.take()));
        let Ok(joined) = Region::open(&path) else { return false };
        let Ok(theirs) = joined.mutex("lock", 0_u64) else { return false };
        let busy = theirs.try_lock().is_err_and(|error| error.kind() == ErrorKind::Busy);
        refused && busy && joined.append(b"x").is_ok()
    }));
    refused(Region::open(&path).unwrap().mutex("lock", 0_u64).unwrap().try_lock(), ErrorKind::Busy);
    refused(many.try_write(), ErrorKind::Busy);
    assert_eq!(pool.available().unwrap(), 1);
    drop((guard, reads, permit));
    assert_eq!(sound(lock.lock()).get().unwrap(), 1);
    let alive = region.members().unwrap().into_iter().filter(|one| one.life == Life::Alive);
    assert_eq!(alive.count(), 1, "the child left with its process");
}
