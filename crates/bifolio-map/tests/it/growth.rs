//! Growth moves nothing, disturbs nobody, and says at once when there is no space.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(target_os = "linux")]
use bifolio_map::Flush;
use bifolio_map::{CopyOnWrite, ErrorKind, GrowableView, Read, ReadWrite, Section, Space, View};
use bifolio_testkit::child::{self, Rerun};
use bifolio_testkit::this_test;

use crate::support::{byte_at, directory, file_of, page, pattern, refused, says};

const CAPACITY: u64 = 64 << 20;

/// Files in a directory, and memory, that can grow to the capacity.
fn growing_sections(dir: &std::path::Path) -> Vec<Section> {
    let options = Section::options().len(10).capacity(CAPACITY);
    vec![
        Section::create(dir.join("file"), 10).unwrap(),
        options.temporary(dir).unwrap(),
        options.anonymous().unwrap(),
    ]
}

#[test]
fn a_growing_view_never_moves_and_old_views_stay_as_they_are() {
    let dir = directory();
    for section in growing_sections(dir.path()) {
        let growable: GrowableView<ReadWrite> = section.growable(CAPACITY).unwrap();
        assert_eq!((growable.len(), growable.capacity()), (10, CAPACITY));
        assert!(!growable.is_empty());
        let base = growable.as_ptr();
        let old = growable.view().unwrap();
        old.write_at(0, pattern(0, 10)).unwrap();
        for (step, space) in [
            (11, Space::Allocate),
            (5000, Space::Sparse),
            (1 << 20, Space::Allocate),
            (CAPACITY / 2 + 1, Space::Sparse),
        ] {
            growable.grow_to(step, space).unwrap();
            assert_eq!((growable.len(), section.len().unwrap()), (step, step));
            let view = growable.view().unwrap();
            assert_eq!((growable.as_ptr(), view.as_ptr(), view.len()), (base, base, step));
            assert_eq!(view.read_vec(..10).unwrap(), pattern(0, 10));
            view.put(step - 1, &7u8).unwrap();
            assert_eq!(view.get::<u8>(step - 1).unwrap(), 7);
            refused(view.get::<u8>(step), ErrorKind::OutOfBounds);
            refused(old.get::<u8>(10), ErrorKind::OutOfBounds);
        }
        assert_eq!(old.read_vec(..).unwrap(), pattern(0, 10));
        growable.grow_to(5, Space::Allocate).unwrap();
        assert_eq!(section.len().unwrap(), CAPACITY / 2 + 1, "growing to less does nothing");
    }
}

#[test]
fn growing_past_the_capacity_is_out_of_bounds_and_changes_nothing() {
    let section = Section::options().len(10).capacity(100_000).anonymous().unwrap();
    let growable: GrowableView<ReadWrite> = section.growable(100_000).unwrap();
    let error = refused(growable.grow_to(100_001, Space::Sparse), ErrorKind::OutOfBounds);
    says(&error, &["cannot grow", "asked for 100001 bytes", "reserved for 100000"]);
    assert_eq!((growable.len(), section.len().unwrap()), (10, 10));
    growable.grow_to(100_000, Space::Allocate).unwrap();
    growable.view().unwrap().put(99_999, &1u8).unwrap();
}

#[test]
fn a_capacity_must_hold_what_is_there() {
    let section = Section::anonymous(10).unwrap();
    for capacity in [0, 9] {
        let error = refused(section.growable::<Read>(capacity), ErrorKind::InvalidInput);
        says(&error, &["capacity of", "must hold the 10 bytes"]);
    }
    let (_dir, path) = file_of(b"abc");
    let read_only = Section::open(&path).unwrap();
    refused(read_only.growable::<ReadWrite>(100), ErrorKind::ModeMismatch);
    let beyond = section.growable::<Read>(u64::MAX).unwrap_err();
    assert!(matches!(beyond.kind(), ErrorKind::OutOfMemory | ErrorKind::InvalidInput), "{beyond}");
}

