//! `bifolio completions`

use clap::ValueEnum;
use clap_complete::Shell;

use crate::cli;
use crate::context::Context;
use crate::example::Example;
use crate::failure::CliError;
use crate::output::{Field, Schema};

/// Print the script that completes bifolio's arguments in a shell
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Args {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

/// The examples of the help page.
pub const EXAMPLES: &[Example] = &[
    Example::new(
        "bifolio completions bash > bifolio.bash",
        "for bash: then `source bifolio.bash`, or move it to \
         ~/.local/share/bash-completion/completions/bifolio",
    ),
    Example::new("bifolio completions zsh > _bifolio", "for zsh: in a directory of $fpath"),
    Example::new(
        "bifolio completions fish > bifolio.fish",
        "for fish: in ~/.config/fish/completions",
    ),
];

const SCHEMA: Schema = Schema {
    name: "bifolio.completions",
    version: 1,
    fields: &[Field::text("shell"), Field::text("script")],
};

/// Runs it.
///
/// # Errors
/// If stdout cannot be written.
pub fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::bare_command(), "bifolio", &mut script);
    let shell = args.shell.to_possible_value().map(|value| value.get_name().to_owned());
    context.text(&SCHEMA, vec![shell.into()], &String::from_utf8_lossy(&script))
}
