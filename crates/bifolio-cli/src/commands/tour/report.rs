//! What the tour tells, in each format.
//!
//! People read it as it comes. `plain` is one line for each thing said, its kind first:
//! `stop`, `say`, `fact` (with the unit of its number behind it), `passed`, `FAILED`, `SKIPPED`. JSON is one document; JSON lines and CSV
//! have a record for each fact and check. The last line for people and of `plain` counts.

use std::fmt::Display;

use serde_json::{Map, Value as Json, json};

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::CliError;
use crate::output::{Field, Format, Layout, Schema, Value, display_width, printable, wrap};

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not.
    Failed {
        /// What is there.
        found: String,
        /// What should be.
        expected: String,
    },
    /// It could not be made.
    Skipped {
        /// Why not.
        why: String,
    },
}

impl Outcome {
    /// What was found is not what was expected.
    #[must_use]
    pub fn failed(found: impl Display, expected: impl Display) -> Self {
        Self::Failed { found: found.to_string(), expected: expected.to_string() }
    }

    /// Passed if it is so, otherwise failed with these words.
    #[must_use]
    pub fn when(holds: bool, found: impl Display, expected: impl Display) -> Self {
        if holds { Self::Passed } else { Self::failed(found, expected) }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed { .. } => "failed",
            Self::Skipped { .. } => "skipped",
        }
    }
}

/// A thing that a stop told.
#[derive(Clone, Debug)]
enum Item {
    Said(String),
    Fact(String, Value),
    Check(String, Outcome),
}

#[derive(Clone, Debug)]
struct StopReport {
    title: &'static str,
    items: Vec<Item>,
}

const SCHEMA: Schema = Schema {
    name: "bifolio.tour",
    version: 1,
    fields: &[
        Field::text("stop"),
        Field::text("kind"),
        Field::text("text"),
        Field::text("found"),
        Field::text("unit"),
        Field::text("expected"),
        Field::text("why"),
    ],
};

/// Names of facts are padded to this width, so that their values stand below each other.
const FACT_WIDTH: usize = 24;

/// The text is not wider than this: long lines are hard to read.
const TEXT_WIDTH: usize = 84;

const INDENT: usize = 3;

/// Collects what is told, and tells it.
#[derive(Debug)]
pub(super) struct Report<'a> {
    context: &'a mut Context,
    stops: Vec<StopReport>,
}

impl<'a> Report<'a> {
    pub(super) fn begin(context: &'a mut Context) -> Self {
        Self { context, stops: Vec::new() }
    }

    pub(super) fn stop(&mut self, title: &'static str) -> Result<(), CliError> {
        self.stops.push(StopReport { title, items: Vec::new() });
        let number = self.stops.len();
        let Layout { format, paint, .. } = self.context.layout();
        let out = self.context.out();
        match format {
            Format::Human => {
                let gap = if number > 1 { "\n" } else { "" };
                writeln!(out, "{gap}{}", paint.strong(format_args!("{number}  {title}")))?;
            }
            Format::Plain => writeln!(out, "stop\t{title}")?,
            Format::Json | Format::Jsonl | Format::Csv => {}
        }
        Ok(out.flush()?)
    }

    pub(super) fn say(&mut self, sentences: &str) -> Result<(), CliError> {
        let words: Vec<&str> = sentences.split_whitespace().collect();
        self.tell(Item::Said(words.join(" ")))
    }

    pub(super) fn fact(&mut self, name: String, value: Value) -> Result<(), CliError> {
        self.tell(Item::Fact(name, value))
    }

    pub(super) fn check(&mut self, claim: String, outcome: Outcome) -> Result<(), CliError> {
        self.tell(Item::Check(claim, outcome))
    }

