//! A hash map whose entries lie in an arena.

use std::marker::PhantomData;

use super::Arena;
use super::container::{Container, LEN};
use crate::error::{Error, ErrorKind, Result};
use crate::lock::{MutexGuard, ReadGuard};
use crate::region::{Kind, Region};
use crate::shared::{self, Field, Layout, Shared};
use crate::word::Pair;

/// Where the words of the buckets begin; how many there are is the map's own word.
const HEADS: u64 = 64;

/// In an entry: where the next one of its bucket is, its key's hash, and then key and value.
const NEXT: u64 = 0;
const HASH: u64 = 8;
const KEY: u64 = 16;

/// The most buckets.
const MOST_BUCKETS: u32 = 1 << 28;

/// A map from keys to values that processes share, with its entries in an [`Arena`].
///
/// Many read at a time, or one writes, as under an [`RwLock`](crate::RwLock). A process that dies in the
/// middle of a change has changed the map or it has not; the next one to come sees to it that nothing of
/// it is left in the arena, by itself: there is neither poison nor repair.
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
    its: Container,
    buckets: u32,
    entries: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for HashMap<K, V> {
    fn clone(&self) -> Self {
        Self { its: self.its.clone(), entries: PhantomData, ..*self }
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
        if buckets == 0 || buckets > MOST_BUCKETS {
            let why = format!("it has 1 to {MOST_BUCKETS} buckets, not {buckets}");
            let error = Error::new(ErrorKind::InvalidInput, "make a hash map");
            return Err(error.of(name).because(why));
        }
        let buckets = buckets.next_power_of_two();
        let (layout, bytes) = (HashMap::<K, V>::LAYOUT, HEADS + u64::from(buckets) * 8);
        let first = buckets.into();
        let its = Container::find(self, name, Kind::HashMap, &layout, arena, bytes, first)?;
        Ok(HashMap { its, buckets, entries: PhantomData })
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
    /// `Corrupt` if the map's words are what nobody wrote, or the bytes no value of `V`; `TimedOut`
    /// if somebody does not go on with its lock; `Deadlock` if this thread writes; what became of the
    /// region's bytes.
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
        let mut draft = self.its.arena.alloc_bytes(Self::ENTRY)?;
        draft.write_at(NEXT, &next.to_ne_bytes())?;
        draft.write_at(HASH, &hash_of(key).to_ne_bytes())?;
        draft.write_at(KEY, shared::encode(key))?;
        draft.write_at(KEY + size_of::<K>() as u64, shared::encode(value))?;
        let entry = self.its.comes(draft)?;
        seam!();
        if let Some(old) = found {
            self.its.goes(old)?;
        }
        // From here on it is in the map, in the place of what was there.
        self.its.pair(link).swap(entry)?;
        seam!();
        self.its.has_come(entry)?;
        match found {
            Some(old) => self.its.is_gone(old)?,
            None => self.count(1)?,
        }
        self.its.nothing_moves()?;
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
        self.its.goes(entry)?;
        self.its.pair(link).swap(self.next_of(entry)?)?;
        seam!();
        self.its.is_gone(entry)?;
        self.count(1_u64.wrapping_neg())?;
        self.its.nothing_moves()?;
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
        self.its.word(LEN).load()
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

    fn reads(&self) -> Result<ReadGuard<'_, u32>> {
        self.its.reads(|| self.undo())
    }

    fn writes(&self) -> Result<MutexGuard<'_, u32>> {
        self.its.writes(|| self.undo())
    }

    /// Frees what was on its way and nothing leads to, and counts anew.
    fn undo(&self) -> Result<()> {
        let moved = self.its.moved()?;
        let (mut led_to, mut len) = ([false; 2], 0);
        self.each(|entry| {
            for (one, led_to) in moved.iter().zip(&mut led_to) {
                *led_to |= *one == entry;
            }
            len += 1;
            Ok(())
        })?;
        self.its.word(LEN).store(len)?;
        self.its.settle(moved, led_to)
    }

    fn count(&self, more: u64) -> Result<()> {
        let len = self.its.word(LEN);
        len.store(len.load()?.wrapping_add(more))
    }

    /// The word that leads to a key's entry, or would; and the entry, if there is one.
    fn find(&self, key: &K) -> Result<(u64, Option<u64>)> {
        let hash = hash_of(key);
        let mut link = self.head(hash & u64::from(self.buckets - 1));
        for _ in 0..self.most() {
            let entry = self.its.pair(link).load()?;
            if entry == 0 {
                return Ok((link, None));
            }
            self.check(entry)?;
            if self.its.pair(entry + HASH).load()? == hash
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
            let mut entry = self.its.pair(self.head(bucket)).load()?;
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
        self.its.arena.bytes() / 32 + 1
    }

    /// That an entry lies in the arena.
    fn check(&self, entry: u64) -> Result<()> {
        let aligned = entry.is_multiple_of(8);
        match self.its.arena.check(entry, Self::ENTRY) {
            Ok(_) if aligned => Ok(()),
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Err(self.garbled()),
        }
    }

    fn next_of(&self, entry: u64) -> Result<u64> {
        self.its.pair(entry + NEXT).load()
    }

    fn key_of(&self, entry: u64) -> Result<K> {
        self.its.arena.region.decode(entry + KEY)
    }

    fn value_of(&self, entry: u64) -> Result<V> {
        self.its.arena.region.decode(entry + KEY + size_of::<K>() as u64)
    }

    fn head(&self, bucket: u64) -> u64 {
        self.its.words + HEADS + bucket * 8
    }

    #[cold]
    fn garbled(&self) -> Error {
        self.its.garbled("use the hash map")
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
    use super::super::container::{ARENA, COMING, FIRST, GOING};
    use super::*;
    use crate::region::header::tests::{page, row};

    #[test]
    fn the_words_lie_as_the_page_says() {
        let row = |name, at| row(name, at, 8);
        let expected = [
            row("buckets", FIRST),
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
