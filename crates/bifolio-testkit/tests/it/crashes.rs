//! The toy in every state that a power cut could leave it in.

use std::path::Path;
use std::time::Instant;

use bifolio_map::storage::{MemoryStorage, Storage};
use bifolio_testkit::budget;
use bifolio_testkit::bugs::{Hunt, Verdict, every_bug_is_caught};
use bifolio_testkit::fault::{Fault, Faults, Faulty, Lasting};
use bifolio_testkit::record::Recorder;
use bifolio_testkit::replay::{CrashFailure, CrashReport, Ended, Plan, State, crash_again, replay};
use bifolio_testkit::trace::Trace;

use crate::faults::hunt_by_faults;
use crate::toy::{Bug, Through, Toy, Witness, payload};

impl<S: Storage> Witness for Recorder<S> {
    fn begun(&self, number: u64) {
        Recorder::begun(self, number);
    }

    fn acknowledged(&self, number: u64) {
        Recorder::acknowledged(self, number);
    }
}

/// The directory of a storage in memory.
pub(crate) fn here() -> &'static Path {
    Path::new("")
}

/// Makes a toy and commits a few times.
pub(crate) fn work<S: Storage>(
    recorder: &Recorder<S>,
    through: Through,
) -> bifolio_map::Result<()> {
    let mut toy = Toy::create(recorder, here(), recorder, through)?;
    for _ in 0..5 {
        toy.commit(recorder, recorder)?;
    }
    Ok(())
}

fn trace(through: Through) -> Trace {
    let recorder = Recorder::new(MemoryStorage::new());
    work(&recorder, through).expect("nothing fails in memory");
    recorder.trace()
}

/// Opens the toy and checks that it has what it must.
pub(crate) fn check(
    files: &dyn Storage,
    dir: &Path,
    state: State,
    through: Through,
) -> Result<(), String> {
    let toy = Toy::open(files, dir, through).map_err(|error| error.to_string())?;
    let Some(toy) = toy else { return state.require(0) };
    state.require(toy.number())?;
    let bytes = toy.read().map_err(|error| error.to_string())?;
    if bytes == payload(toy.number()) {
        Ok(())
    } else {
        Err(format!("commit {} has the wrong bytes", toy.number()))
    }
}

/// Replays a trace, and on every `nth` state crashes again: inside the recovery and inside the
/// commit after it.
fn crash(
    trace: &Trace,
    plan: &Plan,
    through: Through,
    nth: u64,
) -> (Result<CrashReport, Box<CrashFailure>>, CrashReport) {
    let mut again = CrashReport::default();
    let mut count = 0;
    let inner = Plan::new().exhaustive(3).random(2).torn(4);
    let result = replay(trace, plan, |files, state| {
        count += 1;
        if count % nth == 0 {
            let go_on = |recorder: &Recorder<MemoryStorage>| {
                let toy =
                    Toy::open(recorder, here(), through).map_err(|error| error.to_string())?;
                let Some(mut toy) = toy else { return Ok(()) };
                toy.commit(recorder, recorder).map_err(|error| error.to_string())
            };
            let checked = |files: &MemoryStorage, state| check(files, here(), state, through);
            let copy = files.paths().into_iter();
            let copy = copy.map(|path| (path.clone(), files.contents(&path).unwrap_or_default()));
            let copy = MemoryStorage::from_files(copy);
            again.add(crash_again(&copy, state, &inner, go_on, checked)?);
        }
        check(files, here(), state, through)
    });
    (result, again)
}

#[test]
fn the_correct_toy_recovers_from_every_crash_state() {
    for through in [Through::Calls, Through::AMap] {
        let start = Instant::now();
        let plan = Plan::new().random(budget(200)).torn(budget(500));
        let (result, again) = crash(&trace(through), &plan, through, 16);
        let report = result.unwrap_or_else(|failure| panic!("{failure}"));
        println!("{through:?}: {report}; again: {again}; {:.1?}", start.elapsed());
        assert_eq!(report.ended, Ended::AtTheEnd);
        assert!(report.distinct > 500, "{report}");
        assert!(again.distinct > 100, "{again}");
    }
}

#[test]
fn every_seeded_bug_of_the_toy_is_caught() {
    let caught = every_bug_is_caught("toy", Bug::ALL, Hunt::new(), |bug, hunt| {
        bug.while_on(|| match bug {
            Bug::SyncsAgainAfterFailure => hunt_with_failing_syncs(hunt),
            // What only a failing call shows.
            Bug::IgnoresFailedWrites
            | Bug::IgnoresFailedSyncs
            | Bug::GoesOnAfterFailure
            | Bug::LeavesTheUnfinished => hunt_by_faults(),
            _ => {
                let mut tried = 0;
                for through in [Through::Calls, Through::AMap] {
                    let plan = Plan::new().at_most(hunt.states);
                    let verdict = crash(&trace(through), &plan, through, 4).0.into();
                    match verdict {
                        Verdict::Caught { .. } => return verdict,
                        Verdict::Missed { after } => tried += after,
                    }
                }
                Verdict::Missed { after: tried }
            }
        })
    });
    assert!(caught.len() >= 8);
}

/// Fails each sync in turn and replays what the toy did.
fn hunt_with_failing_syncs(hunt: Hunt) -> Verdict {
    let mut tried = 0;
    for nth in 1.. {
        let faults = Faults::at(Fault::SyncFails, nth, Lasting::Once);
        let recorder = Recorder::over_faults(Faulty::new(MemoryStorage::new(), &faults));
        let _refused = work(&recorder, Through::Calls);
        if faults.hits() == 0 {
            break;
        }
        let plan = Plan::new().at_most(hunt.states);
        let result = replay(&recorder.trace(), &plan, |files, state| {
            check(files, here(), state, Through::Calls)
        });
        match result {
            Ok(report) => tried += report.states,
            Err(failure) => {
                let after = tried + failure.report.states;
                return Verdict::Caught { by: failure.complaint, after };
            }
        }
    }
    Verdict::Missed { after: tried }
}

#[test]
fn a_toy_that_stops_after_a_failed_sync_loses_nothing_acknowledged() {
    let verdict = hunt_with_failing_syncs(Hunt::new());
    assert!(matches!(verdict, Verdict::Missed { after } if after > 1000), "{verdict:?}");
}

#[test]
fn a_lying_sync_under_a_correct_toy_is_found_by_the_replay() {
    let mut found = 0;
    let mut syncs = 0;
    for nth in 1.. {
        let faults = Faults::at(Fault::SyncLies, nth, Lasting::Once);
        let recorder = Recorder::over_faults(Faulty::new(MemoryStorage::new(), &faults));
        work(&recorder, Through::Calls).expect("a lie is no error");
        if faults.hits() == 0 {
            break;
        }
        syncs += 1;
        let checked = |files: &MemoryStorage, state| check(files, here(), state, Through::Calls);
        found += u64::from(replay(&recorder.trace(), &Plan::new(), checked).is_err());
    }
    assert_eq!(found, syncs, "each of these syncs is needed");
}
