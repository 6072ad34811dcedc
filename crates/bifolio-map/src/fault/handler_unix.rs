//! The signal handler that continues after a fault of ours, and passes on every other.
//!
//! `SIGBUS` on Linux; on macOS also `SIGSEGV`, which some of its kernels raise instead. Installed
//! once, on the first map, with `SA_SIGINFO` (it needs the registers), `SA_ONSTACK` (a thread
//! with a small stack may have an alternate one), `SA_NODEFER` (whoever we pass a signal to may fault
//! itself) and `SA_RESTART` (a signal that somebody sends, and that was ignored before, interrupts no
//! call). It takes no lock, allocates nothing and uses no thread-local variable.
//!
//! What happens to a signal:
//! ```text
//!             si_code > 0: the processor faulted        si_code <= 0: somebody sent it
//! pc in our table  -> continue at the fix-up            -> previous handler, then see that we
//! otherwise        -> previous handler                     are still registered
//! ```
//! Rust's own handler (for stack overflows) answers a signal that it does not know by setting the
//! default action and returning, so that a repeated fault ends the process. After a *sent* signal
//! nothing repeats, and that default would have replaced us: so it becomes the new previous
//! handler, and ours is put back.
#![expect(unsafe_code, reason = "signal handlers and register contexts")]

use std::cell::UnsafeCell;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Status;
use super::table::{self, Ours};
use crate::error::{Error, ErrorKind, Result};

/// The signals that a fault in a map can raise.
#[cfg(target_vendor = "apple")]
const SIGNALS: &[i32] = &[libc::SIGBUS, libc::SIGSEGV];
#[cfg(not(target_vendor = "apple"))]
const SIGNALS: &[i32] = &[libc::SIGBUS];

/// The handler that was there before ours, one for each of [`SIGNALS`].
///
/// An action is written into a place of its own, which is never written again, and then named: so a
/// handler that runs in another thread reads a whole one, without a lock. There is a place for each
/// different handler that displaces us; one that comes again has its place already.
struct Previous {
    places: [Place; PLACES],
    claimed: AtomicUsize,
    /// The number of the place that is valid, plus one; zero is the default action.
    valid: AtomicUsize,
}

struct Place {
    action: UnsafeCell<MaybeUninit<libc::sigaction>>,
    written: AtomicBool,
}

const PLACES: usize = 32;

/// There is no place left for one more handler.
#[derive(Clone, Copy, Debug)]
struct Exhausted;

// SAFETY: an action is written by the one who claimed its place, before `written` says so (release),
// and read only after `written` was loaded (acquire).
unsafe impl Sync for Place {}

impl Previous {
    const fn new() -> Self {
        Self {
            places: [const { Place::new() }; PLACES],
            claimed: AtomicUsize::new(0),
            valid: AtomicUsize::new(0),
        }
    }

    /// The action. Async-signal-safe.
    fn get(&self) -> libc::sigaction {
        let Some(number) = self.valid.load(Ordering::Acquire).checked_sub(1) else {
            // SAFETY: all zeros is the default action.
            return unsafe { MaybeUninit::zeroed().assume_init() };
        };
        // Named, so written.
        self.places[number].get().unwrap_or_else(|| {
            // SAFETY: all zeros is the default action.
            unsafe { MaybeUninit::zeroed().assume_init() }
        })
    }

    /// Replaces the action. Async-signal-safe.
    fn set(&self, action: libc::sigaction) -> Result<(), Exhausted> {
        let is_known = |place: &Place| place.get().is_some_and(|known| is_same(&known, &action));
        let known = self.places.iter().position(is_known);
        let number = known.unwrap_or_else(|| self.claimed.fetch_add(1, Ordering::Relaxed));
        let Some(place) = self.places.get(number) else {
            // So that it does not wrap, however often this is tried.
            self.claimed.store(PLACES, Ordering::Relaxed);
            return Err(Exhausted);
        };
        if known.is_none() {
            // SAFETY: nobody else has this number, and nobody reads the action before it is said to
            // be written.
            unsafe { place.action.get().write(MaybeUninit::new(action)) };
            place.written.store(true, Ordering::Release);
        }
        self.valid.store(number + 1, Ordering::Release);
        Ok(())
    }

    /// Goes back to the default action. Async-signal-safe.
    fn reset(&self) {
        self.valid.store(0, Ordering::Release);
    }
}

impl Place {
    const fn new() -> Self {
        let action = UnsafeCell::new(MaybeUninit::zeroed());
        Self { action, written: AtomicBool::new(false) }
    }

    fn get(&self) -> Option<libc::sigaction> {
        if !self.written.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: written, and never written again.
        let action = unsafe { self.action.get().read() };
        // SAFETY: as above.
        Some(unsafe { action.assume_init() })
    }
}

