//! A storm: processes use everything that a region has, and are killed at random moments.
//!
//! What a kill *is* here: one process that was somewhere in one of nineteen kinds of work got SIGKILL, and a new
//! one took its place. `BIFOLIO_BUDGET=1000` makes 100,000 of them.

use std::time::Duration;

use bifolio_share::{Draft, ErrorKind, Lock, MutexGuard, Region, Result};
use bifolio_testkit::{Random, budget, child, this_test};

use crate::support::{child_of, create, of_the_parent, place, soon};

const LONG: Duration = Duration::from_secs(60);
const PERMITS: u32 = 2;
const WORKERS: usize = 4;

/// Everything that is shared.
struct Everything {
    region: Region,
    pair: bifolio_share::Mutex<[u64; 2]>,
    both: bifolio_share::RwLock<[u64; 2]>,
    numbers: bifolio_share::Seqlock<[u64; 16]>,
    latest: bifolio_share::Snapshot<[u64; 16]>,
    arena: bifolio_share::Arena,
    map: bifolio_share::HashMap<u64, [u64; 3]>,
    list: bifolio_share::Vector<[u64; 3]>,
    queue: bifolio_share::Channel,
    news: bifolio_share::Channel,
    pool: bifolio_share::Semaphore,
    event: bifolio_share::Event,
    once: bifolio_share::Once,
    changed: bifolio_share::Condvar,
    meeting: bifolio_share::Barrier,
}

impl Everything {
    fn of(region: Region) -> Result<Self> {
        Ok(Self {
            pair: region.mutex("pair", [0; 2])?,
            both: region.rwlock("both", [0; 2])?,
            numbers: region.seqlock("numbers", [0; 16])?,
            latest: region.snapshot("latest", 2, [0; 16])?,
            map: region.hash_map("map", &region.arena("entries", 1 << 20)?, 16)?,
            list: region.vector("list", &region.arena("elements", 1 << 20)?)?,
            arena: region.arena("arena", 1 << 20)?,
            queue: region.queue("queue", 4, 64)?,
            news: region.broadcast("news", 4, 64)?,
            pool: region.semaphore("pool", PERMITS)?,
            event: region.event("event")?,
            once: region.once("once")?,
            changed: region.condvar("changed")?,
            meeting: region.barrier("meeting", 2)?,
            region,
        })
    }

