//! The command line: the tree of subcommands, and the examples of each.
//!
//! A new subcommand is a module in `commands/` with its `Args`, its `EXAMPLES` and a
//! `run(&Args, &mut Context)`, and one line in each of the three places below.

use std::ffi::OsString;

use clap::builder::Styles;
use clap::builder::styling::{AnsiColor, Style};
use clap::{CommandFactory, Parser, Subcommand};

use crate::color::Color;
use crate::commands::{completions, doctor, man, page, shm, tour, version};
use crate::context::Context;
use crate::example::{self, Example};
use crate::external;
use crate::failure::CliError;
use crate::output::Format;

/// See and operate everything that is mapped: files in memory, and memory in files.
#[derive(Debug, Parser)]
#[command(
    name = "bifolio",
    bin_name = "bifolio",
    version,
    max_term_width = 100,
    styles = STYLES,
    arg_required_else_help = true,
    allow_external_subcommands = true,
    subcommand_required = true,
)]
pub struct Cli {
    #[command(flatten)]
    global: GlobalArgs,

    #[command(subcommand)]
    command: Command,
}

/// The options that every subcommand has.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct GlobalArgs {
    /// How to write what was found: human (the default on a terminal), plain (elsewhere), json,
    /// jsonl or csv
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        value_enum,
        hide_possible_values = true,
        help_heading = "Output"
    )]
    format: Option<Format>,

    /// Short for --format json
    #[arg(long, global = true, conflicts_with = "format", help_heading = "Output")]
    json: bool,

    /// Use colour: auto, always or never
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        help_heading = "Output"
    )]
    color: Color,
}

impl GlobalArgs {
    /// The format, if one was asked for.
    #[must_use]
    pub fn format(self) -> Option<Format> {
        if self.json { Some(Format::Json) } else { self.format }
    }

    /// When to use colour.
    #[must_use]
    pub fn color(self) -> Color {
        self.color
    }

    /// The same wishes for another program that keeps the contract.
    fn to_arguments(self) -> Vec<OsString> {
        let mut arguments = Vec::new();
        if let Some(format) = self.format() {
            arguments.push(format!("--format={}", format.name()).into());
        }
        match self.color {
            Color::Auto => {}
            Color::Always => arguments.push("--color=always".into()),
            Color::Never => arguments.push("--color=never".into()),
        }
        arguments
    }
}

/// One variant for each subcommand.
#[derive(Debug, Subcommand)]
enum Command {
    Tour(tour::Args),
    Doctor(doctor::Args),
    Page(page::Args),
    Shm(shm::Args),
    Completions(completions::Args),
    Man(man::Args),
    Version(version::Args),
    #[command(external_subcommand)]
    External(Vec<OsString>),
}

/// The examples by subcommand; `""` is the program itself.
const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "",
        &[
            Example::new("bifolio tour", "what bifolio does, shown and checked on real files"),
            Example::new("bifolio version --json", "any command as JSON"),
            Example::new("bifolio help man", "the help page of a subcommand"),
        ],
    ),
    ("tour", tour::EXAMPLES),
    ("doctor", doctor::EXAMPLES),
    ("page", page::EXAMPLES),
    ("shm", shm::EXAMPLES),
    ("completions", completions::EXAMPLES),
    ("man", man::EXAMPLES),
    ("version", version::EXAMPLES),
];

const HEADING: Style = Style::new().bold();

const STYLES: Styles = Styles::styled()
    .header(HEADING)
    .usage(HEADING)
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(Style::new().dimmed())
    .error(AnsiColor::Red.on_default().bold())
    .valid(AnsiColor::Green.on_default())
    .invalid(AnsiColor::Yellow.on_default());

impl Cli {
    /// The options that every subcommand has.
    #[must_use]
    pub fn global(&self) -> GlobalArgs {
        self.global
    }

    /// Runs the subcommand.
    ///
    /// # Errors
    /// As the subcommand says.
    pub fn run(&self, context: &mut Context) -> Result<(), CliError> {
        match &self.command {
            Command::Tour(args) => tour::run(args, context),
            Command::Doctor(args) => doctor::run(args, context),
            Command::Page(args) => page::run(args, context),
            Command::Shm(args) => shm::run(args, context),
            Command::Completions(args) => completions::run(args, context),
            Command::Man(args) => man::run(args, context),
            Command::Version(args) => version::run(args, context),
            Command::External(words) => {
                let (name, rest) =
                    words.split_first().expect("clap gives the name of a subcommand");
                let mut arguments = self.global.to_arguments();
                arguments.extend_from_slice(rest);
                Err(external::run(name, &arguments))
            }
        }
    }

    /// Whether the subcommand is another program, which sees to Ctrl-C by itself.
    pub(crate) fn is_external(&self) -> bool {
        matches!(self.command, Command::External(_))
    }

    /// The subcommand as typed, for `bifolio NAME --help`.
    pub(crate) fn command_name(&self) -> &'static str {
        match &self.command {
            Command::Tour(_) => "tour",
            Command::Doctor(_) => "doctor",
            Command::Page(args) => page::words(args),
            Command::Shm(args) => shm::words(args),
            Command::Completions(_) => "completions",
            Command::Man(_) => "man",
            Command::Version(_) => "version",
            Command::External(_) => "",
        }
    }
}

/// The tree without the examples, for completions and manual pages.
#[must_use]
pub fn bare_command() -> clap::Command {
    Cli::command()
}

/// The tree with the examples in its help pages.
#[must_use]
pub fn command() -> clap::Command {
    with_examples(bare_command(), "")
}

/// The words that lead to a subcommand (`"store get"`), and what is at the end of `path`.
fn with_examples(command: clap::Command, path: &str) -> clap::Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().into()).collect();
    let command = command.after_help(example::section(examples(path), HEADING));
    names.into_iter().fold(command, |command, name| {
        let path = if path.is_empty() { name.clone() } else { format!("{path} {name}") };
        command.mut_subcommand(name, |sub| with_examples(sub, &path))
    })
}

/// The examples of a subcommand by its words (`""`, `"tour"`); none if there is no such one.
#[must_use]
pub fn examples(path: &str) -> &'static [Example] {
    all_examples().find(|(name, _)| *name == path).map_or(&[], |(_, examples)| examples)
}

/// The subcommands that have examples; a test compares them with the tree.
#[must_use]
pub fn paths_with_examples() -> Vec<&'static str> {
    all_examples().map(|(path, _)| *path).collect()
}

/// The examples of the subcommands, and of theirs.
fn all_examples() -> impl Iterator<Item = &'static (&'static str, &'static [Example])> {
    EXAMPLES.iter().chain(page::SUBCOMMANDS).chain(shm::SUBCOMMANDS)
}

/// The names of the built-in subcommands.
#[must_use]
pub fn subcommand_names() -> Vec<String> {
    let mut names: Vec<String> =
        bare_command().get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    names.push("help".to_owned());
    names
}
