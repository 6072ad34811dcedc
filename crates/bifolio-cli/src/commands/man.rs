//! `bifolio man`

use std::fs;
use std::path::{Path, PathBuf};

use clap_mangen::Man;
use roff::{Roff, bold, roman};

use crate::cli;
use crate::confirm::{ConsentArgs, Permission};
use crate::context::Context;
use crate::example::Example;
use crate::exit::Exit;
use crate::external;
use crate::failure::{CliError, Locate};
use crate::output::{Field, Schema, Value};
use crate::replace::{Existing, write_file};

/// Print a manual page, or write all of them
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The subcommand whose page to print (all its words); the page of bifolio itself without
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    command: Vec<String>,

    /// Write the pages of all subcommands to this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    #[command(flatten)]
    consent: ConsentArgs,
}

/// The examples of the help page.
pub const EXAMPLES: &[Example] = &[
    Example::new("bifolio man > bifolio.1", "the page of bifolio; read it with `man -l bifolio.1`"),
    Example::new("bifolio man tour > bifolio-tour.1", "the page of a subcommand"),
    Example::new("bifolio man --dir man1", "all pages, each in a file of the directory"),
    Example::new("bifolio man --dir man1 --dry-run", "what that would write and replace"),
];

const PAGE: Schema =
    Schema { name: "bifolio.man", version: 1, fields: &[Field::text("name"), Field::text("page")] };

const FILES: Schema = Schema {
    name: "bifolio.man-files",
    version: 1,
    fields: &[Field::text("path"), Field::bytes("size"), Field::text("state")],
};

/// One manual page.
#[derive(Clone, Debug)]
pub struct Page {
    /// `bifolio-tour`
    pub name: String,
    /// In roff.
    pub text: String,
}

/// What a file is before its page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Absent,
    Same,
    Different,
}

/// Runs it.
///
/// # Errors
/// [`Exit::Usage`] if there is no such command; [`Exit::Refused`] if a page would replace a
/// different file and nobody agreed; or the files cannot be written.
pub fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    match &args.dir {
        Some(directory) => write_all(directory, args.consent, context),
        None => {
            let page = page(&args.command)?;
            context.text(&PAGE, vec![page.name.into()], &page.text)
        }
    }
}

/// The page of the subcommand with these words.
///
/// # Errors
/// [`Exit::Usage`] if there is none.
pub fn page(words: &[String]) -> Result<Page, CliError> {
    let mut command = &with_names(cli::bare_command(), "", "bifolio");
    for word in words {
        command = command.find_subcommand(word).ok_or_else(|| external::unknown(word.as_ref()))?;
    }
    render(command, &words.join(" "))
}

/// The pages of all subcommands.
///
/// # Errors
/// If one cannot be rendered.
pub fn pages() -> Result<Vec<Page>, CliError> {
    let mut pages = Vec::new();
    collect(&with_names(cli::bare_command(), "", "bifolio"), "", &mut pages)?;
    Ok(pages)
}

fn collect(command: &clap::Command, path: &str, pages: &mut Vec<Page>) -> Result<(), CliError> {
    pages.push(render(command, path)?);
    for sub in command.get_subcommands() {
        collect(sub, format!("{path} {}", sub.get_name()).trim_start(), pages)?;
    }
    Ok(())
}

/// Names each command after its whole path: `bifolio tour` in the synopsis, `bifolio-tour` as a
/// file; and gives it the global options.
fn with_names(command: clap::Command, parent: &str, name: &str) -> clap::Command {
    let full = format!("{parent} {name}").trim_start().to_owned();
    let mut command =
        command.display_name(full.replace(' ', "-")).bin_name(&full).disable_help_subcommand(true);
    if parent.is_empty() {
        command.build();
    }
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().into()).collect();
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(&name, |sub| with_names(sub, &full, &name))
    })
}

fn render(command: &clap::Command, path: &str) -> Result<Page, CliError> {
    let man = Man::new(command.clone());
    let name = command.get_display_name().unwrap_or_default().to_owned();
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    let usage = command.clone().render_usage().to_string();
    let synopsis = usage.trim_start_matches("Usage: ").trim().to_owned();
    let mut section = Roff::new();
    section.control("SH", ["SYNOPSIS"]).text([roman(synopsis)]);
    text.extend(section.to_roff().into_bytes());
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    text.extend(sections_of_ours(path).to_roff().into_bytes());
    let text = String::from_utf8(text)
        .map_err(|e| CliError::new(Exit::Failure, "the page is no text").caused_by(e))?;
    Ok(Page { name, text })
}

/// What clap does not know of: examples, exit codes, environment.
fn sections_of_ours(path: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]);
    for example in cli::examples(path) {
        roff.control("TP", []).text([bold(example.line)]).text([roman(example.shows)]);
    }
    roff.control("SH", ["EXIT STATUS"]);
    for exit in Exit::ALL {
        roff.control("TP", []).text([bold(exit.code().to_string())]).text([roman(exit.meaning())]);
    }
    roff.control("SH", ["ENVIRONMENT"]);
    for (name, meaning) in [
        ("NO_COLOR", "if set and not empty, no colour"),
        ("CLICOLOR_FORCE", "if set and not 0, colour also where no terminal is"),
        ("PATH", "where an unknown subcommand NAME is looked for, as bifolio-NAME"),
        ("TMPDIR", "where temporary files are made"),
    ] {
        roff.control("TP", []).text([bold(name)]).text([roman(meaning)]);
    }
    roff
}

fn write_all(
    directory: &Path,
    consent: ConsentArgs,
    context: &mut Context,
) -> Result<(), CliError> {
    let mut files = Vec::new();
    for page in pages()? {
        let path = directory.join(format!("{}.1", page.name));
        let state = match fs::read(&path) {
            Ok(old) if old == page.text.as_bytes() => State::Same,
            Ok(_) => State::Different,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => State::Absent,
            Err(error) => return Err(error).at(&path),
        };
        files.push((path, page, state));
    }
    let different = files.iter().filter(|(_, _, state)| *state == State::Different).count();
    let question =
        format!("replace {different} of {} pages in {}", files.len(), directory.display());
    let permission = match (different, consent.consent()) {
        (0, crate::confirm::Consent::Ask) => Permission::Do,
        (_, consent) => context.permission(consent, &question)?,
    };
    if permission == Permission::Do {
        fs::create_dir_all(directory).at(directory)?;
    }
    let mut rows = context.rows(FILES)?;
    for (path, page, state) in files {
        crate::interrupt::check()?;
        if permission == Permission::Do && state != State::Same {
            let existing = if state == State::Absent { Existing::Keep } else { Existing::Replace };
            write_file(&path, existing, |out| Ok(out.write_all(page.text.as_bytes())?))?;
        }
        let told = match (state, permission) {
            (State::Same, _) => "unchanged",
            (State::Absent, Permission::Do) => "created",
            (State::Absent, Permission::OnlyTell) => "would be created",
            (State::Different, Permission::Do) => "replaced",
            (State::Different, Permission::OnlyTell) => "would be replaced",
        };
        let size = Value::Bytes(page.text.len() as u64);
        rows.row(&[Value::path(&path), size, told.into()])?;
    }
    Ok(rows.finish()?)
}
