//! A full disk: no error is lost, no byte is wrong, nothing is left behind.
//!
//! Each property is a judge that is given the calls to be judged. It clears ours, and a second test
//! gives it **broken twins**, each with one thing wrong, all of which it must find guilty.

use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bifolio_map::{
    Access, Create, Error, ErrorKind, Flush, GrowableView, ReadWrite, Section, Space, View,
};
use bifolio_testkit::this_test;

use crate::support::disk::{fill_up, on_ext4, on_tmpfs};
use crate::support::{byte_at, page, pattern, says};

/// What came of a call under judgement.
type Outcome = Result<(), ErrorKind>;
/// What a judge finds wrong.
type Verdict = Result<(), String>;

/// Requires something, in words for when it is not so.
fn require(condition: bool, words: impl FnOnce() -> String) -> Verdict {
    if condition { Ok(()) } else { Err(words()) }
}

/// Requires that a call fails because the disk is full.
fn require_full(what: &str, outcome: Outcome) -> Verdict {
    match outcome {
        Err(ErrorKind::StorageFull) => Ok(()),
        Err(kind) => Err(format!("{what}: the error is {kind:?}")),
        Ok(()) => Err(format!("{what} was said to have worked")),
    }
}

/// Requires that each twin is found guilty, on a disk of its own.
fn each_is_caught<T>(twins: &[(&str, T)], judge: impl Fn(&T) -> Option<Verdict>) {
    for (name, twin) in twins {
        match judge(twin) {
            Some(Err(why)) => println!("{name}: {why}"),
            Some(Ok(())) => panic!("the twin that {name} was not noticed"),
            None => return, // no disk to be had here; counted as skipped
        }
    }
}

/// A judgement on a tmpfs of one MiB; `None` where there is none to be had.
fn on_a_mib(test: &str, judge: impl FnOnce(&Path) -> Verdict) -> Option<Verdict> {
    let mut verdict = None;
    on_tmpfs(test, 1 << 20, |dir| verdict = Some(judge(dir)));
    verdict
}

/// The files of a directory and what is free on its disk.
fn look(dir: &Path) -> (Vec<PathBuf>, u64) {
    let entries = std::fs::read_dir(dir).unwrap();
    (
        entries.map(|entry| entry.unwrap().path()).collect(),
        rustix::fs::statvfs(dir).unwrap().f_bfree,
    )
}

// --- a file that does not fit ---

type Make = fn(&Path, u64) -> Outcome;

/// Our three ways to make a file, each with the words of its refusal.
const MAKES: [Make; 3] = [
    |path, len| {
        Section::create(path, len).map(drop).map_err(|error| kind_saying(&error, "cannot create"))
    },
    |path, len| {
        let options = Section::options().access(Access::ReadWrite).create(Create::IfMissing);
        let made = options.len(len).open(path).map(drop);
        made.map_err(|error| kind_saying(&error, "cannot open"))
    },
    |path, len| {
        let made = Section::options().len(len).temporary(path.parent().unwrap()).map(drop);
        made.map_err(|error| kind_saying(&error, "cannot create a temporary file in"))
    },
];

/// The kind of an error that says this and where it happened.
#[track_caller]
fn kind_saying(error: &Error, words: &str) -> ErrorKind {
    says(error, &[words, error.path().unwrap().to_str().unwrap(), "no space left"]);
    error.kind()
}

/// Requires that a file that does not fit is refused and leaves neither a name nor blocks, with
/// some of the disk free and with none of it, and that one which fits is made.
fn judge_creation(dir: &Path, make: Make) -> Verdict {
    let path = dir.join("file");
    for free in ["some", "none"] {
        let ballast = (free == "none").then(|| fill_up(dir));
        let before = look(dir);
        require_full(&format!("creating with {free} free"), make(&path, 2 << 20))?;
        let after = look(dir);
        require(before == after, || format!("with {free} free: {before:?} became {after:?}"))?;
        if let Some(ballast) = ballast {
            std::fs::remove_file(ballast).unwrap();
        }
    }
    // A child that another test is just starting may hold what was removed, until it runs its program.
    let mut made = make(&path, 512 << 10);
    for _ in 0..200 {
        if made.is_ok() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
        made = make(&path, 512 << 10);
    }
    made.map_err(|kind| format!("what fits was refused: {kind:?}"))
}

