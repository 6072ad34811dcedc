//! Signal handlers: faults that are not ours go to whoever handled them before, faults in the
//! caller's own memory are not swallowed, and other libraries' handlers are noticed.
//!
//! Every test runs in a process of its own, because a process has one handler for a signal.
//! Threads that block SIGBUS are outside of what is promised: the kernel ends the process.
#![expect(unsafe_code, reason = "installs signal handlers and maps memory as foreign code would")]
#![cfg(not(bifolio_portable))]

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use bifolio_map::fault::{self, Status};
use bifolio_map::{ErrorKind, Read, ReadWrite, Section, View, page_size};
use bifolio_testkit::this_test;

use crate::support::process::{alone, end_of, plays};
use crate::support::{file_of, refused, says, truncate};

/// How often the foreign handler was called, and with what.
static CALLS: AtomicUsize = AtomicUsize::new(0);
static ADDRESS: AtomicUsize = AtomicUsize::new(0);
static CODE: AtomicI32 = AtomicI32::new(0);

/// A handler as C libraries write them: it repairs the fault by mapping zeros over it.
unsafe extern "C" fn foreign(
    _signal: i32,
    info: *mut libc::siginfo_t,
    _context: *mut libc::c_void,
) {
    // SAFETY: the kernel hands over a valid siginfo.
    let info = unsafe { &*info };
    CALLS.fetch_add(1, Ordering::SeqCst);
    CODE.store(info.si_code, Ordering::SeqCst);
    if info.si_code > 0 {
        // SAFETY: a fault has an address.
        ADDRESS.store(unsafe { info.si_addr() }.addr(), Ordering::SeqCst);
        repair();
    }
}

/// The same without siginfo.
unsafe extern "C" fn plain_foreign(_signal: i32) {
    CALLS.fetch_add(1, Ordering::SeqCst);
    repair();
}

