//! Linux's own calls.
#![expect(unsafe_code, reason = "system calls on raw addresses and descriptors")]

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{MemfdFlags, RenameFlags, SealFlags};
use rustix::io::retry_on_intr;
use rustix::mm::MapFlags;

use super::unix::{check, raw, uninterrupted};
use super::{Object, Protection, Waited};
use crate::Flush;
use crate::section::{Access, Create};

/// Exactly there, or `EEXIST`. Kernels before 4.17 take the address as a hint; the caller compares.
pub(crate) const FIXED_NOREPLACE: MapFlags = MapFlags::FIXED_NOREPLACE;

/// Handles with this flag go past the cache.
pub(crate) const PAST_CACHE: Option<rustix::fs::OFlags> = Some(rustix::fs::OFlags::DIRECT);

/// Memory without a file: shared with whoever gets the descriptor, gone with the last one.
pub(crate) fn anonymous(len: u64, _capacity: u64) -> io::Result<Object> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels before 6.3 do not know the flag that says "never executable"; newer ones may warn.
    let fd = rustix::fs::memfd_create("bifolio", flags | MemfdFlags::NOEXEC_SEAL)
        .or_else(|_| rustix::fs::memfd_create("bifolio", flags))?;
    let file = File::from(fd);
    super::truncate(&file, len)?;
    Ok(file)
}

/// A file without a name in `dir`: it is gone with its last descriptor, however that goes, unless
/// it is published. `None` where the file system has no such files.
pub(crate) fn create_unnamed(dir: &Path, permissions: u32) -> Option<io::Result<File>> {
    create_unnamed_at(rustix::fs::CWD, dir, permissions)
}

/// The same, where `dir` is seen from an open directory.
pub(super) fn create_unnamed_at(
    from: BorrowedFd<'_>,
    dir: &Path,
    permissions: u32,
) -> Option<io::Result<File>> {
    use rustix::fs::{Mode, OFlags, openat};
    use rustix::io::Errno;
    // It may have to be published through its name there. Once seen is enough: looking costs as much
    // as making a small file.
    static SEEN: AtomicBool = AtomicBool::new(false);
    if !SEEN.load(Ordering::Relaxed) {
        if !Path::new("/proc/self/fd").exists() {
            return None;
        }
        SEEN.store(true, Ordering::Relaxed);
    }
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    match retry_on_intr(|| openat(from, dir, flags, Mode::from_raw_mode(permissions))) {
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => None,
        result => Some(result.map(File::from).map_err(io::Error::from)),
    }
}

/// Gives a file without a name its first one, never replacing another file.
pub(crate) fn publish_unnamed(file: &File, path: &Path) -> io::Result<()> {
    publish_unnamed_at(file, rustix::fs::CWD, path)
}

/// The same, where `path` is seen from an open directory.
pub(super) fn publish_unnamed_at(
    file: &File,
    to: BorrowedFd<'_>,
    path: &Path,
) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    // Linux 6.10 lets who opened the file link it by its descriptor; before, root only.
    match linkat(file, c"", to, path, AtFlags::EMPTY_PATH) {
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::PERM) => {}
        result => return Ok(result?),
    }
    let from = inherited_path(u64::try_from(raw(file)).unwrap_or(u64::MAX));
    Ok(linkat(CWD, from, to, path, AtFlags::SYMLINK_FOLLOW)?)
}

/// The path that the system has for a descriptor, if any.
pub(crate) fn path_of(file: &File) -> Option<PathBuf> {
    if file.metadata().ok()?.nlink() == 0 {
        return None; // what the system then shows is no path
    }
    let path = std::fs::read_link(inherited_path(u64::try_from(raw(file)).ok()?)).ok()?;
    // A name that is gone is marked, though the file may have others; a name may end like that too.
    let marked = path.as_os_str().as_encoded_bytes().ends_with(b" (deleted)");
    let leads_here = || {
        let found = super::identity_of_path(&path).ok();
        found.is_some_and(|found| super::identity(file).is_ok_and(|mine| mine == found))
    };
    (path.is_absolute() && (!marked || leads_here())).then_some(path)
}

