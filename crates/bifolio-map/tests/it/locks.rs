//! File locks: each opening is somebody of its own, and the dead hold nothing.

use std::fs::File;
use std::time::{Duration, Instant};

use bifolio_map::{ErrorKind, FileLock, LockKind, LockState, Patience, Section};
use bifolio_testkit::child::{self, Rerun};
use bifolio_testkit::this_test;

use crate::support::{directory, file_of, refused, says};

const FILE: &str = "BIFOLIO_TEST_FILE";
const FOR_EVER: Patience = Patience::For(Duration::from_secs(60));

fn two_openings() -> (tempfile::TempDir, FileLock, FileLock) {
    let (dir, path) = file_of(b"");
    let (one, two) = (FileLock::open(&path).unwrap(), FileLock::open(&path).unwrap());
    (dir, one, two)
}

#[test]
fn an_exclusive_lock_keeps_every_other_opening_out() {
    let (_dir, one, two) = two_openings();
    let held = one.lock(5..10, LockKind::Exclusive, Patience::Try).unwrap();
    for range in [5..10, 0..6, 9..20, 7..8, 0..u64::MAX >> 1] {
        for kind in [LockKind::Exclusive, LockKind::Shared] {
            let error = refused(two.lock(range.clone(), kind, Patience::Try), ErrorKind::Busy);
            says(&error, &["cannot lock", "data", "somebody else holds a lock there"]);
            assert_eq!(error.offset(), Some(range.start));
        }
        assert_eq!(two.probe(range).unwrap(), LockState::Held);
    }
    for range in [0..5, 10..11, 10..u64::MAX >> 1] {
        drop(two.lock(range, LockKind::Exclusive, Patience::Try).unwrap());
    }
    drop(held);
    drop(two.lock(5..10, LockKind::Exclusive, Patience::Try).unwrap());
}

#[test]
fn shared_locks_go_together_and_keep_exclusive_ones_out() {
    let (_dir, one, two) = two_openings();
    let first = one.lock(..10, LockKind::Shared, Patience::Try).unwrap();
    let second = two.lock(5.., LockKind::Shared, Patience::Try).unwrap();
    refused(two.lock(..5, LockKind::Exclusive, Patience::Try), ErrorKind::Busy);
    drop(first);
    drop(two.lock(..5, LockKind::Exclusive, Patience::Try).unwrap());
    refused(one.lock(5..6, LockKind::Exclusive, Patience::Try), ErrorKind::Busy);
    drop(second);
    drop(one.lock(.., LockKind::Exclusive, Patience::Try).unwrap());
}

#[test]
fn probing_does_not_count_what_one_holds_oneself() {
    let (_dir, one, two) = two_openings();
    let _held = one.lock(0..1, LockKind::Exclusive, Patience::Try).unwrap();
    assert_eq!(one.probe(0..1).unwrap(), LockState::Free);
    assert_eq!(one.probe(..).unwrap(), LockState::Free);
    assert_eq!(two.probe(0..1).unwrap(), LockState::Held);
    assert_eq!(two.probe(1..).unwrap(), LockState::Free);
    let _shared = two.lock(7..8, LockKind::Shared, Patience::Try).unwrap();
    assert_eq!(one.probe(7..8).unwrap(), LockState::Held, "a shared lock is one too");
}

#[test]
fn closing_another_handle_of_the_file_drops_no_lock() {
    let (_dir, path) = file_of(b"abc");
    let (one, two) = (FileLock::open(&path).unwrap(), FileLock::open(&path).unwrap());
    let _held = one.lock(.., LockKind::Exclusive, Patience::Try).unwrap();
    // With POSIX record locks any of these would drop it.
    drop(File::open(&path).unwrap());
    drop(bifolio_map::Section::open_rw(&path).unwrap());
    drop(FileLock::open(&path).unwrap());
    assert_eq!(two.probe(..).unwrap(), LockState::Held);
}

