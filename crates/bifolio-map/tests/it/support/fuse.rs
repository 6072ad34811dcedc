//! A file system that a program serves: this one. Its files are in memory, and it can be asked to
//! treat maps badly.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bifolio_testkit::mount::Tmpfs;
use bifolio_testkit::privilege::need_root;
use bifolio_testkit::skip::{Obstacle, Skip};
use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, InitFlags, KernelConfig, LockOwner, MountOption, OpenFlags,
    ReplyAttr, ReplyCreate, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite,
    Request, TimeOrNow, WriteFlags,
};

/// How the file system treats maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manners {
    /// As it should be: through the page cache.
    Cached,
    /// Past the page cache (`direct_io`): no shared writable maps.
    Direct,
    /// Past the page cache, with maps, and whoever reads a page gets zeros.
    Lying,
    /// Through the page cache, but reads are answered when it is [let go](Fuse::let_go).
    Hanging,
}

/// Mounted until it is dropped.
#[derive(Debug)]
pub(crate) struct Fuse {
    // Ends before the place that it is mounted in.
    session: Option<BackgroundSession>,
    held: Held,
    place: Tmpfs,
}

/// Answers that are held back; `None` when none are any more.
type Held = Arc<Mutex<Option<Vec<(ReplyData, Vec<u8>)>>>>;

fn let_go(held: &Held) {
    let held = held.lock().unwrap_or_else(PoisonError::into_inner).take();
    held.unwrap_or_default().into_iter().for_each(|(reply, bytes)| reply.data(&bytes));
}

/// The longest that answers are held back. A process that waits for an answer of its own cannot be
/// killed, so a test that goes wrong must not wait for ever.
const PATIENCE: Duration = Duration::from_secs(40);

impl Fuse {
    /// Mounts one.
    pub(crate) fn new(manners: Manners) -> Result<Self, Obstacle> {
        need_root()?;
        if !Path::new("/dev/fuse").exists() {
            return Err(Skip::because("the kernel has no FUSE").into());
        }
        let place = Tmpfs::new(1 << 20)?;
        let point = place.path().join("served");
        std::fs::create_dir(&point).expect("a directory");
        let mut config = Config::default();
        config.mount_options =
            vec![MountOption::FSName("memory".into()), MountOption::Subtype("bifolio".into())];
        let held: Held = Arc::new(Mutex::new((manners == Manners::Hanging).then(Vec::new)));
        let files = Files { manners, table: Mutex::default(), held: Arc::clone(&held) };
        if manners == Manners::Hanging {
            let held = Arc::clone(&held);
            std::thread::spawn(move || {
                std::thread::sleep(PATIENCE);
                let_go(&held);
            });
        }
        match fuser::spawn_mount(files, &point, &config) {
            Ok(session) => Ok(Self { session: Some(session), held, place }),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                Err(Skip::because("the kernel's FUSE has no such mode").into())
            }
            Err(error) => Err(Obstacle::Failed(format!("cannot mount a FUSE: {error}"))),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.place.path().join("served")
    }

    /// Answers that are held back.
    pub(crate) fn holding(&self) -> usize {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().map_or(0, Vec::len)
    }

    /// Answers everything that was held back, and holds nothing back any more.
    pub(crate) fn let_go(&self) {
        let_go(&self.held);
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        self.let_go();
        self.session.take();
    }
}

/// A directory of files; numbers are never used again, so that files without names live on.
#[derive(Debug, Default)]
struct Table {
    names: HashMap<OsString, u64>,
    bytes: HashMap<u64, Vec<u8>>,
}

#[derive(Debug)]
struct Files {
    manners: Manners,
    table: Mutex<Table>,
    held: Held,
}

const FOREVER: Duration = Duration::from_secs(3600);

impl Files {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_flags(&self) -> FopenFlags {
        match self.manners {
            Manners::Cached | Manners::Hanging => FopenFlags::empty(),
            Manners::Direct | Manners::Lying => FopenFlags::FOPEN_DIRECT_IO,
        }
    }
}

fn attributes(number: u64, len: usize) -> FileAttr {
    let is_root = INodeNo(number) == INodeNo::ROOT;
    FileAttr {
        ino: INodeNo(number),
        size: len as u64,
        blocks: len.div_ceil(512) as u64,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: if is_root { FileType::Directory } else { FileType::RegularFile },
        perm: 0o700,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Filesystem for Files {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        if self.manners == Manners::Lying {
            let wanted = InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP;
            config.add_capabilities(wanted).map_err(|_| io::ErrorKind::Unsupported)?;
        }
        Ok(())
    }

    fn lookup(&self, _request: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let table = self.table();
        match table.names.get(name) {
            Some(number) => {
                let attributes = attributes(*number, table.bytes[number].len());
                reply.entry(&FOREVER, &attributes, Generation(0));
            }
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let len = self.table().bytes.get(&number.0).map_or(0, Vec::len);
        reply.attr(&FOREVER, &attributes(number.0, len));
    }

    fn setattr(
        &self,
        _request: &Request,
        number: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut table = self.table();
        let bytes = table.bytes.entry(number.0).or_default();
        if let Some(size) = size {
            bytes.resize(size as usize, 0);
        }
        reply.attr(&FOREVER, &attributes(number.0, bytes.len()));
    }

    fn create(
        &self,
        _request: &Request,
        _parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let mut table = self.table();
        let number = 2 + table.bytes.len() as u64;
        table.names.insert(name.to_owned(), number);
        table.bytes.insert(number, Vec::new());
        let attributes = attributes(number, 0);
        reply.created(&FOREVER, &attributes, Generation(0), FileHandle(0), self.open_flags());
    }

    fn open(&self, _request: &Request, _number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), self.open_flags());
    }

    fn unlink(&self, _request: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        match self.table().names.remove(name) {
            Some(_) => reply.ok(),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn read(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let table = self.table();
        let bytes = table.bytes.get(&number.0).map_or(&[][..], Vec::as_slice);
        let start = bytes.len().min(offset as usize);
        let end = bytes.len().min(start + size as usize);
        match self.manners {
            Manners::Lying => reply.data(&vec![0; end - start]),
            Manners::Cached | Manners::Direct => reply.data(&bytes[start..end]),
            Manners::Hanging => {
                match &mut *self.held.lock().unwrap_or_else(PoisonError::into_inner) {
                    Some(held) => held.push((reply, bytes[start..end].to_vec())),
                    None => reply.data(&bytes[start..end]),
                }
            }
        }
    }

    fn write(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut table = self.table();
        let bytes = table.bytes.entry(number.0).or_default();
        let end = offset as usize + data.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[offset as usize..end].copy_from_slice(data);
        reply.written(data.len() as u32);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn statfs(&self, _request: &Request, _number: INodeNo, reply: ReplyStatfs) {
        reply.statfs(1 << 20, 1 << 20, 1 << 20, 0, 0, 4096, 255, 4096);
    }
}
