//! Copies of sections in memory, and whether there is memory for them.

use std::ops::Range;

use super::{Section, room};
use crate::error::Result;

impl Section {
    /// A copy of the bytes as they are, in memory of their own. Bytes that others write meanwhile
    /// are in it or not. Holes stay holes: they take no memory until they are written.
    ///
    /// # Errors
    /// `OutOfMemory`, also if there is less memory left than the bytes need (see
    /// [`machine::memory_room`](crate::machine::memory_room)): taking it would have other programs killed, or this one.
    /// `StorageFault`, `UnexpectedEof` if it shrinks meanwhile.
    pub fn snapshot(&self) -> Result<Self> {
        let len = self.len()?;
        let data = data_between(&self.holes()?, len);
        self.want_memory(data.iter().map(|part| part.end - part.start).sum())?;
        let copy = Self::anonymous(len)?;
        let (from, to) =
            (self.view_of::<crate::Read>(0..len)?, copy.view_of::<crate::ReadWrite>(0..len)?);
        for part in data {
            from.copy_to(part.clone(), &to, part.start)?;
        }
        Ok(copy)
    }

    /// Refuses a copy in memory that is not to be had.
    pub(crate) fn want_memory(&self, bytes: u64) -> Result<()> {
        room::check_memory("copy into memory", bytes).map_err(|error| self.fail(error))
    }
}

/// What lies between holes.
fn data_between(holes: &[Range<u64>], len: u64) -> Vec<Range<u64>> {
    let starts = std::iter::once(0).chain(holes.iter().map(|hole| hole.end));
    let ends = holes.iter().map(|hole| hole.start).chain(std::iter::once(len));
    starts.zip(ends).filter(|(start, end)| start < end).map(|(start, end)| start..end).collect()
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "lists of ranges are meant")]
mod tests {
    use super::data_between;

    #[test]
    fn data_is_what_lies_between_holes() {
        assert_eq!(data_between(&[], 10), [0..10]);
        assert_eq!(data_between(&[], 0), []);
        assert_eq!(data_between(&[0..10], 10), []);
        assert_eq!(data_between(&[0..3, 5..7], 10), [3..5, 7..10]);
        assert_eq!(data_between(&[2..10], 10), [0..2]);
    }
}
