//! Waiting for a word to change: between threads and processes, with limits that hold.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bifolio_map::wait::{Wake, wait, wake_all, wake_one};
use bifolio_map::{ErrorKind, Read, ReadWrite, Section, View};
use bifolio_testkit::child::{self, Rerun};
use bifolio_testkit::{Random, budget, this_test};

use crate::support::{page, refused};

const LONG: Option<Duration> = Some(Duration::from_secs(60));

fn memory() -> View<ReadWrite> {
    Section::anonymous(page()).unwrap().view().unwrap()
}

#[test]
fn a_word_that_has_changed_is_not_waited_for() {
    let view = memory();
    view.put(8, &5u32).unwrap();
    assert_eq!(wait(&view, 8, 4, None).unwrap(), Wake::Changed);
    assert_eq!(wait(&view.read_only(), 8, 4, None).unwrap(), Wake::Changed);
}

#[test]
fn a_wait_ends_after_its_time_and_not_before() {
    let view = memory();
    for time in [Duration::ZERO, Duration::from_nanos(1), Duration::from_millis(30)] {
        let started = Instant::now();
        while wait(&view, 0, 0, Some(time)).unwrap() != Wake::TimedOut {}
        assert!(started.elapsed() >= time);
    }
}

#[test]
fn nanoseconds_near_a_second_carry_and_never_fail() {
    /// A wait that nobody ends: by its time, and not at once as if the time were not one.
    fn ends_by_its_time(view: &View<ReadWrite>, time: Duration) {
        let (started, mut early) = (Instant::now(), 0);
        while wait(view, 0, 0, Some(time)).unwrap() != Wake::TimedOut {
            // Some systems wake for no reason, and more so when other tests wake theirs. A wait that is
            // refused gets here in no time.
            early += 1;
            assert!(early < 100_000, "{time:?} does not end a wait, it is refused");
        }
        assert!(started.elapsed() >= time);
    }
    let view = memory();
    let mut random = Random::new();
    ends_by_its_time(&view, Duration::from_nanos(999_999_999));
    for _ in 0..budget(20) {
        let nanos = 999_990_000 + random.u32(0..10_000);
        ends_by_its_time(&view, Duration::from_nanos(u64::from(nanos % 5000)));
        // A wait for a minute, less a little or a little more, is ended by the word.
        let time = Duration::new(random.u64(59..61), nanos);
        let waited = std::thread::scope(|scope| {
            scope.spawn(|| {
                view.atomic_u32(0).unwrap().store(1).unwrap();
                wake_all(&view, 0).unwrap();
            });
            wait(&view, 0, 0, Some(time))
        });
        assert_ne!(waited.unwrap(), Wake::TimedOut);
        view.put(0, &0u32).unwrap();
    }
}

#[test]
fn the_longest_time_is_as_good_as_none() {
    let view = memory();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            while view.get::<u32>(0).unwrap() == 0 {
                wait(&view, 0, 0, Some(Duration::MAX)).unwrap();
            }
        });
        view.atomic_u32(0).unwrap().store(1).unwrap();
        while !waiter.is_finished() {
            wake_all(&view, 0).unwrap();
            std::thread::yield_now();
        }
    });
}

#[test]
fn each_waiter_is_woken_once_and_all_are_woken() {
    // Two maps of one section: what counts is the page, not the address.
    let section = Section::anonymous(page()).unwrap();
    let (here, there): (View<ReadWrite>, View<Read>) =
        (section.view().unwrap(), section.view_of(..8).unwrap());
    let woken = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                assert_eq!(wait(&there, 4, 0, LONG).unwrap(), Wake::Woken);
                woken.fetch_add(1, Ordering::SeqCst);
            });
        }
        let mut counted = 0;
        while woken.load(Ordering::SeqCst) < 3 {
            counted += wake_one(&here, 4).unwrap();
            assert!(counted <= 3, "one call wakes one waiter");
            std::thread::yield_now();
        }
        if cfg!(target_os = "linux") {
            assert_eq!(counted, 3);
        }
    });
    assert_eq!(wake_one(&here, 4).unwrap(), 0, "nobody is left");
    assert_eq!(wake_all(&here, 4).unwrap(), 0);
}

#[test]
fn two_processes_take_turns_by_one_word() {
    const TOKEN: &str = "BIFOLIO_TEST_TOKEN";
    const TURNS: u32 = 200;
    /// Waits for its turn (odd or even) and passes the word on.
    fn play(view: &View<ReadWrite>, parity: u32) {
        let word = view.atomic_u32(12).unwrap();
        loop {
            let turn = word.load().unwrap();
            if turn >= TURNS {
                return;
            }
            if turn % 2 == parity {
                word.store(turn + 1).unwrap();
                wake_all(view, 12).unwrap();
            } else {
                assert_ne!(wait(view, 12, turn, LONG).unwrap(), Wake::TimedOut);
            }
        }
    }
    if child::role().is_some() {
        let section = Section::inherited(&std::env::var(TOKEN).unwrap()).unwrap();
        play(&section.view().unwrap(), 1);
        return;
    }
    let section = Section::anonymous(page()).unwrap();
    let view = section.view().unwrap();
    let heirloom = section.inherit().unwrap();
    let rerun = Rerun::of(this_test!(), "other").with_variable(TOKEN, heirloom.token());
    let other = rerun.spawn().unwrap();
    play(&view, 0);
    other.finish().unwrap();
    assert_eq!(view.get::<u32>(12).unwrap(), TURNS);
}

#[test]
fn a_word_that_is_not_there_or_not_aligned_is_refused() {
    let view = memory();
    refused(wait(&view, 2, 0, LONG), ErrorKind::Misaligned);
    refused(wait(&view, page(), 0, LONG), ErrorKind::OutOfBounds);
    refused(wait(&view, u64::MAX, 0, LONG), ErrorKind::OutOfBounds);
    refused(wake_all(&view, 1), ErrorKind::Misaligned);
    refused(wake_one(&view, page() - 3), ErrorKind::OutOfBounds);
}

#[cfg(unix)]
#[test]
fn waiting_on_a_page_that_was_cut_off_is_an_error_and_not_for_ever() {
    let (_dir, path) = crate::support::file_of(&[0; 4096]);
    let view: View<ReadWrite> = Section::open_rw(&path).unwrap().view().unwrap();
    crate::support::truncate(&path, 0);
    refused(wait(&view, 0, 0, LONG), ErrorKind::UnexpectedEof);
    assert_eq!(wake_all(&view, 0).unwrap(), 0, "nobody waits there");
}
