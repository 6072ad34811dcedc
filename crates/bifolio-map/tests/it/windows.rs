//! What is Windows's own: granules of 64 KiB, files that a map protects, memory with a capacity,
//! growth by views behind views, locks of handles, waiting by looking.
#![expect(unsafe_code, reason = "takes pages away from a view, to see that a fault is an error")]

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bifolio_map::wait::{self, Wake};
use bifolio_map::{
    CopyOnWrite, Create, Currency, ErrorKind, FileLock, Flush, GrowableView, LockKind, LockState,
    Patience, Read, ReadWrite, Section, Space, View, granularity, page_size,
};
use bifolio_testkit::child::{self, Rerun};
use bifolio_testkit::skip::or_count;
use bifolio_testkit::this_test;
use windows_sys::Win32::System::Memory::{PAGE_NOACCESS, VirtualProtect};

use crate::support::{behind_wine, byte_at, directory, file_of, page, pattern, refused, says};

/// Passes a token, a path or a number to a child.
const ARGUMENT: &str = "BIFOLIO_TEST_ARGUMENT";

fn argument() -> String {
    std::env::var(ARGUMENT).expect("the parent's argument")
}

#[test]
fn offsets_inside_a_granule_are_no_concern_of_the_caller() {
    let size = 3 * granularity() + 777;
    let (_dir, path) = file_of(pattern(0, usize::try_from(size).unwrap()));
    let section = Section::open_rw(&path).unwrap();
    assert!(granularity() > page(), "or this test shows nothing");
    for offset in [1, page(), page() + 1, granularity() - 1, granularity(), size - 1] {
        let view: View<ReadWrite> = section.view_of(offset..).unwrap();
        assert_eq!(view.len(), size - offset);
        assert_eq!(view.get::<u8>(0).unwrap(), byte_at(offset));
        assert_eq!(view.get::<u8>(view.len() - 1).unwrap(), byte_at(size - 1));
        refused(view.get::<u8>(view.len()), ErrorKind::OutOfBounds);
        view.flush(.., Flush::Data).unwrap();
    }
}

#[test]
fn a_view_lies_at_the_address_that_was_asked_for_or_nowhere() {
    let (_dir, path) = file_of(pattern(0, 100_000));
    let section = Section::open(&path).unwrap();
    // Far from where the system puts what other threads ask for meanwhile.
    let address = (1 << 45) + 10;
    for _ in 0..3 {
        let first: View<Read> = section.view_at_address(10.., address).unwrap();
        assert_eq!(first.as_ptr().addr(), address);
        let again = section.view_at_address::<Read>(10.., address);
        says(&refused(again, ErrorKind::Busy), &["cannot map", "where something is mapped"]);
    }
    let there: View<Read> = section.view_at_address(10.., address).unwrap();
    assert_eq!(there.read_vec(..5).unwrap(), pattern(10, 5));
    refused(section.view_at_address::<Read>(10.., address + page_size()), ErrorKind::InvalidInput);
}

#[test]
fn a_mapped_file_cannot_be_cut_and_the_error_names_it() {
    let (_dir, path) = file_of(pattern(0, 4 * page_size()));
    let section = Section::open_rw(&path).unwrap();
    let view: View<ReadWrite> = section.view().unwrap();
    let error = refused(section.set_len(page(), Space::Sparse), ErrorKind::Busy);
    says(&error, &["cannot set the length of", path.to_str().unwrap()]);
    assert_eq!((section.len().unwrap(), view.get::<u8>(3 * page()).unwrap()), {
        (4 * page(), byte_at(3 * page()))
    });
    section.set_len(5 * page(), Space::Allocate).unwrap();
    drop(view);
    section.set_len(page(), Space::Sparse).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), pattern(0, page_size()));
}

#[test]
fn what_is_no_file_is_refused_by_name() {
    let dir = directory();
    let error = refused(Section::open(dir.path()), ErrorKind::NotMappable);
    says(&error, &[dir.path().to_str().unwrap(), "it is a directory"]);
    let nul = Section::open("NUL").and_then(|section| section.view_of::<Read>(0..10).map(drop));
    says(&nul.unwrap_err(), &["NUL"]);
    let (reader, _writer) = std::io::pipe().unwrap();
    let pipe = File::from(std::os::windows::io::OwnedHandle::from(reader));
    says(&refused(Section::from_file(pipe), ErrorKind::NotMappable), &["a pipe"]);
}

