//! Nothing half-made is visible, nothing is left behind: creating, replacing, losing files.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bifolio_map::section::Currency;
use bifolio_map::{Access, Create, ErrorKind, Read, ReadWrite, Section, Space, View};
use bifolio_testkit::child::{self, Rerun};
use bifolio_testkit::skip::Skip;
use bifolio_testkit::this_test;

use crate::support::disk::on_tmpfs;
use crate::support::process::{as_ordinary_user, succeeds};
use crate::support::{directory, file_of, page, pattern, refused, says};

/// The length that a file of the race has once it is complete.
const WHOLE: u64 = 100_000;

/// What a watcher saw while others created and removed a file.
#[derive(Debug, Default)]
struct Sightings {
    missing: u32,
    whole: u32,
    half_made: u32,
}

/// Creates and removes a file for as long as `enough` is not said, and watches it meanwhile.
fn watch(create: impl Fn(&Path) + Sync, enough: impl Fn(&Sightings) -> bool) -> Sightings {
    let dir = directory();
    let path = dir.path().join("file");
    let done = AtomicBool::new(false);
    let deadline = Instant::now() + Duration::from_secs(60);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                create(&path);
                std::fs::remove_file(&path).unwrap();
            }
        });
        let mut seen = Sightings::default();
        while !enough(&seen) && Instant::now() < deadline {
            match Section::open(&path) {
                Ok(section) if section.len().unwrap() == WHOLE => seen.whole += 1,
                Ok(_) => seen.half_made += 1,
                Err(error) if error.kind() == ErrorKind::NotFound => seen.missing += 1,
                Err(error) => panic!("{error}"),
            }
        }
        done.store(true, Ordering::Relaxed);
        seen
    })
}

#[test]
fn nobody_ever_sees_a_half_made_file() {
    let seen = watch(
        |path| drop(Section::create(path, WHOLE).unwrap()),
        |seen| seen.whole >= 200 && seen.missing >= 200 || seen.half_made > 0,
    );
    assert!(seen.half_made == 0 && seen.whole > 0, "{seen:?}");
}

#[test]
fn the_watcher_notices_files_that_are_made_the_plain_way() {
    let plain = |path: &Path| File::create(path).unwrap().set_len(WHOLE).unwrap();
    let seen = watch(plain, |seen| seen.half_made > 0);
    assert!(seen.half_made > 0, "{seen:?}");
}

