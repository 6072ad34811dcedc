//! The front between durable and lost: everything that is pending at one cut, laid out in lists
//! that a [`Choice`] indexes.

use std::collections::BTreeSet;
use std::ops::Range;

use super::choice::Choice;
use super::model::{FileModel, LenKind, LenVersion, Model, NameChange, SectorVersion, WriteKind};

/// The pending at one cut.
pub(super) struct Front<'m> {
    pub(super) model: &'m Model,
    /// The operations of which something is pending, in order; a *place* is an index here.
    pub(super) ops: Vec<usize>,
    pub(super) cells: Vec<SectorCell<'m>>,
    pub(super) lens: Vec<LenCell<'m>>,
    pub(super) changes: Vec<ChangeCell<'m>>,
    /// The cells of each file.
    pub(super) cells_of: Vec<Range<usize>>,
    /// The length cell of each file that has one.
    pub(super) len_of: Vec<Option<usize>>,
}

/// One sector with pending versions.
pub(super) struct SectorCell<'m> {
    pub(super) file: usize,
    pub(super) sector: u64,
    pub(super) versions: &'m [SectorVersion],
    /// The place of each version's operation.
    pub(super) places: Vec<usize>,
}

/// One length with pending versions.
pub(super) struct LenCell<'m> {
    pub(super) file: usize,
    pub(super) versions: &'m [LenVersion],
    pub(super) places: Vec<usize>,
}

/// One pending change of names.
pub(super) struct ChangeCell<'m> {
    pub(super) change: &'m NameChange,
    pub(super) place: usize,
    /// Earlier changes that share a path with it, and so must have happened before it.
    needs: Vec<usize>,
}

impl<'m> Front<'m> {
    pub(super) fn of(model: &'m Model) -> Self {
        let ops = pending_ops(model);
        let place = |op: usize| ops.binary_search(&op).expect("every pending operation is listed");
        let mut front = Self {
            model,
            ops: Vec::new(),
            cells: Vec::new(),
            lens: Vec::new(),
            changes: Vec::new(),
            cells_of: Vec::new(),
            len_of: Vec::new(),
        };
        for (file, FileModel { sectors, lens, .. }) in model.files.iter().enumerate() {
            let first = front.cells.len();
            front.cells.extend(sectors.iter().map(|(sector, versions)| SectorCell {
                file,
                sector: *sector,
                versions,
                places: versions.iter().map(|version| place(version.op)).collect(),
            }));
            front.cells_of.push(first..front.cells.len());
            front.len_of.push((!lens.is_empty()).then_some(front.lens.len()));
            if !lens.is_empty() {
                let places = lens.iter().map(|version| place(version.op)).collect();
                front.lens.push(LenCell { file, versions: lens, places });
            }
        }
        for change in &model.changes {
            let shares = |earlier: &NameChange| {
                let touches = |path| change.paths.iter().any(|(touched, _)| touched == path);
                earlier.paths.iter().any(|(path, _)| touches(path))
            };
            let earlier = front.changes.iter().enumerate();
            let needs = earlier.filter(|(_, cell)| shares(cell.change)).map(|(i, _)| i).collect();
            front.changes.push(ChangeCell { change, place: place(change.op), needs });
        }
        front.ops = ops;
        front
    }

    /// Turns a choice into the nearest one that a device can leave: see [`super`].
    pub(super) fn make_possible(&self, choice: &mut Choice) {
        for (index, cell) in self.changes.iter().enumerate().rev() {
            if choice.names[index] {
                for needed in &cell.needs {
                    choice.names[*needed] = true;
                }
            }
        }
        self.obey_lengths(choice);
        self.obey_barriers(choice);
        self.obey_lengths(choice);
        choice.words.retain(|(cell, _)| {
            let version = self.cells[*cell].chosen(choice.sectors[*cell]);
            version.is_some_and(|version| matches!(version.kind, WriteKind::Store(_)))
        });
    }

    /// Where a shrinking length was persisted, the bytes it cut off are gone; where it was not,
    /// nothing that came after it can be in their place.
    fn obey_lengths(&self, choice: &mut Choice) {
        for (index, len) in self.lens.iter().enumerate() {
            for (number, version) in len.versions.iter().enumerate() {
                if version.kind == LenKind::Grows {
                    continue;
                }
                let persisted = choice.lens[index] > number;
                for cell in self.cells_of[len.file].clone() {
                    let versions = self.cells[cell].versions;
                    let Some(cut) = versions.iter().position(|v| v.op == version.op) else {
                        continue;
                    };
                    let chosen = &mut choice.sectors[cell];
                    *chosen = if persisted { (*chosen).max(cut + 1) } else { (*chosen).min(cut) };
                }
            }
        }
    }

    /// Where anything after a barrier was persisted, all before it in its file was.
    fn obey_barriers(&self, choice: &mut Choice) {
        for barrier in self.model.barriers.iter().rev() {
            if self.last_persisted(choice).is_none_or(|last| last < barrier.op) {
                continue;
            }
            let file = barrier.file.0;
            for cell in self.cells_of[file].clone() {
                let before = self.cells[cell].versions.partition_point(|v| v.op < barrier.op);
                let chosen = &mut choice.sectors[cell];
                if *chosen <= before {
                    *chosen = before;
                    choice.words.retain(|(torn, _)| *torn != cell);
                }
            }
            if let Some(len) = self.len_of[file] {
                let before = self.lens[len].versions.partition_point(|v| v.op < barrier.op);
                choice.lens[len] = choice.lens[len].max(before);
            }
        }
    }

    /// The last operation of which anything was persisted.
    fn last_persisted(&self, choice: &Choice) -> Option<usize> {
        let bytes = self.cells.iter().zip(&choice.sectors);
        let bytes = bytes.filter_map(|(cell, chosen)| Some(cell.chosen(*chosen)?.op));
        let lens = self.lens.iter().zip(&choice.lens);
        let lens = lens.filter_map(|(len, chosen)| Some(len.versions[chosen.checked_sub(1)?].op));
        let names = self.changes.iter().zip(&choice.names);
        let names = names.filter(|(_, chosen)| **chosen).map(|(cell, _)| cell.change.op);
        bytes.chain(lens).chain(names).max()
    }

    /// The length of a file under a choice.
    pub(super) fn len(&self, file: usize, choice: &Choice) -> u64 {
        let chosen = self.len_of[file].and_then(|len| {
            let version = choice.lens[len].checked_sub(1)?;
            Some(self.lens[len].versions[version].len)
        });
        chosen.unwrap_or(self.model.files[file].len)
    }
}

impl SectorCell<'_> {
    /// The version that a chosen number stands for; `None` for the durable contents.
    pub(super) fn chosen(&self, number: usize) -> Option<&SectorVersion> {
        self.versions.get(number.checked_sub(1)?)
    }
}

fn pending_ops(model: &Model) -> Vec<usize> {
    let mut ops = BTreeSet::new();
    for file in &model.files {
        ops.extend(file.sectors.values().flatten().map(|version| version.op));
        ops.extend(file.lens.iter().map(|version| version.op));
    }
    ops.extend(model.changes.iter().map(|change| change.op));
    ops.into_iter().collect()
}
