//! Stop: copy-on-write views change nothing but themselves, until told to.

use bifolio::map::{CopyOnWrite, Flush, Read, Section, View, page_size};

use super::{Stop, Tour, lengths};
use crate::failure::CliError;

/// The stop.
pub(super) struct Private;

impl Stop for Private {
    fn name(&self) -> &'static str {
        "copy-on-write"
    }

    fn title(&self) -> &'static str {
        "Copy on write"
    }

    fn run(&self, tour: &mut Tour<'_>) -> Result<(), CliError> {
        tour.say(
            "A copy-on-write view can be written, and the file keeps its bytes. The view knows \
             which pages it changed and writes them back when asked to, in the order given, each \
             durable before the next.",
        )?;
        let page = page_size() as u64;
        let section = Section::create(tour.path("pages"), 5 * page)?;
        let before = lengths::digest_of(&section.view::<Read>()?)?;
        let view: View<CopyOnWrite> = section.view()?;
        view.write_at(page - 2, b"over the edge of a page")?;
        view.put(4 * page, &7u64)?;
        tour.check_eq(
            "a write to the view leaves the digest of the file as it was",
            lengths::digest_of(&section.view()?)?,
            before,
        )?;
        tour.check_eq("the view shows what was written", view.get::<u64>(4 * page)?, 7)?;
        let changed = view.changed();
        tour.check_eq(
            "it knows the pages that it changed",
            format!("{changed:?}"),
            format!("{:?}", [0..2 * page, 4 * page..5 * page]),
        )?;
        // The last page first: whoever needs that order, as a commit by a metadata page does,
        // gives it.
        let order: Vec<_> = changed.into_iter().rev().collect();
        view.write_back(&section, &order, Flush::Data)?;
        tour.check_eq(
            "the file has it after it was written back",
            section.view::<Read>()?.get::<u64>(4 * page)?,
            7,
        )?;
        tour.check_eq("then nothing is left to write", view.changed().len(), 0)
    }
}
