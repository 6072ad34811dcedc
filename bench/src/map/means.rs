//! The ways of getting at bytes that the benches compare, each as one function that looks at every
//! byte and returns what it saw.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use bifolio_map::view::ScanPlan;
use bifolio_map::{Mode, Read, Scratch, Section, View};

use crate::Result;
use crate::kernel::index;

/// What is done with each piece of bytes. Digests of pieces add up to that of the whole.
pub(super) type Look = fn(&[u8]) -> u64;

/// The buffer sizes that rivals may choose from.
pub(super) const BUFFERS: [(usize, &str); 3] =
    [(64 << 10, "64 KiB"), (256 << 10, "256 KiB"), (1 << 20, "1 MiB")];

/// A buffer whose pages are there, at a page's start.
pub(super) fn buffer(size: usize) -> Result<Scratch> {
    let mut buffer = Scratch::zeroed(size as u64)?;
    buffer.fill(1);
    Ok(buffer)
}

/// `read` from start to end.
pub(super) fn read(path: &Path, buffer: &mut [u8], look: Look) -> Result<u64> {
    let mut file = File::open(path)?;
    let mut seen = 0u64;
    loop {
        match file.read(buffer)? {
            0 => return Ok(seen),
            size => seen = seen.wrapping_add(look(&buffer[..size])),
        }
    }
}

/// `read` of a range.
pub(super) fn read_part(
    path: &Path,
    range: Range<u64>,
    buffer: &mut [u8],
    look: Look,
) -> Result<u64> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(range.start))?;
    let (mut left, mut seen) = (index(range.end - range.start), 0u64);
    while left > 0 {
        let size = buffer.len().min(left);
        let size = file.read(&mut buffer[..size])?;
        if size == 0 {
            return Err("the file ended early".into());
        }
        seen = seen.wrapping_add(look(&buffer[..size]));
        left -= size;
    }
    Ok(seen)
}

/// `pread` of a range.
pub(super) fn pread(file: &File, range: Range<u64>, buffer: &mut [u8], look: Look) -> Result<u64> {
    let (mut at, mut seen) = (range.start, 0u64);
    while at < range.end {
        let size = buffer.len().min(index(range.end - at));
        let size = file.read_at(&mut buffer[..size], at)?;
        if size == 0 {
            return Err("the file ended early".into());
        }
        seen = seen.wrapping_add(look(&buffer[..size]));
        at += size as u64;
    }
    Ok(seen)
}

/// A file that is read past the page cache; buffers must start at a page.
pub(super) fn open_direct(path: &Path) -> Result<File> {
    let flag = rustix::fs::OFlags::DIRECT.bits().cast_signed();
    Ok(File::options().read(true).custom_flags(flag).open(path)?)
}

/// Our scan of a range.
pub(super) fn scan<M: Mode>(
    view: &View<M>,
    plan: ScanPlan,
    range: Range<u64>,
    look: Look,
) -> Result<u64> {
    let mut seen = 0u64;
    let flow: ControlFlow<()> = view.scan_by(plan, range, |piece| {
        seen = seen.wrapping_add(look(piece));
        ControlFlow::Continue(())
    })?;
    debug_assert!(flow.is_continue());
    Ok(seen)
}

/// Our guarded copy, piece by piece.
pub(super) fn read_at<M: Mode>(
    view: &View<M>,
    range: Range<u64>,
    buffer: &mut [u8],
    look: Look,
) -> Result<u64> {
    let (mut at, mut seen) = (range.start, 0u64);
    while at < range.end {
        let size = buffer.len().min(index(range.end - at));
        view.read_at(at, &mut buffer[..size])?;
        seen = seen.wrapping_add(look(&buffer[..size]));
        at += size as u64;
    }
    Ok(seen)
}

/// A view of a whole file.
pub(super) fn view(path: &Path) -> Result<View<Read>> {
    Ok(Section::open(path)?.view()?)
}

/// Gives each of two threads one half of `len` bytes and adds up what they saw.
pub(super) fn halves(len: u64, work: impl Fn(Range<u64>) -> Result<u64> + Sync) -> Result<u64> {
    let middle = len / 2 / 4096 * 4096;
    std::thread::scope(|scope| {
        let second = scope.spawn(|| work(middle..len));
        let first = work(0..middle)?;
        let second = second.join().map_err(|_| "a thread panicked")??;
        Ok(first.wrapping_add(second))
    })
}

/// A slice of a range.
pub(super) fn part(bytes: &[u8], range: Range<u64>) -> &[u8] {
    &bytes[index(range.start)..index(range.end)]
}