/// Maps zeros over the page of the last address.
fn repair() {
    let start = ADDRESS.load(Ordering::SeqCst) & !(page_size() - 1);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    let at = ptr::without_provenance_mut(start);
    // SAFETY: the page belongs to the foreign map of these tests and nobody refers to it.
    unsafe { libc::mmap(at, page_size(), libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
}

/// What a library does at its start.
fn install(handler: usize, flags: i32) {
    // SAFETY: all zeros is a valid action.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: the action is initialised, and its handler has the signature that the flags say.
    let code = unsafe { libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) };
    assert_eq!(code, 0);
}

/// The handler that is registered now.
fn registered() -> usize {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: the call only writes the current action.
    unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: zeroed at least.
    unsafe { action.assume_init() }.sa_sigaction
}

fn install_foreign() {
    install(foreign as *const () as usize, libc::SA_SIGINFO | libc::SA_ONSTACK);
}

fn raise() {
    // SAFETY: no pointers.
    unsafe { libc::raise(libc::SIGBUS) };
}

/// A map of a file of one page that was cut off, made behind our back: touching it is a fault
/// that is not ours. It stays mapped to the end of the process.
fn foreign_page() -> *mut u8 {
    let (_dir, path) = file_of(&vec![1; page_size()]);
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: without MAP_FIXED no existing map is touched.
    let at = unsafe { libc::mmap(ptr::null_mut(), page_size(), prot, flags, file.as_raw_fd(), 0) };
    assert_ne!(at, libc::MAP_FAILED);
    file.set_len(0).unwrap();
    at.cast()
}

/// The foreign code's unguarded load.
fn touch(at: *const u8) -> u8 {
    // SAFETY: mapped to the end of the process; the fault is what the tests are about.
    unsafe { at.read_volatile() }
}

/// A view of ours that faults everywhere, and one that does not.
struct Ours {
    gone: View<ReadWrite>,
    sound: View<ReadWrite>,
}

/// The file has no name any more when this returns: most of these processes die.
fn ours() -> Ours {
    let (_dir, path) = file_of(&vec![1; 4 * page_size()]);
    let gone = Section::open_rw(&path).unwrap().view().unwrap();
    truncate(&path, 0);
    let sound = Section::anonymous(4 * page_size() as u64).unwrap().view().unwrap();
    Ours { gone, sound }
}

impl Ours {
    /// A fault of ours is an error.
    #[track_caller]
    fn recovers(&self) {
        refused(self.gone.get::<u64>(0), ErrorKind::UnexpectedEof);
        refused(self.gone.read_vec(..), ErrorKind::UnexpectedEof);
        refused(self.gone.write_at(3, &[0; 500]), ErrorKind::UnexpectedEof);
        refused(self.gone.atomic_u64(8).unwrap().fetch_add(1), ErrorKind::UnexpectedEof);
        assert_eq!(self.sound.get::<u8>(5).unwrap(), 0);
    }
}

#[test]
fn the_handler_is_installed_with_the_first_map_and_not_before() {
    alone(this_test!(), || {
        assert_eq!(fault::status(), Status::NotInstalled);
        fault::check().unwrap();
        let section = Section::anonymous(10).unwrap();
        assert_eq!(fault::status(), Status::NotInstalled);
        let _view: View<Read> = section.view().unwrap();
        assert_eq!(fault::status(), Status::Active);
        fault::check().unwrap();
        fault::reinstall().unwrap();
        assert_eq!(fault::status(), Status::Active);
    });
}

#[test]
fn a_handler_installed_before_ours_gets_foreign_faults_with_their_siginfo() {
    alone(this_test!(), || {
        install_foreign();
        let ours = ours();
        ours.recovers();
        assert_eq!(CALLS.load(Ordering::SeqCst), 0, "our faults are not its business");
        let at = foreign_page();
        assert_eq!(touch(at.wrapping_add(9)), 0);
        assert_eq!(CALLS.load(Ordering::SeqCst), 1);
        assert_eq!(ADDRESS.load(Ordering::SeqCst), at.addr() + 9);
        assert_eq!(CODE.load(Ordering::SeqCst), 2, "BUS_ADRERR");
        raise();
        assert_eq!(CALLS.load(Ordering::SeqCst), 2, "sent signals are passed on too");
        assert!(CODE.load(Ordering::SeqCst) <= 0);
        ours.recovers();
        assert_eq!((CALLS.load(Ordering::SeqCst), fault::status()), (2, Status::Active));
    });
}

#[test]
fn a_handler_without_siginfo_is_called_too() {
    alone(this_test!(), || {
        install(plain_foreign as *const () as usize, 0);
        let ours = ours();
        let at = foreign_page();
        ADDRESS.store(at.addr(), Ordering::SeqCst);
        assert_eq!(touch(at), 0);
        assert_eq!(CALLS.load(Ordering::SeqCst), 1);
        ours.recovers();
        assert_eq!(CALLS.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_handler_for_one_time_is_called_one_time() {
    if plays("raises twice") {
        install(foreign as *const () as usize, libc::SA_SIGINFO | libc::SA_RESETHAND);
        let ours = ours();
        raise();
        assert_eq!(CALLS.load(Ordering::SeqCst), 1);
        ours.recovers();
        raise();
        return;
    }
    end_of(this_test!(), "raises twice").died_by(libc::SIGBUS);
}

#[test]
fn a_handler_installed_after_ours_is_noticed_and_ours_can_be_put_back() {
    alone(this_test!(), || {
        let ours = ours();
        ours.recovers();
        install_foreign();
        assert_eq!(fault::status(), Status::Displaced);
        let error = refused(fault::check(), ErrorKind::HandlerDisplaced);
        says(&error, &["rely on fault recovery", "replaced the SIGBUS handler", "reinstall()"]);
        fault::reinstall().unwrap();
        assert_eq!(fault::status(), Status::Active);
        fault::check().unwrap();
        ours.recovers();
        assert_eq!(CALLS.load(Ordering::SeqCst), 0);
        let at = foreign_page();
        assert_eq!(touch(at), 0, "the other's handler still gets what is not ours");
        assert_eq!(CALLS.load(Ordering::SeqCst), 1);
    });
}

/// The handler that a polite library found, and passes signals on to.
static FOUND: AtomicUsize = AtomicUsize::new(0);

/// A handler that keeps the one before it.
unsafe extern "C" fn polite(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    CALLS.fetch_add(1, Ordering::SeqCst);
    assert!(CALLS.load(Ordering::SeqCst) < 1000, "a signal goes round and round");
    type Handler = unsafe extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);
    // SAFETY: what was found was Bifolio's handler, which has this signature.
    let found: Handler = unsafe { std::mem::transmute(FOUND.load(Ordering::SeqCst)) };
    // SAFETY: called with what the kernel gave.
    unsafe { found(signal, info, context) };
}

#[test]
fn a_library_that_displaced_ours_and_keeps_it_makes_no_circle_when_ours_is_put_back() {
    if plays("circle") {
        install_foreign(); // who was there first, and repairs
        let ours = ours();
        FOUND.store(registered(), Ordering::SeqCst);
        install(polite as *const () as usize, libc::SA_SIGINFO | libc::SA_ONSTACK);
        ours.recovers();
        assert!(CALLS.swap(0, Ordering::SeqCst) > 0, "it passes our faults on to us");
        fault::reinstall().unwrap();
        ours.recovers();
        assert_eq!(CALLS.load(Ordering::SeqCst), 0, "ours is in front again");
        assert_eq!(touch(foreign_page()), 0);
        assert_eq!(CALLS.load(Ordering::SeqCst), 2, "the polite one and the first one");
        return;
    }
    end_of(this_test!(), "circle").passed();
}

/// Where the leaping handler goes to, and where its faults are made.
#[cfg(all(target_env = "gnu", any(target_arch = "x86_64", target_arch = "x86")))]
mod leap {
    use std::cell::UnsafeCell;

    use super::{CALLS, MaybeUninit, Ordering, foreign_page, touch};

    struct Context(UnsafeCell<MaybeUninit<libc::ucontext_t>>);

    // SAFETY: one thread of the child process uses them.
    unsafe impl Sync for Context {}

    static OUT: Context = Context(UnsafeCell::new(MaybeUninit::uninit()));
    static IN: Context = Context(UnsafeCell::new(MaybeUninit::uninit()));

    /// A handler that does not return, as those of probes that use `siglongjmp`.
    pub(super) unsafe extern "C" fn leap(
        _signal: i32,
        _info: *mut libc::siginfo_t,
        _context: *mut libc::c_void,
    ) {
        CALLS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: `probe` filled it in and stands still until it is resumed here.
        unsafe { libc::setcontext(OUT.0.get().cast()) };
    }

    extern "C" fn fault() {
        touch(foreign_page());
    }

    /// Makes a fault that is not ours on a stack of its own, which is the same every time.
    pub(super) fn probe(stack: &mut [u8]) {
        // SAFETY: fills in the context, which is ours.
        assert_eq!(unsafe { libc::getcontext(IN.0.get().cast()) }, 0);
        // SAFETY: filled in above.
        let context = unsafe { &mut *IN.0.get().cast::<libc::ucontext_t>() };
        context.uc_stack.ss_sp = stack.as_mut_ptr().cast();
        context.uc_stack.ss_size = stack.len();
        context.uc_link = OUT.0.get().cast();
        // SAFETY: the stack outlives the call, and the function takes no arguments.
        unsafe { libc::makecontext(IN.0.get().cast(), fault, 0) };
        // SAFETY: resumed once, by `leap`; what it leaves behind owns nothing but a map.
        assert_eq!(unsafe { libc::swapcontext(OUT.0.get().cast(), IN.0.get().cast()) }, 0);
    }
}

#[cfg(all(target_env = "gnu", any(target_arch = "x86_64", target_arch = "x86")))]
#[test]
fn a_library_that_leaves_its_handler_by_a_jump_is_called_every_time() {
    if plays("leaps") {
        let ours = ours();
        install(leap::leap as *const () as usize, libc::SA_SIGINFO | libc::SA_NODEFER);
        fault::reinstall().unwrap();
        let mut stack = vec![0; 1 << 20];
        // More than there are places for notes, at one depth and at many.
        for round in 1..=200 {
            leap::probe(&mut stack);
            assert_eq!(CALLS.load(Ordering::SeqCst), round);
            let shorter = stack.len() - 4096;
            stack.truncate(if round > 100 { shorter } else { stack.len() });
        }
        ours.recovers();
        return;
    }
    end_of(this_test!(), "leaps").passed();
}

#[test]
fn whoever_displaces_ours_is_remembered_however_often_and_one_too_many_is_told() {
    if plays("again and again") {
        let ours = ours();
        for _ in 0..100 {
            install(libc::SIG_IGN, 0);
            fault::reinstall().unwrap();
        }
        install_foreign();
        fault::reinstall().unwrap();
        assert_eq!(touch(foreign_page()), 0, "the newest is called");
        // As many different ones as there are combinations of these flags.
        let flags = [libc::SA_RESTART, libc::SA_NOCLDSTOP, libc::SA_NOCLDWAIT, libc::SA_NODEFER];
        let different = (0..64).find(|mix: &u32| {
            let chosen = flags.iter().enumerate().filter(|(bit, _)| mix >> bit & 1 == 1);
            let handler = if mix & 16 == 0 { polite as *const () } else { foreign as *const () };
            let once = if mix & 32 == 0 { 0 } else { libc::SA_RESETHAND };
            install(
                handler as usize,
                libc::SA_SIGINFO | once | chosen.fold(0, |all, (_, f)| all | f),
            );
            fault::reinstall().is_err()
        });
        assert!(different.is_some_and(|count| count >= 28), "{different:?}");
        refused(fault::check(), ErrorKind::HandlerDisplaced);
        refused(fault::reinstall(), ErrorKind::LimitReached);
        drop(ours);
        return;
    }
    end_of(this_test!(), "again and again").passed();
}

#[test]
fn a_fault_under_a_handler_that_displaced_ours_is_the_others() {
    // What the check warns of: the broken twin of the test above.
    if plays("displaced") {
        let ours = ours();
        install(libc::SIG_DFL, 0);
        assert_eq!(fault::status(), Status::Displaced);
        let _ = ours.gone.get::<u64>(0);
        return;
    }
    end_of(this_test!(), "displaced").died_by(libc::SIGBUS);
}

#[test]
fn a_raised_signal_with_the_default_action_ends_the_process() {
    if plays("raises") {
        install(libc::SIG_DFL, 0);
        ours().recovers();
        raise();
        return;
    }
    end_of(this_test!(), "raises").died_by(libc::SIGBUS);
}

#[test]
fn a_raised_signal_under_rusts_own_handler_leaves_recovery_in_place() {
    if plays("raises once") || plays("raises twice") {
        let ours = ours();
        raise();
        assert_eq!(fault::status(), Status::Active);
        ours.recovers();
        if plays("raises twice") {
            // Rust's handler has set the default action by now, as it would have without us.
            raise();
        }
        return;
    }
    end_of(this_test!(), "raises once").passed();
    end_of(this_test!(), "raises twice").died_by(libc::SIGBUS);
}

#[test]
fn a_raised_signal_that_is_ignored_stays_ignored() {
    alone(this_test!(), || {
        install(libc::SIG_IGN, 0);
        let ours = ours();
        raise();
        raise();
        ours.recovers();
        assert_eq!(fault::status(), Status::Active);
    });
}

#[test]
fn a_foreign_fault_ends_the_process_as_it_would_without_us() {
    for (role, action) in [("default", libc::SIG_DFL), ("ignored", libc::SIG_IGN)] {
        if plays(role) {
            install(action, 0);
            ours().recovers();
            touch(foreign_page());
            return;
        }
    }
    if plays("rust") {
        ours().recovers();
        touch(foreign_page());
        return;
    }
    for role in ["default", "ignored", "rust"] {
        end_of(this_test!(), role).died_by(libc::SIGBUS);
    }
}

#[test]
fn rusts_own_message_about_a_stack_overflow_still_appears() {
    if plays("overflows") {
        fn deeper(depth: usize) -> usize {
            let frame = std::hint::black_box([depth; 100]);
            if depth == usize::MAX { frame[0] } else { deeper(depth + 1) + frame[99] }
        }
        ours().recovers();
        std::hint::black_box(deeper(0));
        return;
    }
    let end = end_of(this_test!(), "overflows");
    assert!(end.stderr.contains("has overflowed its stack"), "{}", end.stderr);
    end.died_by(libc::SIGABRT);
}

/// A buffer of the caller that lies in a foreign map whose file was cut off.
fn bad_buffer() -> &'static mut [u8] {
    let at = foreign_page();
    // SAFETY: mapped to the end of the process and referred to by nobody else. That its bytes
    // cannot be supplied is the caller's breach of contract that the tests simulate.
    unsafe { std::slice::from_raw_parts_mut(at, page_size()) }
}

#[test]
fn a_fault_in_the_callers_own_buffer_is_not_swallowed() {
    for size in [1, 8, 100, 4096] {
        let (reads, writes) = (format!("reads {size}"), format!("writes {size}"));
        if plays(&reads) {
            let _ = ours().sound.read_at(0, &mut bad_buffer()[..size]);
            return;
        }
        if plays(&writes) {
            let _ = ours().sound.write_at(1, &bad_buffer()[..size]);
            return;
        }
    }
    // Without a handler of their own the process dies, as with memcpy; never an `Err` of ours.
    for size in [1, 8, 100, 4096] {
        end_of(this_test!(), &format!("reads {size}")).died_by(libc::SIGBUS);
        end_of(this_test!(), &format!("writes {size}")).died_by(libc::SIGBUS);
    }
}

#[test]
fn a_fault_in_the_callers_buffer_goes_to_the_callers_handler_and_the_copy_goes_on() {
    alone(this_test!(), || {
        install_foreign();
        let ours = ours();
        ours.sound.fill(.., 7).unwrap();
        let out = bad_buffer();
        let address = out.as_ptr().addr();
        ours.sound.read_at(0, out).unwrap();
        assert!(out.iter().all(|&byte| byte == 7), "repaired, and then copied whole");
        assert_eq!((CALLS.load(Ordering::SeqCst), ADDRESS.load(Ordering::SeqCst)), (1, address));
        ours.sound.write_at(page_size() as u64, bad_buffer()).unwrap();
        assert_eq!(CALLS.load(Ordering::SeqCst), 2);
        assert_eq!(ours.sound.get::<u8>(page_size() as u64).unwrap(), 0);
    });
}

#[test]
fn a_fault_on_a_thread_with_a_small_stack_is_recovered() {
    let ours = ours();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let small = std::thread::Builder::new().stack_size(64 << 10);
            small.spawn_scoped(scope, || ours.recovers()).unwrap();
        }
    });
}

