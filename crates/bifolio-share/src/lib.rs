#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

/// A step that the tests leave out or do at the wrong time, to see that they notice.
#[cfg(all(
    test,
    not(any(miri, loom)),
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
macro_rules! broken {
    ($twin:ident) => {
        crate::kills::Twin::$twin.is_on()
    };
}
/// A moment of which a twin hunt takes a look: a system call that does nothing, at whose ends the
/// process can be killed without being stepped through what lies between.
#[cfg(all(
    test,
    not(any(miri, loom)),
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
macro_rules! seam {
    () => {
        let _ = std::os::unix::process::parent_id();
    };
}
#[cfg(not(all(
    test,
    not(any(miri, loom)),
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
macro_rules! broken {
    ($twin:ident) => {
        false
    };
}
/// A moment at which another thread may do anything: a test has it done, once, in this one.
#[cfg(all(
    test,
    not(any(miri, loom)),
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
macro_rules! between {
    () => {
        crate::kills::between()
    };
}
#[cfg(not(all(
    test,
    not(any(miri, loom)),
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
macro_rules! between {
    () => {};
}
#[cfg(not(all(
    test,
    not(any(miri, loom)),
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
macro_rules! seam {
    () => {};
}

mod arena;
mod channel;
mod error;
#[cfg(all(
    test,
    not(any(miri, loom)),
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod kills;
mod lock;
mod objects;
mod participant;
mod region;
pub mod shared;
mod word;

pub use arena::{Arena, ArenaStats, Draft, Extent, HashMap, Off, Vector};
pub use channel::{Channel, Loan, Message, Receiver, Waiting};
pub use error::{Error, ErrorKind, Result};
pub use lock::{
    Barrier, Condvar, Event, Leader, Lock, Mutex, MutexGuard, NamedGuard, NamedMutex, Once, Permit,
    Pinned, ReadGuard, RwLock, Semaphore, Seqlock, Snapshot, Turn, Unsound, Waited, Why,
};
pub use objects::{
    Evicted, Object, ObjectEntry, ObjectGuard, Objects, ObjectsOptions, Removal, WritableObject,
};
pub use participant::{Holder, Life, MAX_SLOTS, Member, Slot};
pub use region::{NamedObject, Region, RegionOptions};
pub use shared::Shared;

/// Derives [`trait@Shared`].
pub use bifolio_share_derive::Shared;

/// What [`trait@Shared`] stands on.
pub use zerocopy;
