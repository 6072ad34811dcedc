//! The figures that the mapping core has to reach.

use super::copy::{self, Copies, Source};
use super::sequential::{self, CALLS, Kernel, SEARCH, SUM};
use super::write::{self, Durable};
use super::{MIB, guard, means, random};
use crate::Result;
use crate::corpus::{Corpus, Folios, TestFile};
use crate::goal::{Bound, Goal};
use crate::harness::Outcome;
use crate::report::Report;
use crate::suite::Scale;

/// Measures all of them.
pub(super) fn run(scale: Scale, report: &mut Report) -> Result<()> {
    let corpus = Corpus::new()?;
    let len = scale.pick(256 * MIB, 1024 * MIB);
    for folios in Folios::BOTH {
        let file = corpus.file(folios.name(), len, folios)?;
        for kernel in [SUM, SEARCH] {
            warm_scans(&file, kernel, folios.as_str(), scale, report)?;
        }
        if folios == Folios::Large {
            copies(&file, scale, report)?;
            loads(&file, scale, report)?;
            installed(&file, scale, report)?;
        }
        std::fs::remove_file(&file.path)?;
    }
    fresh_pages(&corpus, scale, report)?;
    cold_scan(&corpus, scale, report)
}

/// Guarded copies against memcpy.
fn copies(file: &TestFile, scale: Scale, report: &mut Report) -> Result<()> {
    let view = means::view(&file.path)?;
    for source in [Source::Near, Source::Far] {
        for (size, shift) in [(64 << 10, 0), (64 << 10, 3), (1 << 20, 0), (4 << 20, 0)] {
            let copies = Copies { size, source, shift };
            let rounds = match source {
                Source::Near => scale.pick(15, 31),
                Source::Far => scale.pick(5, 9),
            };
            let outcome = copy::copy_out(file, &view, copies, rounds)?;
            let figure = format!("read_at of {} / memcpy", copies.describe());
            speed(report, figure, &outcome, &["read_at"], &["memcpy"], 0.95)?;
        }
    }
    Ok(())
}

/// Guarded loads against loads from a slice.
fn loads(file: &TestFile, scale: Scale, report: &mut Report) -> Result<()> {
    let count = scale.pick(500_000, 2_000_000);
    let rounds = scale.pick(9, 15);
    let size = file.len / MIB;
    for (outcome, how) in [
        (random::warm_words(file, count, rounds)?, "independent"),
        (random::chained_words(file, count / 4, rounds)?, "chained"),
    ] {
        let time = 1.0 / outcome.speed(&["get"], &["unchecked slice"]);
        report.outcome_aside(&outcome)?;
        report.goal(Goal {
            figure: format!("time of get::<u64>, {how}, {size} MiB / unchecked slice load"),
            ratio: time,
            bound: Bound::AtMost(1.3),
        })?;
    }
    Ok(())
}

/// Scans of a warm file.
fn warm_scans(
    file: &TestFile,
    kernel: Kernel,
    note: &str,
    scale: Scale,
    report: &mut Report,
) -> Result<()> {
    let rounds = scale.pick(5, 9);
    let what = format!("{}, {note}", kernel.name);
    let first = sequential::first_pass(file, kernel, note, rounds)?;
    let rivals = [CALLS, &["fresh map"]].concat();
    let figure = format!("scan, first pass, {what} / best of read, pread, fresh map");
    speed(report, figure, &first, &["scan"], &rivals, 0.95)?;
    let live = sequential::live_pass(file, kernel, note, rounds)?;
    let figure = format!("scan, second pass, {what} / memmap2 slice");
    speed(report, figure, &live, &["scan"], &["memmap2 slice"], 0.9)?;
    let figure = format!("scan, second pass, {what} / best read");
    speed(report, figure, &live, &["scan"], &["read"], 1.3)
}

/// Bulk writes of fresh pages.
fn fresh_pages(corpus: &Corpus, scale: Scale, report: &mut Report) -> Result<()> {
    let len = scale.pick(128 * MIB, 512 * MIB);
    let outcome = write::fresh(corpus, len, Durable::Later, scale.pick(3, 7))?;
    let figure = "write_at into a new allocated file / fallocate + write".to_string();
    speed(report, figure, &outcome, &["write_at, allocated"], &["fallocate + write"], 0.8)
}

/// A scan of a file that is on the device.
fn cold_scan(corpus: &Corpus, scale: Scale, report: &mut Report) -> Result<()> {
    let file = corpus.file("cold", scale.pick(128 * MIB, 512 * MIB), Folios::Large)?;
    let outcome = sequential::cold(&file, scale.pick(3, 9))?;
    let rivals = [CALLS, &["O_DIRECT"]].concat();
    let figure = "cold scan with prefetch / best of read, pread, O_DIRECT".to_string();
    speed(report, figure, &outcome, &["scan with prefetch"], &rivals, 0.95)
}

/// The cost of the handler. Two runs of one program differ by some hundredths here, so "none
/// measurable" is: not more than that.
fn installed(file: &TestFile, scale: Scale, report: &mut Report) -> Result<()> {
    let outcome = guard::installed(file, scale.pick(7, 15))?;
    report.outcome_aside(&outcome)?;
    let without = ["without handler", "without, once more"];
    report.goal(Goal {
        figure: "time of plain slices with the guard installed / without".into(),
        ratio: 1.0 / outcome.speed(&["with handler"], &without),
        bound: Bound::AtMost(1.02),
    })
}

/// A figure that is a speed.
fn speed(
    report: &mut Report,
    figure: String,
    outcome: &Outcome,
    ours: &[&str],
    theirs: &[&str],
    least: f64,
) -> Result<()> {
    report.outcome_aside(outcome)?;
    report.goal(Goal { figure, ratio: outcome.speed(ours, theirs), bound: Bound::AtLeast(least) })
}
