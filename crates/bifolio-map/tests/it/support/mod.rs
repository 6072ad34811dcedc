//! What the tests share: bytes that are known at every offset, files of them, and words for the
//! errors that are expected.

#[cfg(windows)]
pub(crate) mod behind_wine;
#[cfg(target_os = "linux")]
pub(crate) mod cgroup;
#[cfg(target_os = "linux")]
pub(crate) mod disk;
#[cfg(target_os = "linux")]
pub(crate) mod fork;
#[cfg(target_os = "linux")]
pub(crate) mod fuse;
#[cfg(unix)]
pub(crate) mod process;
// Emulators of other processors do not pass filters on.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) mod seccomp;

use std::fmt::Debug;
#[cfg(unix)]
use std::fs::File;
#[cfg(unix)]
use std::path::Path;
use std::path::PathBuf;
use std::sync::LazyLock;

use bifolio_map::{Error, ErrorKind, page_size};
use tempfile::TempDir;

/// Whether guarded read-modify-writes are to be had: not where every access is a system call.
pub(crate) const HAS_ATOMICS: bool = cfg!(not(bifolio_portable));

/// A page as an offset.
pub(crate) fn page() -> u64 {
    page_size() as u64
}

/// The byte that belongs at an offset: never zero, and different in neighbouring pages.
pub(crate) fn byte_at(offset: u64) -> u8 {
    let [low, ..] = (((offset * 31 + offset / 251) % 255) + 1).to_le_bytes();
    low
}

/// The bytes that belong from an offset on, within the first 8 MiB.
pub(crate) fn pattern(offset: u64, size: usize) -> &'static [u8] {
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| (0..8 << 20).map(byte_at).collect());
    let start = usize::try_from(offset).expect("an offset of the pattern");
    &BYTES[start..start + size]
}

/// A directory of its own, gone after the test.
pub(crate) fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// A file of these bytes in a directory of its own.
pub(crate) fn file_of(bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = directory();
    let path = dir.path().join("data");
    std::fs::write(&path, bytes).expect("a file");
    (dir, path)
}

/// Cuts or extends a file behind everybody's back.
#[cfg(unix)]
pub(crate) fn truncate(path: &Path, len: u64) {
    File::options().write(true).open(path).and_then(|file| file.set_len(len)).expect("truncate");
}

/// The error of a call that must fail with this kind.
#[track_caller]
pub(crate) fn refused<T: Debug>(result: Result<T, Error>, kind: ErrorKind) -> Error {
    let error = result.expect_err("an error");
    assert_eq!(error.kind(), kind, "{error}");
    error
}

/// Requires that a text contains all of these words.
#[track_caller]
pub(crate) fn says(error: &dyn std::fmt::Display, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{text:?} does not say {word:?}");
    }
}
