//! Stop: a full disk is an error when a file is made or grows, and never a signal.

use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::path::Path;

use bifolio::map::{Access, Create, Flush, ReadWrite, Section, Space, View};

use super::child::Partner;
use super::{Stop, Tour, child};
use crate::failure::{CliError, Locate};

/// The stop.
pub(super) struct Full;

/// The size of the disk that is filled.
const DISK: u64 = 1 << 20;

impl Stop for Full {
    fn name(&self) -> &'static str {
        "full-disk"
    }

    fn title(&self) -> &'static str {
        "A full disk"
    }

    fn run(&self, tour: &mut Tour<'_>) -> Result<(), CliError> {
        tour.say(
            "A disk of one MiB is mounted for a child process alone (by unshare, as an ordinary \
             user). A file that does not fit is refused when it is made, and nothing is left of it. \
             A sparse file is made, as asked, and the store that finds no space says so; from then \
             on a flush refuses to vouch for the file until the loss was accepted.",
        )?;
        const CLAIMS: [(&str, &str); 5] = [
            ("create", "a file larger than the disk is refused when it is made"),
            ("nothing", "no part of that file is left behind"),
            ("store", "a store into a hole is an error when the disk is full"),
            ("flush", "a flush does not vouch for what was lost"),
            ("accept", "a flush succeeds once the loss was accepted"),
        ];
        let mount = tour.path("disk");
        std::fs::create_dir(&mount).at(&mount)?;
        let Some(mut partner) = with_small_disk(&mount)? else {
            for (_, claim) in CLAIMS {
                tour.skip(claim, "no private mount here")?;
            }
            return Ok(());
        };
        for (question, claim) in CLAIMS {
            let answer = partner.ask(question)?;
            tour.check_eq(claim, answer, expected(question).to_owned())?;
        }
        partner.finish()
    }
}

/// What the child answers if all is well.
fn expected(question: &str) -> &'static str {
    match question {
        "create" | "store" => "no space left",
        "nothing" => "no file",
        "flush" => "an earlier failure is final for this handle",
        _ => "ok",
    }
}

/// A child that has a small disk at `mount`, which nobody else sees; `None` if that cannot be.
fn with_small_disk(mount: &Path) -> Result<Option<Partner>, CliError> {
    if !cfg!(target_os = "linux") {
        return Ok(None);
    }
    // The shell gets its words as arguments, so no path needs quoting.
    let script = "mount -t tmpfs -o size=1m none \"$1\" && exec \"$2\" tour-child full-disk \"$1\"";
    let program = std::env::current_exe()?;
    for unshare in [&["-r", "-m"][..], &["-m"]] {
        let mut words: Vec<OsString> = vec!["unshare".into()];
        words.extend(unshare.iter().map(OsString::from));
        words.extend(["sh", "-c", script, "sh"].map(OsString::from));
        words.extend([mount.into(), program.clone().into()]);
        if let Some(partner) = Partner::start_by("full-disk", &words)? {
            return Ok(Some(partner));
        }
    }
    Ok(None)
}

/// The role of the child: says that it is there, and answers the questions in their order.
pub(super) fn play(
    arguments: &[OsString],
    questions: &mut dyn BufRead,
    answers: &mut dyn Write,
) -> Result<(), CliError> {
    let mount = child::one_path(arguments)?;
    let (large, sparse) = (mount.join("large"), mount.join("sparse"));
    writeln!(answers, "ready").and_then(|()| answers.flush())?;
    let mut view: Option<View<ReadWrite>> = None;
    child::answer_each(questions, answers, |question| {
        let outcome = match question {
            "create" => Section::create(&large, 4 * DISK).map(drop),
            "nothing" => {
                return Ok(if large.exists() { "a file" } else { "no file" }.to_owned());
            }
            "store" => {
                let section = Section::options()
                    .access(Access::ReadWrite)
                    .create(Create::New)
                    .len(4 * DISK)
                    .space(Space::Sparse)
                    .open(&sparse)?;
                view.insert(section.view()?).fill(.., 7)
            }
            "flush" => flush(view.as_ref()),
            _ => {
                if let Some(section) = view.as_ref().and_then(View::section) {
                    section.accept_lost_stores();
                }
                flush(view.as_ref())
            }
        };
        Ok(outcome.map_or_else(|error| error.kind().as_str(), |()| "ok").to_owned())
    })
}

fn flush(view: Option<&View<ReadWrite>>) -> bifolio::map::Result<()> {
    view.map_or(Ok(()), |view| view.flush(.., Flush::Data))
}
