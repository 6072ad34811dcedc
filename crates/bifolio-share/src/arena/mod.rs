//! The arena: memory that processes allocate from together.

mod container;
mod draft;
mod hints;
mod map;
mod off;
mod slabs;
mod vector;

pub use draft::Draft;
pub use map::HashMap;
pub use off::{Extent, Off};
pub use vector::Vector;

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::region::{Kind as ObjectKind, Region};
use crate::shared::{self, Layout, Shared};
use crate::word::{ViewWord, Word};
use hints::Hints;
use slabs::{
    Kind, NOBODY, PUBLISHED, Place, SIZES, SLAB, WHOLE, blocks_of, class_of, is_public,
    size_of_class,
};

const SLABS: u64 = 16;
const INTENT: u64 = 24;
const TABLE: u64 = 64;
/// From one slab's entry in the table to the next.
const ENTRY: u64 = 16;
/// Words for the blocks of a slab: as many as it has of the smallest.
const WORDS_OF_A_SLAB: u64 = SLAB / SIZES[0] as u64;
const LINE: u64 = 64;

/// The most slabs: a tebibyte.
const MOST_SLABS: u64 = 1 << 24;

/// Memory of a fixed size from which all participants allocate: values, and runs of bytes.
///
/// What is allocated belongs to its maker until it is [published](Draft::publish): a maker that dies
/// before leaves it to be swept up, by [`sweep`](Self::sweep) or by whoever finds the arena full. What
/// is published stays until somebody frees it, whoever that is. Small blocks (up to 32 KiB) are
/// taken and freed without a lock.
///
/// An [`Off`] can be stored, in a value of the arena or anywhere else. Nothing keeps two from leading to
/// the same block, or a block from being freed while others know it: then they find another value
/// there, or `NotFound`, and never memory that is not the arena's.
///
/// Every block has the least of twenty sizes between 32 bytes and 32 KiB that holds it, larger ones are
/// whole slabs of 64 KiB; beside its 64 KiB each slab costs 8 KiB and 16 bytes.
///
/// ```
/// use bifolio_share::Region;
/// # let dir = tempfile::tempdir().unwrap();
/// let region = Region::create(dir.path().join("shapes"))?;
/// let arena = region.arena("arena", 1 << 20)?;
/// let point = arena.alloc(&[1.0_f64, 2.0])?.publish()?;
/// assert_eq!(arena.get(point)?, [1.0, 2.0]);
/// arena.free(point)?;
/// assert!(arena.get(point).is_err());
/// # Ok::<(), bifolio_share::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Arena {
    region: Region,
    offset: u64,
    slabs: u32,
    /// Where the words of blocks begin, and where the slabs do.
    words: u64,
    start: u64,
    hints: Arc<Hints>,
}

/// How an arena is used, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ArenaStats {
    /// Bytes of all slabs.
    pub bytes: u64,
    /// Bytes of slabs that are for nothing yet.
    pub free: u64,
    /// Blocks that are published.
    pub published: u64,
    /// Blocks that are not, their makers alive or dead.
    pub unpublished: u64,
}

impl Region {
    /// The arena of this name; if there is none, a new one of at least `bytes` bytes, in slabs of
    /// 64 KiB. All of it is allocated at once.
    ///
    /// # Errors
    /// `InvalidInput` for no bytes, or more than a tebibyte; `LayoutMismatch` also for another size;
    /// `Full` if the region or the device has no room; otherwise those of [`mutex`](Self::mutex).
    pub fn arena(&self, name: &str, bytes: u64) -> Result<Arena> {
        let slabs = bytes.div_ceil(SLAB);
        if slabs == 0 || slabs > MOST_SLABS {
            return Err(Error::new(ErrorKind::InvalidInput, "make an arena")
                .of(name)
                .because(format!("it has 1 to {} bytes, not {bytes}", MOST_SLABS * SLAB)));
        }
        let slabs = u32::try_from(slabs).expect("2^24 at most");
        let size = start_of(slabs) + u64::from(slabs) * SLAB;
        let fill = |offset| {
            self.zero(offset, start_of(slabs))?;
            ViewWord::new(self.view(), offset + SLABS).store(slabs)
        };
        let object = self.object(name, ObjectKind::Arena, size, &Arena::LAYOUT, fill)?;
        let offset = object.offset;
        let hints = Arc::new(Hints::new());
        let (words, start) = (offset + words_of(slabs), offset + start_of(slabs));
        Ok(Arena { region: self.clone(), offset, slabs, words, start, hints })
    }
}

