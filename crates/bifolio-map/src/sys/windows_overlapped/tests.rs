//! The system never writes a buffer that was freed, with the system itself as the witness: the
//! same as for the ring on Linux, with reads of a pipe, which hang until the test wants otherwise.
//! "Freed" buffers are kept and filled with a canary.
#![expect(unsafe_code, reason = "makes pipes, and frees too early on purpose")]

use std::cell::Cell;
use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use windows_sys::Win32::System::Pipes as pipes;

use super::*;

thread_local! {
    /// The broken twin, switched on in this thread: buffers are freed while the system may write
    /// them.
    pub(super) static FREES_WHAT_IS_ON_ITS_WAY: Cell<bool> = const { Cell::new(false) };
}

const CANARY: u8 = 0xc5;

/// The flights that were sent off, by address.
static SENT: Mutex<Vec<usize>> = Mutex::new(Vec::new());
/// Buffers that were freed.
static FREED: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
/// The ports of the twin, so that their reads go on.
static KEPT: Mutex<Vec<Port>> = Mutex::new(Vec::new());
/// The lists belong to one test at a time.
static TURN: Mutex<()> = Mutex::new(());

pub(super) fn note(flight: *mut Flight) {
    SENT.lock().unwrap().push(flight.expose_provenance());
}

/// Takes the place of freeing.
pub(super) fn inspect(mut bytes: Vec<u8>) {
    bytes.clear();
    bytes.resize(bytes.capacity(), CANARY);
    FREED.lock().unwrap().push(bytes);
}

/// What the twin does instead of waiting.
pub(super) fn free_at_once(port: Port) {
    for flight in SENT.lock().unwrap().drain(..) {
        let flight: *mut Flight = ptr::with_exposed_provenance_mut(flight);
        let lent = flight.cast::<u8>().wrapping_add(std::mem::offset_of!(Flight, lent));
        // SAFETY: the field is read once; the flight itself is leaked.
        let lent = unsafe { lent.cast::<Lent>().read() };
        // SAFETY: wrong, which is what this is about; the buffer is kept by `inspect`.
        inspect(unsafe { lent.land(0) });
    }
    KEPT.lock().unwrap().push(port);
}

fn turn() -> MutexGuard<'static, ()> {
    let turn = TURN.lock().unwrap_or_else(|broken| broken.into_inner());
    SENT.lock().unwrap().clear();
    FREED.lock().unwrap().clear();
    turn
}

/// How many freed buffers there are, and how many of them somebody wrote.
fn freed() -> (usize, usize) {
    let freed = FREED.lock().unwrap();
    let written = freed.iter().filter(|bytes| bytes.iter().any(|&byte| byte != CANARY)).count();
    (freed.len(), written)
}

fn within_seconds(holds: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

/// The two ends of a pipe whose reads overlap.
fn pipe() -> (File, File) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!(r"\\.\pipe\bifolio-map-test-{}-{number}", std::process::id());
    let wide: Vec<u16> = name.encode_utf16().chain([0]).collect();
    let mode = files::PIPE_ACCESS_INBOUND | files::FILE_FLAG_OVERLAPPED;
    // SAFETY: a name that ends with zero, and numbers.
    let handle = unsafe {
        pipes::CreateNamedPipeW(
            wide.as_ptr(),
            mode,
            pipes::PIPE_TYPE_BYTE,
            1,
            4096,
            4096,
            0,
            ptr::null(),
        )
    };
    assert_ne!(handle, codes::INVALID_HANDLE_VALUE, "{}", io::Error::last_os_error());
    // SAFETY: the handle was made by the call and nobody else has it.
    let reader = unsafe { File::from_raw_handle(handle) };
    let writer = File::options().write(true).open(name).unwrap();
    (reader, writer)
}

