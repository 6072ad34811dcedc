//! Frozen bytes: memory that can never change again, and so may be lent as `&[u8]`.

mod lend;

use std::fmt;
use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::scratch::Scratch;
use crate::section::{Access, Section, SectionKind, space};
use crate::sys;
use crate::view::ReadWrite;
use lend::{ReadOnly, SealedSpan};

/// Bytes that nobody can change, cut off or take away, and so a safe `&[u8]`.
///
/// On Linux this is a sealed memory file: the kernel refuses every write, growth and truncation
/// from any process, and all pages exist before it is sealed. It can be handed to other processes
/// ([`section`](Self::section), [`Section::inherit`]), who see that it is sealed. Elsewhere it is
/// private memory of this process, protected against writing.
///
/// ```
/// use bifolio_map::Frozen;
/// let frozen = Frozen::copy_of(b"111\r\n222\r\n333")?;
/// assert_eq!(frozen.lines_count(), 3);
/// # trait Lines { fn lines_count(&self) -> usize; }
/// # impl Lines for [u8] { fn lines_count(&self) -> usize { self.split(|&b| b == b'\n').count() } }
/// # Ok::<(), bifolio_map::Error>(())
/// ```
pub struct Frozen {
    bytes: Bytes,
}

enum Bytes {
    /// A read-only map of a sealed section.
    Sealed { span: SealedSpan, section: Section },
    /// Private memory that was made read-only.
    Private(ReadOnly),
}

impl Frozen {
    /// Freezes a copy of `bytes`.
    ///
    /// # Errors
    /// `OutOfMemory`, `LimitReached`.
    pub fn copy_of(bytes: &[u8]) -> Result<Self> {
        if !sys::HAS_SEALS {
            let mut scratch = Scratch::zeroed(bytes.len() as u64)?;
            scratch.copy_from_slice(bytes);
            return Ok(Self { bytes: Bytes::Private(ReadOnly::new(scratch)?) });
        }
        let section = Section::anonymous(bytes.len() as u64)?;
        section.view::<ReadWrite>()?.write_at(0, bytes)?;
        section.freeze()
    }

    /// The bytes of a section that somebody sealed, usually one that was inherited.
    ///
    /// # Errors
    /// `NotSupported` if the section is not sealed against writing and shrinking, or is memory
    /// whose pages can still be missing (huge pages); always so where there are no seals.
    pub fn of_sealed(section: Section) -> Result<Self> {
        const DOING: &str = "lend as frozen bytes";
        let sealed = sys::is_sealed(section.object()).map_err(|error| section.os(DOING, error))?;
        if !sealed {
            return Err(section.fail(
                Error::new(ErrorKind::NotSupported, DOING)
                    .because("it is not sealed memory, so others could change it"),
            ));
        }
        // Only now, when nobody can take pages away any more: a hole would be filled at the first
        // read, which may find no memory.
        let len = section.len()?;
        section.want_memory(len.saturating_sub(section.allocated()?))?;
        let present = match section.access() {
            Access::ReadWrite => space::allocate(section.object(), 0..len),
            _ => Ok(()),
        };
        present.map_err(|error| section.os(DOING, error))?;
        if section.allocated()? < len {
            return Err(section.fail(
                Error::new(ErrorKind::NotSupported, DOING)
                    .because("it has holes, which only a handle for writing could fill"),
            ));
        }
        let span = SealedSpan::new(&section)?;
        Ok(Self { bytes: Bytes::Sealed { span, section } })
    }

    /// The bytes of a file that fs-verity protects: the kernel compares every block with the
    /// file's digest when it is read in. A bad block is still a fault, not a lie, so the file is
    /// read through a guard once and its copy frozen.
    ///
    /// # Errors
    /// `NotSupported` if the file is not protected or the system has no fs-verity; `StorageFault`
    /// for a block that does not match; otherwise as [`Section::open`].
    pub fn of_verity_file(path: impl AsRef<Path>) -> Result<Self> {
        const DOING: &str = "freeze the verity file";
        let path = path.as_ref();
        let fail = |error| Error::os(DOING, error).at_path(path);
        let file = File::open(path).map_err(fail)?;
        if !sys::has_verity(&file).map_err(fail)? {
            return Err(Error::new(ErrorKind::NotSupported, DOING)
                .at_path(path)
                .because("fs-verity is not enabled on this file"));
        }
        let section = Section::from_file(file)?;
        section.freeze_copy()
    }

    /// The sealed section, for handing it on; `None` where frozen bytes are private memory.
    #[must_use]
    pub fn section(&self) -> Option<&Section> {
        match &self.bytes {
            Bytes::Sealed { section, .. } => Some(section),
            Bytes::Private(_) => None,
        }
    }
}

impl Section {
    /// Makes anonymous memory immutable, for this and every other process, for ever.
    ///
    /// # Errors
    /// `Busy` while anybody has a shared view of it, also one for reading, since the system counts
    /// every map that was made through a handle for writing; `NotSupported` for files (take
    /// [`freeze_copy`](Self::freeze_copy)) and where the system has no seals; `OutOfMemory` if
    /// there is no memory for its holes.
    pub fn freeze(self) -> Result<Frozen> {
        const DOING: &str = "freeze";
        if self.kind() != SectionKind::Anonymous || !sys::HAS_SEALS {
            return Err(self.fail(Error::new(ErrorKind::NotSupported, DOING).because(
                "only anonymous memory can be sealed, and only on Linux; see freeze_copy()",
            )));
        }
        sys::seal(self.object()).map_err(|error| {
            let error = self.os(DOING, error);
            match error.kind() {
                ErrorKind::Busy => error.because("a view of it exists, perhaps elsewhere"),
                _ => error,
            }
        })?;
        Frozen::of_sealed(self)
    }

    /// A frozen copy of the bytes as they are now. Unlike those of a snapshot its holes take memory
    /// too: frozen bytes are all there.
    ///
    /// # Errors
    /// As [`snapshot`](Self::snapshot).
    pub fn freeze_copy(&self) -> Result<Frozen> {
        self.want_memory(self.len()?)?;
        if sys::HAS_SEALS {
            return self.snapshot()?.freeze();
        }
        let mut scratch = Scratch::zeroed(self.len()?)?;
        self.view_of::<crate::Read>(..scratch.len() as u64)?.read_at(0, &mut scratch)?;
        Ok(Frozen { bytes: Bytes::Private(ReadOnly::new(scratch)?) })
    }
}

impl Deref for Frozen {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Sealed { span, .. } => span.as_slice(),
            Bytes::Private(memory) => memory.as_slice(),
        }
    }
}

impl AsRef<[u8]> for Frozen {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frozen").field("len", &self.len()).finish_non_exhaustive()
    }
}
