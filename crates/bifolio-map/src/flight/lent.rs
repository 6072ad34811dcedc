//! A buffer that the system may be writing.
#![expect(unsafe_code, reason = "takes vectors apart and puts them together again")]
#![allow(dead_code, reason = "where threads are all there is nothing is lent")]

use std::mem::ManuallyDrop;
use std::ptr::NonNull;

/// A vector whose spare room is in somebody else's hands. It is kept as bare numbers, so that no
/// Rust reference claims memory that the kernel writes, and it has no `Drop`: whoever loses one
/// leaks memory, and never frees what may still be written.
#[derive(Debug)]
pub(crate) struct Lent {
    start: NonNull<u8>,
    len: usize,
    capacity: usize,
}

// SAFETY: it owns its memory as a vector does; which thread frees it does not matter.
unsafe impl Send for Lent {}

impl Lent {
    /// Takes a vector apart.
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        let mut bytes = ManuallyDrop::new(bytes);
        let start = NonNull::new(bytes.as_mut_ptr()).expect("vectors have no null pointers");
        Self { start, len: bytes.len(), capacity: bytes.capacity() }
    }

    /// Where the spare room begins, and how much there is. The address stays good until the buffer
    /// has [landed](Self::land), wherever this value is moved meanwhile.
    pub(crate) fn room(&self) -> (*mut u8, usize) {
        (self.start.as_ptr().wrapping_add(self.len), self.capacity - self.len)
    }

    /// The vector again, longer by what was written into its room.
    ///
    /// # Safety
    /// Whoever was given the room has written its first `written` bytes, and writes no more.
    pub(crate) unsafe fn land(self, written: usize) -> Vec<u8> {
        let len = self.len + written;
        assert!(len <= self.capacity, "more was written than there was room");
        // SAFETY: these are the parts of the vector that `of` took apart, and `self` is consumed,
        // so they are put together once. The bytes up to `len` were in it or were written since,
        // which is the caller's promise, as is that nobody else accesses them any more.
        unsafe { Vec::from_raw_parts(self.start.as_ptr(), len, self.capacity) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_into_the_room_of_a_lent_vector_is_appended_when_it_lands() {
        let mut bytes = Vec::with_capacity(100);
        bytes.extend_from_slice(b"abc");
        let lent = Lent::of(bytes);
        let (to, room) = lent.room();
        assert_eq!(room, 97);
        // Moved about, as slots are when their table grows.
        let mut table = vec![None, Some(lent)];
        table.reserve(1000);
        // SAFETY: inside the room, which nobody else has.
        unsafe { to.copy_from_nonoverlapping(b"defg".as_ptr(), 4) };
        let lent = table.remove(1).unwrap();
        // SAFETY: four bytes were written, and no more are.
        let bytes = unsafe { lent.land(4) };
        assert_eq!(bytes, b"abcdefg");
        assert_eq!(bytes.capacity(), 100);
        // An empty one has room for nothing and lands too.
        let none = Lent::of(Vec::new());
        assert_eq!(none.room().1, 0);
        // SAFETY: nothing was written.
        assert_eq!(unsafe { none.land(0) }, b"");
    }
}
