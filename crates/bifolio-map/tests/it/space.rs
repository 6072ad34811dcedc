//! Space where the file system cannot allocate: ext3 has no `fallocate`, ramfs not even holes. Then
//! allocating writes, and whatever others store, gain or append at the same time must stay.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bifolio_map::{ErrorKind, GrowableView, Read, ReadWrite, Section, Space, View, page_size};
use bifolio_testkit::this_test;

use crate::support::disk::{fill_up, on_ext3, on_ramfs, on_tmpfs};
use crate::support::{page, pattern, refused, says};

/// What a judge finds wrong.
type Verdict = Result<(), String>;

/// Requires that a twin is found guilty at least once in twenty tries: it needs bad luck too.
fn is_caught(name: &str, judge: impl Fn() -> Verdict) {
    let why = (0..20).find_map(|_| judge().err());
    println!("{name}: {}", why.unwrap_or_else(|| panic!("the twin that {name} was not noticed")));
}

// --- holes that are filled while others store into them ---

/// Stores a word into most pages of a file of holes while `allocate` gives the file space; requires
/// that every word is there afterwards, and the space of the other pages too.
fn judge_allocation(dir: &Path, allocate: impl Fn(&Section, &Path) + Sync) -> Verdict {
    const PAGES: u64 = 4096;
    // From the end, where whoever fills from the front comes last.
    let stored = || (0..PAGES).rev().filter(|index| index % 16 != 0);
    let path = dir.join("holes");
    File::create(&path).unwrap().set_len(PAGES * page()).unwrap();
    let section = Section::open_rw(&path).unwrap();
    let view: View<ReadWrite> = section.view().unwrap();
    let begin = Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            begin.wait();
            for index in stored() {
                view.put(index * page() + 8, &(index + 1)).unwrap();
            }
        });
        begin.wait();
        allocate(&section, &path);
    });
    let lost =
        stored().filter(|index| view.get::<u64>(index * page() + 8).unwrap() != index + 1).count();
    let (holes, taken) = (section.holes().unwrap(), section.allocated().unwrap());
    std::fs::remove_file(&path).unwrap();
    if lost > 0 {
        return Err(format!("{lost} of {PAGES} stores are gone"));
    }
    if !holes.is_empty() || taken < PAGES * page() {
        return Err(format!("{taken} bytes taken, holes: {holes:?}"));
    }
    Ok(())
}

#[test]
fn filling_holes_takes_back_no_store_of_anybody() {
    on_ext3(64 << 20, |dir| {
        judge_allocation(dir, |section, _| section.allocate(..).unwrap()).unwrap();
        judge_allocation(dir, |section, _| {
            section.set_len(section.len().unwrap(), Space::Allocate).unwrap();
        })
        .unwrap();
    });
}

#[test]
fn filling_holes_by_zeros_is_noticed() {
    on_ext3(64 << 20, |dir| {
        is_caught("writes zeros into what was a hole", || {
            judge_allocation(dir, |section, path| {
                let file = File::options().write(true).open(path).unwrap();
                for hole in section.holes().unwrap() {
                    for at in hole.step_by(page_size()) {
                        file.write_all_at(&vec![0; page_size()], at).unwrap();
                    }
                }
            })
        });
        is_caught("says it has space and has none", || judge_allocation(dir, |_, _| ()));
    });
}

// --- growth of several at once ---

