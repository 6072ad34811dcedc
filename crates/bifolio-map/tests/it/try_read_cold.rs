//! Reads that do not wait, on files that are cold or half cold.

use std::path::Path;

use bifolio_map::residency::CachedFile;
use bifolio_map::{CopyOnWrite, ErrorKind, Mode, Read, ReadWrite, Section, TryRead, View};
use bifolio_testkit::privilege::need_root;
use bifolio_testkit::skip::or_count;
use bifolio_testkit::this_test;

use crate::support::disk::on_tmpfs;
use crate::support::process::{alone, as_ordinary_user};
use crate::support::{file_of, page, pattern, refused, says};
use crate::try_read::shows_its_own;

const PAGES: usize = 64;

/// The call under test, or a broken one.
pub(crate) type Try<M> = fn(&View<M>, u64, &mut [u8]) -> bifolio_map::Result<TryRead>;

/// Drops a file from the page cache. Nobody may have it mapped.
pub(crate) fn evict(path: &Path) {
    let file = std::fs::File::open(path).unwrap();
    file.sync_all().unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
}

/// Brings a range in, and nothing beside it.
fn bring_in(path: &Path, offset: u64, size: usize) {
    let file = std::fs::File::open(path).unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random).unwrap();
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut vec![0; size], offset).unwrap();
}

/// Whether a file can be cold here at all: not where the directory for temporary files is tmpfs.
pub(crate) fn can_be_cold(path: &Path) -> bool {
    let tmpfs = rustix::fs::statfs(path).unwrap().f_type == 0x0102_1994;
    if tmpfs {
        bifolio_testkit::skip::Skip::because("needs temporary files on a device").count();
    }
    !tmpfs
}

/// What a try on cold and half-cold files gets wrong, if anything.
fn judge<M: Mode>(path: &Path, try_read: Try<M>) -> Result<(), String> {
    let open = || Section::open_rw(path).unwrap().view::<M>().unwrap();
    let mut out = vec![0; 8 * page() as usize];
    evict(path);
    match try_read(&open(), 5 * page(), &mut out[..100]).unwrap() {
        TryRead::NotResident { read: 0 } => {}
        other => return Err(format!("a page on the device: {other:?}")),
    }
    evict(path);
    bring_in(path, 8 * page(), 4 * page() as usize);
    let view = open();
    match try_read(&view, 9 * page() + 7, &mut out[..2 * page() as usize]).unwrap() {
        TryRead::Read if out[..2 * page() as usize] == *pattern(9 * page() + 7, 8192) => {}
        other => return Err(format!("pages in memory: {other:?}")),
    }
    match try_read(&view, 10 * page() + 7, &mut out).unwrap() {
        TryRead::NotResident { read } => {
            let here = (12 * page() - 10 * page() - 7) as usize;
            // The system may have begun to read on.
            if read < here || out[..read] != *pattern(10 * page() + 7, read) {
                return Err(format!("the first {here} bytes were in memory, {read} came"));
            }
        }
        // Faults may map and read around; then all is there, and right.
        TryRead::Read if out == pattern(10 * page() + 7, out.len()) => {}
        TryRead::Read => return Err("wrong bytes".to_owned()),
    }
    Ok(())
}

#[test]
fn what_is_in_memory_is_read_and_what_is_not_says_so() {
    let (_dir, path) = file_of(pattern(0, PAGES * page() as usize));
    if !can_be_cold(&path) {
        return;
    }
    judge::<Read>(&path, View::try_read_at).unwrap();
    judge::<ReadWrite>(&path, View::try_read_at).unwrap();
    judge::<CopyOnWrite>(&path, View::try_read_at).unwrap();
}

#[test]
fn a_try_that_waits_would_be_noticed() {
    let (_dir, path) = file_of(pattern(0, PAGES * page() as usize));
    if !can_be_cold(&path) {
        return;
    }
    let waits: Try<Read> = |view, offset, out| view.read_at(offset, out).map(|()| TryRead::Read);
    says(&judge(&path, waits).unwrap_err(), &["a page on the device"]);
    let gives_up: Try<Read> = |_, _, _| Ok(TryRead::NotResident { read: 0 });
    says(&judge(&path, gives_up).unwrap_err(), &["pages in memory"]);
}

#[test]
fn a_try_that_asked_the_file_would_be_noticed() {
    assert!(!shows_its_own(|view, offset, out| {
        view.section().unwrap().view::<Read>()?.try_read_at(offset, out)
    }));
}

#[test]
fn on_tmpfs_and_devices_the_map_is_asked() {
    on_tmpfs(this_test!(), 4 << 20, |dir| {
        let path = dir.join("data");
        std::fs::write(&path, pattern(0, 100_000)).unwrap();
        let section = Section::open_rw(&path).unwrap();
        section.set_len(200_000, bifolio_map::Space::Sparse).unwrap();
        let view: View<Read> = section.view().unwrap();
        let mut out = vec![1; 200_000];
        assert_eq!(view.try_read_at(0, &mut out).unwrap(), TryRead::Read);
        assert!(out[..100_000] == *pattern(0, 100_000));
        assert!(out[100_000..].iter().all(|&byte| byte == 0));
    });
}

#[test]
fn where_the_kernel_keeps_residency_secret_it_is_not_supported() {
    as_ordinary_user(this_test!(), |_| {
        let passwd = Path::new("/etc/passwd");
        let private: View<CopyOnWrite> = Section::open(passwd).unwrap().view().unwrap();
        let mut out = vec![0; private.len() as usize];
        let error = refused(private.try_read_at(0, &mut out), ErrorKind::NotSupported);
        says(&error, &["/etc/passwd", "own the file or may write it"]);
        private.read_at(0, &mut out).unwrap();
        let shared: View<Read> = Section::open(passwd).unwrap().view().unwrap();
        // The read that does not wait is nobody's secret, where there is one.
        match shared.try_read_at(0, &mut out) {
            Ok(outcome) => assert_eq!(outcome, TryRead::Read),
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotSupported, "{error}"),
        }
    });
}

/// Who may act for owners (`CAP_FOWNER`) is told by `mincore`, though the file is another's and not
/// to be written.
#[test]
fn who_may_act_for_the_owner_is_told() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    if or_count(need_root()).is_none() {
        return;
    }
    alone(this_test!(), || {
        let (_dir, path) = file_of(pattern(0, 2 * page() as usize));
        std::os::unix::fs::chown(&path, Some(65534), Some(65534)).unwrap();
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o444);
        std::fs::set_permissions(&path, readable).unwrap();
        let view: View<CopyOnWrite> = Section::open(&path).unwrap().view().unwrap();
        let told = |kept: CapabilitySet| {
            let mut sets = capabilities(None).unwrap();
            sets.effective = kept;
            set_capabilities(None, sets).unwrap();
            let cached = CachedFile::open(&path).unwrap().page_map(..).map(|map| map.resident());
            (view.try_read_at(0, &mut [0; 9]), cached)
        };
        let (read, cached) = told(CapabilitySet::FOWNER);
        assert_eq!((read.unwrap(), cached.unwrap()), (TryRead::Read, 2));
        let (read, cached) = told(CapabilitySet::empty());
        refused(read, ErrorKind::NotSupported);
        refused(cached, ErrorKind::PermissionDenied);
    });
}
