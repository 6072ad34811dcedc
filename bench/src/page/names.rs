//! Named sections against `shm_open`, `mmap` and `shm_unlink` by hand.

use std::ffi::CString;

use bifolio_map::names::{Lifetime, Name, Scope, unlink};
use bifolio_map::{Access, Create, ReadWrite, Section};

use crate::Result;
use crate::door;
use crate::goal::{Bound, Goal};
use crate::harness::{Bench, Outcome, Work};
use crate::report::Report;
use crate::suite::Scale;

const LEN: u64 = 4096;
const BY_HAND: &str = "shm_open, ftruncate, mmap, shm_unlink";
const OURS: &str = "named section";

/// Measures everything.
pub(super) fn run(scale: Scale, report: &mut Report) -> Result<()> {
    report.outcome(&lives(scale)?)
}

/// Measures the figures to reach.
pub(super) fn goals(scale: Scale, report: &mut Report) -> Result<()> {
    let outcome = lives(scale)?;
    report.outcome_aside(&outcome)?;
    report.goal(Goal {
        figure: format!("time of create + open + close + unlink, {LEN} bytes / by hand"),
        ratio: 1.0 / outcome.speed(&[OURS], &[BY_HAND]),
        bound: Bound::AtMost(1.5),
    })
}

/// The whole life of a name: created and mapped, opened and mapped by the name, a word handed from
/// one to the other, both closed, the name gone.
fn lives(scale: Scale) -> Result<Outcome> {
    let count = scale.pick(2_000, 10_000);
    let text = format!("bifolio bench {}", std::process::id());
    let (name, theirs) = (Name::new(&text)?, CString::new(format!("/{text}"))?);
    let by_hand = || -> Result<u64> {
        (0..count).map(|word| door::shared_memory_by_hand(&theirs, 4096, word)).sum()
    };
    let of_ours = |lifetime| {
        let name = &name;
        move || (0..count).map(|word| life_of_one(name, lifetime, word)).sum::<Result<u64>>()
    };
    Bench::new("create + open + close + unlink a named section", Work::Operations(count), BY_HAND)
        .expect((0..count).sum())
        .with(BY_HAND, "/dev/shm", by_hand)
        .with(OURS, "goes with its last handle", of_ours(Lifetime::LastHandle))
        .with("persistent section", "unlinked by name", of_ours(Lifetime::Persistent))
        .measure(scale.pick(9, 21))
}

fn life_of_one(name: &Name, lifetime: Lifetime, word: u64) -> Result<u64> {
    let options = Section::options().access(Access::ReadWrite).lifetime(lifetime);
    let first = options.clone().create(Create::New).len(LEN).named(name)?;
    let first = first.view::<ReadWrite>()?;
    let second = options.named(name)?.view::<ReadWrite>()?;
    first.put(0, &word)?;
    let seen = second.get(0)?;
    drop((first, second));
    if lifetime == Lifetime::Persistent {
        unlink(name, &Scope::Session)?;
    }
    Ok(seen)
}