/// Grows one file by several handles at once; requires that no length that was gained is ever lost,
/// nor a byte that was stored in it.
fn judge_growth(dir: &Path, grow: impl Fn(&GrowableView<ReadWrite>, u64) + Sync) -> Verdict {
    const GROWERS: u64 = 3;
    let path = dir.join("growing");
    std::fs::write(&path, b"").unwrap();
    let begin = Barrier::new(usize::try_from(GROWERS).unwrap());
    let gained = AtomicU64::new(0);
    let verdict = std::thread::scope(|scope| {
        let growers: Vec<_> = (0..GROWERS)
            .map(|grower| {
                let (path, begin, grow, gained) = (&path, &begin, &grow, &gained);
                scope.spawn(move || {
                    // Sections of their own, as if each were another process.
                    let section = Section::open_rw(path).unwrap();
                    let growable: GrowableView<ReadWrite> = section.growable(8 << 20).unwrap();
                    let mut stored = Vec::new();
                    begin.wait();
                    for step in 1..=150 {
                        let len = step * 7000 + grower * 2500;
                        grow(&growable, len);
                        gained.fetch_max(len, Ordering::SeqCst);
                        let owed = gained.load(Ordering::SeqCst);
                        let now = section.len().unwrap();
                        if now < owed {
                            return Err(format!("{owed} bytes were gained, {now} are there"));
                        }
                        let at = len - 1 - grower;
                        if growable.view().unwrap().put(at, &0xabu8).is_err() {
                            return Err(format!("a store at {at} found the file cut off"));
                        }
                        stored.push(at);
                    }
                    let view = growable.view().unwrap();
                    match stored.iter().find(|&&at| view.get::<u8>(at).ok() != Some(0xab)) {
                        Some(at) => Err(format!("what was stored at {at} is gone")),
                        None => Ok(()),
                    }
                })
            })
            .collect();
        let verdicts: Vec<Verdict> = growers.into_iter().map(|g| g.join().unwrap()).collect();
        verdicts.into_iter().collect()
    });
    std::fs::remove_file(&path).unwrap();
    verdict
}

#[test]
fn growth_of_several_at_once_never_cuts_off_what_another_one_gained() {
    on_ext3(64 << 20, |dir| {
        for space in [Space::Sparse, Space::Allocate] {
            judge_growth(dir, |growable, len| growable.grow_to(len, space).unwrap()).unwrap();
        }
    });
}

#[test]
fn growth_that_looks_and_then_sets_the_length_is_noticed() {
    on_ext3(64 << 20, |dir| {
        is_caught("sets the length that it wants", || {
            judge_growth(dir, |growable, len| {
                let path = growable.section().path().unwrap();
                let file = File::options().write(true).open(path).unwrap();
                if file.metadata().unwrap().len() < len {
                    std::thread::yield_now();
                    file.set_len(len).unwrap();
                }
                growable.refresh().unwrap();
            })
        });
    });
}

// --- growth that does not fit ---

#[test]
fn growth_that_does_not_fit_gives_everything_back_where_nothing_can_be_allocated() {
    on_ext3(8 << 20, |dir| {
        let path = dir.join("file");
        let section = Section::create(&path, 3 * page()).unwrap();
        section.view::<ReadWrite>().unwrap().write_at(0, pattern(0, 3 * page_size())).unwrap();
        let look = || {
            section.sync(bifolio_map::Flush::Full).unwrap();
            let free = rustix::fs::statvfs(dir).unwrap().f_bfree;
            (section.len().unwrap(), section.allocated().unwrap(), free)
        };
        let before = look();
        let error = refused(section.set_len(1 << 30, Space::Allocate), ErrorKind::StorageFull);
        says(&error, &["cannot set the length of", "asked for 1073741824 bytes"]);
        assert_eq!(look(), before);
        // Less than is free now, and more than is free when it has been half written.
        let ballast = File::create(dir.join("ballast")).unwrap();
        let free = before.2 * rustix::fs::statvfs(dir).unwrap().f_frsize;
        let refused_halfway = AtomicBool::new(false);
        for round in 0..20 {
            let begin = Barrier::new(2);
            let outcome = std::thread::scope(|scope| {
                scope.spawn(|| {
                    begin.wait();
                    let mut at = 0;
                    while at < free && ballast.write_all_at(&[1; 4096], at).is_ok() {
                        at += 4096;
                    }
                });
                begin.wait();
                section.set_len(free * 9 / 10, Space::Allocate)
            });
            ballast.set_len(0).unwrap();
            match outcome {
                Ok(()) => section.set_len(3 * page(), Space::Sparse).unwrap(),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::StorageFull, "round {round}: {error}");
                    refused_halfway.store(true, Ordering::Relaxed);
                }
            }
            assert_eq!(look().0, 3 * page(), "round {round}");
            if refused_halfway.load(Ordering::Relaxed) {
                break;
            }
        }
        assert!(refused_halfway.into_inner(), "the disk never became full halfway");
        let view: View<Read> = section.view().unwrap();
        assert!(view.read_vec(..).unwrap() == pattern(0, 3 * page_size()));
    });
}

