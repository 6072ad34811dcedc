//! A word for each participant of a region, in which it counts what it holds.

use super::{Inside, Region, Result};
use crate::participant::Slot;
use crate::word::ViewWord;
use crate::word::tally::Tally;

/// Where the tallies of an object are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tallies {
    start: u64,
    /// From one to the next: a cache line where they are written often, 4 bytes where they are
    /// added up often.
    step: u64,
}

/// Bytes between two words that are not to share a cache line.
pub(super) const LINE: u64 = 64;

impl Tallies {
    pub(super) fn apart(start: u64) -> Self {
        Self { start, step: LINE }
    }

    pub(super) fn packed(start: u64) -> Self {
        Self { start, step: 4 }
    }

    /// Bytes of all of them.
    pub(super) fn size(region: &Region, step: u64) -> u64 {
        region.slots().count() as u64 * step
    }

    #[inline]
    pub(super) fn of(self, region: &Region, slot: Slot) -> Tally<ViewWord<'_>> {
        let offset = self.start + u64::from(slot.number()) * self.step;
        Tally { word: ViewWord::new(region.view(), offset), slot }
    }

    #[inline]
    pub(super) fn mine(self, region: &Region) -> Tally<ViewWord<'_>> {
        self.of(region, region.me().slot())
    }

    pub(super) fn all(self, region: &Region) -> impl Iterator<Item = Tally<ViewWord<'_>>> {
        region.slots().map(move |slot| self.of(region, slot))
    }

    /// How many are counted. Looks who lives only if that is as many as `enough`: then what the dead
    /// held is given back.
    pub(super) fn sum(self, inside: &Inside<'_>, enough: u64) -> Result<u64> {
        let mut sum = 0_u64;
        for tally in self.all(inside.region) {
            sum += u64::from(tally.shown()?);
        }
        if sum < enough {
            return Ok(sum);
        }
        let mut sum = 0_u64;
        for tally in self.all(inside.region) {
            sum += u64::from(tally.of_the_living(inside.region.participant())?);
        }
        Ok(sum)
    }
}