/// Reads that are on their way until somebody writes to the pipe.
fn hanging(count: usize) -> (Reads, File) {
    let (file, writer) = pipe();
    let port = new_port(file.as_raw_handle()).unwrap();
    let mut reads = Reads::new(file, port);
    for ticket in 0..count {
        let bytes = Vec::with_capacity(16);
        reads.start(Order { ticket, offset: 0, bytes, size: 16 });
    }
    assert!(reads.land(Wait::No).is_none(), "nothing has come yet");
    (reads, writer)
}

/// Drops hanging reads, then lets them go on: how many buffers were freed, and how many of those
/// written.
fn drop_hanging() -> (usize, usize) {
    let (reads, mut writer) = hanging(4);
    drop(reads); // and here we are, though nobody wrote
    assert!(within_seconds(|| freed().0 == 4), "{:?} were freed", freed());
    // Who still reads gets this. Nobody may be left, which is an error for the writer.
    let _ = writer.write_all(&[0; 64]);
    within_seconds(|| freed().1 > 0 || KEPT.lock().unwrap().is_empty());
    std::thread::sleep(Duration::from_millis(50));
    freed()
}

#[test]
fn dropping_reads_that_hang_waits_for_nothing_and_frees_what_was_given_up() {
    let _turn = turn();
    assert_eq!(drop_hanging(), (4, 0));
}

#[test]
fn a_port_that_frees_what_is_on_its_way_would_be_noticed() {
    let _turn = turn();
    FREES_WHAT_IS_ON_ITS_WAY.set(true);
    let (freed, written) = drop_hanging();
    FREES_WHAT_IS_ON_ITS_WAY.set(false);
    KEPT.lock().unwrap().clear();
    assert_eq!(freed, 4);
    assert!(written > 0, "the system wrote no freed buffer");
}

#[test]
fn hanging_reads_land_when_there_is_something_to_read() {
    let _turn = turn();
    let (mut reads, mut writer) = hanging(2);
    writer.write_all(b"0123456789abcdef").unwrap();
    let landed = reads.land(Wait::Yes).unwrap();
    assert_eq!(landed.bytes, b"0123456789abcdef");
    assert!(matches!(landed.outcome, Ok(16)));
    drop(writer);
    assert!(matches!(reads.land(Wait::Yes).unwrap().outcome, Err(Failure::System(_))));
}

#[test]
fn a_bell_ends_the_wait_and_reads_go_on() {
    let _turn = turn();
    let (mut reads, mut writer) = hanging(1);
    let bell = reads.bell().unwrap();
    bell.ring();
    assert!(reads.land(Wait::Yes).is_none());
    let ringer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        bell.ring();
    });
    assert!(reads.land(Wait::Yes).is_none());
    ringer.join().unwrap();
    writer.write_all(b"0123456789abcdef").unwrap();
    assert_eq!(reads.land(Wait::Yes).unwrap().bytes, b"0123456789abcdef");
}

#[test]
fn a_port_that_fails_answers_every_read_and_takes_no_more() {
    let _turn = turn();
    let (mut reads, mut writer) = hanging(3);
    // In place of the port something that is none.
    let none = OwnedHandle::from(File::open(std::env::current_exe().unwrap()).unwrap());
    let port = std::mem::replace(&mut reads.port().port, Arc::new(none));
    let mut told: Vec<usize> = (0..3)
        .map(|_| {
            let landed = reads.land(Wait::Yes).unwrap();
            assert!(matches!(landed.outcome, Err(Failure::System(_))), "{landed:?}");
            landed.ticket
        })
        .collect();
    told.sort_unstable();
    assert_eq!(told, [0, 1, 2]);
    reads.start(Order { ticket: 7, offset: 0, bytes: Vec::with_capacity(16), size: 16 });
    let later = reads.land(Wait::Yes).unwrap();
    assert!(later.ticket == 7 && later.outcome.is_err(), "{later:?}");
    drop(reads);
    let _ = writer.write_all(&[0; 64]);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(freed(), (0, 0), "what was out is leaked");
    drop(port);
}
