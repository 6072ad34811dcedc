//! macOS's own calls.
#![expect(unsafe_code, reason = "system calls on raw addresses and descriptors")]

use std::ffi::{CString, OsString, c_int, c_void};
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::io::retry_on_intr;
use rustix::mm::MapFlags;

use super::unix::{check, map_over, raw, uninterrupted};
use super::{Object, Protection, Waited};
use crate::Flush;
use crate::section::{Access, Create};
use crate::fault::guard::Word;
use crate::view::Advice;

/// The address is a hint, which the kernel follows if nothing is there; the caller compares.
pub(crate) const FIXED_NOREPLACE: MapFlags = MapFlags::empty();

/// There is no flag for handles that go past the cache: `F_NOCACHE` ones meet what is in it.
pub(crate) const PAST_CACHE: Option<rustix::fs::OFlags> = None;

/// Memory without a file: an unlinked temporary file. `shm_open` would have no file behind it, but
/// such memory cannot change its size once it has one, nor be opened anew, locked or listed.
pub(crate) fn anonymous(len: u64, _capacity: u64) -> io::Result<Object> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let dir = super::temporary_dir();
    loop {
        let (id, count) = (std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let path = dir.join(format!(".bifolio.{id}.{count}.memory"));
        match super::create_vanishing(&path, 0o600) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(file) => {
                super::vanish(&path)?;
                super::truncate(&file, len)?;
                return Ok(file);
            }
        }
    }
}

/// A file without a name that could be given one: not to be had here.
pub(crate) fn create_unnamed(_dir: &Path, _permissions: u32) -> Option<io::Result<File>> {
    None
}

/// The same.
pub(super) fn create_unnamed_at(
    _from: BorrowedFd<'_>,
    _dir: &Path,
    _permissions: u32,
) -> Option<io::Result<File>> {
    None
}

/// The same.
pub(super) fn publish_unnamed_at(
    _file: &File,
    _to: BorrowedFd<'_>,
    _path: &Path,
) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Gives a file without a name its first one: there are none here.
pub(crate) fn publish_unnamed(_file: &File, _path: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The path that the system has for a descriptor, if any.
pub(crate) fn path_of(file: &File) -> Option<PathBuf> {
    let mut name = vec![0u8; usize::try_from(libc::PATH_MAX).ok()?];
    // SAFETY: F_GETPATH writes at most PATH_MAX bytes with a zero at the end.
    check(unsafe { libc::fcntl(raw(file), libc::F_GETPATH, name.as_mut_ptr()) }).ok()?;
    name.truncate(name.iter().position(|&byte| byte == 0)?);
    Some(PathBuf::from(OsString::from_vec(name)))
}

/// Another opening of the same file, by its path: what `/dev/fd` opens shares the old one.
pub(crate) fn open_again(file: &File, access: Access) -> io::Result<File> {
    let path = path_of(file).ok_or(io::ErrorKind::NotFound)?;
    let again = super::open(&path, access, Create::Never, 0)?;
    if super::identity(&again)? != super::identity(file)? {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(again)
}

/// `DKIOCGETBLOCKSIZE` and `DKIOCGETBLOCKCOUNT` (sys/disk.h): `_IOR('d', 24, uint32_t)` and
/// `_IOR('d', 25, uint64_t)`.
const BLOCK_SIZE: libc::c_ulong = 0x4004_6418;
const BLOCK_COUNT: libc::c_ulong = 0x4008_6419;

/// What a block device can hold.
pub(crate) fn block_device_len(file: &File) -> io::Result<u64> {
    let (mut size, mut count) = (0u32, 0u64);
    // SAFETY: the request writes a 32-bit number.
    check(unsafe { libc::ioctl(raw(file), BLOCK_SIZE, &raw mut size) })?;
    // SAFETY: the request writes a 64-bit number.
    check(unsafe { libc::ioctl(raw(file), BLOCK_COUNT, &raw mut count) })?;
    Ok(count.saturating_mul(u64::from(size)))
}

/// The name under which this process sees one of its own descriptors.
pub(crate) fn inherited_path(number: u64) -> PathBuf {
    PathBuf::from(format!("/dev/fd/{number}"))
}

/// Makes a file durable as far as `level` says. `fsync` only hands the bytes to the device here,
/// which may keep them in a cache that a power failure empties.
pub(crate) fn sync(object: &Object, level: Flush) -> io::Result<()> {
    let request = match level {
        Flush::Start => return Ok(retry_on_intr(|| rustix::fs::fsync(object))?),
        Flush::Barrier => libc::F_BARRIERFSYNC,
        Flush::Data | Flush::Full => libc::F_FULLFSYNC,
    };
    // SAFETY: no pointers.
    match uninterrupted(|| check(unsafe { libc::fcntl(raw(object), request) })) {
        // Devices and file systems (network, FAT, FUSE) that do not know the request.
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::ENOTSUP | libc::ENOTTY | libc::EINVAL | libc::ENODEV)
            ) =>
        {
            if level == Flush::Barrier {
                return sync(object, Flush::Data);
            }
            Ok(retry_on_intr(|| rustix::fs::fsync(object))?)
        }
        result => result,
    }
}

