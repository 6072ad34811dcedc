//! Space on the device for bytes that are there, without changing any of them.
//!
//! | who can give it | how |
//! |---|---|
//! | the file system, if it can be asked | its own call: nothing is written |
//! | others, for bytes inside the length | each page is *touched*: stored to without a change, by populating it for writing or by adding zero to a word of it. A store by anybody else at the same moment stays |
//! | others, for bytes past the end | the file is made longer, on Linux by appending zeros |
//!
//! Zeros are never written over bytes that are there: what looks like a hole now may hold somebody's
//! acknowledged store a moment later. What was touched is synced, since many file systems find out
//! only then whether there is space, and then counted: who cannot show that space was taken gets
//! `Unsupported`, and nobody is told `Ok` for a hope.

use std::io;
use std::ops::Range;

use crate::memory::{Place, Span, Stop};
use crate::sys::{self, Allocated, Object, Protection, Short};
use crate::view::Advice;

/// Gives bytes inside the length space. Length and content stay.
pub(crate) fn allocate(object: &Object, range: Range<u64>) -> io::Result<()> {
    if range.is_empty() {
        return Ok(());
    }
    match sys::allocate(object, range.start, range.end)? {
        Allocated::All => Ok(()),
        Allocated::PastTheEnd => fill_holes(object, &range),
        Allocated::Nothing => {
            want_room(object, &range)?;
            fill_holes(object, &range)?;
            verify(object, &range)
        }
    }
}

/// Makes an object at least `len` bytes long, with space behind all of them.
pub(crate) fn grow(object: &Object, len: u64) -> Result<(), Short> {
    let before = sys::len(object)?;
    if len == 0 {
        return Ok(());
    }
    let inside = 0..before.min(len);
    match sys::allocate(object, 0, len)? {
        Allocated::All => sys::lengthen(object, len),
        Allocated::PastTheEnd => {
            fill_holes(object, &inside)?;
            sys::lengthen(object, len)
        }
        Allocated::Nothing => {
            want_room(object, &(0..len))?;
            fill_holes(object, &inside)?;
            sys::lengthen(object, len)?;
            let fresh = before.min(len)..len;
            let filled = match fresh.is_empty() || sys::APPENDS_SPACE {
                true => sys::settle(object),
                false => touch(object, &fresh).and_then(|()| sys::settle(object)),
            };
            filled
                .and_then(|()| verify(object, &(0..len)))
                .map_err(|error| Short { reached: Some(len.max(before)), error })
        }
    }
}

/// Refuses what cannot fit, before anything is touched.
fn want_room(object: &Object, range: &Range<u64>) -> io::Result<()> {
    let there = sys::allocated(object)?;
    let lacking = (range.end - range.start).saturating_sub(there);
    match sys::space_left(object) {
        Some(free) if free < lacking => Err(io::ErrorKind::StorageFull.into()),
        _ => Ok(()),
    }
}

/// Touches the holes of a range, or all of it where nobody knows which parts are holes.
fn fill_holes(object: &Object, range: &Range<u64>) -> io::Result<()> {
    if range.is_empty() {
        return Ok(());
    }
    let holes = sys::known_holes(object, range.clone())?;
    let holes = holes.unwrap_or_else(|| vec![range.clone()]);
    if holes.is_empty() {
        return Ok(());
    }
    for hole in &holes {
        touch(object, hole)?;
    }
    sys::settle(object)
}

/// Stores into every page of a range without changing it.
fn touch(object: &Object, range: &Range<u64>) -> io::Result<()> {
    /// Mapped at a time: so little that any address space has it.
    const PIECE: u64 = 64 << 20;
    crate::fault::install()?;
    let mut at = range.start;
    while at < range.end {
        let size = usize::try_from(PIECE.min(range.end - at)).expect("at most a piece");
        let span = Span::map(object, Protection::ReadWrite, at, size, Place::Anywhere)?;
        touch_pages(&span).map_err(|error| explain(object, at + size as u64, error))?;
        at += size as u64;
    }
    Ok(())
}

/// Populates the pages for writing, or touches them one by one where the system has no such call.
fn touch_pages(span: &Span) -> io::Result<()> {
    let all = 0..span.size();
    loop {
        match span.advise(&all, Advice::PopulateWrite) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if sys::is_fault_code(error.raw_os_error()) => return Err(no_page()),
            Err(_) => break,
            Ok(()) => return Ok(()),
        }
    }
    span.touch(&all).map_err(|stop| match stop {
        Stop::NoAtomics => io::ErrorKind::Unsupported.into(),
        _ => no_page(),
    })
}

/// The error for a page that could not be had.
fn no_page() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

/// A page that is not there is one that was cut off, or one for which there was no space.
fn explain(object: &Object, end: u64, error: io::Error) -> io::Error {
    match sys::len(object) {
        Ok(len) if len < end => io::ErrorKind::UnexpectedEof.into(),
        _ => error,
    }
}

/// Requires that the file system counts the space of a range as taken.
fn verify(object: &Object, range: &Range<u64>) -> io::Result<()> {
    let there = sys::allocated(object)?;
    let holes = sys::known_holes(object, range.clone())?.is_some_and(|holes| !holes.is_empty());
    if holes || there < range.end - range.start {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "the file system cannot allocate, and does not show that what was written has space; \
             ask for Space::Sparse",
        ));
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "maps a file")]
    fn what_is_not_counted_as_taken_is_not_promised_and_touching_takes_it() {
        let file = tempfile::tempfile().unwrap();
        let len = 40 * sys::page_size() as u64;
        file.set_len(len).unwrap();
        let object = sys::object_of_file(file);
        let error = verify(&object, &(0..len)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert!(error.to_string().contains("Space::Sparse"), "{error}");
        // As if the system could not be asked.
        fill_holes(&object, &(0..len)).unwrap();
        verify(&object, &(0..len)).unwrap();
    }
}
