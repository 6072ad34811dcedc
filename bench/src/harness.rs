//! How everything is measured.
//!
//! A [`Bench`] is one piece of work and its contenders. Each does the whole work once, untimed, and
//! its digest is compared with the known one; then all run in turn, forwards in even rounds and
//! backwards in odd ones, so that a noisy second of the machine and the state of its caches hit
//! everybody alike. What is told is the median with the smallest and the largest value. Speeds are
//! compared round by round, and the median of those ratios is the ratio: what slows a whole round
//! down cancels out.
//!
//! A contender that comes in several sizes (`read` with buffers of 64 KiB, 256 KiB, 1 MiB) enters
//! each as its own; comparisons take the best of them.

use std::time::{Duration, Instant};

use crate::Result;

/// What one run does, so that its time becomes a speed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// So many bytes; told in GB/s.
    Bytes(u64),
    /// So many operations; told in nanoseconds each.
    Operations(u64),
    /// Nothing that is timed: the digest is the result, told as it is (a count of bytes).
    Count,
}

/// One run: how long it took and what came out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) took: Duration,
    pub(crate) digest: u64,
}

impl Sample {
    /// A run of which a number of bytes is the result.
    pub(crate) fn count(bytes: u64) -> Self {
        Self { took: Duration::ZERO, digest: bytes }
    }
}

/// Times `work`, which returns its digest.
pub(crate) fn timed(work: impl FnOnce() -> Result<u64>) -> Result<Sample> {
    let started = Instant::now();
    let digest = std::hint::black_box(work()?);
    Ok(Sample { took: started.elapsed(), digest })
}

/// Which contenders of a bench run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Field {
    All,
    /// Those with these names, whatever their parameters.
    Only(&'static [&'static str]),
}

type Prepare<'a> = Box<dyn FnMut() -> Result<()> + 'a>;
type Run<'a> = Box<dyn FnMut() -> Result<Sample> + 'a>;

struct Contender<'a> {
    name: String,
    params: String,
    prepare: Prepare<'a>,
    run: Run<'a>,
}

/// One piece of work and those who do it.
pub(crate) struct Bench<'a> {
    name: String,
    work: Work,
    expected: Option<u64>,
    rival: String,
    contenders: Vec<Contender<'a>>,
}

impl<'a> Bench<'a> {
    /// A piece of work. Ratios of the table are against `rival`.
    pub(crate) fn new(name: impl Into<String>, work: Work, rival: impl Into<String>) -> Self {
        let (name, rival) = (name.into(), rival.into());
        Self { name, work, expected: None, rival, contenders: Vec::new() }
    }

    /// The digest that every contender must reach; otherwise the first one's counts.
    pub(crate) fn expect(mut self, digest: u64) -> Self {
        self.expected = Some(digest);
        self
    }

    /// Adds a contender that is timed from start to end.
    pub(crate) fn with(
        self,
        name: impl Into<String>,
        params: impl Into<String>,
        mut work: impl FnMut() -> Result<u64> + 'a,
    ) -> Self {
        self.with_parts(name, params, || Ok(()), move || timed(&mut work))
    }

    /// Adds a contender that is timed from start to end, after `prepare`.
    pub(crate) fn with_prepared(
        self,
        name: impl Into<String>,
        params: impl Into<String>,
        prepare: impl FnMut() -> Result<()> + 'a,
        mut work: impl FnMut() -> Result<u64> + 'a,
    ) -> Self {
        self.with_parts(name, params, prepare, move || timed(&mut work))
    }

    /// Adds a contender that times itself.
    pub(crate) fn with_parts(
        mut self,
        name: impl Into<String>,
        params: impl Into<String>,
        prepare: impl FnMut() -> Result<()> + 'a,
        run: impl FnMut() -> Result<Sample> + 'a,
    ) -> Self {
        self.contenders.push(Contender {
            name: name.into(),
            params: params.into(),
            prepare: Box::new(prepare),
            run: Box::new(run),
        });
        self
    }

    /// Leaves out contenders that are not wanted.
    pub(crate) fn field(mut self, field: Field) -> Self {
        if let Field::Only(names) = field {
            self.contenders.retain(|contender| names.contains(&contender.name.as_str()));
        }
        self
    }

    /// Checks every contender, then runs all of them `rounds` times.
    pub(crate) fn measure(mut self, rounds: usize) -> Result<Outcome> {
        let mut samples = vec![Vec::with_capacity(rounds); self.contenders.len()];
        for index in 0..self.contenders.len() {
            self.run(index)?;
        }
        for round in 0..rounds {
            let mut order: Vec<usize> = (0..self.contenders.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for index in order {
                let sample = self.run(index)?;
                samples[index].push(self.work.value(sample));
            }
        }
        let rows = self
            .contenders
            .into_iter()
            .zip(samples)
            .map(|(contender, values)| Row {
                contender: contender.name,
                params: contender.params,
                values,
            })
            .collect();
        Ok(Outcome { bench: self.name, unit: self.work.unit(), rival: self.rival, rows })
    }

    /// One run of one contender, with its digest checked.
    fn run(&mut self, index: usize) -> Result<Sample> {
        let contender = &mut self.contenders[index];
        let who = || format!("{}: {} {}", self.name, contender.name, contender.params);
        (contender.prepare)().map_err(|error| format!("{}: preparing: {error}", who()))?;
        let sample = (contender.run)().map_err(|error| format!("{}: {error}", who()))?;
        if !matches!(self.work, Work::Count) {
            let expected = *self.expected.get_or_insert(sample.digest);
            if sample.digest != expected {
                let found = sample.digest;
                return Err(format!("{}: digest {found:#x}, not {expected:#x}", who()).into());
            }
        }
        Ok(sample)
    }
}

impl Work {
    fn unit(self) -> Unit {
        match self {
            Self::Bytes(_) => Unit::GigabytesPerSecond,
            Self::Operations(_) => Unit::Nanoseconds,
            Self::Count => Unit::Bytes,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "figures of a few digits")]
    fn value(self, sample: Sample) -> f64 {
        let nanos = sample.took.as_nanos().max(1) as f64;
        match self {
            Self::Bytes(bytes) => bytes as f64 / nanos,
            Self::Operations(count) => nanos / count as f64,
            Self::Count => sample.digest as f64,
        }
    }
}

/// What a value means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// More is faster.
    GigabytesPerSecond,
    /// Less is faster.
    Nanoseconds,
    /// Less is better.
    Bytes,
}

