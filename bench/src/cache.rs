//! The page cache: dropping a file from it, and counting what comes from the device.

use std::fs::File;
use std::path::Path;

use rustix::fs::Advice;

use crate::Result;

/// Writes a file out and drops it from the page cache. Pages that somebody has mapped stay, so
/// maps of it must be gone.
pub(crate) fn drop_file(path: &Path) -> Result<()> {
    let file = File::open(path)?;
    rustix::fs::fsync(&file)?;
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
    Ok(())
}

/// Bytes that this process has had read from devices so far.
pub(crate) fn bytes_from_disk() -> Result<u64> {
    counter("read_bytes: ")
}

/// Bytes that this process has had written to devices so far, or that will be: the kernel counts
/// them when a clean page becomes dirty.
pub(crate) fn bytes_to_disk() -> Result<u64> {
    counter("write_bytes: ")
}

fn counter(name: &str) -> Result<u64> {
    let counters = std::fs::read_to_string("/proc/self/io")?;
    let count = counters
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .ok_or_else(|| format!("/proc/self/io has no {name}"))?;
    Ok(count.parse()?)
}

/// Runs `work`, which reads at least `bytes`, and fails if less than nine tenths of them came from
/// the device: then the cache was not cold, and the figure would be a lie.
pub(crate) fn cold(bytes: u64, work: impl FnOnce() -> Result<u64>) -> Result<u64> {
    let before = bytes_from_disk()?;
    let digest = work()?;
    let read = bytes_from_disk()? - before;
    if read < bytes / 10 * 9 {
        return Err(format!("only {read} of {bytes} bytes came from the device").into());
    }
    Ok(digest)
}
