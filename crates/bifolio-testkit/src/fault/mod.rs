//! Fault injection: a [`Storage`](bifolio_map::storage::Storage) whose n-th call fails.
//!
//! [`sweep`] runs a workload once to count the calls that the fault can hit, and then once for
//! every one of them:
//!
//! ```
//! use std::path::Path;
//! use bifolio_map::storage::{MemoryStorage, OpenMode, Storage, StorageFile};
//! use bifolio_testkit::fault::{Fault, Faulty, Lasting, sweep};
//!
//! let report = sweep(Fault::NoSpace, Lasting::Once, |faults| {
//!     let storage = Faulty::new(MemoryStorage::new(), faults);
//!     let result = storage
//!         .open(Path::new("a"), OpenMode::CreateNew)
//!         .and_then(|file| file.write_at(0, b"bytes"));
//!     // The error must come back to the caller, with nothing else broken.
//!     if result.is_err() == (faults.hits() > 0) { Ok(()) } else { Err("swallowed".into()) }
//! })?;
//! assert_eq!(report.calls, 2, "the creation and the write");
//! # Ok::<(), String>(())
//! ```
//!
//! Between a [`Recorder`](crate::record::Recorder) and its storage the injector makes crash states
//! of faulty devices: see [`Recorder::over_faults`](crate::record::Recorder::over_faults).

mod storage;

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bifolio_map::{Error, ErrorKind};

pub use storage::Faulty;

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Whatever may need space says `StorageFull` and does nothing.
    NoSpace,
    /// Any call says `StorageFault` and does nothing.
    Io,
    /// A write or store does the first half of its bytes and says `StorageFull`.
    ShortWrite,
    /// A sync of a file, range or directory says `StorageFault`; what it covers may be lost for
    /// ever. The handle is poisoned, as the trait demands.
    SyncFails,
    /// A sync says that all is well and does nothing.
    SyncLies,
}

impl Fault {
    /// Every kind of fault.
    pub const ALL: [Self; 5] =
        [Self::NoSpace, Self::Io, Self::ShortWrite, Self::SyncFails, Self::SyncLies];
}

/// How often a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lasting {
    /// The n-th call only.
    Once,
    /// The n-th call and every one after it.
    ForEver,
}

/// The calls that faults distinguish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Read,
    Open,
    /// Anything that may take space: a new file, a new name, a growing size.
    Grow,
    Unlink,
    Write,
    Sync,
}

/// What is to happen to one call.
#[derive(Debug)]
enum Fate {
    Pass,
    Fail(Error),
    /// Half of the bytes, then the error.
    Half(Error),
    Lie,
}

thread_local! {
    /// Whether this thread is inside [`Faults::paused`].
    static PAUSED: Cell<bool> = const { Cell::new(false) };
}

/// When which fault strikes, and how often it did. Clones share the count, so that one sequence
/// runs through all files of a storage.
#[derive(Clone)]
pub struct Faults(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    fault: Fault,
    /// The number of the first call that is hit, from 1; 0 if none is.
    nth: u64,
    lasting: Lasting,
    calls: AtomicU64,
    hits: AtomicU64,
    lies: AtomicU64,
}

impl Faults {
    /// The `nth` call that this fault can hit is hit, counted from 1.
    #[must_use]
    pub fn at(fault: Fault, nth: u64, lasting: Lasting) -> Self {
        let (calls, hits, lies) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Self(Arc::new(Shared { fault, nth, lasting, calls, hits, lies }))
    }

    /// No call is hit; those that this fault could hit are counted.
    #[must_use]
    pub fn counting(fault: Fault) -> Self {
        Self::at(fault, 0, Lasting::Once)
    }

    /// How many calls there were that the fault could hit.
    #[must_use]
    pub fn calls(&self) -> u64 {
        // SeqCst here and below: tests compare these counts across threads, speed is no concern.
        self.0.calls.load(Ordering::SeqCst)
    }

    /// How many calls were hit.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.0.hits.load(Ordering::SeqCst)
    }

    /// How many syncs lied.
    #[must_use]
    pub fn lies(&self) -> u64 {
        self.0.lies.load(Ordering::SeqCst)
    }

    /// Runs something whose calls from this thread are neither hit nor counted.
    pub fn paused<T>(&self, call: impl FnOnce() -> T) -> T {
        let before = PAUSED.replace(true);
        let result = call();
        PAUSED.set(before);
        result
    }

    /// Counts a call and decides what happens to it.
    fn fate(&self, call: Call, doing: &'static str) -> Fate {
        let Shared { fault, nth, lasting, .. } = *self.0;
        let possible = match fault {
            Fault::NoSpace => matches!(call, Call::Grow | Call::Write),
            Fault::Io => true,
            Fault::ShortWrite => call == Call::Write,
            Fault::SyncFails | Fault::SyncLies => call == Call::Sync,
        };
        if !possible || PAUSED.get() {
            return Fate::Pass;
        }
        let number = self.0.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let hit = match lasting {
            Lasting::Once => number == nth,
            Lasting::ForEver => nth != 0 && number >= nth,
        };
        if !hit {
            return Fate::Pass;
        }
        self.0.hits.fetch_add(1, Ordering::SeqCst);
        let error = |kind| Error::new(kind, doing).because(format!("injected into call {number}"));
        match fault {
            Fault::NoSpace => Fate::Fail(error(ErrorKind::StorageFull)),
            Fault::Io | Fault::SyncFails => Fate::Fail(error(ErrorKind::StorageFault)),
            Fault::ShortWrite => Fate::Half(error(ErrorKind::StorageFull)),
            Fault::SyncLies => {
                self.0.lies.fetch_add(1, Ordering::SeqCst);
                Fate::Lie
            }
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What a [`sweep`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepReport {
    /// The calls of the workload that the fault could hit, each of which was hit in one run.
    pub calls: u64,
    /// The calls that were hit in all runs together; more than `calls` if the fault lasts.
    pub hits: u64,
}

/// Runs the workload without a fault, and then with the fault at its first call, its second, and
/// so on to the last. The workload builds its storage over the [`Faults`] that it is given and
/// says what is wrong with the outcome, if anything.
///
/// # Errors
/// The first complaint, with the number of the call that was hit; also if a call was not reached
/// because the workload does something else each time.
pub fn sweep(
    fault: Fault,
    lasting: Lasting,
    mut workload: impl FnMut(&Faults) -> Result<(), String>,
) -> Result<SweepReport, String> {
    let dry = Faults::counting(fault);
    workload(&dry).map_err(|complaint| format!("without any fault: {complaint}"))?;
    let mut report = SweepReport { calls: dry.calls(), hits: 0 };
    for nth in 1..=report.calls {
        let faults = Faults::at(fault, nth, lasting);
        let outcome = workload(&faults);
        let calls = report.calls;
        outcome
            .map_err(|why| format!("{fault:?} ({lasting:?}) at call {nth} of {calls}: {why}"))?;
        if faults.hits() == 0 {
            return Err(format!("{fault:?}: this run never came to call {nth} of {calls}"));
        }
        report.hits += faults.hits();
    }
    Ok(report)
}

#[cfg(test)]
mod tests;
