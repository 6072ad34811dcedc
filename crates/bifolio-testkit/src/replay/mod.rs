//! Crash states: from a [`Trace`], every kind of state that a power cut could have left, each
//! handed to the recovery under test.
//!
//! # What a power cut can leave
//! The cut comes just before a sync, before a mark, or at the end; everything in between is
//! covered by these, since what was done until then may be lost operation by operation. A sync
//! ends an *epoch*. At each cut some operations are *pending*, because no sync has made them
//! durable, and a state is a choice among them:
//!
//! - **Bytes.** The unit is the 512-byte sector, which a device writes whole or not at all. A
//!   sector may have been persisted as of any moment: after none, some, or all of the pending
//!   writes to it, in their order (the page in the cache has them all; it was written back at some
//!   moment, or at several). Different sectors are independent of each other, even within one
//!   write. Stores through a map can be caught half way, at any 8-byte word.
//! - **Length.** As of any moment, and independent of the bytes: a file may have its new length
//!   and zeros where the bytes should be. Bytes cut off by a shrinking length that was persisted
//!   are gone, and what was written after it depends on it.
//! - **Names.** Each pending creation, rename, link and removal may have happened or not, a rename
//!   as a whole; those that concern one path keep their order. A name in a directory that does not
//!   exist is invisible.
//!
//! A sync of a file makes durable the bytes (in the range, rounded to sectors) and the length of
//! that file. A sync of a directory makes durable the names in it, and nothing else does: not even
//! [`Flush::Full`](bifolio_map::Flush::Full), as the `Storage` trait says. A rename between two
//! directories is durable with the directory of the new name; the old name may stay until its own
//! directory is synced. [`Flush::Start`](bifolio_map::Flush::Start) promises nothing;
//! [`Flush::Barrier`](bifolio_map::Flush::Barrier) makes the earlier bytes of its file precede
//! everything later. After a sync that failed, what it covered stays in doubt for ever, even if a
//! later one succeeds.
//!
//! # Which states are tried
//! Up to [`Plan::exhaustive`] pending operations: every subset of them. More: prefixes, only one,
//! all but one, and random subsets. Then torn states: each operation alone torn in several ways,
//! and states that choose each sector, length and word at random. Equal states are verified once.

mod choice;
mod drive;
mod front;
mod image;
mod model;
mod shrink;
#[cfg(test)]
mod tests;

use std::fmt;

use bifolio_map::storage::MemoryStorage;

use crate::random::{Random, budget};
use crate::record::Recorder;
use crate::trace::Trace;

/// The size of a sector in bytes: what a device writes whole or not at all.
pub(crate) const SECTOR: usize = 512;

/// What had been promised when the power was cut. A recovery is right if
/// `acknowledged <= recovered <= begun` and the contents are those of `recovered`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// The highest number acknowledged.
    pub acknowledged: u64,
    /// The highest number begun.
    pub begun: u64,
}

impl State {
    /// `Ok` if `recovered` lies between what was acknowledged and what was begun.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn require(self, recovered: u64) -> Result<(), String> {
        let Self { acknowledged, begun } = self;
        if recovered < acknowledged {
            return Err(format!("recovered {recovered}, but {acknowledged} was acknowledged"));
        }
        if recovered > begun {
            return Err(format!("recovered {recovered}, but only {begun} was begun"));
        }
        Ok(())
    }
}

/// How many states are tried.
#[derive(Clone, Debug)]
pub struct Plan {
    exhaustive: u32,
    random: u64,
    torn: u64,
    states: u64,
    seed: Option<u64>,
    start: State,
}

impl Plan {
    /// The usual plan: all subsets of up to 8 pending operations, otherwise 32 random ones; 32
    /// states torn at random. Both numbers grow with `BIFOLIO_BUDGET`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            exhaustive: 8,
            random: budget(32),
            torn: budget(32),
            states: u64::MAX,
            seed: None,
            start: State::default(),
        }
    }

    /// With every subset of up to this many pending operations (at most 20).
    #[must_use]
    pub fn exhaustive(mut self, pending: u32) -> Self {
        self.exhaustive = pending.min(20);
        self
    }

    /// With this many random subsets at each cut with more pending operations than that.
    #[must_use]
    pub fn random(mut self, subsets: u64) -> Self {
        self.random = subsets;
        self
    }

    /// With this many states torn at random at each cut.
    #[must_use]
    pub fn torn(mut self, states: u64) -> Self {
        self.torn = states;
        self
    }

    /// With at most this many states altogether; the report says if that cut it short.
    #[must_use]
    pub fn at_most(mut self, states: u64) -> Self {
        self.states = states;
        self
    }

    /// With this seed instead of a new one.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// With work that was promised before the recording began: see [`crash_again`].
    #[must_use]
    pub fn starting_from(mut self, state: State) -> Self {
        self.start = state;
        self
    }

    fn random_numbers(&self) -> Random {
        self.seed.map_or_else(Random::new, Random::from_seed)
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self::new()
    }
}

