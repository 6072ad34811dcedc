//! `4k`, `64KiB`, `1.5G`, `10%`: bytes, or a share of something.

use std::fmt;
use std::str::FromStr;

use super::UnitError;
use super::number::Decimal;

/// A size on the command line: bytes, or a percentage of a whole that only the command knows.
///
/// Without a unit, bytes. `k`, `M`, `G`, `T`, `P`, `E` in either case, and `KiB`, `MiB`, …, are
/// powers of 1024; `kB`, `MB`, … are powers of 1000. A fraction of a byte is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(Measure);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    Bytes(u64),
    /// `numerator / (denominator * 100)` of the whole
    Percent {
        numerator: u64,
        denominator: u64,
    },
}

impl Size {
    /// So many bytes.
    #[must_use]
    pub const fn bytes(bytes: u64) -> Self {
        Self(Measure::Bytes(bytes))
    }

    /// The size in bytes, where 100% is `whole`; rounded down.
    ///
    /// # Errors
    /// If the share does not fit 64 bits.
    pub fn of(self, whole: u64) -> Result<u64, UnitError> {
        match self.0 {
            Measure::Bytes(bytes) => Ok(bytes),
            Measure::Percent { numerator, denominator } => {
                let share =
                    u128::from(whole) * u128::from(numerator) / (u128::from(denominator) * 100);
                u64::try_from(share)
                    .map_err(|_| UnitError::new(format!("{self} of {whole} bytes is too large")))
            }
        }
    }

    /// The size in bytes, where there is no whole to take a share of.
    ///
    /// # Errors
    /// If it is a percentage.
    pub fn in_bytes(self) -> Result<u64, UnitError> {
        match self.0 {
            Measure::Bytes(bytes) => Ok(bytes),
            Measure::Percent { .. } => {
                Err(UnitError::new(format!("{self} of what? give a size in bytes, such as 64KiB")))
            }
        }
    }
}

/// The factor of a unit, or `None`.
fn factor(unit: &str) -> Option<u64> {
    const LETTERS: &str = "kmgtpe";
    let lower = unit.to_ascii_lowercase();
    if matches!(lower.as_str(), "" | "b") {
        return Some(1);
    }
    let power = u32::try_from(LETTERS.find(lower.chars().next()?)?).ok()? + 1;
    match &lower[1..] {
        "" | "ib" => 1024_u64.checked_pow(power),
        "b" => 1000_u64.checked_pow(power),
        _ => None,
    }
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let bad = |why: &str| {
            UnitError::new(format!("`{text}` {why}: sizes look like 4096, 4k, 64KiB, 1.5G, 10%"))
        };
        let (number, unit) =
            Decimal::split(text).ok_or_else(|| bad("does not start with a number that fits"))?;
        let unit = unit.trim_start_matches(' ');
        if unit == "%" {
            let (numerator, denominator) = number.fraction();
            return Ok(Self(Measure::Percent { numerator, denominator }));
        }
        let factor = factor(unit).ok_or_else(|| bad("has a unit that is not known"))?;
        number.times(factor).map(Self::bytes).ok_or_else(|| bad("is more than 16 EiB"))
    }
}

impl fmt::Display for Size {
    /// The text that parses to the same size.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Measure::Bytes(bytes) => write!(f, "{bytes}"),
            Measure::Percent { numerator, denominator } => {
                let decimals = denominator.ilog10() as usize;
                write!(f, "{}", numerator / denominator)?;
                if decimals > 0 {
                    write!(f, ".{:0decimals$}", numerator % denominator)?;
                }
                f.write_str("%")
            }
        }
    }
}

/// A size for the eye: `13 B`, `4.0 KiB`, `1.5 GiB`. Three digits and a unit, rounded down.
#[must_use]
pub fn format_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = bytes.ilog2() / 10;
    let unit = 1_u128 << (10 * power);
    let tenths = u128::from(bytes) * 10 / unit;
    let name = UNITS[power as usize - 1];
    if tenths < 1000 {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    } else {
        format!("{} {name}", tenths / 10)
    }
}

/// A number for the eye: `12,903,424`.
#[must_use]
pub fn group_digits(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
