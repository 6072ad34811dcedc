//! What Linux and macOS have in common.
#![expect(unsafe_code, reason = "system calls on raw addresses and descriptors")]

use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::mm::{MapFlags, ProtFlags};

use super::{FIXED_NOREPLACE, NameNow, PAST_CACHE, block_device_len, inherited_path};
use super::{Description, FileKind, Identity, Protection};
use crate::error::ErrorKind;
use crate::section::{Access, Calls, Create, SectionKind};

/// What a section stands on: here always a file, even if it has no name.
pub(crate) type Object = File;

/// Bytes in a page.
pub(crate) fn page_size() -> usize {
    static SIZE: AtomicUsize = AtomicUsize::new(0);
    match SIZE.load(Ordering::Relaxed) {
        0 => {
            let size = rustix::param::page_size();
            SIZE.store(size, Ordering::Relaxed);
            size
        }
        size => size,
    }
}

/// What offsets of maps must be multiples of.
pub(crate) fn granularity() -> u64 {
    page_size() as u64
}

/// The meaning of codes that the standard library has no kind for.
pub(crate) fn kind_of_code(code: Option<i32>) -> Option<ErrorKind> {
    Some(match code? {
        libc::EIO => ErrorKind::StorageFault,
        libc::EMFILE | libc::ENFILE => ErrorKind::LimitReached,
        // Opening a socket, or a device without a driver, is ENXIO.
        libc::ENODEV | libc::ENXIO => ErrorKind::NotMappable,
        // ENOLCK: the file system gives no locks.
        libc::EOPNOTSUPP | libc::ENOSYS | libc::ENOLCK => ErrorKind::NotSupported,
        libc::ELOOP | libc::ENAMETOOLONG | libc::EINVAL => ErrorKind::InvalidInput,
        libc::ESTALE => ErrorKind::StorageFault,
        _ => return None,
    })
}

/// Why an open failed for want of descriptors, in words.
pub(crate) fn why_no_descriptor(code: Option<i32>) -> &'static str {
    match code {
        Some(libc::ENFILE) => "the system as a whole has no descriptor left",
        _ => "the process has no descriptor left; see `ulimit -n`",
    }
}

/// Opens or creates a file.
pub(crate) fn open(
    path: &Path,
    access: Access,
    create: Create,
    permissions: u32,
) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(access == Access::ReadWrite).mode(permissions);
    // A pipe without a writer must not block the opener. A file on which somebody holds a lease does
    // not either: the open fails with `EWOULDBLOCK` while the holder is told to give it back.
    options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    match create {
        Create::Never => {}
        Create::New => {
            options.create_new(true);
        }
        Create::IfMissing => {
            options.create(true);
        }
    }
    options.open(path)
}

/// What the handle stands for.
pub(crate) fn file_kind(file: &File) -> io::Result<FileKind> {
    Ok(kind_of(file.metadata()?.file_type()))
}

fn kind_of(kind: std::fs::FileType) -> FileKind {
    if kind.is_file() {
        FileKind::Regular
    } else if kind.is_dir() {
        FileKind::Directory
    } else if kind.is_fifo() {
        FileKind::Pipe
    } else if kind.is_socket() {
        FileKind::Socket
    } else if kind.is_block_device() {
        FileKind::BlockDevice
    } else if kind.is_char_device() {
        FileKind::CharDevice
    } else {
        FileKind::Other
    }
}

/// What there is to say about an open file, but for compression.
pub(crate) fn describe_plainly(object: &Object) -> io::Result<Description> {
    let metadata = object.metadata()?;
    let kind = kind_of(metadata.file_type());
    Ok(Description {
        kind,
        len: if kind == FileKind::BlockDevice { len(object)? } else { metadata.len() },
        allocated: metadata.blocks().saturating_mul(512),
        identity: Identity { volume: metadata.dev(), file: u128::from(metadata.ino()) },
        links: metadata.nlink(),
        modified: metadata.modified().ok(),
        compressed: false,
    })
}

/// The size of a file; of a block device, what it can hold.
pub(crate) fn len(object: &Object) -> io::Result<u64> {
    let metadata = object.metadata()?;
    if metadata.file_type().is_block_device() {
        return block_device_len(object);
    }
    Ok(metadata.len())
}

/// Bytes that the file has on its device (512-byte blocks, whatever the file system's are).
pub(crate) fn allocated(object: &Object) -> io::Result<u64> {
    Ok(object.metadata()?.blocks().saturating_mul(512))
}

/// Bytes that are free on the file system, if it says.
pub(crate) fn space_left(object: &Object) -> Option<u64> {
    let found = rustix::fs::fstatvfs(object).ok()?;
    (found.f_blocks > 0).then(|| found.f_bfree.saturating_mul(found.f_frsize))
}

