//! What a failed access means: the third part of "a fault is an error".

use std::io;

use super::{Mode, View, ViewMode};
use crate::error::{Error, ErrorKind};
use crate::memory::Stop;
use crate::section::{Lost, Section, SectionKind};
use crate::{Scratch, page_size, sys};

/// What an access was doing, for the words of its error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    Load,
    Store,
    /// Loading a page to lock it in memory.
    Lock,
}

impl Doing {
    pub(super) fn verb(self) -> &'static str {
        match self {
            Self::Load => "read",
            Self::Store => "write",
            Self::Lock => "lock in memory",
        }
    }
}

impl Section {
    /// The error of a read that found the end of the file at `at`, after `done` of `size` bytes.
    #[cold]
    pub(crate) fn cut_off(&self, at: u64, done: usize, size: usize) -> Error {
        let end = self.len().map_or_else(|_| "earlier".to_owned(), |len| format!("at {len}"));
        self.fail(Error::new(ErrorKind::UnexpectedEof, "read").at_offset(at))
            .because(format!("{done} of {size} bytes done; the file ends {end} now"))
    }
}

impl<M: Mode> View<M> {
    /// The error of an access of `size` bytes at `offset` of the view that stopped.
    #[cold]
    #[inline(never)]
    pub(crate) fn explain(&self, stop: Stop, doing: Doing, offset: u64, size: usize) -> Error {
        let verb = doing.verb();
        let new =
            |kind| self.fail(Error::new(kind, verb).at_offset(self.offset.saturating_add(offset)));
        match stop {
            Stop::Outside => {
                let asked = format!("{size} bytes asked for, the view has {}", self.len());
                new(ErrorKind::OutOfBounds).because(match self.offset {
                    0 => asked,
                    start => format!("{asked}, from offset {start} on"),
                })
            }
            Stop::Misaligned => new(ErrorKind::Misaligned).because(format!(
                "an atomic word of {size} bytes needs an address that is a multiple of {size}"
            )),
            Stop::ReadOnly => new(ErrorKind::ModeMismatch).because("the view is for reading only"),
            Stop::NoAtomics => new(ErrorKind::NotSupported)
                .because("this architecture has no recoverable read-modify-write"),
            Stop::NoMemory => {
                new(ErrorKind::OutOfMemory).because(format!("no memory for a copy of {size} bytes"))
            }
            Stop::Fault(done) => self.explain_fault(doing, offset, size, done),
        }
    }

    /// The error of a fault: the system could not supply the page at `offset + done`.
    fn explain_fault(&self, doing: Doing, offset: u64, size: usize, done: usize) -> Error {
        let at = self.offset.saturating_add(offset).saturating_add(done as u64);
        let fail = |kind, why: String| {
            self.fail(Error::new(kind, doing.verb()).at_offset(at)).because(why)
        };
        let progress = format!("{done} of {size} bytes done");
        let Some(section) = &self.section else {
            return fail(ErrorKind::StorageFault, progress);
        };
        if doing == Doing::Store && M::MODE == ViewMode::ReadWrite {
            section.lost(Lost::Store);
        }
        let live = match section.kind() {
            SectionKind::Device => None,
            _ => section.len().ok(),
        };
        // A word is done or not done: if it reaches past the end, that is why.
        let end = at.saturating_add(if done == 0 && size <= 8 { size as u64 } else { 1 });
        if let Some(live) = live.filter(|&live| end > live) {
            let why = format!("{progress}; the file ends at {live} now");
            return fail(ErrorKind::UnexpectedEof, why);
        }
        // The byte is there, and the system could not make its page.
        let read = read_page(section, at);
        let (kind, why) = meaning(section.kind(), M::MODE, doing, read.as_ref().err());
        let error = fail(kind, format!("{progress}; {why}"));
        match read {
            Err(source) if kind == ErrorKind::StorageFault => error.caused_by(source),
            _ => error,
        }
    }

    /// The error with this view's path.
    #[cold]
    pub(crate) fn fail(&self, error: Error) -> Error {
        match &self.section {
            Some(section) => section.fail(error),
            None => error.at_path("<storage in memory>"),
        }
    }
}

/// What a read call says of the page around `at`: a fault has no code, a call has. A whole page and
/// into a page, since handles opened for direct access read nothing else.
fn read_page(section: &Section, at: u64) -> io::Result<()> {
    // Memory without a file has no device that could fail, and reading a character device may do
    // something or wait.
    if section.kind() == SectionKind::Anonymous || section.is_endless().unwrap_or(true) {
        return Ok(());
    }
    let size = page_size() as u64;
    let mut page = Scratch::zeroed(size).map_err(io::Error::from)?;
    sys::read_at(section.object(), at - at % size, &mut page).map(drop)
}

/// What a fault inside the file means, given what a read call of the page said.
fn meaning(
    section: SectionKind,
    mode: ViewMode,
    doing: Doing,
    read: Option<&io::Error>,
) -> (ErrorKind, &'static str) {
    let broken = read.is_some_and(|error| crate::error::kind_of(error) == ErrorKind::StorageFault);
    match (doing, mode, section) {
        _ if broken => (ErrorKind::StorageFault, "the system cannot read this page"),
        // A private copy takes no space on any device.
        (Doing::Store, ViewMode::CopyOnWrite, _) => {
            (ErrorKind::OutOfMemory, "the system had no memory for a private copy of this page")
        }
        (Doing::Store, _, SectionKind::Anonymous) => {
            (ErrorKind::OutOfMemory, "the system had no memory for this page")
        }
        (Doing::Store, _, SectionKind::File | SectionKind::Temporary | SectionKind::Named) => {
            (ErrorKind::StorageFull, "the system had no space for this page")
        }
        (Doing::Store, _, SectionKind::Device) | (Doing::Load | Doing::Lock, _, _) => {
            (ErrorKind::StorageFault, "the system could not supply this page")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_a_full_disk_only_where_a_disk_is_needed_and_can_be_read() {
        use ErrorKind::{OutOfMemory, StorageFault, StorageFull};
        use SectionKind::{Anonymous, Device, File, Temporary};
        let kinds = |mode, doing, read: Option<&io::Error>| {
            [File, Temporary, Anonymous, Device].map(|kind| meaning(kind, mode, doing, read).0)
        };
        let store = [StorageFull, StorageFull, OutOfMemory, StorageFault];
        assert_eq!(kinds(ViewMode::ReadWrite, Doing::Store, None), store);
        assert_eq!(kinds(ViewMode::CopyOnWrite, Doing::Store, None), [OutOfMemory; 4]);
        for mode in [ViewMode::Read, ViewMode::ReadWrite, ViewMode::CopyOnWrite] {
            assert_eq!(kinds(mode, Doing::Load, None), [StorageFault; 4]);
        }
        #[cfg(unix)]
        {
            let broken = io::Error::from_raw_os_error(5); // EIO
            assert_eq!(kinds(ViewMode::ReadWrite, Doing::Store, Some(&broken)), [StorageFault; 4]);
            assert_eq!(
                kinds(ViewMode::CopyOnWrite, Doing::Store, Some(&broken)),
                [StorageFault; 4]
            );
        }
        // A call that fails for a reason of its own says nothing about the page.
        let odd = io::Error::from(io::ErrorKind::InvalidInput);
        assert_eq!(kinds(ViewMode::ReadWrite, Doing::Store, Some(&odd)), store);
    }
}
