//! The kernel never writes a buffer that was freed: with the kernel itself as the witness.
//!
//! "Freed" buffers are kept and filled with a canary. A ring that lets go of buffers too early is
//! found out by the bytes that the kernel then writes over it. Reads that hang until the test wants
//! otherwise are reads of a pipe.

use std::cell::Cell;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::*;

thread_local! {
    /// The broken twin, switched on in this thread: buffers are freed while the kernel may write
    /// them.
    pub(super) static FREES_WHAT_IS_ON_ITS_WAY: Cell<bool> = const { Cell::new(false) };
}

const CANARY: u8 = 0xc5;
const SIZE: usize = 64 << 10;
const DEPTH: usize = 32;

/// Buffers that were freed.
static FREED: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
/// The rings of the twin, so that their reads go on.
static KEPT: Mutex<Vec<Ring>> = Mutex::new(Vec::new());
/// The lists belong to one test at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Takes the place of freeing.
pub(super) fn inspect(mut bytes: Vec<u8>) {
    bytes.clear();
    bytes.resize(bytes.capacity(), CANARY);
    FREED.lock().unwrap().push(bytes);
}

pub(super) fn keep(ring: Ring) {
    KEPT.lock().unwrap().push(ring);
}

/// Waits for a turn with empty lists; `None` where there are no rings.
fn turn() -> Option<MutexGuard<'static, ()>> {
    if check_engine(Engine::IoUring).is_err() {
        eprintln!("SKIPPED: needs io_uring");
        return None;
    }
    let turn = TURN.lock().unwrap_or_else(|broken| broken.into_inner());
    FREED.lock().unwrap().clear();
    Some(turn)
}

/// How many freed buffers there are, and how many of them somebody wrote.
fn freed() -> (usize, usize) {
    let freed = FREED.lock().unwrap();
    let written = freed.iter().filter(|bytes| bytes.iter().any(|&byte| byte != CANARY)).count();
    (freed.len(), written)
}

/// Waits until something holds, in steps that go through the kernel, which is when it delivers
/// to this thread.
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

fn order(ticket: usize, offset: u64, size: usize) -> Order {
    Order { ticket, offset, bytes: Vec::with_capacity(size), size }
}

/// Reads that are on their way until somebody writes to the pipe.
fn hanging(count: usize) -> (Box<dyn Carrier>, std::io::PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    let file = File::from(OwnedFd::from(reader));
    let mut reads = start_engine(Engine::IoUring, &file, count).unwrap();
    for ticket in 0..count {
        reads.start(order(ticket, 0, 16));
    }
    reads.push_off();
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
    std::thread::sleep(Duration::from_millis(20));
    freed()
}

#[test]
fn dropping_reads_that_hang_waits_for_nothing_and_frees_what_was_given_up() {
    let Some(_turn) = turn() else { return };
    assert_eq!(drop_hanging(), (4, 0));
}

#[test]
fn a_ring_that_frees_what_is_on_its_way_would_be_noticed() {
    let Some(_turn) = turn() else { return };
    FREES_WHAT_IS_ON_ITS_WAY.set(true);
    let (freed, written) = drop_hanging();
    FREES_WHAT_IS_ON_ITS_WAY.set(false);
    KEPT.lock().unwrap().clear();
    assert_eq!(freed, 4);
    assert!(written > 0, "the kernel wrote no freed buffer");
}

#[test]
fn forgotten_reads_free_nothing_and_the_kernel_writes_what_nobody_else_has() {
    let Some(_turn) = turn() else { return };
    let (reads, mut writer) = hanging(4);
    std::mem::forget(reads);
    let canaries: Vec<Vec<u8>> = (0..64).map(|_| vec![CANARY; 16]).collect();
    writer.write_all(&[0; 64]).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    assert!(canaries.iter().flatten().all(|&byte| byte == CANARY));
    assert_eq!(freed(), (0, 0));
}

#[test]
fn a_read_whose_thread_has_ended_is_started_again() {
    let Some(_turn) = turn() else { return };
    let begun = std::thread::spawn(|| hanging(3)).join().unwrap();
    let (mut reads, mut writer) = begun;
    writer.write_all(b"0123456789abcdef").unwrap();
    let landed = reads.land(Wait::Yes).unwrap();
    assert_eq!(landed.bytes, b"0123456789abcdef");
    assert!(matches!(landed.outcome, Ok(16)));
    drop(writer);
    // The end of the pipe is one for each of the others.
    for _ in 0..2 {
        assert!(matches!(reads.land(Wait::Yes).unwrap().outcome, Ok(0)));
    }
}

#[test]
fn buffers_of_reads_from_a_device_are_freed_after_the_kernel_has_let_go_of_them() {
    let Some(_turn) = turn() else { return };
    for _ in 0..4 {
        FREED.lock().unwrap().clear();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        std::fs::write(&path, vec![0; 4 * DEPTH * SIZE]).unwrap();
        let file = File::open(&path).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        let mut reads = start_engine(Engine::IoUring, &file, DEPTH).unwrap();
        for ticket in 0..DEPTH {
            reads.start(order(ticket, (4 * ticket * SIZE) as u64, SIZE));
        }
        reads.push_off();
        drop(reads);
        assert!(within_seconds(|| freed().0 == DEPTH), "{:?} were freed", freed());
        // And nothing comes later.
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(freed(), (DEPTH, 0), "(freed, written after that)");
    }
}

#[test]
fn a_bell_ends_the_wait_and_reads_go_on() {
    let Some(_turn) = turn() else { return };
    let (mut reads, mut writer) = hanging(2);
    let bell = reads.bell().expect("a descriptor");
    for round in 0..3 {
        // Before the wait and inside it; rung twice it is heard once, or twice.
        let ringer = (round > 0).then(|| {
            let bell = Arc::clone(&bell);
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(30));
                bell.ring();
                bell.ring();
            })
        });
        if ringer.is_none() {
            bell.ring();
        }
        assert!(reads.land(Wait::Yes).is_none());
        ringer.map(std::thread::JoinHandle::join);
    }
    writer.write_all(b"0123456789abcdef").unwrap();
    let landed = loop {
        if let Some(landed) = reads.land(Wait::Yes) {
            break landed;
        }
    };
    assert_eq!(landed.bytes, b"0123456789abcdef");
    drop(reads);
    assert!(within_seconds(|| freed().0 == 1), "{:?} were freed", freed());
}
