//! A hash map whose entries lie in an arena.

use std::marker::PhantomData;

use super::Arena;
use super::slabs::PUBLISHED;
use crate::error::{Error, ErrorKind, Result};
use crate::lock::{Lock, MutexGuard, ReadGuard, RwLock};
use crate::region::{Kind, Object, Region};
use crate::shared::{self, Field, Layout, Shared};
use crate::word::{Pair, ViewPair};

/// Behind the lock: what the map is.
const BUCKETS: u64 = 0;
const ARENA: u64 = 8;
const LEN: u64 = 16;
/// The entry that is being added, and the one that is being taken away; what nothing leads to of them is
/// free.
const COMING: u64 = 24;
const GOING: u64 = 32;
const HEADS: u64 = 64;
const LINE: u64 = 64;

/// In an entry: where the next one of its bucket is, its key's hash, and then key and value.
const NEXT: u64 = 0;
const HASH: u64 = 8;
const KEY: u64 = 16;

/// The most buckets.
const MOST_BUCKETS: u32 = 1 << 28;

/// A map from keys to values that processes share, with its entries in an [`Arena`].
///
/// Many read at a time, or one writes, as under an [`RwLock`]. A process that dies in the middle of a
/// change has changed the map or it has not; the next one to come sees to it that nothing of it is
/// left in the arena, by itself: there is neither poison nor repair.
///
/// Keys are compared by their bytes. The number of buckets is the map's for ever: with many more
/// entries than buckets it becomes slow, and is right all the same.
///
/// ```
/// use bifolio_share::Region;
/// # let dir = tempfile::tempdir().unwrap();
/// let region = Region::create(dir.path().join("stock"))?;
/// let arena = region.arena("arena", 1 << 20)?;
/// let stock = region.hash_map::<u64, u32>("stock", &arena, 1000)?;
/// stock.insert(&4711, &3)?;
/// assert_eq!(stock.insert(&4711, &2)?, Some(3));
/// assert_eq!(stock.get(&4711)?, Some(2));
/// assert_eq!(stock.remove(&4711)?, Some(2));
/// assert_eq!(stock.get(&4711)?, None);
/// # Ok::<(), bifolio_share::Error>(())
/// ```
#[derive(Debug)]
pub struct HashMap<K, V> {
    lock: RwLock<u32>,
    arena: Arena,
    /// Where its words begin.
    words: u64,
    buckets: u32,
    entries: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for HashMap<K, V> {
    fn clone(&self) -> Self {
        let (lock, arena) = (self.lock.clone(), self.arena.clone());
        Self { lock, arena, entries: PhantomData, ..*self }
    }
}

impl Region {
    /// The hash map of this name; if there is none, a new one of `buckets` buckets (a power of two, or
    /// the next one), whose entries will be in `arena`.
    ///
    /// # Errors
    /// `InvalidInput` for no buckets, more than 2^28, or an arena of another region; `LayoutMismatch`
    /// also for another number of buckets or another arena; otherwise those of [`mutex`](Self::mutex).
    pub fn hash_map<K: Shared, V: Shared>(
        &self,
        name: &str,
        arena: &Arena,
        buckets: u32,
    ) -> Result<HashMap<K, V>> {
        let refuse =
            |kind, why: String| Err(Error::new(kind, "make a hash map").of(name).because(why));
        if buckets == 0 || buckets > MOST_BUCKETS {
            let why = format!("it has 1 to {MOST_BUCKETS} buckets, not {buckets}");
            return refuse(ErrorKind::InvalidInput, why);
        }
        if !self.is_same(&arena.region) {
            return refuse(ErrorKind::InvalidInput, "its arena is another region's".into());
        }
        let buckets = buckets.next_power_of_two();
        let behind_lock = RwLock::<u32>::size(self).next_multiple_of(LINE);
        let size = behind_lock + HEADS + u64::from(buckets) * 8;
        let fill = |offset| {
            RwLock::initialise(self, offset, &0_u32)?;
            self.zero(offset + behind_lock, size - behind_lock)?;
            let word = |at| ViewPair::new(self.view(), offset + behind_lock + at);
            word(BUCKETS).store(buckets.into())?;
            word(ARENA).store(arena.offset)
        };
        let layout = HashMap::<K, V>::LAYOUT;
        let object: Object = self.object(name, Kind::HashMap, size, &layout, fill)?;
        let map = HashMap {
            lock: RwLock::at(self.clone(), &object),
            arena: arena.clone(),
            words: object.offset + behind_lock,
            buckets,
            entries: PhantomData,
        };
        let found = map.word(ARENA).load()?;
        if found != arena.offset {
            let why = format!("its entries are in the arena at {found}");
            return refuse(ErrorKind::LayoutMismatch, why);
        }
        Ok(map)
    }
}

impl<K: Shared, V: Shared> HashMap<K, V> {
    /// What is compared: keys and values.
    const LAYOUT: Layout = Layout::structure(
        "HashMap",
        size_of::<K>() + size_of::<V>(),
        1,
        &[
            Field::new("key", 0, &K::SHARED_LAYOUT),
            Field::new("value", size_of::<K>(), &V::SHARED_LAYOUT),
        ],
    );

