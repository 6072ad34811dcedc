//! The vectored exception handler that continues after a fault of ours.
//!
//! A page that Windows cannot supply raises `EXCEPTION_IN_PAGE_ERROR`; Wine reports an access
//! violation. Both are ours if the instruction is in the table; anything else is left to the next
//! handler. Handlers form a list and ours is put first, so it cannot be displaced.
#![expect(unsafe_code, reason = "exception handlers and register contexts")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use windows_sys::Win32::Foundation::{EXCEPTION_ACCESS_VIOLATION, EXCEPTION_IN_PAGE_ERROR};
use windows_sys::Win32::System::Diagnostics::Debug::{
    AddVectoredExceptionHandler, EXCEPTION_CONTINUE_EXECUTION, EXCEPTION_CONTINUE_SEARCH,
    EXCEPTION_POINTERS,
};

use super::Status;
use super::table::{self, Ours};
use crate::error::{Error, Result};

static INSTALLED: AtomicBool = AtomicBool::new(false);
static INSTALLING: Mutex<()> = Mutex::new(());

/// Installs the handler, once; later calls cost one load.
pub(crate) fn install() -> Result<()> {
    if INSTALLED.load(Ordering::Acquire) {
        return Ok(());
    }
    let _installing = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if !INSTALLED.load(Ordering::Acquire) {
        table::PAGE_MASK.store(crate::sys::page_size() - 1, Ordering::Relaxed);
        take_over()?;
        INSTALLED.store(true, Ordering::Release);
    }
    Ok(())
}

pub(super) fn status() -> Status {
    if INSTALLED.load(Ordering::Acquire) { Status::Active } else { Status::NotInstalled }
}

/// Puts our handler first in the list again. It is never displaced.
pub(super) fn come_back() -> Result<()> {
    Ok(())
}

/// Puts our handler first in the list.
fn take_over() -> Result<()> {
    // SAFETY: `on_exception` has the signature that the call wants and lives as long as the process.
    let handle = unsafe { AddVectoredExceptionHandler(1, Some(on_exception)) };
    if handle.is_null() {
        return Err(Error::os("install the fault handler", std::io::Error::last_os_error()));
    }
    Ok(())
}

/// The handler.
unsafe extern "system" fn on_exception(pointers: *mut EXCEPTION_POINTERS) -> i32 {
    // SAFETY: Windows hands over a valid pair of pointers, ours until we return.
    let EXCEPTION_POINTERS { ExceptionRecord: record, ContextRecord: context } =
        unsafe { pointers.read() };
    // SAFETY: both are valid, ours alone until we return, and do not overlap.
    let record = unsafe { &*record };
    // SAFETY: as above.
    let context = unsafe { &mut *context };
    let code = record.ExceptionCode;
    if (code != EXCEPTION_IN_PAGE_ERROR && code != EXCEPTION_ACCESS_VIOLATION)
        || record.NumberParameters < 2
    {
        return EXCEPTION_CONTINUE_SEARCH;
    }
    let at = record.ExceptionInformation[1];
    let (pc, ours) = registers::of_fault(context);
    match table::recover(pc, at, ours) {
        Some(fixup) => {
            registers::continue_at(context, fixup);
            EXCEPTION_CONTINUE_EXECUTION
        }
        None => EXCEPTION_CONTINUE_SEARCH,
    }
}

/// Where each architecture keeps the registers that matter.
#[allow(clippy::cast_possible_truncation, reason = "registers")]
mod registers {
    use windows_sys::Win32::System::Diagnostics::Debug::CONTEXT;

    use super::Ours;

    #[cfg(target_arch = "x86_64")]
    pub(super) fn of_fault(context: &CONTEXT) -> (usize, Ours) {
        let ours = Ours { low: context.R9 as usize, high: context.R8 as usize };
        (context.Rip as usize, ours)
    }

    #[cfg(target_arch = "x86_64")]
    pub(super) fn continue_at(context: &mut CONTEXT, pc: usize) {
        context.Rip = pc as u64;
    }

    #[cfg(target_arch = "aarch64")]
    pub(super) fn of_fault(context: &CONTEXT) -> (usize, Ours) {
        // SAFETY: the union's two forms name the same registers.
        let x = unsafe { &context.Anonymous.X };
        (context.Pc as usize, Ours { low: x[3] as usize, high: x[4] as usize })
    }

    #[cfg(target_arch = "aarch64")]
    pub(super) fn continue_at(context: &mut CONTEXT, pc: usize) {
        context.Pc = pc as u64;
    }
}
