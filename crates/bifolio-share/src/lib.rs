#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod error;
mod lock;
mod participant;
mod region;
pub mod shared;
mod word;

pub use error::{Error, ErrorKind, Result};
pub use lock::{Lock, Mutex, MutexGuard, Unsound, Why};
pub use participant::{Holder, Life, MAX_SLOTS, Member, Slot};
pub use region::{Region, RegionOptions};
pub use shared::Shared;

/// Derives [`trait@Shared`].
pub use bifolio_share_derive::Shared;

/// What [`trait@Shared`] stands on.
pub use zerocopy;