#[test]
fn an_open_file_is_called_by_its_usual_name() {
    let (_dir, path) = file_of(b"111\r\n222\r\n333");
    let section = Section::from_file(File::open(&path).unwrap()).unwrap();
    let name = section.path().unwrap();
    assert!(!name.to_str().unwrap().starts_with(r"\\?\"), "{}", name.display());
    assert_eq!(name.file_name(), path.file_name());
    assert_eq!(section.is_current().unwrap(), Currency::Current);
}

/// Takes one page of a view away, as a failing device would, until the guard is dropped.
struct Missing {
    page: *const u8,
    before: u32,
}

impl Missing {
    fn page_at(address: *const u8) -> Self {
        let mut before = 0;
        // SAFETY: the page belongs to a view of the test; no reference into it exists.
        let done = unsafe { VirtualProtect(address.cast(), 1, PAGE_NOACCESS, &raw mut before) };
        assert_ne!(done, 0, "{}", std::io::Error::last_os_error());
        Self { page: address, before }
    }
}

impl Drop for Missing {
    fn drop(&mut self) {
        let mut ignored = 0;
        // SAFETY: as above, back to what it was.
        unsafe { VirtualProtect(self.page.cast(), 1, self.before, &raw mut ignored) };
    }
}

#[test]
fn a_page_that_the_system_cannot_supply_is_an_error_of_every_accessor() {
    let (_dir, path) = file_of(pattern(0, 4 * page_size()));
    let section = Section::open_rw(&path).unwrap();
    let view: View<ReadWrite> = section.view().unwrap();
    let at = 2 * page();
    let missing = Missing::page_at(view.as_ptr().wrapping_add(2 * page_size()));
    refused(view.get::<u8>(at), ErrorKind::StorageFault);
    refused(view.get::<u16>(at), ErrorKind::StorageFault);
    refused(view.get::<u32>(at - 3), ErrorKind::StorageFault);
    refused(view.get::<u64>(at), ErrorKind::StorageFault);
    refused(view.get::<[u8; 100]>(at - 50), ErrorKind::StorageFault);
    let mut out = vec![0; 2 * page_size()];
    let error = refused(view.read_at(page(), &mut out), ErrorKind::StorageFault);
    assert_eq!(error.offset(), Some(at), "{error}");
    assert_eq!(out[..page_size()], *pattern(page(), page_size()), "copied up to the fault");
    refused(view.put(at, &1u8), ErrorKind::StorageFull);
    refused(view.put(at, &1u64), ErrorKind::StorageFull);
    refused(view.write_at(at - 20, &[1; 300]), ErrorKind::StorageFull);
    refused(view.fill(at.., 0), ErrorKind::StorageFull);
    let word = view.atomic_u64(at).unwrap();
    refused(word.load(), ErrorKind::StorageFault);
    refused(word.store(1), ErrorKind::StorageFull);
    refused(word.fetch_add(1), ErrorKind::StorageFull);
    refused(word.compare_exchange(0, 1), ErrorKind::StorageFull);
    refused(wait::wait(&view, at, 0, Some(Duration::ZERO)), ErrorKind::StorageFault);
    refused(view.flush(.., Flush::Data), ErrorKind::Poisoned);
    drop(missing);
    assert_eq!(view.read_vec(at..at + 9).unwrap(), pattern(at, 9), "and nothing was written");
}

#[test]
fn memory_grows_to_its_capacity_and_says_so_beyond_it() {
    let capacity = 10 * granularity();
    let section = Section::options().len(5).capacity(capacity).anonymous().unwrap();
    let growing: GrowableView<ReadWrite> = section.growable(capacity).unwrap();
    let old = growing.view().unwrap();
    old.write_at(0, b"12345").unwrap();
    for len in [6, page(), page() + 1, granularity(), 3 * granularity() + 7, capacity] {
        growing.grow_to(len, Space::Allocate).unwrap();
        let view = growing.view().unwrap();
        assert_eq!((view.len(), view.as_ptr()), (len, old.as_ptr()));
        assert_eq!(view.get::<u8>(len - 1).unwrap(), 0);
        view.put(len - 1, &7u8).unwrap();
        // A map of its own, reading, writing and private, sees the same bytes.
        let other: View<Read> = section.view().unwrap();
        assert_eq!((other.len(), other.get::<u8>(len - 1).unwrap()), (len, 7));
        let private: View<CopyOnWrite> = section.view().unwrap();
        private.put(len - 1, &9u8).unwrap();
        assert_eq!(other.get::<u8>(len - 1).unwrap(), 7);
        view.put(len - 1, &0u8).unwrap();
    }
    assert_eq!(old.read_vec(..).unwrap(), b"12345");
    let error = refused(section.set_len(capacity + 1, Space::Sparse), ErrorKind::NotSupported);
    says(&error, &["SectionOptions::capacity", &capacity.to_string()]);
    assert_eq!(section.len().unwrap(), capacity);
    let fixed = Section::anonymous(5).unwrap();
    refused(fixed.set_len(6, Space::Allocate), ErrorKind::NotSupported);
}

#[test]
fn a_growing_file_keeps_its_address_whatever_its_sizes() {
    let dir = directory();
    let (page, granule) = (page(), granularity());
    let sizes = [
        1,
        100,
        page - 1,
        page,
        page + 1,
        granule - 1,
        granule,
        granule + 1,
        2 * granule,
        2 * granule + page,
        5 * granule + 3,
        6 * granule,
        9 * granule + 1,
    ];
    for first in 0..sizes.len() {
        let section = Section::create(dir.path().join(first.to_string()), sizes[first]).unwrap();
        let growing: GrowableView<ReadWrite> = section.growable(16 * granule).unwrap();
        let base = growing.as_ptr();
        for &len in &sizes[first..] {
            let before = growing.len();
            growing.grow_to(len, Space::Allocate).unwrap();
            assert_eq!((growing.len(), growing.as_ptr()), (len, base));
            let view = growing.view().unwrap();
            for at in before..len.min(before + 300) {
                assert_eq!(view.get::<u8>(at).unwrap(), 0, "new bytes are zero");
            }
            for at in [before, len - 1] {
                view.put(at.min(len - 1), &byte_at(at.min(len - 1))).unwrap();
            }
            view.flush(.., Flush::Data).unwrap();
            section.sync(Flush::Full).unwrap();
            let other: View<Read> = section.view().unwrap();
            assert_eq!(other.get::<u8>(len - 1).unwrap(), byte_at(len - 1));
            let file = std::fs::read(section.path().unwrap()).unwrap();
            assert_eq!((file.len() as u64, file.last().copied()), (len, Some(byte_at(len - 1))));
        }
        refused(growing.grow_to(16 * granule + 1, Space::Allocate), ErrorKind::OutOfBounds);
    }
}

#[test]
fn readers_go_on_while_a_file_grows_under_them() {
    let dir = directory();
    let section = Section::create(dir.path().join("file"), 100).unwrap();
    let growing: GrowableView<ReadWrite> = section.growable(1 << 26).unwrap();
    growing.view().unwrap().fill(.., 1).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut reads = 0u64;
                while !done.load(Ordering::Relaxed) {
                    let view = growing.view().unwrap();
                    // The tail is what may be mapped again at this moment.
                    let at = view.len() - 50;
                    assert_eq!(view.read_vec(at..).unwrap(), [1; 50]);
                    assert_eq!(view.get::<u64>(at).unwrap(), 0x0101_0101_0101_0101);
                    reads += 1;
                }
                assert!(reads > 0);
            });
        }
        for step in 1..200u64 {
            let len = 100 + step * 7777;
            section.set_len(len, Space::Allocate).unwrap();
            let whole: View<ReadWrite> = section.view().unwrap();
            whole.fill(100 + (step - 1) * 7777.., 1).unwrap();
            drop(whole);
            growing.grow_to(len, Space::Allocate).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_reading_view_follows_a_file_that_another_handle_grows() {
    let (_dir, path) = file_of(pattern(0, 100));
    let growing: GrowableView<Read> = Section::open(&path).unwrap().growable(1 << 20).unwrap();
    let old = growing.view().unwrap();
    let writer = Section::open_rw(&path).unwrap();
    for len in [5000, 70_000, 70_001, 400_000u64] {
        writer.set_len(len, Space::Allocate).unwrap();
        writer.view::<ReadWrite>().unwrap().put(len - 1, &byte_at(len - 1)).unwrap();
        assert_eq!(growing.refresh().unwrap(), len);
        assert_eq!(growing.view().unwrap().get::<u8>(len - 1).unwrap(), byte_at(len - 1));
    }
    assert_eq!(
        (old.as_ptr(), old.read_vec(..).unwrap()),
        (growing.as_ptr(), pattern(0, 100).into())
    );
}

#[test]
fn a_child_sees_how_long_inherited_memory_is_now() {
    if child::role().is_some() {
        let section = Section::inherited(&argument()).unwrap();
        child::tell(&section.len().unwrap().to_string());
        child::point("opened");
        child::tell(&section.len().unwrap().to_string());
        let view: View<Read> = section.view().unwrap();
        child::tell(&view.get::<u8>(99_999).unwrap().to_string());
        section.set_len(200_000, Space::Allocate).unwrap();
        section.view::<ReadWrite>().unwrap().put(199_999, &8u8).unwrap();
        return;
    }
    let section = Section::options().len(5).capacity(1 << 20).anonymous().unwrap();
    let heirloom = section.inherit().unwrap();
    let rerun = Rerun::of(this_test!(), "heir").with_variable(ARGUMENT, heirloom.token());
    let mut child = rerun.spawn().unwrap();
    child.run_to("opened", 1).unwrap();
    section.set_len(100_000, Space::Allocate).unwrap();
    section.view::<ReadWrite>().unwrap().put(99_999, &7u8).unwrap();
    child.go_on().unwrap();
    assert_eq!(child.finish().unwrap(), ["5", "100000", "7"]);
    assert_eq!(section.len().unwrap(), 200_000);
    assert_eq!(section.view::<Read>().unwrap().get::<u8>(199_999).unwrap(), 8);
}

#[test]
fn a_temporary_file_goes_with_its_last_user_also_if_that_is_killed() {
    let dir = directory();
    let names = || std::fs::read_dir(dir.path()).unwrap().count();
    if child::role().is_some() {
        let path = argument();
        let section = Section::options().len(70_000).temporary(path).unwrap();
        let view: View<ReadWrite> = section.view().unwrap();
        view.fill(.., 7).unwrap();
        child::point("made");
        drop(section);
        child::point("only the view is left");
        drop(view);
        return;
    }
    let path = dir.path().to_str().unwrap();
    let mut child = Rerun::of(this_test!(), "user").with_variable(ARGUMENT, path).spawn().unwrap();
    for point in ["made", "only the view is left"] {
        child.run_to(point, 1).unwrap();
        assert_eq!(names(), 1, "it has a name while it is used");
        child.go_on().unwrap();
    }
    child.finish().unwrap();
    assert_eq!(names(), 0);
    for point in ["made", "only the view is left"] {
        Rerun::of(this_test!(), "user").with_variable(ARGUMENT, path).kill_at(point).unwrap();
        let started = Instant::now();
        while names() > 0 && started.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(10)); // the system buries the dead at leisure
        }
        assert_eq!(names(), 0, "killed at {point:?}");
    }
}

