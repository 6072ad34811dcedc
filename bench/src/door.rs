//! Mapped files as slices: what the rivals lend, and what our own `unsafe` door lends.
#![expect(unsafe_code, reason = "the contenders that work on slices of a map")]
//!
//! The promise behind every block of this file: the test files belong to this program (its corpus
//! directory is its own), no bench writes a file that another contender has as a slice, and none
//! is cut off.

use std::ffi::CStr;
use std::fs::File;
use std::path::Path;

use bifolio_map::{Mode, View};
use memmap2::{Mmap, MmapMut, MmapOptions, MmapRaw};
use raw_sync::locks::{LockGuard, LockImpl, LockInit, Mutex as RawSyncMutex};

use crate::Result;

/// A fresh map of a file by memmap2.
pub(crate) fn map(path: &Path) -> Result<Mmap> {
    let file = File::open(path)?;
    // SAFETY: see the head of this file.
    Ok(unsafe { Mmap::map(&file) }?)
}

/// A fresh map by memmap2 whose pages are mapped by the same call.
pub(crate) fn map_populated(path: &Path) -> Result<Mmap> {
    let file = File::open(path)?;
    // SAFETY: see the head of this file.
    Ok(unsafe { MmapOptions::new().populate().map(&file) }?)
}

/// A writable map of an open file by memmap2.
pub(crate) fn map_mut(file: &File) -> Result<MmapMut> {
    // SAFETY: see the head of this file.
    Ok(unsafe { MmapMut::map_mut(file) }?)
}

/// A private writable map of an open file by memmap2.
pub(crate) fn map_copy(file: &File) -> Result<MmapMut> {
    // SAFETY: see the head of this file.
    Ok(unsafe { MmapOptions::new().map_copy(file) }?)
}

/// The bytes of a view of ours, without a copy.
pub(crate) fn slice<M: Mode>(view: &View<M>) -> &[u8] {
    // SAFETY: see the head of this file.
    unsafe { view.as_slice_unchecked() }
}

/// The word at a byte offset, not compared with the length.
#[inline(always)]
pub(crate) fn word_unchecked(bytes: &[u8], offset: u64) -> u64 {
    debug_assert!(crate::kernel::index(offset) + 8 <= bytes.len());
    #[expect(clippy::cast_possible_truncation, reason = "below the slice's length")]
    // SAFETY: the benches draw offsets below the length of the file, rounded down to words.
    let at = unsafe { bytes.as_ptr().add(offset as usize) };
    // SAFETY: as above; any alignment.
    unsafe { at.cast::<u64>().read_unaligned() }
}

/// A section by hand, as a C program makes one: created, sized and mapped, opened and mapped once
/// more, a word handed from one map to the other, and all of it taken down again.
pub(crate) fn shared_memory_by_hand(name: &CStr, len: usize, word: u64) -> Result<u64> {
    let first = MappedByHand::new(name, libc::O_CREAT | libc::O_EXCL, len)?;
    let second = MappedByHand::new(name, 0, len)?;
    // SAFETY: mapped, page-aligned, longer than a word, and nobody else has it.
    unsafe { first.base.cast::<u64>().write_volatile(word) };
    // SAFETY: as above.
    let seen = unsafe { second.base.cast::<u64>().read_volatile() };
    drop((first, second));
    // SAFETY: the name ends with a zero.
    check(unsafe { libc::shm_unlink(name.as_ptr()) })?;
    Ok(seen)
}

/// The sum of the numbers that a rival shares.
pub(crate) fn sum_of_mmap_sync(shared: &mut mmap_sync::synchronizer::Synchronizer) -> Result<u64> {
    // SAFETY: it was written as this type, and what is lent is used before anybody writes.
    let numbers = unsafe { shared.read::<[u64; 8]>(false) }?;
    Ok(numbers.iter().sum())
}

/// A rival's message of which the front was written.
#[cfg(feature = "iceoryx2")]
pub(crate) fn filled_iceoryx2(
    sample: iceoryx2::sample_mut_uninit::SampleMutUninit<
        iceoryx2::service::ipc_threadsafe::Service,
        [std::mem::MaybeUninit<u8>],
        (),
    >,
) -> iceoryx2::sample_mut::SampleMut<iceoryx2::service::ipc_threadsafe::Service, [u8], ()> {
    // SAFETY: shared memory holds some bytes wherever nobody wrote, and nobody looks at them.
    unsafe { sample.assume_init() }
}

/// One descriptor and one map of shared memory.
struct MappedByHand {
    fd: libc::c_int,
    base: *mut libc::c_void,
    len: usize,
}

