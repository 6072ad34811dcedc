//! Reads of the last complete value.

use std::time::Duration;

use bifolio_share::Region;
use mmap_sync::synchronizer::Synchronizer;

use crate::Result;
use crate::door;
use crate::goal::{Bound, Goal};
use crate::harness::{Bench, Outcome, Work};
use crate::report::Report;
use crate::suite::Scale;

const OURS: &str = "bifolio snapshot";
const RIVAL: &str = "mmap-sync";
const VALUE: [u64; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

pub(super) fn run(scale: Scale, report: &mut Report) -> Result<()> {
    report.outcome(&reads(scale)?)?;
    report.outcome(&writes(scale)?)
}

pub(super) fn goals(scale: Scale, report: &mut Report) -> Result<()> {
    let outcome = reads(scale)?;
    report.outcome_aside(&outcome)?;
    report.goal(Goal {
        figure: "snapshot read of 64 bytes / mmap-sync".into(),
        ratio: outcome.speed(&[OURS], &[RIVAL]),
        bound: Bound::AtLeast(3.0),
    })
}

/// 64 bytes that nobody writes meanwhile, read whole.
fn reads(scale: Scale) -> Result<Outcome> {
    let count: u64 = scale.pick(1_000_000, 4_000_000);
    let dir = tempfile::tempdir_in("/dev/shm")?;
    let region = Region::create(dir.path().join("region"))?;
    let snapshot = region.snapshot("value", 8, VALUE)?;
    let seqlock = region.seqlock("value too", VALUE)?;
    let mut theirs = Synchronizer::new(dir.path().join("theirs").as_os_str());
    theirs.write(&VALUE, Duration::from_secs(1))?;
    Bench::new("read the last value of 64 bytes", Work::Operations(count), RIVAL)
        .expect(VALUE.iter().sum::<u64>() * count)
        .with(OURS, "copied", || (0..count).map(|_| Ok(snapshot.read()?.iter().sum::<u64>())).sum())
        .with("bifolio snapshot, pinned", "any reader may die", || {
            (0..count).map(|_| Ok(snapshot.pin()?.get()?.iter().sum::<u64>())).sum()
        })
        .with("bifolio seqlock", "waits for a write", || {
            (0..count).map(|_| Ok(seqlock.read()?.iter().sum::<u64>())).sum()
        })
        .with(RIVAL, "in place, not validated", || {
            (0..count).map(|_| door::sum_of_mmap_sync(&mut theirs)).sum()
        })
        .measure(scale.pick(9, 21))
}

/// 64 bytes written whole, while nobody reads.
fn writes(scale: Scale) -> Result<Outcome> {
    let count: u64 = scale.pick(100_000, 400_000);
    let dir = tempfile::tempdir_in("/dev/shm")?;
    let region = Region::create(dir.path().join("region"))?;
    let snapshot = region.snapshot("value", 8, VALUE)?;
    let mut theirs = Synchronizer::new(dir.path().join("theirs").as_os_str());
    Bench::new("write a value of 64 bytes", Work::Operations(count), RIVAL)
        .expect(count)
        .with(OURS, "for 8 readers", || {
            for number in 1..=count {
                snapshot.write(&[number; 8])?;
            }
            Ok(snapshot.read()?[7])
        })
        .with(RIVAL, "two buffers", || {
            for number in 1..=count {
                theirs.write(&[number; 8], Duration::from_secs(1))?;
            }
            Ok(door::sum_of_mmap_sync(&mut theirs)? / 8)
        })
        .measure(scale.pick(9, 21))
}
