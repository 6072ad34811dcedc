//! Reading only what is in memory: an access that says so instead of waiting for a device.

use super::access::index;
use super::{Mode, View, ViewMode};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::Stop;
use crate::section::{Section, SectionKind};
use crate::sys;

use super::explain::Doing;

/// What became of [`View::try_read_at`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub enum TryRead {
    /// All bytes were in memory and are in the buffer now.
    Read,
    /// Some are on the device only: reading them would wait.
    NotResident {
        /// Bytes from the start of the buffer that were in memory and are in it now.
        read: usize,
    },
}

impl<M: Mode> View<M> {
    /// As [`read_at`](Self::read_at), but where that would wait for a device this says
    /// [`NotResident`](TryRead::NotResident). For threads that must not stand still: they ask here,
    /// and give what is not here to others, or to [`read_batch`](Self::read_batch).
    ///
    /// On Linux the kernel is asked to read without waiting (`RWF_NOWAIT`), in one step. Where it
    /// cannot (tmpfs, devices, copy-on-write views), and on macOS and Windows, residency is asked
    /// for first and the map is copied from then: a page that is reclaimed between the two is
    /// waited for. Windows tells the pages in use by this process and not those in its cache, so
    /// there `NotResident` may only mean "not touched yet". Unlike `read_at` it never shows zeros
    /// for bytes that were cut off.
    ///
    /// The question may make the system begin to read the bytes in.
    ///
    /// ```
    /// use bifolio_map::{ReadWrite, Section, TryRead, View};
    /// let view: View<ReadWrite> = Section::anonymous(4096)?.view()?;
    /// view.put(7, &42u8)?;
    /// let mut out = [0];
    /// assert_eq!(view.try_read_at(7, &mut out)?, TryRead::Read);
    /// assert_eq!(out, [42]);
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    ///
    /// # Errors
    /// As `read_at`; `NotSupported` where the system does not tell what is in memory: Linux keeps
    /// it from those who neither own a file nor may write it, where the map has to be asked.
    #[doc(alias = "RWF_NOWAIT")]
    #[doc(alias = "mincore")]
    pub fn try_read_at(&self, offset: u64, out: &mut [u8]) -> Result<TryRead> {
        if crate::range::inside(offset, out.len(), self.span.size()).is_none() {
            return Err(self.explain(Stop::Outside, Doing::Load, offset, out.len()));
        }
        let Some(section) = &self.section else {
            return self.read_at(offset, out).map(|()| TryRead::Read);
        };
        // A call shows the file, and a copy-on-write view its own pages.
        if M::MODE != ViewMode::CopyOnWrite
            && section.calls_meet_maps()
            && let Some(outcome) = self.try_by_call(section, offset, out)?
        {
            return Ok(outcome);
        }
        let outcome = self.try_by_map(section, offset, out)?;
        if section.kind() != SectionKind::Device {
            // Bytes that were cut off inside the last live page are resident zeros. So the length
            // is asked for after the copy.
            let read = match outcome {
                TryRead::Read => out.len(),
                TryRead::NotResident { read } => read,
            };
            let (start, live) = (self.offset + offset, section.len()?);
            if start + read as u64 > live {
                let done = index(live.saturating_sub(start));
                return Err(section.cut_off(start + done as u64, done, out.len()));
            }
        }
        Ok(outcome)
    }

    /// Reads by calls that do not wait; `None` if there are none for this file.
    fn try_by_call(
        &self,
        section: &Section,
        offset: u64,
        out: &mut [u8],
    ) -> Result<Option<TryRead>> {
        let mut read = 0;
        while read < out.len() {
            let at = self.offset + offset + read as u64;
            match sys::read_at_once(section.object(), at, &mut out[read..]) {
                Ok(sys::AtOnce::Read(0)) => return Err(section.cut_off(at, read, out.len())),
                Ok(sys::AtOnce::Read(size)) => read += size,
                Ok(sys::AtOnce::WouldWait) => return Ok(Some(TryRead::NotResident { read })),
                Ok(sys::AtOnce::Unknown) => return Ok(None),
                Err(error) => return Err(section.os("read", error).at_offset(at)),
            }
        }
        Ok(Some(TryRead::Read))
    }

    /// Asks for residency, run after run, and copies what is there.
    fn try_by_map(&self, section: &Section, offset: u64, out: &mut [u8]) -> Result<TryRead> {
        const DOING: &str = "try to read";
        if !sys::tells_residency(section.object()) {
            return Err(section
                .fail(Error::new(ErrorKind::NotSupported, DOING).at_offset(self.offset + offset))
                .because(
                    "the system tells what is in memory only to those who own the file or may \
                     write it",
                ));
        }
        let (start, end) = (index(offset), index(offset) + out.len());
        let mut read = 0;
        while read < out.len() {
            let here = self.span.resident_size(start + read..end).map_err(|error| {
                section.os(DOING, error).at_offset(self.offset + offset + read as u64)
            })?;
            let here = if here > 0 { here } else { self.hole_size(section, start + read..end) };
            if here == 0 {
                let at = self.offset + offset + read as u64;
                // What lies past the end of the file is never in memory, and is not waited for.
                let gone = section.kind() != SectionKind::Device && section.len()? <= at;
                return match gone {
                    true => Err(section.cut_off(at, read, out.len())),
                    false => Ok(TryRead::NotResident { read }),
                };
            }
            self.read_at(offset + read as u64, &mut out[read..read + here])?;
            read += here;
        }
        Ok(TryRead::Read)
    }

    /// Bytes from the start of `range` that lie in a hole of a file in memory: they are zeros, and
    /// no device is asked for them.
    fn hole_size(&self, section: &Section, range: std::ops::Range<usize>) -> usize {
        if !sys::lives_in_memory(section.object()) {
            return 0;
        }
        let start = self.offset + range.start as u64;
        let holes = sys::holes(section.object(), start..self.offset + range.end as u64);
        match holes.ok().and_then(|holes| holes.into_iter().next()) {
            Some(hole) if hole.start <= start => index(hole.end - start),
            _ => 0,
        }
    }
}
