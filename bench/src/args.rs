//! The command line.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;

use crate::Result;
use crate::report::{Format, Report};
use crate::suite::{SUITES, Scale};

/// Measures Bifolio against named rivals in one run.
#[derive(Parser, Debug)]
#[command(name = "bifolio-bench", version)]
struct Args {
    /// A suite, or `list` for what there is.
    suite: String,
    /// Small files and few rounds: within a minute, for a first look.
    #[arg(long)]
    quick: bool,
    /// Only the figures that the suite has to reach: ratio, goal, and whether it was met.
    #[arg(long)]
    goals: bool,
    /// One JSON object a line instead of tables.
    #[arg(long)]
    json: bool,
}

/// Runs what the command line asks for.
pub(crate) fn main() -> ExitCode {
    // Called by the command's name, it is the command: `page/touch.rs` measures it as a process.
    if std::env::args_os().next().is_some_and(|name| name == crate::page::COMMAND) {
        return bifolio_cli::main();
    }
    let outcome = match crate::child::task() {
        Some(task) => task,
        None => run(&Args::parse()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bifolio-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    if args.suite == "list" {
        let mut out = std::io::stdout().lock();
        for suite in SUITES {
            writeln!(out, "{:8}{}", suite.name, suite.about)?;
        }
        return Ok(());
    }
    let Some(suite) = SUITES.iter().find(|suite| suite.name == args.suite) else {
        return Err(
            format!("there is no suite {:?}; `bifolio-bench list` names them", args.suite).into()
        );
    };
    let scale = if args.quick { Scale::Quick } else { Scale::Full };
    let mut report = Report::new(if args.json { Format::Json } else { Format::Table });
    if args.goals {
        (suite.goals)(scale, &mut report)?;
    } else {
        (suite.run)(scale, &mut report)?;
    }
    report.finish()
}