/// Fails where the kernel would send `SIGXFSZ`, which ends a process that does not expect it: a
/// file of this process may not grow past `RLIMIT_FSIZE`. Costs a tenth of a microsecond.
pub(crate) fn check_size_limit(end: u64) -> io::Result<()> {
    match rustix::process::getrlimit(rustix::process::Resource::Fsize).current {
        Some(limit) if end > limit => Err(io::Error::from_raw_os_error(libc::EFBIG)),
        _ => Ok(()),
    }
}

/// Cuts or extends a file, without space behind what is new.
pub(crate) fn truncate(object: &Object, len: u64) -> io::Result<()> {
    if len > object.metadata()?.len() {
        check_size_limit(len)?;
    }
    object.set_len(len)
}

/// What a handle was opened for: `None` if it is for writing only.
pub(crate) fn access_of(file: &File) -> io::Result<Option<Access>> {
    let flags = rustix::fs::fcntl_getfl(file)?;
    Ok(match flags & rustix::fs::OFlags::RWMODE {
        rustix::fs::OFlags::RDONLY => Some(Access::Read),
        rustix::fs::OFlags::RDWR => Some(Access::ReadWrite),
        _ => None,
    })
}

/// What `pread` and `pwrite` on the handle do.
pub(crate) fn calls_of(file: &File) -> io::Result<Calls> {
    let flags = rustix::fs::fcntl_getfl(file)?;
    Ok(if PAST_CACHE.is_some_and(|flag| flags.contains(flag)) {
        Calls::PastCache
    } else if flags.contains(rustix::fs::OFlags::APPEND) {
        Calls::Append
    } else {
        Calls::Plain
    })
}

/// Where the file has its name now.
pub(crate) fn name_now(file: &File) -> NameNow {
    let Ok(mine) = file.metadata() else { return NameNow::Unknown };
    if mine.nlink() == 0 {
        return NameNow::Gone;
    }
    // What the system shows of a name that is gone, while the file has others, leads elsewhere.
    let leads_here = |path: &std::path::PathBuf| {
        let found = path.symlink_metadata();
        found.is_ok_and(|found| (found.dev(), found.ino()) == (mine.dev(), mine.ino()))
    };
    super::path_of(file).filter(leads_here).map_or(NameNow::Unknown, NameNow::At)
}

/// Device and inode.
pub(crate) fn identity(object: &Object) -> io::Result<Identity> {
    let metadata = object.metadata()?;
    Ok(Identity { volume: metadata.dev(), file: u128::from(metadata.ino()) })
}

/// Device and inode of what a path leads to now.
pub(crate) fn identity_of_path(path: &Path) -> io::Result<Identity> {
    let metadata = path.metadata()?;
    Ok(Identity { volume: metadata.dev(), file: u128::from(metadata.ino()) })
}

/// The parts of `range` that have no space behind them, in order. Moves the cursor of the file.
pub(super) fn holes_by_seeking(file: &File, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
    use rustix::fs::SeekFrom;
    use rustix::io::Errno;
    let mut found = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let hole = match rustix::fs::seek(file, SeekFrom::Hole(at)) {
            Ok(hole) if hole < range.end => hole,
            // Past the end, or a file system that cannot tell.
            Ok(_) | Err(Errno::NXIO | Errno::INVAL | Errno::NOTSUP) => break,
            Err(error) => return Err(error.into()),
        };
        let data = match rustix::fs::seek(file, SeekFrom::Data(hole)) {
            Ok(data) => data.min(range.end),
            Err(Errno::NXIO) => range.end,
            Err(error) => return Err(error.into()),
        };
        found.push(hole..data);
        at = data;
    }
    Ok(found)
}

/// The file of an object.
pub(crate) fn file_of(object: &Object) -> Option<&File> {
    Some(object)
}

/// An object that is this file.
pub(crate) fn object_of_file(file: File) -> Object {
    file
}