    /// One piece of work of some kind; panics if anything is there that must not be.
    fn work(&self, random: &mut Random) -> Result<()> {
        match random.usize(0..20) {
            0 => {
                let mut guard = whole(self.pair.lock()?)?;
                let [one, two] = guard.get()?;
                guard.set(&[one + 1, two])?;
                guard.set(&[one + 1, two + 1])?;
            }
            1 => {
                let mut guard = whole(self.both.write_within(LONG)?)?;
                let [one, two] = guard.get()?;
                guard.set(&[one + 1, two])?;
                guard.set(&[one + 1, two + 1])?;
            }
            2 | 3 => {
                let guard = self.both.read_within(LONG)?;
                if guard.unsound().is_none() {
                    let [one, two] = guard.get()?;
                    assert_eq!(one, two, "half an update, and nobody was told");
                }
            }
            4 => self.numbers.write_within(&[random.u64(..); 16], LONG)?,
            5 => {
                if let Ok(found) = self.numbers.read_within(LONG) {
                    assert!(found.iter().all(|one| *one == found[0]), "half a write: {found:?}");
                }
            }
            6 => drop(self.pool.acquire_within(LONG)?),
            7 => {
                let offset = match self.region.append(&[7; 24]) {
                    // After millions of them.
                    Err(error) if error.kind() == ErrorKind::Full => return Ok(()),
                    offset => offset?,
                };
                let mut found = [0; 24];
                self.region.read_at(offset, &mut found)?;
                assert_eq!(found, [7; 24]);
            }
            8 => {
                self.event.set()?;
                self.changed.notify_all()?;
                self.event.reset()?;
                self.once.call(|_| self.region.append(b"once").map(drop))?;
            }
            9 => self.latest.write_within(&[random.u64(..); 16], LONG)?,
            10 => {
                // The other three may have both places.
                if let Ok(pinned) = self.latest.pin() {
                    let (one, two) = (pinned.get()?, pinned.get()?);
                    assert!(one == two && one.iter().all(|number| *number == one[0]), "{one:?}");
                }
                let found = self.latest.read()?;
                assert!(found.iter().all(|one| *one == found[0]), "half a write: {found:?}");
            }
            11 => {
                let message = vec![random.u8(..); random.usize(0..=64)];
                match self.queue.send_within(&message, Duration::from_millis(1)) {
                    Err(error) if error.kind() == ErrorKind::TimedOut => {}
                    sent => sent?,
                }
                self.news.send_within(&message, LONG)?;
            }
            12 => {
                // Another one may be at it.
                if let Ok(mut receiver) = self.queue.receiver() {
                    while let Some(message) = receiver.try_receive()? {
                        all_the_same(&message.to_vec()?);
                    }
                }
            }
            13 => {
                let mut receiver = self.news.receiver()?;
                for _ in 0..3 {
                    match receiver.receive_within(Duration::from_millis(1)) {
                        Ok(message) => all_the_same(&message.to_vec()?),
                        Err(error) if error.kind() == ErrorKind::TimedOut => {}
                        Err(error) if matches!(error.kind(), ErrorKind::Lost(_)) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            16 => {
                let key = random.u64(0..40);
                self.map.insert(&key, &[key; 3])?;
                if let Some(found) = self.map.get(&random.u64(0..40))? {
                    assert!(found.iter().all(|one| *one == found[0]), "{found:?}");
                }
            }
            18 => {
                let number = random.u64(..);
                match random.usize(0..4) {
                    0 | 1 => self.list.push(&[number; 3])?,
                    2 => drop(self.list.pop()?),
                    _ => match self.list.set(random.u64(0..40), &[number; 3]) {
                        Err(error) if error.kind() == ErrorKind::OutOfBounds => {}
                        set => set?,
                    },
                }
                // Otherwise it grows for hours.
                if self.list.len()? > 100 {
                    self.list.truncate(10)?;
                }
                for found in self.list.to_vec()? {
                    assert!(found.iter().all(|one| *one == found[0]), "{found:?}");
                }
            }
            17 => drop(self.map.remove(&random.u64(0..40))?),
            14 | 15 => {
                let draft = self.arena.alloc(&[random.u64(..); 5]);
                let run = self.arena.alloc_bytes(random.u64(0..200_000));
                for outcome in [draft.map(drop), run.map(drop)] {
                    match outcome {
                        Err(error) if error.kind() == ErrorKind::Full => {}
                        outcome => outcome?,
                    }
                }
                let made = match self.arena.alloc(&[7_u64; 5]).and_then(Draft::publish) {
                    Err(error) if error.kind() == ErrorKind::Full => return Ok(()),
                    made => made?,
                };
                assert_eq!(self.arena.get(made)?, [7; 5]);
                // Whoever is killed before this leaves a published block.
                self.arena.free(made)?;
            }
            _ => drop(self.meeting.wait_within(Duration::from_millis(1))),
        }
        Ok(())
    }
}

fn all_the_same(message: &[u8]) {
    assert!(message.iter().all(|byte| *byte == message[0]), "two messages in one: {message:?}");
}

/// The guard of two numbers that are the same.
fn whole(lock: Lock<'_, [u64; 2]>) -> Result<MutexGuard<'_, [u64; 2]>> {
    match lock {
        Lock::Sound(guard) => {
            let [one, two] = guard.get()?;
            assert_eq!(one, two, "half an update, and nobody was told");
            Ok(guard)
        }
        Lock::Unsound(mut left) => {
            let [one, two] = left.get()?;
            assert!(one == two || one == two + 1, "an update is lost: {one}, {two}");
            left.set(&[one.max(two); 2])?;
            left.repaired()
        }
    }
}

#[test]
fn whoever_is_killed_in_a_storm_the_others_lose_nothing_and_every_death_is_counted_once() {
    if child::role().is_some() {
        let everything = Everything::of(of_the_parent()).expect("everything");
        let mut random = Random::from_seed(u64::from(std::process::id()));
        loop {
            everything.work(&mut random).expect("it works");
        }
    }
    let (_dir, path) = place();
    let everything = Everything::of(create(&path)).expect("everything");
    let region = &everything.region;
    let mut random = Random::new();
    let spawn = || child_of(this_test!(), "worker", &path);
    let mut workers: Vec<_> = (0..WORKERS).map(|_| spawn()).collect();
    // One that is killed before it joins is nobody's death.
    let joined = |count: usize| {
        let alive = |member: &bifolio_share::Member| member.life == bifolio_share::Life::Alive;
        soon("they join", || {
            region.members().unwrap().iter().filter(|member| alive(member)).count() == count + 1
        });
    };
    joined(WORKERS);
    let kills = budget(if cfg!(windows) { 10 } else { 100 });
    let (mut pairs, mut boths) = (0, 0);
    for _ in 0..kills {
        std::thread::sleep(Duration::from_micros(random.u64(0..2000)));
        let victim = workers.swap_remove(random.usize(0..WORKERS));
        victim.kill().expect("it is killed");
        for _ in 0..3 {
            everything.work(&mut random).expect("it works");
        }
        let pair = whole(everything.pair.lock_within(LONG).unwrap()).unwrap().get().unwrap()[0];
        let both = whole(everything.both.write_within(LONG).unwrap()).unwrap().get().unwrap()[0];
        assert!(pair >= pairs && both >= boths, "an update is lost");
        (pairs, boths) = (pair, both);
        workers.push(spawn());
        joined(WORKERS);
    }
    for worker in workers {
        worker.kill().expect("it is killed");
    }
    assert_eq!(everything.region.notice_deaths().unwrap(), kills + WORKERS as u64);
    assert_eq!(everything.region.notice_deaths().unwrap(), kills + WORKERS as u64, "once");
    assert_eq!(everything.pool.available().unwrap(), PERMITS, "a permit is lost");
    drop(whole(everything.both.try_write().unwrap()).unwrap());
    everything.arena.sweep().unwrap();
    let stats = everything.arena.stats().unwrap();
    assert_eq!(stats.unpublished, 0, "blocks of the dead are left: {stats:?}");
    assert!(stats.published <= kills + WORKERS as u64, "{stats:?}");
    let elements = everything.list.to_vec().unwrap();
    assert!(elements.iter().all(|one| *one == [one[0]; 3]), "{elements:?}");
    let arena = everything.region.arena("elements", 1 << 20).unwrap();
    arena.sweep().unwrap();
    let stats = arena.stats().unwrap();
    assert!(stats.published <= 1 && stats.unpublished == 0, "blocks of the dead: {stats:?}");
    let entries = everything.map.entries().unwrap();
    assert!(entries.iter().all(|(key, value)| *value == [*key; 3]), "{entries:?}");
    assert_eq!(everything.map.len().unwrap(), entries.len() as u64);
    let arena = everything.region.arena("entries", 1 << 20).unwrap();
    arena.sweep().unwrap();
    assert_eq!(arena.stats().unwrap().published, entries.len() as u64, "entries are lost");
    let mut receiver = everything.queue.receiver_within(LONG).unwrap();
    while receiver.try_receive().unwrap().is_some() {}
    for number in 0..8_u64 {
        everything.queue.send_within(&number.to_ne_bytes(), LONG).unwrap();
        let message = receiver.receive_within(LONG).unwrap();
        assert_eq!(message.value::<u64>().unwrap(), number, "a message is lost");
    }
    let pins: Vec<_> = (0..2).map(|_| everything.latest.pin()).collect();
    assert!(pins.iter().all(|pin| pin.is_ok()), "a reader's place is lost: {pins:?}");
    println!("{kills} kills, {pairs} updates of one pair, {boths} of the other");
}
