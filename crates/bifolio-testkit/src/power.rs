//! Real power cuts: a file system on a loop device is shut down by its own ioctl
//! (`FS_IOC_SHUTDOWN`, 0x8004587d, with `EXT4_GOING_FLAGS_NOLOGFLUSH` = 2), which drops everything
//! that was not synced; it is unmounted and mounted again, so that its journal recovers.
//!
//! The image lies in a small private tmpfs, so that the machine's own disk has no part in it. The
//! ioctl is issued by `xfs_io -x -c shutdown` (package xfsprogs), which works on ext4 as well and
//! passes the value 2; issuing it here would take `unsafe`.

use std::io;
use std::path::PathBuf;
use std::process::Command;

use crate::mount::{Filesystem, Image, RunError, Tmpfs, run};
use crate::privilege::need_root;
use crate::skip::{Obstacle, Skip};

/// What the image may take beside its file system: mkfs and the loop device write a little more
/// than a test does.
const TMPFS_SIZE: u64 = 256 << 20;

/// The size of an ext4 image; xfs takes its least size.
const IMAGE_SIZE: u64 = 64 << 20;

/// A file system whose power can be cut.
#[derive(Debug)]
pub struct PowerRig {
    // Dropped in this order: the image lies in the tmpfs.
    image: Image,
    _memory: Tmpfs,
    cuts: u64,
}

impl PowerRig {
    /// Makes and mounts one.
    ///
    /// # Errors
    /// A skip for whoever is not root, and where tools are missing.
    pub fn new(filesystem: Filesystem) -> Result<Self, Obstacle> {
        need_root()?;
        let memory = Tmpfs::new(TMPFS_SIZE)?;
        let image = Image::in_dir(&memory.path(), filesystem, IMAGE_SIZE)?;
        Ok(Self { image, _memory: memory, cuts: 0 })
    }

    /// The directory whose files lose power.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.image.path()
    }

    /// How often the power was cut.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.cuts
    }

    /// Cuts the power while files may be open: from now on every access fails. Maps and handles
    /// must be closed before [`power_up`](Self::power_up).
    ///
    /// # Errors
    /// A skip without `xfs_io`, and where the file system has no such ioctl; a failure if it
    /// refuses.
    pub fn power_down(&mut self) -> Result<(), Obstacle> {
        let mut command = Command::new("xfs_io");
        command.args(["-x", "-c", "shutdown"]).arg(self.path());
        match run(&mut command, "xfs_io (package xfsprogs)") {
            Err(RunError::Failed(text)) if text.contains("Inappropriate ioctl") => {
                let name = self.image.filesystem().name();
                return Err(Skip::because(format!("{name} has no shutdown ioctl here")).into());
            }
            other => other.map_err(RunError::into_obstacle)?,
        }
        self.cuts += 1;
        Ok(())
    }

    /// Mounts the file system again after a cut, which makes its journal recover.
    ///
    /// # Errors
    /// If files are still open, or the system says something.
    pub fn power_up(&mut self) -> Result<(), Obstacle> {
        let failed = |error: io::Error| Obstacle::Failed(format!("cannot unmount: {error}"));
        self.image.unmount().map_err(failed)?;
        self.image.mount()
    }

    /// Cuts the power and brings it back. No file of the rig may be open.
    ///
    /// # Errors
    /// As [`power_down`](Self::power_down) and [`power_up`](Self::power_up).
    pub fn cut(&mut self) -> Result<(), Obstacle> {
        self.power_down()?;
        self.power_up()
    }
}