fn kind_of(error: std::io::Error) -> ErrorKind {
    Error::os("test", error).kind()
}

/// A file with blocks behind all of it, made the plain way.
fn allocated(path: &Path, len: u64) -> Result<File, ErrorKind> {
    let file = File::options().write(true).create_new(true).open(path).map_err(kind_of)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, len)
        .map_err(|error| kind_of(error.into()))?;
    Ok(file)
}

thread_local! {
    /// Handles that a twin does not let go of.
    static HELD: RefCell<Vec<File>> = const { RefCell::new(Vec::new()) };
}

const BROKEN_MAKES: [(&str, Make); 4] = [
    ("makes the file without its space", |path, len| {
        File::create_new(path).and_then(|file| file.set_len(len)).map_err(kind_of)
    }),
    ("leaves the file", |path, len| allocated(path, len).map(drop)),
    ("leaves the file under another name", |path, len| {
        let aside = path.with_extension("new");
        let made = allocated(&aside, len).map(drop);
        // The seeded bug: `?` before the removal.
        made?;
        std::fs::rename(&aside, path).map_err(kind_of)
    }),
    ("keeps the blocks of a file without a name", |path, len| {
        let file = allocated(path, 64 << 10)?;
        let outcome = file.set_len(len).and_then(|()| {
            let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
            if len > 1 << 20 { Err(full) } else { Ok(()) }
        });
        if outcome.is_err() {
            std::fs::remove_file(path).map_err(kind_of)?;
            HELD.with_borrow_mut(|held| held.push(file));
        }
        outcome.map_err(kind_of)
    }),
];

#[test]
fn a_file_that_does_not_fit_is_refused_and_leaves_no_name_and_no_block() {
    for make in MAKES {
        on_tmpfs(this_test!(), 1 << 20, |dir| judge_creation(dir, make).unwrap());
    }
}

#[test]
fn creations_that_lose_the_error_or_leave_something_are_noticed() {
    each_is_caught(&BROKEN_MAKES, |make| {
        on_a_mib(this_test!(), |dir| {
            let verdict = judge_creation(dir, *make);
            HELD.with_borrow_mut(Vec::clear);
            verdict
        })
    });
}

// --- growth that does not fit ---

type Grow = fn(&GrowableView<ReadWrite>, &Section, u64) -> Outcome;

/// Requires that growth which does not fit is refused and changes neither length, blocks nor bytes.
fn judge_growth(dir: &Path, grow: Grow) -> Verdict {
    let section = Section::create(dir.join("file"), 2 * page()).unwrap();
    let growable: GrowableView<ReadWrite> = section.growable(16 << 20).unwrap();
    let view = growable.view().unwrap();
    let bytes = pattern(0, 2 * usize::try_from(page()).unwrap());
    view.write_at(0, bytes).unwrap();
    let look = || (section.len().unwrap(), section.allocated().unwrap(), look(dir));
    let before = look();
    // So little more than there is that only the file system finds out.
    require_full("growing", grow(&growable, &section, (1 << 20) + page()))?;
    let after = look();
    require(before == after, || format!("{before:?} became {after:?}"))?;
    require(growable.len() == 2 * page(), || format!("the view has {} bytes", growable.len()))?;
    let now = view.read_vec(..).map_err(|error| error.to_string())?;
    require(now == bytes, || "its bytes have changed".into())?;
    section.sync(Flush::Full).map_err(|error| error.to_string())?;
    grow(&growable, &section, 512 << 10).map_err(|kind| format!("what fits: {kind:?}"))?;
    require(section.len().unwrap() == 512 << 10, || "it did not grow".into())
}

/// Our two ways to grow, each with the words of its refusal.
const GROWS: [Grow; 2] = [
    |growable, _, len| {
        let grown = growable.grow_to(len, Space::Allocate);
        grown.map_err(|error| kind_saying(&error, "cannot grow"))
    },
    |growable, section, len| {
        section.set_len(len, Space::Allocate).map_err(|error| {
            let asked = format!("asked for {} bytes", (1 << 20) + page());
            says(&error, &[&asked, &format!("it has {}", 2 * page())]);
            kind_saying(&error, "cannot set the length of")
        })?;
        growable.refresh().map(drop).map_err(|error| error.kind())
    },
];

