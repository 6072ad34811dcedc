//! The single-step killer: a child is killed after every instruction of a short protocol (take a
//! lock, publish a value), and after each kill the caller repairs and checks what was left.
//!
//! The child runs the protocol inside [`region`]. The parent traces it with ptrace, steps k
//! instructions into the region, sends SIGKILL, lets the caller check, and goes on with k + 1 in a
//! new child, until a child reaches the end of its region.
//!
//! ```no_run
//! use bifolio_testkit::child::{self, Rerun};
//! use bifolio_testkit::step::{self, Visit};
//! use bifolio_testkit::{skip, this_test};
//!
//! // #[test]
//! fn a_death_anywhere_in_publish_leaves_the_old_or_the_new() {
//!     if child::role().is_some() {
//!         step::region(|| { /* publish */ });
//!         return;
//!     }
//!     let rerun = Rerun::of(this_test!(), "publisher");
//!     let prepare = || { /* a fresh start for each child */ };
//!     let check = |_step| Ok(()); // repair, then say what is wrong
//!     let report = step::kill_at_every_instruction(&rerun, Visit::Every, prepare, check);
//!     if let Some(report) = skip::or_count(report) {
//!         println!("{report}");
//!     }
//! }
//! ```
//!
//! [`stop_at_every_instruction`] lets the child stand still instead, while the caller does something
//! whole in its own process, and then go on: every way in which one process can be interrupted once
//! by another.
//!
//! A step is one instruction of the thread that runs the region; a system call is one. All calls
//! of ptrace come from the thread that calls [`kill_at_every_instruction`], as the kernel demands.
//! On aarch64 without atomic instructions (LSE) a stepped `ldxr`/`stxr` loop never succeeds, so
//! such a region ends by its time limit.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, gettid};

use crate::child::{self, Child, Rerun};
use crate::random::Random;
use crate::skip::{Obstacle, Skip};

/// The point at which the child waits to be traced.
const POINT: &str = "bifolio-step";

/// The signal with which the child marks both ends of the region. Its tracer sees and swallows it.
const MARK: Signal = Signal::SIGSTOP;

/// How long one child may take from the start of its region to its end.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Runs the protocol between two marks that the tracing parent sees. Outside of a child it only
/// runs it.
///
/// # Panics
/// If the process cannot signal itself.
pub fn region<T>(work: impl FnOnce() -> T) -> T {
    if child::role().is_none() {
        return work();
    }
    child::tell(&gettid().to_string());
    child::point(POINT);
    raise(MARK).expect("a thread may signal itself");
    let result = work();
    raise(MARK).expect("a thread may signal itself");
    result
}

/// Which instructions are visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// Every one. A region of n instructions takes n children; each is stepped only from its last
    /// system call on, so that a kill costs about as much in a long region as in a short one.
    Every,
    /// Every one up to this many; of a longer region as many at random, with the seed of the run.
    AtMost(usize),
    /// The first of each so many.
    EachNth(usize),
    /// The start and the end of each system call; counts are of these, not of instructions. For a
    /// protocol whose processes share nothing but what the kernel keeps, all states between two
    /// calls are the same one, and this visits every state, hundreds of times faster.
    AroundCalls,
}

/// What was visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepReport {
    /// Kills, each followed by a check: one for each instruction visited.
    pub points: u64,
    /// Instructions in the region, both marks' returns included, as the first child ran it; for
    /// [`Visit::AroundCalls`], starts and ends of system calls.
    pub instructions: u64,
}

impl fmt::Display for StepReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interrupted at {} points of {} steps", self.points, self.instructions)
    }
}

