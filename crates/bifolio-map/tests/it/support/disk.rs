//! Small file systems in the mounts of one process (see `process::with_own_mounts`).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use bifolio_testkit::skip::Skip;

/// Runs a command that must succeed.
#[track_caller]
pub(crate) fn run<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A tmpfs of so many bytes over a directory.
#[track_caller]
pub(crate) fn mount_tmpfs(at: &Path, size: u64) {
    let options = format!("size={size},mode=1777");
    let options = options.as_ref();
    run(
        "mount",
        ["-t".as_ref(), "tmpfs".as_ref(), "-o".as_ref(), options, "none".as_ref(), at.as_os_str()],
    );
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

/// A file system in a file, mounted on a loop device.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) kind: &'static str,
    file: PathBuf,
    pub(crate) at: PathBuf,
}

impl Image {
    /// Makes and mounts one in `dir`; `None`, counted as skipped, where its tools are missing.
    pub(crate) fn make(kind: &'static str, dir: &Path, size: u64) -> Option<Self> {
        let mkfs = format!("mkfs.{kind}");
        if Command::new(&mkfs).arg("-V").output().is_err() {
            Skip::because(format!("needs {mkfs}")).count();
            return None;
        }
        let (file, at) = (dir.join(format!("{kind}.img")), dir.join(kind));
        File::create(&file).and_then(|file| file.set_len(size)).expect("an image");
        std::fs::create_dir(&at).expect("a mount point");
        run(&mkfs, ["-q".as_ref(), file.as_os_str()]);
        let image = Self { kind, file, at };
        image.mount();
        Some(image)
    }

    /// Mounts it, again.
    pub(crate) fn mount(&self) {
        run("mount", ["-o".as_ref(), "loop".as_ref(), self.file.as_os_str(), self.at.as_os_str()]);
    }

    /// Mounts it if the kernel can.
    pub(crate) fn try_mount(&self) -> bool {
        let mount =
            Command::new("mount").args(["-o", "loop"]).args([&self.file, &self.at]).output();
        mount.is_ok_and(|output| output.status.success())
    }

    /// The file that holds it.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Unmounts it.
    pub(crate) fn unmount(&self) {
        run("umount", [&self.at]);
    }

    /// Cuts the power: what was not synced never reaches the image. Then mounts it again.
    pub(crate) fn cut_power(&self) {
        shut_down(&File::open(&self.at).expect("the root of the file system"));
        self.unmount();
        self.mount();
    }
}

/// `FS_IOC_SHUTDOWN` (`_IOR('X', 125, __u32)` of `linux/fs.h`) without flushing the log.
#[expect(unsafe_code, reason = "an ioctl that no crate wraps")]
fn shut_down(root: &File) {
    use std::os::fd::AsRawFd;
    const FS_IOC_SHUTDOWN: u32 = 0x8004_587d;
    let no_log_flush: u32 = 2;
    // SAFETY: the call reads one u32 through the pointer, which lives through it.
    let code =
        unsafe { libc::ioctl(root.as_raw_fd(), FS_IOC_SHUTDOWN as _, &raw const no_log_flush) };
    assert_eq!(code, 0, "shut down: {}", std::io::Error::last_os_error());
}