impl MappedByHand {
    fn new(name: &CStr, flags: libc::c_int, len: usize) -> Result<Self> {
        // SAFETY: the name ends with a zero.
        let fd = unsafe { libc::shm_open(name.as_ptr(), flags | libc::O_RDWR, 0o600) };
        check(fd)?;
        if flags & libc::O_CREAT != 0 {
            // SAFETY: no pointers.
            check(unsafe { libc::ftruncate(fd, len.try_into()?) })?;
        } else {
            // How long it is, as whoever opens it has to ask.
            // SAFETY: all zeros is a value of the structure.
            let mut found: libc::stat = unsafe { std::mem::zeroed() };
            // SAFETY: the pointer is to the structure that the call fills in.
            check(unsafe { libc::fstat(fd, &raw mut found) })?;
            if usize::try_from(found.st_size)? != len {
                return Err("another section".into());
            }
        }
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: without MAP_FIXED the kernel replaces no existing mapping.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, fd, 0) };
        check(if base == libc::MAP_FAILED { -1 } else { 0 })?;
        Ok(Self { fd, base, len })
    }
}

impl Drop for MappedByHand {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nothing uses it any more.
        unsafe { libc::munmap(self.base, self.len) };
        // SAFETY: opened by `new`, and closed only here.
        unsafe { libc::close(self.fd) };
    }
}

/// A mutex or a lock for readers and writers of the C library, in memory that processes may share.
pub(crate) struct Pthread<T>(Box<std::cell::UnsafeCell<T>>);

// SAFETY: the C library's locks are for several threads.
unsafe impl<T> Sync for Pthread<T> {}

/// Who may use a mutex of the C library, and what becomes of it when its owner dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PthreadKind {
    Private,
    Shared,
    Robust,
}

impl Pthread<libc::pthread_mutex_t> {
    pub(crate) fn mutex(kind: PthreadKind) -> Result<Self> {
        let attributes = attributes(kind)?;
        let mutex = Self(Box::new(libc::PTHREAD_MUTEX_INITIALIZER.into()));
        // SAFETY: the mutex does not move, and nobody has it yet.
        told(unsafe { libc::pthread_mutex_init(mutex.0.get(), &raw const attributes) })?;
        Ok(mutex)
    }

    #[inline]
    pub(crate) fn lock(&self) -> Result<()> {
        // SAFETY: it was made, and is there.
        told(unsafe { libc::pthread_mutex_lock(self.0.get()) })
    }

    #[inline]
    pub(crate) fn unlock(&self) -> Result<()> {
        // SAFETY: as above, and the benches unlock what they have locked.
        told(unsafe { libc::pthread_mutex_unlock(self.0.get()) })
    }
}

impl Pthread<libc::pthread_rwlock_t> {
    pub(crate) fn rwlock() -> Result<Self> {
        // SAFETY: all zeros is a value of the structure, which the next call fills in.
        let mut attributes: libc::pthread_rwlockattr_t = unsafe { std::mem::zeroed() };
        let at = &raw mut attributes;
        // SAFETY: the structure is ours.
        told(unsafe { libc::pthread_rwlockattr_init(at) })?;
        // SAFETY: the attributes were made.
        told(unsafe { libc::pthread_rwlockattr_setpshared(at, libc::PTHREAD_PROCESS_SHARED) })?;
        let lock = Self(Box::new(libc::PTHREAD_RWLOCK_INITIALIZER.into()));
        // SAFETY: the lock does not move, and nobody has it yet.
        told(unsafe { libc::pthread_rwlock_init(lock.0.get(), at) })?;
        Ok(lock)
    }

    #[inline]
    pub(crate) fn read(&self) -> Result<()> {
        // SAFETY: it was made, and is there.
        told(unsafe { libc::pthread_rwlock_rdlock(self.0.get()) })
    }

    #[inline]
    pub(crate) fn unlock(&self) -> Result<()> {
        // SAFETY: as above, and the benches unlock what they have locked.
        told(unsafe { libc::pthread_rwlock_unlock(self.0.get()) })
    }
}

/// What tells the C library which kind of mutex to make.
fn attributes(kind: PthreadKind) -> Result<libc::pthread_mutexattr_t> {
    // SAFETY: all zeros is a value of the structure, which the next call fills in.
    let mut attributes: libc::pthread_mutexattr_t = unsafe { std::mem::zeroed() };
    let at = &raw mut attributes;
    // SAFETY: the structure is ours.
    told(unsafe { libc::pthread_mutexattr_init(at) })?;
    if kind != PthreadKind::Private {
        // SAFETY: the attributes were made.
        told(unsafe { libc::pthread_mutexattr_setpshared(at, libc::PTHREAD_PROCESS_SHARED) })?;
    }
    if kind == PthreadKind::Robust {
        // SAFETY: as above.
        told(unsafe { libc::pthread_mutexattr_setrobust(at, libc::PTHREAD_MUTEX_ROBUST) })?;
    }
    Ok(attributes)
}

