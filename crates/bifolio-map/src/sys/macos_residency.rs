//! macOS's calls for residency.
#![expect(unsafe_code, reason = "system calls on raw addresses and descriptors")]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::darwin::fs::MetadataExt;
use std::path::Path;

use rustix::mm::{MapFlags, ProtFlags};

use super::{Description, Object};
use super::unix::{check, raw};
use crate::residency::{Mappers, Residency};
use crate::section::{Access, Create};

/// The system tells which pages of a file are in memory.
pub(crate) const TELLS_RESIDENCY: bool = true;

/// Bytes that this process has had read from devices.
pub(crate) fn bytes_from_disk() -> Option<u64> {
    let mut found = std::mem::MaybeUninit::<libc::rusage_info_v2>::zeroed();
    let pid = i32::try_from(std::process::id()).ok()?;
    // SAFETY: the structure is that of the version, and outlives the call.
    let code = unsafe {
        libc::proc_pid_rusage(pid, libc::RUSAGE_INFO_V2, found.as_mut_ptr().cast())
    };
    // SAFETY: zeros are a value of a structure of plain numbers.
    (code == 0).then(|| unsafe { found.assume_init() }.ri_diskio_bytesread)
}

/// Opens a file to look at its pages.
pub(crate) fn open_for_pages(path: &Path) -> io::Result<Object> {
    super::open(path, Access::Read, Create::Never, 0)
}

/// What there is to say about an open file.
pub(crate) fn describe(object: &Object) -> io::Result<Description> {
    let compressed = object.metadata()?.st_flags() & libc::UF_COMPRESSED != 0;
    Ok(Description { compressed, ..super::unix::describe_plainly(object)? })
}

/// The system counts nothing but what `mincore` tells.
pub(crate) fn cache_counts(_object: &Object, _offset: u64, _size: u64) -> io::Result<Residency> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Pages that are asked for in one call.
const WINDOW: u64 = 1 << 16;

/// Maps a range of pages without access, has `look` look at it, and unmaps it.
fn with_mapped<T>(
    file: &File,
    pages: &Range<u64>,
    look: impl FnOnce(*mut std::ffi::c_void, usize) -> io::Result<T>,
) -> io::Result<T> {
    let page = super::page_size() as u64;
    let size = usize::try_from((pages.end - pages.start).saturating_mul(page))
        .map_err(|_| io::ErrorKind::InvalidInput)?;
    let (nowhere, offset) = (std::ptr::null_mut(), pages.start.saturating_mul(page));
    // SAFETY: without MAP_FIXED the kernel replaces no existing mapping.
    let base = unsafe {
        rustix::mm::mmap(nowhere, size, ProtFlags::READ, MapFlags::SHARED, file, offset)
    }?;
    let found = look(base, size);
    // SAFETY: the mapping was made above and nobody else knows it.
    let unmapped = unsafe { rustix::mm::munmap(base, size) };
    let found = found?;
    unmapped?;
    Ok(found)
}

/// Tells the resident pages of a range of pages, as runs in order. They are not touched.
pub(crate) fn resident_runs(
    object: &Object,
    pages: Range<u64>,
    tell: &mut dyn FnMut(Range<u64>),
) -> io::Result<()> {
    let mut at = pages.start;
    while at < pages.end {
        let window = at..at + (pages.end - at).min(WINDOW);
        let answers = with_mapped(object, &window, |base, size| {
            let mut answers: Vec<libc::c_char> = vec![0; size / super::page_size()];
            // SAFETY: the range is mapped; the answer has a byte for each of its pages.
            check(unsafe { libc::mincore(base, size, answers.as_mut_ptr()) })?;
            Ok(answers)
        })?;
        let mut start = None;
        for (page, answer) in (at..).zip(&answers) {
            match (answer & 1, start) {
                (1, None) => start = Some(page),
                (0, Some(from)) => {
                    tell(from..page);
                    start = None;
                }
                _ => {}
            }
        }
        if let Some(from) = start {
            tell(from..window.end);
        }
        at = window.end;
    }
    Ok(())
}

/// Writes the file's dirty pages to the device and waits for them.
pub(crate) fn write_back(object: &Object, _offset: u64, _size: u64) -> io::Result<()> {
    Ok(rustix::fs::fsync(object)?)
}

/// Drops clean pages that nobody uses.
pub(crate) fn drop_from_cache(object: &Object, offset: u64, size: u64) -> io::Result<()> {
    let page = super::page_size() as u64;
    let (mut at, end) = (offset / page, offset.saturating_add(size).div_ceil(page));
    while at < end {
        let window = at..at + (end - at).min(WINDOW);
        with_mapped(object, &window, |base, size| {
            // SAFETY: the range is mapped from a file and shared; no byte of it changes.
            check(unsafe { libc::msync(base, size, libc::MS_INVALIDATE) })
        })?;
        at = window.end;
    }
    Ok(())
}

/// Reads by this handle bring in what they ask for and nothing beside it.
pub(crate) fn read_exactly(object: &Object) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(raw(object), libc::F_RDAHEAD, 0) })
}

/// Starts reading a range in.
pub(crate) fn will_need(object: &Object, offset: u64, size: u64) -> io::Result<()> {
    let mut at = offset;
    let end = offset.saturating_add(size);
    while at < end {
        let piece = (end - at).min(1 << 30);
        let advice = libc::radvisory {
            ra_offset: libc::off_t::try_from(at).map_err(|_| io::ErrorKind::InvalidInput)?,
            // At most 1 GiB.
            ra_count: i32::try_from(piece).unwrap_or(i32::MAX),
        };
        // SAFETY: the structure outlives the call.
        check(unsafe { libc::fcntl(raw(object), libc::F_RDADVISE, &raw const advice) })?;
        at += piece;
    }
    Ok(())
}

/// The system has no such list for ordinary users.
pub(crate) fn mappers(_object: &Object) -> io::Result<Mappers> {
    Err(io::ErrorKind::Unsupported.into())
}
