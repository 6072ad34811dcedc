//! Linux's calls for residency.
#![expect(unsafe_code, reason = "system calls on raw addresses and descriptors")]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::Advice;
use rustix::mm::{MapFlags, ProtFlags};

use super::unix::{check, raw};
use super::{Description, FileKind, Identity, Object, inherited_path};
use crate::machine::Kind;
use crate::residency::Residency;

/// The system tells which pages of a file are in memory.
pub(crate) const TELLS_RESIDENCY: bool = true;

/// Bytes that this process has had read from devices.
pub(crate) fn bytes_from_disk() -> Option<u64> {
    let counters = std::fs::read_to_string("/proc/self/io").ok()?;
    counters.lines().find_map(|line| line.strip_prefix("read_bytes: ")?.trim().parse().ok())
}

/// Its number on every architecture that we build for.
const SYS_CACHESTAT: libc::c_long = 451;

/// `struct cachestat_range`
#[repr(C)]
struct CachestatRange {
    offset: u64,
    len: u64,
}

/// `struct cachestat`
#[repr(C)]
#[derive(Default)]
struct Cachestat {
    cache: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// Opens a file to look at its pages. Only the owner and root may ask for the access time to stay
/// as it is.
pub(crate) fn open_for_pages(path: &Path) -> io::Result<Object> {
    let open = |extra| {
        File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | extra)
            .open(path)
    };
    match open(libc::O_NOATIME) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => open(0),
        result => result,
    }
}

/// What there is to say about an open file, by one call.
pub(crate) fn describe(object: &Object) -> io::Result<Description> {
    use rustix::fs::{AtFlags, FileType, StatxAttributes, StatxFlags, makedev};
    let wanted = StatxFlags::BASIC_STATS;
    let found = match rustix::fs::statx(object, c"", AtFlags::EMPTY_PATH, wanted) {
        Ok(found) => found,
        // Kernels before 4.11, and sandboxes that never heard of it.
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {
            return super::unix::describe_plainly(object);
        }
        Err(error) => return Err(error.into()),
    };
    let kind = match FileType::from_raw_mode(found.stx_mode.into()) {
        FileType::RegularFile => FileKind::Regular,
        FileType::Directory => FileKind::Directory,
        FileType::Fifo => FileKind::Pipe,
        FileType::Socket => FileKind::Socket,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::CharacterDevice => FileKind::CharDevice,
        FileType::Symlink | FileType::Unknown => FileKind::Other,
    };
    let volume = makedev(found.stx_dev_major, found.stx_dev_minor);
    let len = if kind == FileKind::BlockDevice { super::len(object)? } else { found.stx_size };
    Ok(Description {
        kind,
        len,
        allocated: found.stx_blocks.saturating_mul(512),
        identity: Identity { volume, file: u128::from(found.stx_ino) },
        links: found.stx_nlink.into(),
        modified: time_of(found.stx_mtime.tv_sec, found.stx_mtime.tv_nsec),
        compressed: found.stx_attributes.contains(StatxAttributes::COMPRESSED),
    })
}

fn time_of(seconds: i64, nanos: u32) -> Option<SystemTime> {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let base = match seconds {
        0.. => SystemTime::UNIX_EPOCH.checked_add(whole),
        _ => SystemTime::UNIX_EPOCH.checked_sub(whole),
    };
    base?.checked_add(Duration::from_nanos(nanos.into()))
}

/// The counts of a range of at least one byte; `Unsupported` from kernels before 6.5, where the
/// call is refused, and on overlayfs.
pub(crate) fn cache_counts(object: &Object, offset: u64, size: u64) -> io::Result<Residency> {
    let range = CachestatRange { offset, len: size };
    let mut found = Cachestat::default();
    // SAFETY: both structures are as the kernel declares them and outlive the call.
    let code = unsafe {
        libc::syscall(SYS_CACHESTAT, raw(object), &raw const range, &raw mut found, 0u32)
    };
    if code != 0 {
        let error = io::Error::last_os_error();
        return Err(match error.raw_os_error() {
            // Not this kernel, or not for this kind of file (hugetlbfs).
            Some(libc::ENOSYS | libc::EOPNOTSUPP)
            // Filters of containers, and since 6.14 to those who may not know: which of the two,
            // `mincore` says.
            | Some(libc::EPERM | libc::EACCES) => io::ErrorKind::Unsupported.into(),
            _ => error,
        });
    }
    // The pages of a file of an overlay belong to the file in the layer below: the kernel counts
    // those of the overlay's own, which has none. (Asked only then: this call is made by the
    // hundred thousand.)
    let nothing = found.cache == 0 && found.recently_evicted == 0 && found.evicted == 0;
    if nothing && is_overlay(object) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(Residency {
        pages: 0,
        resident: Some(found.cache),
        dirty: Some(found.dirty),
        write_back: Some(found.writeback),
        evicted: Some(found.evicted),
        recently_evicted: Some(found.recently_evicted),
    })
}

