//! Prefetching many ranges by few calls.

use std::ops::Range;

use super::{Mode, View};
use crate::error::{Error, Result};

/// What [`View::prefetch_list`] came down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prefetched {
    /// Ranges of whole pages, after those that touch were merged.
    pub ranges: usize,
    /// System calls that asked for them.
    pub calls: usize,
}

impl<M: Mode> View<M> {
    /// As [`prefetch`](Self::prefetch), for many ranges in whatever order: one system call for up
    /// to a thousand of them on Linux and Windows. Their pages are read side by side while the
    /// caller does something else; accesses then find them, or wait for less. To be handed the
    /// bytes as they arrive, use [`read_batch`](Self::read_batch).
    ///
    /// ```
    /// use bifolio_map::{ReadWrite, Section, View};
    /// let view: View<ReadWrite> = Section::temporary(1 << 20)?.view()?;
    /// let prefetched = view.prefetch_list(&[900_000..900_100, 0..5, 3..10])?;
    /// assert_eq!(prefetched.ranges, 2);
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    ///
    /// # Errors
    /// `OutOfBounds` before anything is asked for; otherwise what the system says, and then some
    /// of the ranges may be on their way.
    #[doc(alias = "process_madvise")]
    #[doc(alias = "PrefetchVirtualMemory")]
    pub fn prefetch_list(&self, ranges: &[Range<u64>]) -> Result<Prefetched> {
        const DOING: &str = "prefetch ranges of";
        let mut inside = Vec::with_capacity(ranges.len());
        for range in ranges {
            inside.push(self.resolve(range.clone(), DOING)?);
        }
        let (ranges, calls) =
            self.span.prefetch(&inside).map_err(|error| self.fail(Error::os(DOING, error)))?;
        Ok(Prefetched { ranges, calls })
    }
}