pub(crate) fn read_at(object: &Object, offset: u64, out: &mut [u8]) -> io::Result<usize> {
    loop {
        match object.read_at(out, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

pub(crate) fn write_at(object: &Object, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    check_size_limit(offset.saturating_add(bytes.len() as u64))?;
    loop {
        match object.write_at(bytes, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

pub(crate) fn write_vectored_at(
    object: &Object,
    offset: u64,
    parts: &[IoSlice<'_>],
) -> io::Result<usize> {
    let size: usize = parts.iter().map(|part| part.len()).sum();
    check_size_limit(offset.saturating_add(size as u64))?;
    loop {
        match rustix::io::pwritev(object, &parts[..parts.len().min(1024)], offset) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Opens a directory, so that its names can be made durable.
pub(crate) fn open_directory(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Renames, replacing what has the new name already.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)
}

/// Renames where there is no call that never replaces: a link does not, and then the old name goes.
/// If it does not go, the new one is taken back: an error means that nothing has changed.
pub(crate) fn rename_by_link(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::hard_link(from, to)?;
    let Err(error) = std::fs::remove_file(from) else { return Ok(()) };
    if error.kind() == io::ErrorKind::NotFound {
        return Ok(()); // somebody else took the old name away
    }
    match std::fs::remove_file(to) {
        Ok(()) => Err(error),
        Err(_) => Err(io::Error::new(error.kind(), format!("{error}; it has both names now"))),
    }
}

/// Gives a file a second name, never replacing one.
pub(crate) fn link(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::hard_link(from, to)
}

fn flags_of(protection: Protection) -> (ProtFlags, MapFlags) {
    match protection {
        Protection::Read => (ProtFlags::READ, MapFlags::SHARED),
        Protection::ReadWrite => (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED),
        // A private view of a file larger than memory is as useful as a shared one; without the
        // flag strict accounting would refuse it for what may never be written.
        Protection::CopyOnWrite => {
            (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::NORESERVE)
        }
    }
}

/// Maps part of an object; with `at`, exactly there or not at all.
pub(crate) fn map(
    object: &Object,
    protection: Protection,
    offset: u64,
    size: usize,
    at: Option<usize>,
) -> io::Result<NonNull<u8>> {
    let (prot, mut flags) = flags_of(protection);
    let mut hint = std::ptr::null_mut();
    if let Some(address) = at {
        hint = std::ptr::without_provenance_mut(address);
        flags |= FIXED_NOREPLACE;
    }
    // SAFETY: without MAP_FIXED the kernel replaces no existing mapping.
    let base = unsafe { rustix::mm::mmap(hint, size, prot, flags, object.as_fd(), offset) }?;
    let base = NonNull::new(base.cast::<u8>()).ok_or(io::ErrorKind::InvalidInput)?;
    if at.is_some_and(|address| address != base.addr().get()) {
        // SAFETY: the mapping was made above and nobody knows it.
        unsafe { unmap(base, size) };
        return Err(io::Error::from_raw_os_error(libc::EEXIST));
    }
    Ok(base)
}

/// Maps over the start of a range that is ours already.
///
/// # Safety
/// `base..base + size` must be mapped by the caller and accessed by nobody else's references.
#[cfg_attr(target_os = "linux", expect(dead_code, reason = "macOS grows views by it"))]
pub(crate) unsafe fn map_over(
    object: &Object,
    protection: Protection,
    offset: u64,
    base: NonNull<u8>,
    size: usize,
) -> io::Result<()> {
    let (prot, flags) = flags_of(protection);
    // SAFETY: MAP_FIXED replaces only what the caller owns.
    unsafe {
        rustix::mm::mmap(
            base.as_ptr().cast(),
            size,
            prot,
            flags | MapFlags::FIXED,
            object.as_fd(),
            offset,
        )
    }?;
    Ok(())
}

/// Private zeroed memory. It is not reserved: without the flag Linux refuses what is larger than
/// memory and swap together, even if most of it will never be touched.
pub(crate) fn map_private(size: usize) -> io::Result<NonNull<u8>> {
    let prot = ProtFlags::READ | ProtFlags::WRITE;
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: without MAP_FIXED the kernel replaces no existing mapping.
    let base = unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), size, prot, flags) }?;
    NonNull::new(base.cast()).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Ends a mapping, or whole pages of one.
///
/// # Safety
/// `base..base + size` must be mapped by the caller, and nothing may access it any more.
pub(crate) unsafe fn unmap(base: NonNull<u8>, size: usize) {
    // SAFETY: the caller's promise. It fails only for arguments that were never mapped.
    let outcome = unsafe { rustix::mm::munmap(base.as_ptr().cast(), size) };
    debug_assert!(outcome.is_ok(), "munmap of our own range failed: {outcome:?}");
}

/// Makes private memory read-only.
///
/// # Safety
/// `base..base + size` must be mapped by the caller, with no `&mut` into it.
pub(crate) unsafe fn protect_read_only(base: NonNull<u8>, size: usize) -> io::Result<()> {
    let flags = rustix::mm::MprotectFlags::READ;
    // SAFETY: the caller's promise.
    Ok(unsafe { rustix::mm::mprotect(base.as_ptr().cast(), size, flags) }?)
}

/// Unix unmaps parts of a mapping.
pub(crate) const CAN_UNMAP_PARTS: bool = true;

/// Lets pages go again.
///
/// # Safety
/// `base..base + size` must be mapped by the caller.
pub(crate) unsafe fn unlock_memory(base: NonNull<u8>, size: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    Ok(unsafe { rustix::mm::munlock(base.as_ptr().cast(), size) }?)
}

/// The limit on locked memory in words, for error messages.
pub(crate) fn lock_limit() -> String {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock);
    match limit.current {
        Some(bytes) => format!("RLIMIT_MEMLOCK is {bytes} bytes; raise it with `ulimit -l`"),
        None => "RLIMIT_MEMLOCK is unlimited".to_owned(),
    }
}

/// A descriptor that programs which this one starts inherit.
pub(crate) type Inheritable = std::os::fd::OwnedFd;

/// A duplicate of the object's descriptor that is inherited, and its number.
pub(crate) fn inheritable(object: &Object) -> io::Result<(Inheritable, u64)> {
    let fd = rustix::io::dup(object)?; // unlike the standard library's, open in children
    let number = u64::try_from(fd.as_raw_fd()).unwrap_or(u64::MAX);
    Ok((fd, number))
}

/// Keeps an inherited descriptor from being inherited once more.
pub(crate) fn end_inheritance(number: u64) {
    let Ok(fd) = i32::try_from(number) else { return };
    // SAFETY: no pointers; the flag concerns programs that are started only.
    let outcome = check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) });
    debug_assert!(outcome.is_ok(), "it was open a moment ago: {outcome:?}");
}

/// The number under which a child process finds the object.
pub(crate) fn inheritance_number(object: &Object) -> u64 {
    u64::try_from(object.as_raw_fd()).unwrap_or(u64::MAX)
}

/// Opens anew what an inherited descriptor stands for. It goes through the descriptor's name, so
/// nobody's descriptor is taken over and a wrong number is an error.
pub(crate) fn open_inherited(
    number: u64,
    access: Access,
    _kind: SectionKind,
    _len: u64,
) -> io::Result<Object> {
    let path = inherited_path(number);
    File::options()
        .read(true)
        .write(access == Access::ReadWrite)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY) // a pipe must not block the opener
        .open(path)
}

/// Borrowed view of a descriptor for calls that take numbers.
pub(crate) fn raw(object: &impl AsFd) -> i32 {
    let fd: BorrowedFd<'_> = object.as_fd();
    fd.as_raw_fd()
}

/// The outcome of a call that returns -1 and sets errno.
pub(crate) fn check(code: i32) -> io::Result<()> {
    if code == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes a call again for as long as signals interrupt it.
pub(crate) fn uninterrupted<T>(call: impl Fn() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The directory of temporary files.
pub(crate) fn temporary_dir() -> std::path::PathBuf {
    std::env::temp_dir()
}

/// Creates a file that is to be gone with its last descriptor, once [`vanish`] has taken its name.
pub(crate) fn create_vanishing(path: &Path, permissions: u32) -> io::Result<File> {
    open(path, Access::ReadWrite, Create::New, permissions)
}

/// Takes the name from a file of [`create_vanishing`].
pub(crate) fn vanish(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path)
}

/// Ends private memory.
///
/// # Safety
/// `base..base + size` must come from [`map_private`], and nothing may access it any more.
pub(crate) unsafe fn unmap_private(base: NonNull<u8>, size: usize) {
    // SAFETY: the caller's promise.
    unsafe { unmap(base, size) };
}

/// A path of these bytes.
pub(crate) fn path_from_bytes(bytes: &[u8]) -> std::path::PathBuf {
    use std::os::unix::ffi::OsStrExt;
    std::ffi::OsStr::from_bytes(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "creates files")]
    fn renaming_by_a_link_never_replaces_and_an_error_changes_nothing() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let (from, to) = (inner.join("from"), dir.path().join("to"));
        std::fs::write(&from, b"mine").unwrap();
        std::fs::write(&to, b"theirs").unwrap();
        let error = rename_by_link(&from, &to).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&to).unwrap(), b"theirs");
        std::fs::remove_file(&to).unwrap();
        let mode = |bits| {
            std::fs::set_permissions(&inner, std::fs::Permissions::from_mode(bits)).unwrap();
        };
        if rustix::process::geteuid().is_root() {
            bifolio_testkit::skip::Skip::because("root may remove any name").count();
        } else {
            mode(0o555); // the link can be made and the old name cannot go
            let error = rename_by_link(&from, &to).unwrap_err();
            mode(0o755);
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            assert!(from.exists() && !to.exists());
        }
        rename_by_link(&from, &to).unwrap();
        assert!(!from.exists());
        assert_eq!(std::fs::read(&to).unwrap(), b"mine");
    }
}
