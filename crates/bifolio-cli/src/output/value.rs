//! One value, and how each audience reads it.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value as Json;

use super::text::{escaped, hex, path_bytes, path_escaped, path_text, printable};
use crate::units::{format_bytes, format_duration, group_digits};

/// What a value measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A size in bytes.
    Bytes,
    /// A number of things.
    Count,
    /// How long.
    Duration,
    /// A share, in percent.
    Percent,
    /// Any text.
    Text,
    /// When.
    Time,
    /// A list of short words.
    Words,
}

impl Kind {
    /// Whether people expect it at the right edge of its column.
    pub(super) const fn is_numeric(self) -> bool {
        matches!(self, Self::Bytes | Self::Count | Self::Duration | Self::Percent)
    }
}

/// A typed value of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A size in bytes.
    Bytes(u64),
    /// A number of things.
    Count(u64),
    /// How long.
    Duration(Duration),
    /// A share, in tenths of a percent.
    Percent {
        /// 1000 is all of it.
        tenths: u32,
    },
    /// Any text.
    Text(String),
    /// A path, which need not be Unicode; see [`Value::json_hex`].
    Path(PathBuf),
    /// When.
    Time(SystemTime),
    /// A list of short words.
    Words(Vec<String>),
    /// Not known, or does not apply.
    Missing,
}

impl Value {
    /// The share `part` has of `whole`; missing if the whole is nothing. Rounded down, so that only
    /// all of it is 100%, but something never to 0.
    #[must_use]
    pub fn share(part: u64, whole: u64) -> Self {
        if whole == 0 {
            return Self::Missing;
        }
        let tenths = u128::from(part) * 1000 / u128::from(whole);
        let least = u128::from(part > 0);
        Self::Percent { tenths: u32::try_from(tenths.max(least)).unwrap_or(u32::MAX) }
    }

    /// A path.
    #[must_use]
    pub fn path(path: &Path) -> Self {
        Self::Path(path.to_path_buf())
    }

    /// What it measures; `None` for a missing value, which fits everywhere.
    #[must_use]
    pub const fn kind(&self) -> Option<Kind> {
        Some(match self {
            Self::Bytes(_) => Kind::Bytes,
            Self::Count(_) => Kind::Count,
            Self::Duration(_) => Kind::Duration,
            Self::Percent { .. } => Kind::Percent,
            Self::Text(_) | Self::Path(_) => Kind::Text,
            Self::Time(_) => Kind::Time,
            Self::Words(_) => Kind::Words,
            Self::Missing => return None,
        })
    }

    /// The unit of its number for programs; `None` if it has none.
    #[must_use]
    pub const fn unit(&self) -> Option<&'static str> {
        match self {
            Self::Bytes(_) => Some("bytes"),
            Self::Duration(_) => Some("ns"),
            _ => None,
        }
    }

    /// For people, in a table: short. Nothing in it can steer a terminal.
    #[must_use]
    pub fn human(&self) -> String {
        match self {
            Self::Bytes(bytes) => format_bytes(*bytes),
            Self::Count(count) => group_digits(*count),
            Self::Duration(duration) => format_duration(*duration),
            Self::Percent { .. } => format!("{}%", self.machine()),
            Self::Text(text) => printable(text),
            Self::Path(path) => printable(&path_text(path)),
            Self::Time(time) => rfc3339(*time).replace('T', " "),
            Self::Words(words) => printable(&words.join(", ")),
            Self::Missing => "-".to_owned(),
        }
    }

    /// For people, in a sentence: a size also to the byte.
    #[must_use]
    pub fn human_exact(&self) -> String {
        match self {
            Self::Bytes(bytes) if *bytes >= 1024 => {
                format!("{} ({} bytes)", format_bytes(*bytes), group_digits(*bytes))
            }
            Self::Bytes(1) => "1 byte".to_owned(),
            Self::Bytes(bytes) => format!("{bytes} bytes"),
            other => other.human(),
        }
    }

    /// For programs, as it is; the caller quotes it as its format demands.
    #[must_use]
    pub fn machine(&self) -> String {
        match self {
            Self::Bytes(number) | Self::Count(number) => number.to_string(),
            Self::Duration(duration) => duration.as_nanos().to_string(),
            Self::Percent { tenths } => format!("{}.{}", tenths / 10, tenths % 10),
            Self::Text(text) => text.clone(),
            Self::Path(path) => path_text(path),
            Self::Time(time) => rfc3339(*time),
            Self::Words(words) => words.join(" "),
            Self::Missing => String::new(),
        }
    }

    /// For `cut` and `awk`: a tab or a line break in a text becomes `\t`, `\n`.
    #[must_use]
    pub fn plain(&self) -> String {
        match self {
            Self::Path(path) => path_escaped(path),
            other => escaped(&other.machine()),
        }
    }

    /// For JSON.
    #[must_use]
    pub fn json(&self) -> Json {
        match self {
            Self::Bytes(number) | Self::Count(number) => Json::from(*number),
            Self::Duration(duration) => {
                Json::from(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
            }
            Self::Percent { tenths } => Json::from(f64::from(*tenths) / 10.0),
            Self::Text(text) => Json::from(text.as_str()),
            Self::Path(path) => Json::from(path.to_string_lossy()),
            Self::Time(_) => Json::from(self.machine()),
            Self::Words(words) => Json::from(words.as_slice()),
            Self::Missing => Json::Null,
        }
    }

    /// For JSON, beside the value itself: the bytes of a path that is no Unicode, in hexadecimal.
    #[must_use]
    pub fn json_hex(&self) -> Option<String> {
        match self {
            Self::Path(path) if path.to_str().is_none() => Some(hex(&path_bytes(path))),
            _ => None,
        }
    }
}

/// UTC with a `Z`. A time outside the years -9999 to 9999 becomes the nearest one inside.
fn rfc3339(time: SystemTime) -> String {
    let stamp = jiff::Timestamp::try_from(time).unwrap_or(if time < SystemTime::UNIX_EPOCH {
        jiff::Timestamp::MIN
    } else {
        jiff::Timestamp::MAX
    });
    stamp.to_string()
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Duration> for Value {
    fn from(duration: Duration) -> Self {
        Self::Duration(duration)
    }
}

impl From<SystemTime> for Value {
    fn from(time: SystemTime) -> Self {
        Self::Time(time)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Missing, Into::into)
    }
}