/// A handle by which `mincore` tells the truth, and which leaves the access time alone if
/// possible.
fn honest_handle(object: &Object) -> io::Result<File> {
    match reopen_quietly(object) {
        Ok(file) => Ok(file),
        Err(_) if super::tells_residency(object) => object.try_clone(),
        Err(_) => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// Another handle on the file, which leaves the access time alone. That is granted to owners and
/// to those who may act for them, by which right ever: the kernel's own word on who is one.
pub(super) fn reopen_quietly(object: &Object) -> io::Result<File> {
    File::options()
        .read(true)
        .custom_flags(libc::O_NOATIME | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(inherited_path(super::inheritance_number(object)))
}

/// Pages that are asked for in one call.
const WINDOW: u64 = 1 << 16;

/// Tells the resident pages of a range of pages, as runs in order. They are not touched.
pub(crate) fn resident_runs(
    object: &Object,
    pages: Range<u64>,
    tell: &mut dyn FnMut(Range<u64>),
) -> io::Result<()> {
    let file = honest_handle(object)?;
    let mut answers = Vec::new();
    let mut at = pages.start;
    while at < pages.end {
        let count = (pages.end - at).min(WINDOW);
        mincore(&file, at, count, &mut answers)?;
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
            tell(from..at + count);
        }
        at += count;
    }
    Ok(())
}

/// One byte for each page, its lowest bit set if the page is in memory.
fn mincore(file: &File, first: u64, count: u64, answers: &mut Vec<u8>) -> io::Result<()> {
    let page = super::page_size();
    let too_large = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let pages = usize::try_from(count).map_err(too_large)?;
    answers.clear();
    answers.resize(pages, 0);
    let (offset, size) = (first.saturating_mul(page as u64), pages.saturating_mul(page));
    // A last page that ends past 2^63 cannot be mapped, and cannot be in memory either.
    if i64::try_from(offset.saturating_add(size as u64)).is_err() {
        return Ok(());
    }
    let (nowhere, none) = (std::ptr::null_mut(), ProtFlags::empty());
    // SAFETY: without MAP_FIXED the kernel replaces no existing mapping.
    let base = unsafe { rustix::mm::mmap(nowhere, size, none, MapFlags::SHARED, file, offset) }?;
    // SAFETY: the range is mapped above; the answer has a byte for each of its pages.
    let asked = check(unsafe { libc::mincore(base, size, answers.as_mut_ptr()) });
    // SAFETY: the mapping was made above and nobody else knows it.
    let unmapped = unsafe { rustix::mm::munmap(base, size) };
    asked?;
    Ok(unmapped?)
}

/// Whether the file is one of an overlay, and its pages those of a file in one of the layers.
fn is_overlay(object: &Object) -> bool {
    rustix::fs::fstatfs(object)
        .is_ok_and(|found| super::linux_filesystem::kind_of(&found) == Kind::Overlay)
}

/// Writes the dirty pages of a range to the device and waits for them.
pub(crate) fn write_back(object: &Object, offset: u64, size: u64) -> io::Result<()> {
    let (Ok(offset), Ok(size)) = (i64::try_from(offset), i64::try_from(size)) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    if size == 0 {
        return Ok(());
    }
    // A range of an overlay's own pages would be written, of which there are none.
    if is_overlay(object) {
        return Ok(rustix::io::retry_on_intr(|| rustix::fs::fdatasync(object))?);
    }
    let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE
        | libc::SYNC_FILE_RANGE_WRITE
        | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: no pointers.
    match check(unsafe { libc::sync_file_range(raw(object), offset, size, flags) }) {
        // Memory files and some file systems have no device to write to.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ESPIPE | libc::EINVAL)) => Ok(()),
        result => result,
    }
}

/// Drops clean pages that nobody uses.
pub(crate) fn drop_from_cache(object: &Object, offset: u64, size: u64) -> io::Result<()> {
    advise(object, offset, size, Advice::DontNeed)
}

/// Reads by this handle bring in what they ask for and nothing beside it.
pub(crate) fn read_exactly(object: &Object) -> io::Result<()> {
    Ok(rustix::fs::fadvise(object, 0, None, Advice::Random)?)
}

/// Starts reading a range in.
pub(crate) fn will_need(object: &Object, offset: u64, size: u64) -> io::Result<()> {
    advise(object, offset, size, Advice::WillNeed)
}

fn advise(object: &Object, offset: u64, size: u64, advice: Advice) -> io::Result<()> {
    // A length of 0 or one that does not fit is: to the end.
    let size = i64::try_from(size).ok().and_then(|_| std::num::NonZeroU64::new(size));
    Ok(rustix::fs::fadvise(object, offset, size, advice)?)
}

/// How `/proc/PID/maps` names the file: device and inode, which on some file systems are not those
/// of `stat`. A page is mapped for a moment, without access, and looked up.
pub(super) fn name_in_maps(object: &Object) -> io::Result<(String, u64)> {
    let size = super::page_size();
    let (nowhere, none) = (std::ptr::null_mut(), ProtFlags::empty());
    // SAFETY: without MAP_FIXED the kernel replaces no existing mapping.
    let base = unsafe { rustix::mm::mmap(nowhere, size, none, MapFlags::SHARED, object, 0) }?;
    let maps = super::linux_mappers::read_lines(Path::new("/proc/self/maps"));
    // SAFETY: the mapping was made above and nobody else knows it.
    let unmapped = unsafe { rustix::mm::munmap(base, size) };
    let found = maps?.lines().find_map(|line| {
        let area = super::linux_mappers::Area::parse(line)?;
        area.addresses.contains(&(base.addr() as u64)).then(|| area.file())
    });
    unmapped?;
    found.ok_or_else(|| io::Error::other("/proc/self/maps does not show a mapping just made"))
}
