//! The writers: many records, or one.

use std::io::{self, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Map, Value as Json};

use super::text::{csv, display_width};
use super::{Field, Format, Schema, Value};
use crate::color::Paint;

/// How the output is laid out: the format, and for people the brush and the width.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Which of the five.
    pub format: Format,
    /// For `human`.
    pub paint: Paint,
    /// The width of the terminal; `None` is as wide as it needs.
    pub columns: Option<u16>,
}

/// Many records, written as they come (for people at the end: columns need their widths). A
/// command that fails half-way leaves a JSON document without its end: the exit code tells.
#[must_use = "without `finish` the output has no end"]
pub struct Rows<'a> {
    out: &'a mut dyn Write,
    layout: Layout,
    schema: Schema,
    body: Body,
}

enum Body {
    Table(Box<Table>),
    Lines,
    JsonLines,
    /// The records so far
    Json(u64),
    Csv,
}

impl<'a> Rows<'a> {
    /// Begins.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn begin(out: &'a mut dyn Write, layout: Layout, schema: Schema) -> io::Result<Self> {
        let body = match layout.format {
            Format::Human => Body::Table(Box::new(human_table(layout, &schema))),
            Format::Plain => Body::Lines,
            Format::Jsonl => Body::JsonLines,
            Format::Json => {
                let (name, version) = (Json::from(schema.name), schema.version);
                write!(out, "{{\"schema\":{name},\"version\":{version},\"records\":[")?;
                Body::Json(0)
            }
            Format::Csv => {
                write_csv_heading(out, &schema)?;
                Body::Csv
            }
        };
        Ok(Self { out, layout, schema, body })
    }

    /// Writes one record.
    ///
    /// # Errors
    /// If the output cannot be written.
    ///
    /// # Panics
    /// If the values do not match the fields of the schema.
    pub fn row(&mut self, values: &[Value]) -> io::Result<()> {
        let fields = self.schema.zip(values);
        match &mut self.body {
            Body::Table(table) => {
                table.add_row(values.iter().map(Value::human));
                Ok(())
            }
            Body::Lines => write_line(self.out, "\t", values.iter().map(Value::plain)),
            Body::Csv => write_line(self.out, ",", values.iter().map(|v| csv(&v.machine()))),
            Body::JsonLines => writeln!(self.out, "{}", document(&self.schema, values)),
            Body::Json(count) => {
                let object: Map<_, _> = fields.flat_map(|(f, value)| members(f, value)).collect();
                let comma = if *count == 0 { "" } else { "," };
                *count += 1;
                write!(self.out, "{comma}\n{}", Json::from(object))
            }
        }
    }

    /// Hands over what was written so far, for output that goes on as time does. (A table for
    /// people is written at its end.)
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Ends.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn finish(self) -> io::Result<()> {
        match self.body {
            Body::Table(table) if table.is_empty() => Ok(()),
            Body::Table(table) => {
                for (at, line) in table.lines().enumerate() {
                    let line = line.trim_end();
                    if at == 0 {
                        writeln!(self.out, "{}", self.layout.paint.strong(line))?;
                    } else {
                        writeln!(self.out, "{line}")?;
                    }
                }
                Ok(())
            }
            Body::Json(0) => writeln!(self.out, "]}}"),
            Body::Json(_) => writeln!(self.out, "\n]}}"),
            Body::Lines | Body::JsonLines | Body::Csv => Ok(()),
        }
    }
}

/// Writes one record: a thing with its properties.
///
/// # Errors
/// If the output cannot be written.
///
/// # Panics
/// If the values do not match the fields of the schema.
pub fn write_record(
    out: &mut dyn Write,
    layout: Layout,
    schema: &Schema,
    values: &[Value],
) -> io::Result<()> {
    let fields = schema.zip(values);
    match layout.format {
        Format::Human => {
            let widest = schema.fields.iter().map(|f| display_width(&f.title())).max().unwrap_or(0);
            for (field, value) in fields {
                let name = format!("{:widest$}", field.title());
                writeln!(out, "{}  {}", layout.paint.faint(name), value.human_exact())?;
            }
            Ok(())
        }
        Format::Plain => {
            for (field, value) in fields {
                writeln!(out, "{}\t{}", field.key(), value.plain())?;
            }
            Ok(())
        }
        Format::Json | Format::Jsonl => writeln!(out, "{}", document(schema, values)),
        Format::Csv => {
            write_csv_heading(out, schema)?;
            write_line(out, ",", values.iter().map(|value| csv(&value.machine())))
        }
    }
}

fn human_table(layout: Layout, schema: &Schema) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(schema.fields.iter().map(|field| field.title()));
    if let Some(columns) = layout.columns {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns);
    }
    let last = schema.fields.len().saturating_sub(1);
    for (at, field) in schema.fields.iter().enumerate() {
        if let Some(column) = table.column_mut(at) {
            column.set_padding((0, if at == last { 0 } else { 2 }));
            if field.kind().is_numeric() {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table
}

/// One record as a JSON document of its own.
fn document(schema: &Schema, values: &[Value]) -> Json {
    let mut object = Map::new();
    object.insert("schema".to_owned(), Json::from(schema.name));
    object.insert("version".to_owned(), Json::from(schema.version));
    object.extend(schema.zip(values).flat_map(|(field, value)| members(field, value)));
    Json::from(object)
}

/// What a value is in a JSON object.
fn members(field: Field, value: &Value) -> impl Iterator<Item = (String, Json)> + use<> {
    let hex = value.json_hex().map(|hex| (format!("{}_hex", field.key()), Json::from(hex)));
    std::iter::once((field.key(), value.json())).chain(hex)
}

fn write_csv_heading(out: &mut dyn Write, schema: &Schema) -> io::Result<()> {
    write_line(out, ",", schema.fields.iter().map(|field| csv(&field.key())))
}

fn write_line(
    out: &mut dyn Write,
    separator: &str,
    fields: impl Iterator<Item = String>,
) -> io::Result<()> {
    for (at, field) in fields.enumerate() {
        if at > 0 {
            out.write_all(separator.as_bytes())?;
        }
        out.write_all(field.as_bytes())?;
    }
    out.write_all(b"\n")
}
