//! What it costs that the fault handler is installed: nothing, if work on plain slices takes as
//! long with it as without.
//!
//! A handler cannot be taken back, so each run is a process of its own. "Without, once more" is the
//! control: how far two equal contenders lie apart on this machine.

use std::path::Path;

use bifolio_map::fault::{self, Status};

use crate::corpus::TestFile;
use crate::harness::{Bench, Outcome, Sample, Work, timed};
use crate::kernel::{Random, sum, word};
use crate::{Result, child, door};

/// The tasks of the children.
pub(super) const WITHOUT: &str = "guard-without";
pub(super) const WITH: &str = "guard-with";

const LOADS: usize = 1 << 21;

/// Sums and random loads through a plain slice, with and without the handler.
pub(super) fn installed(file: &TestFile, rounds: usize) -> Result<Outcome> {
    let ask = |task: &'static str| {
        move || {
            let answer = child::ask(task, &file.path)?;
            Ok(Sample { took: answer.took, digest: answer.digest })
        }
    };
    Bench::new("a pass and random loads through a slice", Work::Bytes(file.len), "without handler")
        .with_parts("without handler", "", || Ok(()), ask(WITHOUT))
        .with_parts("with handler", "", || Ok(()), ask(WITH))
        .with_parts("without, once more", "", || Ok(()), ask(WITHOUT))
        .measure(rounds)
}

/// The work of a child.
pub(super) fn task(task: &str, path: &Path) -> Result<Sample> {
    let expected = if task == WITH {
        // Any view installs the handler.
        bifolio_map::Section::anonymous(1)?.view::<bifolio_map::Read>()?;
        Status::Active
    } else {
        Status::NotInstalled
    };
    if fault::status() != expected {
        return Err(format!("the handler is {:?}, not {expected:?}", fault::status()).into());
    }
    let map = door::map(path)?;
    let offsets = Random::offsets(17, LOADS, map.len() as u64, 8);
    let work = || {
        let random = offsets.iter().fold(0u64, |seen, &at| seen.wrapping_add(word(&map, at)));
        Ok(sum(&map).wrapping_add(random))
    };
    // The first pass maps the pages; the best of the others is least disturbed.
    work()?;
    let mut best = timed(work)?;
    for _ in 0..4 {
        let next = timed(work)?;
        if next.took < best.took {
            best = next;
        }
    }
    Ok(best)
}