const BROKEN_GROWS: [(&str, Grow); 4] = [
    ("grows without space", |growable, _, len| {
        growable.grow_to(len, Space::Sparse).map_err(|error| error.kind())
    }),
    ("says nothing of the error", |growable, section, len| {
        let _lost = GROWS[0](growable, section, len);
        Ok(())
    }),
    ("sets the length before it has the space", |growable, section, len| {
        section.set_len(len, Space::Sparse).map_err(|error| error.kind())?;
        section.allocate(..).map_err(|error| error.kind())?;
        growable.refresh().map(drop).map_err(|error| error.kind())
    }),
    ("gives back what was there", |growable, section, len| {
        GROWS[0](growable, section, len).inspect_err(|_| {
            section.set_len(page(), Space::Allocate).unwrap();
            section.set_len(2 * page(), Space::Allocate).unwrap();
        })
    }),
];

#[test]
fn growth_that_does_not_fit_is_refused_and_changes_nothing() {
    for grow in GROWS {
        on_tmpfs(this_test!(), 1 << 20, |dir| judge_growth(dir, grow).unwrap());
    }
}

#[test]
fn growth_that_loses_the_error_or_changes_something_is_noticed() {
    each_is_caught(&BROKEN_GROWS, |grow| on_a_mib(this_test!(), |dir| judge_growth(dir, *grow)));
}

// --- stores into holes ---

/// What a hole of a full disk reads as.
#[derive(Clone, Copy, PartialEq)]
enum Hole {
    /// It cannot be read either.
    Faults,
    /// Zeros, as the file system says.
    Zeros,
}

/// The calls on a file with holes, on a disk that is full.
struct Calls {
    store: fn(&View<ReadWrite>, u64, &[u8]) -> Outcome,
    read: fn(&View<ReadWrite>, u64, &mut [u8]) -> Outcome,
    flush: fn(&View<ReadWrite>) -> Outcome,
}

const OURS: Calls = Calls {
    store: |view, offset, bytes| view.write_at(offset, bytes).map_err(|error| error.kind()),
    read: |view, offset, out| view.read_at(offset, out).map_err(|error| error.kind()),
    flush: |view| view.flush(.., Flush::Data).map_err(|error| error.kind()),
};

/// Requires of a sparse file on a full disk: a store that was said to have worked is there, one
/// that was refused is no data, nothing is read that nobody wrote, and no flush vouches for what
/// was lost.
fn judge_stores(dir: &Path, calls: &Calls, hole: Hole) -> Verdict {
    const PAGES: u64 = 64;
    let path = dir.join("sparse");
    File::create(&path).unwrap().set_len(PAGES * page()).unwrap();
    let view: View<ReadWrite> = Section::open_rw(&path).unwrap().view().unwrap();
    (calls.store)(&view, 0, pattern(0, 8)).map_err(|kind| format!("with space: {kind:?}"))?;
    (calls.flush)(&view).map_err(|kind| format!("a flush with space: {kind:?}"))?;
    fill_up(dir);
    let stored = |index: u64| {
        let offset = index * page() + index;
        (calls.store)(&view, offset, pattern(offset, 8))
    };
    let outcomes: Vec<_> = (1..PAGES).map(stored).collect();
    let lost = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    for (index, outcome) in (1..PAGES).zip(&outcomes) {
        let offset = index * page() + index;
        let mut out = [0xee; 8];
        let read = (calls.read)(&view, offset, &mut out);
        let right = match (outcome, read, hole) {
            (Ok(()), Ok(()), _) => out == *pattern(offset, 8),
            (Err(ErrorKind::StorageFull), Ok(()), Hole::Zeros) => out == [0; 8],
            (Err(ErrorKind::StorageFull), Err(ErrorKind::StorageFault), Hole::Faults) => true,
            _ => false,
        };
        require(right, || {
            format!("page {index}: the store was {outcome:?}, the read {read:?} gives {out:?}")
        })?;
    }
    if lost == 0 {
        return Err("every store was said to have worked".into());
    }
    let first = (calls.read)(&view, 0, &mut [0; 8]);
    first.map_err(|kind| format!("what was stored before: {kind:?}"))?;
    match (calls.flush)(&view) {
        Err(ErrorKind::Poisoned) => Ok(()),
        other => Err(format!("after {lost} lost stores a flush says {other:?}")),
    }
}

