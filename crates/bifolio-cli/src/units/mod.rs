//! Sizes, ranges and durations as people type and read them.
//!
//! The parsers are total: any text gives a value or an error, and no arithmetic overflows.
//! Fractions are exact: no floating point is involved.
//!
//! As arguments: `size: Size`, `range: ByteRange`, and
//! `#[arg(value_parser = parse_duration)] timeout: Duration`.

mod duration;
mod number;
mod range;
mod size;

use std::error::Error;
use std::fmt;

pub use duration::{format_duration, parse_duration};
pub use range::ByteRange;
pub use size::{Size, format_bytes, group_digits};

/// A text that is no size, range or duration, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitError {
    message: String,
}

impl UnitError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for UnitError {}

#[cfg(test)]
mod tests;