#[test]
fn dropping_the_opening_gives_its_locks_back() {
    let (_dir, path) = file_of(b"");
    let two = FileLock::open(&path).unwrap();
    {
        let one = FileLock::open(&path).unwrap();
        std::mem::forget(one.lock(.., LockKind::Exclusive, Patience::Try).unwrap());
        assert_eq!(two.probe(..).unwrap(), LockState::Held);
    }
    // Not at once: a child that another test starts has the opening until it runs its program.
    drop(two.lock(.., LockKind::Exclusive, FOR_EVER).unwrap());
}

#[test]
fn waiting_for_a_lock_ends_with_the_lock_or_with_the_time() {
    let (_dir, one, two) = two_openings();
    let held = one.lock(3..4, LockKind::Exclusive, Patience::Try).unwrap();
    let (started, time) = (Instant::now(), Duration::from_millis(40));
    let error = refused(two.lock(3..4, LockKind::Shared, Patience::For(time)), ErrorKind::TimedOut);
    says(&error, &["cannot lock", "timed out", "somebody else held it for 40ms"]);
    assert!(started.elapsed() >= time);
    refused(two.lock(3..4, LockKind::Shared, Patience::For(Duration::ZERO)), ErrorKind::TimedOut);
    drop(held);
    for patience in [Patience::Forever, FOR_EVER] {
        let held = one.lock(3..4, LockKind::Exclusive, Patience::Try).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| two.lock(3..4, LockKind::Exclusive, patience).map(drop));
            std::thread::sleep(Duration::from_millis(20));
            assert!(!waiter.is_finished(), "the lock is still held");
            drop(held);
            waiter.join().unwrap().unwrap();
        });
    }
}

#[test]
fn of_many_threads_one_at_a_time_holds_the_lock() {
    let (_dir, path) = file_of(&0u64.to_ne_bytes());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let lock = FileLock::open(&path).unwrap();
                for _ in 0..50 {
                    let _held = lock.lock(1 << 40.., LockKind::Exclusive, Patience::Forever);
                    let _held = _held.unwrap();
                    // A counter that loses counts unless the lock works.
                    let bytes = std::fs::read(&path).unwrap();
                    let count = u64::from_ne_bytes(bytes.try_into().unwrap());
                    std::thread::yield_now();
                    std::fs::write(&path, (count + 1).to_ne_bytes()).unwrap();
                }
            });
        }
    });
    assert_eq!(std::fs::read(&path).unwrap(), 200u64.to_ne_bytes());
}

#[test]
fn a_file_opened_for_reading_takes_shared_locks_only() {
    let (_dir, path) = file_of(b"");
    let (reader, other) =
        (FileLock::open_read_only(&path).unwrap(), FileLock::open(&path).unwrap());
    let held = reader.lock(.., LockKind::Shared, Patience::Try).unwrap();
    refused(other.lock(.., LockKind::Exclusive, Patience::Try), ErrorKind::Busy);
    drop(held);
    let error =
        refused(reader.lock(.., LockKind::Exclusive, Patience::Try), ErrorKind::ModeMismatch);
    says(&error, &["enough for shared locks only"]);
}

#[test]
fn a_range_must_have_a_byte_below_the_end_of_offsets() {
    let (_dir, one, two) = two_openings();
    #[expect(clippy::reversed_empty_ranges, reason = "the case under test")]
    for range in [0..0, 5..5, 7..3, 0..u64::MAX, 1 << 63..(1 << 63) + 1] {
        let error = refused(
            one.lock(range.clone(), LockKind::Shared, Patience::Try),
            ErrorKind::InvalidInput,
        );
        says(&error, &["at least one byte below 2^63"]);
        refused(one.probe(range), ErrorKind::InvalidInput);
    }
    let last = i64::MAX as u64 - 1;
    let _held = one.lock(last..=last, LockKind::Exclusive, Patience::Try).unwrap();
    assert_eq!(two.probe(last..).unwrap(), LockState::Held);
    assert_eq!(two.probe(..last).unwrap(), LockState::Free);
}