/// Makes the names in a directory durable. Some file systems cannot be asked to.
pub(crate) fn sync_directory_handle(directory: &File) -> io::Result<()> {
    match sync(directory, Flush::Full) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
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
    _offset: u64,
    base: NonNull<u8>,
    size: usize,
    level: Flush,
) -> io::Result<()> {
    use rustix::mm::MsyncFlags;
    let flags = if level == Flush::Start { MsyncFlags::ASYNC } else { MsyncFlags::SYNC };
    // SAFETY: the caller's promise; msync changes no bytes.
    retry_on_intr(|| unsafe { rustix::mm::msync(base.as_ptr().cast(), size, flags) })?;
    if level == Flush::Start {
        return Ok(());
    }
    sync(object, level)
}

/// The system's word for an advice and its name, or `None` where there is none.
fn advice_words(advice: Advice) -> Option<(c_int, &'static str)> {
    Some(match advice {
        Advice::Normal => (libc::MADV_NORMAL, "madvise(MADV_NORMAL)"),
        Advice::Sequential => (libc::MADV_SEQUENTIAL, "madvise(MADV_SEQUENTIAL)"),
        Advice::Random => (libc::MADV_RANDOM, "madvise(MADV_RANDOM)"),
        Advice::WillNeed => (libc::MADV_WILLNEED, "madvise(MADV_WILLNEED)"),
        _ => return None,
    })
}

/// The name of the call behind an advice.
pub(crate) fn advice_name(advice: Advice) -> Option<&'static str> {
    advice_words(advice).map(|(_, name)| name)
}

/// Gives advice on pages.
///
/// # Safety
/// `base..base + size` must be mapped by the caller. No advice here discards private bytes.
pub(crate) unsafe fn advise(base: NonNull<u8>, size: usize, advice: Advice) -> io::Result<()> {
    let Some((code, _)) = advice_words(advice) else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    // SAFETY: the caller's promise; none of the codes above changes bytes.
    match check(unsafe { libc::madvise(base.as_ptr().cast(), size, code) }) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            Err(io::ErrorKind::Unsupported.into())
        }
        result => result,
    }
}

/// Whether a populating advice met a page that the system could not supply: there is none here.
pub(crate) fn is_fault_code(_code: Option<i32>) -> bool {
    false
}

/// Keeps pages in memory. `base` must be a page's start.
///
/// # Safety
/// `base..base + size` must be mapped by the caller.
pub(crate) unsafe fn lock_memory(base: NonNull<u8>, size: usize) -> io::Result<()> {
    // SAFETY: the caller's promise; locking changes no bytes.
    Ok(unsafe { rustix::mm::mlock(base.as_ptr().cast(), size) }?)
}

/// Wiring a private page may copy it.
pub(crate) const LOCKING_MAY_COPY: bool = true;

/// Lets pages of a shared mapping go: they are the first to be taken when memory is short.
///
/// # Safety
/// `base..base + size` must be a shared mapping of the caller.
pub(crate) unsafe fn drop_pages(base: NonNull<u8>, size: usize) -> io::Result<()> {
    // SAFETY: on a shared mapping this only lets go of pages that the next access maps again.
    check(unsafe { libc::madvise(base.as_ptr().cast(), size, libc::MADV_DONTNEED) })
}

/// Whether the page at `base` is in memory; `None` if the system does not say.
///
/// # Safety
/// `base` must be the start of a mapped page of the caller.
pub(crate) unsafe fn is_resident(base: NonNull<u8>) -> Option<bool> {
    let mut answer: libc::c_char = 0;
    // SAFETY: one page, one byte of answer.
    let code = unsafe {
        libc::mincore(base.as_ptr().cast::<c_void>(), super::page_size(), &raw mut answer)
    };
    (code == 0).then_some(answer & 1 == 1)
}

/// Nothing was measured here that would pay for the detour.
pub(crate) const WRITES_FRESH_PAGES_BY_CALL: bool = false;

