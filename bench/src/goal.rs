//! Figures to reach, as ratios.

/// One row of a table of figures.
#[derive(Debug)]
pub(crate) struct Goal {
    /// What was compared with what.
    pub(crate) figure: String,
    /// What came out.
    pub(crate) ratio: f64,
    /// What it has to be.
    pub(crate) bound: Bound,
}

/// Where a ratio has to lie.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// For speeds: ours over theirs.
    AtLeast(f64),
    /// For times: ours over theirs.
    AtMost(f64),
}

impl Goal {
    /// Whether it was reached. Ratios are compared as they are printed, with three digits.
    pub(crate) fn met(&self) -> bool {
        match self.bound {
            Bound::AtLeast(bound) => self.rounded() >= bound,
            Bound::AtMost(bound) => self.rounded() <= bound,
        }
    }

    /// The ratio with the digits that are worth printing.
    pub(crate) fn rounded(&self) -> f64 {
        (self.ratio * 1000.0).round() / 1000.0
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, ">= {bound}"),
            Self::AtMost(bound) => write!(f, "<= {bound}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_that_is_no_number_meets_no_goal() {
        for bound in [Bound::AtLeast(0.0), Bound::AtMost(f64::INFINITY)] {
            assert!(!Goal { figure: String::new(), ratio: f64::NAN, bound }.met());
        }
    }

    #[test]
    fn speeds_have_a_lower_bound_and_times_an_upper_one() {
        let met = |ratio, bound| Goal { figure: String::new(), ratio, bound }.met();
        assert!(met(0.95, Bound::AtLeast(0.95)));
        assert!(!met(0.94, Bound::AtLeast(0.95)));
        assert!(met(1.3, Bound::AtMost(1.3)));
        assert!(!met(1.31, Bound::AtMost(1.3)));
    }
}
