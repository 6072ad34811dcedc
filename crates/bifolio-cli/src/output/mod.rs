//! What a command found, in each of the five formats.
//!
//! A command names its fields once, in a [`Schema`], and gives typed [`Value`]s; it never formats.
//! One value set becomes a table for people, lines for `cut` and `awk`, JSON, JSON lines or CSV:
//!
//! | format | many records | one record |
//! |---|---|---|
//! | human | aligned columns under a heading, sizes with units | `name  value` lines |
//! | plain | tab-separated fields, no heading, sizes in bytes | `name⇥value` lines |
//! | json | `{"schema":…,"version":…,"records":[{…},…]}` | `{"schema":…,"version":…,…}` |
//! | jsonl | one object a line, each with its schema and version | the same |
//! | csv | a heading, then a line for each record (RFC 4180) | the same |
//!
//! In the four formats for programs sizes are integers in bytes, durations integers in nanoseconds
//! (their names end in `_ns`), shares numbers in percent (`_percent`) and times RFC 3339. In plain and
//! CSV a missing value is empty. Bytes of a path that are no Unicode are told as `\xNN`; JSON then has
//! the whole path beside it, in hexadecimal (`path_hex`).

mod rows;
mod text;
mod value;

use clap::ValueEnum;

pub use rows::{Layout, Rows, write_record};
pub use text::{display_width, hex, path_bytes, path_text, printable, wrap};
pub use value::{Kind, Value};

/// The value of `--format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people (the default on a terminal)
    Human,
    /// Tab-separated lines (the default elsewhere)
    Plain,
    /// One JSON document
    Json,
    /// One JSON object a line
    Jsonl,
    /// Comma-separated values with a heading
    Csv,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 5] = [Self::Human, Self::Plain, Self::Json, Self::Jsonl, Self::Csv];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Plain => "plain",
            Self::Json => "json",
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
        }
    }
}

/// One field of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    name: &'static str,
    kind: Kind,
}

impl Field {
    /// A size in bytes.
    #[must_use]
    pub const fn bytes(name: &'static str) -> Self {
        Self { name, kind: Kind::Bytes }
    }

    /// A number of things.
    #[must_use]
    pub const fn count(name: &'static str) -> Self {
        Self { name, kind: Kind::Count }
    }

    /// How long.
    #[must_use]
    pub const fn duration(name: &'static str) -> Self {
        Self { name, kind: Kind::Duration }
    }

    /// A share in percent.
    #[must_use]
    pub const fn percent(name: &'static str) -> Self {
        Self { name, kind: Kind::Percent }
    }

    /// Any text.
    #[must_use]
    pub const fn text(name: &'static str) -> Self {
        Self { name, kind: Kind::Text }
    }

    /// When.
    #[must_use]
    pub const fn time(name: &'static str) -> Self {
        Self { name, kind: Kind::Time }
    }

    /// A list of short words.
    #[must_use]
    pub const fn words(name: &'static str) -> Self {
        Self { name, kind: Kind::Words }
    }

    /// The name for programs: units come last.
    #[must_use]
    pub fn key(self) -> String {
        match self.kind {
            Kind::Duration => format!("{}_ns", self.name),
            Kind::Percent => format!("{}_percent", self.name),
            _ => self.name.to_owned(),
        }
    }

    /// The name for people.
    #[must_use]
    pub fn title(self) -> String {
        self.name.replace('_', " ")
    }

    /// What its values are.
    #[must_use]
    pub const fn kind(self) -> Kind {
        self.kind
    }
}

/// The name, the version and the fields of an output. A field may be added without a new version;
/// a field that goes away or changes its meaning needs one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// `bifolio.` and the command.
    pub name: &'static str,
    /// Counts from 1.
    pub version: u32,
    /// In the order of the columns.
    pub fields: &'static [Field],
}

impl Schema {
    /// The fields with these values, checked.
    ///
    /// # Panics
    /// If the values do not match the fields, or a field takes a name that JSON documents use
    /// for themselves: these are the caller's bugs.
    fn zip<'a>(&self, values: &'a [Value]) -> impl Iterator<Item = (Field, &'a Value)> + use<'a> {
        assert_eq!(values.len(), self.fields.len(), "{}: one value for each field", self.name);
        for (field, value) in self.fields.iter().zip(values) {
            assert!(
                !matches!(field.name, "schema" | "version" | "records"),
                "{}: the name {} is taken",
                self.name,
                field.name
            );
            assert!(
                value.kind().is_none_or(|kind| kind == field.kind),
                "{}: {} is a {:?}, not {value:?}",
                self.name,
                field.name,
                field.kind
            );
        }
        self.fields.iter().copied().zip(values)
    }
}

#[cfg(test)]
mod tests;