    fn tell(&mut self, item: Item) -> Result<(), CliError> {
        let layout = self.context.layout();
        let stop = self.stops.last_mut().expect("a stop is begun before it tells anything");
        let text = match layout.format {
            Format::Human => human(&item, stop.items.last(), layout),
            Format::Plain => plain(&item),
            Format::Json | Format::Jsonl | Format::Csv => String::new(),
        };
        stop.items.push(item);
        let out = self.context.out();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    /// Tells the end.
    pub(super) fn finish(self) -> Result<(), CliError> {
        let tally = Tally::of(&self.stops);
        let Layout { format, paint, .. } = self.context.layout();
        match format {
            Format::Human => {
                let line = tally.line();
                let line = match tally.failed {
                    0 => paint.strong(line),
                    _ => paint.bad(line),
                };
                writeln!(self.context.out(), "\n{line}")?;
            }
            Format::Plain => writeln!(self.context.out(), "{}", tally.line())?,
            Format::Json => {
                let document = document(&self.stops, &tally);
                writeln!(self.context.out(), "{document}")?;
            }
            Format::Jsonl | Format::Csv => {
                let mut rows = self.context.rows(SCHEMA)?;
                for stop in &self.stops {
                    for row in stop.items.iter().filter_map(|item| row(stop.title, item)) {
                        rows.row(&row)?;
                    }
                }
                rows.finish()?;
            }
        }
        if tally.failed == 0 {
            return Ok(());
        }
        let what = format!("{} of {} checks did not hold", tally.failed, tally.checks());
        Err(CliError::new(Exit::Corrupt, what)
            .next("bifolio tour --format plain, and look for FAILED"))
    }
}

/// How many checks ended how.
#[derive(Debug, Default)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
    reasons: Vec<String>,
}

impl Tally {
    fn of(stops: &[StopReport]) -> Self {
        let mut tally = Self::default();
        for item in stops.iter().flat_map(|stop| &stop.items) {
            match item {
                Item::Check(_, Outcome::Passed) => tally.passed += 1,
                Item::Check(_, Outcome::Failed { .. }) => tally.failed += 1,
                Item::Check(_, Outcome::Skipped { why }) => {
                    tally.skipped += 1;
                    if !tally.reasons.contains(why) {
                        tally.reasons.push(why.clone());
                    }
                }
                Item::Said(_) | Item::Fact(..) => {}
            }
        }
        tally
    }

    fn checks(&self) -> usize {
        self.passed + self.failed + self.skipped
    }

    fn line(&self) -> String {
        let Self { passed, failed, skipped, reasons } = self;
        let checks = self.checks();
        let noun = if checks == 1 { "check" } else { "checks" };
        let mut line =
            format!("{checks} {noun}: {passed} passed, {failed} failed, {skipped} skipped");
        if !reasons.is_empty() {
            line.push_str(&format!(" ({})", printable(&reasons.join("; "))));
        }
        line
    }
}

fn human(item: &Item, before: Option<&Item>, layout: Layout) -> String {
    let Layout { paint, columns, .. } = layout;
    let width = columns.map_or(TEXT_WIDTH, |columns| usize::from(columns).min(TEXT_WIDTH + INDENT));
    let width = width.saturating_sub(INDENT);
    let margin = " ".repeat(INDENT);
    let gap = before.is_some_and(|before| parted(before, item));
    let mut text = if gap { "\n".to_owned() } else { String::new() };
    let mut line = |line: &dyn Display| text.push_str(&format!("{margin}{line}\n"));
    match item {
        Item::Said(sentences) => {
            for part in wrap(&printable(sentences), width) {
                line(&part);
            }
        }
        Item::Fact(name, value) => {
            let name = printable(name);
            let value = value.human_exact();
            let padding = " ".repeat(FACT_WIDTH.saturating_sub(display_width(&name)));
            let name = paint.faint(format!("{name}{padding}"));
            let taken = FACT_WIDTH + 2 + display_width(&value);
            if columns.is_some_and(|columns| INDENT + taken > usize::from(columns)) {
                line(&name);
                line(&format_args!("  {value}"));
            } else {
                line(&format_args!("{name}  {value}"));
            }
        }
        Item::Check(claim, Outcome::Passed) => {
            for (mark, part) in marked(claim, width) {
                line(&format_args!("{} {part}", paint.good(if mark { "✓" } else { " " })));
            }
        }
        Item::Check(claim, Outcome::Failed { found, expected }) => {
            for (mark, part) in marked(&format!("FAILED: {claim}"), width) {
                line(&format_args!(
                    "{} {}",
                    paint.bad(if mark { "✗" } else { " " }),
                    paint.bad(part)
                ));
            }
            line(&format_args!("  {}    {}", paint.faint("found"), printable(found)));
            line(&format_args!("  {} {}", paint.faint("expected"), printable(expected)));
        }
        Item::Check(claim, Outcome::Skipped { why }) => {
            for (mark, part) in marked(&format!("SKIPPED: {claim} ({why})"), width) {
                line(&format_args!(
                    "{} {}",
                    paint.caution(if mark { "-" } else { " " }),
                    paint.caution(part)
                ));
            }
        }
    }
    text
}

