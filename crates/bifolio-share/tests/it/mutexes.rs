//! Mutexes, and what becomes of them when their owners die.

use std::time::{Duration, Instant};

use bifolio_share::{ErrorKind, Life, Lock, Mutex, MutexGuard, Region, Unsound, Why};
use bifolio_testkit::{Random, budget, child, this_test};

#[cfg(target_os = "linux")]
use crate::support::signal;
use crate::support::{child_of, create, of_the_parent, place, refused, says, soon, sound};

#[test]
fn the_types_can_be_used_from_any_thread() {
    fn check<T: Send + Sync>() {}
    check::<Mutex<[u64; 3]>>();
}

#[test]
fn a_name_leads_every_participant_to_the_same_value() {
    let (_dir, path) = place();
    let (ours, theirs) = (create(&path), Region::open(&path).unwrap());
    let one = ours.mutex("counter", 5_u64).unwrap();
    let two = theirs.mutex("counter", 999_u64).unwrap();
    sound(one.lock()).update(|value| *value += 1).unwrap();
    assert_eq!(sound(two.lock()).get().unwrap(), 6);
    let other = theirs.mutex("other", 1_u64).unwrap();
    assert_eq!(sound(other.lock()).get().unwrap(), 1);
}

#[test]
fn another_type_under_the_name_is_refused_with_the_difference() {
    let (_dir, path) = place();
    let region = create(&path);
    region.mutex("counter", 5_u64).unwrap();
    let error = refused(region.mutex("counter", 5_u32), ErrorKind::LayoutMismatch);
    says(&error, &["counter", "it is a `u32` here and was made as a `u64`"]);
    for name in ["", &"x".repeat(81)] {
        refused(region.mutex(name, 1_u8), ErrorKind::InvalidInput);
    }
    for number in 1..64 {
        region.mutex(&format!("lock {number}"), 1_u8).unwrap();
    }
    let error = refused(region.mutex("one more", 1_u8), ErrorKind::Full);
    says(&error, &["all 64 names"]);
}

#[test]
fn one_at_a_time_has_it_and_the_others_are_told_who() {
    let (_dir, path) = place();
    let (ours, theirs) = (create(&path), Region::open(&path).unwrap());
    let (one, two) = (ours.mutex("lock", 0_u64).unwrap(), theirs.mutex("lock", 0_u64).unwrap());
    let guard = sound(one.lock());
    assert_eq!(one.owner().unwrap(), Some(ours.me()));
    let error = refused(two.try_lock(), ErrorKind::Busy);
    says(&error, &["participant 0 (generation 1) holds it"]);
    let started = Instant::now();
    refused(two.lock_within(Duration::from_millis(30)), ErrorKind::TimedOut);
    assert!(started.elapsed() >= Duration::from_millis(30));
    guard.unlock().unwrap();
    assert_eq!(one.owner().unwrap(), None);
    drop(sound(two.try_lock()));
}

#[test]
fn a_thread_that_locks_twice_is_told_and_another_thread_waits() {
    let (_dir, path) = place();
    let region = create(&path);
    let lock = region.mutex("lock", 0_u64).unwrap();
    let guard = sound(lock.lock());
    refused(lock.lock(), ErrorKind::Deadlock);
    refused(lock.try_lock(), ErrorKind::Deadlock);
    std::thread::scope(|threads| {
        let waiting = threads.spawn(|| sound(lock.lock()).update(|value| *value += 1));
        std::thread::sleep(Duration::from_millis(20));
        drop(guard);
        waiting.join().unwrap().unwrap();
    });
    assert_eq!(sound(lock.lock()).get().unwrap(), 1);
}

/// Takes the lock while it is dropped by a panic that began before.
struct Locks<'a>(&'a Mutex<u64>);

impl Drop for Locks<'_> {
    fn drop(&mut self) {
        drop(sound(self.0.lock()));
    }
}

#[test]
fn a_panic_under_the_lock_poisons_until_it_is_repaired() {
    let (_dir, path) = place();
    let region = create(&path);
    let lock = region.mutex("lock", 1_u64).unwrap();
    let panics = |with: &(dyn Fn() + Sync)| {
        std::thread::scope(|threads| threads.spawn(with).join().expect_err("on purpose"))
    };
    panics(&|| {
        let mut guard = sound(lock.lock());
        guard.set(&2).unwrap();
        panic!("this thread panics on purpose");
    });
    refused(lock.lock().unwrap().sound(), ErrorKind::Poisoned);
    let Lock::Unsound(left) = lock.lock().unwrap() else { panic!("it is still poisoned") };
    assert_eq!((left.why(), left.get().unwrap()), (Why::Poisoned, 2));
    drop(left.repaired().unwrap());
    drop(sound(lock.lock()));
    panics(&|| {
        let _locks = Locks(&lock);
        panic!("this thread panics on purpose");
    });
    drop(sound(lock.lock()));
}

