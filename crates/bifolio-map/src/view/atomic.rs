//! Atomic words in a view: what processes agree by.
//!
//! Loads are acquire, stores are release, read-modify-writes are sequentially consistent. Weaker
//! orderings would save nothing measurable on the machines that have the assembly, and one rule is
//! easier to hold to. All of them act on the bytes of the machine's own byte order.

use super::explain::Doing;
use super::{Mode, View, Writable};
use crate::error::Result;
use crate::fault::guard::AtomicWord;
use crate::memory::{Stop, WordAt};

macro_rules! atomic_view {
    ($name:ident, $word:ty, $method:ident, $size:literal) => {
        #[doc = concat!("An aligned `", stringify!($word), "` in a view, shared by all who map it (of a copy-on-write view: by all who use that view).")]
        ///
        /// Each operation may meet a fault, as any access to a file may, and so returns a
        /// `Result`; its errors are those of [`View::read_at`] and [`View::write_at`].
        #[derive(Debug)]
        pub struct $name<'view, M: Mode> {
            view: &'view View<M>,
            word: WordAt<'view, $word>,
            offset: u64,
        }

        impl<M: Mode> Clone for $name<'_, M> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<M: Mode> Copy for $name<'_, M> {}

        impl<M: Mode> View<M> {
            #[doc = concat!("The atomic word of ", $size, " bytes at `offset`.")]
            ///
            /// # Errors
            /// `OutOfBounds`; `Misaligned` if its address is not a multiple of its size.
            #[inline]
            pub fn $method(&self, offset: u64) -> Result<$name<'_, M>> {
                let word = self
                    .span
                    .word(offset)
                    .map_err(|stop| self.explain(stop, Doing::Load, offset, $size))?;
                Ok($name { view: self, word, offset })
            }
        }

        impl<M: Mode> $name<'_, M> {
            /// Loads with acquire ordering.
            ///
            /// # Errors
            /// Those of [`View::read_at`].
            #[inline]
            pub fn load(&self) -> Result<$word> {
                self.word
                    .load_acquire()
                    .map_err(|stop| self.view.explain(stop, Doing::Load, self.offset, $size))
            }
        }

        impl<M: Writable> $name<'_, M> {
            /// Stores with release ordering.
            ///
            /// # Errors
            /// Those of [`View::write_at`].
            #[inline]
            pub fn store(&self, value: $word) -> Result<()> {
                let stored = self.word.store(value);
                self.view.note_change(self.offset, $size);
                stored.map_err(|stop| self.view.explain(stop, Doing::Store, self.offset, $size))
            }

            /// Stores and gives back what was there.
            ///
            /// # Errors
            /// Those of [`View::write_at`], and `NotSupported` on architectures without it.
            #[inline]
            pub fn swap(&self, value: $word) -> Result<$word> {
                self.modify(|| self.word.swap(value))
            }

            /// Adds, wrapping, and gives back what was there.
            ///
            /// # Errors
            /// As [`swap`](Self::swap).
            #[inline]
            pub fn fetch_add(&self, value: $word) -> Result<$word> {
                self.modify(|| self.word.add(value))
            }

            /// Subtracts, wrapping, and gives back what was there.
            ///
            /// # Errors
            /// As [`swap`](Self::swap).
            #[inline]
            pub fn fetch_sub(&self, value: $word) -> Result<$word> {
                self.fetch_add(value.wrapping_neg())
            }

            /// Sets bits and gives back what was there.
            ///
            /// # Errors
            /// As [`swap`](Self::swap).
            pub fn fetch_or(&self, bits: $word) -> Result<$word> {
                self.fetch_update(|old| old | bits)
            }

            /// Keeps only these bits and gives back what was there.
            ///
            /// # Errors
            /// As [`swap`](Self::swap).
            pub fn fetch_and(&self, bits: $word) -> Result<$word> {
                self.fetch_update(|old| old & bits)
            }

            /// Applies `change`, again whenever somebody came between, and gives back what was
            /// there.
            ///
            /// # Errors
            /// As [`swap`](Self::swap).
            pub fn fetch_update(&self, change: impl Fn($word) -> $word) -> Result<$word> {
                let mut old = self.load()?;
                loop {
                    match self.compare_exchange(old, change(old))? {
                        Ok(old) => return Ok(old),
                        Err(found) => old = found,
                    }
                }
            }

            /// Stores `new` if `expected` is there. The inner result is that of
            /// [`std::sync::atomic`]: what was there, `Err` if it was something else.
            ///
            /// # Errors
            /// As [`swap`](Self::swap).
            #[inline]
            pub fn compare_exchange(
                &self,
                expected: $word,
                new: $word,
            ) -> Result<Result<$word, $word>> {
                let found =
                    self.modify(|| self.word.compare_exchange(expected, new))?;
                Ok(if found == expected { Ok(found) } else { Err(found) })
            }

            #[inline]
            fn modify<W: AtomicWord>(
                &self,
                access: impl FnOnce() -> Result<W, Stop>,
            ) -> Result<W> {
                let outcome = access();
                self.view.note_change(self.offset, $size);
                outcome.map_err(|stop| self.view.explain(stop, Doing::Store, self.offset, $size))
            }
        }
    };
}

atomic_view!(AtomicU32View, u32, atomic_u32, 4);
atomic_view!(AtomicU64View, u64, atomic_u64, 8);