/// Whether an empty line parts two things: what is said stands alone, and new facts after checks
/// begin something new.
fn parted(before: &Item, item: &Item) -> bool {
    match (before, item) {
        (Item::Said(_), Item::Said(_)) => false,
        (Item::Said(_), _) | (_, Item::Said(_)) => true,
        (Item::Check(..), Item::Fact(..)) => true,
        _ => false,
    }
}

/// The lines of a claim; the first one gets the mark.
fn marked(claim: &str, width: usize) -> impl Iterator<Item = (bool, String)> {
    wrap(&printable(claim), width.saturating_sub(2))
        .into_iter()
        .enumerate()
        .map(|(at, l)| (at == 0, l))
}

fn plain(item: &Item) -> String {
    let fields: Vec<Value> = match item {
        Item::Said(sentences) => vec!["say".into(), sentences.as_str().into()],
        Item::Fact(name, value) => {
            let unit = value.unit().map(Value::from);
            let fact = ["fact".into(), name.as_str().into(), value.clone()];
            fact.into_iter().chain(unit).collect()
        }
        Item::Check(claim, Outcome::Passed) => vec!["passed".into(), claim.as_str().into()],
        Item::Check(claim, Outcome::Failed { found, expected }) => vec![
            "FAILED".into(),
            claim.as_str().into(),
            format!("found {found}").into(),
            format!("expected {expected}").into(),
        ],
        Item::Check(claim, Outcome::Skipped { why }) => {
            vec!["SKIPPED".into(), claim.as_str().into(), why.as_str().into()]
        }
    };
    let fields: Vec<String> = fields.iter().map(Value::plain).collect();
    format!("{}\n", fields.join("\t"))
}

/// A fact or a check as a record.
fn row(stop: &str, item: &Item) -> Option<Vec<Value>> {
    let unit = if let Item::Fact(_, value) = item { value.unit().into() } else { Value::Missing };
    let (kind, text, found, expected, why) = match item {
        Item::Said(_) => return None,
        Item::Fact(name, value) => {
            ("fact", name, Value::Text(value.machine()), Value::Missing, Value::Missing)
        }
        Item::Check(claim, outcome) => {
            let (found, expected, why) = match outcome {
                Outcome::Passed => (Value::Missing, Value::Missing, Value::Missing),
                Outcome::Failed { found, expected } => {
                    (found.as_str().into(), expected.as_str().into(), Value::Missing)
                }
                Outcome::Skipped { why } => (Value::Missing, Value::Missing, why.as_str().into()),
            };
            (outcome.name(), claim, found, expected, why)
        }
    };
    Some(vec![stop.into(), kind.into(), text.as_str().into(), found, unit, expected, why])
}

fn document(stops: &[StopReport], tally: &Tally) -> Json {
    let stops: Vec<Json> = stops
        .iter()
        .map(|stop| {
            let mut said = Vec::new();
            let mut facts = Vec::new();
            let mut checks = Vec::new();
            for item in &stop.items {
                match item {
                    Item::Said(sentences) => said.push(Json::from(sentences.as_str())),
                    Item::Fact(name, value) => {
                        let mut fact = json!({ "name": name, "value": value.json() });
                        if let Some(unit) = value.unit() {
                            fact["unit"] = unit.into();
                        }
                        facts.push(fact);
                    }
                    Item::Check(claim, outcome) => checks.push(check_json(claim, outcome)),
                }
            }
            json!({ "title": stop.title, "said": said, "facts": facts, "checks": checks })
        })
        .collect();
    json!({
        "schema": SCHEMA.name,
        "version": SCHEMA.version,
        "passed": tally.passed,
        "failed": tally.failed,
        "skipped": tally.skipped,
        "stops": stops,
    })
}

fn check_json(claim: &str, outcome: &Outcome) -> Json {
    let mut object = Map::new();
    object.insert("claim".to_owned(), claim.into());
    object.insert("outcome".to_owned(), outcome.name().into());
    match outcome {
        Outcome::Passed => {}
        Outcome::Failed { found, expected } => {
            object.insert("found".to_owned(), found.as_str().into());
            object.insert("expected".to_owned(), expected.as_str().into());
        }
        Outcome::Skipped { why } => {
            object.insert("why".to_owned(), why.as_str().into());
        }
    }
    Json::from(object)
}