#[test]
fn the_next_owner_is_told_that_the_last_one_died() {
    if child::role().is_some() {
        let region = of_the_parent();
        let lock = region.mutex("pair", [0_u64; 2]).unwrap();
        let mut guard = sound(lock.lock());
        guard.set(&[1, 0]).unwrap();
        child::point("half-way");
        guard.set(&[1, 1]).unwrap();
        return;
    }
    let (_dir, path) = place();
    let region = create(&path);
    let lock = region.mutex("pair", [0_u64; 2]).unwrap();
    for repaired in [true, false] {
        let mut other = child_of(this_test!(), "owner", &path);
        other.run_to("half-way", 1).unwrap();
        refused(lock.try_lock(), ErrorKind::Busy);
        other.kill().unwrap();
        let Lock::Unsound(mut left) = lock.lock().unwrap() else { panic!("the owner died") };
        assert_eq!((left.why(), left.get().unwrap()), (Why::OwnerDied, [1, 0]));
        if repaired {
            left.set(&[0, 0]).unwrap();
            drop(left.repaired().unwrap());
            assert_eq!(sound(lock.lock()).get().unwrap(), [0, 0]);
        } else {
            drop(left);
            refused(lock.lock().unwrap().sound(), ErrorKind::Poisoned);
            drop(lock.lock().unwrap().or_repair(|guard| guard.set(&[0, 0])).unwrap());
        }
    }
    assert_eq!(region.deaths().unwrap(), 2);
}

/// The death is found out by those who wait, and told to one of them.
#[test]
fn waiters_go_on_when_the_owner_is_killed() {
    if child::role().is_some() {
        let region = of_the_parent();
        let lock = region.mutex("lock", 0_u64).unwrap();
        let _guard = sound(lock.lock());
        return child::point("holding");
    }
    let (_dir, path) = place();
    let region = create(&path);
    let lock = region.mutex("lock", 0_u64).unwrap();
    let mut other = child_of(this_test!(), "owner", &path);
    other.run_to("holding", 1).unwrap();
    let wait = || match lock.lock_within(Duration::from_secs(60)).unwrap() {
        Lock::Sound(mut guard) => guard.update(|value| *value += 1).map(|()| 0),
        Lock::Unsound(left) => left.repaired()?.update(|value| *value += 1).map(|()| 1),
    };
    let bereft: u32 = std::thread::scope(|threads| {
        let waiters: Vec<_> = (0..4).map(|_| threads.spawn(wait)).collect();
        std::thread::sleep(Duration::from_millis(20));
        other.kill().unwrap();
        waiters.into_iter().map(|waiter| waiter.join().unwrap().unwrap()).sum()
    });
    assert_eq!(bereft, 1, "the death is told once");
    assert_eq!(sound(lock.lock()).get().unwrap(), 4);
}

#[cfg(target_os = "linux")]
#[test]
fn a_stopped_owner_keeps_the_lock() {
    if child::role().is_some() {
        let region = of_the_parent();
        let lock = region.mutex("lock", 0_u64).unwrap();
        let _guard = sound(lock.lock());
        return child::point("holding");
    }
    let (_dir, path) = place();
    let region = create(&path);
    let lock = region.mutex("lock", 0_u64).unwrap();
    let mut other = child_of(this_test!(), "owner", &path);
    other.run_to("holding", 1).unwrap();
    signal(&other, "-STOP");
    refused(lock.lock_within(Duration::from_millis(100)), ErrorKind::TimedOut);
    other.kill().unwrap();
    assert!(matches!(lock.lock().unwrap(), Lock::Unsound(_)));
}

/// An owner that was killed and whom its parent has not collected: `kill(pid, 0)` says that it lives.
#[cfg(target_os = "linux")]
#[test]
fn a_zombie_has_lost_its_lock() {
    if child::role().is_some() {
        let region = of_the_parent();
        let lock = region.mutex("lock", 0_u64).unwrap();
        let _guard = sound(lock.lock());
        return child::point("holding");
    }
    let (_dir, path) = place();
    let region = create(&path);
    let lock = region.mutex("lock", 0_u64).unwrap();
    let mut other = child_of(this_test!(), "owner", &path);
    other.run_to("holding", 1).unwrap();
    let kill = |signal: &str| {
        let words = [signal.to_owned(), other.id().to_string()];
        std::process::Command::new("kill").args(words).status().unwrap().success()
    };
    assert!(kill("-KILL"));
    assert!(matches!(lock.lock_within(Duration::from_secs(20)).unwrap(), Lock::Unsound(_)));
    assert!(kill("-0"), "nobody has collected it");
    other.kill().unwrap();
}

