//! The one `unsafe` door: mapped bytes as slices, for those who can promise what the types cannot.
#![expect(unsafe_code, reason = "lends mapped memory as references, under the caller's promise")]

use super::{Mode, View, Writable};

impl<M: Mode> View<M> {
    /// The bytes themselves, without a copy.
    ///
    /// # Safety
    /// For as long as the slice lives, the caller promises that
    /// - nobody writes these bytes: no other thread, no other process, no view, no `write` to the
    ///   file (of a copy-on-write view: to pages that were not written through it);
    /// - the file is not cut off below the end of the view, its device does not fail, and holes
    ///   can be filled: the system would raise a signal or an exception, which is not recovered
    ///   from a plain load and ends the process.
    ///
    /// A lock that all writers respect, or a file that nobody has open for writing, pays the first
    /// duty; nothing but knowledge of the machine pays the second.
    #[must_use]
    pub unsafe fn as_slice_unchecked(&self) -> &[u8] {
        // SAFETY: the span is mapped readable while `self` lives; the caller promises that the
        // bytes neither change nor vanish.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.span.size()) }
    }
}

impl<M: Writable> View<M> {
    /// The bytes themselves, for writing.
    ///
    /// # Safety
    /// As [`as_slice_unchecked`](View::as_slice_unchecked), and nobody else reads these bytes or
    /// holds a slice of them, through this view, a clone or part of it, or anything else that maps
    /// them. A store into a hole on a full device ends the process.
    ///
    /// Writes through the slice are not counted among [`View::changed`].
    #[must_use]
    #[expect(clippy::mut_from_ref, reason = "the caller promises to be the only one")]
    pub unsafe fn as_mut_slice_unchecked(&self) -> &mut [u8] {
        // SAFETY: the span is mapped writable while `self` lives; the caller promises the rest.
        unsafe { std::slice::from_raw_parts_mut(self.span.as_ptr(), self.span.size()) }
    }
}
