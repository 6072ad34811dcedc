//! Sections that somebody else's program made.

use super::{Name, Scope, explain, place};
use crate::error::{Error, ErrorKind, Result};
use crate::section::{Access, Section};
use crate::sys;

/// A section that another program made: C's `shm_open`, Python's `SharedMemory`, `mmap` with a tag
/// name or C#'s `MemoryMappedFile.CreateNew` on Windows.
///
/// How many bytes its maker meant is not known here. Systems keep a size, and most of them round
/// it up to pages, so zeros may follow the data; where the data end, only the maker can say. So
/// this is no [`Section`] yet: [`into_section`](Self::into_section) wants to be told the length.
///
/// Opening one takes part in nothing of this library's: it does not keep the name alive.
#[derive(Debug)]
pub struct ForeignSection {
    section: Section,
}

/// Opens a section that another program made.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use bifolio_map::names::{self, Name, Scope};
/// use bifolio_map::{Access, Read};
/// # let dir = tempfile::tempdir().unwrap();
/// # let scope = Scope::Directory(dir.path().into());
/// # std::fs::write(dir.path().join("theirs"), b"13 bytes here\0\0\0").unwrap();
/// let name = Name::new("theirs")?;
/// let foreign = names::open_foreign(&name, &scope, Access::Read)?;
/// assert!(foreign.mapped_len() >= 13);
/// let section = foreign.into_section(13)?; // its maker's documentation says 13
/// assert_eq!(section.view::<Read>()?.read_vec(3..8)?, b"bytes");
/// # }
/// # Ok::<(), bifolio_map::Error>(())
/// ```
///
/// # Errors
/// `NotFound`, `PermissionDenied`; `NotMappable` for what is no section.
pub fn open_foreign(name: &Name, scope: &Scope, access: Access) -> Result<ForeignSection> {
    const DOING: &str = "open the foreign section";
    let place = place(scope, DOING)?;
    let label = place.label_of(name.as_str());
    let (object, size) = sys::open_foreign(&place, name.as_str(), access)
        .map_err(|error| explain(Error::os(DOING, error).at_path(&label)))?;
    Ok(ForeignSection { section: Section::of_foreign(object, access, label, name.clone(), size) })
}

impl ForeignSection {
    /// Bytes that the system keeps: at least as many as the maker asked for, rounded up to whole
    /// pages by Windows and macOS.
    #[must_use]
    pub fn mapped_len(&self) -> u64 {
        self.section.stated_len().unwrap_or(0)
    }

    /// The length without the zeros at the end.
    ///
    /// **Zeros may be data.** A number, a table that is filled in later, text that was cleared: all
    /// end with zeros that belong to them. Use this only for data whose last byte is never zero,
    /// such as text, and while nobody writes.
    ///
    /// # Errors
    /// Those of a view.
    pub fn trimmed_len(&self) -> Result<u64> {
        let view = self.section.view::<crate::Read>()?;
        let mut piece = [0; 16 << 10];
        let mut end = view.len();
        while end > 0 {
            let start = (end - 1) / piece.len() as u64 * piece.len() as u64;
            #[expect(clippy::cast_possible_truncation, reason = "at most the piece")]
            let part = &mut piece[..(end - start) as usize];
            view.read_at(start, part)?;
            if let Some(last) = part.iter().rposition(|&byte| byte != 0) {
                return Ok(start + last as u64 + 1);
            }
            end = start;
        }
        Ok(0)
    }

    /// The section, with the length in bytes that the caller knows. It keeps this length, or less
    /// if the maker shortens it: then accesses past its end are `UnexpectedEof`.
    ///
    /// # Errors
    /// `OutOfBounds` for more than [`mapped_len`](Self::mapped_len).
    pub fn into_section(self, len: u64) -> Result<Section> {
        let most = self.mapped_len();
        if len > most {
            return Err(self.section.fail(
                Error::new(ErrorKind::OutOfBounds, "take the stated length of")
                    .because(format!("asked for {len} bytes, it has at most {most}")),
            ));
        }
        Ok(self.section.with_stated_len(len))
    }
}