/// Another opening of the same file.
pub(crate) fn open_again(file: &File, access: Access) -> io::Result<File> {
    let path = inherited_path(u64::try_from(raw(file)).unwrap_or(u64::MAX));
    // The kernel follows it to the file itself, by whatever name, or none.
    super::open(Path::new(&path), access, Create::Never, 0)
}

/// `BLKGETSIZE64` (linux/fs.h), `_IOR(0x12, 114, size_t)`, in the encoding of most architectures.
/// Where another one holds, the request is unknown.
const BLOCK_DEVICE_SIZE: libc::c_ulong =
    (2 << 30) | ((size_of::<usize>() as libc::c_ulong) << 16) | (0x12 << 8) | 114;

/// What a block device can hold.
pub(crate) fn block_device_len(file: &File) -> io::Result<u64> {
    let mut size = 0u64;
    // SAFETY: the request writes a 64-bit number.
    if check(unsafe { libc::ioctl(raw(file), BLOCK_DEVICE_SIZE as _, &raw mut size) }).is_ok() {
        return Ok(size);
    }
    // Opened anew, which takes a right to the device: seeking moves the cursor of every duplicate.
    let number = u64::try_from(raw(file)).unwrap_or(u64::MAX);
    let anew = File::open(inherited_path(number))?;
    Ok(rustix::fs::seek(&anew, rustix::fs::SeekFrom::End(0))?)
}

/// The name under which this process sees one of its own descriptors.
pub(crate) fn inherited_path(number: u64) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{number}"))
}

/// Makes a file durable as far as `level` says.
pub(crate) fn sync(object: &Object, level: Flush) -> io::Result<()> {
    match level {
        Flush::Start => start_write_back(object, 0, 0),
        Flush::Data | Flush::Barrier => Ok(retry_on_intr(|| rustix::fs::fdatasync(object))?),
        Flush::Full => Ok(retry_on_intr(|| rustix::fs::fsync(object))?),
    }
}

/// `fsync` of a directory. Some file systems cannot, and then keep names durable by themselves.
pub(crate) fn sync_directory_handle(directory: &File) -> io::Result<()> {
    match retry_on_intr(|| rustix::fs::fsync(directory)) {
        Err(rustix::io::Errno::INVAL) => Ok(()),
        result => Ok(result?),
    }
}

/// Starts write-back of a range (`size` 0: to the end). `MS_ASYNC` does nothing on Linux.
fn start_write_back(object: &Object, offset: u64, size: u64) -> io::Result<()> {
    let (Ok(offset), Ok(size)) = (i64::try_from(offset), i64::try_from(size)) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let outcome = uninterrupted(|| {
        // SAFETY: no pointers.
        check(unsafe {
            libc::sync_file_range(raw(object), offset, size, libc::SYNC_FILE_RANGE_WRITE)
        })
    });
    match outcome {
        // Memory files and some file systems have no device to write to.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ESPIPE | libc::EINVAL)) => Ok(()),
        result => result,
    }
}

/// Makes the stores to a mapped range durable as far as `level` says. `base` is a page's start.
///
/// # Safety
/// `base..base + size` must be mapped by the caller, from `offset` of `object`.
pub(crate) unsafe fn flush(
    object: &Object,
    _protection: Protection,
    offset: u64,
    base: NonNull<u8>,
    size: usize,
    level: Flush,
) -> io::Result<()> {
    match level {
        Flush::Start => start_write_back(object, offset, size as u64),
        Flush::Data | Flush::Barrier => {
            let flags = rustix::mm::MsyncFlags::SYNC;
            // SAFETY: the caller's promise; MS_SYNC changes no bytes.
            let sync = || unsafe { rustix::mm::msync(base.as_ptr().cast(), size, flags) };
            Ok(retry_on_intr(sync)?)
        }
        Flush::Full => sync(object, level),
    }
}

/// Fresh pages of a file are written several times faster by `pwrite` than by stores.
pub(crate) const WRITES_FRESH_PAGES_BY_CALL: bool = true;

