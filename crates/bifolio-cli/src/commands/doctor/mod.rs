//! `bifolio doctor`: what this machine and a file system allow and promise.
//!
//! The facts come from `bifolio::map::machine`; what they mean to a user of maps is decided in
//! `rules/`, one file for each group, by pure functions from facts to findings. What counts as
//! breaking a promise is written down in `docs/decisions/0012-what-breaks-a-promise.md`.

mod finding;
mod rules;
mod show;

use std::path::{Path, PathBuf};

use bifolio::map::names::Scope;
use bifolio::map::{Read, Section, View, fault, machine};

use crate::commands::shm::leftovers;
use crate::context::Context;
use crate::example::Example;
use crate::exit::Exit;
use crate::failure::CliError;
use crate::interrupt;
use crate::output::{Field, Format, Schema, Value};
use finding::{Finding, Level};

/// Say what this machine and file system allow and promise, with advice
///
/// Memory and its limits, maps, shared memory, system calls, and the file system of PATH: what is
/// there, what it means for maps, and what to do about it. A few things are tried out on files of
/// their own, and a few times are taken; all of it is gone afterwards.
///
/// Each finding is ok, a note (good to know), a warning (something works less well than it could),
/// or BROKEN: something that Bifolio promises would not hold here. Only the last changes the exit
/// code, to 4. These are: another library displaced the fault handler; access goes through the
/// kernel and the kernel refuses it; waiting for other processes is refused; files in PATH cannot
/// be mapped shared and writable, or their maps do not agree with each other or with calls; a flush
/// fails; the file system is mounted so that flushes do not reach the device (nobarrier, volatile).
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The directory or file whose file system is looked at [default: the current directory]
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,

    /// Say what each finding means and where it comes from, also of those that are ok
    #[arg(long)]
    explain: bool,

    /// Take no times; writes no file of 16 MiB
    #[arg(long)]
    no_measure: bool,
}

/// The examples of the help page.
pub const EXAMPLES: &[Example] = &[
    Example::new("bifolio doctor", "this machine, and the current directory"),
    Example::new("bifolio doctor --explain data.bin", "the file system of a file, with reasons")
        .given(&[("data.bin", "thirteen byte")]),
    Example::new("bifolio doctor --json > doctor.json", "for a program, or to attach to a report"),
    Example::new("bifolio doctor no/such/place", "ends with exit code 3").exits(Exit::NotFound),
];

const SCHEMA: Schema = Schema {
    name: "bifolio.doctor",
    version: 1,
    fields: &[
        Field::text("group"),
        Field::text("subject"),
        Field::text("level"),
        Field::text("value"),
        Field::count("number"),
        Field::text("unit"),
        Field::text("meaning"),
        Field::text("advice"),
        Field::text("source"),
    ],
};

/// The group about named memory.
const SHARED: &str = "shared memory";

/// Runs it.
///
/// # Errors
/// [`Exit::NotFound`] if the path does not exist, [`Exit::Corrupt`] if something would break a
/// promise.
pub fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    let path = args.path.as_deref().unwrap_or(Path::new("."));
    let file_system = machine::file_system(path)
        .map_err(|error| CliError::from(error).next("bifolio doctor, or a path that exists"))?;
    let mut groups = vec![
        ("memory", rules::memory::findings(&machine::memory(), &machine::memory_limits())),
        ("limits of this process", rules::limits::findings(&machine::limits())),
        (SHARED, rules::shared_memory::findings(&machine::shared_memory())),
        ("system calls", rules::calls::findings(&machine::kernel(), fault_status())),
        ("file system", rules::file_system::findings(&file_system)),
    ];
    // Where nobody can look there is nothing to tell.
    let left = leftovers::find(&Scope::Session).unwrap_or_default();
    if let Some((_, shared)) = groups.iter_mut().find(|(group, _)| *group == SHARED) {
        shared.extend(rules::shared_memory::left_by_others(&left));
    }
    interrupt::check()?;
    if !args.no_measure {
        let measured = machine::measure(file_system.directory());
        let in_memory = file_system.kind.value().is_some_and(|kind| kind.is_memory());
        groups.push(("measured", rules::measured::findings(&measured, in_memory)));
    }
    // What the platform does not have is no finding.
    groups.retain(|(_, findings)| !findings.is_empty());

    match context.layout().format {
        Format::Human => {
            let layout = context.layout();
            show::report(context.out(), layout, &file_system.path, &groups, args.explain)?;
        }
        _ => {
            let mut rows = context.rows(SCHEMA)?;
            for (group, findings) in &groups {
                for finding in findings {
                    rows.row(&row(group, finding))?;
                }
            }
            rows.finish()?;
        }
    }
    let broken: Vec<String> = groups
        .iter()
        .flat_map(|(_, findings)| findings)
        .filter(|finding| finding.level == Level::Broken)
        .map(|finding| finding.subject.to_string())
        .collect();
    if broken.is_empty() {
        return Ok(());
    }
    let what = format!("a promise would not hold here: {}", broken.join(", "));
    Err(CliError::new(Exit::Corrupt, what)
        .at(file_system.path.display().to_string())
        .next("bifolio doctor --explain"))
}

/// The state of the fault handler, which the first map installs.
fn fault_status() -> fault::Status {
    let view: Result<View<Read>, _> = Section::anonymous(1).and_then(|section| section.view());
    // A failure shows in other findings; the status is then that nothing was mapped.
    drop(view);
    fault::status()
}

fn row(group: &str, finding: &Finding) -> Vec<Value> {
    let (number, unit) = match finding.number {
        Some((number, unit)) => (Value::Count(number), unit.into()),
        None => (Value::Missing, Value::Missing),
    };
    vec![
        group.into(),
        finding.subject.to_string().into(),
        finding.level.name().into(),
        finding.value.clone().into(),
        number,
        unit,
        finding.meaning.clone().into(),
        finding.advice.clone().into(),
        finding.source.clone().into(),
    ]
}

/// Text that begins a line.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
