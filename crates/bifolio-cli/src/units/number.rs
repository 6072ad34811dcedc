//! A decimal number as an exact fraction.

/// `digits / 10^decimals`: what somebody typed, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    digits: u64,
    decimals: u32,
}

/// More decimals than this have no meaning: 10^18 still fits an integer of 64 bits.
const MAX_DECIMALS: u32 = 18;

impl Decimal {
    /// Takes the number at the start of the text, and gives the rest. `None` if there is no
    /// number, or one that does not fit 64 bits. Underscores between digits are skipped.
    pub(super) fn split(text: &str) -> Option<(Self, &str)> {
        let mut number = Self { digits: 0, decimals: 0 };
        let mut seen_point = false;
        let mut seen_digit = false;
        let mut end = 0;
        for (at, letter) in text.char_indices() {
            match letter {
                '0'..='9' => {
                    let digit = u64::from(letter.to_digit(10)?);
                    number.digits = number.digits.checked_mul(10)?.checked_add(digit)?;
                    if seen_point {
                        number.decimals += 1;
                        if number.decimals > MAX_DECIMALS {
                            return None;
                        }
                    }
                    seen_digit = true;
                }
                '.' if seen_digit && !seen_point && next_is_digit(text, at) => seen_point = true,
                '_' if seen_digit && next_is_digit(text, at) => {}
                _ => break,
            }
            end = at + letter.len_utf8();
        }
        seen_digit.then(|| (number, &text[end..]))
    }

    /// The number times a unit, rounded down. `None` if it does not fit.
    pub(super) fn times(self, unit: u64) -> Option<u64> {
        let product = u128::from(self.digits) * u128::from(unit);
        u64::try_from(product / 10_u128.pow(self.decimals)).ok()
    }

    /// The number as a numerator and a denominator.
    pub(super) fn fraction(self) -> (u64, u64) {
        (self.digits, 10_u64.pow(self.decimals))
    }
}

fn next_is_digit(text: &str, at: usize) -> bool {
    text.as_bytes().get(at + 1).is_some_and(u8::is_ascii_digit)
}
