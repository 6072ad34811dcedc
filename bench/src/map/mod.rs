//! The suite of the mapping core.

mod copy;
mod goals;
mod guard;
mod means;
mod memory;
mod pieces;
mod processes;
mod random;
mod sequential;
mod taken;
mod write;

use std::path::Path;

use copy::{Copies, Source};
use pieces::Piece;
use sequential::{SEARCH, SUM};
use write::Durable;

use crate::Result;
use crate::corpus::{Corpus, Folios};
use crate::harness::{Field, Sample};
use crate::report::Report;
use crate::suite::{Scale, Suite};

/// The suite.
pub(crate) const SUITE: Suite = Suite {
    name: "map",
    about: "maps, reads and writes of one file; what guarding, faults and the device cost",
    run,
    goals: goals::run,
};

const MIB: u64 = 1 << 20;

fn run(scale: Scale, report: &mut Report) -> Result<()> {
    let corpus = Corpus::new()?;
    let rounds = scale.pick(5, 15);
    let few = scale.pick(3, 7);
    let len = scale.pick(128 * MIB, 1024 * MIB);
    let count = scale.pick(200_000, 2_000_000);

    report.outcome(&copy::limits(scale.pick(64 << 20, 256 << 20), rounds)?)?;
    report.outcome(&memory::bandwidth(scale.pick(128 * MIB, 512 * MIB), rounds)?)?;
    report.outcome(&memory::random(scale.pick(128 * MIB, 512 * MIB), count, rounds)?)?;
    report.outcome(&memory::recovered(scale.pick(200, 2000), rounds)?)?;

    for folios in Folios::BOTH {
        let (file, note) = (corpus.file(folios.name(), len, folios)?, folios.as_str());
        for kernel in [SUM, SEARCH] {
            report.outcome(&sequential::first_pass(&file, kernel, note, Field::All, rounds)?)?;
            report.outcome(&sequential::live_pass(&file, kernel, note, Field::All, rounds)?)?;
        }
        report.outcome(&memory::faults(&corpus, &file, note, rounds)?)?;
        if folios == Folios::Large {
            report.outcome(&random::warm_words(&file, count, Field::All, rounds)?)?;
            report.outcome(&random::chained_words(&file, count / 4, rounds)?)?;
            report.outcome(&random::warm_pages(&file, count / 20, rounds)?)?;
            for piece in Piece::BOTH {
                let len = part(scale, piece);
                report.outcome(&pieces::warm(&file, len, piece, rounds)?)?;
            }
            let view = means::view(&file.path)?;
            for source in [Source::Near, Source::Far] {
                for size in [8, 64, 4 << 10, 64 << 10, 1 << 20, 4 << 20] {
                    let copies = Copies { size, source, shift: 0 };
                    report.outcome(&copy::copy_out(&file, &view, copies, few)?)?;
                }
            }
            report.outcome(&guard::installed(&file, few)?)?;
            report.outcome(&taken::memory(&file, few)?)?;
        }
        std::fs::remove_file(&file.path)?;
    }

    let cold = corpus.file("cold", scale.pick(64 * MIB, 512 * MIB), Folios::Large)?;
    report.outcome(&sequential::cold(&cold, Field::All, few)?)?;
    for piece in Piece::BOTH {
        report.outcome(&pieces::cold(&cold, part(scale, piece), piece, few)?)?;
        report.outcome(&random::cold(&cold, piece, scale.pick(200, 2000), few)?)?;
    }
    report.outcome(&processes::bytes_from_disk(&cold, few)?)?;
    report.outcome(&taken::one_byte(&cold, few)?)?;
    std::fs::remove_file(&cold.path)?;

    report.outcome(&taken::written_again(&corpus, scale.pick(16, 64) * MIB, few)?)?;
    for durable in [Durable::Later, Durable::Now] {
        let len = scale.pick(32 * MIB, 256 * MIB);
        report.outcome(&write::fresh(&corpus, len, durable, Field::All, few)?)?;
        report.outcome(&write::again(&corpus, len, durable, few)?)?;
    }
    Ok(())
}

/// How much of a file is read piece by piece: words cost a call each.
fn part(scale: Scale, piece: Piece) -> u64 {
    match piece {
        Piece::Word => scale.pick(4 * MIB, 16 * MIB),
        Piece::Page => scale.pick(32 * MIB, 256 * MIB),
    }
}

/// The work of the children of this suite.
pub(crate) fn child_task(task: &str, path: &Path) -> Result<Sample> {
    match task {
        guard::WITH | guard::WITHOUT => guard::task(task, path),
        _ => processes::task(task, path),
    }
}
