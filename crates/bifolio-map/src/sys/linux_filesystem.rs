//! What Linux tells of the file system of a path, and what can be tried there.
#![expect(unsafe_code, reason = "one ioctl that rustix does not have")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, FlockOperation, OFlags, RenameFlags, SeekFrom, StatxAttributes};

use super::unix::{Object, check};
use crate::machine::text::{self, mountinfo};
use crate::machine::{Attributes, Fact, FileSystem, Kind, Rotational};

/// Bytes that are free for this user on the file system of a path.
pub(crate) fn free_space(path: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// What kind of file system this is.
pub(super) fn kind_of(found: &rustix::fs::StatFs) -> Kind {
    // The field's type differs between architectures and C libraries.
    #[allow(clippy::unnecessary_cast, clippy::cast_possible_truncation, reason = "see above")]
    #[allow(clippy::cast_sign_loss, reason = "a bit pattern")]
    Kind::of_magic(found.f_type as u32)
}

/// Whether its files take memory that everybody needs. Large pages were set aside before.
pub(super) fn takes_memory(found: &rustix::fs::StatFs) -> bool {
    let kind = kind_of(found);
    kind.is_memory() && kind != Kind::Hugetlbfs
}

pub(crate) fn file_system_facts(path: &Path) -> io::Result<FileSystem> {
    let kind = kind_of(&rustix::fs::statfs(path)?);
    let space = rustix::fs::statvfs(path)?;
    let mut facts = FileSystem {
        kind: Fact::known(kind, "statfs"),
        size_bytes: Fact::known(space.f_blocks.saturating_mul(space.f_frsize), "statvfs"),
        free_bytes: Fact::known(space.f_bavail.saturating_mul(space.f_frsize), "statvfs"),
        // File systems that make them as they are needed say that there are none at all.
        free_files: match space.f_files {
            0 => Fact::absent(),
            _ => Fact::known(space.f_favail, "statvfs"),
        },
        attributes: attributes(path),
        ..FileSystem::default()
    };
    let device = std::fs::metadata(path)?.dev();
    let mount = mount_of(path);
    let source = "/proc/self/mountinfo";
    match &mount {
        Ok(mount) => {
            let mut options = mount.options.clone();
            let more = mount.super_options.iter().filter(|word| !mount.options.contains(word));
            options.extend(more.cloned());
            facts.name = Fact::known(mount.kind.clone(), source);
            facts.mount_point = Fact::known(mount.point.clone(), source);
            facts.mounted = Fact::known(mount.source.clone(), source);
            facts.options = Fact::known(options, source);
        }
        Err(error) => {
            facts.name = Fact::unknown(error, source);
            facts.mount_point = Fact::unknown(error, source);
            facts.mounted = Fact::unknown(error, source);
            facts.options = Fact::unknown(error, source);
        }
    }
    device_facts(&mut facts, device, mount.as_ref().ok().map(|mount| &*mount.source));
    Ok(facts)
}

/// The mount that a path is on. Its number is told by a descriptor of the path, which needs no
/// right to read it.
fn mount_of(path: &Path) -> io::Result<mountinfo::Mount> {
    let mounts = mountinfo::parse(&std::fs::read("/proc/self/mountinfo")?);
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, rustix::fs::Mode::empty())?;
    let info = std::fs::read(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))?;
    let id = text::value(&info, "mnt_id").and_then(text::number);
    let found = mounts.into_iter().find(|mount| Some(mount.id) == id);
    found.ok_or_else(|| io::Error::other("the mount is not in the table"))
}

fn attributes(path: &Path) -> Fact<Attributes> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let empty = rustix::fs::Mode::empty();
    let asked = rustix::fs::statx(
        rustix::fs::CWD,
        path,
        rustix::fs::AtFlags::empty(),
        rustix::fs::StatxFlags::BASIC_STATS,
    );
    let known = match asked {
        Ok(found) => found.stx_attributes,
        Err(error) => return Fact::unknown(io::Error::from(error), "statx"),
    };
    // Only the flags tell this one, and only of files that may be opened.
    let inode = rustix::fs::open(path, flags, empty)
        .and_then(rustix::fs::ioctl_getflags)
        .unwrap_or(rustix::fs::IFlags::empty());
    let attributes = Attributes {
        compressed: known.contains(StatxAttributes::COMPRESSED),
        no_copy_on_write: inode.contains(rustix::fs::IFlags::NOCOW),
        direct_access: known.contains(StatxAttributes::DAX),
        verity: known.contains(StatxAttributes::VERITY),
    };
    Fact::known(attributes, "statx, FS_IOC_GETFLAGS")
}

