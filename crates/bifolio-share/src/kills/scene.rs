//! What the processes do that are killed.

use std::path::{Path, PathBuf};

use bifolio_map::{Create, Section};
use bifolio_testkit::step::region;

use super::{DIRECTORY, TWIN, Twin};
use crate::{Draft, Lock, Mutex, MutexGuard, Objects, Region, RegionOptions};

/// What the child does until it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scene {
    /// It makes the region, and joins it.
    Create,
    /// It makes a region of a file of zeros, and no more.
    Make,
    /// It joins, and leaves.
    JoinAndLeave,
    /// It locks, changes two numbers, and unlocks.
    Update,
    /// It locks what one that died has left, and gives it back unrepaired.
    Inherit,
    /// It panics with the lock and half an update, and unwinds.
    Panic,
    /// It appends.
    Append,
    /// It makes a mutex.
    Name,
    /// It locks for reading, and unlocks.
    Read,
    /// It locks for writing, changes two numbers, and unlocks.
    Write,
    /// It takes a permit, and gives it back.
    Acquire,
    /// It comes to a barrier as the last one.
    Meet,
    /// It does what is to be done once.
    DoOnce,
    /// It writes two numbers that others read without a lock.
    Publish,
    /// It writes two numbers into a snapshot.
    Replace,
    /// It pins a value, and lets it go.
    Pin,
    /// It sends a message.
    Send,
    /// It receives one of two messages.
    Receive,
    /// It is lent room for a message, and gives it back.
    Lend,
    /// It allocates a value and publishes it.
    Alloc,
    /// It allocates a run of slabs and publishes it.
    AllocRun,
    /// It frees a value.
    Free,
    /// It frees a run of slabs.
    FreeRun,
    /// It inserts an entry into a hash map.
    Insert,
    /// It inserts one in the place of another one.
    Exchange,
    /// It removes an entry.
    Remove,
    /// It adds an element to a vector that has no room for it.
    Push,
    /// It changes an element.
    Change,
    /// It gives room of a vector back.
    Shrink,
    /// It puts an object.
    Put,
    /// It writes an object that others may write as well, and freezes it.
    Freeze,
}

impl Scene {
    pub(super) const ALL: [Self; 31] = [
        Self::Create,
        Self::Make,
        Self::JoinAndLeave,
        Self::Update,
        Self::Inherit,
        Self::Panic,
        Self::Append,
        Self::Name,
        Self::Read,
        Self::Write,
        Self::Acquire,
        Self::Meet,
        Self::DoOnce,
        Self::Publish,
        Self::Replace,
        Self::Pin,
        Self::Send,
        Self::Receive,
        Self::Lend,
        Self::Alloc,
        Self::AllocRun,
        Self::Free,
        Self::FreeRun,
        Self::Insert,
        Self::Exchange,
        Self::Remove,
        Self::Push,
        Self::Change,
        Self::Shrink,
        Self::Put,
        Self::Freeze,
    ];

    pub(super) fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scene| format!("{scene:?}") == text)
    }
}

pub(super) fn objects_in(dir: &Path) -> PathBuf {
    dir.join("objects")
}

pub(super) fn path_in(dir: &Path) -> PathBuf {
    dir.join("region")
}

/// How many may take part: few, so that each place is given out again soon.
pub(super) const PLACES: u32 = 4;

/// Bytes of the arena: eight slabs.
pub(super) const ARENA: u64 = 8 << 16;
/// Bytes of which it makes a run of three slabs.
const RUN: u64 = 3 << 16;

/// How many messages the queue holds.
pub(super) const MESSAGES: u32 = 4;

/// How many may pin at a time.
pub(super) const READERS: u32 = 2;

pub(super) fn options() -> RegionOptions {
    Region::options().capacity(1 << 20).participants(PLACES).names(4).create(Create::New)
}

pub(super) fn create(dir: &Path) -> crate::Result<Region> {
    options().open(path_in(dir))
}

/// A value that was made whole is neither of these in part.
pub(super) const VALUE: [u64; 2] = [0x1111_1111_1111_1111; 2];
pub(super) const RECORD: [u8; 32] = [0x77; 32];

