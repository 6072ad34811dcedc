//! Locks for readers and writers, semaphores, barriers, events, onces, condition variables and
//! seqlocks, between processes that are killed.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bifolio_share::{
    Barrier, Condvar, ErrorKind, Event, Leader, Lock, Once, Permit, Region, RwLock, Semaphore,
    Seqlock, Turn, Waited, Why,
};
use bifolio_testkit::{Random, budget, child, this_test};

use crate::support::{child_of, create, of_the_parent, place, refused, says, soon, sound};

const SHORT: Duration = Duration::from_millis(30);
const LONG: Duration = Duration::from_secs(60);

#[test]
fn the_types_can_be_used_from_any_thread() {
    fn check<T: Send + Sync>() {}
    check::<RwLock<u64>>();
    check::<Seqlock<u64>>();
    check::<(Semaphore, Permit<'_>, Barrier, Event, Once, Condvar)>();
}

#[test]
fn many_read_at_a_time_and_one_writes() {
    let (_dir, path) = place();
    let (ours, theirs) = (create(&path), Region::open(&path).unwrap());
    let (one, two) = (ours.rwlock("lock", 5_u64).unwrap(), theirs.rwlock("lock", 9_u64).unwrap());
    let (first, second) = (one.read().unwrap(), two.read().unwrap());
    assert_eq!((first.get().unwrap(), second.get().unwrap()), (5, 5));
    let error = refused(two.try_write(), ErrorKind::Busy);
    says(&error, &["the participant in slot 0 reads"]);
    drop(first);
    refused(one.write_within(SHORT), ErrorKind::TimedOut);
    drop(second);
    let mut guard = sound(one.write());
    guard.set(&6).unwrap();
    refused(two.try_read(), ErrorKind::Busy);
    refused(two.read_within(SHORT), ErrorKind::TimedOut);
    refused(one.read(), ErrorKind::Deadlock);
    drop(guard);
    assert_eq!(two.read().unwrap().get().unwrap(), 6);
}

#[test]
fn a_reader_that_is_killed_keeps_nobody_out_and_a_writer_that_is_killed_is_told_of() {
    if let Some(role) = child::role() {
        let lock = of_the_parent().rwlock("pair", [0_u64; 2]).unwrap();
        if role == "reader" {
            let _guard = lock.read().unwrap();
            child::point("reading");
        } else {
            let mut guard = sound(lock.write());
            guard.set(&[1, 0]).unwrap();
            child::point("writing");
        }
        return;
    }
    let (_dir, path) = place();
    let region = create(&path);
    let lock = region.rwlock("pair", [0_u64; 2]).unwrap();
    let mut reader = child_of(this_test!(), "reader", &path);
    reader.run_to("reading", 1).unwrap();
    refused(lock.try_write(), ErrorKind::Busy);
    reader.kill().unwrap();
    drop(sound(lock.write_within(LONG)));
    let mut writer = child_of(this_test!(), "writer", &path);
    writer.run_to("writing", 1).unwrap();
    refused(lock.try_read(), ErrorKind::Busy);
    writer.kill().unwrap();
    let left = lock.read_within(LONG).unwrap();
    assert_eq!((left.unsound(), left.get_as_left().unwrap()), (Some(Why::OwnerDied), [1, 0]));
    refused(left.get(), ErrorKind::Poisoned);
    drop(left);
    let Lock::Unsound(mut left) = lock.write().unwrap() else { panic!("nobody repaired it") };
    left.set(&[2, 2]).unwrap();
    drop(left.repaired().unwrap());
    assert_eq!(lock.read().unwrap().get().unwrap(), [2, 2]);
    assert_eq!(region.deaths().unwrap(), 2);
}

/// Readers see both numbers equal, writers move them together, and all are killed at random.
#[test]
fn readers_and_writers_that_are_killed_at_random_lose_nothing() {
    if let Some(role) = child::role() {
        let lock = of_the_parent().rwlock("pair", [0_u64; 2]).unwrap();
        loop {
            if role == "reader" {
                let guard = lock.read().unwrap();
                if guard.unsound().is_none() {
                    let both = guard.get().unwrap();
                    assert_eq!(both[0], both[1], "half an update, and nobody was told");
                }
                continue;
            }
            let mut guard = lock.write().unwrap().or_repair(even).unwrap();
            let both = guard.get().unwrap();
            guard.set(&[both[0] + 1, both[1]]).unwrap();
            guard.set(&[both[0] + 1, both[1] + 1]).unwrap();
        }
    }
    let (_dir, path) = place();
    let region = create(&path);
    let lock = region.rwlock("pair", [0_u64; 2]).unwrap();
    let mut random = Random::new();
    let roles = ["reader", "reader", "writer", "writer"];
    let spawn = |role| Some(child_of(this_test!(), role, &path));
    let mut others = roles.map(spawn);
    let rounds = budget(if cfg!(windows) { 10 } else { 60 });
    let mut last = 0;
    for _ in 0..rounds {
        std::thread::sleep(Duration::from_micros(random.u64(0..3000)));
        let victim = random.usize(0..roles.len());
        others[victim].take().unwrap().kill().unwrap();
        let guard = lock.write_within(LONG).unwrap().or_repair(even).unwrap();
        let both = guard.get().unwrap();
        assert_eq!(both[0], both[1]);
        assert!(both[0] >= last, "an update is lost");
        last = both[0];
        drop(guard);
        others[victim] = spawn(roles[victim]);
    }
    for other in others.into_iter().flatten() {
        other.kill().unwrap();
    }
    println!("{last} updates, {rounds} kills");
}

fn even(guard: &mut bifolio_share::MutexGuard<'_, [u64; 2]>) -> bifolio_share::Result<()> {
    let [one, two] = guard.get()?;
    guard.set(&[one.max(two); 2])
}

#[test]
fn permits_are_counted_and_those_of_the_dead_come_back() {
    if child::role().is_some() {
        let pool = of_the_parent().semaphore("pool", 3).unwrap();
        let _permits = [pool.acquire().unwrap(), pool.acquire().unwrap()];
        return child::point("holding");
    }
    let (_dir, path) = place();
    let region = create(&path);
    let pool = region.semaphore("pool", 3).unwrap();
    refused(region.semaphore("none", 0), ErrorKind::InvalidInput);
    let error = refused(region.semaphore("pool", 4), ErrorKind::InvalidInput);
    says(&error, &["it was made for 3 permits, not 4"]);
    let mut other = child_of(this_test!(), "holder", &path);
    other.run_to("holding", 1).unwrap();
    assert_eq!((pool.available().unwrap(), pool.permits()), (1, 3));
    let ours = pool.acquire().unwrap();
    let error = refused(pool.try_acquire(), ErrorKind::Busy);
    says(&error, &["all 3 permits are held by living participants"]);
    refused(pool.acquire_within(SHORT), ErrorKind::TimedOut);
    std::thread::scope(|threads| {
        // One waits, and goes on when the holder dies.
        let waiting = threads.spawn(|| drop(pool.acquire_within(LONG).unwrap()));
        std::thread::sleep(SHORT);
        other.kill().unwrap();
        waiting.join().unwrap();
        // One waits, and goes on when a permit is given back.
        let all = [pool.acquire().unwrap(), pool.acquire().unwrap()];
        let waiting = threads.spawn(|| drop(pool.acquire_within(LONG).unwrap()));
        std::thread::sleep(SHORT);
        drop(ours);
        waiting.join().unwrap();
        drop(all);
    });
    assert_eq!(pool.available().unwrap(), 3);
}

#[test]
fn a_semaphore_never_lets_more_in_than_it_has_permits() {
    let (_dir, path) = place();
    let regions = [create(&path), Region::open(&path).unwrap()];
    let (inside, most) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|threads| {
        for region in regions.iter().cycle().take(6) {
            let (inside, most) = (&inside, &most);
            threads.spawn(move || {
                let pool = region.semaphore("pool", 2).unwrap();
                for _ in 0..budget(200) {
                    let _permit = pool.acquire().unwrap();
                    most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert!(most.into_inner() <= 2);
}

#[test]
fn a_barrier_opens_for_all_and_one_that_died_has_not_come() {
    if child::role().is_some() {
        let barrier = of_the_parent().barrier("step", 3).unwrap();
        child::point("coming");
        let _ = barrier.wait();
        return;
    }
    let (_dir, path) = place();
    let region = create(&path);
    let barrier = region.barrier("step", 3).unwrap();
    refused(region.barrier("step", 2), ErrorKind::InvalidInput);
    refused(region.barrier("nobody", 0), ErrorKind::InvalidInput);
    refused(barrier.wait_within(SHORT), ErrorKind::TimedOut);
    let mut other = child_of(this_test!(), "comes", &path);
    other.run_to("coming", 1).unwrap();
    other.go_on().unwrap();
    std::thread::sleep(SHORT);
    other.kill().unwrap();
    let meet = || barrier.wait_within(LONG).unwrap();
    std::thread::scope(|threads| {
        let first = threads.spawn(meet);
        // The dead one may have come before; it does not count.
        refused(barrier.wait_within(SHORT), ErrorKind::TimedOut);
        let second = threads.spawn(meet);
        let ours = meet();
        let all = [ours, first.join().unwrap(), second.join().unwrap()];
        assert_eq!(all.iter().filter(|leader| **leader == Leader::Us).count(), 1, "{all:?}");
    });
}

#[test]
fn nobody_is_a_round_ahead_of_the_others() {
    let (_dir, path) = place();
    let regions = [create(&path), Region::open(&path).unwrap(), Region::open(&path).unwrap()];
    let rounds = [const { AtomicU32::new(0) }; 3];
    std::thread::scope(|threads| {
        for (number, region) in regions.iter().enumerate() {
            let rounds = &rounds;
            threads.spawn(move || {
                let barrier = region.barrier("step", 3).unwrap();
                for round in 0..u32::try_from(budget(100)).unwrap() {
                    rounds[number].store(round, Ordering::SeqCst);
                    barrier.wait().unwrap();
                    for other in rounds {
                        let theirs = other.load(Ordering::SeqCst);
                        assert!((round..=round + 1).contains(&theirs), "{theirs} in {round}");
                    }
                    barrier.wait().unwrap();
                }
            });
        }
    });
}

#[test]
fn an_event_lets_all_go_on_until_it_is_taken_back() {
    if child::role().is_some() {
        return of_the_parent().event("ready").unwrap().wait_within(LONG).unwrap();
    }
    let (_dir, path) = place();
    let region = create(&path);
    let event = region.event("ready").unwrap();
    refused(event.wait_within(SHORT), ErrorKind::TimedOut);
    let others = [0; 2].map(|_| child_of(this_test!(), "waiter", &path));
    event.set().unwrap();
    for other in others {
        other.finish().unwrap();
    }
    assert!(event.is_set().unwrap());
    event.wait().unwrap();
    event.reset().unwrap();
    assert!(!event.is_set().unwrap());
}

#[test]
fn what_is_done_once_is_done_by_one_and_again_after_one_that_died() {
    if child::role().is_some() {
        let once = of_the_parent().once("once").unwrap();
        let _ = once.call(|_| {
            child::point("at it");
            Ok::<(), bifolio_share::Error>(())
        });
        return;
    }
    let (_dir, path) = place();
    let region = create(&path);
    let once = region.once("once").unwrap();
    let failed = once.call(|turn| {
        assert_eq!(turn, Turn::First);
        region.read_at(u64::MAX, &mut [0])
    });
    refused(failed, ErrorKind::OutOfBounds);
    let mut other = child_of(this_test!(), "doer", &path);
    other.run_to("at it", 1).unwrap();
    assert!(!once.is_done().unwrap());
    other.kill().unwrap();
    let mut turns = Vec::new();
    for _ in 0..2 {
        once.call(|turn| {
            turns.push(turn);
            Ok::<(), bifolio_share::Error>(())
        })
        .unwrap();
    }
    assert_eq!(turns, [Turn::AfterOneThatDied]);
    assert!(once.is_done().unwrap());
}

#[test]
fn a_condition_is_waited_for_by_other_processes() {
    if child::role().is_some() {
        let region = of_the_parent();
        let (count, changed) =
            (region.mutex("count", 0_u64).unwrap(), region.condvar("changed").unwrap());
        let lock = changed.wait_while(sound(count.lock()), |count| *count < 2).unwrap();
        lock.sound().unwrap().update(|count| *count += 10).unwrap();
        return changed.notify_all().unwrap();
    }
    let (_dir, path) = place();
    let region = create(&path);
    let (count, changed) =
        (region.mutex("count", 0_u64).unwrap(), region.condvar("changed").unwrap());
    let (lock, waited) = changed.wait_within(sound(count.lock()), SHORT).unwrap();
    assert_eq!(waited, Waited::TimedOut);
    drop(lock);
    let others = [0; 2].map(|_| child_of(this_test!(), "waiter", &path));
    for _ in 0..2 {
        sound(count.lock()).update(|count| *count += 1).unwrap();
        changed.notify_one().unwrap();
    }
    let lock = changed.wait_while(sound(count.lock()), |count| *count != 22).unwrap();
    drop(lock.sound().unwrap());
    for other in others {
        other.finish().unwrap();
    }
}

#[test]
fn a_value_that_is_written_is_read_whole_or_not_at_all() {
    if let Some(role) = child::role() {
        let numbers = of_the_parent().seqlock("numbers", [0_u64; 100]).unwrap();
        if role == "writer" {
            for number in 1.. {
                numbers.write(&[number; 100]).unwrap();
            }
        }
        return;
    }
    let (_dir, path) = place();
    let region = create(&path);
    let numbers = region.seqlock("numbers", [0_u64; 100]).unwrap();
    let mut died_writing = 0;
    for _ in 0..budget(if cfg!(windows) { 3 } else { 20 }) {
        let writer = child_of(this_test!(), "writer", &path);
        let before = numbers.read().unwrap()[0];
        soon("the writer writes", || numbers.read().unwrap()[0] > before.min(1));
        for _ in 0..1000 {
            let found = numbers.read_within(LONG).unwrap();
            assert!(found.iter().all(|number| *number == found[0]), "{found:?}");
        }
        writer.kill().unwrap();
        match numbers.read_within(LONG) {
            Ok(found) => assert!(found.iter().all(|number| *number == found[0]), "{found:?}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
                died_writing += 1;
            }
        }
        numbers.write(&[0; 100]).unwrap();
        assert_eq!(numbers.read().unwrap(), [0; 100]);
    }
    println!("{died_writing} died in the middle of a write");
}

#[test]
fn one_name_is_one_kind_of_thing() {
    let (_dir, path) = place();
    let region = create(&path);
    region.event("thing").unwrap();
    let error = refused(region.mutex("thing", 1_u32), ErrorKind::LayoutMismatch);
    says(&error, &["it is an event, not a mutex"]);
    region.rwlock("value", 1_u32).unwrap();
    refused(region.rwlock("value", 1_u64), ErrorKind::LayoutMismatch);
}
