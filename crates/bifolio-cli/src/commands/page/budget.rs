//! How much memory may be filled: the budget that the user gives, and the room that the machine
//! and its limits leave.

use std::sync::atomic::{AtomicU64, Ordering};

use bifolio::map::machine::memory_room;
use bifolio::map::page_size;

use crate::exit::Exit;
use crate::failure::CliError;
use crate::units::{Size, format_bytes};

/// The option.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct BudgetArgs {
    /// Read in no more than this: bytes, or a share of the memory that can still be taken (of the
    /// machine, or what cgroup limits leave of it)
    #[arg(long, value_name = "SIZE", default_value = "80%", help_heading = "Memory")]
    budget: Size,
}

/// Bytes that may still be read in. It is never exceeded: who wants to read takes his share first.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: u64,
    /// What says so, if it is not the user.
    limit: String,
    left: AtomicU64,
    /// Bytes that were wanted and not granted.
    refused: AtomicU64,
    /// Room that must be left whatever happens meanwhile.
    reserve: u64,
    /// Bytes that may be taken before the room is asked for again.
    until_look: AtomicU64,
}

/// How often the room is looked at: others take memory too.
const LOOK_EVERY: u64 = 256 << 20;

impl Budget {
    /// Asks how much room there is. A budget above it is cut down to it.
    pub(super) fn of(args: BudgetArgs) -> Result<Self, CliError> {
        let found = memory_room()?;
        let room = found.bytes;
        let wanted = args.budget.of(room).map_err(|error| {
            CliError::new(Exit::Usage, error.to_string()).next("a smaller --budget")
        })?;
        let limit = format!("{} leaves {}", found.limit, format_bytes(room));
        Ok(Self { limit, ..Self::new(wanted.min(room), room / 20) })
    }

    fn new(bytes: u64, reserve: u64) -> Self {
        Self {
            bytes,
            limit: String::new(),
            left: AtomicU64::new(bytes),
            refused: AtomicU64::new(0),
            reserve,
            until_look: AtomicU64::new(LOOK_EVERY),
        }
    }

    /// Takes what is wanted, or what is left of it in whole pages.
    pub(super) fn take(&self, wanted: u64) -> u64 {
        self.look(wanted);
        let page = page_size() as u64;
        let mut granted = 0;
        // Relaxed: a count; no other memory is read because of it.
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            granted = if wanted <= left { wanted } else { left / page * page };
            Some(left - granted)
        });
        self.refused.fetch_add(wanted - granted, Ordering::Relaxed);
        granted
    }

    /// Ends the budget if the room is nearly gone: others have taken it.
    fn look(&self, wanted: u64) {
        let due = self
            .until_look
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some(left.checked_sub(wanted).unwrap_or(LOOK_EVERY))
            })
            .is_ok_and(|left| left < wanted);
        if due && memory_room().is_ok_and(|room| room.bytes < self.reserve) {
            self.left.store(0, Ordering::Relaxed);
        }
    }

    /// All of it.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that did not fit.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// An error if all of it cannot be had, before any of it is taken.
    pub(super) fn require(&self, wanted: u64) -> Result<(), CliError> {
        if self.take(wanted) == wanted {
            return Ok(());
        }
        let what = format!(
            "nothing was locked: {} do not fit the budget of {} ({})",
            format_bytes(wanted),
            format_bytes(self.bytes),
            self.limit
        );
        Err(CliError::new(Exit::Refused, what)
            .next("fewer files, a part of them, or more --budget"))
    }

    /// An error if something did not fit.
    pub(super) fn verdict(&self) -> Result<(), CliError> {
        match self.refused() {
            0 => Ok(()),
            bytes => Err(CliError::new(
                Exit::Refused,
                format!(
                    "{} were not read in: they do not fit the budget of {}",
                    format_bytes(bytes),
                    format_bytes(self.bytes)
                ),
            )
            .next("fewer files, a larger --budget, or `bifolio page evict` of what is not needed")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> u64 {
        page_size() as u64
    }

    #[test]
    fn a_budget_is_granted_in_whole_pages_and_never_exceeded() {
        let budget = Budget::new(10 * page() + 5, 0);
        assert_eq!(budget.take(7), 7);
        assert_eq!(budget.take(9 * page()), 9 * page());
        assert_eq!(budget.take(2 * page()), 0, "less than a page is left");
        assert_eq!(budget.refused(), 2 * page());
        assert_eq!(budget.verdict().unwrap_err().exit(), Exit::Refused);
    }

    #[test]
    fn threads_that_take_at_once_get_no_more_than_there_is() {
        let budget = Budget::new(1000 * page(), 0);
        let granted = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        granted.fetch_add(budget.take(page()), Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(granted.into_inner(), 1000 * page());
        assert_eq!(budget.refused(), 7000 * page());
    }

    #[test]
    fn a_budget_ends_when_the_room_is_gone() {
        let budget = Budget::new(u64::MAX, u64::MAX);
        assert_eq!(budget.take(page()), page(), "not asked for each page");
        assert_eq!(budget.take(LOOK_EVERY), 0);
        assert_eq!(budget.take(page()), 0);
    }
}
