//! The protocols in all schedules of two or three threads, each a participant of its own.
//!
//! A futex is modelled as the kernel has it: whoever goes to sleep compares the word under a lock that
//! whoever wakes takes too. Naps do not end by themselves here, so a wake that is lost is a deadlock,
//! which loom reports. `of_the_dead` does end: a process that died wakes nobody.

mod ring;
mod snapshot;

use std::sync::Arc;
use std::time::Duration;

use bifolio_map::Patience;
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::mutex::{Health, MutexWords};
use super::rwlock::RwLockWords;
use super::tally::Tally;
use super::{Pair, Peers, Word};
use crate::error::Result;
use crate::participant::{Holder, Slot};

/// Where threads sleep on a word.
#[derive(Default)]
struct Bed {
    door: Mutex<()>,
    asleep: Condvar,
    /// Whether naps end by themselves: somebody may have died.
    of_the_dead: AtomicBool,
}

impl Bed {
    fn sleep_while(&self, holds: impl Fn() -> bool) {
        let door = self.door.lock().unwrap();
        if !holds() {
            return;
        }
        if self.of_the_dead.load(Ordering::SeqCst) {
            drop(door);
            return thread::yield_now();
        }
        drop(self.asleep.wait(door).unwrap());
    }

    fn wake(&self, how: impl Fn(&Condvar)) {
        let _door = self.door.lock().unwrap();
        how(&self.asleep);
    }
}

macro_rules! word {
    ($name:ident, $atomic:ident, $number:ty, $trait:ident) => {
        #[derive(Default)]
        struct $name {
            value: $atomic,
            bed: Bed,
        }

        impl $trait for &$name {
            fn load(&self) -> Result<$number> {
                Ok(self.value.load(Ordering::Acquire))
            }

            fn store(&self, value: $number) -> Result<()> {
                self.value.store(value, Ordering::Release);
                Ok(())
            }

            fn swap(&self, value: $number) -> Result<$number> {
                Ok(self.value.swap(value, Ordering::SeqCst))
            }

            fn compare_exchange(
                &self,
                expected: $number,
                new: $number,
            ) -> Result<std::result::Result<$number, $number>> {
                Ok(self.value.compare_exchange(expected, new, Ordering::SeqCst, Ordering::SeqCst))
            }

            #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
            fn wait(&self, expected: u32, _time: Duration) -> Result<()> {
                let same = || self.value.load(Ordering::SeqCst) as u32 == expected;
                self.bed.sleep_while(same);
                Ok(())
            }

            fn wake_one(&self) -> Result<()> {
                self.bed.wake(Condvar::notify_one);
                Ok(())
            }

            fn wake_all(&self) -> Result<()> {
                self.bed.wake(Condvar::notify_all);
                Ok(())
            }

            word!(more $trait);
        }
    };
    (more Word) => {
        fn fetch_add(&self, value: u32) -> Result<u32> {
            Ok(self.value.fetch_add(value, Ordering::SeqCst))
        }
    };
    (more Pair) => {};
}

word!(Short, AtomicU32, u32, Word);
word!(Long, AtomicU64, u64, Pair);

/// Participant so and so, of whom number 1 may be dead.
struct Someone {
    number: u32,
    first_is_dead: bool,
}

impl Someone {
    fn new(number: u32) -> Self {
        Self { number, first_is_dead: false }
    }
}

impl Peers for Someone {
    fn me(&self) -> Holder {
        Holder::new(Slot::new(self.number), 1)
    }

    fn is_dead(&self, holder: Holder) -> Result<bool> {
        Ok(self.first_is_dead && holder.slot().number() == 1)
    }

    fn note_death(&self, _holder: Holder) -> Result<()> {
        Ok(())
    }
}

/// A value that loom sees two threads at.
#[derive(Default)]
struct Guarded(UnsafeCell<u32>);

impl Guarded {
    fn read(&self) -> u32 {
        self.0.with(|_| 0)
    }

    fn write(&self) {
        self.0.with_mut(|_| ());
    }
}

#[derive(Default)]
struct Shared {
    owner: Long,
    health: Short,
    tallies: [Short; 3],
    value: Guarded,
}

impl Shared {
    fn mutex(&self) -> MutexWords<&Long, &Short> {
        MutexWords { owner: &self.owner, health: &self.health }
    }

    fn tally(&self, number: u32) -> Tally<&Short> {
        Tally { word: &self.tallies[number as usize], slot: Slot::new(number) }
    }

