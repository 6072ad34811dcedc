//! What is durable and what is pending after each operation of a trace.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bifolio_map::Flush;

use super::SECTOR;
use crate::trace::{FileId, Name, Op, Outcome, Trace, directory_of};

/// The contents of one sector.
pub(super) type Sector = [u8; SECTOR];

/// The durable and the pending of a whole storage.
pub(super) struct Model {
    pub(super) files: Vec<FileModel>,
    /// The durable names.
    pub(super) names: BTreeMap<PathBuf, Name>,
    /// Pending changes of names, in order.
    pub(super) changes: Vec<NameChange>,
    /// Pending barriers, in order.
    pub(super) barriers: Vec<Barrier>,
    /// Directories that had to be made: what is in them is visible only if they are there.
    pub(super) made_dirs: BTreeSet<PathBuf>,
}

/// One file.
#[derive(Default)]
pub(super) struct FileModel {
    /// The durable bytes. Its size is no length: bytes past the length may be there or missing.
    pub(super) bytes: Vec<u8>,
    pub(super) len: u64,
    /// Pending lengths, in order.
    pub(super) lens: Vec<LenVersion>,
    /// Pending contents of sectors, in order; a sector without any is not listed.
    pub(super) sectors: BTreeMap<u64, Vec<SectorVersion>>,
}

/// The length after an operation.
#[derive(Clone)]
pub(super) struct LenVersion {
    pub(super) op: usize,
    pub(super) len: u64,
    pub(super) trust: Trust,
    pub(super) kind: LenKind,
}

/// Whether a length cuts bytes off.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LenKind {
    Grows,
    Shrinks,
}

/// One sector after an operation.
#[derive(Clone)]
pub(super) struct SectorVersion {
    pub(super) op: usize,
    pub(super) content: Rc<Sector>,
    pub(super) trust: Trust,
    pub(super) kind: WriteKind,
}

/// What made a version of a sector.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteKind {
    /// A write by a call: the sector has it whole or not at all.
    Call,
    /// Stores through a map to these 8-byte words of the sector, one bit each.
    Store(u64),
    /// A length that cut it off, which must be persisted for this to be.
    Cut,
}

/// Whether a sync can make it durable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    Syncable,
    /// A sync of it failed: the cache takes it for clean, so later syncs do not write it.
    Doubtful,
}

/// One change of names: the paths it touches and what they stand for afterwards.
#[derive(Clone)]
pub(super) struct NameChange {
    pub(super) op: usize,
    pub(super) paths: Vec<(PathBuf, Option<Name>)>,
    pub(super) trust: Trust,
}

/// What came before in this file is persisted before anything that came later.
pub(super) struct Barrier {
    pub(super) op: usize,
    pub(super) file: FileId,
}

impl Model {
    /// The start of a trace: all durable.
    pub(super) fn at_the_start_of(trace: &Trace) -> Self {
        let files = trace.files.iter().map(|bytes| FileModel {
            bytes: bytes.clone(),
            len: bytes.len() as u64,
            ..FileModel::default()
        });
        let dirs = trace.names.iter().filter(|(_, name)| **name == Name::Directory);
        Self {
            files: files.collect(),
            names: trace.names.clone(),
            changes: Vec::new(),
            barriers: Vec::new(),
            made_dirs: dirs.map(|(path, _)| path.clone()).collect(),
        }
    }

    /// Takes the operation with this index into account.
    pub(super) fn apply(&mut self, index: usize, op: &Op) {
        match op {
            Op::Create { path, file } | Op::Link { path, file } => {
                self.change_names(index, vec![(path.clone(), Some(Name::File(*file)))]);
            }
            Op::CreateDir { path } => {
                self.made_dirs.insert(path.clone());
                self.change_names(index, vec![(path.clone(), Some(Name::Directory))]);
            }
            Op::Rename { from, to, file } => {
                let paths = vec![(from.clone(), None), (to.clone(), Some(Name::File(*file)))];
                self.change_names(index, paths);
            }
            Op::Unlink { path } => self.change_names(index, vec![(path.clone(), None)]),
            Op::Write { file, offset, bytes } => {
                self.files[file.0].write(index, *offset, bytes, |_| WriteKind::Call);
            }
            Op::Store { file, offset, bytes } => {
                self.files[file.0].write(index, *offset, bytes, WriteKind::Store);
            }
            Op::SetLen { file, len } => self.files[file.0].set_len(index, *len),
            Op::Sync { file, range, level, outcome } => {
                self.sync(index, *file, range.clone(), *level, *outcome);
            }
            Op::SyncDir { path, outcome } => self.sync_dir(path, *outcome),
            Op::Begun(_) | Op::Acknowledged(_) => {}
        }
    }

