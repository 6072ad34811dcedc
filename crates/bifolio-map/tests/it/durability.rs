//! Flushed bytes survive a power cut, bytes that were not need not; a failed sync is final.
//!
//! A power cut is the file system's own emergency shutdown, which drops everything that was not
//! handed to the device (see `bifolio_testkit::power`).

use std::path::Path;

use bifolio_map::{CopyOnWrite, ErrorKind, Flush, Read, ReadWrite, Section, Space, View};
use bifolio_testkit::budget;
use bifolio_testkit::mount::Filesystem;
use bifolio_testkit::power::PowerRig;
use bifolio_testkit::skip::{Obstacle, or_count};
use bifolio_testkit::this_test;

use crate::support::disk::{fill_up, on_ext4};
use crate::support::process::alone;
use crate::support::{directory, file_of, page, pattern, refused, says};

const LEVELS: [Flush; 4] = [Flush::Start, Flush::Barrier, Flush::Data, Flush::Full];

#[test]
fn every_level_succeeds_on_every_kind_of_section() {
    let dir = directory();
    let sections = [
        Section::create(dir.path().join("file"), 10 * page()).unwrap(),
        Section::options().len(10 * page()).temporary(dir.path()).unwrap(),
        Section::options().len(10 * page()).temporary("/dev/shm").unwrap(),
        Section::anonymous(10 * page()).unwrap(),
    ];
    for section in sections {
        let view: View<ReadWrite> = section.view_of(7..).unwrap();
        for level in LEVELS {
            view.fill(.., 1).unwrap();
            for range in [0..view.len(), 5..6, 3 * page() + 1..9 * page(), 4..4] {
                view.flush(range, level).unwrap();
            }
            refused(view.flush(..=view.len(), level), ErrorKind::OutOfBounds);
            section.sync(level).unwrap();
            assert!(view.read_vec(..).unwrap().iter().all(|&byte| byte == 1));
        }
    }
}

#[test]
fn a_section_for_reading_is_synced_too() {
    let (_dir, path) = file_of(pattern(0, 5000));
    let section = Section::open(&path).unwrap();
    for level in LEVELS {
        section.sync(level).unwrap();
    }
}

#[test]
fn a_file_that_was_opened_by_its_bare_name_is_synced_with_its_directory() {
    alone(this_test!(), || {
        let (dir, path) = file_of(pattern(0, 5000));
        std::env::set_current_dir(&dir).unwrap();
        Section::open(path.file_name().unwrap()).unwrap().sync(Flush::Full).unwrap();
    });
}

/// What is done to a file before the power is cut, and what must be there afterwards.
struct Case {
    name: &'static str,
    /// Runs on a file of ten pages of zeros that is durable; ends with what makes it durable.
    work: fn(&Path, Durably),
    /// The bytes that must be found.
    expected: fn() -> Vec<u8>,
}

/// Whether the work does its last step, or is the broken twin that leaves it out.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Durably {
    Yes,
    No,
}

fn ten_pages_with(offset: u64, bytes: &[u8]) -> Vec<u8> {
    let mut all = vec![0; 10 * 4096];
    let start = usize::try_from(offset).unwrap();
    all[start..start + bytes.len()].copy_from_slice(bytes);
    all
}

