//! Two processes that read one file, one after the other: who goes to the device?

use std::fs::File;
use std::path::Path;

use super::means::{self, buffer};
use crate::corpus::TestFile;
use crate::harness::{Bench, Outcome, Sample, Work, timed};
use crate::{Result, cache, child, door, kernel};

/// The tasks of the children.
pub(super) const BY_MAP: &str = "read-by-map";
pub(super) const BY_READ: &str = "read-by-read";
pub(super) const BY_DIRECT: &str = "read-by-direct";
pub(super) const BY_SCAN: &str = "read-by-scan";

/// Bytes from the device for two processes that each read the whole file.
pub(super) fn bytes_from_disk(file: &TestFile, rounds: usize) -> Result<Outcome> {
    let both = |task: &'static str| {
        move || {
            let (first, second) = (child::ask(task, &file.path)?, child::ask(task, &file.path)?);
            for answer in [first, second] {
                if answer.digest != file.sum {
                    return Err("a process read other bytes".into());
                }
            }
            let digest = first.from_disk + second.from_disk;
            Ok(Sample { took: first.took + second.took, digest })
        }
    };
    let name = format!("bytes from disk, two processes, {} MiB", file.len >> 20);
    let drop = || cache::drop_file(&file.path);
    Bench::new(name, Work::Count, "memmap2 slice")
        .with_parts("memmap2 slice", "", drop, both(BY_MAP))
        .with_parts("read", "1 MiB", drop, both(BY_READ))
        .with_parts("O_DIRECT", "1 MiB", drop, both(BY_DIRECT))
        .with_parts("scan", "", drop, both(BY_SCAN))
        .measure(rounds)
}

/// The work of a child.
pub(super) fn task(task: &str, path: &Path) -> Result<Sample> {
    let sum = kernel::sum;
    let mut bytes = buffer(1 << 20)?;
    timed(|| match task {
        BY_MAP => Ok(sum(&door::map(path)?)),
        BY_READ => means::read(path, &mut bytes, sum),
        BY_DIRECT => {
            let len = File::open(path)?.metadata()?.len();
            means::pread(&means::open_direct(path)?, 0..len, &mut bytes, sum)
        }
        BY_SCAN => {
            let view = means::view(path)?;
            means::scan(&view, bifolio_map::view::ScanPlan::Auto, 0..view.len(), sum)
        }
        _ => Err(format!("there is no task {task:?}").into()),
    })
}
