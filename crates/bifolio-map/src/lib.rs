#![doc = include_str!("../README.md")]

mod error;
pub mod fault;
pub mod flight;
mod frozen;
mod lock;
pub mod machine;
mod memory;
pub mod names;
pub mod process;
pub mod range;
pub mod residency;
mod scratch;
pub mod section;
pub mod storage;
mod sys;
#[cfg(test)]
mod testing;
mod unnamed;
pub mod view;
pub mod wait;

pub use error::{Error, ErrorKind, Result};
pub use flight::{Batch, BatchPlan, Completion, Engine, Merge};
pub use frozen::Frozen;
pub use lock::{FileLock, LockGuard, LockKind, LockState, OwnedLockGuard, Patience};
pub use scratch::Scratch;
pub use section::{Access, Create, Currency, Inheritance, Section, SectionKind, SectionOptions};
pub use unnamed::UnnamedFile;
pub use view::{
    Advice, AtomicU32View, AtomicU64View, CopyOnWrite, GrowableView, MemoryLock, Mode, MovingView,
    Prefetched, Raw, Read, ReadWrite, ScanPlan, Shared, Stream, Support, TryRead, View, ViewMode,
    WindowPlan, Writable,
};

/// The traits and byte-order types of `zerocopy` that typed accessors speak: `get::<le::U32>`
/// reads a little-endian word on any machine.
pub use zerocopy::{self, FromBytes, Immutable, IntoBytes, big_endian as be, little_endian as le};

/// How much a flush or sync promises. Each level includes the ones before it.
///
/// *Written* (other views and processes see it) is what every store is at once; *flushed* (handed
/// to the device) and *durable* (survives power loss) are what this is about. The calls behind
/// each level on each platform are in `docs/DURABILITY.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flush {
    /// Write-back is started; nothing else is promised.
    Start,
    /// What was written before reaches the device before what is written after. Where a system
    /// has no such call this is `Data`.
    Barrier,
    /// The bytes are durable, and the file size that makes them readable.
    Data,
    /// The bytes and all metadata are durable; of a file that has a path, its name too.
    Full,
}

/// What stands behind the bytes that a file gains when it grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// Space on the device: a full disk is an error now, not a fault later.
    Allocate,
    /// A hole: it takes no space until it is written, and the write may then fail.
    Sparse,
}

/// Bytes in a page of this machine: the unit in which maps are made and faults happen.
#[must_use]
pub fn page_size() -> usize {
    sys::page_size()
}

/// What offsets of maps are rounded down to: the page on Unix, 64 KiB on Windows. Views have no
/// such rule; the rounding is internal.
#[must_use]
pub fn granularity() -> u64 {
    sys::granularity()
}