/// Reserves addresses for a view that grows: mapping past the end of a file is allowed, and pages
/// become accessible as the file grows, also when another process extends it.
pub(crate) fn reserve(
    object: &Object,
    protection: Protection,
    offset: u64,
    capacity: usize,
) -> io::Result<Reservation> {
    let mut flags = match protection {
        Protection::CopyOnWrite => MapFlags::PRIVATE,
        _ => MapFlags::SHARED,
    };
    flags |= MapFlags::NORESERVE;
    let prot = match protection {
        Protection::Read => rustix::mm::ProtFlags::READ,
        _ => rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::WRITE,
    };
    // SAFETY: without MAP_FIXED the kernel replaces no existing mapping.
    let base =
        unsafe { rustix::mm::mmap(std::ptr::null_mut(), capacity, prot, flags, object, offset) }?;
    let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(Reservation { base, size: capacity })
}

/// Growing leaves alone what is mapped.
pub(crate) const GROWTH_MAY_MAP_ANEW: bool = false;

/// Addresses that a growing view owns.
#[derive(Debug)]
pub(crate) struct Reservation {
    pub(crate) base: NonNull<u8>,
    pub(crate) size: usize,
}

// SAFETY: a range of addresses belongs to the process, not to a thread.
unsafe impl Send for Reservation {}
// SAFETY: as above; it is only read.
unsafe impl Sync for Reservation {}

impl Reservation {
    /// What growing would map anew: nothing.
    #[expect(clippy::unused_self, reason = "on Windows it depends on what is mapped")]
    pub(crate) fn loose_end(&self) -> Option<std::ops::Range<usize>> {
        None
    }

    /// Makes the first `size` bytes accessible. Nothing to do here.
    #[expect(clippy::unused_self, reason = "other platforms map the new part here")]
    pub(crate) fn extend(
        &self,
        _object: &Object,
        _protection: Protection,
        _offset: u64,
        _size: usize,
    ) -> io::Result<()> {
        Ok(())
    }

    /// Accesses memory while nothing of it is mapped anew, which nothing ever is here.
    #[expect(clippy::unused_self, reason = "Windows may have to wait")]
    pub(crate) fn while_it_stands<T>(&self, access: impl FnOnce() -> T) -> T {
        access()
    }

    /// Ends the mapping.
    ///
    /// # Safety
    /// Nothing may access the range any more.
    pub(crate) unsafe fn release(&mut self) {
        // SAFETY: the caller's promise; the range is ours.
        unsafe { super::unmap(self.base, self.size) };
    }
}

/// Forbids writing, growing and shrinking for ever. Fails while anybody maps it writable.
pub(crate) fn seal(object: &Object) -> io::Result<()> {
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    Ok(rustix::fs::fcntl_add_seals(object, seals)?)
}

/// Whether the object is memory that can neither change nor shrink nor fail to be there.
pub(crate) fn is_sealed(object: &Object) -> io::Result<bool> {
    let needed = SealFlags::WRITE | SealFlags::SHRINK;
    let seals = match rustix::fs::fcntl_get_seals(object) {
        Ok(seals) => seals,
        Err(rustix::io::Errno::INVAL) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    // A huge-page memory file faults even when sealed if its pages were not reserved.
    let on_tmpfs = rustix::fs::fstatfs(object)?.f_type == libc::TMPFS_MAGIC;
    Ok(seals.contains(needed) && on_tmpfs)
}

/// Sealed memory is to be had here.
pub(crate) const HAS_SEALS: bool = true;

/// Renames, never replacing a file.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let cwd = rustix::fs::CWD;
    match rustix::fs::renameat_with(cwd, from, cwd, to, RenameFlags::NOREPLACE) {
        // File systems, and kernels, without the flag.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => super::rename_by_link(from, to),
        result => Ok(result?),
    }
}

