//! Ctrl-C: one flag that long work asks, and a short patience with work that does not.
//!
//! The first Ctrl-C raises the flag; work that calls [`check`] ends by itself, through its
//! destructors. What has not ended after [`PATIENCE`] (it waits for input, say), or at the second
//! Ctrl-C, is cut off: the terminal and the registered directories are put in order, and the
//! program ends with 130.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

use crate::exit::Exit;
use crate::failure::CliError;

/// How long work may take to notice.
pub const PATIENCE: Duration = Duration::from_millis(500);

static REQUESTED: AtomicBool = AtomicBool::new(false);
static LEFT_TO_CHILD: AtomicBool = AtomicBool::new(false);
static DIRECTORIES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Begins to listen. Where Ctrl-C is ignored already (a shell does that to its background jobs),
/// it stays ignored.
pub fn listen() {
    // The one error is "somebody has set a handler": then Ctrl-C is theirs.
    let _ = ctrlc::try_set_handler(|| {
        // Relaxed: the flags say nothing about other memory.
        if LEFT_TO_CHILD.load(Ordering::Relaxed) {
            return;
        }
        if REQUESTED.swap(true, Ordering::Relaxed) {
            cut_off();
        }
        std::thread::spawn(|| {
            std::thread::sleep(PATIENCE);
            cut_off();
        });
    });
}

/// Lets a child that shares our terminal have Ctrl-C for itself.
pub fn leave_to_child() {
    LEFT_TO_CHILD.store(true, Ordering::Relaxed);
    let _ = ctrlc::try_set_handler(|| {});
}

/// Whether Ctrl-C was pressed.
#[must_use]
pub fn is_requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// Ends long work after Ctrl-C: call it once for each piece.
///
/// # Errors
/// [`CliError::interrupted`] after Ctrl-C.
pub fn check() -> Result<(), CliError> {
    if is_requested() { Err(CliError::interrupted()) } else { Ok(()) }
}

fn cut_off() -> ! {
    let directories = std::mem::take(&mut *lock());
    for directory in directories {
        // Nobody is left to tell about a failure.
        let _ = std::fs::remove_dir_all(directory);
    }
    crate::progress::restore_terminal();
    let _ = writeln!(std::io::stderr(), "interrupted");
    std::process::exit(i32::from(Exit::Interrupted.code()));
}

fn lock() -> std::sync::MutexGuard<'static, Vec<PathBuf>> {
    DIRECTORIES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A temporary directory that goes away at the end, at a panic, and when Ctrl-C cuts off.
#[derive(Debug)]
pub struct WorkingDirectory {
    directory: TempDir,
}

impl WorkingDirectory {
    /// Makes one where the system keeps temporary files.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(prefix: &str) -> Result<Self, CliError> {
        let parent = std::env::temp_dir();
        let directory =
            tempfile::Builder::new().prefix(prefix).tempdir_in(&parent).map_err(|e| {
                CliError::from(e)
                    .at(parent.display().to_string())
                    .next("set TMPDIR to a directory where you may write")
            })?;
        lock().push(directory.path().to_owned());
        Ok(Self { directory })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for WorkingDirectory {
    fn drop(&mut self) {
        // Removed first and forgotten then, so that no Ctrl-C falls between the two.
        let _ = std::fs::remove_dir_all(self.directory.path());
        lock().retain(|path| path != self.directory.path());
    }
}
