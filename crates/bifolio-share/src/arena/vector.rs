//! A vector whose elements lie in an arena.

use std::marker::PhantomData;
use std::ops::Range;

use super::Arena;
use super::container::{Container, FIRST, LEN};
use crate::error::{Error, ErrorKind, Result};
use crate::lock::{MutexGuard, ReadGuard};
use crate::region::{Kind, Region};
use crate::shared::{self, Shared};
use crate::word::Pair;

/// Behind the lock: the block of the elements, or 0.
const DATA: u64 = FIRST;
/// The number of the element that is being set, plus one, and its new value.
const SET: u64 = 40;
const VALUE: u64 = 64;

/// The least room that is made, in elements.
const LEAST: u64 = 4;

/// Bytes that are moved at a time.
const PIECE: usize = 64 << 10;

/// A vector that processes share, with its elements in an [`Arena`]: it grows at its end, into larger
/// blocks.
///
/// Many read at a time, or one writes, as under an [`RwLock`](crate::RwLock). A process that dies in the
/// middle of a change has changed the vector or it has not; the next one to come sees to the rest, by
/// itself: there is neither poison nor repair.
///
/// ```
/// use bifolio_share::Region;
/// # let dir = tempfile::tempdir().unwrap();
/// let region = Region::create(dir.path().join("track"))?;
/// let arena = region.arena("arena", 1 << 20)?;
/// let track = region.vector::<[f64; 2]>("track", &arena)?;
/// track.push(&[1.0, 2.0])?;
/// track.extend(&[[3.0, 4.0], [5.0, 6.0]])?;
/// assert_eq!(track.get(1)?, Some([3.0, 4.0]));
/// track.set(1, &[0.0, 0.0])?;
/// assert_eq!(track.pop()?, Some([5.0, 6.0]));
/// assert_eq!(track.to_vec()?, [[1.0, 2.0], [0.0, 0.0]]);
/// # Ok::<(), bifolio_share::Error>(())
/// ```
#[derive(Debug)]
pub struct Vector<T> {
    its: Container,
    elements: PhantomData<fn() -> T>,
}

impl<T> Clone for Vector<T> {
    fn clone(&self) -> Self {
        Self { its: self.its.clone(), elements: PhantomData }
    }
}

impl Region {
    /// The vector of this name; if there is none, a new one without elements, which will be in `arena`.
    ///
    /// # Errors
    /// `InvalidInput` for elements of no bytes, or an arena of another region; `LayoutMismatch` also for
    /// another arena; otherwise those of [`mutex`](Self::mutex).
    pub fn vector<T: Shared>(&self, name: &str, arena: &Arena) -> Result<Vector<T>> {
        if size_of::<T>() == 0 {
            return Err(Error::new(ErrorKind::InvalidInput, "make a vector")
                .of(name)
                .because("its elements have no bytes"));
        }
        let (layout, bytes) = (T::SHARED_LAYOUT, VALUE + size_of::<T>() as u64);
        let its = Container::find(self, name, Kind::Vector, &layout, arena, bytes, 0)?;
        Ok(Vector { its, elements: PhantomData })
    }
}

impl<T: Shared> Vector<T> {
    const SIZE: u64 = size_of::<T>() as u64;

