//! Stop: a file that is cut off under its readers is an error to them, not their death.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use bifolio::map::{ErrorKind, Read, Section, View, page_size};

use super::{Outcome, Stop, Tour, child};
use crate::failure::{CliError, Locate};
use crate::output::Value;

/// The stop.
pub(super) struct Cut;

/// Pages of the file, and pages that are left of it.
const PAGES: u64 = 64;
const LEFT: u64 = 16;
/// Times that the file is cut off and restored.
const ROUNDS: u32 = 50;
const READERS: usize = 2;

impl Stop for Cut {
    fn name(&self) -> &'static str {
        "truncation"
    }

    fn title(&self) -> &'static str {
        "A file is cut off under its readers"
    }

    fn run(&self, tour: &mut Tour<'_>) -> Result<(), CliError> {
        tour.say(
            "Threads read a mapped file while another process truncates and restores it, again and \
             again. With other libraries this ends the process by SIGBUS. Here a read gives the \
             bytes or says that the file ends before them.",
        )?;
        let page = page_size() as u64;
        let path = tour.path("cut");
        let ones: Vec<u8> = (0..PAGES * page).map(|_| 1).collect();
        std::fs::write(&path, ones).at(&path)?;
        let view: View<Read> = Section::open(&path)?.view()?;
        let mut partner = tour.partner("truncate", &[&path])?;
        let done = AtomicBool::new(false);
        let (tally, refused) = std::thread::scope(|scope| {
            let readers: Vec<_> =
                (0..READERS).map(|_| scope.spawn(|| read_until(&view, &done))).collect();
            let conversation = converse(&mut partner);
            done.store(true, Ordering::Relaxed);
            let mut tally = Tally::default();
            for reader in readers {
                tally.add(&reader.join().expect("readers do not panic"));
            }
            conversation.map(|refused| (tally, refused))
        })?;
        partner.finish()?;
        tour.fact("reads that gave bytes", Value::Count(tally.bytes))?;
        tour.fact("reads that gave an error", Value::Count(tally.errors))?;
        tour.check_eq("no read gave a wrong byte", tally.wrong, 0)?;
        tour.check_eq("no read gave another error than the one expected", tally.odd, 0)?;
        let claim = "a read of what was cut off is an error that says where the file ends";
        if refused {
            return tour.skip(claim, "this system does not cut off mapped files");
        }
        cut_once(&path, LEFT * page)?;
        let error = view.get::<u64>(LEFT * page).err();
        let kind = error.as_ref().map(bifolio::map::Error::kind);
        tour.check(
            claim,
            Outcome::when(
                kind == Some(ErrorKind::UnexpectedEof),
                format!("{kind:?}"),
                format!("{:?}", Some(ErrorKind::UnexpectedEof)),
            ),
        )?;
        tour.fact("the error", error.map_or_else(String::new, |error| error.to_string()))?;
        tour.check_eq("the bytes before are still there", view.get::<u8>(LEFT * page - 1)?, 1)
    }
}

/// Lets the other process cut and restore; whether the system refused it.
fn converse(partner: &mut super::child::Partner) -> Result<bool, CliError> {
    for _ in 0..ROUNDS {
        if partner.ask("cut")? == "refused" {
            return Ok(true);
        }
        partner.ask("restore")?;
    }
    Ok(false)
}

fn cut_once(path: &std::path::Path, len: u64) -> Result<(), CliError> {
    File::options().write(true).open(path).and_then(|file| file.set_len(len)).at(path)
}

/// What a reader met.
#[derive(Default)]
struct Tally {
    bytes: u64,
    errors: u64,
    wrong: u64,
    odd: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.errors += other.errors;
        self.wrong += other.wrong;
        self.odd += other.odd;
    }

    /// Every byte is what was written or, in pages that are cut off and come back, zero.
    fn note(&mut self, page: u64, read: Result<&[u8], &bifolio::map::Error>) {
        let may_be = |byte: &u8| *byte == 1 || (*byte == 0 && page >= LEFT);
        match read {
            Ok(bytes) if bytes.iter().all(may_be) => self.bytes += 1,
            Ok(_) => self.wrong += 1,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => self.errors += 1,
            // The file may be whole again by the time that its length is asked for.
            Err(error) if error.kind() == ErrorKind::StorageFault => self.errors += 1,
            Err(_) => self.odd += 1,
        }
    }
}

fn read_until(view: &View<Read>, done: &AtomicBool) -> Tally {
    let mut tally = Tally::default();
    let page = page_size() as u64;
    while !done.load(Ordering::Relaxed) {
        for number in 0..PAGES {
            tally.note(number, view.get::<u8>(number * page).as_ref().map(std::slice::from_ref));
            // Not a byte that could be right by chance.
            let mut bytes = [0xee; 300];
            let read = view.read_at(number * page + 100, &mut bytes);
            tally.note(number, read.as_ref().map(|()| &bytes[..]));
        }
    }
    tally
}

/// The role of the other process: cuts the file off and restores its length, one answer each.
pub(super) fn play(
    arguments: &[OsString],
    questions: &mut dyn BufRead,
    answers: &mut dyn Write,
) -> Result<(), CliError> {
    let path = child::one_path(arguments)?;
    let file = File::options().write(true).open(path).at(path)?;
    let page = page_size() as u64;
    child::answer_each(questions, answers, |question| {
        let pages = if question == "cut" { LEFT } else { PAGES };
        let answer = match file.set_len(pages * page) {
            Ok(()) => "done",
            Err(_) => "refused",
        };
        Ok(answer.to_owned())
    })
}
