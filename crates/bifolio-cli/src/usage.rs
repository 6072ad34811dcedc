//! A command line that does not parse, or that asks for help.

use std::ffi::OsString;

use clap::error::ErrorKind;

use crate::color::{Color, Environment, Paint, Stream};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::CliError;
use crate::output::Format;

/// Prints the help page that was asked for, or says what is wrong.
pub(crate) fn answer(error: &clap::Error, arguments: &[OsString]) -> Exit {
    let wishes = Wishes::of(arguments);
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let mut context = Context::of_process(Some(Format::Plain), wishes.color);
            let text = rendered(error, context.layout().paint);
            let written = context.out().write_all(text.as_bytes()).map_err(CliError::from);
            crate::end(&mut context, written, "bifolio --help")
        }
        // `bifolio help x`
        ErrorKind::InvalidSubcommand => {
            let context = Context::of_process(wishes.format, wishes.color);
            let name = invalid_name(error);
            let error = crate::external::unknown(name.as_ref());
            context.tell(&error);
            error.exit()
        }
        _ => {
            let context = Context::of_process(wishes.format, wishes.color);
            match wishes.format {
                Some(Format::Json | Format::Jsonl) => context.tell(&as_error(error, arguments)),
                _ => {
                    let stderr = Stream::of(&std::io::stderr());
                    let paint = Paint::choose(wishes.color, &Environment::of_process(), stderr);
                    context.message(rendered(error, paint).trim_end());
                }
            }
            Exit::Usage
        }
    }
}

fn rendered(error: &clap::Error, paint: Paint) -> String {
    let text = error.render();
    match paint {
        Paint::Coloured => text.ansi().to_string(),
        Paint::Bare => text.to_string(),
    }
}

fn invalid_name(error: &clap::Error) -> String {
    match error.get(clap::error::ContextKind::InvalidSubcommand) {
        Some(clap::error::ContextValue::String(name)) => name.clone(),
        _ => String::new(),
    }
}

/// The same as an error of ours: the first paragraph of clap's text says what is wrong.
fn as_error(error: &clap::Error, arguments: &[OsString]) -> CliError {
    let text = error.render().to_string();
    let what = text.split("\n\n").next().unwrap_or_default();
    let what = what.strip_prefix("error: ").unwrap_or(what);
    let what: Vec<&str> = what.split_whitespace().collect();
    let line: Vec<_> = arguments.iter().skip(1).map(|word| word.to_string_lossy()).collect();
    let known = crate::cli::subcommand_names();
    let command = line.iter().find(|word| known.iter().any(|name| name == word.as_ref()));
    let next = command.map_or("bifolio --help".to_owned(), |name| format!("bifolio {name} --help"));
    CliError::new(Exit::Usage, what.join(" ")).at(format!("bifolio {}", line.join(" "))).next(next)
}

/// What a line that does not parse still says about its output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wishes {
    format: Option<Format>,
    color: Color,
}

impl Wishes {
    fn of(arguments: &[OsString]) -> Self {
        use clap::ValueEnum;
        let mut wishes = Self::default();
        let mut words = arguments.iter().filter_map(|word| word.to_str());
        while let Some(word) = words.next() {
            let (name, value) = word.split_once('=').map_or((word, None), |(n, v)| (n, Some(v)));
            match name {
                "--" => break,
                "--json" => wishes.format = Some(Format::Json),
                "--format" => {
                    let value = value.or_else(|| words.next()).unwrap_or_default();
                    wishes.format = Format::from_str(value, false).ok().or(wishes.format);
                }
                "--color" => {
                    let value = value.or_else(|| words.next()).unwrap_or_default();
                    wishes.color = Color::from_str(value, false).unwrap_or(wishes.color);
                }
                _ => {}
            }
        }
        wishes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format_of(line: &str) -> Option<Format> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        Wishes::of(&words).format
    }

    #[test]
    fn the_format_is_known_even_if_the_line_is_wrong() {
        assert_eq!(format_of("bifolio tour --nonsense --json"), Some(Format::Json));
        assert_eq!(format_of("bifolio --format jsonl --nonsense"), Some(Format::Jsonl));
        assert_eq!(format_of("bifolio --format=csv --nonsense"), Some(Format::Csv));
        assert_eq!(format_of("bifolio --format"), None);
        assert_eq!(format_of("bifolio tour -- --json"), None);
    }
}