fn twins_of_stores() -> [(&'static str, Calls); 4] {
    [
        (
            "says nothing of a lost store",
            Calls {
                store: |view, offset, bytes| {
                    let _lost = view.write_at(offset, bytes);
                    Ok(())
                },
                ..OURS
            },
        ),
        (
            "reads zeros where nothing can be read",
            Calls {
                read: |view, offset, out| {
                    if view.read_at(offset, out).is_err() {
                        out.fill(0);
                    }
                    Ok(())
                },
                ..OURS
            },
        ),
        (
            "reads what it was asked to write",
            Calls {
                read: |view, offset, out| {
                    if view.read_at(offset, out).is_err() {
                        (offset..).zip(out).for_each(|(at, byte)| *byte = byte_at(at));
                    }
                    Ok(())
                },
                ..OURS
            },
        ),
        (
            "flushes as if nothing had been lost",
            Calls {
                flush: |view| {
                    let path = view.section().and_then(Section::path).unwrap();
                    File::open(path).and_then(|file| file.sync_all()).map_err(kind_of)
                },
                ..OURS
            },
        ),
    ]
}

#[test]
fn a_store_into_a_hole_of_a_full_tmpfs_is_never_lost_in_silence() {
    on_tmpfs(this_test!(), 1 << 20, |dir| judge_stores(dir, &OURS, Hole::Faults).unwrap());
}

#[test]
fn a_store_into_a_hole_of_a_full_ext4_is_never_lost_in_silence() {
    on_ext4(8 << 20, 32 << 20, |image, _| {
        judge_stores(&image.path(), &OURS, Hole::Zeros).unwrap();
    });
}

#[test]
fn stores_that_are_lost_in_silence_are_noticed() {
    each_is_caught(&twins_of_stores(), |calls| {
        on_a_mib(this_test!(), |dir| judge_stores(dir, calls, Hole::Faults))
    });
}

// --- a device that runs out of space below the file system ---

/// Requires that after one sync has failed none succeeds any more.
fn judge_syncs(path: &Path, sync: impl Fn(&Section, &File) -> Outcome) -> Verdict {
    let section = Section::open_rw(path).unwrap();
    // Opened before the failure: the system tells each open file of it once.
    let file = File::open(path).unwrap();
    section.view::<ReadWrite>().unwrap().fill(.., 7).unwrap();
    let first = sync(&section, &file);
    let kinds = [ErrorKind::StorageFault, ErrorKind::StorageFull];
    let told = matches!(first, Err(kind) if kinds.contains(&kind));
    require(told, || format!("the sync that must fail says {first:?}"))?;
    for _ in 0..3 {
        let again = sync(&section, &file);
        require(again == Err(ErrorKind::Poisoned), || format!("the next sync says {again:?}"))?;
    }
    Ok(())
}

/// Runs `body` on a file of 16 MiB whose device has no space for its bytes.
fn on_a_device_without_space(body: impl FnOnce(&Path)) {
    on_ext4(128 << 20, 32 << 20, |image, disk| {
        let path = image.path().join("file");
        Section::create(&path, 16 << 20).unwrap().sync(Flush::Full).unwrap();
        fill_up(disk);
        body(&path);
    });
}

#[test]
fn after_a_failed_sync_none_succeeds() {
    on_a_device_without_space(|path| {
        let ours =
            |section: &Section, _: &File| section.sync(Flush::Data).map_err(|error| error.kind());
        judge_syncs(path, ours).unwrap();
    });
}

#[test]
fn a_sync_that_is_simply_tried_again_is_noticed() {
    on_a_device_without_space(|path| {
        let again = |_: &Section, file: &File| file.sync_data().map_err(kind_of);
        let why = judge_syncs(path, again).unwrap_err();
        assert!(why.starts_with("the next sync says"), "{why}");
    });
}

/// A disk whose bytes are all taken takes no more by calls either: what `fill_up` leaves is none.
#[test]
fn a_disk_that_was_filled_up_has_no_byte_left() {
    on_tmpfs(this_test!(), 1 << 20, |dir| {
        let ballast = fill_up(dir);
        let file = File::create(dir.join("more")).unwrap();
        let error = file.write_all_at(&[1], 0).unwrap_err();
        assert_eq!(kind_of(error), ErrorKind::StorageFull);
        assert_eq!(std::fs::metadata(ballast).unwrap().len(), 1 << 20);
    });
}
