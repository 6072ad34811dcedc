//! The command `bifolio`: one program to see and operate everything that is mapped.
//!
//! What all subcommands promise is written once, each promise in a module of its own:
//!
//! | promise | module |
//! |---|---|
//! | data to stdout in five formats, with a schema for programs | [`output`], [`context`] |
//! | exit codes, and errors that say what, where and what next | [`exit`], [`failure`] |
//! | colour, progress, Ctrl-C, closed pipes | [`color`], [`progress`], [`interrupt`], [`stdout`] |
//! | nothing is deleted or overwritten unasked, no file is half-written | [`confirm`], [`replace`] |
//! | `-` is stdin; sizes, ranges and durations as people write them | [`input`], [`units`] |
//! | every help page has examples that work | [`example`], [`cli`] |
//! | unknown subcommands are programs in PATH | [`external`] |
//!
//! A subcommand lives in [`commands`], gets its arguments and a [`context::Context`], and returns
//! `Result<(), CliError>`. `commands/version.rs` is the shortest one to copy.
#![forbid(unsafe_code)]

pub mod cli;
pub mod color;
pub mod commands;
pub mod confirm;
pub mod context;
pub mod example;
pub mod exit;
pub mod external;
pub mod failure;
pub mod input;
pub mod interrupt;
pub mod output;
pub mod progress;
pub mod replace;
pub mod stdout;
pub mod units;

mod usage;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::FromArgMatches;

use crate::cli::Cli;
use crate::commands::tour;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::CliError;

/// The whole program: reads the command line, runs it, tells the error.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let [_, first, role, rest @ ..] = arguments.as_slice()
        && first == tour::child::SUBCOMMAND
    {
        return tour::child::main(role, rest);
    }
    let parsed = cli::command()
        .try_get_matches_from(&arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return usage::answer(&error, &arguments).into(),
    };
    let mut context = Context::of_process(cli.global().format(), cli.global().color());
    if !cli.is_external() {
        interrupt::listen();
    }
    let result = cli.run(&mut context);
    let help = ["bifolio", cli.command_name(), "--help"].join(" ").replace("  ", " ");
    end(&mut context, result, &help).into()
}

/// What was written before an error is still handed over; the first error counts. An error that
/// knows no next command gets the help page.
fn end(context: &mut Context, result: Result<(), CliError>, help: &str) -> Exit {
    let handed_over = context.finish();
    match result.and(handed_over) {
        Ok(()) => Exit::Ok,
        Err(error) => {
            let error = error.next(help);
            context.tell(&error);
            error.exit()
        }
    }
}
