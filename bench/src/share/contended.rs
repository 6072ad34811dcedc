//! Two threads, and two processes, that want one lock all the time.

use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bifolio_map::{ReadWrite, Section, View};
use bifolio_share::{Lock, Mutex, Region};

use super::locks::{OURS, PARKING_LOT, PRIVATE, RAW_SYNC, ROBUST, SHARED, STD, together};
use crate::Result;
use crate::child::MARK;
use crate::door::{PthreadKind, PthreadNumber, RawSyncNumber};
use crate::harness::{Bench, Outcome, Sample, Work, timed};
use crate::suite::Scale;

/// The task of the child that counts.
pub(crate) const COUNT: &str = "count";

/// A number under a lock.
trait Counter: Sync {
    /// Locks, adds and unlocks, `times` times.
    fn count(&self, times: u64) -> Result<()>;
    /// The number now.
    fn number(&self) -> Result<u64>;
}

/// Two threads that count under one lock.
pub(super) fn threads(scale: Scale) -> Result<Outcome> {
    let count: u64 = scale.pick(500_000, 2_000_000);
    let dir = tempfile::tempdir_in("/dev/shm")?;
    let path = |name: &str| dir.path().join(name);
    let regions = [Region::create(path(OURS))?, Region::open(path(OURS))?];
    let ours = [regions[0].mutex("count", 0)?, regions[1].mutex("count", 0)?];
    let of_std = std::sync::Mutex::new(0);
    let of_parking_lot = parking_lot::Mutex::new(0);
    let of_c = |name, kind| PthreadNumber::create(&path(name), kind);
    let private = of_c(PRIVATE, PthreadKind::Private)?;
    let shared = of_c(SHARED, PthreadKind::Shared)?;
    let robust = of_c(ROBUST, PthreadKind::Robust)?;
    let raw_sync = RawSyncNumber::create(&path(RAW_SYNC))?;
    let contenders: [(&str, &str, [&dyn Counter; 2]); 7] = [
        (OURS, "shared, survives its owner", [&ours[0], &ours[1]]),
        (STD, "private", [&of_std; 2]),
        (PARKING_LOT, "private", [&of_parking_lot; 2]),
        (PRIVATE, "private", [&private; 2]),
        (SHARED, "shared", [&shared; 2]),
        (ROBUST, "shared, tells of a dead owner", [&robust; 2]),
        (RAW_SYNC, "shared", [&raw_sync; 2]),
    ];
    let mut bench = Bench::new("count under a lock, 2 threads", Work::Operations(2 * count), STD)
        .expect(2 * count);
    for (name, params, counters) in contenders {
        bench = bench.with(name, params, move || {
            let before = counters[0].number()?;
            together(2, |number| counters[number].count(count).map(|()| 0))?;
            Ok(counters[0].number()? - before)
        });
    }
    bench.measure(scale.pick(7, 15))
}

/// Two processes that count under one lock: those locks that can be shared.
pub(super) fn processes(scale: Scale) -> Result<Outcome> {
    let count: u64 = scale.pick(500_000, 2_000_000);
    let dir = tempfile::tempdir_in("/dev/shm")?;
    let contenders = [
        (OURS, "survives its owner"),
        (SHARED, ""),
        (ROBUST, "tells of a dead owner"),
        (RAW_SYNC, ""),
    ];
    let name = "count under a lock, 2 processes";
    let mut bench = Bench::new(name, Work::Operations(2 * count), SHARED).expect(2 * count);
    for (name, params) in contenders {
        let mut pair = Pair::new(&dir.path().join(name))?;
        bench = bench.with_parts(name, params, || Ok(()), move || pair.count(count));
    }
    bench.measure(scale.pick(7, 15))
}

/// Counts as often as each line of the input says, together with the process that wrote it. The name
/// of the file says whose lock it is.
pub(crate) fn count(path: &Path) -> Result<()> {
    let counter = open(path)?;
    let gate = Gate::open(path)?;
    for (line, round) in std::io::stdin().lock().lines().zip(1..) {
        let times = line?.parse()?;
        gate.pass(round)?;
        counter.count(times)?;
        gate.arrive(Stage::Done)?;
    }
    Ok(())
}

fn create(path: &Path) -> Result<Box<dyn Counter>> {
    Ok(match whose(path)? {
        SHARED => Box::new(PthreadNumber::create(path, PthreadKind::Shared)?),
        ROBUST => Box::new(PthreadNumber::create(path, PthreadKind::Robust)?),
        RAW_SYNC => Box::new(RawSyncNumber::create(path)?),
        _ => Box::new(Region::create(path)?.mutex("count", 0)?),
    })
}

fn open(path: &Path) -> Result<Box<dyn Counter>> {
    Ok(match whose(path)? {
        SHARED | ROBUST => Box::new(PthreadNumber::open(path)?),
        RAW_SYNC => Box::new(RawSyncNumber::open(path)?),
        _ => Box::new(Region::open(path)?.mutex("count", 0)?),
    })
}

