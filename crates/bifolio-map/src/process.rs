//! Processes: which one this is, and whether another one lives.

use crate::sys;

/// Tells whether this is still the process in which it was made, or a child that was forked off it.
/// Asking costs a load.
///
/// A forked child has a copy of everything, and owns nothing of what the kernel counts by openings:
/// locks, names, reads in flight. Whoever keeps such things asks first.
///
/// On Unix the C library tells of forks. A child that was made by the bare system call, past it, is
/// not told apart. On Windows there are none.
///
/// ```
/// use bifolio_map::process::ProcessMark;
/// let mark = ProcessMark::here();
/// assert!(mark.is_here());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessMark(sys::Descent);

impl ProcessMark {
    /// A mark of this process.
    #[must_use]
    pub fn here() -> Self {
        Self(sys::descent())
    }

    /// Whether this is the process that it was made in.
    #[must_use]
    #[inline]
    pub fn is_here(&self) -> bool {
        sys::is_current(self.0)
    }
}

/// A process, in numbers that can be stored where others read them: its number, which the system
/// gives to another one when it has ended, and what tells the two apart.
///
/// ```
/// use bifolio_map::process::{ProcessId, ProcessState};
/// let me = ProcessId::current();
/// let stored = (me.pid(), me.started(), me.namespace());
/// let found = ProcessId::from_parts(stored.0, stored.1, stored.2);
/// assert_eq!(found.state(), ProcessState::Running);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProcessId {
    pid: u32,
    started: u64,
    namespace: u64,
}

/// What is known of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProcessState {
    /// It runs, or is stopped.
    Running,
    /// It has ended. A zombie, which waits to be collected, has.
    Ended,
    /// It cannot be told from here: it counts processes otherwise (another PID namespace, another
    /// start of the machine), or the system does not let this user know.
    Unknown,
}

impl ProcessId {
    /// This process.
    #[must_use]
    pub fn current() -> Self {
        let pid = std::process::id();
        let started = sys::process_start(pid).ok().flatten().unwrap_or(0);
        Self { pid, started, namespace: sys::process_namespace() }
    }

    /// A process by its stored parts. Any numbers will do; those of no process have ended.
    #[must_use]
    pub fn from_parts(pid: u32, started: u64, namespace: u64) -> Self {
        Self { pid, started, namespace }
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// When it started, in the system's own unit: clock ticks since the machine started (Linux),
    /// microseconds since 1970 (macOS), 100 nanoseconds since 1601 (Windows). 0 if the system did
    /// not tell.
    #[must_use]
    pub fn started(&self) -> u64 {
        self.started
    }

    /// What its number counts in: on Linux, of the PID namespace and of this start of the machine;
    /// 0 elsewhere.
    #[must_use]
    pub fn namespace(&self) -> u64 {
        self.namespace
    }

    /// Whether it runs.
    #[must_use]
    pub fn state(&self) -> ProcessState {
        if self.namespace != sys::process_namespace() || self.started == 0 {
            return ProcessState::Unknown;
        }
        match sys::process_start(self.pid) {
            Ok(Some(started)) if started == self.started => ProcessState::Running,
            Ok(_) => ProcessState::Ended,
            Err(_) => ProcessState::Unknown,
        }
    }
}