/// Whether two actions call the same handler in the same way. The mask is compared where it says
/// something: in the signals that there are.
fn is_same(one: &libc::sigaction, other: &libc::sigaction) -> bool {
    // SAFETY: both sets are initialised, and an invalid number is answered by -1 for both.
    let has = |action: &libc::sigaction, signal| unsafe {
        libc::sigismember(&raw const action.sa_mask, signal)
    };
    one.sa_sigaction == other.sa_sigaction
        && one.sa_flags == other.sa_flags
        && (1..=64).all(|signal| has(one, signal) == has(other, signal))
}

/// A signal that is being passed on right now, to know one that comes round: by its context, which
/// lies in the frame that the kernel made for it, and by the frame of ours that passes it on.
///
/// A handler that we pass a signal to may never come back to us (it leaves by `siglongjmp`), and
/// then its note stays. It is told from a signal that comes round by the frame: what comes round
/// finds the note of a frame that still stands, further up the stack; a new signal at the depth of an
/// old one has the same context *and* the same frame, and takes the note over.
struct Passing {
    context: AtomicUsize,
    frame: AtomicUsize,
}

impl Passing {
    const fn new() -> Self {
        Self { context: AtomicUsize::new(0), frame: AtomicUsize::new(0) }
    }

    /// Notes a signal; `None` if it is one that comes round. Async-signal-safe.
    fn note(context: usize, frame: usize) -> Option<&'static Self> {
        let mut stale = None;
        for note in &PASSING {
            if note.context.load(Ordering::Acquire) == context {
                // Stacks grow down on all architectures here.
                if note.frame.load(Ordering::Acquire) > frame {
                    return None;
                }
                stale = Some(note);
            }
        }
        let free = || {
            PASSING.iter().find(|note| {
                note.context
                    .compare_exchange(0, context, Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok()
            })
        };
        // If all are taken, by as many threads or by what never came back, one is taken over. Should
        // it be a living one, its signal goes round once more and is noted anew.
        let note = stale.or_else(free).unwrap_or(&PASSING[(context >> 4) % PASSING.len()]);
        note.frame.store(frame, Ordering::Release);
        note.context.store(context, Ordering::Release);
        Some(note)
    }

    /// Async-signal-safe.
    fn forget(&self, context: usize) {
        // Not if somebody has taken it over.
        let _ = self.context.compare_exchange(context, 0, Ordering::AcqRel, Ordering::Relaxed);
    }
}

/// Who is called for what is not ours.
static PREVIOUS: [Previous; 2] = [Previous::new(), Previous::new()];
/// Who was there before we came first. Where a library displaced us and *keeps* us (it passes
/// signals on to the handler that it found), [`super::reinstall`] makes a circle: it is previous
/// to us and we to it. A signal that comes round goes here.
static ORIGINAL: [Previous; 2] = [Previous::new(), Previous::new()];
static PASSING: [Passing; 64] = [const { Passing::new() }; 64];
static INSTALLED: AtomicBool = AtomicBool::new(false);
static INSTALLING: Mutex<()> = Mutex::new(());

/// Whether every access goes through the kernel here, so that no signal is ever ours.
const NOT_NEEDED: bool = cfg!(any(
    miri,
    bifolio_portable,
    not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "x86"))
));

/// Installs the handler, once; later calls cost one load.
pub(crate) fn install() -> Result<()> {
    if NOT_NEEDED || INSTALLED.load(Ordering::Acquire) {
        return Ok(());
    }
    let _installing = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if !INSTALLED.load(Ordering::Acquire) {
        table::PAGE_MASK.store(crate::sys::page_size() - 1, Ordering::Relaxed);
        for (original, &signal) in ORIGINAL.iter().zip(SIGNALS) {
            // Its first action: there is a place.
            let _ = original.set(current(signal));
        }
        take_over()?;
        INSTALLED.store(true, Ordering::Release);
    }
    Ok(())
}

pub(super) fn status() -> Status {
    if NOT_NEEDED {
        return Status::NotNeeded;
    }
    if !INSTALLED.load(Ordering::Acquire) {
        return Status::NotInstalled;
    }
    let displaced = SIGNALS.iter().any(|&signal| !is_ours(&current(signal)));
    if displaced { Status::Displaced } else { Status::Active }
}

/// Puts our handler in front again.
pub(super) fn come_back() -> Result<()> {
    let _installing = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    take_over()
}