/// A thread that C code made, without the alternate signal stack that Rust's threads have.
extern "C" fn c_thread(view: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: the test hands over a view that outlives the thread.
    let view = unsafe { &*view.cast::<View<ReadWrite>>() };
    let fault = view.get::<u64>(0).is_err_and(|error| error.kind() == ErrorKind::UnexpectedEof);
    ptr::without_provenance_mut(usize::from(fault))
}

#[test]
fn a_fault_on_a_thread_that_c_code_made_is_recovered() {
    let ours = ours();
    let mut thread = MaybeUninit::uninit();
    let argument = (&raw const ours.gone).cast_mut().cast();
    // SAFETY: the function has the signature that is asked for; the view lives until the join.
    let made =
        unsafe { libc::pthread_create(thread.as_mut_ptr(), ptr::null(), c_thread, argument) };
    assert_eq!(made, 0);
    let mut answer = ptr::null_mut();
    // SAFETY: pthread_create has succeeded.
    let thread = unsafe { thread.assume_init() };
    // SAFETY: joined once.
    let joined = unsafe { libc::pthread_join(thread, &raw mut answer) };
    assert_eq!((joined, answer.addr()), (0, 1));
}

#[test]
fn a_forked_child_recovers_from_faults_as_its_parent_does() {
    alone(this_test!(), || {
        let ours = ours();
        // SAFETY: the child only reads memory that it has and leaves by `_exit`.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            let right = ours.gone.get::<u64>(0).is_err() && ours.sound.get::<u8>(0).is_ok();
            // SAFETY: ends the child without running the parent's destructors.
            unsafe { libc::_exit(if right { 42 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: writes one integer.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!((libc::WIFEXITED(status), libc::WEXITSTATUS(status)), (true, 42));
        ours.recovers();
    });
}