    fn rwlock(&self, number: u32) -> RwLockWords<&Long, &Short> {
        RwLockWords { writer: self.mutex(), mine: self.tally(number) }
    }
}

fn explore(threads: u32, play: impl Fn(&Shared, u32) + Send + Sync + Copy + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let shared = Arc::new(Shared::default());
        let others: Vec<_> = (1..threads)
            .map(|number| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || play(&shared, number))
            })
            .collect();
        play(&shared, 0);
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(shared.owner.value.load(Ordering::SeqCst), 0);
        for tally in &shared.tallies {
            assert_eq!(tally.value.load(Ordering::SeqCst) & 0xfff, 0);
        }
    });
}

fn lock_and_write(shared: &Shared, number: u32) {
    let me = Someone::new(number);
    assert_eq!(shared.mutex().lock(&me, 1, Patience::Forever).unwrap(), Health::Sound);
    shared.value.write();
    shared.mutex().unlock(Health::Sound).unwrap();
}

fn read(shared: &Shared, number: u32) {
    let me = Someone::new(number);
    shared.rwlock(number).read(&me, || 1, Patience::Forever).unwrap();
    shared.value.read();
    shared.rwlock(number).end_read(&me).unwrap();
}

fn write(shared: &Shared, number: u32) {
    let me = Someone::new(number);
    let tallies = (0..3).map(|slot| shared.tally(slot));
    shared.rwlock(number).write(&me, tallies, 1, Patience::Forever).unwrap();
    shared.value.write();
    shared.rwlock(number).writer.unlock(Health::Sound).unwrap();
}

#[test]
fn loom_one_at_a_time_has_a_mutex_and_every_waiter_is_woken() {
    explore(2, lock_and_write);
    explore(3, lock_and_write);
}

#[test]
fn loom_a_reader_and_a_writer_are_never_there_together() {
    explore(
        2,
        |shared, number| if number == 0 { write(shared, number) } else { read(shared, number) },
    );
}

#[test]
fn loom_two_readers_and_a_writer_all_come_to_their_turn() {
    explore(
        3,
        |shared, number| if number == 0 { write(shared, number) } else { read(shared, number) },
    );
}

#[test]
fn loom_the_lock_of_one_that_died_goes_to_one_heir() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let shared = Arc::new(Shared::default());
        shared.owner.bed.of_the_dead.store(true, Ordering::SeqCst);
        // Participant 1 locks and is never heard of again.
        shared.mutex().lock(&Someone::new(1), 1, Patience::Forever).unwrap();
        let inherit = |shared: &Shared, number: u32| {
            let me = Someone { number, first_is_dead: true };
            let found = shared.mutex().lock(&me, 1, Patience::Forever).unwrap();
            shared.value.write();
            if found != Health::Sound {
                shared.mutex().set_health(Health::Sound).unwrap();
            }
            shared.mutex().unlock(Health::Sound).unwrap();
            u32::from(found == Health::Bereft)
        };
        let other = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || inherit(&shared, 2))
        };
        let heirs = inherit(&shared, 0) + other.join().unwrap();
        assert_eq!(heirs, 1, "the death is told once");
    });
}

/// The broken twins: the protocols with a step left out, which loom must notice.
mod twins {
    use super::*;

    /// A writer that does not look for readers.
    #[test]
    #[should_panic(expected = "Causality violation")]
    fn loom_a_writer_that_does_not_wait_for_readers_is_noticed() {
        explore(2, |shared, number| {
            if number == 0 {
                lock_and_write(shared, number);
            } else {
                read(shared, number);
            }
        });
    }

    /// A reader that does not look for a writer.
    #[test]
    #[should_panic(expected = "Causality violation")]
    fn loom_a_reader_that_does_not_look_for_the_writer_is_noticed() {
        explore(2, |shared, number| {
            if number == 0 {
                return write(shared, number);
            }
            let me = Someone::new(number);
            shared.tally(number).enter(me.me()).unwrap();
            shared.value.read();
            shared.rwlock(number).end_read(&me).unwrap();
        });
    }

    /// An owner that gives the lock back without a look at the mark of waiting.
    #[test]
    #[should_panic(expected = "deadlock")]
    fn loom_an_unlock_that_wakes_nobody_is_noticed() {
        explore(2, |shared, number| {
            let me = Someone::new(number);
            shared.mutex().lock(&me, 1, Patience::Forever).unwrap();
            shared.value.write();
            (&shared.owner).swap(0).unwrap();
        });
    }
}
