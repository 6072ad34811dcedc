//! Locks that nobody else wants, and locks that two readers want.

use std::sync::atomic::{AtomicUsize, Ordering};

use bifolio_share::{Region, RwLock};

use super::contended;
use crate::Result;
use crate::door::{Pthread, PthreadKind, RawSyncNumber};
use crate::goal::{Bound, Goal};
use crate::harness::{Bench, Outcome, Work};
use crate::report::Report;
use crate::suite::Scale;

pub(super) const OURS: &str = "bifolio";
pub(super) const STD: &str = "std";
pub(super) const PARKING_LOT: &str = "parking_lot";
pub(super) const PRIVATE: &str = "pthread";
pub(super) const SHARED: &str = "pthread shared";
pub(super) const ROBUST: &str = "pthread robust";
pub(super) const RAW_SYNC: &str = "raw_sync";
const RWLOCK: &str = "pthread rwlock";

pub(super) fn run(scale: Scale, report: &mut Report) -> Result<()> {
    report.outcome(&uncontended(scale)?)?;
    report.outcome(&reads(scale, 1)?)?;
    report.outcome(&reads(scale, 2)?)?;
    report.outcome(&contended::threads(scale)?)?;
    report.outcome(&contended::processes(scale)?)?;
    report.outcome(&values(scale)?)
}

pub(super) fn goals(scale: Scale, report: &mut Report) -> Result<()> {
    let outcome = uncontended(scale)?;
    report.outcome_aside(&outcome)?;
    report.goal(Goal {
        figure: "time of lock + unlock / std::sync::Mutex".into(),
        ratio: 1.0 / outcome.speed(&[OURS], &[STD]),
        bound: Bound::AtMost(1.1),
    })?;
    report.goal(Goal {
        figure: "time of lock + unlock / pthread robust".into(),
        ratio: 1.0 / outcome.speed(&[OURS], &[ROBUST]),
        bound: Bound::AtMost(1.0),
    })?;
    let outcome = reads(scale, 2)?;
    report.outcome_aside(&outcome)?;
    report.goal(Goal {
        figure: "read locks of 2 participants / pthread rwlock".into(),
        ratio: outcome.speed(&[OURS], &[RWLOCK]),
        bound: Bound::AtLeast(5.0),
    })
}

/// A lock in one's own cache, taken and given back.
fn uncontended(scale: Scale) -> Result<Outcome> {
    let count = scale.pick(1_000_000, 4_000_000);
    let dir = tempfile::tempdir_in("/dev/shm")?;
    let region = Region::create(dir.path().join("region"))?;
    let ours = region.mutex("lock", 0_u64)?;
    let of_std = std::sync::Mutex::new(());
    let of_parking_lot = parking_lot::Mutex::new(());
    let mut bench = Bench::new("lock + unlock, nobody else", Work::Operations(count), STD)
        .expect(count)
        .with(OURS, "shared, survives its owner", || {
            for _ in 0..count {
                drop(ours.lock()?);
            }
            Ok(count)
        })
        .with(STD, "private", || {
            for _ in 0..count {
                drop(std::hint::black_box(&of_std).lock());
            }
            Ok(count)
        })
        .with(PARKING_LOT, "private", || {
            for _ in 0..count {
                drop(std::hint::black_box(&of_parking_lot).lock());
            }
            Ok(count)
        });
    let kinds = [
        (PRIVATE, "private", PthreadKind::Private),
        (SHARED, "shared", PthreadKind::Shared),
        (ROBUST, "shared, tells of a dead owner", PthreadKind::Robust),
    ];
    for (name, params, kind) in kinds {
        let mutex = Pthread::mutex(kind)?;
        bench = bench.with(name, params, move || {
            for _ in 0..count {
                mutex.lock()?;
                mutex.unlock()?;
            }
            Ok(count)
        });
    }
    let of_raw_sync = RawSyncNumber::create(&dir.path().join(RAW_SYNC))?;
    bench
        .with(RAW_SYNC, "shared", || {
            for _ in 0..count {
                drop(of_raw_sync.lock()?);
            }
            Ok(count)
        })
        .measure(scale.pick(9, 21))
}

