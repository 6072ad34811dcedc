//! How much memory may still be taken, and what says so.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::sys;

/// How much memory can still be taken; from [`memory_room`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes.
    pub bytes: u64,
    /// What allows so many and no more.
    pub limit: Limit,
}

/// What limits the memory of this process. `Display` names it, with its path if it has one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// The memory of the machine.
    Machine,
    /// A cgroup: the file that holds the number.
    Cgroup(PathBuf),
    /// What Windows promises altogether: memory and page file.
    Commit,
    /// The job object of this process, for all processes of the job together.
    Job,
    /// The job object of this process, for each process of the job.
    JobProcess,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine => f.write_str("the memory of the machine"),
            Self::Cgroup(file) => write!(f, "the cgroup limit {}", file.display()),
            Self::Commit => f.write_str("the commit limit (memory and page file)"),
            Self::Job => f.write_str("the job object's limit for all its processes"),
            Self::JobProcess => f.write_str("the job object's limit for each process"),
        }
    }
}

/// One limit, and how much of it is used; from [`memory_limits`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryLimit {
    /// Which one.
    pub limit: Limit,
    /// Bytes that may be used altogether.
    pub limit_bytes: u64,
    /// Bytes in use; `None` if the system does not say.
    pub used_bytes: Option<u64>,
    /// Bytes of those in use that are given back before anybody is killed: clean pages of files,
    /// of those in active use half.
    pub reclaimable_bytes: u64,
}

impl MemoryLimit {
    /// Bytes that can still be taken under this limit: all of it if the use is not known.
    #[must_use]
    pub fn room_bytes(&self) -> u64 {
        let used = self.used_bytes.unwrap_or(0).saturating_sub(self.reclaimable_bytes);
        self.limit_bytes.saturating_sub(used)
    }
}

/// How many bytes of memory can still be taken without anybody being killed for it: the least that
/// the machine and every limit on this process leave.
///
/// Memory is what private pages, anonymous and named sections and files on a tmpfs take; clean pages
/// of other files are given back when memory is short. The answer is of this moment: others take
/// memory too, so leave a margin.
///
/// # Platform differences
/// - Linux: `MemAvailable`, and of every cgroup up to the topmost that can be seen (version 1
///   `memory.limit_in_bytes` and `memory.memsw.limit_in_bytes`, version 2 `memory.max` and
///   `memory.high`) the limit less the use, without clean pages of files (of those in active use
///   half). What cannot be read is no limit. Swap space is not counted.
/// - macOS: free, inactive and purgeable pages.
/// - Windows: free physical memory, what can be committed, and the limits of the job object.
///
/// # Errors
/// If neither the machine nor any limit can be asked (on Linux: `/proc` is not mounted and the
/// system call is denied).
///
/// ```
/// let room = bifolio_map::machine::memory_room()?;
/// println!("{} bytes, says {}", room.bytes, room.limit);
/// assert!(room.bytes > 0);
/// # Ok::<(), bifolio_map::Error>(())
/// ```
pub fn memory_room() -> Result<Room> {
    let available = sys::available_memory();
    let limits = memory_limits();
    match (least(available.as_ref().ok().copied(), &limits), available) {
        (Some(room), _) => Ok(room),
        (None, Err(error)) => Err(Error::os("ask how much memory is left", error)),
        (None, Ok(_)) => unreachable!("what the machine has is an answer"),
    }
}

/// Every limit on the memory of this process that the system shows, the narrowest group first.
/// Groups without a limit are left out.
#[must_use]
pub fn memory_limits() -> Vec<MemoryLimit> {
    sys::memory_limits()
}

fn least(available: Option<u64>, limits: &[MemoryLimit]) -> Option<Room> {
    let machine = available.map(|bytes| Room { bytes, limit: Limit::Machine });
    let limits =
        limits.iter().map(|limit| Room { bytes: limit.room_bytes(), limit: limit.limit.clone() });
    // Of equals the machine, then the narrowest group.
    machine.into_iter().chain(limits).min_by_key(|room| room.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(limit_bytes: u64, used_bytes: Option<u64>, reclaimable_bytes: u64) -> MemoryLimit {
        let limit = Limit::Cgroup(format!("/{limit_bytes}/memory.max").into());
        MemoryLimit { limit, limit_bytes, used_bytes, reclaimable_bytes }
    }

    #[test]
    fn the_room_is_what_the_tightest_limit_leaves() {
        let limits = [group(1000, Some(300), 0), group(2000, Some(1900), 50)];
        let room = least(Some(5000), &limits).unwrap();
        assert_eq!((room.bytes, room.limit), (150, limits[1].limit.clone()));
        let room = least(Some(149), &limits).unwrap();
        assert_eq!((room.bytes, room.limit), (149, Limit::Machine));
        assert_eq!(least(None, &limits).unwrap().bytes, 150);
        assert_eq!(least(None, &[]), None);
    }

    #[test]
    fn numbers_that_do_not_fit_together_make_no_room() {
        assert_eq!(group(1000, Some(1001), 0).room_bytes(), 0);
        assert_eq!(group(1000, Some(u64::MAX), 0).room_bytes(), 0);
        // More given back than is used: the counters are read one after the other.
        assert_eq!(group(1000, Some(10), 20).room_bytes(), 1000);
        assert_eq!(group(1000, None, 20).room_bytes(), 1000);
    }
}
