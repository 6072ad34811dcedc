//! Each file once, whatever names lead to it.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

use bifolio::map::residency::{CachedFile, FileId};

use super::walk::{Root, lock};

/// Whether two of the paths may lead to the same file by the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overlap {
    Possible,
    None,
}

impl Overlap {
    pub(super) fn of(roots: &[(PathBuf, Root)]) -> Self {
        let mut real: Vec<_> =
            roots.iter().filter_map(|(path, _)| fs::canonicalize(path).ok()).collect();
        real.sort();
        let overlap = real.windows(2).any(|pair| pair[1].starts_with(&pair[0]));
        if overlap { Self::Possible } else { Self::None }
    }
}

/// The files that were counted already.
#[derive(Debug)]
pub(super) struct Links {
    every_link: bool,
    /// Whether links are followed below a directory: then a file of one name may be met often.
    follow: bool,
    overlap: Overlap,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    anywhere: HashSet<FileId>,
    below: HashSet<(usize, FileId)>,
}

impl Links {
    pub(super) fn new(every_link: bool, follow: bool, overlap: Overlap) -> Self {
        Self { every_link, follow, overlap, seen: Mutex::default() }
    }

    /// Whether another argument has led to the file before; `None` if this one has.
    pub(super) fn count(&self, file: &CachedFile, argument: usize) -> Option<bool> {
        if self.every_link {
            return Some(false);
        }
        // A file of one name is met once, unless the arguments overlap.
        if file.links() <= 1 && !self.follow && self.overlap == Overlap::None {
            return Some(false);
        }
        let mut seen = lock(&self.seen);
        let first_below = seen.below.insert((argument, file.id()));
        let first_anywhere = seen.anywhere.insert(file.id());
        first_below.then_some(!first_anywhere)
    }
}
