//! Stop: a view has exactly the bytes that were asked for, and so has a stream over it.

use std::io::{BufRead, Read as _};
use std::ops::ControlFlow;

use bifolio::map::{Advice, ErrorKind, Read, Section, View};
use sha2::{Digest as _, Sha256};

use super::files;
use super::input::{ARTICLE, ARTICLE_NAME};
use super::{Outcome, Stop, Tour};
use crate::failure::{CliError, Locate};
use crate::output::Value;
use crate::progress::Progress;

/// The stop.
pub(super) struct Lengths;

impl Stop for Lengths {
    fn name(&self) -> &'static str {
        "lengths"
    }

    fn title(&self) -> &'static str {
        "Exact lengths, and streams"
    }

    fn run(&self, tour: &mut Tour<'_>) -> Result<(), CliError> {
        tour.say(
            "The system maps whole pages, and zeros follow the data in the last one. A view of \
             Bifolio ends where the file ends: it is read here through the map, in pieces and as a \
             stream, and neither finds a byte more.",
        )?;
        tour.fact("page size", Value::Bytes(bifolio::map::page_size() as u64))?;
        for file in tour.files().to_vec() {
            let (label, path) = (file.label(), file.path());
            let section = Section::open(path)?;
            let view: View<Read> = section.view()?;
            let size = std::fs::metadata(path).at(path)?.len();
            tour.check_eq(
                format_args!("{label}: the view is as long as the file"),
                view.len(),
                size,
            )?;
            // A hint only: a file system without it loses nothing but speed.
            let _ = view.advise(.., Advice::Sequential);
            let by_call = files::digest(path, &mut Progress::silent())?;
            tour.check_eq(
                format_args!("{label}: the mapped bytes have the same digest"),
                digest_of(&view)?,
                by_call.sha256,
            )?;
            let streamed = std::io::copy(&mut view.stream(), &mut std::io::sink()).at(path)?;
            tour.check_eq(format_args!("{label}: a stream ends there too"), streamed, size)?;
            let past = view.get::<u8>(size).map_err(|error| error.kind());
            tour.check(
                format_args!("{label}: the byte after the last one is an error, not a zero"),
                Outcome::when(
                    past == Err(ErrorKind::OutOfBounds),
                    format!("{past:?}"),
                    "an error: out of bounds",
                ),
            )?;
        }
        self.article(tour)
    }
}

impl Lengths {
    /// The article's file, as a reader of lines and from the middle.
    fn article(&self, tour: &mut Tour<'_>) -> Result<(), CliError> {
        let path = tour.path(ARTICLE_NAME);
        if !path.exists() {
            std::fs::write(&path, ARTICLE).at(&path)?;
        }
        let view: View<Read> = Section::open(&path)?.view()?;
        let lines: Result<Vec<String>, _> = view.stream().lines().collect();
        tour.check_eq(
            "the article's 13 bytes are three lines",
            lines.at(&path)?.join(" "),
            "111 222 333".to_owned(),
        )?;
        let middle: View<Read> = view.sub(5..8)?;
        let mut text = String::new();
        middle.stream().read_to_string(&mut text).at(&path)?;
        tour.check_eq(
            "a view of its bytes 5..8, an offset that no system could map",
            text,
            "222".to_owned(),
        )?;
        let empty = view.sub(13..)?;
        tour.check_eq("a view of no bytes is a view", empty.len(), 0)
    }
}

/// The digest of all bytes of a view, by scanning the map.
pub(super) fn digest_of(view: &View<Read>) -> Result<String, CliError> {
    let mut hasher = Sha256::new();
    let _: ControlFlow<()> = view.scan(.., |piece| {
        hasher.update(piece);
        ControlFlow::Continue(())
    })?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
