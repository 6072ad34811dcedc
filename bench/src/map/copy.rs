//! Copies out of a warm map against memcpy, and the limits of the machine.

use std::cell::RefCell;

use bifolio_map::{Read, Scratch, View};

use super::means::buffer;
use crate::corpus::TestFile;
use crate::harness::{Bench, Outcome, Work};
use crate::kernel::index;
use crate::{Result, door, kernel};

/// Copies of one size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copies {
    pub(super) size: usize,
    pub(super) source: Source,
    /// How many bytes past a page's start each copy begins.
    pub(super) shift: u64,
}

/// Where copies come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The same bytes again and again: they are in a cache of the processor.
    Near,
    /// The whole file in order.
    Far,
}

impl Copies {
    pub(super) fn describe(self) -> String {
        let size = match self.size {
            0..1024 => format!("{} bytes", self.size),
            1024..1_048_576 => format!("{} KiB", self.size >> 10),
            _ => format!("{} MiB", self.size >> 20),
        };
        let source = match self.source {
            Source::Near => "near",
            Source::Far => "far",
        };
        match self.shift {
            0 => format!("{size}, {source}"),
            shift => format!("{size}, {source}, unaligned by {shift}"),
        }
    }

    /// Bytes of one run: the whole file far, some megabytes near.
    fn total(self, file: &TestFile) -> u64 {
        let all = match self.source {
            Source::Near => 64 << 20,
            Source::Far => file.len - self.shift,
        };
        all / self.size as u64 * self.size as u64
    }

    /// All copies of a run, by `copy`. A word of each makes the digest: a sum of all bytes would
    /// be most of the time.
    fn run(
        self,
        total: u64,
        out: &RefCell<Scratch>,
        copy: impl Fn(u64, &mut [u8]) -> Result<()>,
    ) -> Result<u64> {
        let mut out = out.borrow_mut();
        let size = self.size as u64;
        let mut digest = 0u64;
        for done in (0..total).step_by(self.size) {
            let at = if self.source == Source::Near { self.shift } else { done + self.shift };
            copy(at, &mut out)?;
            digest = digest.wrapping_mul(31).wrapping_add(kernel::word(&out, size - 8));
        }
        Ok(digest)
    }
}

/// `read_at` against memcpy from a live map of the same file to the same buffer.
pub(super) fn copy_out(
    file: &TestFile,
    view: &View<Read>,
    copies: Copies,
    rounds: usize,
) -> Result<Outcome> {
    let total = copies.total(file);
    let slice = door::slice(view);
    // One buffer for both, so that nobody has the luckier pages.
    let out = RefCell::new(buffer(copies.size)?);
    Bench::new(format!("copy out, {}", copies.describe()), Work::Bytes(total), "memcpy")
        .with("memcpy", "", || {
            copies.run(total, &out, |at, out| {
                out.copy_from_slice(&slice[index(at)..index(at) + out.len()]);
                Ok(())
            })
        })
        .with("read_at", "", || copies.run(total, &out, |at, out| Ok(view.read_at(at, out)?)))
        .measure(rounds)
}

/// What memory allows: a sum and a copy of bytes that no file is behind.
pub(super) fn limits(size: usize, rounds: usize) -> Result<Outcome> {
    let (mut from, to) = (buffer(size)?, RefCell::new(buffer(size)?));
    kernel::Random::new(5).fill(&mut from);
    let from = &*from;
    let expected = kernel::sum(from);
    let last = kernel::word(from, size as u64 - 8);
    Bench::new("limits of memory", Work::Bytes(size as u64), "memcpy")
        .expect(expected)
        .with("memcpy", "", || {
            let mut to = to.borrow_mut();
            to.copy_from_slice(from);
            let copied = kernel::word(&to, size as u64 - 8);
            if copied == last { Ok(expected) } else { Err("memcpy did not copy".into()) }
        })
        .with("plain sum", "", || Ok(kernel::sum(from)))
        .measure(rounds)
}
