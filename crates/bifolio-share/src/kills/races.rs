//! What two threads do at a time, for steps that no kill shows to be missing.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bifolio_map::Create;
use bifolio_testkit::bugs::Verdict;

use super::scene::create;
use crate::{ErrorKind, Region};

/// Reads numbers that another thread writes together, so many times; whether they ever differed.
pub(super) fn torn(reads: u64) -> Verdict {
    let dir = tempfile::tempdir().expect("a directory");
    let region = create(dir.path()).expect("a region");
    let numbers = region.seqlock("numbers", [0_u64; 64]).expect("a seqlock");
    torn_between(reads, || numbers.read(), |value| numbers.write(value))
}

/// Reads a snapshot in whose buffer another value is half written meanwhile; whether that was read.
pub(super) fn torn_snapshot() -> Verdict {
    let dir = tempfile::tempdir().expect("a directory");
    let region = create(dir.path()).expect("a region");
    let numbers = region.snapshot("numbers", 1, [0_u64; 64]).expect("a snapshot");
    let other = numbers.clone();
    set_between(move || {
        // Round the other two buffers, and half into the one that is read.
        other.write(&[1; 64]).expect("a write");
        other.write(&[2; 64]).expect("a write");
        other.write_half(&[3; 64]).expect("half a write");
    });
    verdict_on(&numbers.read().expect("a read"))
}

/// Receives from a broadcast of one slot into which another message is half written meanwhile; whether
/// that was received.
pub(super) fn torn_message() -> Verdict {
    let dir = tempfile::tempdir().expect("a directory");
    let region = create(dir.path()).expect("a region");
    let news = region.broadcast("news", 1, 512).expect("a broadcast");
    let mut receiver = news.receiver().expect("a receiver");
    news.send_value(&[1_u64; 64]).expect("a message");
    set_between(move || {
        let mut loan = news.loan(512).expect("the slot");
        loan.write_at(0, &[2; 256]).expect("half a message");
        std::mem::forget(loan);
    });
    match receiver.try_receive() {
        Ok(Some(message)) => verdict_on(&message.value::<[u64; 64]>().expect("a message")),
        Ok(None) => Verdict::Missed { after: 1 },
        Err(error) if matches!(error.kind(), ErrorKind::Lost(_)) => Verdict::Missed { after: 1 },
        Err(error) => panic!("{error}"),
    }
}

/// Asks for room in a broadcast whose slots are all on loan; whether it is told so.
pub(super) fn all_on_loan() -> Verdict {
    let dir = tempfile::tempdir().expect("a directory");
    let region = create(dir.path()).expect("a region");
    let news = region.broadcast("news", 2, 8).expect("a broadcast");
    let loans = [news.loan(8).expect("a slot"), news.loan(8).expect("a slot")];
    let refused = news.try_send(&[1]).expect_err("there is no room");
    drop(loans);
    match refused.kind() {
        ErrorKind::Full => Verdict::Missed { after: 1 },
        _ => Verdict::Caught { by: refused.to_string(), after: 1 },
    }
}

/// Takes a block of a slab that gets another kind meanwhile; whether both were had at a time.
pub(super) fn taken_from_another_kind() -> Verdict {
    let dir = tempfile::tempdir().expect("a directory");
    let region = Region::options()
        .capacity(1 << 20)
        .create(Create::New)
        .open(dir.path().join("region"))
        .expect("a region");
    let arena = region.arena("arena", 1 << 16).expect("an arena");
    // The only slab is for such values, and none is there.
    drop(arena.alloc(&[0_u64; 4]).expect("a value"));
    let other = arena.clone();
    let run = Rc::new(Cell::new(None));
    let kept = Rc::clone(&run);
    set_between(move || {
        other.sweep().expect("a sweep");
        let draft = other.alloc_bytes(1 << 16).expect("the slab");
        kept.set(Some(draft.publish_bytes().expect("a run")));
    });
    match (arena.alloc(&[1_u64; 4]), run.get()) {
        (Ok(_), Some(_)) => Verdict::Caught { by: "one slab for two".into(), after: 1 },
        (Err(error), Some(_)) if error.kind() == ErrorKind::Full => Verdict::Missed { after: 1 },
        other => panic!("{other:?}"),
    }
}

fn verdict_on(found: &[u64; 64]) -> Verdict {
    if found.iter().all(|number| *number == found[0]) {
        Verdict::Missed { after: 1 }
    } else {
        Verdict::Caught { by: "two numbers".into(), after: 1 }
    }
}

type Deed = Box<dyn FnOnce()>;

thread_local! {
    static BETWEEN: RefCell<Option<Deed>> = const { RefCell::new(None) };
}

/// Has something done at the next `between!` of this thread.
fn set_between(deed: impl FnOnce() + 'static) {
    BETWEEN.with(|between| *between.borrow_mut() = Some(Box::new(deed)));
}

/// The moment.
pub(crate) fn between() {
    // Not while it is borrowed: the deed may come by here as well.
    if let Some(deed) = BETWEEN.with(RefCell::take) {
        deed();
    }
}

fn torn_between(
    reads: u64,
    read_all: impl Fn() -> crate::Result<[u64; 64]>,
    write_all: impl Fn(&[u64; 64]) -> crate::Result<()> + Sync,
) -> Verdict {
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut number = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                number += 1;
                write_all(&[number; 64]).expect("a write");
            }
        });
        // Only reads of another number than before count: the other thread may have to wait.
        let deadline = Instant::now() + Duration::from_secs(60);
        let (mut last, mut read, mut torn) = (0, 0, false);
        while read < reads && !torn && Instant::now() < deadline {
            let found = read_all().expect("a read");
            torn = found.iter().any(|number| *number != found[0]);
            read += u64::from(found[0] != last);
            last = found[0];
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(last > 0, "the other thread writes nothing");
        if torn {
            Verdict::Caught { by: "two numbers".into(), after: read }
        } else {
            Verdict::Missed { after: read }
        }
    })
}

/// Pins a value and writes others; whether it changed.
pub(super) fn written_under_a_pin() -> Verdict {
    let dir = tempfile::tempdir().expect("a directory");
    let region = create(dir.path()).expect("a region");
    let value = region.snapshot("value", 2, 0_u64).expect("a snapshot");
    let pinned = value.pin().expect("a place");
    for number in 1..=20 {
        value.write(&number).expect("a write");
        if pinned.get().expect("a read") != 0 {
            return Verdict::Caught { by: "another value under the pin".into(), after: number };
        }
    }
    Verdict::Missed { after: 20 }
}

/// Writes while a reader holds the lock; whether that was noticed.
pub(super) fn written_under_a_reader() -> Verdict {
    let dir = tempfile::tempdir().expect("a directory");
    let region = create(dir.path()).expect("a region");
    let lock = region.rwlock("both", [0_u64; 2]).expect("a lock");
    let _reader = lock.read().expect("it reads");
    let twice = (0..2).filter(|_| lock.try_write().is_ok()).count();
    match twice {
        0 => Verdict::Missed { after: 1 },
        _ => Verdict::Caught { by: "a reader and a writer at a time".into(), after: 1 },
    }
}
