//! Private file systems: they have the size that was asked for, and they go away.

use std::fs;
use std::io::{ErrorKind, Write};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use bifolio_testkit::child::{self, Rerun};
use bifolio_testkit::mount::{Filesystem, Image, Ramfs, Tmpfs};
use bifolio_testkit::privilege::{Namespace, in_user_namespace, need_mounts};
use bifolio_testkit::{skip, this_test};

fn is_mounted(path: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let path = path.to_str().unwrap();
    table.lines().any(|line| line.split(' ').nth(4) == Some(path))
}

fn may_mount(test: &str) -> bool {
    skip::or_count(in_user_namespace(test)) == Some(Namespace::Inside)
}

#[test]
#[cfg_attr(miri, ignore = "mounts file systems")]
fn a_tmpfs_is_full_when_its_size_is_written() {
    if !may_mount(this_test!()) {
        return;
    }
    let tmpfs = Tmpfs::new(64 << 10).unwrap();
    let mut file = fs::File::create(tmpfs.path().join("file")).unwrap();
    file.write_all(&[1; 64 << 10]).unwrap();
    assert_eq!(file.write_all(&[1]).unwrap_err().kind(), ErrorKind::StorageFull);
}

#[test]
#[cfg_attr(miri, ignore = "mounts file systems")]
fn a_ramfs_has_no_call_that_allocates() {
    if !may_mount(this_test!()) {
        return;
    }
    let ramfs = Ramfs::new().unwrap();
    let path = ramfs.path();
    let file = fs::File::create(path.join("file")).unwrap();
    let refused = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 10);
    assert_eq!(refused, Err(rustix::io::Errno::OPNOTSUPP));
    drop((file, ramfs));
    assert!(!is_mounted(&path));
}

#[test]
#[cfg_attr(miri, ignore = "mounts file systems")]
fn a_mount_goes_away_when_its_handle_is_dropped_even_by_a_panic() {
    if !may_mount(this_test!()) {
        return;
    }
    let tmpfs = Tmpfs::new(1 << 20).unwrap();
    let path = tmpfs.path();
    assert!(is_mounted(&path));
    drop(tmpfs);
    assert!(!is_mounted(&path));
    let panic = catch_unwind(|| {
        let tmpfs = Tmpfs::new(1 << 20).unwrap();
        std::panic::panic_any(tmpfs.path());
    });
    let path = panic.unwrap_err().downcast::<PathBuf>().unwrap();
    assert!(!is_mounted(&path));
    assert!(!path.parent().unwrap().exists());
}

#[test]
#[cfg_attr(miri, ignore = "mounts file systems")]
fn what_a_killed_process_left_mounted_is_swept_by_the_next() {
    match child::role().as_deref() {
        Some("leaver") => {
            let tmpfs = Tmpfs::new(1 << 20).unwrap();
            child::tell(tmpfs.path().to_str().unwrap());
            child::point("mounted");
            return;
        }
        Some("sweeper") => return drop(Tmpfs::new(1 << 20).unwrap()),
        _ => {}
    }
    // In a namespace of its own the kernel itself would clean up.
    if skip::or_count(need_mounts()).is_none() {
        return;
    }
    let told = Rerun::of(this_test!(), "leaver").kill_at("mounted").unwrap();
    let path = PathBuf::from(&told[0]);
    Rerun::of(this_test!(), "sweeper").finish().unwrap();
    assert!(!is_mounted(&path));
    assert!(!path.parent().unwrap().exists());
}

#[test]
#[cfg_attr(miri, ignore = "mounts file systems")]
fn every_file_system_can_be_made_filled_and_mounted_again() {
    for filesystem in Filesystem::ALL {
        let Some(image) = skip::or_count(Image::new(filesystem, 0)) else { continue };
        let path = image.path();
        let file = path.join("file");
        fs::write(&file, filesystem.name()).unwrap();
        image.unmount().unwrap();
        assert!(!file.exists());
        skip::or_count(image.mount()).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), filesystem.name());
        drop(image);
        assert!(!is_mounted(&path));
        assert!(!path.parent().unwrap().exists());
    }
}