/// As above.
pub(crate) const READS_FRESH_PAGES_BY_CALL: bool = false;

/// Reserves addresses for a view that grows: memory that nobody may access, over which the file is
/// mapped as it grows. (A map past the end of a file does not become valid when the file grows.)
pub(crate) fn reserve(
    _object: &Object,
    _protection: Protection,
    _offset: u64,
    capacity: usize,
) -> io::Result<Reservation> {
    let (prot, flags) = (rustix::mm::ProtFlags::empty(), MapFlags::PRIVATE);
    // SAFETY: without MAP_FIXED the kernel replaces no existing mapping.
    let base = unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), capacity, prot, flags) }?;
    let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(Reservation { base, size: capacity, mapped: std::sync::Mutex::new(0) })
}

/// Growing leaves alone what is mapped.
pub(crate) const GROWTH_MAY_MAP_ANEW: bool = false;

/// Addresses that a growing view owns.
#[derive(Debug)]
pub(crate) struct Reservation {
    pub(crate) base: NonNull<u8>,
    size: usize,
    /// Bytes from the base over which the object is mapped: whole pages.
    mapped: std::sync::Mutex<usize>,
}

// SAFETY: a range of addresses belongs to the process, not to a thread.
unsafe impl Send for Reservation {}
// SAFETY: as above; what changes in it is behind a lock.
unsafe impl Sync for Reservation {}

impl Reservation {
    /// What growing would map anew: nothing.
    #[expect(clippy::unused_self, reason = "on Windows it depends on what is mapped")]
    pub(crate) fn loose_end(&self) -> Option<std::ops::Range<usize>> {
        None
    }

    /// Makes the first `size` bytes accessible: maps the new whole pages. The last page of before
    /// is mapped already, and the bytes that the file gained in it are in the same page.
    pub(crate) fn extend(
        &self,
        object: &Object,
        protection: Protection,
        offset: u64,
        size: usize,
    ) -> io::Result<()> {
        let mut mapped = self.mapped.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let wanted = size.next_multiple_of(super::page_size());
        if wanted <= *mapped {
            return Ok(());
        }
        // SAFETY: the end of what is mapped lies inside the reservation.
        let start = unsafe { self.base.add(*mapped) };
        // SAFETY: these pages are reserved by us, and no view reaches them yet.
        unsafe { map_over(object, protection, offset + *mapped as u64, start, wanted - *mapped) }?;
        *mapped = wanted;
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
        // SAFETY: the caller's promise; the range is ours, whatever parts it is mapped in.
        unsafe { super::unmap(self.base, self.size) };
    }
}

/// Forbids writing, growing and shrinking for ever: not to be had here.
pub(crate) fn seal(_object: &Object) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether the object can neither change nor shrink: never known here.
#[expect(clippy::unnecessary_wraps, reason = "Linux asks the kernel")]
pub(crate) fn is_sealed(_object: &Object) -> io::Result<bool> {
    Ok(false)
}

/// macOS has no seals.
pub(crate) const HAS_SEALS: bool = false;

/// Whether the file is protected by fs-verity, which is Linux's.
#[expect(clippy::unnecessary_wraps, reason = "Linux asks the kernel")]
pub(crate) fn has_verity(_file: &File) -> io::Result<bool> {
    Ok(false)
}

/// Renames, never replacing a file.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let name = |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from);
    let (from_name, to_name) = (name(from)?, name(to)?);
    // SAFETY: both names end with a zero.
    let outcome =
        check(unsafe { libc::renamex_np(from_name.as_ptr(), to_name.as_ptr(), libc::RENAME_EXCL) });
    match outcome {
        // File systems without the flag.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTSUP | libc::EINVAL)) => {
            super::rename_by_link(from, to)
        }
        result => result,
    }
}

/// Files without pages behind them (Linux's `/proc`): there are none here.
pub(crate) fn special_file_system(_file: &File) -> Option<&'static str> {
    None
}

/// `os_sync_wait_on_address` and its companions (os/os_sync_wait_on_address.h), from macOS 14.4 on.
struct Waits {
    wait: Wait,
    wait_for: WaitFor,
    wake_any: WakeOf,
    wake_all: WakeOf,
}

type Wait = unsafe extern "C" fn(*mut c_void, u64, usize, u32) -> c_int;
type WaitFor = unsafe extern "C" fn(*mut c_void, u64, usize, u32, u32, u64) -> c_int;
type WakeOf = unsafe extern "C" fn(*mut c_void, usize, u32) -> c_int;