    /// Bytes of an entry.
    const ENTRY: u64 = KEY + (size_of::<K>() + size_of::<V>()) as u64;

    /// The value of a key.
    ///
    /// # Errors
    /// `Corrupt` if the map's words are what nobody wrote, or the bytes no value of `V`; `Deadlock` if
    /// this thread writes; what became of the region's bytes.
    pub fn get(&self, key: &K) -> Result<Option<V>> {
        let _reads = self.reads()?;
        match self.find(key)? {
            (_, Some(entry)) => self.value_of(entry).map(Some),
            _ => Ok(None),
        }
    }

    /// Sets the value of a key; what it was before.
    ///
    /// # Errors
    /// `Full` if the arena is, and nothing has changed; otherwise those of [`get`](Self::get).
    pub fn insert(&self, key: &K, value: &V) -> Result<Option<V>> {
        let _writes = self.writes()?;
        let (link, found) = self.find(key)?;
        let before = found.map(|entry| self.value_of(entry)).transpose()?;
        let next = match found {
            Some(entry) => self.next_of(entry)?,
            None => 0,
        };
        let mut draft = self.arena.alloc_bytes(Self::ENTRY)?;
        draft.write_at(NEXT, &next.to_ne_bytes())?;
        draft.write_at(HASH, &hash_of(key).to_ne_bytes())?;
        draft.write_at(KEY, shared::encode(key))?;
        draft.write_at(KEY + size_of::<K>() as u64, shared::encode(value))?;
        let mine = self.arena.moved_by(self.words)?;
        self.word(COMING).store(draft.at())?;
        let entry = draft.publish_as(mine)?;
        seam!();
        if let Some(old) = found {
            self.word(GOING).store(old)?;
            self.arena.change(old, PUBLISHED, mine)?;
        }
        // From here on it is in the map, in the place of what was there.
        self.pair(link).swap(entry)?;
        seam!();
        self.arena.change(entry, mine, PUBLISHED)?;
        match found {
            Some(old) => self.arena.free_at(old, mine)?,
            None => self.count(1)?,
        }
        self.done()?;
        Ok(before)
    }

    /// Takes a key away; what its value was.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    pub fn remove(&self, key: &K) -> Result<Option<V>> {
        let _writes = self.writes()?;
        let (link, Some(entry)) = self.find(key)? else { return Ok(None) };
        let value = self.value_of(entry)?;
        let mine = self.arena.moved_by(self.words)?;
        self.word(GOING).store(entry)?;
        self.arena.change(entry, PUBLISHED, mine)?;
        self.pair(link).swap(self.next_of(entry)?)?;
        seam!();
        self.arena.free_at(entry, mine)?;
        self.count(1_u64.wrapping_neg())?;
        self.done()?;
        Ok(Some(value))
    }

