//! What has a lock of its own and its parts in an arena: hash maps and vectors.
//!
//! Blocks on their way into it or out of it are in two words, and say themselves whose they are. So who
//! comes after a death ends what the dead had begun: a block to which something leads stays, any other
//! one is free.

use super::slabs::PUBLISHED;
use super::{Arena, Draft};
use crate::error::{Error, ErrorKind, Result};
use crate::lock::{Lock, MutexGuard, ReadGuard, RwLock};
use crate::region::{Kind, Object, Region};
use crate::shared::Layout;
use crate::word::{Pair, ViewPair};

/// Behind the lock: a word of the kind's own, and those that all have.
pub(super) const FIRST: u64 = 0;
pub(super) const ARENA: u64 = 8;
pub(super) const LEN: u64 = 16;
/// The block that is being added, and the one that is being taken away.
pub(super) const COMING: u64 = 24;
pub(super) const GOING: u64 = 32;

const LINE: u64 = 64;

/// The lock and the words.
#[derive(Clone, Debug)]
pub(super) struct Container {
    lock: RwLock<u32>,
    pub(super) arena: Arena,
    /// Where the words begin.
    pub(super) words: u64,
}

impl Container {
    /// The one of this name; if there is none, a new one of so many bytes of words.
    pub(super) fn find(
        region: &Region,
        name: &str,
        kind: Kind,
        layout: &Layout,
        arena: &Arena,
        bytes: u64,
        first: u64,
    ) -> Result<Self> {
        let refuse = |kind, why: String| Err(Error::new(kind, "make").of(name).because(why));
        if !region.is_same(&arena.region) {
            return refuse(ErrorKind::InvalidInput, "its arena is another region's".into());
        }
        let behind_lock = RwLock::<u32>::size(region).next_multiple_of(LINE);
        let fill = |offset| {
            RwLock::initialise(region, offset, &0_u32)?;
            region.zero(offset + behind_lock, bytes)?;
            let word = |at| ViewPair::new(region.view(), offset + behind_lock + at);
            word(FIRST).store(first)?;
            word(ARENA).store(arena.offset)
        };
        let object: Object = region.object(name, kind, behind_lock + bytes, layout, fill)?;
        let lock = RwLock::at(region.clone(), &object);
        let words = object.offset + behind_lock;
        let found = Self { lock, arena: arena.clone(), words };
        let its = found.word(ARENA).load()?;
        if its != arena.offset {
            let why = format!("its parts are in the arena at {its}");
            return refuse(ErrorKind::LayoutMismatch, why);
        }
        Ok(found)
    }

    /// Takes the lock for reading, after what one that died has left is in order. Whoever has it for longer
    /// than the region's patience is stopped, or the words are what nobody wrote.
    pub(super) fn reads(&self, undo: impl Fn() -> Result<()>) -> Result<ReadGuard<'_, u32>> {
        loop {
            let guard = self.lock.read_with(self.arena.region.patience())?;
            if guard.unsound().is_none() {
                return Ok(guard);
            }
            drop(guard);
            drop(self.writes(&undo)?);
        }
    }

    /// Takes the lock for writing, and ends what one that died with it had begun.
    pub(super) fn writes(&self, undo: impl Fn() -> Result<()>) -> Result<MutexGuard<'_, u32>> {
        match self.lock.write_with(self.arena.region.patience())? {
            Lock::Sound(guard) => Ok(guard),
            Lock::Unsound(left) => {
                undo()?;
                left.repaired()
            }
        }
    }

    fn mine(&self) -> Result<u32> {
        self.arena.moved_by(self.words)
    }

    /// Makes a block everybody's that is on its way into this; where it lies.
    pub(super) fn comes<T: ?Sized>(&self, draft: Draft<'_, T>) -> Result<u64> {
        let mine = self.mine()?;
        self.word(COMING).store(draft.at())?;
        draft.publish_as(mine)
    }

    /// Something leads to the block now.
    pub(super) fn has_come(&self, block: u64) -> Result<()> {
        self.arena.change(block, self.mine()?, PUBLISHED)
    }

    /// The block is on its way out of this.
    pub(super) fn goes(&self, block: u64) -> Result<()> {
        self.word(GOING).store(block)?;
        self.arena.change(block, PUBLISHED, self.mine()?)
    }

    /// Nothing leads to the block any more.
    pub(super) fn is_gone(&self, block: u64) -> Result<()> {
        self.arena.free_at(block, self.mine()?)
    }

    /// The blocks that are on their way, if they are not 0.
    pub(super) fn moved(&self) -> Result<[u64; 2]> {
        Ok([self.word(COMING).load()?, self.word(GOING).load()?])
    }

    /// Ends what one that died had begun, of whose blocks something leads to these or not.
    ///
    /// A block on its way says so, and of what: one that does not say it was not published yet, or
    /// was freed, and may be anybody's since.
    pub(super) fn settle(&self, moved: [u64; 2], led_to: [bool; 2]) -> Result<()> {
        for (block, led_to) in moved.into_iter().zip(led_to) {
            let outcome = match led_to {
                _ if block == 0 || broken!(EntryLost) => Ok(()),
                true => self.has_come(block),
                false => self.is_gone(block),
            };
            match outcome {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                outcome => outcome?,
            }
        }
        self.nothing_moves()
    }

    pub(super) fn nothing_moves(&self) -> Result<()> {
        self.word(COMING).store(0)?;
        self.word(GOING).store(0)
    }

    pub(super) fn word(&self, at: u64) -> ViewPair<'_> {
        self.pair(self.words + at)
    }

    pub(super) fn pair(&self, at: u64) -> ViewPair<'_> {
        ViewPair::new(self.arena.region.view(), at)
    }

    /// The error for parts that nobody left so.
    #[cold]
    pub(super) fn garbled(&self, doing: &'static str) -> Error {
        let error =
            Error::new(ErrorKind::Corrupt, doing).because("its words lead where nobody led them");
        self.arena.region.explain(error, self.words)
    }
}