#[test]
fn a_lock_file_is_created_if_it_is_wanted_and_missing() {
    let dir = directory();
    let path = dir.path().join("lock");
    let error = refused(FileLock::open(&path), ErrorKind::NotFound);
    says(&error, &["cannot open for locking", path.to_str().unwrap()]);
    refused(FileLock::open_read_only(&path), ErrorKind::NotFound);
    let one = FileLock::open_or_create(&path).unwrap();
    let two = FileLock::open_or_create(&path).unwrap();
    let _held = one.lock(.., LockKind::Exclusive, Patience::Try).unwrap();
    assert_eq!(two.probe(..).unwrap(), LockState::Held);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    refused(FileLock::open_or_create(path.join("below")), ErrorKind::NotFound);
}

#[test]
fn a_killed_process_holds_nothing() {
    if child::role().is_some() {
        let lock = FileLock::open(std::env::var(FILE).unwrap()).unwrap();
        let _held = lock.lock(3..9, LockKind::Exclusive, Patience::Try).unwrap();
        child::point("held");
        return;
    }
    let (_dir, path) = file_of(b"");
    let lock = FileLock::open(&path).unwrap();
    let rerun = Rerun::of(this_test!(), "holder").with_variable(FILE, &path);
    let mut holder = rerun.spawn().unwrap();
    holder.run_to("held", 1).unwrap();
    assert_eq!(lock.probe(..).unwrap(), LockState::Held);
    refused(lock.lock(8..9, LockKind::Shared, Patience::Try), ErrorKind::Busy);
    holder.kill().unwrap();
    assert_eq!(lock.probe(..).unwrap(), LockState::Free);
    drop(lock.lock(.., LockKind::Exclusive, Patience::Try).unwrap());
}

#[cfg(target_os = "linux")]
#[test]
fn a_forked_child_keeps_the_locks_of_its_killed_parent() {
    if child::role().is_some() {
        let lock = FileLock::open(std::env::var(FILE).unwrap()).unwrap();
        let _held = lock.lock(.., LockKind::Exclusive, Patience::Try).unwrap();
        child::tell(&crate::support::fork::forked_sleeper().to_string());
        child::point("held");
        return;
    }
    let (_dir, path) = file_of(b"");
    let lock = FileLock::open(&path).unwrap();
    let rerun = Rerun::of(this_test!(), "holder").with_variable(FILE, &path);
    let told = rerun.kill_at("held").unwrap();
    assert_eq!(lock.probe(..).unwrap(), LockState::Held, "the fork shares the opening");
    let sleeper = rustix::process::Pid::from_raw(told[0].parse().unwrap()).unwrap();
    rustix::process::kill_process(sleeper, rustix::process::Signal::KILL).unwrap();
    drop(lock.lock(.., LockKind::Exclusive, FOR_EVER).unwrap());
}

#[test]
fn locks_of_one_opening_never_overlap_and_one_guard_does_not_free_anothers_bytes() {
    let (_dir, path) = file_of(&[0; 8]);
    let (mine, yours) = (FileLock::open(&path).unwrap(), FileLock::open(&path).unwrap());
    let guard = mine.lock(0..4, LockKind::Shared, Patience::Try).unwrap();
    for kind in [LockKind::Shared, LockKind::Exclusive] {
        let again = mine.lock(3..8, kind, Patience::Try);
        assert_eq!(again.expect_err("it overlaps").kind(), ErrorKind::Busy);
        let again = mine.lock(3..8, kind, Patience::For(Duration::from_millis(1)));
        assert_eq!(again.expect_err("it overlaps").kind(), ErrorKind::TimedOut);
    }
    drop(mine.lock(4..8, LockKind::Exclusive, Patience::Forever).unwrap());
    assert_eq!(yours.probe(0..4).unwrap(), LockState::Held);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let _guard = mine.lock(.., LockKind::Exclusive, Patience::Forever).unwrap();
            yours.probe(0..8).unwrap()
        });
        drop(guard);
        assert_eq!(waiter.join().unwrap(), LockState::Held);
    });
    assert_eq!(yours.probe(..).unwrap(), LockState::Free);
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_forked_child_drops_of_its_parents_locks_unlocks_nothing() {
    crate::support::process::alone(this_test!(), || {
        let (_dir, path) = file_of(b"");
        let (mine, yours) = (FileLock::open(&path).unwrap(), FileLock::open(&path).unwrap());
        let mut held = Some(mine.lock(.., LockKind::Exclusive, Patience::Try).unwrap());
        let end = crate::support::fork::in_forked_child(|| {
            drop(held.take()); // the child's copy of it
            0
        });
        assert_eq!(end, Some(0));
        assert_eq!(yours.probe(..).unwrap(), LockState::Held);
        drop(held);
        assert_eq!(yours.probe(..).unwrap(), LockState::Free);
    });
}