/// Kills the child after so many instructions of its [`region`], for all the counts of `visit`,
/// from 0 to the whole region. Before each child `prepare` makes a fresh start; after each kill
/// `check` gets the count, and says what is wrong with what was left.
///
/// # Errors
/// A skip where ptrace is not permitted; a failure with the first complaint, or if a child does
/// something else than run its region.
pub fn kill_at_every_instruction(
    rerun: &Rerun,
    visit: Visit,
    mut prepare: impl FnMut(),
    mut check: impl FnMut(u64) -> Result<(), String>,
) -> Result<StepReport, Obstacle> {
    let mut verify = |steps: u64, instructions: u64| {
        check(steps).map_err(|complaint| {
            let place = format!("killed after {steps} of {instructions} instructions");
            Obstacle::Failed(format!("{place}: {complaint}"))
        })
    };
    prepare();
    let pace = Pace::of(visit);
    let mut calls = Calls::default();
    let instructions = Traced::start(rerun)?.survey_and_kill(pace, &mut calls)?;
    verify(instructions, instructions)?;
    let mut report = StepReport { points: 1, instructions };
    for steps in points(visit, instructions) {
        prepare();
        // Addresses differ from run to run and may change the path by a few instructions.
        let done = Traced::start(rerun)?.step_and_kill(steps, pace, &calls)?;
        verify(done, instructions)?;
        report.points += 1;
    }
    Ok(report)
}

/// Stops the child after so many instructions of its [`region`], for all the counts of `visit`.
/// Before each child `prepare` makes a fresh start, of which it gives something along; while the
/// child stands still, `meanwhile` does something in this process; then the child goes on to the
/// end of its region, and `check` says what is wrong, with the child still there, past its region.
///
/// # Errors
/// As [`kill_at_every_instruction`].
pub fn stop_at_every_instruction<T>(
    rerun: &Rerun,
    visit: Visit,
    mut prepare: impl FnMut() -> T,
    mut meanwhile: impl FnMut(&mut T) -> Result<(), String>,
    mut check: impl FnMut(T, &mut Child) -> Result<(), String>,
) -> Result<StepReport, Obstacle> {
    let pace = Pace::of(visit);
    let mut calls = Calls::default();
    let start = prepare();
    let instructions = Traced::start(rerun)?.survey_and_kill(pace, &mut calls)?;
    drop(start);
    let mut report = StepReport { points: 0, instructions };
    for steps in points(visit, instructions) {
        let mut start = prepare();
        let mut traced = Traced::start(rerun)?;
        let mut outcome = traced.begin();
        if outcome.is_ok() {
            outcome = traced.step(steps, pace, &calls).and_then(|done| {
                meanwhile(&mut start)?;
                // Short of the whole: the mark is still to come.
                if done < instructions { traced.run_to_mark() } else { Ok(()) }
            });
        }
        if outcome.is_ok() {
            outcome = check(start, &mut traced.child);
        }
        let place = format!("stopped after {steps} of {instructions} instructions");
        let process = traced.process();
        traced.kill(process)?;
        outcome.map_err(|why| Obstacle::Failed(format!("{place}: {why}")))?;
        report.points += 1;
    }
    Ok(report)
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Instructions,
    EndsOfCalls,
}

impl Pace {
    fn of(visit: Visit) -> Self {
        if visit == Visit::AroundCalls { Self::EndsOfCalls } else { Self::Instructions }
    }
}

/// Before which instructions of a region, by their counts, a system call begins. A child that is to
/// do many of them runs from call to call and is stepped only behind the last one: a step costs
/// microseconds, and there may be a thousand between two calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Calls(Vec<u64>);

impl Calls {
    /// Of the first `steps` instructions: how many calls are among them, and how many instructions
    /// are done when the last of those has returned.
    fn within(&self, steps: u64) -> (usize, u64) {
        let count = self.0.partition_point(|&before| before < steps);
        (count, count.checked_sub(1).map_or(0, |last| self.0[last] + 1))
    }
}

/// The counts to visit in a region of so many instructions, without the whole.
fn points(visit: Visit, instructions: u64) -> Vec<u64> {
    match visit {
        Visit::Every | Visit::AroundCalls => (0..instructions).collect(),
        Visit::EachNth(nth) => (0..instructions).step_by(nth.max(1)).collect(),
        Visit::AtMost(most) if most as u64 >= instructions => (0..instructions).collect(),
        Visit::AtMost(most) => {
            let mut random = Random::new();
            println!("seed of the visited instructions: {}", random.seed());
            let mut points = BTreeSet::new();
            while points.len() < most {
                points.insert(random.u64(0..instructions));
            }
            points.into_iter().collect()
        }
    }
}

