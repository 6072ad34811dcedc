//! Views that grow on Windows: addresses are reserved once, and views of the new bytes are put
//! behind the old ones.
//!
//! | what grows | how |
//! |---|---|
//! | memory without a file | one view of the whole capacity; growing commits pages of it |
//! | a file | a *placeholder* of the whole capacity; growing replaces its front by a view. Nothing that is mapped is ever unmapped |
//! | a file where the system has no placeholders (before Windows 10 1803; Wine 8) | reserved addresses, of which the front is freed and mapped. Views start at multiples of 64 KiB there, so if the file ends between two, its last granule has to be unmapped for a moment and mapped again, longer |
//!
//! In that moment nobody may access the granule: another thread could be given its addresses, and
//! Wine shows zeros there. So with reserved addresses, and only with them, accesses hold a lock
//! ([`Reservation::while_it_stands`]). Should somebody else really get the addresses, the process
//! ends, because views still point there. The danger is small: reservations lie at the top of the
//! address space, where the system does not look first, and no two of them are made or extended
//! at a time ([`MOVING`]).
#![expect(unsafe_code, reason = "system calls on raw addresses")]

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::windows::io::AsRawHandle;
use std::ptr::{self, NonNull};
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};
use windows_sys::Win32::System::Memory as memory;

use super::windows::{check, this_process};
use super::windows_map::{map_file, note_written, unmap};
use super::windows_section::{commit, of_file, page_word, refresh, too_large};
use super::{Object, Protection, granularity, page_size};

/// Merges placeholders into one (winnt.h; the bindings lack it).
const MEM_COALESCE_PLACEHOLDERS: u32 = 1;
/// Frees into a placeholder (winnt.h; the bindings have it among the flags of another call).
const MEM_PRESERVE_PLACEHOLDER: u32 = 2;

/// Picks the highest free addresses (winnt.h; the bindings lack it).
const MEM_TOP_DOWN: u32 = 0x10_0000;

/// Whether placeholders are used where the system has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "one of the two is chosen below")]
enum Placeholders {
    Used,
    Left,
}

/// Left alone for now: under Wine 10, the first system with placeholders that this was run on, a
/// view of a file that does not end with a page is refused. Until that is understood, and seen on
/// Windows itself, files grow in the way that is tested.
const PLACEHOLDERS: Placeholders = Placeholders::Left;

/// Growing may unmap for a moment what is mapped.
pub(crate) const GROWTH_MAY_MAP_ANEW: bool = true;

/// Addresses that a growing view owns.
#[derive(Debug)]
pub(crate) struct Reservation {
    pub(crate) base: NonNull<u8>,
    /// Whole granules.
    size: usize,
    how: How,
}

// SAFETY: a range of addresses belongs to the process, not to a thread.
unsafe impl Send for Reservation {}
// SAFETY: as above; what changes in it is behind locks.
unsafe impl Sync for Reservation {}

#[derive(Debug)]
enum How {
    /// One view of a page-file section: all that it can become.
    Whole { mapped: usize },
    /// Views, and behind them one placeholder.
    Placeholders { calls: &'static Calls, views: Mutex<Vec<Piece>> },
    /// Views, and behind them reserved addresses. Whoever extends holds the lock for writing.
    Pieces(RwLock<Pieces>),
}

/// A view in a reservation: offset from the base, and size in whole pages.
#[derive(Clone, Copy, Debug)]
struct Piece {
    start: usize,
    size: usize,
}

impl Piece {
    fn end(self) -> usize {
        self.start + self.size
    }
}

#[derive(Debug, Default)]
struct Pieces {
    views: Vec<Piece>,
    /// Where the reserved rest starts; `None` if nothing is reserved.
    rest: Option<usize>,
}

impl Pieces {
    /// The view behind which nothing can be mapped, since it ends inside a granule.
    fn tail(&self) -> Option<Piece> {
        self.views.last().copied().filter(|last| last.end() % granule() != 0)
    }
}

/// The calls of Windows 10 1803, which older systems do not have.
#[derive(Debug)]
struct Calls {
    allocate: Allocate,
    map: Map,
}

/// A function of which only the name is known yet.
type Unknown = unsafe extern "system" fn() -> isize;

type Allocate = unsafe extern "system" fn(
    HANDLE,
    *const c_void,
    usize,
    u32,
    u32,
    *mut memory::MEM_EXTENDED_PARAMETER,
    u32,
) -> *mut c_void;

type Map = unsafe extern "system" fn(
    HANDLE,
    HANDLE,
    *const c_void,
    u64,
    usize,
    u32,
    u32,
    *mut memory::MEM_EXTENDED_PARAMETER,
    u32,
) -> memory::MEMORY_MAPPED_VIEW_ADDRESS;

fn calls() -> Option<&'static Calls> {
    static CALLS: OnceLock<Option<Calls>> = OnceLock::new();
    CALLS
        .get_or_init(|| {
            let name: Vec<u16> = "kernelbase.dll\0".encode_utf16().collect();
            // SAFETY: the name ends with a zero. The library is part of every process.
            let library = unsafe { GetModuleHandleW(name.as_ptr()) };
            if library.is_null() {
                return None;
            }
            // SAFETY: the library is loaded and the name ends with a zero.
            let allocate = unsafe { GetProcAddress(library, c"VirtualAlloc2".as_ptr().cast()) }?;
            // SAFETY: as above.
            let map = unsafe { GetProcAddress(library, c"MapViewOfFile3".as_ptr().cast()) }?;
            // SAFETY: memoryapi.h declares the function with this signature.
            let allocate = unsafe { std::mem::transmute::<Unknown, Allocate>(allocate) };
            // SAFETY: as above.
            let map = unsafe { std::mem::transmute::<Unknown, Map>(map) };
            Some(Calls { allocate, map })
        })
        .as_ref()
}

