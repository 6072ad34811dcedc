//! The figures that the mapping core has to reach.

use super::copy::{self, Copies, Source};
use super::sequential::{self, Kernel, SEARCH, SUM};
use super::write::{self, Durable};
use super::{MIB, guard, means, random};
use crate::Result;
use crate::corpus::{Corpus, Folios, TestFile};
use crate::goal::{Bound, Goal};
use crate::harness::{Field, Outcome};
use crate::report::Report;
use crate::suite::Scale;

/// Measures all of them.
pub(super) fn run(scale: Scale, report: &mut Report) -> Result<()> {
    let corpus = Corpus::new()?;
    // Larger than any cache of the processor that this machine has for itself.
    for folios in Folios::BOTH {
        let file = corpus.file(folios.name(), scale.pick(128 * MIB, 384 * MIB), folios)?;
        for kernel in [SUM, SEARCH] {
            warm_scans(&file, kernel, folios.as_str(), scale, report)?;
        }
        std::fs::remove_file(&file.path)?;
    }
    let file = corpus.file("words", scale.pick(256 * MIB, 1024 * MIB), Folios::Large)?;
    copies(&file, scale, report)?;
    loads(&file, scale, report)?;
    std::fs::remove_file(&file.path)?;
    let file = corpus.file("slice", 128 * MIB, Folios::Large)?;
    installed(&file, scale, report)?;
    std::fs::remove_file(&file.path)?;
    fresh_pages(&corpus, scale, report)?;
    cold_scan(&corpus, scale, report)
}

/// Scans of a warm file.
fn warm_scans(
    file: &TestFile,
    kernel: Kernel,
    note: &str,
    scale: Scale,
    report: &mut Report,
) -> Result<()> {
    let rounds = scale.pick(5, 15);
    let what = format!("{}, {note}", kernel.name);

    let field = Field::Only(&["scan", "read", "pread", "fresh map"]);
    let first = sequential::first_pass(file, kernel, note, field, rounds)?;
    report.outcome_aside(&first)?;
    let figure = format!("scan, first pass, {what} / best of read, pread, fresh map");
    let rivals = ["read", "pread", "fresh map"];
    report.goal(at_least(0.95, figure, first.speed(&["scan"], &rivals)))?;

    let field = Field::Only(&["scan", "memmap2 slice", "read"]);
    let live = sequential::live_pass(file, kernel, note, field, rounds)?;
    report.outcome_aside(&live)?;
    let figure = format!("scan, second pass, {what} / memmap2 slice");
    report.goal(at_least(0.9, figure, live.speed(&["scan"], &["memmap2 slice"])))?;
    let figure = format!("scan, second pass, {what} / best read");
    report.goal(at_least(1.3, figure, live.speed(&["scan"], &["read"])))
}

/// Guarded copies against memcpy.
fn copies(file: &TestFile, scale: Scale, report: &mut Report) -> Result<()> {
    let view = means::view(&file.path)?;
    for source in [Source::Near, Source::Far] {
        for (size, shift) in [(64 << 10, 0), (64 << 10, 3), (1 << 20, 0), (4 << 20, 0)] {
            let copies = Copies { size, source, shift };
            let rounds = match source {
                Source::Near => scale.pick(15, 31),
                Source::Far => scale.pick(5, 11),
            };
            let outcome = copy::copy_out(file, &view, copies, rounds)?;
            report.outcome_aside(&outcome)?;
            let figure = format!("read_at of {} / memcpy", copies.describe());
            report.goal(at_least(0.95, figure, outcome.speed(&["read_at"], &["memcpy"])))?;
        }
    }
    Ok(())
}

/// Guarded loads against loads from a slice.
fn loads(file: &TestFile, scale: Scale, report: &mut Report) -> Result<()> {
    let count = scale.pick(200_000, 1_000_000);
    let rounds = scale.pick(9, 21);
    let field = Field::Only(&["get", "unchecked slice"]);
    for (outcome, how) in [
        (random::warm_words(file, count, field, rounds)?, "independent"),
        (random::chained_words(file, count / 4, rounds)?, "chained"),
    ] {
        report.outcome_aside(&outcome)?;
        let size = file.len / MIB;
        let figure = format!("time of get::<u64>, {how}, {size} MiB / unchecked slice load");
        let ratio = time(&outcome, &["get"], &["unchecked slice"]);
        report.goal(Goal { figure, ratio, bound: Bound::AtMost(1.3) })?;
    }
    Ok(())
}

/// The cost of the handler. Two runs of one program differ by some hundredths here, so "none
/// measurable" is: not more than that.
fn installed(file: &TestFile, scale: Scale, report: &mut Report) -> Result<()> {
    let outcome = guard::installed(file, scale.pick(7, 21))?;
    report.outcome_aside(&outcome)?;
    let figure = "time of plain slices with the guard installed / without".into();
    let ratio = time(&outcome, &["with handler"], &["without handler", "without, once more"]);
    report.goal(Goal { figure, ratio, bound: Bound::AtMost(1.02) })
}

/// Bulk writes of fresh pages.
fn fresh_pages(corpus: &Corpus, scale: Scale, report: &mut Report) -> Result<()> {
    let len = scale.pick(64 * MIB, 256 * MIB);
    let field = Field::Only(&["write_at, allocated", "fallocate + write"]);
    let outcome = write::fresh(corpus, len, Durable::Later, field, scale.pick(5, 15))?;
    report.outcome_aside(&outcome)?;
    let figure = "write_at into a new allocated file / fallocate + write".into();
    let ratio = outcome.speed(&["write_at, allocated"], &["fallocate + write"]);
    report.goal(at_least(0.8, figure, ratio))
}

/// A scan of a file that is on the device.
fn cold_scan(corpus: &Corpus, scale: Scale, report: &mut Report) -> Result<()> {
    let file = corpus.file("cold", scale.pick(64 * MIB, 256 * MIB), Folios::Large)?;
    let field = Field::Only(&["scan with prefetch", "read", "pread", "O_DIRECT"]);
    let outcome = sequential::cold(&file, field, scale.pick(3, 11))?;
    report.outcome_aside(&outcome)?;
    let figure = "cold scan with prefetch / best of read, pread, O_DIRECT".into();
    let ratio = outcome.speed(&["scan with prefetch"], &["read", "pread", "O_DIRECT"]);
    report.goal(at_least(0.95, figure, ratio))
}

fn at_least(bound: f64, figure: String, ratio: f64) -> Goal {
    Goal { figure, ratio, bound: Bound::AtLeast(bound) }
}

/// How many times as long as the best of `theirs` the best of `ours` takes.
fn time(outcome: &Outcome, ours: &[&str], theirs: &[&str]) -> f64 {
    1.0 / outcome.speed(ours, theirs)
}