#[test]
fn a_handle_is_kept_out_by_the_locks_of_every_other_handle() {
    let dir = directory();
    let path = dir.path().join("lock");
    let (mine, yours) = (FileLock::open_or_create(&path).unwrap(), FileLock::open(&path).unwrap());
    let alone = mine.lock(10..20, LockKind::Exclusive, Patience::Try).unwrap();
    assert_eq!(mine.probe(..).unwrap(), LockState::Free, "one's own locks do not count");
    assert_eq!(mine.probe(15..16).unwrap(), LockState::Free);
    assert_eq!(yours.probe(0..11).unwrap(), LockState::Held);
    assert_eq!(yours.probe(20..30).unwrap(), LockState::Free);
    let error = refused(yours.lock(19..21, LockKind::Shared, Patience::Try), ErrorKind::Busy);
    says(&error, &["somebody else holds a lock", path.to_str().unwrap()]);
    let within = Patience::For(Duration::from_millis(30));
    refused(yours.lock(19..21, LockKind::Shared, within), ErrorKind::TimedOut);
    let beside = yours.lock(20..21, LockKind::Exclusive, Patience::Try).unwrap();
    assert_eq!(mine.probe(..).unwrap(), LockState::Held);
    drop((alone, beside));
    let shared = [&mine, &yours].map(|l| l.lock(.., LockKind::Shared, Patience::Try).unwrap());
    refused(mine.lock(5..6, LockKind::Exclusive, Patience::Try), ErrorKind::Busy);
    refused(mine.probe(..), ErrorKind::NotSupported);
    drop(shared);
    assert_eq!(mine.probe(..).unwrap(), LockState::Free, "and probing leaves no lock behind");
    drop(yours.lock(.., LockKind::Exclusive, Patience::Try).unwrap());
}

