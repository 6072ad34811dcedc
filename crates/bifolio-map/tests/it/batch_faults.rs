//! Batches when things go wrong: files cut off, devices that fail, limits, engines that are
//! forbidden, batches that are dropped, forgotten or forked.

use std::collections::BTreeMap;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use bifolio_map::{BatchPlan, Completion, Engine, ErrorKind, Merge, Read, Section, TryRead, View};
use bifolio_testkit::privilege::need_root;
use bifolio_testkit::skip::{Skip, or_count};
use bifolio_testkit::{Random, budget, this_test};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::batch::{engines, outcomes};
use crate::support::disk::loop_device;
use crate::support::fork::in_forked_child;
use crate::support::fuse::{Fuse, Manners};
use crate::support::process::alone;
#[cfg(target_arch = "x86_64")]
use crate::support::seccomp::forbid;
use crate::support::{file_of, pattern, refused, says, truncate};
use crate::try_read_cold::{can_be_cold, evict};

/// Whether this program can use io_uring where the kernel has it.
const HAS_RINGS: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));

const PIECE: u64 = 4096;
const PIECES: u64 = 1000;

fn plan(engine: Engine) -> BatchPlan {
    BatchPlan::new().engine(engine).merge(Merge::Never)
}

/// Pieces of a file, in no order that a device likes.
fn scattered() -> Vec<std::ops::Range<u64>> {
    (0..PIECES).map(|n| n * 389 % PIECES * PIECE..(n * 389 % PIECES + 1) * PIECE).collect()
}

fn big_file() -> (tempfile::TempDir, std::path::PathBuf) {
    let (dir, path) = file_of(pattern(0, (PIECES * PIECE) as usize));
    evict(&path);
    (dir, path)
}

#[test]
fn a_range_that_was_cut_off_is_an_error_of_its_own() {
    for engine in engines() {
        for merge in [Merge::Never, Merge::UpTo(1 << 20)] {
            let (_dir, path) = file_of(pattern(0, 100_000));
            let section = Section::open(&path).unwrap();
            let view: View<Read> = section.view_of(1000..).unwrap();
            truncate(&path, 50_000);
            let ranges = [0..100, 48_900..49_000, 48_950..49_001, 60_000..60_001, 49_000..49_000];
            let batch = view.read_batch_by(&plan(engine).merge(merge), ranges).unwrap();
            let mut found = outcomes(batch);
            assert!(found.remove(&0).unwrap().unwrap() == pattern(1000, 100));
            assert!(found.remove(&1).unwrap().unwrap() == pattern(49_900, 100));
            let error = refused(found.remove(&2).unwrap(), ErrorKind::UnexpectedEof);
            says(&error, &["data", "offset 50000", "50 of 51 bytes done", "ends at 50000 now"]);
            let error = refused(found.remove(&3).unwrap(), ErrorKind::UnexpectedEof);
            says(&error, &["offset 61000", "0 of 1 bytes done"]);
            assert_eq!(found.remove(&4).unwrap().unwrap(), b"");
        }
    }
}

#[test]
fn a_file_that_is_cut_while_it_is_read_gives_right_bytes_or_the_error() {
    for engine in engines() {
        let (_dir, path) = big_file();
        let section = Section::open(&path).unwrap();
        let mut batch = section.read_batch_by(&plan(engine), scattered()).unwrap();
        let mut found = BTreeMap::new();
        for completion in batch.by_ref().take(100) {
            found.insert(completion.range().start, completion.into_bytes());
        }
        truncate(&path, PIECES / 2 * PIECE + 1);
        found.extend(batch.map(|completion| (completion.range().start, completion.into_bytes())));
        assert_eq!(found.len() as u64, PIECES);
        let mut cut = 0;
        for (start, outcome) in found {
            match outcome {
                Ok(bytes) => assert!(bytes == pattern(start, PIECE as usize), "at {start}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
                    assert!(start + PIECE > PIECES / 2 * PIECE + 1);
                    cut += 1;
                }
            }
        }
        assert!(cut > 300, "{engine}: {cut}");
    }
}

