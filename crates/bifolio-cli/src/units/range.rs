//! `a..b`, `a..+n`, `a..`, `..b`: a range of bytes.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use super::{Size, UnitError};

/// A range on the command line; each end is a [`Size`], so `10%..20%` and `1M..+64k` are ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    start: Option<Size>,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// `a..`: to the end of the whole
    Open,
    /// `a..b`: up to and without `b`
    At(Size),
    /// `a..+n`: `n` bytes
    After(Size),
}

impl ByteRange {
    /// Everything: `..`
    pub const ALL: Self = Self { start: None, end: End::Open };

    /// The offsets in a whole of `whole` bytes.
    ///
    /// # Errors
    /// If the range ends before it starts, or past the end of the whole.
    pub fn within(self, whole: u64) -> Result<Range<u64>, UnitError> {
        let start = self.start.map_or(Ok(0), |size| size.of(whole))?;
        let end = match self.end {
            End::Open => whole.max(start),
            End::At(size) => size.of(whole)?,
            End::After(size) => start
                .checked_add(size.of(whole)?)
                .ok_or_else(|| UnitError::new(format!("the range {self} is more than 16 EiB")))?,
        };
        if end < start {
            return Err(UnitError::new(format!("the range {self} ends before it starts")));
        }
        if end > whole {
            return Err(UnitError::new(format!(
                "the range {self} ends at {end}, past the end at {whole}"
            )));
        }
        Ok(start..end)
    }
}

impl FromStr for ByteRange {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (start, end) = text.split_once("..").ok_or_else(|| {
            UnitError::new(format!(
                "`{text}` is no range: ranges look like 0..4k, 1M..+64k, 512.., ..50%"
            ))
        })?;
        let start = if start.is_empty() { None } else { Some(start.parse()?) };
        let end = match end.strip_prefix('+') {
            Some(length) => End::After(length.parse()?),
            None if end.is_empty() => End::Open,
            None => End::At(end.parse()?),
        };
        Ok(Self { start, end })
    }
}

impl fmt::Display for ByteRange {
    /// The text that parses to the same range.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(start) = self.start {
            write!(f, "{start}")?;
        }
        match self.end {
            End::Open => f.write_str(".."),
            End::At(end) => write!(f, "..{end}"),
            End::After(length) => write!(f, "..+{length}"),
        }
    }
}