#[test]
fn whose_lock_is_in_the_way_is_said_and_nobody_waits_for_ever_for_itself() {
    let (_dir, one, two) = two_openings();
    let held = one.lock(0..4, LockKind::Shared, Patience::Try).unwrap();
    let error = refused(one.lock(2..6, LockKind::Shared, Patience::Try), ErrorKind::Busy);
    says(&error, &["another lock of this FileLock"]);
    let time = Patience::For(Duration::from_millis(5));
    let error = refused(one.lock(2..6, LockKind::Shared, time), ErrorKind::TimedOut);
    says(&error, &["another lock of this FileLock held it for 5ms"]);
    let error = refused(two.lock(2..6, LockKind::Exclusive, time), ErrorKind::TimedOut);
    says(&error, &["somebody else held it for 5ms"]);
    let error = refused(one.lock(2..6, LockKind::Shared, Patience::Forever), ErrorKind::Busy);
    says(&error, &["this thread holds an overlapping lock", "would wait for itself"]);
    drop(held);
    drop(one.lock(2..6, LockKind::Shared, Patience::Forever).unwrap());
}

#[test]
fn locking_a_section_locks_what_is_mapped_whatever_its_path_leads_to() {
    let (_dir, path) = file_of(b"mapped");
    let section = Section::open_rw(&path).unwrap();
    let mine = FileLock::of_section(&section).unwrap();
    let yours = FileLock::open(&path).unwrap();
    let held = mine.lock(0..3, LockKind::Exclusive, Patience::Try).unwrap();
    says(&refused(yours.lock(2..5, LockKind::Shared, Patience::Try), ErrorKind::Busy), &["data"]);
    assert_eq!(yours.probe(..).unwrap(), LockState::Held);
    assert_eq!(mine.probe(..).unwrap(), LockState::Free);
    // One section is one opener, however often it is asked.
    let again = FileLock::of_section(&section.clone()).unwrap();
    refused(again.lock(1..2, LockKind::Shared, Patience::Try), ErrorKind::Busy);
    if cfg!(unix) {
        // Replaced under the map: the lock stays on the old file, and the new one is free.
        let new = path.with_extension("new");
        std::fs::write(&new, b"another").unwrap();
        std::fs::rename(&new, &path).unwrap();
        let other = FileLock::open(&path).unwrap();
        assert_eq!(other.probe(..).unwrap(), LockState::Free);
        assert_eq!(yours.probe(..).unwrap(), LockState::Held);
    }
    assert_eq!(yours.probe(..).unwrap(), LockState::Held);
    drop(held);
    drop(yours.lock(.., LockKind::Exclusive, Patience::Try).unwrap());
}

#[test]
fn an_open_file_is_locked_as_its_opening_allows() {
    let (_dir, path) = file_of(b"abc");
    let reader = FileLock::from_file(File::open(&path).unwrap()).unwrap();
    let writer = File::options().read(true).write(true).open(&path).unwrap();
    let writer = FileLock::from_file(writer).unwrap();
    refused(reader.lock(.., LockKind::Exclusive, Patience::Try), ErrorKind::ModeMismatch);
    let held = reader.lock(.., LockKind::Shared, Patience::Try).unwrap();
    refused(writer.lock(.., LockKind::Exclusive, Patience::Try), ErrorKind::Busy);
    drop(held);
    drop(writer.lock(.., LockKind::Exclusive, Patience::Try).unwrap());
    let blind = File::options().write(true).open(&path).unwrap();
    refused(FileLock::from_file(blind), ErrorKind::ModeMismatch);
}