/// The file systems whose files have no pages behind them, by `statfs`, in words.
pub(crate) fn special_file_system(file: &File) -> Option<&'static str> {
    let found = rustix::fs::fstatfs(file).ok()?;
    // The field's type differs between architectures and C libraries.
    #[allow(clippy::unnecessary_cast, clippy::cast_possible_truncation, reason = "see above")]
    #[allow(clippy::cast_sign_loss, reason = "a bit pattern")]
    match found.f_type as u32 {
        0x9fa0 => Some("a /proc file"),
        0x6265_6572 => Some("a /sys file"),
        0x6462_6720 => Some("a debugfs file"),
        0x7472_6163 => Some("a tracefs file"),
        0x0027_e0eb | 0x6367_7270 => Some("a cgroup file"),
        _ => None,
    }
}

/// Waits while the word at `at` has the value `expected`. Works between processes.
///
/// # Safety
/// `at` must be an aligned word that is mapped during the call.
pub(crate) unsafe fn wait(at: *const u8, expected: u32, timeout: Option<Duration>) -> Waited {
    let timeout = timeout.map(|duration| libc::timespec {
        tv_sec: libc::time_t::try_from(duration.as_secs()).unwrap_or(libc::time_t::MAX),
        #[allow(clippy::cast_possible_wrap, reason = "below 10^9")]
        tv_nsec: duration.subsec_nanos() as _,
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: not FUTEX_PRIVATE: the key is the file's page. The kernel checks the address.
    let code = unsafe {
        libc::syscall(libc::SYS_futex, at, libc::FUTEX_WAIT, expected, timeout, 0usize, 0u32)
    };
    if code == 0 {
        return Waited::Woken;
    }
    match io::Error::last_os_error().raw_os_error() {
        Some(libc::EAGAIN) => Waited::Changed,
        Some(libc::ETIMEDOUT) => Waited::TimedOut,
        Some(libc::EFAULT) => Waited::Fault,
        _ => Waited::Woken,
    }
}

/// Wakes up to `count` waiters of the word at `at`; how many there were.
///
/// # Safety
/// `at` must be an aligned word that is mapped during the call.
pub(crate) unsafe fn wake(at: *const u8, count: u32) -> u32 {
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    // SAFETY: as above.
    let woken = unsafe {
        libc::syscall(libc::SYS_futex, at, libc::FUTEX_WAKE, count, 0usize, 0usize, 0u32)
    };
    u32::try_from(woken).unwrap_or(0)
}

/// Whether the file is protected by fs-verity.
pub(crate) fn has_verity(file: &File) -> io::Result<bool> {
    let found = rustix::fs::statx(
        file,
        c"",
        rustix::fs::AtFlags::EMPTY_PATH,
        rustix::fs::StatxFlags::BASIC_STATS,
    )?;
    Ok(found.stx_attributes.contains(rustix::fs::StatxAttributes::VERITY))
}

/// Unmapped pages of a file may be read faster by calls than through faults.
pub(crate) const READS_FRESH_PAGES_BY_CALL: bool = true;

/// Bytes that the system reads ahead of a sequential reader of the object's device, if it says.
pub(crate) fn read_ahead(object: &Object) -> Option<u64> {
    let device = object.metadata().ok()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let path = format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb");
    let kib: u64 = std::fs::read_to_string(path).ok()?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Whether calls on the file and maps of it show the same bytes: on the file systems that are known
/// to keep one cache for both. (overlayfs is not among them: after a copy-up a map stays on the old
/// file, and a call goes to the new one.)
pub(crate) fn calls_meet_maps(object: &Object) -> bool {
    // ext2 to ext4, xfs, btrfs, tmpfs, f2fs, ramfs. The field's type differs between architectures.
    const KNOWN: [u32; 6] =
        [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0xf2f5_2010, 0x8584_58f6];
    if super::is_direct(object) {
        return false;
    }
    let Ok(found) = rustix::fs::fstatfs(object) else { return false };
    #[allow(clippy::unnecessary_cast, clippy::cast_possible_truncation, reason = "see above")]
    #[allow(clippy::cast_sign_loss, reason = "a bit pattern")]
    KNOWN.contains(&(found.f_type as u32))
}
