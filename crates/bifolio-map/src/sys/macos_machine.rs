//! What macOS tells of the machine.
#![expect(unsafe_code, reason = "system calls")]

use std::io;
use std::path::PathBuf;

use crate::machine::MemoryLimit;

/// Bytes that can be taken without swapping: pages that are free, not used lately, or given up.
pub(crate) fn available_memory() -> io::Result<u64> {
    // SAFETY: all fields are numbers.
    let mut found: libc::vm_statistics64 = unsafe { std::mem::zeroed() };
    let mut size = libc::HOST_VM_INFO64_COUNT;
    #[expect(deprecated, reason = "another crate for one call")]
    // SAFETY: no arguments; the right to the host needs no giving back.
    let host = unsafe { libc::mach_host_self() };
    // SAFETY: the structure has room for as many words as are announced.
    let code = unsafe {
        libc::host_statistics64(
            host,
            libc::HOST_VM_INFO64,
            (&raw mut found).cast(),
            &raw mut size,
        )
    };
    if code != libc::KERN_SUCCESS {
        return Err(io::Error::other(format!("host_statistics64 says {code}")));
    }
    let pages = u64::from(found.free_count)
        + u64::from(found.inactive_count)
        + u64::from(found.purgeable_count);
    Ok(pages.saturating_mul(super::page_size() as u64))
}

/// The limits that are set on the memory of this process: there are none to be asked.
pub(crate) fn memory_limits() -> Vec<MemoryLimit> {
    Vec::new()
}

/// A path of these bytes.
pub(crate) fn path_from_bytes(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    std::ffi::OsStr::from_bytes(bytes).into()
}