/// Reserves addresses for a view that grows. Nothing is accessible yet.
pub(crate) fn reserve(
    object: &Object,
    protection: Protection,
    offset: u64,
    capacity: usize,
) -> io::Result<Reservation> {
    let granule = granule();
    let size = capacity.checked_next_multiple_of(granule).ok_or_else(too_large)?;
    if let Object::PageFile(memory) = object {
        let there = memory.capacity().saturating_sub(offset);
        let mapped = usize::try_from(there).unwrap_or(usize::MAX).min(capacity);
        if mapped == 0 {
            return reserve_plainly(size);
        }
        let base = memory.view(protection, offset, mapped, None)?;
        return Ok(Reservation { base, size, how: How::Whole { mapped } });
    }
    if PLACEHOLDERS == Placeholders::Used
        && let Some(calls) = calls()
    {
        let me = this_process();
        // SAFETY: the system picks a place where nothing is, and no parameters are given.
        let base = unsafe {
            (calls.allocate)(
                me,
                ptr::null(),
                size,
                memory::MEM_RESERVE | memory::MEM_RESERVE_PLACEHOLDER,
                memory::PAGE_NOACCESS,
                ptr::null_mut(),
                0,
            )
        };
        if let Some(base) = NonNull::new(base.cast()) {
            let how = How::Placeholders { calls, views: Mutex::new(Vec::new()) };
            return Ok(Reservation { base, size, how });
        }
        // Wine has had the calls for longer than the flag. If addresses are what is lacking, the
        // next call says so too.
    }
    reserve_plainly(size)
}

/// Held while reserved addresses are freed to be mapped, and while addresses are reserved: a new
/// reservation would be given those that another one has just freed.
static MOVING: Mutex<()> = Mutex::new(());

fn reserve_plainly(size: usize) -> io::Result<Reservation> {
    let _moving = MOVING.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the system picks a place where nothing is.
    let base = unsafe {
        memory::VirtualAlloc(
            ptr::null(),
            size,
            memory::MEM_RESERVE | MEM_TOP_DOWN,
            memory::PAGE_NOACCESS,
        )
    };
    let base = NonNull::new(base.cast()).ok_or_else(io::Error::last_os_error)?;
    let pieces = Pieces { views: Vec::new(), rest: Some(0) };
    Ok(Reservation { base, size, how: How::Pieces(RwLock::new(pieces)) })
}

fn granule() -> usize {
    usize::try_from(granularity()).expect("64 KiB")
}