#[test]
fn cutting_off_with_space_on_a_full_disk_cuts_nothing_if_the_rest_has_none() {
    on_tmpfs(this_test!(), 1 << 20, |dir| {
        let path = dir.join("file");
        File::create(&path).unwrap().set_len(4 << 20).unwrap();
        let section = Section::open_rw(&path).unwrap();
        section.view::<ReadWrite>().unwrap().put((4 << 20) - 8, &7u64).unwrap();
        fill_up(dir);
        refused(section.set_len(2 << 20, Space::Allocate), ErrorKind::StorageFull);
        assert_eq!(section.len().unwrap(), 4 << 20);
        assert_eq!(section.view::<Read>().unwrap().get::<u64>((4 << 20) - 8).unwrap(), 7);
    });
}

// --- handles that append ---

#[test]
fn allocating_through_a_handle_that_appends_neither_writes_nor_lengthens() {
    on_ext3(16 << 20, |dir| {
        let path = dir.join("file");
        File::create(&path).unwrap().set_len(50 * page()).unwrap();
        let file = File::options().read(true).append(true).open(&path).unwrap();
        let section = Section::from_file(file).unwrap();
        section.allocate(10 * page()..20 * page()).unwrap();
        assert_eq!(section.len().unwrap(), 50 * page());
        assert_eq!(section.holes().unwrap(), [0..10 * page(), 20 * page()..50 * page()]);
        section.allocate(..).unwrap();
        assert_eq!((section.len().unwrap(), section.holes().unwrap()), (50 * page(), vec![]));
        section.set_len(60 * page() + 5, Space::Allocate).unwrap();
        assert_eq!(section.len().unwrap(), 60 * page() + 5);
        assert!(std::fs::metadata(&path).unwrap().blocks() * 512 > 60 * page());
        let bytes = section.view::<Read>().unwrap().read_vec(..).unwrap();
        assert!(bytes.iter().all(|&byte| byte == 0));
    });
}

// --- file systems that know no holes ---

#[test]
fn where_holes_are_not_known_every_page_is_touched_and_counted() {
    on_ramfs(this_test!(), |dir| {
        Section::create(dir.join("new"), 3 * page()).unwrap();
        let path = dir.join("file");
        File::create(&path).unwrap().set_len(100 * page()).unwrap();
        std::fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .write_all_at(pattern(0, 5000), 0)
            .unwrap();
        let section = Section::open_rw(&path).unwrap();
        assert!(section.allocated().unwrap() < 100 * page());
        section.allocate(..).unwrap();
        assert_eq!(section.allocated().unwrap(), 100 * page());
        section.set_len(120 * page() + 1, Space::Allocate).unwrap();
        assert_eq!(section.allocated().unwrap(), 121 * page());
        section.set_len(90 * page(), Space::Allocate).unwrap();
        assert_eq!(
            (section.len().unwrap(), section.allocated().unwrap()),
            (90 * page(), 90 * page())
        );
        let growable: GrowableView<ReadWrite> = section.growable(1 << 20).unwrap();
        growable.grow_to(500_000, Space::Sparse).unwrap();
        assert_eq!(section.len().unwrap(), 500_000);
        let view = growable.view().unwrap();
        assert!(view.read_vec(..5000).unwrap() == pattern(0, 5000));
        assert!(view.read_vec(5000..).unwrap().iter().all(|&byte| byte == 0));
    });
}