/// Puts our handler in front of whatever is there now. The caller holds [`INSTALLING`].
fn take_over() -> Result<()> {
    for (index, &signal) in SIGNALS.iter().enumerate() {
        let found = current(signal);
        if is_ours(&found) {
            continue;
        }
        PREVIOUS[index].set(found).map_err(|Exhausted| {
            Error::new(ErrorKind::LimitReached, "install the fault handler").because(format!(
                "{PLACES} different handlers have displaced it; one more would be forgotten"
            ))
        })?;
        register(signal).map_err(|error| Error::os("install the fault handler", error))?;
    }
    Ok(())
}

/// Registers our handler for one signal. Async-signal-safe.
fn register(signal: i32) -> io::Result<()> {
    // SAFETY: all zeros is a valid action (the default one, with an empty mask).
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = on_signal as *const () as usize;
    action.sa_flags =
        libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER | libc::SA_RESTART;
    // SAFETY: `action` is initialised, and `on_signal` has the signature that SA_SIGINFO wants.
    if unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// What is registered now. Async-signal-safe.
fn current(signal: i32) -> libc::sigaction {
    let mut action = MaybeUninit::zeroed();
    // SAFETY: the call only writes the current action; it cannot fail for a valid signal, and
    // zeros, the default action, are what is left if it did.
    unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: zeroed at least.
    unsafe { action.assume_init() }
}

fn is_ours(action: &libc::sigaction) -> bool {
    action.sa_sigaction == on_signal as *const () as usize
}

/// "Action optional", of Linux's `asm-generic/siginfo.h`. No other system sends it.
const BUS_MCEERR_AO: i32 = if cfg!(target_os = "linux") { 5 } else { i32::MAX };

/// The handler.
unsafe extern "C" fn on_signal(
    signal: i32,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel hands over a valid siginfo.
    let info_read = unsafe { &*info };
    let code = info_read.si_code;
    // A memory error that nobody has stepped on yet is told in advance: nothing faulted.
    let faulted = code > 0 && !(signal == libc::SIGBUS && code == BUS_MCEERR_AO);
    if faulted {
        // SAFETY: for a fault the kernel fills in the address.
        let at = unsafe { info_read.si_addr() }.addr();
        // SAFETY: SA_SIGINFO makes the third argument a context, ours alone until we return.
        let registers = unsafe { &mut *context.cast::<libc::ucontext_t>() };
        let (pc, ours) = registers::of_fault(registers);
        if let Some(fixup) = table::recover(pc, at, ours) {
            registers::continue_at(registers, fixup);
            return;
        }
    }
    let index = usize::from(signal != libc::SIGBUS);
    let frame = (&raw const code).addr();
    let Some(note) = Passing::note(context.addr(), frame) else {
        // SAFETY: the arguments are passed on as they came.
        unsafe { pass_on(signal, info, context, faulted, &ORIGINAL[index]) };
        return;
    };
    // SAFETY: as above.
    unsafe { pass_on(signal, info, context, faulted, &PREVIOUS[index]) };
    note.forget(context.addr());
}

/// Calls the previous handler the way the kernel would have.
///
/// # Safety
/// The arguments must be those of the running signal handler.
unsafe fn pass_on(
    signal: i32,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
    faulted: bool,
    previous: &Previous,
) {
    let action = previous.get();
    match action.sa_sigaction {
        libc::SIG_IGN if !faulted => return,
        libc::SIG_DFL | libc::SIG_IGN => {
            // A fault repeats as soon as we return and then meets the default action; a sent
            // signal is sent again. (A fault cannot be ignored: the kernel would end it too.)
            // SAFETY: both calls are async-signal-safe and take no pointers.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
            if !faulted {
                // SAFETY: as above.
                unsafe { libc::raise(signal) };
            }
            return;
        }
        _ => {}
    }
    let mut before = MaybeUninit::uninit();
    let mut mask = action.sa_mask;
    if action.sa_flags & libc::SA_NODEFER == 0 {
        // SAFETY: `mask` is an initialised set; the signal number is valid.
        unsafe { libc::sigaddset(&raw mut mask, signal) };
    }
    // SAFETY: both sets are valid; this is what the kernel does before it calls a handler.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const mask, before.as_mut_ptr()) };
    if action.sa_flags & libc::SA_RESETHAND != 0 {
        previous.reset();
    }
    if action.sa_flags & libc::SA_SIGINFO != 0 {
        // SAFETY: SA_SIGINFO says that the handler has this signature; it is neither SIG_DFL nor
        // SIG_IGN, so it is a function that some library registered.
        let handler = unsafe {
            std::mem::transmute::<
                usize,
                unsafe extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void),
            >(action.sa_sigaction)
        };
        // SAFETY: called with what the kernel gave us.
        unsafe { handler(signal, info, context) };
    } else {
        // SAFETY: without SA_SIGINFO the handler takes the signal number only.
        let handler = unsafe {
            std::mem::transmute::<usize, unsafe extern "C" fn(i32)>(action.sa_sigaction)
        };
        // SAFETY: as above.
        unsafe { handler(signal) };
    }
    if !faulted {
        let now = current(signal);
        // Nothing can be reported from here; `status` will tell.
        if !is_ours(&now) && previous.set(now).is_ok() {
            let _ = register(signal);
        }
    }
    // SAFETY: `before` was written by the first call.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
}