impl Unit {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::GigabytesPerSecond => "GB/s",
            Self::Nanoseconds => "ns",
            Self::Bytes => "bytes",
        }
    }

    /// How much better `ours` is than `theirs`: above 1 if it is.
    fn speed(self, ours: f64, theirs: f64) -> f64 {
        match self {
            Self::GigabytesPerSecond => ours / theirs,
            Self::Nanoseconds | Self::Bytes => theirs / ours,
        }
    }
}

/// The values of one contender, round by round.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) contender: String,
    pub(crate) params: String,
    values: Vec<f64>,
}

impl Row {
    pub(crate) fn median(&self) -> f64 {
        median(self.values.iter().copied())
    }

    pub(crate) fn min(&self) -> f64 {
        self.values.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn max(&self) -> f64 {
        self.values.iter().copied().fold(0.0, f64::max)
    }

    pub(crate) fn runs(&self) -> usize {
        self.values.len()
    }
}

/// What a bench found.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) bench: String,
    pub(crate) unit: Unit,
    pub(crate) rival: String,
    pub(crate) rows: Vec<Row>,
}

impl Outcome {
    /// The fastest row of the contenders called one of `names`, whatever their parameters.
    pub(crate) fn best(&self, names: &[&str]) -> Option<&Row> {
        self.rows
            .iter()
            .filter(|row| names.contains(&row.contender.as_str()))
            .max_by(|a, b| self.unit.speed(a.median(), b.median()).total_cmp(&1.0))
    }

    /// How many times as fast as the best of `theirs` the best of `ours` is.
    ///
    /// # Panics
    /// If there is no contender of these names: a misspelt name must not pass as a figure.
    pub(crate) fn speed(&self, ours: &[&str], theirs: &[&str]) -> f64 {
        let find = |names| self.best(names).expect("a contender of this name was measured");
        self.speed_of(find(ours), find(theirs))
    }

    pub(crate) fn speed_of(&self, ours: &Row, theirs: &Row) -> f64 {
        median(ours.values.iter().zip(&theirs.values).map(|(&a, &b)| self.unit.speed(a, b)))
    }
}

/// The middle value; of an even number the mean of the middle two.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_digest_ends_the_bench_and_names_the_contender() {
        let bench = Bench::new("sum", Work::Bytes(1), "honest").with("honest", "", || Ok(7)).with(
            "liar",
            "fast",
            || Ok(8),
        );
        let error = bench.measure(1).unwrap_err().to_string();
        assert!(error.contains("sum: liar fast: digest 0x8, not 0x7"), "{error}");
    }

    #[test]
    fn every_contender_is_checked_once_and_then_runs_in_every_round() {
        let order = std::cell::RefCell::new(String::new());
        let run = |name: char| {
            let order = &order;
            move || {
                order.borrow_mut().push(name);
                Ok(0)
            }
        };
        let outcome = Bench::new("order", Work::Operations(1), "a")
            .with("a", "", run('a'))
            .with("b", "", run('b'))
            .measure(3)
            .unwrap();
        assert_eq!(*order.borrow(), "ababbaab");
        assert_eq!(outcome.rows[1].runs(), 3);
    }

    #[test]
    fn speed_is_above_one_for_whoever_is_faster_in_either_unit() {
        let row = |name: &str, values: &[f64]| Row {
            contender: name.into(),
            params: String::new(),
            values: values.to_vec(),
        };
        let mut outcome = Outcome {
            bench: String::new(),
            unit: Unit::GigabytesPerSecond,
            rival: "old".into(),
            rows: vec![row("new", &[2.0, 20.0, 2.0]), row("old", &[1.0, 10.0, 0.5])],
        };
        assert!((outcome.speed(&["new"], &["old"]) - 2.0).abs() < 1e-9);
        outcome.unit = Unit::Nanoseconds;
        assert!((outcome.speed(&["new"], &["old"]) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn the_best_of_a_name_is_the_fastest_of_its_parameters() {
        let timed = |nanos| Sample { took: Duration::from_nanos(nanos), digest: 0 };
        let outcome = Bench::new("best", Work::Bytes(1000), "read")
            .with_parts("read", "small", || Ok(()), || Ok(timed(100)))
            .with_parts("read", "large", || Ok(()), || Ok(timed(10)))
            .measure(3)
            .unwrap();
        assert_eq!(outcome.best(&["read"]).unwrap().params, "large");
        assert!(outcome.best(&["write"]).is_none());
    }
}
