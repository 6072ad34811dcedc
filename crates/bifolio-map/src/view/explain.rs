//! What a failed access means: the third part of "a fault is an error".

use super::{Mode, View};
use crate::error::{Error, ErrorKind};
use crate::memory::Stop;
use crate::section::{Lost, Section, SectionKind};
use crate::sys;

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
        match stop {
            Stop::Outside => self
                .fail(Error::new(ErrorKind::OutOfBounds, verb).at_offset(offset))
                .because(format!("{size} bytes asked for, the view has {}", self.len())),
            Stop::Misaligned => self
                .fail(Error::new(ErrorKind::Misaligned, verb).at_offset(offset))
                .because(format!(
                    "an atomic word of {size} bytes needs an address that is a multiple of {size}"
                )),
            Stop::ReadOnly => self
                .fail(Error::new(ErrorKind::ModeMismatch, verb).at_offset(offset))
                .because("the view is for reading only"),
            Stop::NoAtomics => self
                .fail(Error::new(ErrorKind::NotSupported, verb).at_offset(offset))
                .because("this architecture has no recoverable read-modify-write"),
            Stop::NoMemory => self
                .fail(Error::new(ErrorKind::OutOfMemory, verb).at_offset(offset))
                .because(format!("no memory for a copy of {size} bytes")),
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
        if doing == Doing::Store && M::MODE == super::ViewMode::ReadWrite {
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
        // The byte is there, and the system could not make its page. A call that asks for it is
        // told why, where a fault is not; for want of space a page can be read and not be stored to.
        let why = match section.kind() {
            SectionKind::Anonymous => None,
            // Reading a character device may do something, or wait.
            _ if section.is_endless().unwrap_or(true) => None,
            _ => sys::read_at(section.object(), at, &mut [0]).err(),
        };
        match (why, doing) {
            (Some(why), _) => fail(
                ErrorKind::StorageFault,
                format!("{progress}; the system cannot read this page"),
            )
            .caused_by(why),
            (None, Doing::Store) if live.is_some() => fail(
                ErrorKind::StorageFull,
                format!("{progress}; the system had no space for this page"),
            ),
            (None, Doing::Store) => fail(ErrorKind::StorageFault, progress),
            (None, Doing::Load | Doing::Lock) => fail(
                ErrorKind::StorageFault,
                format!("{progress}; the system could not supply this page"),
            ),
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