const CASES: [Case; 8] = [
    Case {
        name: "stores and a flush of their range",
        work: |path, durably| {
            let view: View<ReadWrite> = Section::open_rw(path).unwrap().view().unwrap();
            view.write_at(5000, pattern(0, 3000)).unwrap();
            if durably == Durably::Yes {
                view.flush(5000..8000, Flush::Data).unwrap();
            }
        },
        expected: || ten_pages_with(5000, pattern(0, 3000)),
    },
    Case {
        name: "a word and a barrier, in a view that starts anywhere",
        work: |path, durably| {
            let section = Section::open_rw(path).unwrap();
            let view = section.view_of::<ReadWrite>(4099..).unwrap();
            view.put(8 * 4096 - 3, &u64::MAX).unwrap();
            if durably == Durably::Yes {
                view.flush(8 * 4096 - 3.., Flush::Barrier).unwrap();
            }
        },
        expected: || ten_pages_with(9 * 4096, &[0xff; 8]),
    },
    Case {
        name: "stores and a sync of the section",
        work: |path, durably| {
            let section = Section::open_rw(path).unwrap();
            section.view::<ReadWrite>().unwrap().fill(.., 7).unwrap();
            if durably == Durably::Yes {
                section.sync(Flush::Data).unwrap();
            }
        },
        expected: || vec![7; 10 * 4096],
    },
    Case {
        name: "growth, and a flush that makes the new length durable",
        work: |path, durably| {
            let section = Section::open_rw(path).unwrap();
            section.set_len(20 * 4096 + 5, Space::Allocate).unwrap();
            let view: View<ReadWrite> = section.view().unwrap();
            view.fill(.., 8).unwrap();
            if durably == Durably::Yes {
                view.flush(.., Flush::Data).unwrap();
            }
        },
        expected: || vec![8; 20 * 4096 + 5],
    },
    Case {
        name: "cutting everything off, and a flush of the view of nothing that is left",
        work: |path, durably| {
            let section = Section::open_rw(path).unwrap();
            section.set_len(0, Space::Sparse).unwrap();
            let view: View<ReadWrite> = section.view().unwrap();
            if durably == Durably::Yes {
                view.flush(.., Flush::Data).unwrap();
            }
        },
        expected: Vec::new,
    },
    Case {
        name: "a bulk write, which goes by calls, and a flush of the map",
        work: |path, durably| {
            let section = Section::open_rw(path).unwrap();
            section.set_len(2 << 20, Space::Sparse).unwrap();
            let view: View<ReadWrite> = section.view().unwrap();
            view.write_at(0, pattern(0, 2 << 20)).unwrap();
            if durably == Durably::Yes {
                view.flush(.., Flush::Data).unwrap();
            }
        },
        expected: || pattern(0, 2 << 20).to_vec(),
    },
    Case {
        name: "changes of a private view that are written back",
        work: |path, durably| {
            let section = Section::open_rw(path).unwrap();
            let view: View<CopyOnWrite> = section.view().unwrap();
            view.write_at(10_000, pattern(0, 3000)).unwrap();
            if durably == Durably::Yes {
                view.write_back(&section, &view.changed(), Flush::Data).unwrap();
            }
        },
        expected: || ten_pages_with(10_000, pattern(0, 3000)),
    },
    Case {
        name: "a new file with its name",
        work: |path, durably| {
            std::fs::remove_file(path).unwrap();
            let section = Section::create(path, 3000).unwrap();
            section.view::<ReadWrite>().unwrap().write_at(0, pattern(0, 3000)).unwrap();
            if durably == Durably::Yes {
                section.sync(Flush::Full).unwrap();
            }
        },
        expected: || pattern(0, 3000).to_vec(),
    },
];

/// Does the work of a case, cuts the power and looks; whether all bytes are there.
fn survives(rig: &mut PowerRig, case: &Case, durably: Durably) -> Result<bool, Obstacle> {
    let path = rig.path().join("file");
    // The case before may have left it, or lost it.
    let _ = std::fs::remove_file(&path);
    std::fs::write(&path, vec![0; 10 * 4096]).unwrap();
    Section::open_rw(&path).unwrap().sync(Flush::Full).unwrap();
    (case.work)(&path, durably);
    rig.cut()?;
    Ok(std::fs::read(&path).is_ok_and(|bytes| bytes == (case.expected)()))
}

fn power_cuts(filesystem: Filesystem) -> Result<(), Obstacle> {
    let (mut rig, name) = (PowerRig::new(filesystem)?, filesystem.name());
    for case in &CASES {
        for _ in 0..budget(2) {
            assert!(survives(&mut rig, case, Durably::Yes)?, "{name} lost {}", case.name);
        }
        // The broken twin: the cut is worth something only if it loses what was not flushed.
        let mut tries = 0;
        while survives(&mut rig, case, Durably::No)? {
            tries += 1;
            assert!(tries < 20, "{name} never lost {} that were not flushed", case.name);
        }
    }
    println!("{} power cuts on {name}", rig.cuts());
    Ok(())
}

#[test]
fn what_was_flushed_survives_a_power_cut_on_ext4() {
    let _skipped_or_done = or_count(power_cuts(Filesystem::Ext4));
}

#[test]
fn what_was_flushed_survives_a_power_cut_on_xfs() {
    let _skipped_or_done = or_count(power_cuts(Filesystem::Xfs));
}

#[test]
fn what_was_flushed_survives_a_power_cut_on_btrfs() {
    let _skipped_or_done = or_count(power_cuts(Filesystem::Btrfs));
}

#[test]
fn a_failed_sync_is_final_for_its_section() {
    // A device that loses its space: an image with holes on a disk that is full.
    on_ext4(128 << 20, 32 << 20, |image, disk| {
        let path = image.path().join("file");
        let section = Section::create(&path, 16 << 20).unwrap();
        section.sync(Flush::Full).unwrap();
        let view: View<ReadWrite> = section.view().unwrap();
        fill_up(disk);
        view.fill(.., 7).unwrap();
        let error = view.flush(.., Flush::Data).expect_err("the device cannot take it");
        let kinds = [ErrorKind::StorageFault, ErrorKind::StorageFull];
        assert!(kinds.contains(&error.kind()), "{error}");
        says(&error, &["cannot sync", path.to_str().unwrap()]);
        section.accept_lost_stores();
        for level in LEVELS {
            let error = refused(view.flush(.., level), ErrorKind::Poisoned);
            says(&error, &["a sync failed earlier", "open the section anew"]);
            let error = refused(section.clone().sync(level), ErrorKind::Poisoned);
            says(&error, &["cannot sync"]);
        }
        view.get::<u8>(0).expect("reading goes on");
        assert_eq!(Section::open(&path).unwrap().view::<Read>().unwrap().len(), 16 << 20);
    });
}