    fn change_names(&mut self, op: usize, paths: Vec<(PathBuf, Option<Name>)>) {
        self.changes.push(NameChange { op, paths, trust: Trust::Syncable });
    }

    fn sync(
        &mut self,
        index: usize,
        file: FileId,
        range: Option<Range<u64>>,
        level: Flush,
        outcome: Outcome,
    ) {
        let range = range.unwrap_or(0..u64::MAX);
        match (outcome, level) {
            (Outcome::Lied, _) | (Outcome::Done, Flush::Start) => {}
            (Outcome::Failed, _) => self.files[file.0].doubt(&range),
            (Outcome::Done, Flush::Barrier) => self.barriers.push(Barrier { op: index, file }),
            (Outcome::Done, Flush::Data | Flush::Full) => self.files[file.0].settle(&range),
        }
    }

    fn sync_dir(&mut self, dir: &Path, outcome: Outcome) {
        match outcome {
            Outcome::Lied => {}
            Outcome::Failed => {
                for change in &mut self.changes {
                    if change.paths.iter().any(|(path, _)| directory_of(path) == dir) {
                        change.trust = Trust::Doubtful;
                    }
                }
            }
            Outcome::Done => self.settle_names(dir),
        }
    }

    /// Makes the names in a directory durable.
    fn settle_names(&mut self, dir: &Path) {
        // Paths whose last change that can settle is at this place of the list; all changes of
        // the path before it settle with it, doubtful or not.
        let mut settled_up_to: BTreeMap<PathBuf, usize> = BTreeMap::new();
        for (place, change) in self.changes.iter().enumerate() {
            if change.trust == Trust::Doubtful {
                continue;
            }
            let gains_elsewhere =
                change.paths.iter().any(|(path, name)| name.is_some() && directory_of(path) != dir);
            for (path, name) in &change.paths {
                // An old name goes only after the new one has come.
                let settles = name.is_some() || !gains_elsewhere;
                if directory_of(path) == dir && settles {
                    settled_up_to.insert(path.clone(), place);
                }
            }
        }
        let names = &mut self.names;
        for (place, change) in self.changes.iter_mut().enumerate() {
            change.paths.retain(|(path, name)| {
                if settled_up_to.get(path).is_none_or(|last| place > *last) {
                    return true;
                }
                match name {
                    Some(name) => names.insert(path.clone(), *name),
                    None => names.remove(path),
                };
                false
            });
        }
        self.changes.retain(|change| !change.paths.is_empty());
    }

    /// Forgets barriers that nothing pending is before.
    pub(super) fn drop_idle_barriers(&mut self) {
        let files = &self.files;
        self.barriers.retain(|barrier| {
            let file = &files[barrier.file.0];
            file.first_pending().is_some_and(|first| first < barrier.op)
        });
    }
}

impl FileModel {
    /// The length as of now.
    fn live_len(&self) -> u64 {
        self.lens.last().map_or(self.len, |version| version.len)
    }

    /// The first operation of which something is pending.
    fn first_pending(&self) -> Option<usize> {
        let bytes = self.sectors.values().filter_map(|versions| versions.first()).map(|v| v.op);
        bytes.chain(self.lens.first().map(|version| version.op)).min()
    }

    /// The durable contents of a sector.
    pub(super) fn durable_sector(&self, sector: u64) -> Sector {
        let mut content = [0; SECTOR];
        let start = offset_of(sector).min(self.bytes.len());
        let end = (start + SECTOR).min(self.bytes.len());
        content[..end - start].copy_from_slice(&self.bytes[start..end]);
        content
    }

    /// Adds a version to a sector, made from its last one.
    fn add_version(
        &mut self,
        sector: u64,
        op: usize,
        kind: WriteKind,
        edit: impl FnOnce(&mut Sector),
    ) {
        let mut content = match self.sectors.get(&sector).and_then(|versions| versions.last()) {
            Some(version) => *version.content,
            None => self.durable_sector(sector),
        };
        edit(&mut content);
        let version = SectorVersion { op, content: Rc::new(content), trust: Trust::Syncable, kind };
        self.sectors.entry(sector).or_default().push(version);
    }

