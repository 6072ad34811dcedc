//! The examples of the help pages: data that the help, the manual and a test share.

use crate::exit::Exit;

/// A command line that a reader can try, and what it shows. A test runs each one.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// As typed: words, `'quoted words'`, and at the end perhaps `> FILE`.
    pub line: &'static str,
    /// What it shows, in a few words.
    pub shows: &'static str,
    /// Files that the test makes first: name and text.
    pub given: &'static [(&'static str, &'static str)],
    /// How it ends.
    pub exit: Exit,
    /// What it asks of the system.
    pub needs: Needs,
}

/// What an example asks of the system that not every system has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// To be told what the page cache holds. Where it is not, the command says so and ends with
    /// [`Exit::Failure`].
    PageCache,
}

impl Example {
    /// An example that needs nothing and ends well.
    #[must_use]
    pub const fn new(line: &'static str, shows: &'static str) -> Self {
        Self { line, shows, given: &[], exit: Exit::Ok, needs: Needs::Nothing }
    }

    /// It needs these files.
    #[must_use]
    pub const fn given(self, given: &'static [(&'static str, &'static str)]) -> Self {
        Self { given, ..self }
    }

    /// It ends with another exit code.
    #[must_use]
    pub const fn exits(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// It asks about the page cache.
    #[must_use]
    pub const fn of_the_cache(self) -> Self {
        Self { needs: Needs::PageCache, ..self }
    }

    /// The words of the line, and the file that takes the output.
    ///
    /// # Panics
    /// If a quote is left open, or `>` is not followed by just one word: the example is wrong.
    #[must_use]
    pub fn words(&self) -> (Vec<String>, Option<String>) {
        let mut words = split(self.line);
        let Some(at) = words.iter().position(|word| word == ">") else {
            return (words, None);
        };
        assert_eq!(words.len(), at + 2, "one file after `>`: {}", self.line);
        let file = words.pop();
        words.pop();
        (words, file)
    }
}

fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in line.split('\'').enumerate() {
        // Between quotes, a part is one word; outside, spaces divide.
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    assert!(line.matches('\'').count().is_multiple_of(2), "a quote is left open: {line}");
    words
}

/// The section of a help page, ready to print.
#[must_use]
pub fn section(examples: &[Example], heading: clap::builder::styling::Style) -> String {
    let mut text = format!("{}Examples:{}", heading.render(), heading.render_reset());
    for example in examples {
        text.push_str(&format!("\n  {}\n      {}", example.line, example.shows));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_split_as_a_shell_would() {
        let example = Example::new("bifolio x 'a b' -c > out.txt", "");
        let (words, file) = example.words();
        assert_eq!(words, ["bifolio", "x", "a b", "-c"]);
        assert_eq!(file.as_deref(), Some("out.txt"));
        assert_eq!(Example::new("bifolio", "").words(), (vec!["bifolio".to_owned()], None));
    }
}