fn whose(path: &Path) -> Result<&str> {
    Ok(path.file_name().and_then(|name| name.to_str()).ok_or("a file without a name")?)
}

/// This process and a child that counts with it.
struct Pair {
    counter: Box<dyn Counter>,
    gate: Gate,
    child: Child,
    round: u64,
}

impl Pair {
    fn new(path: &Path) -> Result<Self> {
        let (counter, gate) = (create(path)?, Gate::create(path)?);
        let child = Command::new(std::env::current_exe()?)
            .args([MARK, COUNT])
            .arg(path)
            .stdin(Stdio::piped())
            .spawn()?;
        Ok(Self { counter, gate, child, round: 0 })
    }

    /// From when both are at the gate until both have counted.
    fn count(&mut self, times: u64) -> Result<Sample> {
        self.round += 1;
        let before = self.counter.number()?;
        writeln!(self.child.stdin.as_mut().ok_or("no input")?, "{times}")?;
        self.gate.wait(Stage::Begun, 2 * self.round - 1)?;
        timed(|| {
            self.gate.pass(self.round)?;
            self.counter.count(times)?;
            self.gate.wait(Stage::Done, self.round)?;
            Ok(self.counter.number()? - before)
        })
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        // It waits for a line of its input; after an error perhaps for this process, at the gate.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where two processes wait for each other, without sleep: a wake-up takes as long as a good part of
/// what is measured.
struct Gate {
    words: View<ReadWrite>,
}

/// What was reached so often.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// By both, so twice a round.
    Begun,
    /// By the child.
    Done,
}

impl Stage {
    /// Its word has a cache line of its own.
    fn offset(self) -> u64 {
        match self {
            Self::Begun => 0,
            Self::Done => 128,
        }
    }
}

impl Gate {
    fn create(path: &Path) -> Result<Self> {
        Ok(Self { words: Section::create(Self::beside(path), 4096)?.view()? })
    }

    fn open(path: &Path) -> Result<Self> {
        Ok(Self { words: Section::open_rw(Self::beside(path))?.view()? })
    }

    fn beside(path: &Path) -> PathBuf {
        path.with_extension("gate")
    }

    fn arrive(&self, stage: Stage) -> Result<()> {
        self.words.atomic_u64(stage.offset())?.fetch_add(1)?;
        Ok(())
    }

    /// Goes on when both are here.
    fn pass(&self, round: u64) -> Result<()> {
        self.arrive(Stage::Begun)?;
        self.wait(Stage::Begun, 2 * round)
    }

    /// Waits until a stage was reached so often; an error if the other process seems to be gone.
    fn wait(&self, stage: Stage, count: u64) -> Result<()> {
        let word = self.words.atomic_u64(stage.offset())?;
        let begun = Instant::now();
        while word.load()? < count {
            if begun.elapsed() > Duration::from_secs(60) {
                return Err(format!("the other process has not {stage:?} within a minute").into());
            }
            std::hint::spin_loop();
        }
        Ok(())
    }
}

impl Counter for Mutex<u64> {
    fn count(&self, times: u64) -> Result<()> {
        for _ in 0..times {
            self.lock().and_then(Lock::sound)?.update(|number| *number += 1)?;
        }
        Ok(())
    }

    fn number(&self) -> Result<u64> {
        Ok(self.lock()?.sound()?.get()?)
    }
}

impl Counter for std::sync::Mutex<u64> {
    fn count(&self, times: u64) -> Result<()> {
        for _ in 0..times {
            *self.lock().map_err(|_| "poisoned")? += 1;
        }
        Ok(())
    }

    fn number(&self) -> Result<u64> {
        Ok(*self.lock().map_err(|_| "poisoned")?)
    }
}

impl Counter for parking_lot::Mutex<u64> {
    fn count(&self, times: u64) -> Result<()> {
        for _ in 0..times {
            *self.lock() += 1;
        }
        Ok(())
    }

    fn number(&self) -> Result<u64> {
        Ok(*self.lock())
    }
}

/// The rivals' numbers in a mapped file.
trait Added: Sync {
    /// Adds under the lock; the number then.
    fn add(&self, more: u64) -> Result<u64>;
}

impl Added for PthreadNumber {
    fn add(&self, more: u64) -> Result<u64> {
        Self::add(self, more)
    }
}

impl Added for RawSyncNumber {
    fn add(&self, more: u64) -> Result<u64> {
        Self::add(self, more)
    }
}

impl<N: Added> Counter for N {
    fn count(&self, times: u64) -> Result<()> {
        for _ in 0..times {
            self.add(1)?;
        }
        Ok(())
    }

    fn number(&self) -> Result<u64> {
        self.add(0)
    }
}