/// Fills in what the device says. File systems with several devices, or none, have a number of
/// their own; then what is mounted may be a device.
fn device_facts(facts: &mut FileSystem, device: u64, mounted: Option<&str>) {
    let numbers = |device| (rustix::fs::major(device), rustix::fs::minor(device));
    let block = mounted.and_then(|path| std::fs::metadata(path).ok());
    let block = block.filter(|found| found.rdev() != 0).map(|found| found.rdev());
    let (major, minor) = numbers(device);
    let backing = PathBuf::from(format!("/sys/class/bdi/{major}:{minor}"));
    let queue = |device: u64| {
        let (major, minor) = numbers(device);
        let dir = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
        // A partition has the queue of its disk.
        [dir.join("queue"), dir.join("../queue")].into_iter().find(|dir| dir.exists())
    };
    let queue = queue(device).or_else(|| queue(block?));
    let kib = |path: PathBuf| {
        super::told(&path.display().to_string(), |text| text::number(text)?.checked_mul(1024))
    };
    let read_ahead = backing.join("read_ahead_kb");
    if read_ahead.exists() {
        facts.read_ahead_bytes = kib(read_ahead);
    } else if let Some(path) = mounted.and_then(btrfs_read_ahead) {
        facts.read_ahead_bytes = kib(path);
    } else if let Some(queue) = &queue {
        facts.read_ahead_bytes = kib(queue.join("read_ahead_kb"));
    }
    if let Some(queue) = queue {
        let file = |name| queue.join(name).display().to_string();
        facts.rotational = super::told(&file("rotational"), |text| {
            let moves = text::number(text)?;
            Some(if moves == 0 { Rotational::No } else { Rotational::Yes })
        });
        facts.write_cache = super::told(&file("write_cache"), |text| {
            Some(String::from_utf8_lossy(text.trim_ascii()).into_owned())
        });
    }
}

/// Btrfs reads ahead by a number of its own, in the directory of the file system that has the device.
fn btrfs_read_ahead(mounted: &str) -> Option<PathBuf> {
    let name = Path::new(mounted).file_name()?;
    let systems = std::fs::read_dir("/sys/fs/btrfs").ok()?;
    let mut systems = systems.filter_map(|entry| Some(entry.ok()?.path()));
    let dir = systems.find(|dir| dir.join("devices").join(name).exists())?;
    Some(dir.join("bdi/read_ahead_kb")).filter(|path| path.exists())
}

/// What [`try_ability`] tries: names, and what they are good for.
pub(crate) const FILE_ABILITIES: &[(&str, &str)] = &[
    ("O_TMPFILE", "files without a name, which go with their last user"),
    ("fallocate", "space ahead, so that a full disk is an error when growing"),
    ("SEEK_HOLE", "telling holes from data"),
    ("flock", "locks of whole files"),
    ("F_OFD_SETLK", "locks of ranges"),
    ("fs-verity", "files that the kernel keeps from change"),
    ("O_DIRECT", "reads past the page cache"),
];

/// Tries one of them on a file of no size, or in its directory.
pub(crate) fn try_ability(name: &str, dir: &Path, file: &File) -> io::Result<()> {
    match name {
        "O_TMPFILE" => match super::create_unnamed(dir, 0o600) {
            Some(result) => result.map(drop),
            None => Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)),
        },
        // One page, which is given back with the file.
        "fallocate" => Ok(rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, 4096)?),
        "SEEK_HOLE" => seek_hole(file),
        "flock" => Ok(rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive)?),
        "F_OFD_SETLK" => {
            let outcome = super::try_lock(file, &(0..1), super::LockKind::Exclusive);
            outcome.and_then(|()| super::unlock(file, &(0..1)))
        }
        "fs-verity" => verity(file),
        _ => direct(file),
    }
}

/// Whether a file that is one hole says so. File systems that cannot tell say that it is data.
fn seek_hole(file: &File) -> io::Result<()> {
    const LEN: u64 = 1 << 20;
    file.set_len(LEN)?;
    let hole = rustix::fs::seek(file, SeekFrom::Hole(0));
    file.set_len(0)?;
    match hole? {
        0 => Ok(()),
        _ => Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)),
    }
}

/// Asks for the digest of a file that has none.
fn verity(file: &File) -> io::Result<()> {
    /// `FS_IOC_MEASURE_VERITY`: `_IOWR('f', 134, struct fsverity_digest)`, whose fixed part is two
    /// 16-bit numbers.
    const MEASURE: u32 = 0xc004_6686;
    let mut digest = [0u16; 34];
    digest[1] = 64;
    // SAFETY: the structure says that 64 bytes follow, and they do.
    let code = unsafe { libc::ioctl(file.as_raw_fd(), MEASURE as _, &raw mut digest) };
    match check(code) {
        Err(error) if error.raw_os_error() == Some(libc::ENODATA) => Ok(()),
        result => result,
    }
}

/// Opens the file anew for direct reads.
fn direct(file: &File) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    File::options().read(true).custom_flags(libc::O_DIRECT).open(path).map(drop)
}

/// What [`rename_without_replacing`] is called, and what it is good for.
pub(crate) const RENAME_ABILITY: (&str, &str) =
    ("RENAME_NOREPLACE", "new files that replace none");

/// Renames by the call alone, without the detour of `rename_new`.
pub(crate) fn rename_without_replacing(from: &Path, to: &Path) -> io::Result<()> {
    let here = rustix::fs::CWD;
    Ok(rustix::fs::renameat_with(here, from, here, to, RenameFlags::NOREPLACE)?)
}

/// Whether [`drop_from_memory`] does anything.
pub(crate) const DROPS_FROM_MEMORY: bool = true;

/// Lets the clean pages of a file go that nobody maps.
pub(crate) fn drop_from_memory(object: &Object) -> io::Result<()> {
    Ok(rustix::fs::fadvise(object, 0, None, rustix::fs::Advice::DontNeed)?)
}