#[test]
fn of_many_creators_exactly_one_wins_and_the_others_see_its_whole_file() {
    for _ in 0..50 {
        let dir = directory();
        let path = dir.path().join("file");
        let create = || Section::create(&path, WHOLE).map(drop).map_err(|error| error.kind());
        let open_or_create = || {
            let options = Section::options().access(Access::ReadWrite).create(Create::IfMissing);
            options.len(WHOLE).open(&path).unwrap().len().unwrap()
        };
        let (outcomes, lengths) = std::thread::scope(|scope| {
            let creators: Vec<_> = (0..2).map(|_| scope.spawn(create)).collect();
            let openers: Vec<_> = (0..2).map(|_| scope.spawn(open_or_create)).collect();
            let outcomes: Vec<_> = creators.into_iter().map(|c| c.join().unwrap()).collect();
            let lengths: Vec<_> = openers.into_iter().map(|o| o.join().unwrap()).collect();
            (outcomes, lengths)
        });
        let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert!(won <= 1, "{outcomes:?}");
        assert!(outcomes.iter().all(|o| matches!(o, Ok(()) | Err(ErrorKind::AlreadyExists))));
        assert_eq!(lengths, [WHOLE, WHOLE]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no helper file is left");
    }
}

#[test]
fn a_new_file_is_its_owners_unless_other_permissions_are_asked_for() {
    let dir = directory();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let umask = status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap();
    let umask = u32::from_str_radix(umask.trim(), 8).unwrap();
    let path = dir.path().join("own");
    Section::create(&path, 1).unwrap();
    assert_eq!(mode(&path), 0o600 & !umask);
    let path = dir.path().join("shared");
    let options = Section::options().access(Access::ReadWrite).create(Create::New);
    options.permissions(0o664).open(&path).unwrap();
    assert_eq!(mode(&path), 0o664 & !umask);
}

/// Bytes of a small disk that are still taken after the user of a section there was killed.
fn left_by_a_killed_user(test: &str, role: &str, dir: &Path) -> u64 {
    let free = || rustix::fs::statvfs(dir).unwrap().f_bfree * page();
    let before = free();
    let mut user = Rerun::of(test, role).with_variable("TMPDIR", dir).spawn().unwrap();
    user.run_to("made", 1).unwrap();
    assert!(free() <= before - (1 << 20), "the file takes space while it is used");
    user.kill().unwrap();
    before - free()
}

#[test]
fn a_temporary_file_is_gone_with_its_killed_user_and_a_named_one_is_not() {
    let dir = std::env::temp_dir();
    let section = match child::role().as_deref() {
        Some("temporary") => Some(Section::options().len(1 << 20).temporary(&dir).unwrap()),
        Some("named") => Some(Section::create(dir.join("named"), 1 << 20).unwrap()),
        _ => None,
    };
    if let Some(section) = section {
        section.view::<ReadWrite>().unwrap().fill(.., 7).unwrap();
        return child::point("made");
    }
    on_tmpfs(this_test!(), 4 << 20, |dir| {
        let names = || std::fs::read_dir(dir).unwrap().count();
        assert_eq!(left_by_a_killed_user(this_test!(), "temporary", dir), 0);
        assert_eq!(names(), 0);
        // The broken twin, which the same look notices.
        assert_eq!(left_by_a_killed_user(this_test!(), "named", dir), 1 << 20);
        assert_eq!(names(), 1);
    });
}

#[test]
fn what_a_user_may_not_open_is_denied_and_named() {
    as_ordinary_user(this_test!(), |dir| {
        let path = dir.join("read-only");
        std::fs::write(&path, pattern(0, 13)).unwrap();
        let set = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        set(&path, 0o400);
        let name = path.to_str().unwrap();
        let error = refused(Section::open_rw(&path), ErrorKind::PermissionDenied);
        says(&error, &["cannot open", name, "permission denied"]);
        let section = Section::open(&path).unwrap();
        assert_eq!(section.view::<Read>().unwrap().read_vec(..).unwrap(), pattern(0, 13));
        set(&path, 0o000);
        refused(Section::open(&path), ErrorKind::PermissionDenied);
        let inside = dir.join("closed");
        std::fs::create_dir(&inside).unwrap();
        set(&inside, 0o500);
        let new = inside.join("new");
        let error = refused(Section::create(&new, 13), ErrorKind::PermissionDenied);
        says(&error, &["cannot create", new.to_str().unwrap()]);
        let temporary = Section::options().len(1).temporary(&inside);
        refused(temporary, ErrorKind::PermissionDenied);
        set(&inside, 0o700);
        assert_eq!(std::fs::read_dir(&inside).unwrap().count(), 0);
    });
}

#[test]
fn a_read_only_file_system_denies_writing_and_creating() {
    on_tmpfs(this_test!(), 1 << 20, |dir| {
        let path = dir.join("file");
        std::fs::write(&path, pattern(0, 13)).unwrap();
        assert!(succeeds(&["mount", "-o", "remount,bind,ro", dir.to_str().unwrap()]));
        refused(Section::open_rw(&path), ErrorKind::PermissionDenied);
        refused(Section::create(dir.join("new"), 1), ErrorKind::PermissionDenied);
        let section = Section::open(&path).unwrap();
        let private: View<bifolio_map::CopyOnWrite> = section.view().unwrap();
        private.put(0, &1u8).unwrap();
        assert_eq!(private.get::<u8>(12).unwrap(), pattern(12, 1)[0]);
    });
}

#[test]
fn a_replaced_or_unlinked_file_goes_on_being_readable_and_says_so() {
    let (dir, path) = file_of(pattern(0, 13));
    let section = Section::open(&path).unwrap();
    let view: View<Read> = section.view().unwrap();
    assert_eq!(section.is_current().unwrap(), Currency::Current);
    let elsewhere = dir.path().join("elsewhere");
    std::fs::rename(&path, &elsewhere).unwrap();
    assert_eq!(section.is_current().unwrap(), Currency::Unlinked);
    std::fs::write(&path, b"another").unwrap();
    assert_eq!(section.is_current().unwrap(), Currency::Replaced);
    assert_eq!(view.read_vec(..).unwrap(), pattern(0, 13));
    assert_eq!(section.len().unwrap(), 13, "the section is the old file");
    std::fs::rename(&elsewhere, &path).unwrap();
    assert_eq!(section.is_current().unwrap(), Currency::Current);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(section.is_current().unwrap(), Currency::Unlinked);
    assert_eq!(view.read_vec(..).unwrap(), pattern(0, 13));
    drop(section);
    assert_eq!(view.read_vec(..).unwrap(), pattern(0, 13), "the view alone keeps the bytes");
}

#[test]
fn a_link_is_opened_as_what_it_leads_to_and_never_created_over() {
    let (dir, path) = file_of(pattern(0, 13));
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert_eq!(Section::open(&link).unwrap().len().unwrap(), 13);
    assert_eq!(Section::open(&link).unwrap().is_current().unwrap(), Currency::Current);
    refused(Section::create(&link, 1), ErrorKind::AlreadyExists);
    let dangling = dir.path().join("dangling");
    std::os::unix::fs::symlink(dir.path().join("nowhere"), &dangling).unwrap();
    refused(Section::open(&dangling), ErrorKind::NotFound);
    refused(Section::create(&dangling, 1), ErrorKind::AlreadyExists);
    assert!(!dir.path().join("nowhere").exists());
    let circle = dir.path().join("circle");
    std::os::unix::fs::symlink(&circle, &circle).unwrap();
    refused(Section::open(&circle), ErrorKind::InvalidInput);
    assert_eq!(std::fs::read(&path).unwrap(), pattern(0, 13));
}

#[test]
fn space_is_taken_when_it_is_allocated_and_not_before() {
    on_tmpfs(this_test!(), 8 << 20, |dir| {
        let free = || rustix::fs::statvfs(dir).unwrap().f_bfree * page();
        let before = free();
        let options = Section::options().access(Access::ReadWrite).create(Create::New);
        let sparse = options.clone().space(Space::Sparse).len(1 << 20);
        let section = sparse.open(dir.join("sparse")).unwrap();
        assert_eq!((section.allocated().unwrap(), free()), (0, before));
        assert_eq!(section.holes().unwrap(), [0..1 << 20]);
        let view: View<ReadWrite> = section.view().unwrap();
        view.fill(512 << 10..(512 << 10) + page(), 7).unwrap();
        assert_eq!(section.allocated().unwrap(), page());
        assert_eq!(section.holes().unwrap(), [0..512 << 10, (512 << 10) + page()..1 << 20]);
        section.allocate(..).unwrap();
        assert_eq!((section.allocated().unwrap(), free()), (1 << 20, before - (1 << 20)));
        assert_eq!(view.get::<u8>(512 << 10).unwrap(), 7);
        section.set_len(2 << 20, Space::Sparse).unwrap();
        assert_eq!(free(), before - (1 << 20));
        section.set_len((2 << 20) + 1, Space::Allocate).unwrap();
        assert!(free() <= before - (2 << 20), "the hole in the middle is filled too");
        section.set_len(page(), Space::Allocate).unwrap();
        assert_eq!(free(), before - page(), "what is cut off goes back");
    });
}

#[test]
fn a_hole_is_where_no_data_is_whether_or_not_space_was_allocated() {
    let dir = directory();
    let section = Section::create(dir.path().join("file"), 8 * page()).unwrap();
    if section.holes().unwrap().is_empty() {
        return Skip::because("needs a temporary directory whose file system has holes").count();
    }
    assert_eq!(section.holes().unwrap(), [0..8 * page()]);
    assert_eq!(section.allocated().unwrap(), 8 * page());
    section.view::<ReadWrite>().unwrap().fill(2 * page()..5 * page(), 7).unwrap();
    // Pages that are in memory count as data, and the neighbours of a fault may be.
    let holes = section.holes().unwrap();
    assert!(
        holes.iter().all(|hole| hole.end <= 2 * page() || hole.start >= 5 * page()),
        "{holes:?}"
    );
}

#[test]
fn a_file_whose_first_name_is_gone_is_not_called_by_it() {
    let dir = directory();
    let [first, second] = ["first", "second"].map(|name| dir.path().join(name));
    std::fs::write(&first, b"x").unwrap();
    std::fs::hard_link(&first, &second).unwrap();
    let file = std::fs::File::open(&first).unwrap();
    std::fs::remove_file(&first).unwrap();
    assert_eq!(Section::from_file(file).unwrap().path(), None);
    // A name may really end like that.
    let odd = dir.path().join("name (deleted)");
    std::fs::rename(&second, &odd).unwrap();
    let file = std::fs::File::open(&odd).unwrap();
    assert_eq!(Section::from_file(file).unwrap().path(), Some(odd.as_path()));
}

#[test]
fn a_link_that_leads_nowhere_and_a_path_below_a_file_are_not_found_and_called_so() {
    let dir = directory();
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(dir.path().join("nowhere"), &link).unwrap();
    let options = Section::options().access(Access::ReadWrite).len(5);
    let error = refused(options.clone().create(Create::IfMissing).open(&link), ErrorKind::NotFound);
    says(&error, &["cannot open", "link", "it is a link that leads nowhere"]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was made");
    let file = dir.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    for create in [Create::Never, Create::New, Create::IfMissing] {
        let error =
            refused(options.clone().create(create).open(file.join("below")), ErrorKind::NotFound);
        says(&error, &["below", "Not a directory"]);
    }
}