#[test]
fn a_device_that_fails_is_an_error_of_the_ranges_that_it_fails_for() {
    if or_count(need_root()).is_none() {
        return;
    }
    for engine in engines() {
        let (_dir, image) = file_of(pattern(0, 2 << 20));
        let Some((path, _held)) = or_count(loop_device(&image)) else { return };
        // The device keeps its length; what lies behind the second half of it is gone.
        truncate(&image, 1 << 20);
        let section = Section::open(&path).unwrap();
        let ranges = [0..4096, 1_500_000..1_504_096, 500_000..500_100, (2 << 20) - 5..2 << 20];
        let plan = BatchPlan::new().engine(engine).merge(Merge::UpTo(4 << 20));
        let mut found = outcomes(section.read_batch_by(&plan, ranges.clone()).unwrap());
        assert!(found.remove(&0).unwrap().unwrap() == pattern(0, 4096));
        assert!(found.remove(&2).unwrap().unwrap() == pattern(500_000, 100));
        for bad in [1, 3] {
            let error = refused(found.remove(&bad).unwrap(), ErrorKind::StorageFault);
            says(&error, &["cannot read", path.to_str().unwrap()]);
            assert_eq!(error.offset(), Some(ranges[bad].start));
        }
        let view: View<Read> = section.view().unwrap();
        let mut found = outcomes(view.read_batch(ranges).unwrap());
        assert!(found.remove(&0).unwrap().unwrap() == pattern(0, 4096));
        refused(found.remove(&1).unwrap(), ErrorKind::StorageFault);
    }
}

#[test]
fn a_handle_for_direct_access_is_read_at_any_offset_and_tries_do_not_wait_for_its_device() {
    use std::os::unix::fs::OpenOptionsExt;
    let (_dir, path) = file_of(pattern(0, 100_003));
    evict(&path);
    let opened = std::fs::File::options().read(true).custom_flags(libc::O_DIRECT).open(&path);
    let Ok(file) = opened else {
        return Skip::because("needs a file system with O_DIRECT").count();
    };
    let section = Section::from_file(file).unwrap();
    let view: View<Read> = section.view_of(3..).unwrap();
    if can_be_cold(&path) {
        let tried = view.try_read_at(4096 - 3, &mut [0; 4096]).unwrap();
        assert_eq!(tried, TryRead::NotResident { read: 0 });
    }
    let ranges = [5..10, 4093..8189, 90_000..100_000];
    let by_view = outcomes(view.read_batch(ranges.clone()).unwrap());
    let by_section = outcomes(section.read_batch(ranges.clone()).unwrap());
    for (index, range) in ranges.iter().enumerate() {
        let size = (range.end - range.start) as usize;
        assert!(by_view[&index].as_ref().unwrap() == pattern(range.start + 3, size));
        assert!(by_section[&index].as_ref().unwrap() == pattern(range.start, size));
    }
    assert_eq!(view.try_read_at(5, &mut [0; 100]).unwrap(), TryRead::Read);
}

#[test]
fn devices_without_a_length_are_read_by_explicit_ranges() {
    let section = Section::open("/dev/zero").unwrap();
    for engine in engines() {
        let found =
            outcomes(section.read_batch_by(&plan(engine), [7..100, 1 << 40..1 << 40 | 5]).unwrap());
        assert_eq!(found[&0].as_ref().unwrap(), &[0; 93], "{engine}");
        assert_eq!(found[&1].as_ref().unwrap(), &[0; 5]);
    }
}

/// All of the file, read in a batch of whatever engine there is.
fn reads_everything(section: &Section) -> Engine {
    let batch = section.read_batch(scattered()).unwrap();
    let engine = batch.engine();
    for (index, outcome) in outcomes(batch) {
        let start = scattered()[index].start;
        assert!(outcome.unwrap() == pattern(start, PIECE as usize));
    }
    engine
}