/// A child that stands at the start of its region, traced by this thread.
struct Traced {
    child: Child,
    thread: Pid,
}

impl Traced {
    fn start(rerun: &Rerun) -> Result<Self, Obstacle> {
        let failed = |error: io::Error| Obstacle::Failed(error.to_string());
        let mut child = rerun.spawn().map_err(failed)?;
        child.run_to(POINT, 1).map_err(failed)?;
        let id = child.told().last().and_then(|told| told.parse().ok());
        let id = id.ok_or_else(|| Obstacle::Failed("the child did not tell its thread".into()))?;
        let traced = Self { child, thread: Pid::from_raw(id) };
        // The second tells the stops at system calls from a signal of the same number.
        let options = ptrace::Options::PTRACE_O_EXITKILL | ptrace::Options::PTRACE_O_TRACESYSGOOD;
        match ptrace::seize(traced.thread, options) {
            Err(Errno::EPERM) => return Err(Skip::because("ptrace is not permitted here").into()),
            other => other.map_err(|error| failed(error.into()))?,
        }
        Ok(traced)
    }

    /// Runs to the start of the region, steps so many instructions or to its end, and kills the
    /// child. Returns how many instructions were done.
    fn step_and_kill(self, steps: u64, pace: Pace, calls: &Calls) -> Result<u64, Obstacle> {
        self.work_and_kill(|traced| traced.step(steps, pace, calls))
    }

    /// The same to the end of the region; where its calls are is written down.
    fn survey_and_kill(self, pace: Pace, calls: &mut Calls) -> Result<u64, Obstacle> {
        self.work_and_kill(|traced| match pace {
            Pace::EndsOfCalls => traced.step(u64::MAX, pace, calls),
            Pace::Instructions => traced.survey(calls),
        })
    }

    fn work_and_kill(
        mut self,
        work: impl FnOnce(&Self) -> Result<u64, String>,
    ) -> Result<u64, Obstacle> {
        let process = self.process();
        // A region that blocks for ever would block the wait for its next stop: the watchdog
        // kills the child, and the wait reports its death.
        let (finished, watched) = channel::<()>();
        let watchdog = thread::spawn(move || {
            if watched.recv_timeout(TIME_LIMIT) == Err(RecvTimeoutError::Timeout) {
                let _ = kill(process, Signal::SIGKILL);
            }
        });
        let result = self.begin().and_then(|()| work(&self));
        // The watchdog must be gone before the process id is given back.
        drop(finished);
        let _ = watchdog.join();
        self.kill(process)?;
        result.map_err(Obstacle::Failed)
    }

