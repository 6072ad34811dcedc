//! Faults: how an access that the system cannot satisfy becomes an `Err`.
//!
//! Three parts, in the order in which one reads them:
//!
//! 1. **Access.** `guard.rs` copies, loads and stores by a few routines in assembly
//!    (`x86_64.rs`, `aarch64.rs`, `x86.rs`), whose instructions that may fault are listed in a
//!    table (`table.rs`), and, where it pays, by single inlined instructions that list themselves
//!    (`inline.rs`, `inline_writes.rs`).
//! 2. **Recovery.** When such an instruction faults, the system calls our handler
//!    (`handler_unix.rs`: `SIGBUS`; `handler_windows.rs`: a vectored exception handler). It looks
//!    up the program counter in the table and continues at the fix-up, which makes the routine
//!    return how much it did not do. Anything that is not in the table goes to whoever handled it
//!    before us.
//! 3. **Meaning.** The view turns "so much is missing" into an error with the path, the offset and
//!    the reason; see `view/explain.rs`.
//!
//! Where there is no assembly for an architecture, copies go through the kernel
//! (`syscall.rs`), and under Miri, which has no maps, through plain atomics (`plain.rs`).
//!
//! This module knows nothing about files, sections or views.

pub(crate) mod guard;
mod inline;
mod table;

cfg_select! {
    all(target_os = "linux", target_arch = "x86_64", not(miri), not(bifolio_portable)) => {
        #[path = "inline_writes.rs"]
        mod writes;
    }
    _ => {
        use arch as writes;
    }
}

cfg_select! {
    miri => {
        #[path = "plain.rs"]
        mod arch;
    }
    bifolio_portable => {
        #[path = "syscall.rs"]
        mod arch;
    }
    target_arch = "x86_64" => {
        mod routines;
        mod symbols;
        #[path = "x86_64.rs"]
        mod arch;
    }
    target_arch = "aarch64" => {
        mod routines;
        mod symbols;
        #[path = "aarch64.rs"]
        mod arch;
    }
    all(target_arch = "x86", target_os = "linux") => {
        mod routines;
        mod symbols;
        #[path = "x86.rs"]
        mod arch;
    }
    _ => {
        #[path = "syscall.rs"]
        mod arch;
    }
}

cfg_select! {
    unix => {
        #[path = "handler_unix.rs"]
        mod handler;
    }
    windows => {
        #[path = "handler_windows.rs"]
        mod handler;
    }
}

pub(crate) use handler::install;

use crate::error::{Error, ErrorKind, Result};

/// Whether faults become errors in this process, as [`status`] found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// Nothing was mapped yet, so no handler was installed.
    NotInstalled,
    /// Our handler is the one that the system calls first.
    Active,
    /// Another library installed a handler after ours. If it does not pass signals on to ours (and
    /// nobody can see whether it does), a fault ends the process.
    Displaced,
    /// No handler is needed: on this architecture every access goes through the kernel.
    NotNeeded,
}

/// Whether our fault handler is in place. One system call; changes nothing.
///
/// On Windows handlers form a list in which ours is first, so it cannot be displaced.
#[must_use]
pub fn status() -> Status {
    handler::status()
}

/// Fails if another library displaced our fault handler; call it after libraries were loaded.
///
/// # Errors
/// `HandlerDisplaced`, with what to do: [`reinstall`], or initialise the other library first.
///
/// ```
/// let _section = bifolio_map::Section::anonymous(1)?.view::<bifolio_map::Read>()?;
/// bifolio_map::fault::check()?;
/// # Ok::<(), bifolio_map::Error>(())
/// ```
pub fn check() -> Result<()> {
    match status() {
        Status::Displaced => Err(Error::new(ErrorKind::HandlerDisplaced, "rely on fault recovery")
            .because(
                "another library replaced the SIGBUS handler after Bifolio installed its own; \
                 call bifolio_map::fault::reinstall() after that library's initialisation",
            )),
        Status::NotInstalled | Status::Active | Status::NotNeeded => Ok(()),
    }
}

/// Puts our handler in front again, if it was displaced; what displaced it is called for every
/// fault that is not ours. Does nothing where [`check`] succeeds.
///
/// # Errors
/// What the system says.
pub fn reinstall() -> Result<()> {
    match status() {
        Status::Displaced => handler::come_back(),
        Status::NotInstalled => handler::install(),
        Status::Active | Status::NotNeeded => Ok(()),
    }
}