/// What an owner that died left is made even.
fn even(mut left: Unsound<'_, [u64; 2]>) -> MutexGuard<'_, [u64; 2]> {
    let [one, two] = left.get().unwrap();
    left.set(&[one.max(two); 2]).unwrap();
    left.repaired().unwrap()
}

/// Two counters that every owner moves together: they differ only where an owner died between, and
/// then the next one is told. Processes are killed at random moments.
#[test]
fn no_update_is_lost_and_every_death_is_told_however_many_owners_are_killed() {
    if child::role().is_some() {
        let region = of_the_parent();
        let lock = region.mutex("counters", [0_u64; 2]).unwrap();
        loop {
            let mut guard = match lock.lock().unwrap() {
                Lock::Sound(guard) => {
                    let both = guard.get().unwrap();
                    assert_eq!(both[0], both[1], "half an update, and nobody was told");
                    guard
                }
                Lock::Unsound(left) => even(left),
            };
            let both = guard.get().unwrap();
            guard.set(&[both[0] + 1, both[1]]).unwrap();
            guard.set(&[both[0] + 1, both[1] + 1]).unwrap();
        }
    }
    let (_dir, path) = place();
    let region = create(&path);
    let lock = region.mutex("counters", [0_u64; 2]).unwrap();
    let mut random = Random::new();
    let spawn = || child_of(this_test!(), "counter", &path);
    let mut others = [Some(spawn()), Some(spawn())];
    let rounds = budget(if cfg!(windows) { 10 } else { 60 });
    let mut last = 0;
    for _ in 0..rounds {
        std::thread::sleep(Duration::from_micros(random.u64(0..3000)));
        let victim = random.usize(0..2);
        others[victim].take().unwrap().kill().unwrap();
        let mut guard = match lock.lock_within(Duration::from_secs(60)).unwrap() {
            Lock::Sound(guard) => guard,
            Lock::Unsound(left) => even(left),
        };
        let both = guard.get().unwrap();
        assert_eq!(both[0], both[1]);
        assert!(both[0] >= last, "an update is lost");
        last = both[0] + 1;
        guard.set(&[last, last]).unwrap();
        drop(guard);
        others[victim] = Some(spawn());
    }
    for other in others.into_iter().flatten() {
        other.kill().unwrap();
    }
    let members = region.members().unwrap();
    assert_eq!(members.iter().filter(|member| member.life == Life::Alive).count(), 1);
    println!("{last} updates, {rounds} kills");
}

#[test]
fn a_named_mutex_is_a_name_alone_and_the_death_of_its_owner_is_told() {
    use bifolio_map::names::{Name, Scope};
    use bifolio_share::NamedMutex;
    let open = |dir: &std::path::Path| {
        let name = Name::new("alone").unwrap();
        NamedMutex::open_in(&name, Scope::Directory(dir.into())).unwrap()
    };
    if child::role().is_some() {
        let mutex = open(std::path::Path::new(&std::env::var_os(crate::support::PATH).unwrap()));
        let _guard = mutex.lock().unwrap();
        child::point("locked");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut owner = child_of(this_test!(), "owner", dir.path());
    owner.run_to("locked", 1).unwrap();
    let mutex = open(dir.path());
    refused(mutex.try_lock(), ErrorKind::Busy);
    refused(mutex.lock_within(Duration::from_millis(20)), ErrorKind::TimedOut);
    owner.kill().unwrap();
    let guard = mutex.lock().unwrap();
    assert_eq!(guard.after(), Some(Why::OwnerDied));
    drop(guard);
    assert_eq!(mutex.try_lock().unwrap().after(), None);
    let name = Name::new("alone").unwrap();
    let scope = Scope::Directory(dir.path().into());
    drop(mutex);
    if cfg!(windows) {
        bifolio_map::names::unlink(&name, &scope).unwrap();
    }
    // A child that another test has just forked shares it for a moment.
    soon("nothing is left", || bifolio_map::names::list(&scope).unwrap().is_empty());
}
