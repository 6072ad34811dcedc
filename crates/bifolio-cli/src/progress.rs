//! Progress: nothing for half a second, then a bar, and only where somebody looks.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::failure::CliError;
use crate::interrupt;

/// Work that is done sooner shows no bar.
pub const DELAY: Duration = Duration::from_millis(500);

/// Whether a bar has hidden the cursor.
static SHOWN: AtomicBool = AtomicBool::new(false);

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Sizes.
    Bytes,
    /// Anything else.
    Items,
}

/// The progress of one piece of long work, on stderr. It is also the work's ear for Ctrl-C.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    started: Instant,
    target: Option<ProgressDrawTarget>,
    unit: Unit,
}

impl Progress {
    /// Begins; `title` is one or two words, `total` is in units.
    #[must_use]
    pub fn begin(title: &str, unit: Unit, total: u64) -> Self {
        let target = std::io::stderr().is_terminal().then(ProgressDrawTarget::stderr);
        Self::begin_on(target, title, unit, total)
    }

    /// Begins work of which nobody knows how much it is.
    #[must_use]
    pub fn open_ended(title: &str, unit: Unit) -> Self {
        let progress = Self::begin(title, unit, 0);
        progress.bar.unset_length();
        progress
    }

    /// Work without a bar, for a process that shares its terminal with the one that shows it.
    #[must_use]
    pub fn silent() -> Self {
        Self::begin_on(None, "", Unit::Items, 0)
    }

    fn begin_on(target: Option<ProgressDrawTarget>, title: &str, unit: Unit, total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        bar.set_message(title.to_owned());
        Self { bar, started: Instant::now(), target, unit }
    }

    /// Says that `amount` more is done.
    ///
    /// # Errors
    /// After Ctrl-C, so that the work ends.
    pub fn advance(&mut self, amount: u64) -> Result<(), CliError> {
        interrupt::check()?;
        self.advance_at(amount, self.started.elapsed());
        Ok(())
    }

    fn advance_at(&mut self, amount: u64, elapsed: Duration) {
        self.bar.inc(amount);
        if elapsed >= DELAY
            && let Some(target) = self.target.take()
        {
            self.bar.set_style(style(self.unit, self.bar.length()));
            self.bar.set_draw_target(target);
            SHOWN.store(true, Ordering::Relaxed);
            self.bar.tick();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(unit: Unit, total: Option<u64>) -> ProgressStyle {
    let template = match unit {
        Unit::Bytes if total.is_none() => "{msg}  {binary_bytes}, {binary_bytes_per_sec}",
        Unit::Items if total.is_none() => "{msg}  {human_pos}, {per_sec}",
        Unit::Bytes => "{msg}  {bar:32.dim}  {binary_bytes} of {binary_total_bytes}, {eta} left",
        Unit::Items => "{msg}  {bar:32.dim}  {human_pos} of {human_len}, {eta} left",
    };
    ProgressStyle::with_template(template)
        .map_or_else(|_| ProgressStyle::default_bar(), |style| style.progress_chars("━━ "))
}

/// Gives the cursor back when the program is cut off under a bar.
pub(crate) fn restore_terminal() {
    if SHOWN.load(Ordering::Relaxed) {
        let _ = write!(std::io::stderr(), "\r\u{1b}[2K\u{1b}[?25h");
    }
}

#[cfg(test)]
mod tests {
    use indicatif::{InMemoryTerm, TermLike};

    use super::*;

    fn bar_on(terminal: &InMemoryTerm) -> Progress {
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        Progress::begin_on(Some(target), "reading", Unit::Bytes, 4 << 20)
    }

    #[test]
    fn a_bar_appears_after_half_a_second_and_leaves_nothing_behind() {
        let terminal = InMemoryTerm::new(10, 100);
        let mut progress = bar_on(&terminal);
        progress.advance_at(1 << 20, Duration::from_millis(499));
        assert_eq!(terminal.contents(), "");
        progress.advance_at(1 << 20, DELAY);
        let text = terminal.contents();
        assert!(text.contains("reading") && text.contains("2.00 MiB of 4.00 MiB"), "{text}");
        drop(progress);
        assert_eq!(terminal.contents(), "");
        assert_eq!(terminal.width(), 100);
    }

    #[test]
    fn without_a_terminal_there_is_no_bar() {
        let mut progress = Progress::begin_on(None, "reading", Unit::Items, 10);
        progress.advance_at(1, DELAY * 2);
        assert!(progress.bar.is_hidden());
    }
}
