//! What a section remembers about losses: the state that makes a flush refuse to lie.
//!
//! ```text
//!            a store faults            a sync fails
//!   sound ------------------> stores lost ------------> sync failed
//!     ^                           |          (also from sound)   |
//!     +--- accept_lost_stores ----+                            final
//! ```
//! After a fault the kernel's `msync` and `fsync` return success: what never became a dirty page
//! is not theirs to miss. And after a failed `fsync` the next one succeeds, although the device
//! does not have the bytes. So the state is kept here.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::error::{Error, ErrorKind, Result};

const SOUND: u8 = 0;
const STORES_LOST: u8 = 1;
const SYNC_FAILED: u8 = 2;

/// A loss that a view noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// A store that the system could not take.
    Store,
}

#[derive(Debug)]
pub(super) struct State(AtomicU8);

impl State {
    pub(super) const fn new() -> Self {
        Self(AtomicU8::new(SOUND))
    }

    pub(super) fn lost(&self, lost: Lost) {
        match lost {
            Lost::Store => self.0.fetch_max(STORES_LOST, Ordering::AcqRel),
        };
    }

    pub(super) fn sync_failed(&self) {
        self.0.store(SYNC_FAILED, Ordering::Release);
    }

    pub(super) fn accept_lost_stores(&self) {
        // Fails only if there is nothing to accept, or if it is final.
        let _ = self.0.compare_exchange(STORES_LOST, SOUND, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Whether flushes may still vouch for anything.
    pub(super) fn check(&self, doing: &'static str) -> Result<()> {
        let why = match self.0.load(Ordering::Acquire) {
            SOUND => return Ok(()),
            STORES_LOST => {
                "a store failed earlier, so a flush cannot vouch for what was written; \
                 handle the loss, then call accept_lost_stores()"
            }
            _ => {
                "a sync failed earlier, so the device may lack bytes that memory shows; \
                 open the section anew and look at what is there"
            }
        };
        Err(Error::new(ErrorKind::Poisoned, doing).because(why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_stores_are_accepted_and_failed_syncs_are_final() {
        let state = State::new();
        assert!(state.check("flush").is_ok());
        state.lost(Lost::Store);
        assert_eq!(state.check("flush").unwrap_err().kind(), ErrorKind::Poisoned);
        state.accept_lost_stores();
        assert!(state.check("flush").is_ok());
        state.sync_failed();
        state.lost(Lost::Store);
        state.accept_lost_stores();
        let error = state.check("sync").unwrap_err().to_string();
        assert!(error.starts_with("cannot sync") && error.contains("sync failed"), "{error}");
    }
}
