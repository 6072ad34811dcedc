//! The walk along a trace from cut to cut.

use std::any::Any;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bifolio_map::storage::MemoryStorage;

use super::choice::Choice;
use super::front::Front;
use super::image::Prints;
use super::model::Model;
use super::{CrashFailure, CrashReport, Ended, Plan, State, shrink};
use crate::random::Random;
use crate::trace::{Op, Outcome, Trace};

/// One replay.
pub(super) struct Drive<'t, V> {
    trace: &'t Trace,
    plan: &'t Plan,
    verify: V,
    random: Random,
    report: CrashReport,
    state: State,
    /// Fingerprints of states, with what was promised, that were verified.
    seen: HashSet<(u64, State)>,
}

/// Why a walk stops early.
enum Stop {
    Limit,
    Failed(Box<CrashFailure>),
}

impl<'t, V: FnMut(&MemoryStorage, State) -> Result<(), String>> Drive<'t, V> {
    pub(super) fn new(trace: &'t Trace, plan: &'t Plan, verify: V) -> Self {
        Self {
            trace,
            plan,
            verify,
            random: plan.random_numbers(),
            report: CrashReport::default(),
            state: plan.start,
            seen: HashSet::new(),
        }
    }

    pub(super) fn run(mut self) -> Result<CrashReport, Box<CrashFailure>> {
        match self.walk() {
            ControlFlow::Break(Stop::Failed(failure)) => return Err(failure),
            ControlFlow::Break(Stop::Limit) => self.report.ended = Ended::AtTheLimit,
            ControlFlow::Continue(()) => {}
        }
        Ok(self.report)
    }

    fn walk(&mut self) -> ControlFlow<Stop> {
        let mut model = Model::at_the_start_of(self.trace);
        // Whether a cut here could leave or break anything that the last cut could not.
        let mut news = true;
        for (index, op) in self.trace.ops.iter().enumerate() {
            let sync = match op {
                Op::Sync { outcome, .. } | Op::SyncDir { outcome, .. } => Some(*outcome),
                _ => None,
            };
            let mark = matches!(op, Op::Begun(_) | Op::Acknowledged(_));
            if news && (mark || sync.is_some()) {
                self.cut(&model)?;
                news = false;
            }
            match (op, sync) {
                (Op::Begun(id), _) => self.state.begun = self.state.begun.max(*id),
                (Op::Acknowledged(id), _) => {
                    self.state.acknowledged = self.state.acknowledged.max(*id);
                    news = true;
                }
                (_, Some(Outcome::Done)) => self.report.epochs += 1,
                (_, Some(Outcome::Failed | Outcome::Lied)) => {}
                _ => news = true,
            }
            model.apply(index, op);
            model.drop_idle_barriers();
        }
        self.report.epochs += 1;
        self.cut(&model)
    }

    /// Tries the states that a cut here could leave.
    fn cut(&mut self, model: &Model) -> ControlFlow<Stop> {
        let front = Front::of(model);
        let prints = Prints::of(&front);
        let plan = self.plan;
        // The generator needs the random numbers while the visitor needs the rest.
        let mut random = Random::from_seed(self.random.u64(..));
        front.each_choice(plan, &mut random, &mut |choice| {
            if self.report.states == plan.states {
                return ControlFlow::Break(Stop::Limit);
            }
            self.report.states += 1;
            if !self.seen.insert((front.fingerprint(&prints, &choice), self.state)) {
                return ControlFlow::Continue(());
            }
            self.report.distinct += 1;
            match self.complaint(&front, &choice) {
                None => ControlFlow::Continue(()),
                Some(complaint) => {
                    let failure = self.failure(&front, choice, complaint);
                    ControlFlow::Break(Stop::Failed(Box::new(failure)))
                }
            }
        })
    }

    /// What the verification says of a choice.
    fn complaint(&mut self, front: &Front<'_>, choice: &Choice) -> Option<String> {
        let files = front.build(choice);
        let (verify, state) = (&mut self.verify, self.state);
        match catch_unwind(AssertUnwindSafe(|| verify(&files, state))) {
            Ok(result) => result.err(),
            Err(panic) => Some(format!("the recovery panicked: {}", panic_text(&*panic))),
        }
    }

    /// Makes a bad choice as small as can be and puts it into words.
    fn failure(&mut self, front: &Front<'_>, choice: Choice, complaint: String) -> CrashFailure {
        let report = self.report;
        let mut complaint = complaint;
        let small = shrink::shrink(front, choice, |choice| match self.complaint(front, choice) {
            Some(other) => {
                complaint = other;
                true
            }
            None => false,
        });
        let operations = shrink::describe(front, &small, self.trace);
        CrashFailure { complaint, state: self.state, operations, report, seed: self.random.seed() }
    }
}

/// The message of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}