#[test]
fn a_thread_that_waits_for_a_lock_does_not_keep_another_from_unlocking() {
    let dir = directory();
    let lock = FileLock::open_or_create(dir.path().join("lock")).unwrap();
    let first = lock.lock(0..1, LockKind::Exclusive, Patience::Try).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            drop(lock.lock(0..1, LockKind::Exclusive, Patience::Forever).unwrap());
        });
        std::thread::sleep(Duration::from_millis(50));
        assert!(!waiter.is_finished(), "a handle's own locks stand in its way on Windows");
        drop(first);
        waiter.join().unwrap();
    });
}

#[test]
fn the_lock_of_a_killed_process_is_free() {
    if child::role().is_some() {
        let lock = FileLock::open(argument()).unwrap();
        let _guard = lock.lock(5..6, LockKind::Exclusive, Patience::Try).unwrap();
        child::point("locked");
        return;
    }
    let dir = directory();
    let path = dir.path().join("lock");
    let lock = FileLock::open_or_create(&path).unwrap();
    let rerun = Rerun::of(this_test!(), "holder").with_variable(ARGUMENT, &path);
    let mut child = rerun.spawn().unwrap();
    child.run_to("locked", 1).unwrap();
    assert_eq!(lock.probe(0..10).unwrap(), LockState::Held);
    refused(lock.lock(5..6, LockKind::Shared, Patience::Try), ErrorKind::Busy);
    child.kill().unwrap();
    let soon = Patience::For(Duration::from_secs(10));
    drop(lock.lock(5..6, LockKind::Exclusive, soon).unwrap());
}