/// Where the words of blocks begin.
fn words_of(slabs: u32) -> u64 {
    (TABLE + u64::from(slabs) * ENTRY).next_multiple_of(LINE)
}

/// Where the slabs begin.
fn start_of(slabs: u32) -> u64 {
    words_of(slabs) + u64::from(slabs) * WORDS_OF_A_SLAB * 4
}

impl Arena {
    /// What it is called in the directory; there is no value of one type.
    const LAYOUT: Layout = u32::SHARED_LAYOUT;

    /// Allocates a value. Dropping what is given back frees it.
    ///
    /// # Errors
    /// `Full`, after what the dead had left was swept up; `Forked` in a forked child; `Corrupt` if the
    /// arena's words are what nobody wrote; what became of the region's bytes.
    pub fn alloc<T: Shared>(&self, value: &T) -> Result<Draft<'_, T>> {
        let mut draft = self.draft(size_of::<T>() as u64)?;
        draft.write_at(0, shared::encode(value))?;
        Ok(draft)
    }

    /// Allocates bytes, which hold what was there before until they are written. Dropping what is given
    /// back frees them.
    ///
    /// # Errors
    /// Those of [`alloc`](Self::alloc).
    pub fn alloc_bytes(&self, len: u64) -> Result<Draft<'_, [u8]>> {
        self.draft(len)
    }

    fn draft<T: ?Sized>(&self, len: u64) -> Result<Draft<'_, T>> {
        self.region.participant().check()?;
        let (place, at) = match class_of(len) {
            Some(class) => {
                let place = self.small(class)?;
                (place, self.at(place, class))
            }
            None => {
                let place = self.large(len)?;
                (place, self.start + u64::from(place.slab) * SLAB)
            }
        };
        Ok(Draft::of(self, place, at, len))
    }

    #[inline]
    fn at(&self, place: Place, class: u32) -> u64 {
        let inside = u64::from(place.index) * u64::from(size_of_class(class));
        self.start + u64::from(place.slab) * SLAB + inside
    }

    /// Takes a block of a class.
    #[inline]
    fn small(&self, class: u32) -> Result<Place> {
        // What others have taken meanwhile, or a slab that became another one, is passed over.
        while let Some(place) = self.hints.pop(class) {
            if place.slab < self.slabs
                && place.index < blocks_of(class)
                && self.take(place, class, self.region.me())?
            {
                return Ok(place);
            }
        }
        self.small_elsewhere(class)
    }

    fn small_elsewhere(&self, class: u32) -> Result<Place> {
        let me = self.region.me();
        let found = |place: Place| {
            self.hints.search_behind(class, place);
            Ok(place)
        };
        let cursor = self.hints.cursor(class);
        for step in 0..self.slabs {
            let slab = (cursor.slab + step) % self.slabs;
            let index = if step == 0 { cursor.index } else { 0 };
            if let Some(place) = self.take_in(slab, index, class, me)? {
                return found(place);
            }
        }
        let lock = self.lock()?;
        if let Some(place) = self.take_new(&lock, class, me)? {
            return found(place);
        }
        self.sweep_locked(&lock)?;
        if let Some(place) = self.take_new(&lock, class, me)? {
            return found(place);
        }
        for slab in 0..self.slabs {
            if let Some(place) = self.take_in(slab, 0, class, me)? {
                return found(place);
            }
        }
        Err(self.full(u64::from(size_of_class(class))))
    }

    fn large(&self, len: u64) -> Result<Place> {
        let me = self.region.me();
        let wanted = len.div_ceil(SLAB);
        let Some(slabs) = u32::try_from(wanted).ok().filter(|slabs| *slabs <= self.slabs) else {
            return Err(self.full(len));
        };
        let lock = self.lock()?;
        if let Some(place) = self.take_run(&lock, slabs, me)? {
            return Ok(place);
        }
        self.sweep_locked(&lock)?;
        self.take_run(&lock, slabs, me)?.ok_or_else(|| self.full(len))
    }

    #[cold]
    fn full(&self, len: u64) -> Error {
        let why = format!("no block of {len} bytes is free, of {} bytes", self.bytes());
        let error = Error::new(ErrorKind::Full, "allocate").because(why);
        self.region.explain(error, self.offset)
    }

    /// The block that begins at an offset, and its bytes.
    #[inline]
    fn find(&self, at: u64) -> Result<(Place, Kind, u64)> {
        let inside = at.wrapping_sub(self.start);
        if at < self.start || inside >= self.bytes() {
            return Err(self.nothing_at(at));
        }
        let slab = u32::try_from(inside / SLAB).expect("slabs are numbered by 24 bits");
        let within = u32::try_from(inside % SLAB).expect("16 bits");
        let kind = self.kind(slab)?;
        match kind {
            Kind::Blocks(class) if within.is_multiple_of(size_of_class(class)) => {
                let index = within / size_of_class(class);
                if index < blocks_of(class) {
                    return Ok((Place { slab, index }, kind, size_of_class(class).into()));
                }
            }
            Kind::First if within == 0 => {
                let size = u64::from(self.run_of(slab)?) * SLAB;
                return Ok((Place { slab, index: WHOLE }, kind, size));
            }
            _ => {}
        }
        Err(self.nothing_at(at))
    }

    /// That a published block of so many bytes begins at an offset; how many it has.
    #[inline]
    fn check(&self, at: u64, len: u64) -> Result<u64> {
        self.region.participant().check()?;
        let (place, _, size) = self.find(at)?;
        if len > size || !is_public(self.word(place).load()?) {
            return Err(self.nothing_at(at));
        }
        Ok(size)
    }

    #[cold]
    fn nothing_at(&self, at: u64) -> Error {
        let why = "no published block of this size begins there";
        Error::new(ErrorKind::NotFound, "use the arena")
            .of(self.region.label())
            .at_offset(at)
            .because(why)
    }

    /// The value.
    ///
    /// # Errors
    /// `NotFound` if no published block for such a value begins there; `Corrupt` if its bytes are no
    /// value of `T`; otherwise those of [`alloc`](Self::alloc).
    pub fn get<T: Shared>(&self, off: Off<T>) -> Result<T> {
        self.check(off.get(), size_of::<T>() as u64)?;
        self.region.decode(off.get())
    }

    /// Stores a value. What others write or read at the same time is mixed with it: who shares a value
    /// shares a lock too.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    pub fn set<T: Shared>(&self, off: Off<T>, value: &T) -> Result<()> {
        self.check(off.get(), size_of::<T>() as u64)?;
        Ok(self.region.view().write_at(off.get(), shared::encode(value))?)
    }

    /// Copies bytes of an extent out.
    ///
    /// # Errors
    /// `OutOfBounds` behind its end; otherwise those of [`get`](Self::get).
    pub fn read_at(&self, extent: Extent, offset: u64, bytes: &mut [u8]) -> Result<()> {
        self.check_part(extent, offset, bytes.len())?;
        Ok(self.region.view().read_at(extent.offset() + offset, bytes)?)
    }

    /// Copies bytes into an extent.
    ///
    /// # Errors
    /// Those of [`read_at`](Self::read_at).
    pub fn write_at(&self, extent: Extent, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check_part(extent, offset, bytes.len())?;
        Ok(self.region.view().write_at(extent.offset() + offset, bytes)?)
    }

    fn check_part(&self, extent: Extent, offset: u64, len: usize) -> Result<()> {
        if offset.checked_add(len as u64).is_none_or(|end| end > extent.len()) {
            return Err(Error::new(ErrorKind::OutOfBounds, "use a part of an extent")
                .because(format!("asked for {len} bytes at {offset}, of {}", extent.len())));
        }
        self.check(extent.offset(), extent.len()).map(drop)
    }

    /// Frees a value.
    ///
    /// # Errors
    /// `NotFound` if no published block begins there, because it was freed already, for one; otherwise
    /// those of [`alloc`](Self::alloc).
    pub fn free<T>(&self, off: Off<T>) -> Result<()> {
        self.free_at(off.get(), PUBLISHED)
    }

    /// Frees bytes.
    ///
    /// # Errors
    /// Those of [`free`](Self::free).
    pub fn free_bytes(&self, extent: Extent) -> Result<()> {
        self.free_at(extent.offset(), PUBLISHED)
    }

    /// The word of a block that the map or vector whose words lie there moves.
    fn moved_by(&self, words: u64) -> Result<u32> {
        let number = u32::try_from(words / LINE).ok().filter(|number| *number < 1 << 31);
        number
            .map(|number| number << 1 | 1)
            .ok_or_else(|| self.garbled("where a hash map or vector lies"))
    }

    /// Changes the word of a public block from one state to another one.
    fn change(&self, at: u64, from: u32, to: u32) -> Result<()> {
        let (place, ..) = self.find(at)?;
        match self.word(place).compare_exchange(from, to)? {
            Ok(_) => Ok(()),
            Err(_) => Err(self.nothing_at(at)),
        }
    }

    fn free_at(&self, at: u64, from: u32) -> Result<()> {
        self.region.participant().check()?;
        let (place, kind, _) = self.find(at)?;
        match kind {
            Kind::Blocks(class) if self.give_back(place, from)? => {
                self.hints.push(class, place);
                Ok(())
            }
            Kind::First if self.give_run_back(&self.lock()?, place.slab, from)? => Ok(()),
            _ => Err(self.nothing_at(at)),
        }
    }

    /// Frees what participants that died had allocated and not published; how many blocks. Slabs none of
    /// whose blocks is in use can be for blocks of another size then.
    ///
    /// # Errors
    /// `TimedOut` if somebody does not go on with the arena's lock; otherwise those of
    /// [`alloc`](Self::alloc).
    pub fn sweep(&self) -> Result<u64> {
        let lock = self.lock()?;
        self.sweep_locked(&lock)
    }

    /// How the arena is used; others change it meanwhile.
    ///
    /// # Errors
    /// Those of [`sweep`](Self::sweep).
    pub fn stats(&self) -> Result<ArenaStats> {
        let _lock = self.lock()?;
        let mut stats = ArenaStats { bytes: self.bytes(), free: 0, published: 0, unpublished: 0 };
        for slab in 0..self.slabs {
            let blocks = match self.kind(slab)? {
                Kind::Blocks(class) => 0..=blocks_of(class) - 1,
                Kind::First => WHOLE..=WHOLE,
                Kind::Rest => continue,
                Kind::Free => {
                    stats.free += SLAB;
                    continue;
                }
            };
            for index in blocks {
                match self.word(Place { slab, index }).load()? {
                    NOBODY => {}
                    word if is_public(word) => stats.published += 1,
                    _ => stats.unpublished += 1,
                }
            }
        }
        Ok(stats)
    }

    /// Bytes of all slabs.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> u64 {
        u64::from(self.slabs) * SLAB
    }
}

const _: () = {
    const fn sent<T: Send + Sync>() {}
    sent::<Arena>();
    sent::<Draft<'_, u64>>();
    sent::<Off<u64>>();
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::header::tests::{page, row};

    #[test]
    fn the_words_lie_as_the_page_says() {
        let expected = [row("lock", 0, 16), row("slabs", SLABS, 4), row("intent", INTENT, 8)];
        assert_eq!(page("Arena"), expected);
        let text = include_str!("../../FORMAT.md");
        assert!(text.contains(&format!("| {TABLE} | | `table` |")));
        assert_eq!(
            page("Slab of an arena"),
            [row("kind", 0, 4), row("run", 4, 4), row("full", 8, 4), row("owner", 12, 4)]
        );
        for (class, size) in SIZES.iter().enumerate() {
            assert!(text.contains(&format!("| {} | {size} |", class + 1)), "{size}");
        }
    }
}
