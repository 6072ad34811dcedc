//! Creators and finders of one process. Killed ones are in `tests/it/aside.rs`.

#[cfg(unix)]
use std::cell::Cell;
use std::sync::mpsc::channel;

use super::*;

const LEN: u64 = 5000;

fn create(path: &Path) -> io::Result<File> {
    create_by_renaming(path, 0o600, |file| file.set_len(LEN))
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Creates a file while another creator of the same name is half done, and does `meanwhile` before
/// that; what became of the half-done one.
fn overtaken(dir: &Path, meanwhile: impl FnOnce()) -> io::Result<File> {
    let path = dir.join("file");
    let ((half_done, is_half_done), (go_on, may_go_on)) = (channel(), channel());
    std::thread::scope(|scope| {
        let slow = scope.spawn(move || {
            create_by_renaming(&dir.join("file"), 0o600, |file| {
                half_done.send(()).unwrap();
                may_go_on.recv().unwrap();
                file.set_len(LEN)
            })
        });
        is_half_done.recv().unwrap();
        meanwhile();
        create(&path).unwrap();
        go_on.send(()).unwrap();
        slow.join().unwrap()
    })
}

#[test]
#[cfg_attr(miri, ignore = "creates files")]
fn a_creator_that_lives_keeps_its_file_and_is_told_that_another_was_faster() {
    let dir = tempfile::tempdir().unwrap();
    let error = overtaken(dir.path(), || {}).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{error}");
    assert_eq!(names(dir.path()), ["file"]);
}

// Under Wine a file that is open keeps its name when it is removed.
#[cfg(unix)]
#[test]
#[cfg_attr(miri, ignore = "creates files")]
fn a_finder_that_asks_for_no_proof_of_life_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    // The broken twin of the finder.
    let finder = || std::fs::remove_file(dir.path().join(".file.0.new")).unwrap();
    let error = overtaken(dir.path(), finder).unwrap_err();
    assert_ne!(error.kind(), io::ErrorKind::AlreadyExists, "{error}");
}

// Under Wine a file that is open keeps its name when it is removed.
#[cfg(unix)]
#[test]
#[cfg_attr(miri, ignore = "creates files")]
fn a_creator_whose_fresh_file_is_taken_by_a_finder_makes_another() {
    let dir = tempfile::tempdir().unwrap();
    let (path, tries) = (dir.path().join("file"), Cell::new(0));
    let held = Cell::new(None);
    let (_file, aside) = create_aside(&path, |aside| {
        let file = sys::open(aside, Access::ReadWrite, Create::New, 0o600)?;
        tries.set(tries.get() + 1);
        match tries.get() {
            // A finder that is quick, and one that is at it.
            1 => std::fs::remove_file(aside)?,
            2 => {
                let finder = sys::open(aside, Access::ReadWrite, Create::Never, 0)?;
                finder.lock()?;
                held.set(Some(finder));
            }
            _ => {}
        }
        Ok(file)
    })
    .unwrap();
    assert_eq!((tries.get(), aside), (3, dir.path().join(".file.2.new")));
}

#[test]
#[cfg_attr(miri, ignore = "creates files")]
fn the_file_of_a_dead_creator_is_removed_by_the_next_of_its_name() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(".file.0.new"), "half").unwrap();
    std::fs::write(dir.path().join(".other.0.new"), "half").unwrap();
    create(&dir.path().join("file")).unwrap();
    let mut left = names(dir.path());
    left.sort();
    assert_eq!(left, [".other.0.new", "file"]);
}

#[test]
#[cfg_attr(miri, ignore = "creates files")]
fn what_is_no_file_of_a_dead_creator_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join(".file.0.new")).unwrap();
    #[cfg(unix)]
    {
        std::fs::write(dir.path().join("other"), "mine").unwrap();
        std::os::unix::fs::symlink("other", dir.path().join(".file.1.new")).unwrap();
        std::os::unix::fs::symlink("/dev/null", dir.path().join(".file.2.new")).unwrap();
    }
    create(&dir.path().join("file")).unwrap();
    let left = names(dir.path());
    assert_eq!(left.len(), if cfg!(unix) { 5 } else { 2 }, "{left:?}");
}

#[test]
#[cfg_attr(miri, ignore = "creates files")]
fn a_name_of_any_length_has_room_for_the_one_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let name = if cfg!(unix) { "ß".repeat(127) } else { "ß".repeat(100) };
    create(&dir.path().join(&name)).unwrap();
    assert_eq!(names(dir.path()), [name]);
}

#[test]
#[cfg_attr(miri, ignore = "creates files")]
fn a_new_file_is_free_to_be_locked_by_its_user() {
    let dir = tempfile::tempdir().unwrap();
    let _file = create(&dir.path().join("file")).unwrap();
    let other = File::options().read(true).write(true).open(dir.path().join("file")).unwrap();
    other.try_lock().unwrap();
}

#[test]
#[cfg_attr(miri, ignore = "creates files")]
fn of_many_that_race_by_renaming_one_wins_and_nothing_is_left() {
    for _ in 0..50 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..4).map(|_| scope.spawn(|| create(&path))).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
        for error in outcomes.into_iter().filter_map(Result::err) {
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{error}");
        }
        assert_eq!(names(dir.path()), ["file"]);
    }
}

// Under Wine a file that is open keeps its name when it is removed.
#[cfg(unix)]
#[test]
#[cfg_attr(miri, ignore = "creates files")]
fn a_creator_that_fails_removes_its_own_file_and_nobody_elses() {
    let dir = tempfile::tempdir().unwrap();
    let (path, aside) = (dir.path().join("file"), dir.path().join(".file.0.new"));
    let full = || io::Error::from(io::ErrorKind::StorageFull);
    create_by_renaming(&path, 0o600, |_| Err(full())).unwrap_err();
    assert_eq!(names(dir.path()), <[String; 0]>::default());
    // The name is another creator's by the time that this one fails.
    let error = create_by_renaming(&path, 0o600, |_| {
        std::fs::remove_file(&aside)?;
        std::fs::write(&aside, "another's")?;
        Err(full())
    });
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(std::fs::read_to_string(&aside).unwrap(), "another's");
}