#[cfg(target_arch = "x86_64")]
/// What is left where the call that makes a ring fails.
fn without_io_uring(errno: i32, kind: ErrorKind) {
    let (_dir, path) = big_file();
    let section = Section::open(&path).unwrap();
    forbid(libc::SYS_io_uring_setup, errno);
    assert_eq!(reads_everything(&section), Engine::Threads);
    let kind = if HAS_RINGS { kind } else { ErrorKind::NotSupported };
    says(&refused(Engine::IoUring.check(), kind), &["io_uring was asked for"]);
    refused(section.read_batch_by(&plan(Engine::IoUring), [0..5]), kind);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn where_io_uring_is_forbidden_threads_read_and_the_engine_says_so() {
    alone(this_test!(), || without_io_uring(libc::EPERM, ErrorKind::PermissionDenied));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn where_io_uring_is_missing_threads_read_and_the_engine_says_so() {
    alone(this_test!(), || without_io_uring(libc::ENOSYS, ErrorKind::NotSupported));
}

/// A ring that worked fails in mid-batch: every other range is read by calls, also those that are
/// pushed later.
#[cfg(target_arch = "x86_64")]
fn ring_that_fails(errno: i32) {
    if Engine::IoUring.check().is_err() {
        return Skip::because("needs io_uring").count();
    }
    let (_dir, path) = big_file();
    let section = Section::open(&path).unwrap();
    let begin = || section.read_batch_by(&plan(Engine::IoUring), scattered()).unwrap();
    let right = |completion: Completion| {
        let range = completion.range();
        let wanted = pattern(range.start, (range.end - range.start) as usize);
        assert!(completion.into_bytes().unwrap() == wanted, "{range:?}");
    };
    let (mut waited, mut polled) = (begin(), begin());
    waited.by_ref().take(100).for_each(&right);
    right(pollster::block_on(polled.arrival()).unwrap());
    forbid(libc::SYS_io_uring_enter, errno);
    waited.push(0..PIECE).unwrap();
    assert_eq!(waited.by_ref().map(&right).count() as u64, PIECES + 1 - 100);
    assert_eq!(waited.remaining(), 0);
    waited.push(0..10).unwrap();
    right(waited.next().unwrap());
    let mut rest = 0;
    while let Some(completion) = pollster::block_on(polled.arrival()) {
        right(completion);
        rest += 1;
    }
    assert_eq!((rest, polled.remaining()), (PIECES - 1, 0));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn what_a_ring_that_fails_in_mid_batch_had_is_read_by_calls() {
    alone(this_test!(), || ring_that_fails(libc::EPERM));
}

/// The kernel says for ever that it is short of memory: some pauses, and then calls.
#[cfg(target_arch = "x86_64")]
#[test]
fn what_a_ring_that_never_gets_memory_had_is_read_by_calls() {
    alone(this_test!(), || ring_that_fails(libc::EAGAIN));
}

#[test]
fn without_descriptors_threads_read() {
    alone(this_test!(), || {
        let (_dir, path) = big_file();
        let section = Section::open(&path).unwrap();
        let free = std::fs::File::open("/dev/null").unwrap();
        let number = u64::try_from(std::os::fd::AsRawFd::as_raw_fd(&free)).unwrap();
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: Some(number), maximum }).unwrap();
        assert_eq!(reads_everything(&section), Engine::Threads);
        if HAS_RINGS {
            refused(Engine::IoUring.check(), ErrorKind::LimitReached);
        }
    });
}

#[test]
fn without_locked_memory_somebody_reads() {
    alone(this_test!(), || {
        let (_dir, path) = big_file();
        let none = Rlimit { current: Some(0), maximum: Some(0) };
        setrlimit(Resource::Memlock, none).unwrap();
        // Kernels before 5.12 count the ring; later ones do not.
        reads_everything(&Section::open(&path).unwrap());
    });
}

#[test]
fn without_memory_for_its_buffer_a_range_is_an_error_and_the_others_are_read() {
    alone(this_test!(), || {
        let section = Section::temporary(0).unwrap();
        section.set_len(1 << 30, bifolio_map::Space::Sparse).unwrap();
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
        let limit = Some(pages * crate::support::page() + (256 << 20));
        setrlimit(Resource::As, Rlimit { current: limit, maximum: limit }).unwrap();
        for engine in engines() {
            let ranges = [0..10, 0..1 << 30, 500..600];
            let mut found = outcomes(section.read_batch_by(&plan(engine), ranges).unwrap());
            let error = refused(found.remove(&1).unwrap(), ErrorKind::OutOfMemory);
            says(&error, &["<temporary file>", "no memory for a buffer of 1073741824 bytes"]);
            assert_eq!(found.remove(&0).unwrap().unwrap(), [0; 10], "{engine}");
            assert_eq!(found.remove(&2).unwrap().unwrap(), [0; 100]);
        }
    });
}

#[cfg(target_arch = "x86_64")]
#[test]
fn without_threads_the_caller_reads() {
    alone(this_test!(), || {
        let (_dir, path) = big_file();
        let section = Section::open(&path).unwrap();
        forbid(libc::SYS_clone3, libc::ENOSYS);
        forbid(libc::SYS_clone, libc::EAGAIN);
        assert!(std::thread::Builder::new().spawn(|| ()).is_err(), "no thread can be had");
        let batch = section.read_batch_by(&plan(Engine::Threads), scattered()).unwrap();
        assert_eq!(outcomes(batch).len() as u64, PIECES);
        for engine in engines() {
            let mut batch = section.read_batch_by(&plan(engine), scattered()).unwrap();
            let mut count = 0;
            while pollster::block_on(batch.arrival()).is_some() {
                count += 1;
            }
            assert_eq!(count, PIECES, "polled, {engine}");
            drop(section.read_batch_by(&plan(engine), scattered()).unwrap());
        }
    });
}

#[test]
fn a_device_that_hangs_stops_neither_tries_nor_polls_nor_drops() {
    // In a process of its own: who waits for the device after all is ended with it.
    alone(this_test!(), || {
        for engine in engines() {
            let Some(fuse) = or_count(Fuse::new(Manners::Hanging)) else { return };
            let path = fuse.path().join("data");
            std::fs::write(&path, pattern(0, 100_000)).unwrap();
            evict(&path);
            let section = Section::open(&path).unwrap();
            let view: View<Read> = section.view().unwrap();
            let tried = view.try_read_at(5000, &mut [0; 100]).unwrap();
            assert_eq!(tried, TryRead::NotResident { read: 0 });
            let ranges = [0..10, 20_000..30_000, 99_000..100_000];
            let begin = || section.read_batch_by(&plan(engine), ranges.clone()).unwrap();
            drop(begin());
            let mut polled = begin();
            let mut context = Context::from_waker(Waker::noop());
            assert!(polled.poll_next(&mut context).is_pending());
            drop(polled);
            let mut from_the_map = view.read_batch(ranges.clone()).unwrap();
            assert!(from_the_map.poll_next(&mut context).is_pending());
            let waits = begin();
            while fuse.holding() == 0 {
                std::thread::yield_now(); // until the first read has reached the device
            }
            fuse.let_go();
            for found in [outcomes(waits), outcomes(from_the_map), outcomes(begin())] {
                for (index, range) in ranges.iter().enumerate() {
                    let size = (range.end - range.start) as usize;
                    assert!(found[&index].as_ref().unwrap() == pattern(range.start, size));
                }
            }
            drop((view, section));
        }
    });
}

fn count_in(directory: &str) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

/// Requires that descriptors and threads go back to what they were.
fn settles(before: (usize, usize)) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let now = (count_in("/proc/self/fd"), count_in("/proc/self/task"));
        if now == before {
            return;
        }
        assert!(Instant::now() < deadline, "(descriptors, threads) are {now:?}, were {before:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn batches_that_are_dropped_on_the_way_leave_nothing_behind() {
    alone(this_test!(), || {
        let mut random = Random::new();
        let before = (count_in("/proc/self/fd"), count_in("/proc/self/task"));
        for engine in engines() {
            for _ in 0..budget(30) {
                let (_dir, path) = big_file();
                let section = Section::open(&path).unwrap();
                let mut batch = section.read_batch_by(&plan(engine), scattered()).unwrap();
                let fetched = random.u64(0..20);
                for _ in 0..fetched {
                    let completion = if random.bool() {
                        batch.next()
                    } else {
                        pollster::block_on(batch.arrival())
                    };
                    let completion = completion.unwrap();
                    let start = completion.range().start;
                    assert!(completion.bytes().unwrap() == pattern(start, PIECE as usize));
                }
                // What is on its way must not land in what is allocated now.
                drop(batch);
                let canaries: Vec<Vec<u8>> = (0..64).map(|_| vec![0; PIECE as usize]).collect();
                drop(section);
                std::thread::yield_now();
                assert!(canaries.iter().flatten().all(|&byte| byte == 0), "{engine}");
            }
            settles(before);
        }
    });
}

#[test]
fn batches_that_are_forgotten_or_unwound_write_into_nobodys_memory() {
    alone(this_test!(), || {
        for engine in engines() {
            let (_dir, path) = big_file();
            let section = Section::open(&path).unwrap();
            let forgotten = section.read_batch_by(&plan(engine), scattered()).unwrap();
            std::mem::forget(forgotten);
            let unwound = std::panic::catch_unwind(|| {
                let _batch = section.read_batch_by(&plan(engine), scattered()).unwrap();
                panic!("on purpose");
            });
            assert!(unwound.is_err());
            let canaries: Vec<Vec<u8>> = (0..256).map(|_| vec![0; PIECE as usize]).collect();
            assert_eq!(
                reads_everything(&section),
                Section::open(&path).unwrap().read_batch([]).unwrap().engine()
            );
            assert!(canaries.iter().flatten().all(|&byte| byte == 0), "{engine}");
        }
    });
}

#[test]
fn a_batch_is_the_parents_and_a_forked_child_only_drops_it() {
    alone(this_test!(), || {
        for engine in engines() {
            for polled in 0..2 {
                let (_dir, path) = big_file();
                let section = Section::open(&path).unwrap();
                let mut batch = section.read_batch_by(&plan(engine), scattered()).unwrap();
                let mut found = Vec::new();
                if polled == 1 {
                    found.extend(pollster::block_on(batch.arrival()));
                }
                let mut batch = Some(batch);
                let code = in_forked_child(|| {
                    std::panic::set_hook(Box::new(|_| {}));
                    let used = std::panic::AssertUnwindSafe(|| batch.as_mut().unwrap().next());
                    let refused = std::panic::catch_unwind(used).is_err();
                    drop(batch.take());
                    i32::from(!refused)
                });
                assert_eq!(code, Some(0), "{engine}");
                // Ours is as it was: nothing was cancelled, and nothing was taken out of its ring.
                found.extend(batch.take().unwrap());
                assert_eq!(found.len() as u64, PIECES, "{engine}");
                for completion in found {
                    let start = completion.range().start;
                    assert!(completion.into_bytes().unwrap() == pattern(start, PIECE as usize));
                }
            }
        }
    });
}
