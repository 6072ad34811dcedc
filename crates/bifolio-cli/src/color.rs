//! Colour: asked of the command line, the environment and the terminal, in this order.

use std::ffi::OsString;
use std::fmt;

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;

/// The value of `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// As `NO_COLOR`, `CLICOLOR_FORCE` and the terminal say
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Whether a stream ends in a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Somebody looks at it.
    Terminal,
    /// A file or a pipe.
    Other,
}

impl Stream {
    /// Asks the stream.
    #[must_use]
    pub fn of(stream: &impl std::io::IsTerminal) -> Self {
        if stream.is_terminal() { Self::Terminal } else { Self::Other }
    }
}

/// What the environment says about colour.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `NO_COLOR`
    pub no_color: Option<OsString>,
    /// `CLICOLOR_FORCE`
    pub clicolor_force: Option<OsString>,
    /// `CLICOLOR`
    pub clicolor: Option<OsString>,
    /// `TERM`
    pub term: Option<OsString>,
}

impl Environment {
    /// Reads it.
    #[must_use]
    pub fn of_process() -> Self {
        Self {
            no_color: std::env::var_os("NO_COLOR"),
            clicolor_force: std::env::var_os("CLICOLOR_FORCE"),
            clicolor: std::env::var_os("CLICOLOR"),
            term: std::env::var_os("TERM"),
        }
    }
}

/// The brush: either leaves text as it is or puts it between escape sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// With escape sequences.
    Coloured,
    /// Without.
    Bare,
}

impl Paint {
    /// Decides for one stream. `--color` wins; then `NO_COLOR` (set and not empty) over
    /// `CLICOLOR_FORCE` (set and not `0`) over `CLICOLOR=0`; then the terminal and its `TERM`.
    #[must_use]
    pub fn choose(color: Color, environment: &Environment, stream: Stream) -> Self {
        let is_set = |value: &Option<OsString>| value.as_ref().is_some_and(|v| !v.is_empty());
        let is = |value: &Option<OsString>, word| value.as_ref().is_some_and(|v| v == word);
        let coloured = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto if is_set(&environment.no_color) => false,
            Color::Auto
                if is_set(&environment.clicolor_force) && !is(&environment.clicolor_force, "0") =>
            {
                true
            }
            Color::Auto if is(&environment.clicolor, "0") => false,
            Color::Auto => stream == Stream::Terminal && !is(&environment.term, "dumb"),
        };
        if coloured { Self::Coloured } else { Self::Bare }
    }

    fn with<T: fmt::Display>(self, style: Style, text: T) -> Painted<T> {
        Painted { style: if self == Self::Coloured { style } else { Style::new() }, text }
    }

    /// A title or a heading.
    pub fn strong<T: fmt::Display>(self, text: T) -> Painted<T> {
        self.with(Style::new().bold(), text)
    }

    /// What is there but not looked at first.
    pub fn faint<T: fmt::Display>(self, text: T) -> Painted<T> {
        self.with(Style::new().dimmed(), text)
    }

    /// It holds.
    pub fn good<T: fmt::Display>(self, text: T) -> Painted<T> {
        self.with(AnsiColor::Green.on_default(), text)
    }

    /// It does not.
    pub fn bad<T: fmt::Display>(self, text: T) -> Painted<T> {
        self.with(AnsiColor::Red.on_default().bold(), text)
    }

    /// It is under way.
    pub fn moving<T: fmt::Display>(self, text: T) -> Painted<T> {
        self.with(AnsiColor::Cyan.on_default(), text)
    }

    /// It was there.
    pub fn lost<T: fmt::Display>(self, text: T) -> Painted<T> {
        self.with(AnsiColor::Magenta.on_default(), text)
    }

    /// Nobody knows, or it needs a look.
    pub fn caution<T: fmt::Display>(self, text: T) -> Painted<T> {
        self.with(AnsiColor::Yellow.on_default(), text)
    }
}

/// Text with its style. Padding belongs inside the text: escape sequences have no width.
#[derive(Clone, Copy, Debug)]
pub struct Painted<T> {
    style: Style,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.style.render(), self.text, self.style.render_reset())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        let get = |name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
        Environment {
            no_color: get("NO_COLOR"),
            clicolor_force: get("CLICOLOR_FORCE"),
            clicolor: get("CLICOLOR"),
            term: get("TERM"),
        }
    }

    #[test]
    fn colour_follows_the_option_then_the_environment_then_the_terminal() {
        use Paint::{Bare, Coloured};
        use Stream::{Other, Terminal};
        type Variables = &'static [(&'static str, &'static str)];
        let table: &[(Color, Variables, Stream, Paint)] = &[
            (Color::Auto, &[], Terminal, Coloured),
            (Color::Auto, &[], Other, Bare),
            (Color::Auto, &[("NO_COLOR", "1")], Terminal, Bare),
            (Color::Auto, &[("NO_COLOR", "")], Terminal, Coloured),
            (Color::Auto, &[("CLICOLOR_FORCE", "1")], Other, Coloured),
            (Color::Auto, &[("CLICOLOR_FORCE", "0")], Other, Bare),
            (Color::Auto, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], Terminal, Bare),
            (Color::Auto, &[("CLICOLOR", "0")], Terminal, Bare),
            (Color::Auto, &[("TERM", "dumb")], Terminal, Bare),
            (Color::Always, &[("NO_COLOR", "1")], Other, Coloured),
            (Color::Never, &[("CLICOLOR_FORCE", "1")], Terminal, Bare),
        ];
        for (color, pairs, stream, expected) in table {
            let found = Paint::choose(*color, &environment(pairs), *stream);
            assert_eq!(found, *expected, "{color:?} {pairs:?} {stream:?}");
        }
    }

    #[test]
    fn bare_paint_leaves_the_text_as_it_is() {
        assert_eq!(Paint::Bare.bad("x").to_string(), "x");
        assert_eq!(Paint::Coloured.good("x").to_string(), "\u{1b}[32mx\u{1b}[0m");
    }
}
