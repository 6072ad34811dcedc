//! A bad state made small, and put into words.

use std::fmt::Write;

use super::choice::Choice;
use super::front::Front;
use crate::trace::Trace;

/// How many states are tried to make one smaller.
const ATTEMPTS: usize = 500;

/// Takes out of a bad choice what it does not need: first tears are mended, then operations are
/// dropped one by one, from the last, as long as `fails` still does.
pub(super) fn shrink(
    front: &Front<'_>,
    mut choice: Choice,
    mut fails: impl FnMut(&Choice) -> bool,
) -> Choice {
    let mut attempts = ATTEMPTS;
    let mut better = |mut candidate: Choice, choice: &mut Choice| {
        front.make_possible(&mut candidate);
        if candidate == *choice || attempts == 0 {
            return false;
        }
        attempts -= 1;
        let kept = fails(&candidate);
        if kept {
            *choice = candidate;
        }
        kept
    };
    if !choice.words.is_empty() {
        let whole = Choice { words: Vec::new(), ..choice.clone() };
        better(whole, &mut choice);
    }
    loop {
        let mut changed = false;
        for place in (0..front.ops.len()).rev() {
            let dropped = front.without(&choice, place);
            if better(dropped, &mut choice) {
                changed = true;
                continue;
            }
            if front.is_torn(&choice, place) {
                let mended = front.with(&choice, place);
                changed |= better(mended, &mut choice);
            }
        }
        if !changed {
            return choice;
        }
    }
}

impl Front<'_> {
    /// The choice with what this operation put on top taken off.
    fn without(&self, choice: &Choice, place: usize) -> Choice {
        let mut choice = choice.clone();
        let lower = |chosen: &mut usize, places: &[usize]| {
            if chosen.checked_sub(1).is_some_and(|top| places[top] == place) {
                *chosen -= 1;
            }
        };
        for (cell, chosen) in self.cells.iter().zip(&mut choice.sectors) {
            lower(chosen, &cell.places);
        }
        for (len, chosen) in self.lens.iter().zip(&mut choice.lens) {
            lower(chosen, &len.places);
        }
        for (change, chosen) in self.changes.iter().zip(&mut choice.names) {
            *chosen &= change.place != place;
        }
        choice
    }

    /// The choice with the whole of this operation persisted.
    fn with(&self, choice: &Choice, place: usize) -> Choice {
        let mut choice = choice.clone();
        let raise = |chosen: &mut usize, places: &[usize]| {
            if let Some(version) = places.iter().position(|at| *at == place) {
                *chosen = (*chosen).max(version + 1);
            }
        };
        for (cell, chosen) in self.cells.iter().zip(&mut choice.sectors) {
            raise(chosen, &cell.places);
        }
        for (len, chosen) in self.lens.iter().zip(&mut choice.lens) {
            raise(chosen, &len.places);
        }
        choice
    }

    /// The sectors that an operation wrote, each with whether they were persisted.
    fn sectors_of(&self, choice: &Choice, place: usize) -> Vec<(u64, bool)> {
        let cells = self.cells.iter().zip(&choice.sectors);
        let written = cells.filter_map(|(cell, chosen)| {
            let version = cell.places.iter().position(|at| *at == place)?;
            Some((cell.sector, *chosen > version))
        });
        written.collect()
    }

    /// Whether an operation set a length, and if so, whether that was persisted.
    fn len_of_op(&self, choice: &Choice, place: usize) -> Option<bool> {
        self.lens.iter().zip(&choice.lens).find_map(|(len, chosen)| {
            let version = len.places.iter().position(|at| *at == place)?;
            Some(*chosen > version)
        })
    }

    fn is_torn(&self, choice: &Choice, place: usize) -> bool {
        let sectors = self.sectors_of(choice, place);
        let parts = sectors.iter().map(|(_, kept)| *kept).chain(self.len_of_op(choice, place));
        let mut parts = parts.peekable();
        let first = parts.peek().copied();
        parts.any(|kept| Some(kept) != first)
    }
}

/// One line for each pending operation: what was persisted of it.
pub(super) fn describe(front: &Front<'_>, choice: &Choice, trace: &Trace) -> Vec<String> {
    let lines = front.ops.iter().enumerate().map(|(place, op)| {
        let mut line = trace.describe(*op);
        let sectors = front.sectors_of(choice, place);
        let kept: Vec<u64> = sectors.iter().filter(|(_, kept)| *kept).map(|(s, _)| *s).collect();
        let changes = front.changes.iter().zip(&choice.names);
        let name =
            changes.filter(|(cell, _)| cell.place == place).map(|(_, chosen)| *chosen).next();
        let whole = |kept: bool| if kept { "persisted" } else { "lost" };
        let fate = match (kept.len(), sectors.len(), front.len_of_op(choice, place), name) {
            (_, _, _, Some(happened)) => whole(happened).to_owned(),
            (_, 0, Some(len), None) => whole(len).to_owned(),
            (kept, all, None, None) if kept == all => whole(true).to_owned(),
            (0, _, None | Some(false), None) => whole(false).to_owned(),
            (kept, all, Some(true), None) if kept == all => whole(true).to_owned(),
            (0, _, Some(true), None) => "length persisted, bytes lost".to_owned(),
            (_, all, len, None) => {
                let mut text = format!("torn: {} of {all} sectors ({})", kept.len(), Runs(&kept));
                if let Some(len) = len {
                    let _ = write!(text, ", length {}", whole(len));
                }
                text
            }
        };
        let _ = write!(line, ": {fate}");
        for (cell, words) in &choice.words {
            let cell_of_op = &front.cells[*cell];
            if cell_of_op.places[choice.sectors[*cell] - 1] == place {
                let _ = write!(line, ", sector {} words {words:#018x} only", cell_of_op.sector);
            }
        }
        line
    });
    lines.collect()
}

/// Sector numbers as runs: `0-3, 7`.
struct Runs<'a>(&'a [u64]);

impl std::fmt::Display for Runs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let runs = self.0.chunk_by(|a, b| a + 1 == *b);
        for (index, run) in runs.enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match run {
                [only] => write!(f, "{comma}{only}")?,
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                [] => {}
            }
        }
        Ok(())
    }
}
