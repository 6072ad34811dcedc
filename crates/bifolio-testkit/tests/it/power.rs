//! The toy on real file systems whose power is cut.

use std::path::Path;

use bifolio_map::storage::{RealStorage, Storage};
use bifolio_testkit::mount::Filesystem;
use bifolio_testkit::power::PowerRig;
use bifolio_testkit::replay::State;
use bifolio_testkit::{Random, budget, skip};

use crate::crashes::check;
use crate::faults::Marks;
use crate::toy::{Bug, Through, Toy};

/// Makes a toy in a new directory, commits a few times, and closes it.
fn work(dir: &Path, commits: u64, through: Through) -> State {
    std::fs::create_dir(dir).unwrap();
    RealStorage.sync_dir(dir.parent().unwrap()).unwrap();
    let marks = Marks::default();
    let mut toy = Toy::create(&RealStorage, dir, &marks, through).unwrap();
    for _ in 0..commits {
        toy.commit(&RealStorage, &marks).unwrap();
    }
    marks.state()
}

/// Cuts the power so often, each time after some commits; returns the first complaint.
fn cut_and_check(filesystem: Filesystem, cuts: u64) -> Option<Result<(), String>> {
    let mut rig = skip::or_count(PowerRig::new(filesystem))?;
    let mut random = Random::new();
    for number in 0..cuts {
        let dir = rig.path().join(number.to_string());
        let through = if random.bool() { Through::Calls } else { Through::AMap };
        let state = work(&dir, random.u64(0..6), through);
        skip::or_count(rig.cut())?;
        if let Err(complaint) = check(&RealStorage, &dir, state, through) {
            return Some(Err(complaint));
        }
    }
    assert_eq!(rig.cuts(), cuts);
    Some(Ok(()))
}

#[test]
#[cfg_attr(miri, ignore = "mounts file systems")]
fn what_was_acknowledged_survives_a_power_cut() {
    for filesystem in Filesystem::ALL {
        let cuts = budget(10);
        if let Some(result) = cut_and_check(filesystem, cuts) {
            result.unwrap_or_else(|complaint| panic!("{filesystem:?}: {complaint}"));
            println!("{filesystem:?}: nothing lost in {cuts} power cuts");
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "mounts file systems")]
fn without_syncs_a_power_cut_loses_what_was_acknowledged() {
    for filesystem in Filesystem::ALL {
        let result = Bug::NoSync.while_on(|| cut_and_check(filesystem, 10));
        if let Some(result) = result {
            let complaint = result.expect_err("ten cuts lose something that was never synced");
            println!("{filesystem:?}: {complaint}");
        }
    }
}
