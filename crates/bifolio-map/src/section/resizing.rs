//! One lock for the length of a file, however many sections of it this process has.
//!
//! Held for writing while this process changes the length, for reading while it writes file pages by
//! call: a `write` past the end would extend the file again, so our own truncation and our own bulk
//! write must not cross, whichever handles they go through. Other processes do not ask for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};
use std::sync::{RwLockReadGuard, RwLockWriteGuard};

use crate::sys::{self, Identity, Object};

/// The locks that sections have, by the number of their file. (Numbers of different volumes may be
/// the same.) A file that a section holds open keeps its number, so no other one can come by it.
static LOCKS: Mutex<BTreeMap<u128, Vec<Entry>>> = Mutex::new(BTreeMap::new());

#[derive(Debug)]
struct Entry {
    identity: Identity,
    lock: Weak<RwLock<()>>,
}

fn locks() -> MutexGuard<'static, BTreeMap<u128, Vec<Entry>>> {
    // The map is whole between calls, so a panic elsewhere broke nothing.
    LOCKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A section's share in the lock of its file, taken when it is first asked for: most sections never
/// are, and which file it is costs a system call.
#[derive(Debug, Default)]
pub(super) struct Resizing(OnceLock<Share>);

#[derive(Debug)]
struct Share {
    lock: Arc<RwLock<()>>,
    identity: Option<Identity>,
}

impl Resizing {
    /// For a change of the length of `object`, whose share this is.
    pub(super) fn change(&self, object: &Object) -> RwLockWriteGuard<'_, ()> {
        self.lock(object).write().unwrap_or_else(PoisonError::into_inner)
    }

    /// For writes by call, during which the length stays.
    pub(super) fn stand(&self, object: &Object) -> RwLockReadGuard<'_, ()> {
        self.lock(object).read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self, object: &Object) -> &Arc<RwLock<()>> {
        &self.0.get_or_init(|| Share::of(object)).lock
    }
}

impl Share {
    /// The lock of this file. One of its own if the system does not say which file it is.
    fn of(object: &Object) -> Self {
        let Ok(identity) = sys::identity(object) else {
            return Self { lock: Arc::default(), identity: None };
        };
        let mut locks = locks();
        let entries = locks.entry(identity.file).or_default();
        let known = entries.iter().filter(|entry| entry.identity == identity);
        let lock = known.filter_map(|entry| entry.lock.upgrade()).next().unwrap_or_else(|| {
            let lock = Arc::default();
            entries.push(Entry { identity, lock: Arc::downgrade(&lock) });
            lock
        });
        Self { lock, identity: Some(identity) }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Some(identity) = self.identity else { return };
        // Under the mutex nobody takes another share meanwhile.
        let mut locks = locks();
        if Arc::strong_count(&self.lock) > 1 {
            return;
        }
        if let Some(entries) = locks.get_mut(&identity.file) {
            entries.retain(|entry| !std::ptr::eq(entry.lock.as_ptr(), &raw const *self.lock));
            if entries.is_empty() {
                locks.remove(&identity.file);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "opens files")]
    fn handles_of_one_file_share_a_lock_which_goes_with_the_last_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let open = |name: &str| {
            let mut options = std::fs::File::options();
            options.read(true).write(true).create(true).truncate(false);
            sys::object_of_file(options.open(dir.path().join(name)).unwrap())
        };
        let (first, second, other) = (open("file"), open("file"), open("other"));
        let number = sys::identity(&first).unwrap().file;
        let (one, two) = (Resizing::default(), Resizing::default());
        assert!(!locks().contains_key(&number));
        assert!(Arc::ptr_eq(one.lock(&first), two.lock(&second)));
        assert!(!Arc::ptr_eq(one.lock(&first), Resizing::default().lock(&other)));
        drop(one);
        assert!(Arc::ptr_eq(two.lock(&second), Resizing::default().lock(&first)));
        drop(two);
        assert!(!locks().contains_key(&number));
    }
}
