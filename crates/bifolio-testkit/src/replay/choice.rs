//! Choices among the pending, and which of them are tried.

use std::ops::ControlFlow;

use super::Plan;
use super::front::{Front, SectorCell};
use super::model::WriteKind;
use crate::random::Random;

/// How many operations at one cut are taken one by one; of more, a random sample is.
const ONE_BY_ONE: usize = 256;

/// What was persisted of the pending of a [`Front`], by its lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// For each sector, how many of its versions; the last of them is what it holds.
    pub(super) sectors: Vec<usize>,
    /// For each length, how many of its versions.
    pub(super) lens: Vec<usize>,
    /// For each change of names, whether it happened.
    pub(super) names: Vec<bool>,
    /// Sectors caught in the middle of stores: which words of the chosen version had arrived.
    pub(super) words: Vec<(usize, u64)>,
}

/// Which part of a torn operation was persisted.
#[derive(Clone, Copy)]
enum Tear {
    FirstHalf,
    SecondHalf,
    First,
    AllButFirst,
    Alternate,
}

impl Tear {
    const ALL: [Self; 5] =
        [Self::FirstHalf, Self::SecondHalf, Self::First, Self::AllButFirst, Self::Alternate];

    /// Whether it persists part `index` of `count`.
    fn keeps(self, index: usize, count: usize) -> bool {
        match self {
            Self::FirstHalf => index < count.div_ceil(2),
            Self::SecondHalf => index >= count.div_ceil(2),
            Self::First => index == 0,
            Self::AllButFirst => index > 0,
            Self::Alternate => index.is_multiple_of(2),
        }
    }
}

impl Front<'_> {
    /// The choice that persists the operations at which `has` is true, each as a whole.
    fn subset(&self, has: impl Fn(usize) -> bool) -> Choice {
        let last = |places: &[usize]| places.iter().rposition(|p| has(*p)).map_or(0, |i| i + 1);
        Choice {
            sectors: self.cells.iter().map(|cell| last(&cell.places)).collect(),
            lens: self.lens.iter().map(|len| last(&len.places)).collect(),
            names: self.changes.iter().map(|cell| has(cell.place)).collect(),
            words: Vec::new(),
        }
    }

    /// Hands every choice of the plan to `visit`, made possible, until it breaks.
    pub(super) fn each_choice<B>(
        &self,
        plan: &Plan,
        random: &mut Random,
        visit: &mut impl FnMut(Choice) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let mut visit = |mut choice: Choice| {
            self.make_possible(&mut choice);
            visit(choice)
        };
        let mut subset = |choice: Choice| {
            if !self.lens.is_empty() {
                // Lengths run ahead of bytes: the longer file has zeros at its end.
                let mut ahead = choice.clone();
                ahead.lens = self.lens.iter().map(|len| len.versions.len()).collect();
                visit(ahead)?;
            }
            visit(choice)
        };
        let count = self.ops.len();
        if count <= plan.exhaustive as usize {
            for mask in 0..1_u32 << count {
                subset(self.subset(|place| mask >> place & 1 == 1))?;
            }
        } else {
            let each = sample(count, random);
            subset(self.subset(|_| false))?;
            for chosen in &each {
                subset(self.subset(|place| place <= *chosen))?;
                subset(self.subset(|place| place == *chosen))?;
                subset(self.subset(|place| place != *chosen))?;
            }
            for _ in 0..plan.random {
                let taken: Vec<bool> = (0..count).map(|_| random.bool()).collect();
                subset(self.subset(|place| taken[place]))?;
            }
        }
        for torn in sample(count, random) {
            for start in [
                self.subset(|place| place == torn),
                self.subset(|place| place <= torn),
                self.subset(|_| true),
            ] {
                self.tear(&start, torn, &mut visit)?;
            }
        }
        if !self.cells.is_empty() || !self.lens.is_empty() {
            for _ in 0..plan.torn {
                visit(self.torn_at_random(random))?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Tears one operation in the ways of [`Tear`], and keeps back its length.
    fn tear<B>(
        &self,
        start: &Choice,
        torn: usize,
        visit: &mut impl FnMut(Choice) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        // The sectors whose contents come from this operation.
        let on_top = |cell: &SectorCell<'_>, chosen: usize| {
            chosen.checked_sub(1).is_some_and(|version| cell.places[version] == torn)
        };
        let cells: Vec<usize> = (0..self.cells.len())
            .filter(|cell| on_top(&self.cells[*cell], start.sectors[*cell]))
            .collect();
        for (index, len) in self.lens.iter().enumerate() {
            if let Some(version) = len.places.iter().position(|place| *place == torn) {
                let mut behind = start.clone();
                behind.lens[index] = version;
                visit(behind)?;
            }
        }
        for tear in Tear::ALL {
            if cells.len() > 1 {
                let mut choice = start.clone();
                for (index, cell) in cells.iter().enumerate() {
                    if !tear.keeps(index, cells.len()) {
                        choice.sectors[*cell] -= 1;
                    }
                }
                visit(choice)?;
            }
            for cell in &cells {
                let words = words_stored(&self.cells[*cell], start.sectors[*cell]);
                let places: Vec<u32> = (0..u64::BITS).filter(|bit| words >> bit & 1 == 1).collect();
                if places.len() < 2 {
                    continue;
                }
                let kept = places.iter().enumerate();
                let kept = kept.filter(|(index, _)| tear.keeps(*index, places.len()));
                let mask = kept.fold(0, |mask, (_, bit)| mask | 1_u64 << bit);
                let mut choice = start.clone();
                choice.words.push((*cell, mask));
                visit(choice)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Chooses every sector, length, name and word for itself.
    fn torn_at_random(&self, random: &mut Random) -> Choice {
        // Mostly lost, even, or mostly persisted.
        let (kept, of) = *random.choice(&[(1, 8), (1, 2), (7, 8)]).expect("three");
        let keep = |random: &mut Random| random.u32(0..of) < kept;
        let pick = |versions: usize, random: &mut Random| {
            if keep(random) { versions } else { random.usize(0..=versions) }
        };
        let sectors: Vec<usize> =
            self.cells.iter().map(|cell| pick(cell.versions.len(), random)).collect();
        let lens = self.lens.iter().map(|len| pick(len.versions.len(), random)).collect();
        let names = self.changes.iter().map(|_| keep(random)).collect();
        let mut words = Vec::new();
        for (index, cell) in self.cells.iter().enumerate() {
            let stored = words_stored(cell, sectors[index]);
            if stored.count_ones() > 1 && random.bool() {
                words.push((index, stored & random.u64(..)));
            }
        }
        Choice { sectors, lens, names, words }
    }
}

/// The words that the chosen version of a sector stored, if it was stored through a map.
fn words_stored(cell: &SectorCell<'_>, chosen: usize) -> u64 {
    match cell.chosen(chosen).map(|version| version.kind) {
        Some(WriteKind::Store(words)) => words,
        _ => 0,
    }
}

/// All places up to `count`, or a sample of them.
fn sample(count: usize, random: &mut Random) -> Vec<usize> {
    if count <= ONE_BY_ONE {
        return (0..count).collect();
    }
    let mut places = random.choose_multiple(0..count, ONE_BY_ONE);
    places.sort_unstable();
    places
}