/// What was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrashReport {
    /// States that were made. One state is a cut, and a choice of what was persisted of the
    /// operations pending at that cut.
    pub states: u64,
    /// Those that differ from all before, in their files or in what was promised: so many
    /// recoveries ran.
    pub distinct: u64,
    /// The epochs they come from, each ended by a sync or by the end of the trace.
    pub epochs: u64,
    /// Whether [`Plan::at_most`] ended it before the end of the trace.
    pub ended: Ended,
}

/// Why a replay ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ended {
    /// The whole trace was replayed.
    #[default]
    AtTheEnd,
    /// The number of states allowed was reached.
    AtTheLimit,
}

impl CrashReport {
    /// Adds the counts of another replay.
    pub fn add(&mut self, other: Self) {
        self.states += other.states;
        self.distinct += other.distinct;
        self.epochs += other.epochs;
        if other.ended == Ended::AtTheLimit {
            self.ended = Ended::AtTheLimit;
        }
    }
}

impl fmt::Display for CrashReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, distinct, epochs, ended } = self;
        write!(f, "{states} states, {distinct} distinct, from {epochs} epochs")?;
        match ended {
            Ended::AtTheEnd => Ok(()),
            Ended::AtTheLimit => f.write_str(" (ended at the limit)"),
        }
    }
}

/// A state from which the recovery was wrong.
#[derive(Clone, Debug)]
pub struct CrashFailure {
    /// What the verification says of the state below.
    pub complaint: String,
    /// What had been promised at that cut.
    pub state: State,
    /// The pending operations, one a line, each with what was persisted of it, after every
    /// operation was taken out that the failure does not need.
    pub operations: Vec<String>,
    /// What was tried until then.
    pub report: CrashReport,
    /// The seed that finds it again.
    pub seed: u64,
}

impl fmt::Display for CrashFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { complaint, state, operations, report, seed } = self;
        writeln!(f, "{complaint}")?;
        writeln!(f, "acknowledged {}, begun {}; pending:", state.acknowledged, state.begun)?;
        for line in operations {
            writeln!(f, "  {line}")?;
        }
        write!(f, "after {report}; {}={seed}", crate::random::SEED_VARIABLE)
    }
}

impl std::error::Error for CrashFailure {}

/// Makes the states that a power cut during `trace` could have left, and hands each to `verify`:
/// open it as after a crash, and say what is wrong with what is there. `verify` may write; every
/// call gets files of its own. A panic in it counts as a complaint.
///
/// # Errors
/// The first state that `verify` complains of, made as small as could be.
pub fn replay(
    trace: &Trace,
    plan: &Plan,
    verify: impl FnMut(&MemoryStorage, State) -> Result<(), String>,
) -> Result<CrashReport, Box<CrashFailure>> {
    drive::Drive::new(trace, plan, verify).run()
}

/// Crashes again inside a recovery: runs `work` (the recovery, and whatever is to follow it) on
/// the files of a crash state through a recorder, and replays what it did. Call it in the
/// `verify` of a [`replay`], with the state given there.
///
/// The recovery itself must begin and acknowledge nothing; what was promised before the first
/// crash is promised after the second.
///
/// # Errors
/// What `work` complains of, or the first state that `verify` complains of, in words.
pub fn crash_again(
    files: &MemoryStorage,
    state: State,
    plan: &Plan,
    work: impl FnOnce(&Recorder<MemoryStorage>) -> Result<(), String>,
    verify: impl FnMut(&MemoryStorage, State) -> Result<(), String>,
) -> Result<CrashReport, String> {
    let recorder = Recorder::over_memory(files.clone());
    work(&recorder)?;
    let plan = plan.clone().starting_from(state);
    replay(&recorder.trace(), &plan, verify)
        .map_err(|failure| format!("crashed again inside the recovery: {failure}"))
}