#[test]
fn a_thread_is_woken_through_another_view_of_the_word() {
    let section = Section::anonymous(100_000).unwrap();
    let (here, there) =
        (section.view::<ReadWrite>().unwrap(), section.view_of::<ReadWrite>(70_000..).unwrap());
    let expected = here.atomic_u32(70_400).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let started = Instant::now();
            while there.atomic_u32(400).unwrap().load().unwrap() == 0 {
                wait::wait(&there, 400, 0, None).unwrap();
            }
            started.elapsed()
        });
        std::thread::sleep(Duration::from_millis(30));
        expected.store(1).unwrap();
        wait::wake_all(&here, 70_400).unwrap();
        assert!(waiter.join().unwrap() < Duration::from_secs(10));
    });
    assert_eq!(wait::wait(&here, 70_400, 0, None).unwrap(), Wake::Changed);
    let started = Instant::now();
    let limit = Duration::from_millis(40);
    assert_eq!(wait::wait(&here, 70_400, 1, Some(limit)).unwrap(), Wake::TimedOut);
    assert!(started.elapsed() >= limit);
}

#[test]
fn a_process_notices_what_another_one_stored() {
    if child::role().is_some() {
        let view: View<ReadWrite> = Section::inherited(&argument()).unwrap().view().unwrap();
        view.atomic_u32(4).unwrap().store(1).unwrap();
        wait::wake_all(&view, 4).unwrap();
        while view.atomic_u32(0).unwrap().load().unwrap() == 0 {
            wait::wait(&view, 0, 0, Some(Duration::from_secs(20))).unwrap();
        }
        child::tell("seen");
        return;
    }
    let section = Section::anonymous(64).unwrap();
    let view: View<ReadWrite> = section.view().unwrap();
    let heirloom = section.inherit().unwrap();
    let rerun = Rerun::of(this_test!(), "waiter").with_variable(ARGUMENT, heirloom.token());
    let child = rerun.spawn().unwrap();
    let started = Instant::now();
    while view.atomic_u32(4).unwrap().load().unwrap() == 0 {
        wait::wait(&view, 4, 0, Some(Duration::from_secs(1))).unwrap();
        assert!(started.elapsed() < Duration::from_secs(60), "the child never came");
    }
    view.atomic_u32(0).unwrap().store(1).unwrap();
    wait::wake_one(&view, 0).unwrap();
    assert_eq!(child.finish().unwrap(), ["seen"]);
}

