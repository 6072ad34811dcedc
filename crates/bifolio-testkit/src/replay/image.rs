//! Crash states as files, and the fingerprints that tell equal ones apart from new ones.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use bifolio_map::ErrorKind;
use bifolio_map::storage::{MemoryStorage, Storage};

use super::SECTOR;
use super::choice::Choice;
use super::front::Front;
use super::model::{FileModel, Sector, WriteKind, offset_of};
use crate::trace::Name;

/// The fingerprints of what a front has in common: computed once at a cut, so that a choice costs
/// no more than its sectors.
pub(super) struct Prints {
    /// For each file, the fingerprint of every durable sector, 0 for zeros.
    durable: Vec<Vec<u64>>,
    /// For each cell, the fingerprint of each of its versions.
    versions: Vec<Vec<u64>>,
}

impl Prints {
    pub(super) fn of(front: &Front<'_>) -> Self {
        let durable = front.model.files.iter().enumerate().map(|(file, model)| {
            let count = model.bytes.len().div_ceil(SECTOR) as u64;
            (0..count).map(|sector| print(file, sector, &model.durable_sector(sector))).collect()
        });
        let versions = front.cells.iter().map(|cell| {
            let versions = cell.versions.iter();
            versions.map(|version| print(cell.file, cell.sector, &version.content)).collect()
        });
        Self { durable: durable.collect(), versions: versions.collect() }
    }
}

impl Front<'_> {
    /// The names of a choice: visible files and directories.
    fn visible_names(&self, choice: &Choice) -> BTreeMap<&Path, Name> {
        let mut names: BTreeMap<&Path, Name> =
            self.model.names.iter().map(|(path, name)| (path.as_path(), *name)).collect();
        let happened = self.changes.iter().zip(&choice.names).filter(|(_, chosen)| **chosen);
        for (path, name) in happened.flat_map(|(cell, _)| &cell.change.paths) {
            match name {
                Some(name) => names.insert(path, *name),
                None => names.remove(path.as_path()),
            };
        }
        let reachable = |path: &Path| {
            let mut above = path.ancestors().skip(1);
            above.all(|dir| !self.model.made_dirs.contains(dir) || names.contains_key(dir))
        };
        let lost: Vec<&Path> = names.keys().copied().filter(|path| !reachable(path)).collect();
        for path in lost {
            names.remove(path);
        }
        names
    }

    /// A number that two choices share only if they leave the same files.
    pub(super) fn fingerprint(&self, prints: &Prints, choice: &Choice) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (path, name) in self.visible_names(choice) {
            path.hash(&mut hasher);
            match name {
                Name::Directory => 0_u8.hash(&mut hasher),
                Name::File(file) => {
                    file.hash(&mut hasher);
                    let len = self.len(file.0, choice);
                    len.hash(&mut hasher);
                    self.print_of_file(prints, choice, file.0, len).hash(&mut hasher);
                }
            }
        }
        hasher.finish()
    }

    /// The sum of the fingerprints of a file's sectors up to its length.
    fn print_of_file(&self, prints: &Prints, choice: &Choice, file: usize, len: u64) -> u64 {
        let end = usize::try_from(len.div_ceil(SECTOR as u64)).unwrap_or(usize::MAX);
        let durable = &prints.durable[file];
        let mut sum = durable[..durable.len().min(end)].iter().fold(0, add);
        for index in self.cells_of[file].clone() {
            let (cell, chosen) = (&self.cells[index], choice.sectors[index]);
            if chosen == 0 || cell.sector >= len.div_ceil(SECTOR as u64) {
                continue;
            }
            let place = usize::try_from(cell.sector).ok();
            let before = place.and_then(|place| durable.get(place)).copied().unwrap_or(0);
            let now = match choice.words_of(index) {
                None => prints.versions[index][chosen - 1],
                Some(_) => print(file, cell.sector, &self.content(index, choice)),
            };
            sum = sum.wrapping_sub(before).wrapping_add(now);
        }
        sum
    }

    /// What a sector with pending versions holds under a choice.
    fn content(&self, index: usize, choice: &Choice) -> Sector {
        let cell = &self.cells[index];
        let chosen = choice.sectors[index];
        let durable = || self.model.files[cell.file].durable_sector(cell.sector);
        let Some(version) = cell.chosen(chosen) else { return durable() };
        let (WriteKind::Store(_), Some(words)) = (version.kind, choice.words_of(index)) else {
            return *version.content;
        };
        let mut content = cell.chosen(chosen - 1).map_or_else(durable, |before| *before.content);
        for word in (0..SECTOR / 8).filter(|word| words >> word & 1 == 1) {
            let range = word * 8..word * 8 + 8;
            content[range.clone()].copy_from_slice(&version.content[range]);
        }
        content
    }

    /// The files of a choice.
    pub(super) fn build(&self, choice: &Choice) -> MemoryStorage {
        let names = self.visible_names(choice);
        let mut first_names: BTreeMap<usize, &Path> = BTreeMap::new();
        let mut files: Vec<(PathBuf, Vec<u8>)> = Vec::new();
        let mut links: Vec<(&Path, &Path)> = Vec::new();
        for (path, name) in &names {
            let Name::File(file) = name else { continue };
            if let Some(first) = first_names.get(&file.0) {
                links.push((first, path));
                continue;
            }
            first_names.insert(file.0, path);
            files.push((path.to_path_buf(), self.bytes(file.0, choice)));
        }
        let memory = MemoryStorage::from_files(files);
        for (path, _) in names.iter().filter(|(_, name)| **name == Name::Directory) {
            let made = memory.create_dir(path);
            let there = |error: &bifolio_map::Error| error.kind() == ErrorKind::AlreadyExists;
            assert!(made.as_ref().err().is_none_or(there), "{made:?}");
        }
        for (first, second) in links {
            memory.link(first, second).expect("the first name was made above, the second is new");
        }
        memory
    }

    /// The bytes of one file under a choice.
    fn bytes(&self, file: usize, choice: &Choice) -> Vec<u8> {
        let FileModel { bytes: durable, .. } = &self.model.files[file];
        let len = usize::try_from(self.len(file, choice))
            .expect("a file of a replay is held in memory, so its length fits the address space");
        let mut bytes = Vec::with_capacity(len);
        bytes.extend_from_slice(&durable[..durable.len().min(len)]);
        bytes.resize(len, 0);
        for index in self.cells_of[file].clone() {
            let start = offset_of(self.cells[index].sector);
            if choice.sectors[index] > 0 && start < len {
                let end = (start + SECTOR).min(len);
                let content = self.content(index, choice);
                bytes[start..end].copy_from_slice(&content[..end - start]);
            }
        }
        bytes
    }
}

impl Choice {
    /// The words that had arrived in a torn sector.
    pub(super) fn words_of(&self, cell: usize) -> Option<u64> {
        self.words.iter().find(|(torn, _)| *torn == cell).map(|(_, words)| *words)
    }
}

fn add(sum: u64, print: &u64) -> u64 {
    sum.wrapping_add(*print)
}

/// The fingerprint of a sector at its place; that of zeros is 0, as of one that is missing.
fn print(file: usize, sector: u64, content: &Sector) -> u64 {
    if content.iter().all(|byte| *byte == 0) {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    (file, sector, content).hash(&mut hasher);
    hasher.finish()
}