    /// How many elements there are.
    ///
    /// # Errors
    /// `Corrupt` if the vector's words are what nobody wrote; `TimedOut` if somebody does not
    /// go on with its lock; `Deadlock` if this thread writes; what became of the region's bytes.
    #[expect(
        clippy::len_without_is_empty,
        reason = "it may change before anybody asks for the one"
    )]
    pub fn len(&self) -> Result<u64> {
        let _reads = self.reads()?;
        self.elements().map(|(_, len)| len)
    }

    /// The element of this number, if there is one.
    ///
    /// # Errors
    /// Also `Corrupt` if the bytes are no value of `T`; otherwise those of [`len`](Self::len).
    pub fn get(&self, index: u64) -> Result<Option<T>> {
        let _reads = self.reads()?;
        let (data, len) = self.elements()?;
        if index < len { self.element(data, index).map(Some) } else { Ok(None) }
    }

    /// The elements of these numbers, as they are at one moment.
    ///
    /// # Errors
    /// `OutOfBounds` if there are not so many; otherwise those of [`get`](Self::get).
    pub fn range(&self, range: Range<u64>) -> Result<Vec<T>> {
        let _reads = self.reads()?;
        let (data, len) = self.elements()?;
        if range.start > range.end || range.end > len {
            return Err(self.outside(&format!("{} to {}", range.start, range.end), len));
        }
        range.map(|index| self.element(data, index)).collect()
    }

    /// All elements, as they are at one moment.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    pub fn to_vec(&self) -> Result<Vec<T>> {
        let _reads = self.reads()?;
        let (data, len) = self.elements()?;
        (0..len).map(|index| self.element(data, index)).collect()
    }

    /// Changes an element.
    ///
    /// # Errors
    /// `OutOfBounds` if there is none of this number; otherwise those of [`len`](Self::len).
    pub fn set(&self, index: u64, value: &T) -> Result<()> {
        let _writes = self.writes()?;
        let (data, len) = self.elements()?;
        if index >= len {
            return Err(self.outside(&index.to_string(), len));
        }
        let (at, bytes) = (data + index * Self::SIZE, shared::encode(value));
        if broken!(SetInPlace) {
            self.write(at, &bytes[..bytes.len() / 2])?;
            seam!();
            return self.write(at + bytes.len() as u64 / 2, &bytes[bytes.len() / 2..]);
        }
        // Whoever comes after our death writes it once more.
        self.write(self.its.words + VALUE, bytes)?;
        self.its.word(SET).swap(index + 1)?;
        self.write(at, bytes)?;
        seam!();
        self.its.word(SET).store(0)
    }

    /// Adds an element at the end.
    ///
    /// # Errors
    /// `Full` if the arena is, and nothing has changed; otherwise those of [`len`](Self::len).
    pub fn push(&self, value: &T) -> Result<()> {
        self.extend(std::slice::from_ref(value))
    }

    /// Adds all of these at the end, or none.
    ///
    /// # Errors
    /// Those of [`push`](Self::push).
    pub fn extend(&self, values: &[T]) -> Result<()> {
        let _writes = self.writes()?;
        let (mut data, len) = self.elements()?;
        let more = len + values.len() as u64;
        if more > self.room(data)? {
            data = self.grow(data, len, more)?;
        }
        if broken!(LongerFirst) {
            self.its.word(LEN).store(more)?;
            seam!();
        }
        for (index, value) in (len..).zip(values) {
            self.write(data + index * Self::SIZE, shared::encode(value))?;
        }
        self.its.word(LEN).store(more)
    }

    /// Takes the last element away, if there is one.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    pub fn pop(&self) -> Result<Option<T>> {
        let _writes = self.writes()?;
        let (data, len) = self.elements()?;
        let Some(last) = len.checked_sub(1) else { return Ok(None) };
        let value = self.element(data, last)?;
        self.its.word(LEN).store(last)?;
        Ok(Some(value))
    }

    /// Takes the elements from number `len` on away. Their room stays the vector's.
    ///
    /// # Errors
    /// Those of [`len`](Self::len).
    pub fn truncate(&self, len: u64) -> Result<()> {
        let _writes = self.writes()?;
        let (_, before) = self.elements()?;
        self.its.word(LEN).store(len.min(before))
    }

    /// Gives room that is not used back to the arena.
    ///
    /// # Errors
    /// `Full` if the arena has no smaller block; otherwise those of [`len`](Self::len).
    pub fn shrink_to_fit(&self) -> Result<()> {
        let _writes = self.writes()?;
        let (data, len) = self.elements()?;
        match data {
            0 => Ok(()),
            _ if len == 0 => self.lead_to(data, 0),
            _ => self.move_to(data, len, len).map(drop),
        }
    }

    fn reads(&self) -> Result<ReadGuard<'_, u32>> {
        self.its.reads(|| self.undo())
    }

    fn writes(&self) -> Result<MutexGuard<'_, u32>> {
        self.its.writes(|| self.undo())
    }

    /// Ends what one that died had begun.
    fn undo(&self) -> Result<()> {
        let (data, len) = self.elements()?;
        let set = self.its.word(SET);
        if let Some(index) = set.load()?.checked_sub(1).filter(|index| *index < len) {
            let from = self.its.words + VALUE;
            let value = self.its.arena.region.view().read_vec(from..from + Self::SIZE)?;
            self.write(data + index * Self::SIZE, &value)?;
        }
        set.store(0)?;
        let moved = self.its.moved()?;
        self.its.settle(moved, moved.map(|block| block == data))
    }

    /// Where the elements begin, and how many there are.
    fn elements(&self) -> Result<(u64, u64)> {
        let (data, len) = (self.its.word(DATA).load()?, self.its.word(LEN).load()?);
        if len > self.room(data)? {
            return Err(self.garbled());
        }
        Ok((data, len))
    }

    /// How many elements a block has room for.
    fn room(&self, data: u64) -> Result<u64> {
        if data == 0 {
            return Ok(0);
        }
        match self.its.arena.check(data, 0) {
            Ok(bytes) => Ok(bytes / Self::SIZE),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(self.garbled()),
            Err(error) => Err(error),
        }
    }

    /// Moves the elements to a block for twice as many, or for as many as there must be room for.
    fn grow(&self, data: u64, len: u64, least: u64) -> Result<u64> {
        let more = least.max(LEAST).max(self.room(data)?.saturating_mul(2));
        match self.move_to(data, len, more) {
            Err(error) if error.kind() == ErrorKind::Full && least < more => {
                self.move_to(data, len, least)
            }
            moved => moved,
        }
    }

    /// Moves the elements to another block; where they are then.
    fn move_to(&self, data: u64, len: u64, room: u64) -> Result<u64> {
        let mut draft = self.its.arena.alloc_bytes(room.saturating_mul(Self::SIZE))?;
        let end = len * Self::SIZE;
        for start in (0..end).step_by(PIECE) {
            let piece = data + start..data + end.min(start + PIECE as u64);
            draft.write_at(start, &self.its.arena.region.view().read_vec(piece)?)?;
        }
        let block = self.its.comes(draft)?;
        seam!();
        self.lead_to(data, block)?;
        Ok(block)
    }

    /// Has the vector's elements in `block` from here on, if it is not 0, and frees where they were.
    fn lead_to(&self, before: u64, block: u64) -> Result<()> {
        if before != 0 {
            self.its.goes(before)?;
        }
        self.its.word(DATA).swap(block)?;
        seam!();
        if block != 0 {
            self.its.has_come(block)?;
        }
        if before != 0 {
            self.its.is_gone(before)?;
        }
        self.its.nothing_moves()
    }

    fn element(&self, data: u64, index: u64) -> Result<T> {
        self.its.arena.region.decode(data + index * Self::SIZE)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        Ok(self.its.arena.region.view().write_at(at, bytes)?)
    }

    #[cold]
    fn outside(&self, asked: &str, len: u64) -> Error {
        let error = Error::new(ErrorKind::OutOfBounds, "use the vector")
            .because(format!("asked for {asked}, of {len} elements"));
        self.its.arena.region.explain(error, self.its.words)
    }

    #[cold]
    fn garbled(&self) -> Error {
        self.its.garbled("use the vector")
    }
}

const _: () = {
    const fn sent<T: Send + Sync>() {}
    sent::<Vector<u64>>();
};

#[cfg(test)]
mod tests {
    use super::super::container::{ARENA, COMING, GOING};
    use super::*;
    use crate::region::header::tests::{page, row};

    #[test]
    fn the_words_lie_as_the_page_says() {
        let row = |name, at| row(name, at, 8);
        let expected = [
            row("data", DATA),
            row("arena", ARENA),
            row("len", LEN),
            row("coming", COMING),
            row("going", GOING),
            row("set", SET),
        ];
        assert_eq!(page("Vector"), expected);
        let text = include_str!("../../FORMAT.md");
        assert!(text.contains(&format!("| {VALUE} | | `value` |")));
    }
}
