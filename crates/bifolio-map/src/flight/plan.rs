//! How a batch of reads is carried out, and by what.

use crate::error::{Error, ErrorKind, Result};
use crate::sys;

/// What carries out the reads of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Engine {
    /// A submission ring of the Linux kernel: no thread of ours waits.
    IoUring,
    /// Overlapped reads with a completion port, on Windows.
    Overlapped,
    /// As many threads as reads in flight, each of which reads and waits. Everywhere, also where
    /// the bytes have to be copied from a map.
    Threads,
}

impl Engine {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::IoUring, Self::Overlapped, Self::Threads];

    /// Whether this engine can be used by this process now. (It is tried.)
    ///
    /// ```
    /// use bifolio_map::Engine;
    /// Engine::Threads.check()?;
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NotSupported` if the platform or kernel does not have it; `PermissionDenied` if it is
    /// forbidden (`kernel.io_uring_disabled`, a filter of system calls); `LimitReached` or
    /// `OutOfMemory`.
    pub fn check(self) -> Result<()> {
        match self {
            Self::Threads => Ok(()),
            Self::IoUring | Self::Overlapped => {
                sys::check_engine(self).map_err(|error| self.refused(error))
            }
        }
    }

    /// The name in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IoUring => "io_uring",
            Self::Overlapped => "overlapped reads",
            Self::Threads => "threads",
        }
    }

    /// The error of an engine that cannot be had.
    pub(super) fn refused(self, error: std::io::Error) -> Error {
        Error::os("begin reads by", error).because(format!("{} was asked for", self.as_str()))
    }
}

impl std::fmt::Display for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether ranges that touch or overlap are read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Merge {
    /// Each range by a read of its own.
    Never,
    /// Together, while it is no more than so many bytes.
    UpTo(u64),
}

/// How a batch is read: how many reads at once, by what, in how much memory.
///
/// The defaults: 32 reads at once, which keep a solid-state disk busy; the best engine that can be
/// had; neighbours merged up to 128 KiB, above which a read of its own costs nothing; 64 MiB.
#[derive(Clone, Debug)]
#[must_use]
pub struct BatchPlan {
    pub(super) depth: usize,
    pub(super) engine: Option<Engine>,
    pub(super) merge: Merge,
    pub(super) memory: u64,
}

/// The most reads at once that may be asked for.
pub(super) const MOST_DEPTH: usize = 4096;

impl BatchPlan {
    /// The defaults.
    pub fn new() -> Self {
        Self { depth: 32, engine: None, merge: Merge::UpTo(128 << 10), memory: 64 << 20 }
    }

    /// So many reads at once, from 1 to 4096.
    pub fn depth(mut self, depth: usize) -> Self {
        self.depth = depth;
        self
    }

    /// By this engine or not at all. Without it the best one is taken that can be had.
    pub fn engine(mut self, engine: Engine) -> Self {
        self.engine = Some(engine);
        self
    }

    /// Whether neighbours are read together.
    pub fn merge(mut self, merge: Merge) -> Self {
        self.merge = merge;
        self
    }

    /// Bytes of buffers in flight at most, but always one read, however large.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// Whether it can be carried out at all.
    pub(super) fn check(&self) -> Result<()> {
        if (1..=MOST_DEPTH).contains(&self.depth) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::InvalidInput, "begin a batch of reads").because(format!(
            "{} reads at once were asked for, and from 1 to {MOST_DEPTH} are possible",
            self.depth
        )))
    }
}

impl Default for BatchPlan {
    fn default() -> Self {
        Self::new()
    }
}
