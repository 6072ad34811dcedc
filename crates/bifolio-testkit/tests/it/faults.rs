//! The toy on a storage that fails at every call in turn.

use std::cell::Cell;

use bifolio_map::ErrorKind;
use bifolio_map::storage::MemoryStorage;
use bifolio_testkit::bugs::Verdict;
use bifolio_testkit::fault::{Fault, Faults, Faulty, Lasting, sweep};
use bifolio_testkit::replay::State;

use crate::crashes::{check, here};
use crate::toy::{Through, Toy, Witness};

/// Remembers the highest numbers.
#[derive(Default)]
pub(crate) struct Marks(Cell<State>);

impl Marks {
    pub(crate) fn state(&self) -> State {
        self.0.get()
    }
}

impl Witness for Marks {
    fn begun(&self, number: u64) {
        self.0.set(State { begun: number, ..self.0.get() });
    }

    fn acknowledged(&self, number: u64) {
        self.0.set(State { acknowledged: number, ..self.0.get() });
    }
}

/// Works until something fails; then the handle must refuse, and the file be sound when it is
/// opened again.
fn work_until_it_fails(faults: &Faults, through: Through) -> Result<(), String> {
    let memory = MemoryStorage::new();
    let storage = Faulty::new(memory.clone(), faults);
    let marks = Marks::default();
    let mut refused_from_now_on = true;
    let outcome = Toy::create(&storage, here(), &marks, through).and_then(|mut toy| {
        for _ in 0..4 {
            let result = toy.commit(&storage, &marks);
            if result.is_err() {
                refused_from_now_on = matches!(
                    toy.commit(&storage, &marks),
                    Err(error) if error.kind() == ErrorKind::Poisoned
                );
                return result;
            }
        }
        Ok(())
    });
    let honest = faults.hits() == faults.lies();
    match outcome {
        Err(error) if honest => return Err(format!("an error without a cause: {error}")),
        Ok(()) if !honest => return Err("the error was swallowed".into()),
        _ => {}
    }
    if !refused_from_now_on {
        return Err("a handle that had failed went on".into());
    }
    check(&memory, here(), marks.state(), through)?;
    match memory.paths().as_slice() {
        [] => Ok(()),
        [path] if path.ends_with("toy") => Ok(()),
        left => Err(format!("this was left behind: {left:?}")),
    }
}

/// The sweep over all faults; the first complaint, with the number of runs until then.
fn sweep_all() -> Result<u64, (String, u64)> {
    let mut runs = 0;
    for fault in Fault::ALL {
        for lasting in [Lasting::Once, Lasting::ForEver] {
            for through in [Through::Calls, Through::AMap] {
                let report = sweep(fault, lasting, |faults| {
                    runs += 1;
                    work_until_it_fails(faults, through)
                });
                let report =
                    report.map_err(|complaint| (format!("{through:?}: {complaint}"), runs))?;
                assert!(report.calls > 5, "{fault:?} {report:?}");
            }
        }
    }
    Ok(runs)
}

/// What the sweep makes of a seeded bug, which is on.
pub(crate) fn hunt_by_faults() -> Verdict {
    match sweep_all() {
        Ok(after) => Verdict::Missed { after },
        Err((by, after)) => Verdict::Caught { by, after },
    }
}

#[test]
fn every_fault_at_every_call_comes_back_and_leaves_a_sound_file() {
    let runs = sweep_all().unwrap_or_else(|(complaint, _)| panic!("{complaint}"));
    println!("{runs} runs of the workload");
}
