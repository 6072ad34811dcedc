//! What a machine or an ordinary user cannot do is skipped, said, and counted; what should work
//! and does not is a failure.

use std::env;
use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The variable that names a file to which every skip of every test process adds one line, since
/// a test harness shows nothing of the tests that pass.
pub const SKIPS_VARIABLE: &str = "BIFOLIO_SKIPS";

/// Skips of this process.
static SKIPPED: AtomicUsize = AtomicUsize::new(0);

/// Why something could not be set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// This machine or user cannot do it at all: the test is skipped.
    Skip(Skip),
    /// It should have worked: the test fails.
    Failed(String),
}

/// The reason for leaving out a test here, with what would make it run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    reason: String,
}

impl Skip {
    /// A skip for this reason, such as `"needs root"` or `"needs mkfs.xfs (package xfsprogs)"`.
    #[must_use]
    pub fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }

    /// The reason.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Prints `SKIPPED: reason`, counts it, and adds it to the file that `BIFOLIO_SKIPS` names.
    pub fn count(&self) {
        println!("SKIPPED: {self}");
        // Relaxed: a statistic; nothing else is read because of it.
        SKIPPED.fetch_add(1, Ordering::Relaxed);
        if let Some(path) = env::var_os(SKIPS_VARIABLE) {
            self.add_to(Path::new(&path));
        }
    }

    /// Adds a line: the name of the test, a tab, the reason.
    fn add_to(&self, path: &Path) {
        let thread = thread::current();
        let test = thread.name().unwrap_or("unnamed");
        // One write of one line: appends of several processes do not mix.
        let line = format!("{test}\t{self}\n");
        let written = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .and_then(|mut file| file.write_all(line.as_bytes()));
        if let Err(error) = written {
            eprintln!("cannot add a skip to {}: {error}", path.display());
        }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl From<Skip> for Obstacle {
    fn from(skip: Skip) -> Self {
        Self::Skip(skip)
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skip(skip) => write!(f, "skipped: {skip}"),
            Self::Failed(reason) => f.write_str(reason),
        }
    }
}

/// What was set up, or `None` after a skip was printed and counted.
///
/// ```
/// use bifolio_testkit::skip::{self, Obstacle, Skip};
/// # fn set_up() -> Result<u32, Obstacle> { Err(Skip::because("needs a unicorn").into()) }
/// let Some(ready) = skip::or_count(set_up()) else { return };
/// # unreachable!("{ready}");
/// ```
///
/// # Panics
/// If the obstacle is a failure.
#[must_use]
pub fn or_count<T>(result: Result<T, impl Into<Obstacle>>) -> Option<T> {
    match result.map_err(Into::into) {
        Ok(ready) => Some(ready),
        Err(Obstacle::Skip(skip)) => {
            skip.count();
            None
        }
        Err(Obstacle::Failed(reason)) => panic!("{reason}"),
    }
}

/// How many tests of this process were skipped.
#[must_use]
pub fn skipped() -> usize {
    SKIPPED.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "writes a file")]
    fn every_skip_is_one_line_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("skips");
        Skip::because("needs root").add_to(&path);
        Skip::because("needs mkfs.xfs").add_to(&path);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].contains("every_skip_is_one_line_of_the_file\tneeds root"), "{text}");
        assert!(lines[1].ends_with("needs mkfs.xfs"), "{text}");
    }

    #[test]
    fn what_is_ready_is_not_a_skip() {
        assert_eq!(or_count(Ok::<_, Skip>(5)), Some(5));
    }

    #[test]
    #[should_panic(expected = "mkfs broke")]
    fn a_failure_is_not_a_skip() {
        let _ = or_count(Err::<(), _>(Obstacle::Failed("mkfs broke".into())));
    }
}
