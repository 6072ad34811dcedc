//! What macOS tells of the machine.
#![expect(unsafe_code, reason = "system calls")]

use std::ffi::{CStr, c_char};
use std::fs::File;
use std::io;
use std::path::Path;

use rustix::process::Resource;

use super::unix::{Object, check};
use crate::machine::{
    Fact, FileSystem, Kernel, Kind, Limited, Limits, Memory, MemoryLimit, SharedMemory,
};

pub(crate) const PAGE_SIZE_SOURCE: &str = "sysconf(_SC_PAGESIZE)";

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

/// A value of the kernel by its name. `T` must be plain numbers.
fn sysctl<T: Default>(name: &'static CStr) -> Fact<T> {
    let source = format!("sysctl {}", name.to_string_lossy());
    let (mut value, mut size) = (T::default(), size_of::<T>());
    // SAFETY: the value has room for as many bytes as are announced.
    let asked = check(unsafe {
        libc::sysctlbyname(
            name.as_ptr(),
            (&raw mut value).cast(),
            &raw mut size,
            std::ptr::null_mut(),
            0,
        )
    });
    match asked {
        Err(error) => Fact::unknown(error, source),
        Ok(()) if size != size_of::<T>() => Fact::unknown(format!("{size} bytes"), source),
        Ok(()) => Fact::known(value, source),
    }
}

pub(crate) fn memory_facts() -> Memory {
    // `struct xsw_usage`: total, available and used bytes, then the size of a page and a flag.
    let swap = sysctl::<[u64; 4]>(c"vm.swapusage");
    let swap_bytes = match swap.value() {
        Some([total, ..]) => Fact::known(*total, swap.source().to_owned()),
        None => Fact::unknown(swap.why_unknown().unwrap_or_default(), swap.source().to_owned()),
    };
    Memory { total_bytes: sysctl(c"hw.memsize"), swap_bytes, ..Memory::default() }
}

pub(crate) fn limit_facts() -> Limits {
    let limited = |resource, name: &'static str| {
        let limit = rustix::process::getrlimit(resource);
        Fact::known(Limited { now: limit.current, most: limit.maximum }, name)
    };
    Limits {
        locked_bytes: limited(Resource::Memlock, "getrlimit(RLIMIT_MEMLOCK)"),
        descriptors: limited(Resource::Nofile, "getrlimit(RLIMIT_NOFILE)"),
        address_bytes: limited(Resource::As, "getrlimit(RLIMIT_AS)"),
        file_bytes: limited(Resource::Fsize, "getrlimit(RLIMIT_FSIZE)"),
        ..Limits::default()
    }
}

/// There is no directory of shared memory: what has a name is a file in a user's own directory.
pub(crate) fn shared_memory_facts() -> SharedMemory {
    SharedMemory::default()
}

pub(crate) fn kernel_facts() -> Kernel {
    let name = rustix::system::uname();
    let release =
        format!("{} {}", name.sysname().to_string_lossy(), name.release().to_string_lossy());
    Kernel { release: Fact::known(release, "uname"), ..Kernel::default() }
}

/// Whether an error says that the system or the file system does not have the call.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    matches!(code, Some(libc::ENOSYS | libc::ENOTSUP | libc::EOPNOTSUPP | libc::ENOTTY | libc::EINVAL))
}

/// Bytes that are free for this user on the file system of a path.
pub(crate) fn free_space(path: &Path) -> io::Result<u64> {
    let found = rustix::fs::statfs(path)?;
    Ok(found.f_bavail.saturating_mul(u64::from(found.f_bsize)))
}

pub(crate) fn file_system_facts(path: &Path) -> io::Result<FileSystem> {
    let found = rustix::fs::statfs(path)?;
    let block = u64::from(found.f_bsize);
    let name = text(&found.f_fstypename);
    let kind = match Kind::of_name(&name) {
        Some(kind) => Fact::known(kind, "statfs"),
        None => Fact::unknown(format!("the type {name:?} is not known here"), "statfs"),
    };
    let options = [
        (libc::MNT_RDONLY, "ro"),
        (libc::MNT_NOEXEC, "noexec"),
        (libc::MNT_NOSUID, "nosuid"),
        (libc::MNT_SYNCHRONOUS, "sync"),
        (libc::MNT_ASYNC, "async"),
    ];
    let set = |flag: i32| found.f_flags & flag.cast_unsigned() != 0;
    let mut words: Vec<String> =
        options.iter().filter(|(flag, _)| set(*flag)).map(|(_, word)| (*word).to_owned()).collect();
    if !set(libc::MNT_LOCAL) {
        words.push("remote".to_owned());
    }
    Ok(FileSystem {
        kind,
        name: Fact::known(name, "statfs"),
        mount_point: Fact::known(text(&found.f_mntonname).into(), "statfs"),
        mounted: Fact::known(text(&found.f_mntfromname), "statfs"),
        options: Fact::known(words, "statfs"),
        size_bytes: Fact::known(found.f_blocks.saturating_mul(block), "statfs"),
        free_bytes: Fact::known(found.f_bavail.saturating_mul(block), "statfs"),
        free_files: Fact::known(found.f_ffree, "statfs"),
        ..FileSystem::default()
    })
}

/// The text of a field that ends with a zero, or with the field.
fn text(field: &[c_char]) -> String {
    let bytes: Vec<u8> =
        field.iter().map(|letter| letter.cast_unsigned()).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What [`try_ability`] tries: names, and what they are good for.
pub(crate) const FILE_ABILITIES: &[(&str, &str)] = &[
    ("F_PREALLOCATE", "space ahead, so that a full disk is an error when growing"),
    ("F_OFD_SETLK", "locks of ranges"),
    ("F_FULLFSYNC", "flushes that reach the device"),
];

/// Tries one of them on a file of no size.
pub(crate) fn try_ability(name: &str, _dir: &Path, file: &File) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    match name {
        "F_PREALLOCATE" => {
            let mut request = libc::fstore_t {
                fst_flags: libc::F_ALLOCATEALL,
                fst_posmode: libc::F_PEOFPOSMODE,
                fst_offset: 0,
                fst_length: 4096,
                fst_bytesalloc: 0,
            };
            // SAFETY: the pointer is to an initialised request, which the kernel writes to.
            check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_PREALLOCATE, &raw mut request) })
        }
        "F_OFD_SETLK" => {
            let outcome = super::try_lock(file, &(0..1), super::LockKind::Exclusive);
            outcome.and_then(|()| super::unlock(file, &(0..1)))
        }
        // SAFETY: no pointers.
        _ => check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_FULLFSYNC) }),
    }
}

/// What [`rename_without_replacing`] is called, and what it is good for.
pub(crate) const RENAME_ABILITY: (&str, &str) =
    ("RENAME_EXCL", "new files that replace none");

/// Renames by the call alone, without the detour of `rename_new`.
pub(crate) fn rename_without_replacing(from: &Path, to: &Path) -> io::Result<()> {
    let here = rustix::fs::CWD;
    let flags = rustix::fs::RenameFlags::NOREPLACE;
    Ok(rustix::fs::renameat_with(here, from, here, to, flags)?)
}

/// Whether [`drop_from_memory`] does anything.
pub(crate) const DROPS_FROM_MEMORY: bool = false;

/// Lets the clean pages of a file go: there is no such call.
pub(crate) fn drop_from_memory(_object: &Object) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
