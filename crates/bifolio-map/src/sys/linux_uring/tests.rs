//! The kernel never writes a buffer that was freed: with the kernel itself as the witness.
//!
//! "Freed" buffers are kept and filled with a canary. A ring that lets go of buffers too early is
//! found out by the bytes that the kernel then writes over it.

use std::cell::Cell;
use std::fs::File;
use std::sync::Mutex;
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
/// The rings of the twin, so that the kernel's memory of them outlives the look at the buffers.
static KEPT: Mutex<Vec<Ring>> = Mutex::new(Vec::new());

/// Takes the place of freeing.
pub(super) fn inspect(mut bytes: Vec<u8>) {
    bytes.clear();
    bytes.resize(bytes.capacity(), CANARY);
    FREED.lock().unwrap().push(bytes);
}

pub(super) fn keep(ring: Ring) {
    KEPT.lock().unwrap().push(ring);
}

/// A file of zeros that are nowhere in memory.
fn cold_file() -> (tempfile::TempDir, File) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    std::fs::write(&path, vec![0; 4 * DEPTH * SIZE]).unwrap();
    let file = File::open(&path).unwrap();
    file.sync_all().unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    (dir, file)
}

/// Drops many reads on their way, waits for what the kernel does then, and counts the buffers that
/// were written after they were freed, and all of them.
fn drop_on_the_way() -> (usize, usize) {
    let (_dir, file) = cold_file();
    let mut reads = start_engine(Engine::IoUring, &file, DEPTH).unwrap();
    for ticket in 0..DEPTH {
        let (offset, bytes) = ((4 * ticket * SIZE) as u64, Vec::with_capacity(SIZE));
        reads.start(Order { ticket, offset, bytes, size: SIZE });
    }
    reads.push_off();
    drop(reads);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        // Sleeping goes through the kernel, which is when it delivers to this thread.
        std::thread::sleep(Duration::from_millis(5));
        let freed = FREED.lock().unwrap();
        let written = freed.iter().filter(|bytes| bytes.iter().any(|&byte| byte != CANARY)).count();
        // The twin has freed all at once: what tells is the time after. The others are freed as
        // they come back.
        let (early, all) = (!KEPT.lock().unwrap().is_empty(), freed.len() == DEPTH);
        if (early && written > 0) || (!early && all) || Instant::now() > deadline {
            return (written, freed.len());
        }
    }
}

#[test]
fn buffers_of_dropped_reads_are_freed_after_the_kernel_has_let_go_of_them() {
    if check_engine(Engine::IoUring).is_err() {
        return eprintln!("SKIPPED: needs io_uring");
    }
    // One test for both, since they share the list of what was freed.
    for _ in 0..4 {
        FREED.lock().unwrap().clear();
        assert_eq!(drop_on_the_way(), (0, DEPTH), "(written after they were freed, freed)");
        // And nothing comes later.
        std::thread::sleep(Duration::from_millis(50));
        let freed = FREED.lock().unwrap();
        assert!(freed.iter().flatten().all(|&byte| byte == CANARY));
    }
    // The twin is found out, unless the device was quicker than the drop: so a few times.
    FREES_WHAT_IS_ON_ITS_WAY.set(true);
    let caught = (0..20).any(|_| {
        FREED.lock().unwrap().clear();
        drop_on_the_way().0 > 0
    });
    FREES_WHAT_IS_ON_ITS_WAY.set(false);
    assert!(caught, "a ring that frees its buffers early is not noticed");
}