/// A mutex and the number that it guards, as rivals have them in a file that processes share.
#[repr(C)]
struct Guarded {
    mutex: libc::pthread_mutex_t,
    number: u64,
}

/// A map of a file that holds a mutex and its number, and where they are in it.
struct Place(MmapRaw);

impl Place {
    fn create(path: &Path) -> Result<Self> {
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        file.set_len(size_of::<Guarded>() as u64)?;
        Ok(Self(MmapRaw::map_raw(&file)?))
    }

    fn open(path: &Path) -> Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        if file.metadata()?.len() != size_of::<Guarded>() as u64 {
            return Err("a file of another kind".into());
        }
        Ok(Self(MmapRaw::map_raw(&file)?))
    }

    fn mutex(&self) -> *mut libc::pthread_mutex_t {
        self.0.as_mut_ptr().cast()
    }

    fn number(&self) -> *mut u64 {
        // SAFETY: the file is as long as the structure, and a map begins with a page.
        unsafe { &raw mut (*self.0.as_mut_ptr().cast::<Guarded>()).number }
    }
}

/// A number under a mutex of the C library, in a file that processes share.
pub(crate) struct PthreadNumber(Place);

impl PthreadNumber {
    pub(crate) fn create(path: &Path, kind: PthreadKind) -> Result<Self> {
        let (place, attributes) = (Place::create(path)?, attributes(kind)?);
        // SAFETY: the mutex lies in the map, and nobody has it yet.
        told(unsafe { libc::pthread_mutex_init(place.mutex(), &raw const attributes) })?;
        Ok(Self(place))
    }

    /// The one that another process has created.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Ok(Self(Place::open(path)?))
    }

    /// Changes the number under the lock; what it was.
    #[inline]
    pub(crate) fn add(&self, more: u64) -> Result<u64> {
        // SAFETY: it was made, and is there.
        told(unsafe { libc::pthread_mutex_lock(self.0.mutex()) })?;
        // SAFETY: in the map; whoever has the lock has the number to itself.
        let number = unsafe { &mut *self.0.number() };
        let was = *number;
        *number += more;
        // SAFETY: locked above.
        told(unsafe { libc::pthread_mutex_unlock(self.0.mutex()) })?;
        Ok(was)
    }
}

/// A number under a mutex of raw_sync, in a file that processes share.
pub(crate) struct RawSyncNumber {
    mutex: Box<dyn LockImpl>,
    // Keeps what the mutex points to.
    _place: Place,
}

// SAFETY: it is the C library's mutex, which is for several threads; the number is used under it.
unsafe impl Sync for RawSyncNumber {}

impl RawSyncNumber {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let place = Place::create(path)?;
        // SAFETY: the place is for a mutex and a number, and nobody has them yet.
        let made = unsafe { RawSyncMutex::new(place.mutex().cast(), place.number().cast()) };
        let (mutex, _) = made.map_err(|error| error.to_string())?;
        Ok(Self { mutex, _place: place })
    }

    /// The one that another process has created.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let place = Place::open(path)?;
        let (mutex, number) = (place.mutex().cast(), place.number().cast());
        // SAFETY: a mutex and a number that `create` has made.
        let found = unsafe { RawSyncMutex::from_existing(mutex, number) };
        let (mutex, _) = found.map_err(|error| error.to_string())?;
        Ok(Self { mutex, _place: place })
    }

    #[inline]
    pub(crate) fn lock(&self) -> Result<LockGuard<'_>> {
        Ok(self.mutex.lock().map_err(|error| error.to_string())?)
    }

    /// Changes the number under the lock; what it was.
    #[inline]
    pub(crate) fn add(&self, more: u64) -> Result<u64> {
        let guard = self.lock()?;
        // SAFETY: in the map; whoever has the lock has the number to itself.
        let number = unsafe { &mut *guard.cast::<u64>() };
        let was = *number;
        *number += more;
        Ok(was)
    }
}

#[inline]
fn told(code: libc::c_int) -> Result<()> {
    if code == 0 { Ok(()) } else { Err(std::io::Error::from_raw_os_error(code).into()) }
}

fn check(code: libc::c_int) -> Result<()> {
    if code == -1 { Err(std::io::Error::last_os_error().into()) } else { Ok(()) }
}