impl Reservation {
    /// Makes the first `size` bytes accessible.
    pub(crate) fn extend(
        &self,
        object: &Object,
        protection: Protection,
        offset: u64,
        size: usize,
    ) -> io::Result<()> {
        if size == 0 {
            return Ok(());
        }
        debug_assert!(size <= self.size, "the caller compares with the capacity");
        match (object, &self.how) {
            (Object::PageFile(_), How::Whole { mapped }) => {
                let size = size.min(*mapped);
                if protection == Protection::ReadWrite {
                    // SAFETY: the view is ours, and mapped for writing.
                    unsafe { commit(self.base, size) }
                } else {
                    // SAFETY: the view is ours, mapped with this protection; the section's length
                    // says that there is memory behind these pages.
                    unsafe { refresh(self.base, size, protection) }
                }
            }
            (Object::File(file), How::Placeholders { calls, views }) => {
                let mut views = views.lock().unwrap_or_else(PoisonError::into_inner);
                self.replace_placeholder(calls, &mut views, file, protection, offset, size)
            }
            (Object::File(file), How::Pieces(pieces)) => {
                let mut pieces = pieces.write().unwrap_or_else(PoisonError::into_inner);
                self.extend_by_pieces(&mut pieces, file, protection, offset, size)
            }
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// What growing would map anew, as offsets from the base; whoever else grows it meanwhile makes
    /// that another range.
    pub(crate) fn loose_end(&self) -> Option<Range<usize>> {
        let How::Pieces(pieces) = &self.how else { return None };
        let pieces = pieces.read().unwrap_or_else(PoisonError::into_inner);
        pieces.tail().map(|tail| tail.start..tail.end())
    }

    /// Accesses memory while nothing of it is mapped anew.
    #[inline]
    pub(crate) fn while_it_stands<T>(&self, access: impl FnOnce() -> T) -> T {
        match &self.how {
            How::Whole { .. } | How::Placeholders { .. } => access(),
            How::Pieces(pieces) => {
                let _standing = pieces.read().unwrap_or_else(PoisonError::into_inner);
                access()
            }
        }
    }

    /// Maps the new whole pages in front of the placeholder.
    fn replace_placeholder(
        &self,
        calls: &Calls,
        views: &mut Vec<Piece>,
        file: &File,
        protection: Protection,
        offset: u64,
        size: usize,
    ) -> io::Result<()> {
        // Also if no page is new: the system learns from it how much of the file's last page,
        // which is mapped already, is to be written back.
        let section = of_file(file, protection)?;
        let from = views.last().map_or(0, |last| last.end());
        let to = size.next_multiple_of(page_size());
        if to <= from {
            return Ok(());
        }
        let start = self.address(from);
        let me = this_process();
        if to < self.size {
            // SAFETY: from `from` on everything is one placeholder of ours; this cuts it in two.
            check(unsafe {
                memory::VirtualFree(
                    start.as_ptr().cast(),
                    to - from,
                    memory::MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER,
                )
            })?;
        }
        // A size in whole pages is what the documentation asks for. The section ends inside its
        // last page, though, and offsets in the middle of a granule are allowed here only.
        // SAFETY: the placeholder is ours and has this size; the handle is open.
        let view = unsafe {
            (calls.map)(
                section.as_raw_handle(),
                me,
                start.as_ptr().cast(),
                offset + from as u64,
                to - from,
                memory::MEM_REPLACE_PLACEHOLDER,
                page_word(protection),
                ptr::null_mut(),
                0,
            )
        };
        if view.Value.is_null() {
            let error = io::Error::last_os_error();
            if to < self.size {
                // SAFETY: both halves are placeholders of ours. If it fails, the next extension
                // does, with the system's reason.
                unsafe {
                    memory::VirtualFree(
                        start.as_ptr().cast(),
                        self.size - from,
                        memory::MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS,
                    )
                };
            }
            return Err(error);
        }
        views.push(Piece { start: from, size: to - from });
        note_written(file, protection, start, to - from)
    }

    /// Frees the front of the reserved rest and maps it.
    fn extend_by_pieces(
        &self,
        pieces: &mut Pieces,
        file: &File,
        protection: Protection,
        offset: u64,
        size: usize,
    ) -> io::Result<()> {
        let granule = granule();
        let end = pieces.views.last().map_or(0, |last| last.end());
        if size <= end {
            return Ok(());
        }
        let tail = pieces.tail();
        if tail.is_some() && protection == Protection::CopyOnWrite {
            // Mapping the tail again would undo what was written to it.
            return Err(io::ErrorKind::Unsupported.into());
        }
        let from = tail.map_or(end, |tail| tail.start);
        let whole = size - size % granule;
        // The tail first and alone, so that it is back at once; then what is whole granules; and
        // the last, partial one by itself, the tail of next time.
        let mut cuts = vec![from, from + granule, whole, size];
        cuts.retain(|&cut| from <= cut && cut <= size);
        cuts.sort_unstable();
        cuts.dedup();
        let map = |start: usize, end: usize| {
            let at = Some(self.address(start).addr().get());
            map_file(file, protection, offset + start as u64, end - start, at)
                .map(|_| Piece { start, size: (end - start).next_multiple_of(page_size()) })
        };
        let _moving = MOVING.lock().unwrap_or_else(PoisonError::into_inner);
        self.free_rest(pieces)?;
        if let Some(tail) = tail {
            pieces.views.pop();
            // SAFETY: the view is ours, and nobody accesses it: the caller holds the lock.
            unsafe { unmap(self.address(tail.start), tail.size) };
            match map(cuts[0], cuts[1]) {
                Ok(piece) => pieces.views.push(piece),
                Err(error) => {
                    let end = tail.start + file_bytes(file, offset, tail);
                    match map(tail.start, end.max(tail.start + 1)) {
                        Ok(piece) => {
                            pieces.views.push(piece);
                            self.reserve_rest(pieces, tail.start + granule);
                        }
                        Err(_) => self.forbid(pieces, tail.start),
                    }
                    return Err(error);
                }
            }
            cuts.remove(0);
        }
        let mut outcome = Ok(());
        for pair in cuts.windows(2) {
            match map(pair[0], pair[1]) {
                Ok(piece) => pieces.views.push(piece),
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        let end = pieces.views.last().map_or(0, |last| last.end());
        self.reserve_rest(pieces, end.next_multiple_of(granule));
        outcome
    }

    /// Gives the reserved rest back, so that views can be put there.
    fn free_rest(&self, pieces: &mut Pieces) -> io::Result<()> {
        let Some(rest) = pieces.rest else { return Ok(()) };
        // SAFETY: it was reserved by us at this address, and nothing is mapped in it.
        check(unsafe {
            memory::VirtualFree(self.address(rest).as_ptr().cast(), 0, memory::MEM_RELEASE)
        })?;
        pieces.rest = None;
        Ok(())
    }

    /// Reserves what lies behind the views. If somebody was faster, growing past them will fail.
    fn reserve_rest(&self, pieces: &mut Pieces, from: usize) {
        if from < self.size && self.reserve_at(from, self.size - from).is_ok() {
            pieces.rest = Some(from);
        }
    }

    fn reserve_at(&self, from: usize, size: usize) -> io::Result<()> {
        let place = self.address(from).as_ptr().cast();
        // SAFETY: nothing of ours is there, and nobody's memory is replaced.
        let base = unsafe {
            memory::VirtualAlloc(place, size, memory::MEM_RESERVE, memory::PAGE_NOACCESS)
        };
        if base.is_null() { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Keeps everybody off addresses that views still point to and that could not be mapped again.
    fn forbid(&self, pieces: &mut Pieces, from: usize) {
        self.reserve_rest(pieces, from);
        if pieces.rest.is_none() && self.reserve_at(from, granule()).is_err() {
            // Somebody else's memory is there now, and accessors would read and write it.
            eprintln!("bifolio-map: another thread took addresses that a growing view was using");
            std::process::abort();
        }
    }

    /// The address at an offset of the reservation.
    fn address(&self, offset: usize) -> NonNull<u8> {
        debug_assert!(offset < self.size);
        // SAFETY: inside the range of addresses that is ours.
        unsafe { self.base.add(offset) }
    }

    /// Ends the mapping.
    ///
    /// # Safety
    /// Nothing may access the range any more.
    pub(crate) unsafe fn release(&mut self) {
        let (views, rest) = match &mut self.how {
            // The view starts at the base, and there is nothing else.
            How::Whole { mapped } => (vec![Piece { start: 0, size: *mapped }], None),
            How::Placeholders { views, .. } => {
                let views = std::mem::take(views.get_mut().unwrap_or_else(PoisonError::into_inner));
                let end = views.last().map_or(0, |last| last.end());
                (views, (end < self.size).then_some(end))
            }
            How::Pieces(pieces) => {
                let pieces = pieces.get_mut().unwrap_or_else(PoisonError::into_inner);
                (std::mem::take(&mut pieces.views), pieces.rest.take())
            }
        };
        for view in views {
            // SAFETY: the caller's promise; the view is ours.
            unsafe { unmap(self.address(view.start), view.size) };
        }
        if let Some(rest) = rest {
            // SAFETY: reserved by us at this address (a placeholder too is freed whole).
            let outcome = check(unsafe {
                memory::VirtualFree(self.address(rest).as_ptr().cast(), 0, memory::MEM_RELEASE)
            });
            debug_assert!(outcome.is_ok(), "our reservation could not be freed: {outcome:?}");
        }
    }
}

/// How many bytes of a view the file still has.
fn file_bytes(file: &File, offset: u64, piece: Piece) -> usize {
    let len = file.metadata().map_or(0, |metadata| metadata.len());
    let there = len.saturating_sub(offset + piece.start as u64);
    usize::try_from(there).unwrap_or(usize::MAX).min(piece.size)
}