/// The child's part.
pub(super) fn play(scene: Scene) {
    let dir = PathBuf::from(std::env::var_os(DIRECTORY).expect("the parent's directory"));
    let twin = std::env::var(TWIN).unwrap_or_default();
    let twin = Twin::ALL.iter().find(|other| format!("{other:?}") == twin);
    let join = || Region::open(path_in(&dir)).expect("it can be joined");
    let work = || match scene {
        Scene::Create => drop(region(|| create(&dir))),
        Scene::Make => {
            let section = Section::open_rw(path_in(&dir)).expect("the file of zeros");
            region(|| drop(options().make(&section)));
        }
        Scene::JoinAndLeave => region(|| drop(Region::open(path_in(&dir)))),
        Scene::Update => {
            let region_ = join();
            let lock = region_.mutex("pair", [0_u64; 2]).expect("a mutex");
            region(|| {
                let mut guard = lock.lock().and_then(Lock::sound).expect("a sound value");
                guard.set(&[1, 0]).expect("set");
                seam!();
                guard.set(&[1, 1]).expect("set");
            });
        }
        Scene::Inherit => {
            let lock = join().mutex("pair", [0_u64; 2]).expect("a mutex");
            region(|| drop(lock.lock()));
        }
        Scene::Panic => {
            let lock = join().mutex("pair", [0_u64; 2]).expect("a mutex");
            std::panic::set_hook(Box::new(|_| {}));
            let _ = std::panic::catch_unwind(|| {
                let mut guard = lock.lock().and_then(Lock::sound).expect("a sound value");
                guard.set(&[1, 0]).expect("set");
                let _unwound = Unwound(Some(guard));
                panic!("in the middle");
            });
        }
        Scene::Append => {
            let region_ = join();
            region(|| drop(region_.append(&RECORD)));
        }
        Scene::Name => {
            let region_ = join();
            region(|| drop(region_.mutex("made", VALUE)));
        }
        Scene::Read => {
            let lock = join().rwlock("both", [0_u64; 2]).expect("a lock");
            region(|| {
                let guard = lock.read();
                seam!();
                drop(guard);
            });
        }
        Scene::Write => {
            let lock = join().rwlock("both", [0_u64; 2]).expect("a lock");
            region(|| {
                let mut guard = lock.write().and_then(Lock::sound).expect("a sound value");
                guard.set(&[1, 0]).expect("set");
                guard.set(&[1, 1]).expect("set");
            });
        }
        Scene::Acquire => {
            let one = join().semaphore("one", 1).expect("a semaphore");
            region(|| drop(one.acquire()));
        }
        Scene::Meet => {
            let two = join().barrier("two", 2).expect("a barrier");
            region(|| drop(two.wait()));
        }
        Scene::DoOnce => {
            let region_ = join();
            let once = region_.once("once").expect("a once");
            let pair = region_.mutex("pair", [0_u64; 2]).expect("a mutex");
            region(|| drop(once.call(|_| do_it(&pair))));
        }
        Scene::Publish => {
            let pair = join().seqlock("numbers", [0_u64; 2]).expect("a seqlock");
            region(|| drop(pair.write(&[1, 1])));
        }
        Scene::Replace => {
            let pair = join().snapshot("pair", READERS, [0_u64; 2]).expect("a snapshot");
            region(|| drop(pair.write(&[1, 1])));
        }
        Scene::Alloc => {
            let arena = join().arena("arena", ARENA).expect("an arena");
            region(|| {
                let draft = arena.alloc(&VALUE);
                seam!();
                drop(draft.and_then(Draft::publish));
            });
        }
        Scene::AllocRun => {
            let arena = join().arena("arena", ARENA).expect("an arena");
            region(|| drop(arena.alloc_bytes(RUN).and_then(Draft::publish_bytes)));
        }
        Scene::Free => {
            let arena = join().arena("arena", ARENA).expect("an arena");
            let off = arena.alloc(&VALUE).and_then(Draft::publish).expect("a value");
            region(|| drop(arena.free(off)));
        }
        Scene::FreeRun => {
            let arena = join().arena("arena", ARENA).expect("an arena");
            let extent = arena.alloc_bytes(RUN).and_then(Draft::publish_bytes).expect("a run");
            region(|| drop(arena.free_bytes(extent)));
        }
        Scene::Insert | Scene::Exchange | Scene::Remove => {
            let region_ = join();
            let arena = region_.arena("arena", ARENA).expect("an arena");
            let map = region_.hash_map::<u64, u64>("map", &arena, 2).expect("a map");
            region(|| match scene {
                Scene::Insert => drop(map.insert(&3, &30)),
                Scene::Exchange => drop(map.insert(&1, &11)),
                _ => drop(map.remove(&1)),
            });
        }
        Scene::Push | Scene::Change | Scene::Shrink => {
            let region_ = join();
            let arena = region_.arena("arena", ARENA).expect("an arena");
            let pairs = region_.vector::<[u64; 2]>("pairs", &arena).expect("a vector");
            region(|| match scene {
                Scene::Push => drop(pairs.push(&[9, 9])),
                Scene::Change => drop(pairs.set(1, &[9, 9])),
                _ => drop(pairs.shrink_to_fit()),
            });
        }
        Scene::Put => {
            let objects = Objects::open(objects_in(&dir)).expect("objects");
            region(|| drop(objects.put("object", &RECORD)));
        }
        Scene::Freeze => {
            let objects = Objects::open(objects_in(&dir)).expect("objects");
            let object = objects.writable("object", RECORD.len() as u64).expect("an object");
            region(|| {
                let mut guard = object.lock().expect("the lock");
                guard.write_at(0, &RECORD).expect("bytes");
                drop(guard.freeze());
            });
        }
        Scene::Send => {
            let queue = join().queue("queue", MESSAGES, 40).expect("a queue");
            region(|| drop(queue.send(&RECORD)));
        }
        Scene::Receive => {
            let queue = join().queue("queue", MESSAGES, 40).expect("a queue");
            region(|| {
                let mut receiver = queue.receiver().expect("the receiver");
                let message = receiver.receive().expect("a message");
                seam!();
                drop(message);
            });
        }
        Scene::Lend => {
            let queue = join().queue("queue", MESSAGES, 40).expect("a queue");
            region(|| {
                let loan = queue.loan(8);
                seam!();
                drop(loan);
            });
        }
        Scene::Pin => {
            let pair = join().snapshot("pair", READERS, [0_u64; 2]).expect("a snapshot");
            region(|| {
                let pinned = pair.pin();
                seam!();
                drop(pinned);
            });
        }
    };
    match twin {
        Some(twin) => twin.while_on(work),
        None => work(),
    }
}

/// What is done once.
pub(super) fn do_it(pair: &Mutex<[u64; 2]>) -> crate::Result<()> {
    seam!();
    pair.lock()?.or_repair(|_| Ok(()))?.set(&[1, 1])
}

/// The guard of one that panics; its drop is what is stepped through.
struct Unwound<'lock>(Option<MutexGuard<'lock, [u64; 2]>>);

impl Drop for Unwound<'_> {
    fn drop(&mut self) {
        region(|| drop(self.0.take()));
    }
}