/// Where each system and architecture keeps the registers that matter.
mod registers {
    use super::Ours;

    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "registers")]
    pub(super) fn of_fault(context: &libc::ucontext_t) -> (usize, Ours) {
        let gregs = &context.uc_mcontext.gregs;
        let at = |register: i32| gregs[register as usize] as usize;
        (at(libc::REG_RIP), Ours { low: at(libc::REG_R9), high: at(libc::REG_R8) })
    }

    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[allow(clippy::cast_possible_wrap, clippy::cast_sign_loss, reason = "registers")]
    pub(super) fn continue_at(context: &mut libc::ucontext_t, pc: usize) {
        context.uc_mcontext.gregs[libc::REG_RIP as usize] = pc as i64;
    }

    #[cfg(all(target_os = "linux", target_arch = "x86"))]
    #[allow(clippy::cast_sign_loss, reason = "registers")]
    pub(super) fn of_fault(context: &libc::ucontext_t) -> (usize, Ours) {
        let gregs = &context.uc_mcontext.gregs;
        let at = |register: i32| gregs[register as usize] as usize;
        (at(libc::REG_EIP), Ours { low: at(libc::REG_EAX), high: at(libc::REG_EDX) })
    }

    #[cfg(all(target_os = "linux", target_arch = "x86"))]
    #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss, reason = "registers")]
    pub(super) fn continue_at(context: &mut libc::ucontext_t, pc: usize) {
        context.uc_mcontext.gregs[libc::REG_EIP as usize] = pc as i32;
    }

    #[cfg(all(target_os = "linux", target_arch = "aarch64"))]
    #[allow(clippy::cast_possible_truncation, reason = "registers")]
    pub(super) fn of_fault(context: &libc::ucontext_t) -> (usize, Ours) {
        let state = &context.uc_mcontext;
        let ours = Ours { low: state.regs[3] as usize, high: state.regs[4] as usize };
        (state.pc as usize, ours)
    }

    #[cfg(all(target_os = "linux", target_arch = "aarch64"))]
    pub(super) fn continue_at(context: &mut libc::ucontext_t, pc: usize) {
        context.uc_mcontext.pc = pc as u64;
    }

    #[cfg(all(target_vendor = "apple", target_arch = "aarch64"))]
    #[allow(clippy::cast_possible_truncation, reason = "registers")]
    pub(super) fn of_fault(context: &libc::ucontext_t) -> (usize, Ours) {
        // SAFETY: the kernel fills in the pointer to the machine context of a signal.
        let state = unsafe { &(*context.uc_mcontext).__ss };
        let ours = Ours { low: state.__x[3] as usize, high: state.__x[4] as usize };
        (state.__pc as usize, ours)
    }

    #[cfg(all(target_vendor = "apple", target_arch = "aarch64"))]
    pub(super) fn continue_at(context: &mut libc::ucontext_t, pc: usize) {
        // SAFETY: as above.
        unsafe { (*context.uc_mcontext).__ss.__pc = pc as u64 };
    }

    #[cfg(all(target_vendor = "apple", target_arch = "x86_64"))]
    #[allow(clippy::cast_possible_truncation, reason = "registers")]
    pub(super) fn of_fault(context: &libc::ucontext_t) -> (usize, Ours) {
        // SAFETY: the kernel fills in the pointer to the machine context of a signal.
        let state = unsafe { &(*context.uc_mcontext).__ss };
        let ours = Ours { low: state.__r9 as usize, high: state.__r8 as usize };
        (state.__rip as usize, ours)
    }

    #[cfg(all(target_vendor = "apple", target_arch = "x86_64"))]
    pub(super) fn continue_at(context: &mut libc::ucontext_t, pc: usize) {
        // SAFETY: as above.
        unsafe { (*context.uc_mcontext).__ss.__rip = pc as u64 };
    }

    /// Where every access goes through the kernel no instruction is in the table.
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "x86")))]
    pub(super) fn of_fault(_context: &libc::ucontext_t) -> (usize, Ours) {
        (0, Ours { low: 0, high: 0 })
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "x86")))]
    pub(super) fn continue_at(_context: &mut libc::ucontext_t, _pc: usize) {}
}