/// Makes the file system find an error in itself, upon which it forbids writing.
fn break_down(image: &Path) {
    let run = |program: &str, args: &[&str]| {
        let done = std::process::Command::new(program).args(args).output().unwrap();
        assert!(done.status.success(), "{program}: {done:?}");
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    };
    let image = image.to_str().unwrap();
    run("mount", &["-o", "remount,errors=remount-ro", image]);
    let device = run("findmnt", &["-n", "-o", "SOURCE", "--mountpoint", image]);
    let name = Path::new(&device).file_name().unwrap().to_str().unwrap();
    let trigger = Path::new("/sys/fs/ext4").join(name).join("trigger_fs_error");
    std::fs::write(trigger, "a test").unwrap();
}

/// Requires that no sync succeeds after the file system broke down under bytes that were not synced.
fn judge_breakdown(sync: impl Fn(&Section) -> Result<(), ErrorKind>) -> Option<Result<(), String>> {
    let mut verdict = None;
    on_ext4(16 << 20, 32 << 20, |image, _| {
        let path = image.path().join("file");
        let section = Section::create(&path, 1 << 20).unwrap();
        section.sync(Flush::Full).unwrap();
        section.view::<ReadWrite>().unwrap().fill(.., 7).unwrap();
        break_down(&image.path());
        let first = sync(&section);
        let again = sync(&section);
        verdict = Some(match (first, again) {
            (Err(_), Err(ErrorKind::Poisoned)) => Ok(()),
            outcomes => Err(format!("the syncs say {outcomes:?}")),
        });
    });
    verdict
}

#[test]
fn a_file_system_that_turned_read_only_by_an_error_has_lost_what_was_not_synced() {
    let ours = |section: &Section| section.sync(Flush::Data).map_err(|error| error.kind());
    let _skipped_or_done = judge_breakdown(ours).map(Result::unwrap);
}

#[test]
fn a_sync_that_takes_the_read_only_file_system_for_harmless_is_noticed() {
    // The seeded bug: the kind of the error alone decides, and each sync asks the system anew.
    let verdict = judge_breakdown(|section| {
        let file = std::fs::File::open(section.path().unwrap()).unwrap();
        file.sync_data().map_err(|error| bifolio_map::Error::os("test", error).kind())
    });
    let _skipped_or_done = verdict.map(|verdict| println!("{}", verdict.unwrap_err()));
}

#[test]
fn a_file_without_a_name_has_none_to_be_synced_wherever_its_directory_went() {
    let dir = directory();
    let home = dir.path().join("home");
    let open = |name: &str| {
        std::fs::create_dir_all(&home).unwrap();
        let section = Section::create(home.join(name), 5000).unwrap();
        section.view::<ReadWrite>().unwrap().fill(.., 7).unwrap();
        section
    };
    let unlinked = open("unlinked");
    let linked = open("linked");
    drop(open("moved"));
    let moved = Section::open_rw(home.join("moved")).unwrap();
    std::fs::hard_link(home.join("linked"), dir.path().join("other name")).unwrap();
    std::fs::rename(home.join("moved"), dir.path().join("moved")).unwrap();
    std::fs::remove_dir_all(&home).unwrap();
    for _ in 0..2 {
        unlinked.sync(Flush::Full).unwrap();
        unlinked.view::<ReadWrite>().unwrap().flush(.., Flush::Full).unwrap();
        moved.sync(Flush::Full).unwrap();
        // It has a name, but nobody knows which: an error, and one that ends nothing.
        let error = refused(linked.sync(Flush::Full), ErrorKind::NotFound);
        says(&error, &["cannot sync the name of", "linked"]);
        linked.sync(Flush::Data).unwrap();
    }
}

#[test]
fn a_directory_that_may_not_be_opened_ends_no_section() {
    crate::support::process::as_ordinary_user(this_test!(), |dir| {
        use std::os::unix::fs::PermissionsExt;
        let home = dir.join("home");
        std::fs::create_dir(&home).unwrap();
        let section = Section::create(home.join("file"), 5000).unwrap();
        let allow = |mode| {
            std::fs::set_permissions(&home, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        allow(0o300);
        refused(section.sync(Flush::Full), ErrorKind::PermissionDenied);
        section.sync(Flush::Data).unwrap();
        allow(0o700);
        section.sync(Flush::Full).unwrap();
    });
}
