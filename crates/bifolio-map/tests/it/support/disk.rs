//! Small disks of bifolio-testkit, and how they are filled.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use bifolio_testkit::mount::{Filesystem, Image, Ramfs, Tmpfs};
use bifolio_testkit::privilege::{Namespace, in_user_namespace};
use bifolio_testkit::skip::{Skip, or_count};

/// Runs `body` on a tmpfs of so many bytes of its own; an ordinary user's in a namespace.
#[track_caller]
pub(crate) fn on_tmpfs(test: &str, size: u64, body: impl FnOnce(&Path)) {
    if or_count(in_user_namespace(test)) != Some(Namespace::Inside) {
        return;
    }
    let Some(tmpfs) = or_count(Tmpfs::new(size)) else { return };
    body(&tmpfs.path());
}

/// Runs `body` on a ramfs, which can neither allocate nor count; an ordinary user's in a namespace.
#[track_caller]
pub(crate) fn on_ramfs(test: &str, body: impl FnOnce(&Path)) {
    if or_count(in_user_namespace(test)) != Some(Namespace::Inside) {
        return;
    }
    let Some(ramfs) = or_count(Ramfs::new()) else { return };
    body(&ramfs.path());
}

/// Runs `body` on an ext4 of so many bytes, if we are root. Its image has holes and lies in a
/// tmpfs of `memory` bytes, whose directory `body` gets too.
#[track_caller]
pub(crate) fn on_ext4(size: u64, memory: u64, body: impl FnOnce(&Image, &Path)) {
    on_image(Filesystem::Ext4, size, memory, body);
}

/// The same on an ext3, which cannot allocate.
#[track_caller]
pub(crate) fn on_ext3(size: u64, body: impl FnOnce(&Path)) {
    on_image(Filesystem::Ext3, size, size + (8 << 20), |image, _| body(&image.path()));
}

#[track_caller]
fn on_image(kind: Filesystem, size: u64, memory: u64, body: impl FnOnce(&Image, &Path)) {
    let tmpfs = bifolio_testkit::privilege::need_root().map_err(Into::into);
    let Some(tmpfs) = or_count(tmpfs.and_then(|()| Tmpfs::new(memory))) else { return };
    let image = Image::in_dir(&tmpfs.path(), kind, size);
    let Some(image) = or_count(image) else { return };
    body(&image, &tmpfs.path());
}

/// Takes all space that is left for ordinary files, and says in which file.
pub(crate) fn fill_up(dir: &Path) -> PathBuf {
    let path = dir.join("ballast");
    let mut file = File::create(&path).expect("a file on a small disk");
    for size in [1 << 16, 4096, 512, 1] {
        let piece = vec![0xba; size];
        loop {
            match file.write(&piece) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("filling the disk: {error}"),
            }
        }
        // Blocks that were promised to delayed writes are settled, which may free some.
        file.sync_all().expect("sync the ballast");
    }
    path
}

/// A loop device over a file; the kernel lets go of it with its last user.
pub(crate) fn loop_device(file: &Path) -> Result<(PathBuf, File), Skip> {
    let skip = || Skip::because("needs losetup and a free loop device");
    let output = Command::new("losetup").args(["--find", "--show"]).arg(file).output();
    let output = output.map_err(|_| skip())?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let held = File::open(&path).map_err(|_| skip())?;
    // Detached at the last close, which is ours, however this process ends.
    assert!(Command::new("losetup").arg("-d").arg(&path).status().unwrap().success());
    Ok((path, held))
}
