//! Printing: one JSON object a line, or tables for people.

use std::io::Write as _;

use comfy_table::{CellAlignment, Table};
use serde_json::json;

use crate::Result;
use crate::goal::Goal;
use crate::harness::{Outcome, Row, Unit};

/// Where results go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// One object a line.
    Json,
    /// Tables, with ratios to the rival.
    Table,
}

/// Prints results as they come.
#[derive(Debug)]
pub(crate) struct Report {
    format: Format,
    goals: Vec<Goal>,
}

impl Report {
    pub(crate) fn new(format: Format) -> Self {
        Self { format, goals: Vec::new() }
    }

    /// Prints what a bench found.
    pub(crate) fn outcome(&mut self, outcome: &Outcome) -> Result<()> {
        let mut out = std::io::stdout().lock();
        match self.format {
            Format::Json => {
                for row in &outcome.rows {
                    writeln!(out, "{}", line(outcome, row))?;
                }
            }
            Format::Table => writeln!(out, "{}\n{}\n", outcome.bench, table(outcome))?,
        }
        Ok(out.flush()?)
    }

    /// Prints the speeds behind a figure where they do not get in the way: among tables, but not
    /// among lines of JSON, which are one a figure.
    pub(crate) fn outcome_aside(&mut self, outcome: &Outcome) -> Result<()> {
        if self.format == Format::Table { self.outcome(outcome) } else { Ok(()) }
    }

    /// Prints a figure, or keeps it for the table at the end.
    pub(crate) fn goal(&mut self, goal: Goal) -> Result<()> {
        if self.format == Format::Json {
            let (ratio, bound) = (goal.rounded(), goal.bound.to_string());
            let met = goal.met();
            let object = json!({"figure": goal.figure, "ratio": ratio, "goal": bound, "met": met});
            writeln!(std::io::stdout().lock(), "{object}")?;
        }
        self.goals.push(goal);
        Ok(())
    }

    /// Prints the table of figures, if there were any.
    pub(crate) fn finish(self) -> Result<()> {
        if self.format == Format::Json || self.goals.is_empty() {
            return Ok(());
        }
        let mut table = bare_table();
        table.set_header(["figure", "ratio", "goal", "met"]);
        for goal in &self.goals {
            let met = if goal.met() { "yes" } else { "NO" };
            let ratio = format!("{:.3}", goal.rounded());
            table.add_row([&goal.figure, &ratio, &goal.bound.to_string(), met]);
        }
        writeln!(std::io::stdout().lock(), "{table}")?;
        Ok(())
    }
}

fn line(outcome: &Outcome, row: &Row) -> serde_json::Value {
    json!({
        "bench": outcome.bench,
        "contender": row.contender,
        "params": row.params,
        "median": digits(outcome.unit, row.median()),
        "min": digits(outcome.unit, row.min()),
        "max": digits(outcome.unit, row.max()),
        "unit": outcome.unit.as_str(),
        "runs": row.runs(),
    })
}

/// Four digits of what is timed: more would be noise. Counts are exact.
fn digits(unit: Unit, value: f64) -> f64 {
    if unit == Unit::Bytes { value } else { format!("{value:.3e}").parse().unwrap_or(value) }
}

fn table(outcome: &Outcome) -> Table {
    let rival = outcome.best(&[&outcome.rival]);
    let mut table = bare_table();
    let unit = outcome.unit.as_str();
    let against = format!("x {}", outcome.rival);
    table.set_header(["contender", "params", unit, "min", "max", &against]);
    for column in 2..6 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for row in &outcome.rows {
        let number = |value: f64| digits(outcome.unit, value).to_string();
        let ratio =
            rival.map_or_else(String::new, |rival| format!("{:.2}", outcome.speed_of(row, rival)));
        table.add_row([
            row.contender.clone(),
            row.params.clone(),
            number(row.median()),
            number(row.min()),
            number(row.max()),
            ratio,
        ]);
    }
    table
}

fn bare_table() -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table
}
