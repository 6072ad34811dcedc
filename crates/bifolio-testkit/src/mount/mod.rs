//! Small private file systems: a tmpfs of a given size, a ramfs, and ext4, ext3, xfs and btrfs in
//! image files.
//!
//! Each is mounted in a private directory of its own and is gone when its handle is dropped, also
//! by a panic. What a process leaves that was killed is swept up by the next one that mounts.

mod place;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

use crate::privilege::{need_mounts, need_root};
use crate::skip::{Obstacle, Skip};
use place::Place;

/// The name of the mount point in a place.
const MOUNT_POINT: &str = "mount";

/// A file system in memory with a size limit, open to every user.
#[derive(Debug)]
pub struct Tmpfs {
    place: Place,
}

impl Tmpfs {
    /// Mounts one that holds `size` bytes, rounded up to pages.
    ///
    /// # Errors
    /// A skip where this process may not mount; see
    /// [`in_user_namespace`](crate::privilege::in_user_namespace) for ordinary users.
    pub fn new(size: u64) -> Result<Self, Obstacle> {
        in_memory("tmpfs", &format!("size={size},mode=0777")).map(|place| Self { place })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.place.path().join(MOUNT_POINT)
    }
}

/// A file system in memory that can do very little: neither allocate nor find holes nor count the
/// space of a file. It has no size limit: write little to it.
#[derive(Debug)]
pub struct Ramfs {
    place: Place,
}

impl Ramfs {
    /// Mounts one.
    ///
    /// # Errors
    /// As [`Tmpfs::new`].
    pub fn new() -> Result<Self, Obstacle> {
        in_memory("ramfs", "mode=0777").map(|place| Self { place })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.place.path().join(MOUNT_POINT)
    }
}

/// Mounts a file system without a device in a place of its own.
fn in_memory(kind: &str, options: &str) -> Result<Place, Obstacle> {
    need_mounts()?;
    let place = Place::new().map_err(failed("make a directory"))?;
    let point = place.path().join(MOUNT_POINT);
    fs::create_dir(&point).map_err(failed("make a directory"))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    match mount(Some(kind), &point, Some(kind), flags, Some(options)) {
        Ok(()) => Ok(place),
        Err(Errno::EPERM) => Err(Skip::because("mounting is not permitted here").into()),
        Err(error) => Err(failed("mount a file system in memory")(error.into())),
    }
}

/// A kind of file system that lives on a block device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filesystem {
    /// ext4, with 4 KiB blocks.
    Ext4,
    /// ext3, by Linux's ext4 driver, with 4 KiB blocks: it cannot allocate (`fallocate`).
    Ext3,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
}

impl Filesystem {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Ext4, Self::Ext3, Self::Xfs, Self::Btrfs];

    /// The name that the system knows it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Ext3 => "ext3",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// The smallest image in bytes that its `mkfs` accepts.
    #[must_use]
    pub fn least_size(self) -> u64 {
        match self {
            Self::Ext4 | Self::Ext3 => 8 << 20,
            Self::Xfs => 300 << 20,
            Self::Btrfs => 114 << 20,
        }
    }

    /// The package in which Debian keeps its `mkfs`.
    fn package(self) -> &'static str {
        match self {
            Self::Ext4 | Self::Ext3 => "e2fsprogs",
            Self::Xfs => "xfsprogs",
            Self::Btrfs => "btrfs-progs",
        }
    }

    /// Makes one in an image file.
    fn make(self, image: &Path) -> Result<(), Obstacle> {
        let program = format!("mkfs.{}", self.name());
        let options: &[&str] = match self {
            Self::Ext4 | Self::Ext3 => &["-q", "-F", "-b", "4096"],
            Self::Xfs | Self::Btrfs => &["-q", "-f"],
        };
        let mut command = Command::new(&program);
        command.args(options).arg(image);
        run(&mut command, &format!("{program} (package {})", self.package()))
            .map_err(RunError::into_obstacle)
    }
}

/// A file system in an image file, mounted through a loop device.
#[derive(Debug)]
pub struct Image {
    filesystem: Filesystem,
    /// The image file: a sparse one in the place unless it was put elsewhere.
    file: PathBuf,
    place: Place,
}

