//! Which of Linux's calls this process may make: each is tried in a way that changes nothing.
#![expect(unsafe_code, reason = "system calls")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use super::unix::check;
use crate::machine::{Ability, Fact, Kernel, Permission, text};

/// `cachestat` has this number on every architecture.
const SYS_CACHESTAT: libc::c_long = 451;

pub(crate) fn kernel_facts() -> Kernel {
    let name = rustix::system::uname();
    let release =
        format!("{} {}", name.sysname().to_string_lossy(), name.release().to_string_lossy());
    Kernel {
        release: Fact::known(release, "uname"),
        container: container(),
        call_filter: super::told("/proc/thread-self/status", |status| {
            Some(match text::value(status, "Seccomp")? {
                b"0" => "off".to_owned(),
                b"1" => "strict".to_owned(),
                b"2" => "filter".to_owned(),
                _ => return None,
            })
        }),
        calls: calls(),
    }
}

/// The container that we run in, by the signs that the usual ones leave.
fn container() -> Fact<Option<String>> {
    for (path, name) in [("/run/.containerenv", "podman"), ("/.dockerenv", "docker")] {
        if Path::new(path).exists() {
            return Fact::known(Some(name.to_owned()), path);
        }
    }
    if let Ok(name) = std::fs::read_to_string("/run/systemd/container") {
        return Fact::known(Some(name.trim().to_owned()), "/run/systemd/container");
    }
    super::told("/proc/self/cgroup", |groups| {
        Some(text::container_of_groups(groups).map(str::to_owned))
    })
}

fn calls() -> Vec<Ability> {
    let tried = |name, purpose, outcome: io::Result<()>| Ability {
        name,
        purpose,
        answer: Fact::known(Permission::of(&outcome), "tried"),
    };
    vec![
        tried("futex", "waiting for another process", futex()),
        tried("memfd_create", "memory without a file, and sealed memory", memfd()),
        tried("mincore", "telling which pages are in memory", mincore()),
        tried("cachestat", "counting dirty and evicted pages", cachestat()),
        tried("io_uring_setup", "many reads in flight", io_uring()),
        tried("preadv2", "reading only what is in memory (RWF_NOWAIT)", read_without_waiting()),
        tried("process_madvise", "asking for many ranges at once", advise_many()),
        tried("process_vm_readv", "access without assembly (other architectures)", vm_read()),
        tried("userfaultfd", "handling faults in a program", userfaultfd()),
    ]
}

/// Wakes the waiters of a word of our own that nobody waits for.
fn futex() -> io::Result<()> {
    let word = 0u32;
    // SAFETY: the kernel only takes the address as a key.
    let woken = unsafe { libc::syscall(libc::SYS_futex, &raw const word, libc::FUTEX_WAKE, 1) };
    check_long(woken)
}

fn memfd() -> io::Result<()> {
    let flags = rustix::fs::MemfdFlags::CLOEXEC | rustix::fs::MemfdFlags::ALLOW_SEALING;
    rustix::fs::memfd_create("bifolio.probe", flags)?;
    Ok(())
}

/// Asks about a page of our own.
fn mincore() -> io::Result<()> {
    let base = super::map_private(super::page_size())?;
    let mut answer = 0u8;
    // SAFETY: one page of ours, one byte of answer.
    let asked = check(unsafe {
        libc::mincore(base.as_ptr().cast(), super::page_size(), &raw mut answer)
    });
    // SAFETY: mapped above, and nothing refers to it.
    unsafe { super::unmap_private(base, super::page_size()) };
    asked
}

/// Asks about a file of our own without bytes.
fn cachestat() -> io::Result<()> {
    let fd = rustix::fs::memfd_create("bifolio.probe", rustix::fs::MemfdFlags::CLOEXEC)?;
    // The range: offset and length, 0 for all. The answer: five counts.
    let (range, mut answer) = ([0u64; 2], [0u64; 5]);
    // SAFETY: both structures are as `cachestat(2)` describes them.
    check_long(unsafe {
        libc::syscall(SYS_CACHESTAT, fd.as_raw_fd(), &raw const range, &raw mut answer, 0u32)
    })
}

/// Makes a ring of one entry and closes it again.
fn io_uring() -> io::Result<()> {
    // `struct io_uring_params` has 120 bytes; all zeros is a valid wish.
    let mut parameters = [0u64; 15];
    // SAFETY: the kernel reads and writes the structure only.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1u32, &raw mut parameters) };
    close(fd)
}

/// Reads from a file of our own without bytes, if that needs no waiting.
fn read_without_waiting() -> io::Result<()> {
    let fd = rustix::fs::memfd_create("bifolio.probe", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut byte = [0u8];
    let mut parts = [io::IoSliceMut::new(&mut byte)];
    match rustix::io::preadv2(fd, &mut parts, 0, rustix::io::ReadWriteFlags::NOWAIT) {
        // Memory files do not know the flag, but the call is there.
        Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
        result => Ok(result.map(drop)?),
    }
}

/// Gives advice on no range of this process.
fn advise_many() -> io::Result<()> {
    let me = rustix::process::getpid();
    let process = rustix::process::pidfd_open(me, rustix::process::PidfdFlags::empty())?;
    let none = std::ptr::null::<libc::iovec>();
    // SAFETY: no ranges, so no memory is looked at.
    check_long(unsafe {
        libc::syscall(
            libc::SYS_process_madvise,
            process.as_raw_fd(),
            none,
            0usize,
            libc::MADV_WILLNEED,
            0u32,
        )
    })
}

/// Reads a byte of our own.
fn vm_read() -> io::Result<()> {
    let (from, mut to) = (7u8, 0u8);
    let remote = libc::iovec { iov_base: (&raw const from).cast_mut().cast(), iov_len: 1 };
    let local = libc::iovec { iov_base: (&raw mut to).cast(), iov_len: 1 };
    let me = rustix::process::getpid().as_raw_nonzero().get();
    // SAFETY: both bytes live through the call.
    let read = unsafe { libc::process_vm_readv(me, &raw const local, 1, &raw const remote, 1, 0) };
    if read == 1 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes a descriptor for faults of our own in user mode, which registers nothing.
fn userfaultfd() -> io::Result<()> {
    const USER_MODE_ONLY: libc::c_int = 1;
    // SAFETY: no pointers.
    let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | USER_MODE_ONLY) };
    close(fd)
}

fn check_long(code: libc::c_long) -> io::Result<()> {
    if code == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Closes what a call opened, or says why it opened nothing.
fn close(fd: libc::c_long) -> io::Result<()> {
    check_long(fd)?;
    // A long is an int where both have 32 bits.
    #[allow(clippy::useless_conversion, reason = "see above")]
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel just made it, and nobody else knows it.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    Ok(())
}

/// Whether an error says that the system or the file system does not have the call.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOSYS | libc::EOPNOTSUPP | libc::ENOTTY | libc::EINVAL | libc::EISDIR)
    )
}
