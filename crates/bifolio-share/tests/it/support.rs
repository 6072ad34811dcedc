//! What several tests need.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bifolio_map::Create;
use bifolio_share::{Error, ErrorKind, Lock, MutexGuard, Region, Result, Shared};
use bifolio_testkit::child::{Child, Rerun};
use bifolio_testkit::{Random, budget};
use tempfile::TempDir;

/// Tells a child where the region of its parent is.
pub(crate) const PATH: &str = "BIFOLIO_TEST_REGION";

/// A directory and the path of a region in it.
pub(crate) fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("region");
    (dir, path)
}

/// A small region.
pub(crate) fn create(path: &Path) -> Region {
    Region::options().capacity(64 << 20).create(Create::New).open(path).expect("a region")
}

/// The region that the parent of this child means.
pub(crate) fn of_the_parent() -> Region {
    Region::open(std::env::var_os(PATH).expect("the parent's region")).expect("it can be joined")
}

/// This test again, as a child that knows the region.
pub(crate) fn child_of(test: &str, role: &str, path: &Path) -> Child {
    Rerun::of(test, role).with_variable(PATH, path).spawn().expect("a child")
}

/// Sends a signal to a child that is not over.
#[cfg(target_os = "linux")]
pub(crate) fn signal(child: &Child, signal: &str) {
    let its = [signal.to_owned(), child.id().to_string()];
    assert!(std::process::Command::new("kill").args(its).status().expect("a signal").success());
}

#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(outcome: Result<T>, kind: ErrorKind) -> Error {
    let error = outcome.expect_err("it is refused");
    assert_eq!(error.kind(), kind, "{error}");
    error
}

#[track_caller]
pub(crate) fn says(error: &Error, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text:?}");
    }
}

/// The guard of a value that nobody left unsound.
#[track_caller]
pub(crate) fn sound<T: Shared>(lock: Result<Lock<'_, T>>) -> MutexGuard<'_, T> {
    lock.and_then(Lock::sound).expect("a sound value")
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Rounds in which two writers, this test with a number each as their role, change what `read` reads
/// and are killed at some moment; then `check` looks at it.
pub(crate) fn rounds_of_killed_writers<S: PartialEq>(
    test: &str,
    path: &Path,
    read: impl Fn() -> S,
    check: impl Fn(S),
) {
    let mut random = Random::new();
    for round in 0..budget(if cfg!(windows) { 3 } else { 20 }) {
        let writers: Vec<_> =
            (0..2).map(|number| child_of(test, &(2 * round + number).to_string(), path)).collect();
        let before = read();
        soon("they write", || read() != before);
        std::thread::sleep(Duration::from_micros(random.u64(0..2_000)));
        for writer in writers {
            writer.kill().expect("it is killed");
        }
        check(read());
    }
}
