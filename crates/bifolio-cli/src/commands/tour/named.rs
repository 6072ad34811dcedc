//! Stop: a named section, found by its name alone, and gone with its last holder.

use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use bifolio::map::names::{self, Name, Scope};
use bifolio::map::{Access, ErrorKind, ReadWrite, Section, View};

use super::{Outcome, Stop, Tour};
use crate::exit::Exit;
use crate::failure::CliError;
use crate::output::Value;

/// The stop.
pub(super) struct Named;

/// Where the two leave something for each other.
const QUESTION: u64 = 0;
const ANSWER: u64 = 8;
/// Not a multiple of a page: the other process sees this length, and not the page's.
const LEN: u64 = 5000;
/// A name goes with its last holder as soon as the system has let go of that process.
const PATIENCE: Duration = Duration::from_secs(10);

impl Stop for Named {
    fn name(&self) -> &'static str {
        "named"
    }

    fn title(&self) -> &'static str {
        "A section under a name"
    }

    fn run(&self, tour: &mut Tour<'_>) -> Result<(), CliError> {
        tour.say(
            "Memory under a name: another process, which is told the name and nothing else, opens \
             it. The name lives as long as anybody has a handle, and goes with the last one, also \
             if that one is killed. On Unix such names usually stay for ever.",
        )?;
        let text = format!("bifolio tour {}", std::process::id());
        let name = Name::new(&text)?;
        let section = Section::create_named(&name, LEN)?;
        let called = names::system_name(&name, &Scope::Session)?;
        tour.fact("what the system calls it", called.to_string_lossy().into_owned())?;
        let view: View<ReadWrite> = section.view()?;
        view.put(QUESTION, &6u64)?;
        let mut partner = tour.partner("named", &[&text])?;
        let answer = partner.ask("length")?;
        tour.check_eq("the other process sees its exact length", answer, LEN.to_string())?;
        let answer = partner.ask("seven times")?;
        tour.check_eq("and what is in it", answer, "done".to_owned())?;
        tour.check_eq("its answer is here", view.get::<u64>(ANSWER)?, 42)?;
        let second = Section::create_named(&name, LEN).err().map(|error| error.kind());
        tour.check(
            "a second creator is told that it exists",
            Outcome::when(
                second == Some(ErrorKind::AlreadyExists),
                format!("{second:?}"),
                format!("{:?}", Some(ErrorKind::AlreadyExists)),
            ),
        )?;
        // From here on only the other process has it.
        drop((view, section));
        let held = names::list(&Scope::Session)?.iter().any(|entry| entry.name() == text);
        tour.check_eq("its creator has closed it, and the name is still there", held, true)?;
        // Dropping a partner kills it.
        drop(partner);
        let started = Instant::now();
        let mut found = Section::open_named(&name).map_err(|error| error.kind());
        while found.is_ok() && started.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
            found = Section::open_named(&name).map_err(|error| error.kind());
        }
        let found = found.err();
        tour.check(
            "its last holder was killed, and the name is gone",
            Outcome::when(
                found == Some(ErrorKind::NotFound),
                format!("{found:?}"),
                format!("{:?}", Some(ErrorKind::NotFound)),
            ),
        )?;
        let names = names::list(&Scope::Session)?;
        tour.fact("named sections of this session", Value::Count(names.len() as u64))
    }
}

/// The role of the other process: opens the section of a name and holds it.
pub(super) fn play(
    arguments: &[OsString],
    questions: &mut dyn BufRead,
    answers: &mut dyn Write,
) -> Result<(), CliError> {
    let [text] = arguments else {
        return Err(CliError::new(Exit::Usage, "the role takes one name"));
    };
    let name = Name::new(text.to_string_lossy())?;
    let section = Section::options().access(Access::ReadWrite).named(&name)?;
    let view: View<ReadWrite> = section.view()?;
    for question in questions.lines() {
        let answer = match question?.as_str() {
            "length" => section.len()?.to_string(),
            _ => {
                view.put(ANSWER, &(view.get::<u64>(QUESTION)? * 7))?;
                "done".to_owned()
            }
        };
        writeln!(answers, "{answer}")?;
        answers.flush()?;
    }
    Ok(())
}