#[test]
fn a_sync_covers_what_was_stored_through_views_of_other_handles() {
    let (_dir, path) = file_of(&vec![0; 3 * page_size()]);
    let views: Vec<View<ReadWrite>> =
        (0..3).map(|_| Section::open_rw(&path).unwrap().view().unwrap()).collect();
    let syncing = Section::open_rw(&path).unwrap();
    for (index, view) in views.iter().enumerate() {
        view.put(index as u64 * page(), &7u8).unwrap();
    }
    for level in [Flush::Start, Flush::Barrier, Flush::Data, Flush::Full] {
        syncing.sync(level).unwrap();
        views[0].flush(5..6, level).unwrap();
    }
    drop(views);
    syncing.sync(Flush::Data).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert!((0..3).all(|index| bytes[index * page_size()] == 7));
    let reading = Section::open(&path).unwrap();
    reading.sync(Flush::Data).unwrap();
    let mut permissions = std::fs::metadata(&path).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&path, permissions.clone()).unwrap();
    // Who may not write may not sync, is told so, and goes on.
    let outcome = Section::open(&path).unwrap().sync(Flush::Data);
    #[expect(clippy::permissions_set_readonly_false, reason = "Windows has no world to write it")]
    permissions.set_readonly(false);
    std::fs::set_permissions(&path, permissions).unwrap();
    if let Err(error) = outcome {
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    }
    assert_eq!(reading.view::<Read>().unwrap().get::<u8>(0).unwrap(), 7);
}

#[test]
fn a_path_longer_than_the_classic_limit_is_as_good_as_any() {
    let dir = directory();
    let mut path = dir.path().to_path_buf();
    while path.as_os_str().len() < 300 {
        path.push("a-name-that-is-neither-short-nor-long");
        if std::fs::create_dir(&path).is_err() {
            return; // a file system with a limit of its own
        }
    }
    path.push("file");
    let section = Section::create(&path, 13).unwrap();
    assert_eq!(section.len().unwrap(), 13);
    refused(Section::create(&path, 13), ErrorKind::AlreadyExists);
    let again = Section::options()
        .access(bifolio_map::Access::ReadWrite)
        .create(Create::IfMissing)
        .open(&path)
        .unwrap();
    assert_eq!(again.is_current().unwrap(), Currency::Current);
    let names = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(names, 1, "nothing half-made is left");
}

/// KiB of a file that some process has locked in memory, as the system behind Wine counts them.
fn locked_kib(path: &std::path::Path) -> u64 {
    let count = "locked() { cat /proc/[0-9]*/smaps 2>/dev/null | awk -v n=$1 \
                 '/^[0-9a-f]+-/{f=index($0,n)} f&&/^Locked:/{s+=$2} END{print s+0}'; }; locked";
    behind_wine::run(count, path, "").parse().expect("a number")
}

/// The end of the file lies inside a granule, which growing maps anew: the system forgets its locks.
#[test]
fn what_is_locked_in_memory_stays_so_when_growing_maps_it_anew() {
    let Some(dir) = or_count(behind_wine::directory()) else { return };
    let path = dir.path().join("grows");
    let (granule, page) = (granularity(), page());
    std::fs::write(&path, pattern(0, (granule + 3 * page) as usize)).unwrap();
    let section = Section::open_rw(&path).unwrap();
    let growable: GrowableView<ReadWrite> = section.growable(16 * granule).unwrap();
    let view = growable.view().unwrap();
    let pages = |count: u64| count * page / 1024;
    assert_eq!(locked_kib(&path), 0);
    // One page of what stays mapped, and two of what does not.
    let both = view.lock_in_memory(granule - page..granule + page).unwrap();
    let last = view.lock_in_memory(granule + 2 * page..).unwrap();
    assert_eq!(locked_kib(&path), pages(3));
    for len in [granule + 5 * page, 3 * granule + 1, 5 * granule] {
        growable.grow_to(len, Space::Allocate).unwrap();
        assert_eq!(locked_kib(&path), pages(3), "grown to {len}");
    }
    drop(both);
    assert_eq!(locked_kib(&path), pages(1));
    drop(last);
    assert_eq!(locked_kib(&path), 0);
}