/// So many threads, each a participant of its own, that lock for reading all the time.
fn reads(scale: Scale, readers: usize) -> Result<Outcome> {
    let count: u64 = scale.pick(500_000, 2_000_000);
    let total = count * readers as u64;
    let dir = tempfile::tempdir_in("/dev/shm")?;
    let path = dir.path().join("region");
    let mut regions = vec![Region::create(&path)?];
    while regions.len() < readers {
        regions.push(Region::open(&path)?);
    }
    let ours: Vec<RwLock<u64>> = regions
        .iter()
        .map(|region| region.rwlock("lock", 0_u64))
        .collect::<bifolio_share::Result<_>>()?;
    let of_c = Pthread::rwlock()?;
    let of_std = std::sync::RwLock::new(());
    let of_parking_lot = parking_lot::RwLock::new(());
    let name = format!("read lock + unlock, {readers} at a time");
    Bench::new(name, Work::Operations(total), RWLOCK)
        .expect(total)
        .with(OURS, "shared", || {
            together(readers, |number| {
                for _ in 0..count {
                    drop(ours[number].read()?);
                }
                Ok(count)
            })
        })
        .with(RWLOCK, "shared", || {
            together(readers, |_| {
                for _ in 0..count {
                    of_c.read()?;
                    of_c.unlock()?;
                }
                Ok(count)
            })
        })
        .with(STD, "private", || {
            together(readers, |_| {
                for _ in 0..count {
                    drop(of_std.read());
                }
                Ok(count)
            })
        })
        .with(PARKING_LOT, "private", || {
            together(readers, |_| {
                for _ in 0..count {
                    drop(of_parking_lot.read());
                }
                Ok(count)
            })
        })
        .measure(scale.pick(9, 21))
}

/// 64 bytes that nobody writes, read whole.
fn values(scale: Scale) -> Result<Outcome> {
    let count: u64 = scale.pick(1_000_000, 4_000_000);
    let dir = tempfile::tempdir_in("/dev/shm")?;
    let region = Region::create(dir.path().join("region"))?;
    let seqlock = region.seqlock("value", [1_u64; 8])?;
    let rwlock = region.rwlock("value too", [1_u64; 8])?;
    let of_std = std::sync::RwLock::new([1_u64; 8]);
    Bench::new("read a value of 64 bytes", Work::Operations(count), STD)
        .expect(8 * count)
        .with("bifolio seqlock", "shared", || {
            (0..count).map(|_| Ok(seqlock.read()?.iter().sum::<u64>())).sum()
        })
        .with(OURS, "read lock, shared", || {
            (0..count).map(|_| Ok(rwlock.read()?.get()?.iter().sum::<u64>())).sum()
        })
        .with(STD, "read lock, private", || {
            let read = || {
                Ok(std::hint::black_box(&of_std)
                    .read()
                    .map_err(|_| "poisoned")?
                    .iter()
                    .sum::<u64>())
            };
            (0..count).map(|_| read()).sum()
        })
        .measure(scale.pick(9, 21))
}

/// Does `work` on so many threads that begin together; the sum of what they give.
pub(super) fn together(threads: usize, work: impl Fn(usize) -> Result<u64> + Sync) -> Result<u64> {
    if threads == 1 {
        return work(0);
    }
    // They wait without sleep: one that has to be woken finds that the other is half through.
    let here = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads)
            .map(|number| {
                let (here, work) = (&here, &work);
                scope.spawn(move || {
                    here.fetch_add(1, Ordering::Relaxed);
                    while here.load(Ordering::Relaxed) < threads {
                        std::hint::spin_loop();
                    }
                    work(number)
                })
            })
            .collect();
        all.into_iter().map(|one| one.join().map_err(|_| "a thread panicked")?).sum()
    })
}
