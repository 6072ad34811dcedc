//! Objects against files by hand.

use std::ffi::OsString;
use std::process::Command;

use bifolio_share::{Objects, Removal};

use crate::Result;
use crate::goal::{Bound, Goal};
use crate::harness::{Bench, Outcome, Work};
use crate::report::Report;
use crate::suite::Scale;

const SIZE: usize = 4096;

const OURS: &str = "bifolio objects";
const PLASMA: &str = "Plasma";

pub(super) fn run(scale: Scale, report: &mut Report) -> Result<()> {
    report.outcome(&put_and_get(scale)?)
}

pub(super) fn goals(scale: Scale, report: &mut Report) -> Result<()> {
    let outcome = put_and_get(scale)?;
    report.outcome_aside(&outcome)?;
    if python().is_some() {
        report.goal(Goal {
            figure: "object put + get + remove 4 KiB / Plasma".into(),
            ratio: outcome.speed(&[OURS], &[PLASMA]),
            bound: Bound::AtLeast(3.0),
        })?;
    }
    Ok(())
}

/// The Python that has Plasma, if the user says which one.
fn python() -> Option<OsString> {
    std::env::var_os("BIFOLIO_PLASMA_PYTHON")
}

/// 4 KiB put, read and removed, in `/dev/shm`; by hand as careful people do it, without pins.
fn put_and_get(scale: Scale) -> Result<Outcome> {
    let count: u64 = scale.pick(2_000, 10_000);
    let dir = tempfile::tempdir_in("/dev/shm")?;
    let (ours, by_hand) = (dir.path().join("ours"), dir.path().join("by hand"));
    std::fs::create_dir(&ours)?;
    std::fs::create_dir(&by_hand)?;
    let objects = Objects::open(&ours)?;
    let bytes = vec![3_u8; SIZE];
    let digest = |found: &[u8]| found.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    const BY_HAND: &str = "write, rename, read, unlink";
    let mut bench = Bench::new("put + get + remove 4 KiB", Work::Operations(count), BY_HAND)
        .expect(count * 3 * SIZE as u64)
        .with(OURS, "pinned while read", || {
            let mut sum = 0;
            for _ in 0..count {
                objects.put("object", &bytes)?;
                let object = objects.get("object")?.ok_or("it is not there")?;
                sum += digest(&object.to_vec()?);
                drop(object);
                if objects.remove("object")? != Removal::Done {
                    return Err("it was not there".into());
                }
            }
            Ok(sum)
        })
        .with(BY_HAND, "nothing is pinned", || {
            let (aside, path) = (by_hand.join("aside"), by_hand.join("object"));
            let mut sum = 0;
            for _ in 0..count {
                std::fs::write(&aside, &bytes)?;
                std::fs::rename(&aside, &path)?;
                sum += digest(&std::fs::read(&path)?);
                std::fs::remove_file(&path)?;
            }
            Ok(sum)
        });
    if let Some(python) = python() {
        let script = dir.path().join("plasma.py");
        std::fs::write(&script, include_str!("plasma.py"))?;
        bench = bench.with_parts(
            PLASMA,
            "a server, from Python",
            || Ok(()),
            move || super::timed_by(Command::new(&python).arg(&script).arg(count.to_string())),
        );
    } else {
        eprintln!("without Plasma: BIFOLIO_PLASMA_PYTHON names no Python with pyarrow 11");
    }
    bench.measure(scale.pick(9, 21))
}
