//! Residency where the kernel does not count for us: on overlayfs, the root of every container, whose
//! files it counts as if they had no pages, and for files of others.

#![expect(unsafe_code, reason = "one system call, as it is")]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use bifolio_map::residency::{CachedFile, WriteBack};
use bifolio_map::{ErrorKind, Flush, ReadWrite, Section, View};
use bifolio_testkit::child::Rerun;
use bifolio_testkit::mount::{Filesystem, Image};
use bifolio_testkit::skip::{Skip, or_count};
use bifolio_testkit::this_test;

use crate::residency::{all_gone, by_vmtouch, have_rivals};
use crate::support::process::{NOBODY, plays, succeeds};
use crate::support::{directory, page, refused};

/// An overlay on an ext4, over a lower layer with the file `lower`; pages of tmpfs would stay.
fn on_overlay(body: impl FnOnce(&Path)) {
    let Some(image) = or_count(Image::new(Filesystem::Ext4, 0)) else { return };
    let part = |name: &str| {
        let path = image.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    };
    let (lower, upper, work, merged) = (part("l"), part("u"), part("w"), part("merged"));
    write_out(&lower.join("lower"), 64);
    let [lower, upper, work] = [&lower, &upper, &work].map(|path| path.to_str().unwrap());
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    let point = merged.to_str().unwrap();
    if !succeeds(&["mount", "-t", "overlay", "-o", &options, "overlay", point]) {
        return Skip::because("overlayfs cannot be mounted here").count();
    }
    // The overlay keeps the image in use.
    let _unmount = Unmount(point);
    body(&merged);
}

struct Unmount<'a>(&'a str);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        assert!(succeeds(&["umount", self.0]) || std::thread::panicking(), "umount {}", self.0);
    }
}

/// Writes a file of so many pages and syncs it.
fn write_out(path: &Path, pages: u64) {
    std::fs::write(path, vec![7; (pages * page()) as usize]).unwrap();
    File::open(path).unwrap().sync_all().unwrap();
}

/// Pages by `cachestat` as it is: the broken twin of our count.
fn by_cachestat(path: &Path) -> Option<u64> {
    let file = File::open(path).unwrap();
    let (range, mut found) = ([0_u64; 2], [0_u64; 5]);
    // SAFETY: both arrays are laid out as the kernel's structures and outlive the call.
    let code =
        unsafe { libc::syscall(451, file.as_raw_fd(), range.as_ptr(), found.as_mut_ptr(), 0_u32) };
    (code == 0).then_some(found[0])
}

fn agrees(path: &Path, expected: u64) {
    let file = CachedFile::open(path).unwrap();
    let found = file.residency(..).unwrap();
    assert_eq!(found.resident, Some(expected), "{}", path.display());
    assert_eq!((found.dirty, found.write_back, found.evicted), (None, None, None));
    assert_eq!(file.page_map(..).unwrap().resident(), expected);
    assert_eq!(by_vmtouch(path, None), Some(expected));
}

#[test]
fn on_an_overlay_pages_are_counted_as_vmtouch_does_and_those_of_its_own_are_not() {
    if !have_rivals() {
        return;
    }
    on_overlay(|merged| {
        let (lower, upper) = (merged.join("lower"), merged.join("upper"));
        write_out(&upper, 40);
        agrees(&upper, 40);
        if let Some(told) = by_cachestat(&upper) {
            assert_eq!(told, 0, "cachestat has learnt to count on overlays");
        }
        for path in [&lower, &upper] {
            let file = CachedFile::open(path).unwrap();
            all_gone(&file);
            agrees(path, 0);
            file.read_in(4 * page()..9 * page(), &mut [0; 4096]).unwrap();
            agrees(path, 5);
            let map = file.page_map(..).unwrap();
            assert_eq!(map.runs().collect::<Vec<_>>(), [4..9]);
            let section = Section::open(path).unwrap();
            assert_eq!(section.residency(page()..6 * page()).unwrap().resident, Some(2));
        }
    });
}

#[test]
fn on_an_overlay_dirty_pages_are_written_before_they_are_evicted() {
    on_overlay(|merged| {
        let path = merged.join("dirty");
        let file = File::options().create_new(true).read(true).write(true).open(&path).unwrap();
        file.write_all_at(&vec![7; (16 * page()) as usize], 0).unwrap();
        let found = CachedFile::open(&path).unwrap();
        // The broken twin: what is dirty does not go.
        let kept = found.evict(.., WriteBack::No).unwrap();
        assert_eq!((kept.before.resident, kept.after.resident), (Some(16), Some(16)));
        assert_eq!((kept.dropped(), kept.stayed_dirty()), (Some(0), None));
        all_gone(&found);
        // And by a map.
        let section = Section::open_rw(&path).unwrap();
        let view: View<ReadWrite> = section.view().unwrap();
        view.fill(.., 9).unwrap();
        view.flush(.., Flush::Data).unwrap();
        drop(view);
        assert_eq!(section.residency(..).unwrap().resident, Some(16));
        assert_eq!(section.evict(.., WriteBack::First).unwrap().before.resident, Some(16));
        all_gone(&found);
        assert_eq!(std::fs::read(&path).unwrap(), vec![9; (16 * page()) as usize]);
    });
}

#[test]
fn who_may_not_know_may_evict_what_he_may_read_and_is_told_no_number() {
    const VARIABLE: &str = "BIFOLIO_FOREIGN_FILE";
    if plays("stranger") {
        let path = std::env::var_os(VARIABLE).unwrap();
        let file = CachedFile::open(&path).unwrap();
        refused(file.page_map(..), ErrorKind::PermissionDenied);
        let evicted = file.evict(.., WriteBack::First).unwrap();
        assert_eq!((evicted.before.pages, evicted.after.pages), (16, 16));
        // Kernels before 6.14 tell everybody the counts.
        if file.residency(..).is_err() {
            assert_eq!((evicted.dropped(), evicted.stayed_in_use()), (None, None));
        }
        return;
    }
    let program = std::env::current_exe().unwrap();
    let may_run = succeeds(&[&NOBODY[..], &["test", "-x", program.to_str().unwrap()]].concat());
    if !rustix::process::geteuid().is_root() || !may_run {
        return Skip::because("needs root, setpriv, and a program that nobody may run").count();
    }
    let dir = directory();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = dir.path().join("of root");
    write_out(&path, 16);
    let file = CachedFile::open(&path).unwrap();
    let resident = || file.residency(..).unwrap().resident;
    assert_eq!(resident(), Some(16));
    // A page that the kernel is just looking at stays.
    for _ in 0..100 {
        let stranger = Rerun::of(this_test!(), "stranger").with_variable(VARIABLE, &path);
        stranger.under(NOBODY).finish().unwrap();
        if resident() == Some(0) {
            return;
        }
    }
    panic!("a stranger's eviction does nothing: {:?}", file.residency(..));
}