    fn write(&mut self, op: usize, offset: u64, bytes: &[u8], kind: impl Fn(u64) -> WriteKind) {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (sector, within) = (at / SECTOR as u64, place_in_sector(at));
            let (part, after) = rest.split_at(rest.len().min(SECTOR - within));
            let range = within..within + part.len();
            let words = words_of(&range);
            self.add_version(sector, op, kind(words), |content| {
                content[range].copy_from_slice(part);
            });
            at += part.len() as u64;
            rest = after;
        }
        if at > self.live_len() {
            self.add_len(op, at, LenKind::Grows);
        }
    }

    fn set_len(&mut self, op: usize, len: u64) {
        let before = self.live_len();
        if len >= before {
            if len > before {
                self.add_len(op, len, LenKind::Grows);
            }
            return;
        }
        self.add_len(op, len, LenKind::Shrinks);
        for sector in len / SECTOR as u64..before.div_ceil(SECTOR as u64) {
            let keep = if sector == len / SECTOR as u64 { place_in_sector(len) } else { 0 };
            self.add_version(sector, op, WriteKind::Cut, |content| content[keep..].fill(0));
        }
    }

    fn add_len(&mut self, op: usize, len: u64, kind: LenKind) {
        self.lens.push(LenVersion { op, len, trust: Trust::Syncable, kind });
    }

    /// Makes the length and the bytes of a range durable.
    fn settle(&mut self, range: &Range<u64>) {
        let syncable = |trust: &Trust| *trust == Trust::Syncable;
        if let Some(last) = self.lens.iter().rposition(|version| syncable(&version.trust)) {
            let settled = self.lens.drain(..=last);
            // A length that cut bytes off takes its zeros with it, in the range or not.
            let cuts: Vec<usize> = settled
                .as_slice()
                .iter()
                .filter(|version| version.kind == LenKind::Shrinks)
                .map(|version| version.op)
                .collect();
            self.len = settled.as_slice()[last].len;
            drop(settled);
            self.settle_sectors(&(0..u64::MAX), |version| cuts.contains(&version.op));
        }
        self.settle_sectors(range, |version| syncable(&version.trust));
    }

    /// Makes the sectors in a range durable as of the last version that `settles`.
    fn settle_sectors(&mut self, range: &Range<u64>, settles: impl Fn(&SectorVersion) -> bool) {
        let bytes = &mut self.bytes;
        for (sector, versions) in self.sectors.range_mut(sectors_of(range)) {
            if let Some(last) = versions.iter().rposition(&settles) {
                put(bytes, *sector, &versions[last].content);
                versions.drain(..=last);
            }
        }
        self.sectors.retain(|_, versions| !versions.is_empty());
    }

    /// After a failed sync: what it covered is in doubt for ever.
    fn doubt(&mut self, range: &Range<u64>) {
        for version in &mut self.lens {
            version.trust = Trust::Doubtful;
        }
        for (_, versions) in self.sectors.range_mut(sectors_of(range)) {
            for version in versions {
                version.trust = Trust::Doubtful;
            }
        }
    }
}

/// Writes a sector into bytes that grow as needed.
fn put(bytes: &mut Vec<u8>, sector: u64, content: &Sector) {
    let start = offset_of(sector);
    if bytes.len() < start + SECTOR {
        bytes.resize(start + SECTOR, 0);
    }
    bytes[start..start + SECTOR].copy_from_slice(content);
}

/// The sectors that a range of bytes touches.
fn sectors_of(range: &Range<u64>) -> Range<u64> {
    let first = range.start / SECTOR as u64;
    first..range.end.div_ceil(SECTOR as u64).max(first)
}

/// The offset of a sector in memory.
pub(super) fn offset_of(sector: u64) -> usize {
    usize::try_from(sector).ok().and_then(|sector| sector.checked_mul(SECTOR)).expect(
        "a file of a replay is held in memory, so the offsets of its sectors fit the address space",
    )
}

/// Where an offset lies in its sector.
fn place_in_sector(offset: u64) -> usize {
    usize::try_from(offset % SECTOR as u64).expect("less than a sector")
}

/// The 8-byte words that a range within a sector touches, one bit each.
fn words_of(range: &Range<usize>) -> u64 {
    (range.start / 8..range.end.div_ceil(8)).fold(0, |words, word| words | 1 << word)
}