    fn process(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX))
    }

    /// Lets the child go to the start of its region.
    fn begin(&mut self) -> Result<(), String> {
        self.child.go_on().map_err(|error| error.to_string())?;
        match self.next_stop()? {
            MARK => Ok(()),
            _ => Err("the region does not begin with its mark".into()),
        }
    }

    /// Lets the child run to the end of its region, and alone from there.
    fn run_to_mark(&self) -> Result<(), String> {
        let failed = |error| format!("cannot let the child go on: {error}");
        ptrace::cont(self.thread, None).map_err(failed)?;
        match self.next_stop()? {
            MARK => ptrace::detach(self.thread, None).map_err(failed),
            other => Err(format!("{other} before the end of the region")),
        }
    }

    fn step(&self, steps: u64, pace: Pace, calls: &Calls) -> Result<u64, String> {
        let mut done = 0;
        if pace == Pace::Instructions {
            let (count, instructions) = calls.within(steps);
            // Each stops the child twice.
            for _ in 0..2 * count {
                if !self.advance(Pace::EndsOfCalls, done)? {
                    return Ok(done);
                }
            }
            done = instructions;
        }
        while done < steps && self.advance(pace, done)? {
            done += 1;
        }
        Ok(done)
    }

    /// Steps to the end of the region, and looks at each instruction.
    fn survey(&self, calls: &mut Calls) -> Result<u64, String> {
        let mut done = 0;
        loop {
            let is_call = self.stands_before_a_call()?;
            if !self.advance(Pace::Instructions, done)? {
                return Ok(done);
            }
            if is_call {
                calls.0.push(done);
            }
            done += 1;
        }
    }

    /// One instruction on, or to the next start or end of a call. Whether the region goes on.
    fn advance(&self, pace: Pace, done: u64) -> Result<bool, String> {
        let going = match pace {
            Pace::Instructions => ptrace::step(self.thread, None),
            Pace::EndsOfCalls => ptrace::syscall(self.thread, None),
        };
        going.map_err(|error| match error {
            // The whole process can end while this thread is stopped.
            Errno::ESRCH => format!("the child ended after {done} instructions"),
            other => format!("cannot step: {other}"),
        })?;
        match self.next_stop()? {
            Signal::SIGTRAP => Ok(true),
            MARK => Ok(false),
            other => Err(format!("{other} after {done} instructions")),
        }
    }

    /// Whether the next instruction is a system call.
    fn stands_before_a_call(&self) -> Result<bool, String> {
        let failed = |error| format!("cannot look at the child's next instruction: {error}");
        let registers = ptrace::getregs(self.thread).map_err(failed)?;
        #[cfg(target_arch = "x86_64")]
        let (at, mask, call) = (registers.rip, 0xffff, 0x050f);
        #[cfg(target_arch = "aarch64")]
        let (at, mask, call) = (registers.pc, 0xffe0_001f, 0xd400_0001);
        let at = usize::try_from(at).map_err(|error| error.to_string())?;
        let word =
            ptrace::read(self.thread, std::ptr::without_provenance_mut(at)).map_err(failed)?;
        Ok(word & mask == call)
    }

    /// Waits until the thread stops and says with which signal.
    fn next_stop(&self) -> Result<Signal, String> {
        match waitpid(self.thread, Some(WaitPidFlag::__WALL)) {
            Ok(WaitStatus::Stopped(_, signal)) => Ok(signal),
            Ok(WaitStatus::PtraceSyscall(_)) => Ok(Signal::SIGTRAP),
            Ok(other) => Err(format!("the child ended or took too long: {other:?}")),
            Err(error) => Err(format!("cannot wait for the child: {error}")),
        }
    }

    fn kill(self, process: Pid) -> Result<(), Obstacle> {
        if self.thread != process {
            // The process is collected only after its traced thread, and that by its tracer.
            let _ = kill(process, Signal::SIGKILL);
            while let Ok(WaitStatus::Stopped(..)) = waitpid(self.thread, Some(WaitPidFlag::__WALL))
            {
            }
        }
        self.child.kill().map_err(|error| Obstacle::Failed(error.to_string()))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_region_is_visited_whole_and_a_long_one_in_part() {
        assert_eq!(points(Visit::Every, 4), [0, 1, 2, 3]);
        assert_eq!(points(Visit::EachNth(3), 8), [0, 3, 6]);
        assert_eq!(points(Visit::AtMost(4), 4), [0, 1, 2, 3]);
        assert_eq!(points(Visit::AroundCalls, 3), [0, 1, 2]);
        let some = points(Visit::AtMost(10), 1000);
        assert_eq!(some.len(), 10);
        assert!(some.iter().all(|point| *point < 1000));
    }

    #[test]
    fn what_lies_before_the_last_call_is_run_and_not_stepped() {
        let calls = Calls(vec![2, 10]);
        assert_eq!([0, 2].map(|steps| calls.within(steps)), [(0, 0); 2]);
        assert_eq!([3, 10].map(|steps| calls.within(steps)), [(1, 3); 2]);
        assert_eq!([11, 500].map(|steps| calls.within(steps)), [(2, 11); 2]);
        assert_eq!(Calls::default().within(7), (0, 0));
    }

    #[test]
    fn outside_of_a_child_a_region_is_only_run() {
        assert_eq!(region(|| 7), 7);
    }
}
