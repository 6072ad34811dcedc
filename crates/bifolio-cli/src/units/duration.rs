//! `30s`, `1h30m`, `250ms`: how long.

use std::time::Duration;

use super::UnitError;
use super::number::Decimal;

const UNITS: [(&str, u64); 7] = [
    ("d", 24 * 3600 * NANOS_PER_SECOND),
    ("h", 3600 * NANOS_PER_SECOND),
    ("m", 60 * NANOS_PER_SECOND),
    ("s", NANOS_PER_SECOND),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Reads a duration: numbers with units, the larger unit first, each at most once. `µs` is `us`.
/// The longest is about 584 years; a fraction of a nanosecond is dropped.
///
/// # Errors
/// If the text is anything else. A number without a unit is an error: seconds and milliseconds
/// are too easily taken for each other.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let bad = |why: &str| {
        UnitError::new(format!("`{text}` {why}: durations look like 30s, 1h30m, 250ms"))
    };
    let mut rest = text;
    let mut total = 0_u64;
    let mut smaller_units = &UNITS[..];
    loop {
        let (number, after) =
            Decimal::split(rest).ok_or_else(|| bad("lacks a number that fits"))?;
        let end = after.find(|letter: char| letter.is_ascii_digit()).unwrap_or(after.len());
        let name = after[..end].trim();
        let name = if name == "µs" { "us" } else { name };
        if name.is_empty() {
            return Err(bad("lacks a unit"));
        }
        let place = smaller_units.iter().position(|(unit, _)| *unit == name).ok_or_else(|| {
            if UNITS.iter().any(|(unit, _)| *unit == name) {
                bad("does not go from larger units to smaller ones")
            } else {
                bad("has a unit that is not known")
            }
        })?;
        let nanos = number.times(smaller_units[place].1);
        total = nanos
            .and_then(|nanos| total.checked_add(nanos))
            .ok_or_else(|| bad("is longer than 584 years"))?;
        smaller_units = &smaller_units[place + 1..];
        rest = &after[end..];
        if rest.is_empty() {
            return Ok(Duration::from_nanos(total));
        }
    }
}

/// A duration for the eye: `0 s`, `830 ns`, `12.3 ms`, `4.56 s`, `1h02m`, `3d04h`. Rounded down.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let seconds = duration.as_secs();
    match nanos {
        0 => "0 s".to_owned(),
        1..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{} µs", three_digits(nanos, 1_000)),
        1_000_000..1_000_000_000 => format!("{} ms", three_digits(nanos, 1_000_000)),
        _ if seconds < 60 => format!("{} s", three_digits(nanos, 1_000_000_000)),
        _ if seconds < 3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ if seconds < 24 * 3600 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / (24 * 3600), seconds / 3600 % 24),
    }
}

/// `nanos / unit` with three significant digits; the quotient is below 1000.
fn three_digits(nanos: u128, unit: u128) -> String {
    let whole = nanos / unit;
    let hundredths = nanos % unit * 100 / unit;
    match whole {
        0..10 => format!("{whole}.{hundredths:02}"),
        10..100 => format!("{whole}.{}", hundredths / 10),
        _ => whole.to_string(),
    }
}
