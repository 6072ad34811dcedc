//! What Linux tells of the machine, through its files.

use std::io;
use std::path::{Path, PathBuf};

use crate::machine::MemoryLimit;
use crate::machine::text::{cgroup, meminfo};

/// Bytes that can be taken without swapping.
pub(crate) fn available_memory() -> io::Result<u64> {
    if let Some(bytes) = std::fs::read("/proc/meminfo").ok().and_then(|text| meminfo::available(&text))
    {
        return Ok(bytes);
    }
    // Without /proc a call tells what is free, which is less.
    let info = rustix::system::sysinfo();
    #[allow(clippy::useless_conversion, reason = "32 bits on some architectures")]
    Ok(u64::from(info.freeram).saturating_mul(u64::from(info.mem_unit)))
}

/// The limits that are set on the memory of this process.
pub(crate) fn memory_limits() -> Vec<MemoryLimit> {
    let (Ok(groups), Ok(mounts)) =
        (std::fs::read("/proc/self/cgroup"), std::fs::read("/proc/self/mountinfo"))
    else {
        return Vec::new();
    };
    cgroup::memory_limits(&groups, &mounts, |path: &Path| std::fs::read(path).ok())
}

/// A path of these bytes.
pub(crate) fn path_from_bytes(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    std::ffi::OsStr::from_bytes(bytes).into()
}
