//! What every command gets: where to write, in which format, and whom to ask.

use std::io::{self, Write};

use serde_json::{Value as Json, json};

use crate::color::{Color, Environment, Paint, Stream};
use crate::confirm::{Asker, Consent, Permission};
use crate::exit::Exit;
use crate::failure::{CliError, Locate};
use crate::output::{Format, Layout, Rows, Schema, Value, write_record};
use crate::progress::{Progress, Unit};
use crate::stdout::Stdout;

/// The surroundings of one run.
#[derive(Debug)]
pub struct Context {
    out: Stdout,
    layout: Layout,
    messages: Paint,
}

impl Context {
    /// Asks the terminal and the environment what the command line left open.
    #[must_use]
    pub fn of_process(format: Option<Format>, color: Color) -> Self {
        let environment = Environment::of_process();
        let stdout = Stream::of(&io::stdout());
        let stderr = Stream::of(&io::stderr());
        let by_default = if stdout == Stream::Terminal { Format::Human } else { Format::Plain };
        let format = format.unwrap_or(by_default);
        let columns = match stdout {
            Stream::Terminal => terminal_size::terminal_size().map(|(width, _)| width.0),
            Stream::Other => None,
        };
        // Old Windows consoles understand colour only when asked to.
        let _ = anstyle_query::windows::enable_ansi_colors();
        Self {
            out: Stdout::of_process(),
            layout: Layout { format, paint: Paint::choose(color, &environment, stdout), columns },
            messages: Paint::choose(color, &environment, stderr),
        }
    }

    /// The format, the brush and the width of stdout.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Stdout, for what is no record.
    pub fn out(&mut self) -> &mut dyn Write {
        &mut self.out
    }

    /// Many records.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn rows(&mut self, schema: Schema) -> Result<Rows<'_>, CliError> {
        Ok(Rows::begin(&mut self.out, self.layout, schema)?)
    }

    /// One record.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn record(&mut self, schema: &Schema, values: &[Value]) -> Result<(), CliError> {
        Ok(write_record(&mut self.out, self.layout, schema, values)?)
    }

    /// One text, such as a script or a manual page: as it is in the formats for people, and the
    /// last value of a record in the others. The schema ends with a text field for it.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn text(
        &mut self,
        schema: &Schema,
        mut values: Vec<Value>,
        text: &str,
    ) -> Result<(), CliError> {
        match self.layout.format {
            Format::Human | Format::Plain => Ok(self.out.write_all(text.as_bytes())?),
            Format::Json | Format::Jsonl | Format::Csv => {
                values.push(text.into());
                self.record(schema, &values)
            }
        }
    }

    /// Says something on stderr that is no data. Nobody may be there to hear it.
    pub fn message(&self, text: &str) {
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Begins to show the progress of long work.
    #[must_use]
    pub fn progress(&self, title: &str, unit: Unit, total: u64) -> Progress {
        Progress::begin(title, unit, total)
    }

    /// Gets permission for something that deletes or overwrites.
    ///
    /// # Errors
    /// [`Exit::Refused`] without it.
    pub fn permission(&mut self, consent: Consent, deed: &str) -> Result<Permission, CliError> {
        self.out.flush()?;
        let stream = match (Stream::of(&io::stdin()), Stream::of(&io::stderr())) {
            (Stream::Terminal, Stream::Terminal) => Stream::Terminal,
            _ => Stream::Other,
        };
        Asker { stream, answers: &mut io::stdin().lock(), questions: &mut io::stderr() }
            .permission(consent, deed)
    }

    /// Hands over what is still buffered: the last thing of a run, and the one that notices a
    /// full disk.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn finish(&mut self) -> Result<(), CliError> {
        self.out.flush().at("stdout")
    }

    /// Tells an error on stderr, as a JSON object if the output is JSON.
    pub fn tell(&self, error: &CliError) {
        if error.is_quiet() {
            return;
        }
        let text = match self.layout.format {
            Format::Json | Format::Jsonl => error_json(error).to_string(),
            Format::Human | Format::Plain | Format::Csv => error_text(error, self.messages),
        };
        self.message(&text);
    }
}

/// The object that stands for an error.
fn error_json(error: &CliError) -> Json {
    json!({
        "schema": "bifolio.error",
        "version": 1,
        "exit": error.exit().code(),
        "what": error.what(),
        "where": error.place(),
        "next": error.next_step(),
    })
}

fn error_text(error: &CliError, paint: Paint) -> String {
    if error.exit() == Exit::Interrupted {
        return error.what().to_owned();
    }
    let mut text = format!("{} {}", paint.bad("error:"), error.what());
    if let Some(place) = error.place() {
        text.push_str(&format!("\n  {} {place}", paint.faint("where:")));
    }
    if let Some(next) = error.next_step() {
        text.push_str(&format!("\n  {}  {next}", paint.faint("next:")));
    }
    text
}