#[test]
fn a_private_growing_view_keeps_its_writes_to_itself() {
    let section = Section::options().len(page()).capacity(CAPACITY).anonymous().unwrap();
    let growable: GrowableView<CopyOnWrite> = section.growable(CAPACITY).unwrap();
    growable.view().unwrap().put(5, &7u8).unwrap();
    section.set_len(3 * page(), Space::Allocate).unwrap();
    assert_eq!(growable.refresh().unwrap(), 3 * page());
    let view = growable.view().unwrap();
    view.put(2 * page() + 1, &8u8).unwrap();
    assert_eq!(view.changed(), [0..page(), 2 * page()..3 * page()]);
    assert!(section.view::<Read>().unwrap().read_vec(..).unwrap().iter().all(|&byte| byte == 0));
}

#[test]
fn a_file_that_another_process_grew_is_seen_after_a_refresh_at_the_same_address() {
    const FILE: &str = "BIFOLIO_TEST_FILE";
    if child::role().is_some() {
        let section = Section::open_rw(std::env::var(FILE).unwrap()).unwrap();
        let growable: GrowableView<ReadWrite> = section.growable(CAPACITY).unwrap();
        for pages in 2..50 {
            child::point("grow");
            growable.grow_to(pages * page(), Space::Allocate).unwrap();
            let last = (pages - 1) * page();
            growable.view().unwrap().put(last, &byte_at(last)).unwrap();
        }
        child::point("grow");
        return;
    }
    let dir = directory();
    let path = dir.path().join("file");
    let section = Section::create(&path, page()).unwrap();
    let growable: GrowableView<Read> = section.growable(CAPACITY).unwrap();
    let (base, first) = (growable.as_ptr(), growable.view().unwrap());
    let mut grower = Rerun::of(this_test!(), "grower").with_variable(FILE, &path).spawn().unwrap();
    grower.run_to("grow", 1).unwrap();
    for pages in 2..50 {
        grower.go_on().unwrap();
        grower.run_to("grow", 1).unwrap();
        assert_eq!(growable.refresh().unwrap(), pages * page());
        let view = growable.view().unwrap();
        let last = (pages - 1) * page();
        assert_eq!((view.as_ptr(), view.get::<u8>(last).unwrap()), (base, byte_at(last)));
    }
    grower.go_on().unwrap();
    grower.finish().unwrap();
    assert_eq!((first.as_ptr(), first.len()), (base, page()));
}

#[test]
fn readers_are_never_disturbed_by_a_thousand_steps_of_growth() {
    let dir = directory();
    for section in growing_sections(dir.path()) {
        section.set_len(page(), Space::Allocate).unwrap();
        let growable: GrowableView<ReadWrite> = section.growable(CAPACITY).unwrap();
        growable.view().unwrap().write_at(0, pattern(0, 4096)).unwrap();
        let (done, started) = (AtomicBool::new(false), Barrier::new(3));
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let first: View<ReadWrite> = growable.view().unwrap();
                        let mut reads = 0u64;
                        started.wait();
                        while reads == 0 || !done.load(Ordering::Acquire) {
                            // The old view, and whatever is there now, to its last byte.
                            assert!(first.read_vec(..4096).unwrap() == pattern(0, 4096));
                            let now = growable.view().unwrap();
                            now.get::<u8>(now.len() - 1).unwrap();
                            now.get::<u64>(reads % (now.len() - 8)).unwrap();
                            reads += 1;
                        }
                        reads
                    })
                })
                .collect();
            started.wait();
            for step in 1..=1000 {
                let space = if step % 2 == 0 { Space::Allocate } else { Space::Sparse };
                growable.grow_to(page() + step * 1000, space).unwrap();
            }
            done.store(true, Ordering::Release);
            for reader in readers {
                println!("{} reads during 1000 steps of growth", reader.join().unwrap());
            }
        });
    }
}