    /// How many entries there are.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    #[expect(
        clippy::len_without_is_empty,
        reason = "it may change before anybody asks for the one"
    )]
    pub fn len(&self) -> Result<u64> {
        let _reads = self.reads()?;
        self.word(LEN).load()
    }

    /// All entries as they are at one moment, in no order.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    pub fn entries(&self) -> Result<Vec<(K, V)>> {
        let _reads = self.reads()?;
        let mut all = Vec::new();
        self.each(|entry| {
            all.push((self.key_of(entry)?, self.value_of(entry)?));
            Ok(())
        })?;
        Ok(all)
    }

    /// Takes the lock for reading, after what one that died has left is in order.
    fn reads(&self) -> Result<ReadGuard<'_, u32>> {
        loop {
            let guard = self.lock.read()?;
            if guard.unsound().is_none() {
                return Ok(guard);
            }
            drop(guard);
            drop(self.writes()?);
        }
    }

    /// Takes the lock for writing, and ends what one that died with it had begun.
    fn writes(&self) -> Result<MutexGuard<'_, u32>> {
        match self.lock.write()? {
            Lock::Sound(guard) => Ok(guard),
            Lock::Unsound(left) => {
                self.undo()?;
                left.repaired()
            }
        }
    }

    /// Frees what was on its way and nothing leads to, and counts anew.
    ///
    /// A block on its way says so, and of which map: one that does not say it was not published yet, or
    /// was freed, and may be anybody's since.
    fn undo(&self) -> Result<()> {
        let mine = self.arena.moved_by(self.words)?;
        let moved = [self.word(COMING).load()?, self.word(GOING).load()?];
        let (mut led_to, mut len) = ([false; 2], 0);
        self.each(|entry| {
            for (one, led_to) in moved.iter().zip(&mut led_to) {
                *led_to |= *one == entry;
            }
            len += 1;
            Ok(())
        })?;
        for (one, led_to) in moved.into_iter().zip(led_to) {
            let outcome = match led_to {
                _ if one == 0 || broken!(EntryLost) => Ok(()),
                true => self.arena.change(one, mine, PUBLISHED),
                false => self.arena.free_at(one, mine),
            };
            match outcome {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                outcome => outcome?,
            }
        }
        self.word(LEN).store(len)?;
        self.done()
    }

    fn done(&self) -> Result<()> {
        self.word(COMING).store(0)?;
        self.word(GOING).store(0)
    }

    fn count(&self, more: u64) -> Result<()> {
        let len = self.word(LEN);
        len.store(len.load()?.wrapping_add(more))
    }

    /// The word that leads to a key's entry, or would; and the entry, if there is one.
    fn find(&self, key: &K) -> Result<(u64, Option<u64>)> {
        let hash = hash_of(key);
        let mut link = self.head(hash & u64::from(self.buckets - 1));
        for _ in 0..self.most() {
            let entry = self.pair(link).load()?;
            if entry == 0 {
                return Ok((link, None));
            }
            self.check(entry)?;
            if self.pair(entry + HASH).load()? == hash
                && shared::encode(&self.key_of(entry)?) == shared::encode(key)
            {
                return Ok((link, Some(entry)));
            }
            link = entry + NEXT;
        }
        Err(self.garbled())
    }

    fn each(&self, mut visit: impl FnMut(u64) -> Result<()>) -> Result<()> {
        let mut left = self.most();
        for bucket in 0..u64::from(self.buckets) {
            let mut entry = self.pair(self.head(bucket)).load()?;
            while entry != 0 {
                left = left.checked_sub(1).ok_or_else(|| self.garbled())?;
                self.check(entry)?;
                visit(entry)?;
                entry = self.next_of(entry)?;
            }
        }
        Ok(())
    }

    /// More entries than the arena can hold: a ring of them ends there.
    fn most(&self) -> u64 {
        self.arena.bytes() / 32 + 1
    }

    /// That an entry lies in the arena.
    fn check(&self, entry: u64) -> Result<()> {
        let aligned = entry.is_multiple_of(8);
        match self.arena.check(entry, Self::ENTRY) {
            Ok(()) if aligned => Ok(()),
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Err(self.garbled()),
        }
    }

    fn next_of(&self, entry: u64) -> Result<u64> {
        self.pair(entry + NEXT).load()
    }

    fn key_of(&self, entry: u64) -> Result<K> {
        self.arena.region.decode(entry + KEY)
    }

    fn value_of(&self, entry: u64) -> Result<V> {
        self.arena.region.decode(entry + KEY + size_of::<K>() as u64)
    }

    fn head(&self, bucket: u64) -> u64 {
        self.words + HEADS + bucket * 8
    }

    fn word(&self, at: u64) -> ViewPair<'_> {
        self.pair(self.words + at)
    }

    fn pair(&self, at: u64) -> ViewPair<'_> {
        ViewPair::new(self.arena.region.view(), at)
    }

    #[cold]
    fn garbled(&self) -> Error {
        let error = Error::new(ErrorKind::Corrupt, "use the hash map")
            .because("its entries lead where nobody led them");
        self.arena.region.explain(error, self.words)
    }
}

/// FNV-1a of the key's bytes, its bits mixed once more: the same in every process and every version.
fn hash_of<K: Shared>(key: &K) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in shared::encode(key) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ hash >> 29
}

const _: () = {
    const fn sent<T: Send + Sync>() {}
    sent::<HashMap<u64, u64>>();
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::header::tests::{page, row};

    #[test]
    fn the_words_lie_as_the_page_says() {
        let row = |name, at| row(name, at, 8);
        let expected = [
            row("buckets", BUCKETS),
            row("arena", ARENA),
            row("len", LEN),
            row("coming", COMING),
            row("going", GOING),
        ];
        assert_eq!(page("Hash map"), expected);
        assert_eq!(page("Entry of a hash map"), [row("next", NEXT), row("hash", HASH)]);
        let text = include_str!("../../FORMAT.md");
        assert!(text.contains(&format!("| {HEADS} | | `heads` |")));
        assert!(text.contains(&format!("| {KEY} | | `key` |")));
    }

    #[test]
    fn the_hash_of_a_known_key_never_changes() {
        // By a program in another language.
        assert_eq!(hash_of(&4711_u64.to_le()), 1_459_553_655_634_807_369);
    }
}
