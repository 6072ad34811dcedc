//! Space on Linux: taking it, finding where it is missing, and growing without touching what others
//! wrote or gained meanwhile.

use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Range;

use rustix::fs::FallocateFlags;
use rustix::io::{Errno, ReadWriteFlags, retry_on_intr};

use super::unix::check_size_limit;
use super::{Allocated, Object, Short, inheritance_number, inherited_path};

/// The piece in which a call goes on that was interrupted.
const LEAST_PIECE: u64 = 1 << 20;

/// Takes space for `from..to` without a change of length or content, where the file system can be
/// asked to. If it turns out too small, the length is as it was.
pub(crate) fn allocate(object: &Object, from: u64, to: u64) -> io::Result<Allocated> {
    let inside = to <= object.metadata()?.len();
    if !inside {
        check_size_limit(to)?;
    }
    let outcome = match fallocate(object, FallocateFlags::KEEP_SIZE, from, to) {
        // NFS 4.2 knows the plain request only, which is as good inside the length.
        Err(Errno::OPNOTSUPP) if inside => {
            fallocate(object, FallocateFlags::empty(), from, to)
        }
        result => result,
    };
    match outcome {
        Ok(()) => Ok(Allocated::All),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(Allocated::Nothing),
        Err(error) => Err(error.into()),
    }
}

fn fallocate(object: &Object, flags: FallocateFlags, from: u64, to: u64) -> Result<(), Errno> {
    in_pieces(from, to, |at, size| rustix::fs::fallocate(object, flags, at, size))
}

/// All of it in one call, unless signals come: tmpfs gives back all that it took when it is
/// interrupted (kernels before 6.18 by any signal), so under a timer that is faster than the call
/// the whole would be begun anew for ever.
fn in_pieces(
    from: u64,
    to: u64,
    take: impl Fn(u64, u64) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let (mut at, mut piece) = (from, to - from);
    while at < to {
        let size = piece.min(to - at);
        match take(at, size) {
            Ok(()) => at += size,
            Err(Errno::INTR) => piece = (size / 2).next_multiple_of(LEAST_PIECE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Gives a file that nobody else has yet its length, with space behind all of it: in one call, as
/// there is no length to be kept if the disk is too small.
pub(crate) fn allocate_new(object: &Object, len: u64) -> io::Result<()> {
    check_size_limit(len)?;
    match fallocate(object, FallocateFlags::empty(), 0, len) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            append_zeros(object, len).map_err(|short| short.error)
        }
        result => Ok(result?),
    }
}

/// What makes a file longer here gives it space.
pub(crate) const APPENDS_SPACE: bool = true;

/// Makes a file `len` bytes long if it is shorter, and never shorter itself, whoever else grows it.
///
/// Allocating the last byte does that, as setting the length would not. Where the file system
/// cannot allocate, zeros are appended: the system finds the end and writes there in one step, so
/// no byte that is there already is ever written.
pub(crate) fn lengthen(object: &Object, len: u64) -> Result<(), Short> {
    if object.metadata()?.len() >= len {
        return Ok(());
    }
    check_size_limit(len)?;
    match fallocate(object, FallocateFlags::empty(), len - 1, len) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => append_zeros(object, len),
        result => Ok(result.map_err(io::Error::from)?),
    }
}

fn append_zeros(object: &Object, len: u64) -> Result<(), Short> {
    const PIECE: u64 = 1 << 20;
    let zeros = vec![0; 1 << 20];
    let (mut appender, mut reached) = (None, None);
    loop {
        let step = object.metadata().and_then(|metadata| {
            let now = metadata.len();
            // Up to the next multiple, so that pages and blocks are written once.
            let size = (PIECE - now % PIECE).min(len.saturating_sub(now));
            if size == 0 {
                return Ok(None);
            }
            let piece = &zeros[..usize::try_from(size).expect("at most a piece")];
            match append(object, &mut appender, piece)? {
                0 => Err(io::ErrorKind::WriteZero.into()),
                written => Ok(Some(now + written as u64)),
            }
        });
        match step {
            Ok(None) => return Ok(()),
            Ok(end) => reached = end,
            Err(error) => return Err(Short { reached, error }),
        }
    }
}

/// Writes at the end, wherever it is by now.
fn append(object: &Object, appender: &mut Option<File>, bytes: &[u8]) -> io::Result<usize> {
    let parts = [IoSlice::new(bytes)];
    if appender.is_none() {
        let flags = ReadWriteFlags::APPEND;
        match retry_on_intr(|| rustix::io::pwritev2(object, &parts, 0, flags)) {
            // Kernels before 4.16 do not know the flag, and a handle past the cache wants other
            // addresses and sizes: a handle of our own does it.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            result => return Ok(result?),
        }
    }
    let file = match appender {
        Some(file) => file,
        None => appender.insert(
            File::options().append(true).open(inherited_path(inheritance_number(object)))?,
        ),
    };
    Ok(retry_on_intr(|| rustix::io::writev(&*file, &parts))?)
}

/// The parts of `range` that have no space behind them, in order. File systems that cannot tell
/// answer that there is none.
pub(crate) fn holes(object: &Object, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
    // An own open file description, since seeking moves the cursor of every duplicate.
    let file = File::open(inherited_path(inheritance_number(object)))?;
    super::unix::holes_by_seeking(&file, range)
}

/// The holes, if it is certain that there are no others. A file system that shows none may not know
/// what a hole is: it answers as one that has none.
pub(crate) fn known_holes(
    object: &Object,
    range: Range<u64>,
) -> io::Result<Option<Vec<Range<u64>>>> {
    Ok(Some(holes(object, range)?).filter(|holes| !holes.is_empty()))
}

/// Waits until what was touched has its place on the device: many file systems find out only then
/// that there is none. By a handle of our own, since each is told of an error once: what else went
/// wrong is left for the syncs of the section to find.
pub(crate) fn settle(object: &Object) -> io::Result<()> {
    let own = File::open(inherited_path(inheritance_number(object)))?;
    Ok(retry_on_intr(|| rustix::fs::fdatasync(&own))?)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    #[test]
    fn a_call_that_every_signal_undoes_goes_on_in_pieces_that_are_done_between_two() {
        let (taken, interrupted) = (RefCell::new(0..0), Cell::new(0));
        // The time between two signals is enough for three MiB.
        let take = |at, size| {
            if size > 3 << 20 {
                interrupted.set(interrupted.get() + 1);
                return Err(Errno::INTR);
            }
            let mut taken = taken.borrow_mut();
            assert!(taken.is_empty() || taken.end == at, "{at} does not follow {taken:?}");
            *taken = if taken.is_empty() { at..at + size } else { taken.start..at + size };
            Ok(())
        };
        in_pieces(5, (100 << 20) + 7, take).unwrap();
        assert_eq!(*taken.borrow(), 5..(100 << 20) + 7);
        assert!((1..10).contains(&interrupted.get()), "interrupted {} times", interrupted.get());
        assert_eq!(in_pieces(0, 5, |_, _| Err(Errno::NOSPC)), Err(Errno::NOSPC));
    }
}