#[test]
fn flushes_advice_and_memory_locks_are_not_disturbed_by_growth_beside_them() {
    let dir = directory();
    let section = Section::create(dir.path().join("file"), 10).unwrap();
    let growable: GrowableView<ReadWrite> = section.growable(CAPACITY).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let mut rounds = 0;
            while rounds == 0 || !done.load(Ordering::Acquire) {
                let view = growable.view().unwrap();
                let last = view.len() - 1;
                view.put(last, &7u8).unwrap();
                // The last pages are those that are mapped anew, where any are.
                view.flush(last.., bifolio_map::Flush::Start).unwrap();
                view.prefetch(last..).unwrap();
                drop(view.lock_in_memory(last..).unwrap());
                rounds += 1;
            }
            growable.view().unwrap().flush(.., bifolio_map::Flush::Data).unwrap();
        });
        for step in 1..=400 {
            growable.grow_to(10 + step * 1000, Space::Sparse).unwrap();
        }
        done.store(true, Ordering::Release);
        other.join().unwrap();
    });
    section.sync(bifolio_map::Flush::Data).unwrap();
}

#[test]
fn many_threads_grow_one_view_and_all_lengths_are_reached() {
    let section = Section::options().len(1).capacity(CAPACITY).anonymous().unwrap();
    let growable: GrowableView<ReadWrite> = section.growable(CAPACITY).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let growable = &growable;
            scope.spawn(move || {
                for step in 0..200 {
                    let len = 2 + step * 4000 + thread * 900;
                    growable.grow_to(len, Space::Sparse).unwrap();
                    assert!(growable.len() >= len);
                    growable.view().unwrap().put(len - 1, &1u8).unwrap();
                }
            });
        }
    });
    assert_eq!(growable.len(), section.len().unwrap());
}

#[cfg(unix)]
#[test]
fn a_section_that_shrank_keeps_its_length_in_the_growing_view_and_faults() {
    let (_dir, path) = file_of(pattern(0, 4 * 4096));
    let section = Section::open_rw(&path).unwrap();
    let growable: GrowableView<ReadWrite> = section.growable(CAPACITY).unwrap();
    crate::support::truncate(&path, 0);
    assert_eq!(growable.refresh().unwrap(), 4 * 4096);
    refused(growable.view().unwrap().get::<u8>(0), ErrorKind::UnexpectedEof);
    growable.grow_to(4 * 4096, Space::Allocate).unwrap();
    assert_eq!(growable.view().unwrap().get::<u8>(0).unwrap(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_store_into_a_hole_of_a_full_disk_is_an_error_that_flushes_remember() {
    use crate::support::disk::{fill_up, on_tmpfs};
    on_tmpfs(this_test!(), 1 << 20, |dir| {
        let section = Section::create(dir.join("file"), page()).unwrap();
        let growable: GrowableView<ReadWrite> = section.growable(CAPACITY).unwrap();
        growable.grow_to(64 * page(), Space::Sparse).unwrap();
        let view = growable.view().unwrap();
        view.put(0, &1u8).unwrap();
        let ballast = fill_up(dir);
        let hole = 10 * page() + 5;
        let error = refused(view.put(hole, &7u64), ErrorKind::StorageFull);
        says(
            &error,
            &["cannot write", "file", &format!("at offset {hole}"), "no space for this page"],
        );
        refused(view.fill(page().., 7), ErrorKind::StorageFull);
        refused(view.write_at(page(), &vec![7; 50 * 4096]), ErrorKind::StorageFull);
        refused(view.atomic_u32(20 * page()).unwrap().store(1), ErrorKind::StorageFull);
        // What was stored before is there; and no flush vouches for anything until the loss is
        // accepted, whichever handle of the section asks.
        assert_eq!(view.get::<u8>(0).unwrap(), 1);
        for _ in 0..2 {
            let error = refused(view.flush(..page(), Flush::Data), ErrorKind::Poisoned);
            says(&error, &["file", "a store failed earlier", "accept_lost_stores()"]);
            refused(section.clone().sync(Flush::Start), ErrorKind::Poisoned);
        }
        section.accept_lost_stores();
        view.flush(.., Flush::Full).unwrap();
        std::fs::remove_file(ballast).unwrap();
        view.put(hole, &7u64).unwrap();
        view.flush(.., Flush::Full).unwrap();
    });
}