impl Image {
    /// Makes and mounts one of `size` bytes, or of the least size that the file system takes. The
    /// image is sparse: it takes as much disk as is written.
    ///
    /// # Errors
    /// A skip for whoever is not root, and where the tools, loop devices or the file system are
    /// missing.
    pub fn new(filesystem: Filesystem, size: u64) -> Result<Self, Obstacle> {
        need_root()?;
        let place = Place::new().map_err(failed("make a directory"))?;
        let file = place.path().join("image");
        Self::make(filesystem, size, place, file)
    }

    /// The same with the image file in this directory.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn in_dir(dir: &Path, filesystem: Filesystem, size: u64) -> Result<Self, Obstacle> {
        need_root()?;
        let place = Place::new().map_err(failed("make a directory"))?;
        Self::make(filesystem, size, place, dir.join("image"))
    }

    fn make(
        filesystem: Filesystem,
        size: u64,
        place: Place,
        file: PathBuf,
    ) -> Result<Self, Obstacle> {
        let size = size.max(filesystem.least_size());
        let image = Self { filesystem, file, place };
        File::create_new(&image.file)
            .and_then(|file| file.set_len(size))
            .map_err(failed("make an image file"))?;
        filesystem.make(&image.file)?;
        fs::create_dir(image.path()).map_err(failed("make a directory"))?;
        image.mount()?;
        // So that a test can work in it as another user.
        fs::set_permissions(image.path(), fs::Permissions::from_mode(0o777))
            .map_err(failed("open the file system to all users"))?;
        Ok(image)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.place.path().join(MOUNT_POINT)
    }

    /// The image file.
    #[must_use]
    pub fn image_file(&self) -> &Path {
        &self.file
    }

    /// The kind of file system.
    #[must_use]
    pub fn filesystem(&self) -> Filesystem {
        self.filesystem
    }

    /// Mounts it after [`unmount`](Self::unmount).
    ///
    /// # Errors
    /// A skip where there are no loop devices or the kernel lacks the file system.
    pub fn mount(&self) -> Result<(), Obstacle> {
        if !Path::new("/dev/loop-control").exists() {
            return Err(Skip::because("needs loop devices (/dev/loop-control)").into());
        }
        let mut command = Command::new("mount");
        command.args(["-t", self.filesystem.name(), "-o", "loop,nosuid,nodev"]);
        command.arg(&self.file).arg(self.path());
        match run(&mut command, "mount (package mount)") {
            Ok(()) => Ok(()),
            Err(RunError::Failed(text)) if text.contains("unknown filesystem type") => {
                let name = self.filesystem.name();
                Err(Skip::because(format!("the kernel has no {name}")).into())
            }
            Err(error) => Err(error.into_obstacle()),
        }
    }

    /// Unmounts it and keeps the image.
    ///
    /// # Errors
    /// What the system says; a busy one is detached.
    pub fn unmount(&self) -> io::Result<()> {
        place::unmount(&self.path())
    }
}

/// Why a command did not do its work.
#[derive(Debug)]
pub(crate) enum RunError {
    /// It is not installed: what to install.
    Absent(String),
    /// It failed: what it said.
    Failed(String),
}

impl RunError {
    pub(crate) fn into_obstacle(self) -> Obstacle {
        match self {
            Self::Absent(what) => Skip::because(format!("needs {what}")).into(),
            Self::Failed(text) => Obstacle::Failed(text),
        }
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command, what: &str) -> Result<(), RunError> {
    let output = command.stdin(Stdio::null()).env("LC_ALL", "C").output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(RunError::Failed(format!("{command:?} failed ({}): {said}", output.status)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(RunError::Absent(what.to_owned()))
        }
        Err(error) => Err(RunError::Failed(format!("cannot run {command:?}: {error}"))),
    }
}

/// Turns an error into an obstacle that says what was tried.
fn failed(doing: &'static str) -> impl Fn(io::Error) -> Obstacle {
    move |error| Obstacle::Failed(format!("cannot {doing}: {error}"))
}