/// The calls, if this system has them.
fn waits() -> Option<&'static Waits> {
    static WAITS: OnceLock<Option<Waits>> = OnceLock::new();
    let find = |name: &std::ffi::CStr| {
        // SAFETY: the name ends with a zero; RTLD_DEFAULT looks in what is loaded.
        NonNull::new(unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) })
    };
    WAITS
        .get_or_init(|| {
            let wait = find(c"os_sync_wait_on_address")?;
            let wait_for = find(c"os_sync_wait_on_address_with_timeout")?;
            let wake_any = find(c"os_sync_wake_by_address_any")?;
            let wake_all = find(c"os_sync_wake_by_address_all")?;
            Some(Waits {
                // SAFETY: the header declares the function with this signature.
                wait: unsafe { std::mem::transmute::<NonNull<c_void>, Wait>(wait) },
                // SAFETY: as above.
                wait_for: unsafe { std::mem::transmute::<NonNull<c_void>, WaitFor>(wait_for) },
                // SAFETY: as above.
                wake_any: unsafe { std::mem::transmute::<NonNull<c_void>, WakeOf>(wake_any) },
                // SAFETY: as above.
                wake_all: unsafe { std::mem::transmute::<NonNull<c_void>, WakeOf>(wake_all) },
            })
        })
        .as_ref()
}

/// Waits while the word at `at` has the value `expected`. Works between processes.
///
/// # Safety
/// `at` must be an aligned word that is mapped during the call.
pub(crate) unsafe fn wait(at: *const u8, expected: u32, timeout: Option<Duration>) -> Waited {
    let Some(calls) = waits() else {
        // SAFETY: the caller's promise.
        return unsafe { wait_by_looking(at, expected, timeout) };
    };
    const WAIT: u32 = libc::OS_SYNC_WAIT_ON_ADDRESS_SHARED;
    let address = at.cast_mut().cast::<c_void>();
    let code = match timeout {
        // SAFETY: the kernel checks the address.
        None => unsafe { (calls.wait)(address, expected.into(), size_of::<u32>(), WAIT) },
        Some(timeout) => {
            let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
            if nanos == 0 {
                return Waited::TimedOut; // the call refuses a limit of zero
            }
            // SAFETY: as above.
            unsafe {
                (calls.wait_for)(
                    address,
                    expected.into(),
                    size_of::<u32>(),
                    WAIT,
                    libc::OS_CLOCK_MACH_ABSOLUTE_TIME,
                    nanos,
                )
            }
        }
    };
    if code >= 0 {
        return Waited::Woken;
    }
    match io::Error::last_os_error().raw_os_error() {
        Some(libc::ETIMEDOUT) => Waited::TimedOut,
        Some(libc::EFAULT) => Waited::Fault,
        _ => Waited::Woken,
    }
}

/// Before macOS 14.4: looks at the word, with pauses that grow to 8 ms.
///
/// # Safety
/// As for [`wait`].
unsafe fn wait_by_looking(at: *const u8, expected: u32, timeout: Option<Duration>) -> Waited {
    let started = Instant::now();
    let mut pause = Duration::from_micros(50);
    let mut unchanged = Waited::Changed;
    loop {
        // SAFETY: the caller's promise.
        match unsafe { <u32 as Word>::load(at) } {
            Err(_) => return Waited::Fault,
            Ok(value) if value != expected => return unchanged,
            Ok(_) => unchanged = Waited::Woken,
        }
        let left = timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
        if left.is_some_and(|left| left.is_zero()) {
            return Waited::TimedOut;
        }
        std::thread::sleep(left.map_or(pause, |left| left.min(pause)));
        pause = (pause * 2).min(Duration::from_millis(8));
    }
}

/// Wakes one waiter of the word at `at`, or all. How many there were is not known.
///
/// # Safety
/// `at` must be an aligned word that is mapped during the call.
pub(crate) unsafe fn wake(at: *const u8, count: u32) -> u32 {
    if let Some(calls) = waits() {
        let address = at.cast_mut().cast::<c_void>();
        let call = if count == 1 { calls.wake_any } else { calls.wake_all };
        // The only error is that nobody waits.
        // SAFETY: the address is only a key.
        let _ = unsafe { call(address, size_of::<u32>(), libc::OS_SYNC_WAKE_BY_ADDRESS_SHARED) };
    }
    0
}

/// Bytes that the system reads ahead of a sequential reader: it does not say.
pub(crate) fn read_ahead(_object: &Object) -> Option<u64> {
    None
}

/// Whether calls on the file and maps of it show the same bytes: on local file systems always.
pub(crate) fn calls_meet_maps(_object: &Object) -> bool {
    true
}
