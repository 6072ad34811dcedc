//! The files that a command line names: paths and all that is below them, each file once, in
//! parallel; and what could not be looked at, counted and told.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bifolio::map::ErrorKind;
use bifolio::map::residency::CachedFile;
use ignore::overrides::{Override, OverrideBuilder};
use ignore::{DirEntry, ParallelVisitor, ParallelVisitorBuilder, WalkBuilder, WalkState};

use super::crew::{self, Crew};
use super::links::{Links, Overlap};
use super::troubles::{Trouble, Troubles};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{CliError, Locate};
use crate::input::Input;
use crate::interrupt;
use crate::units::{ByteRange, Size, UnitError};

/// Which files.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct WalkArgs {
    /// Files and directories
    #[arg(value_name = "PATH", required_unless_present = "files_from")]
    pub(super) paths: Vec<PathBuf>,

    /// Only this part of each file, such as `1M..+64k`, `10%..`
    #[arg(long, value_name = "RANGE", help_heading = "Which files")]
    pub(super) range: Option<ByteRange>,

    /// Only files with such a name, such as `*.idx` (may be given several times)
    #[arg(long, value_name = "GLOB", help_heading = "Which files")]
    include: Vec<String>,

    /// No files or directories with such a name (may be given several times)
    #[arg(long, value_name = "GLOB", help_heading = "Which files")]
    exclude: Vec<String>,

    /// No files longer than this
    #[arg(long, value_name = "SIZE", value_parser = size_in_bytes, help_heading = "Which files")]
    max_size: Option<u64>,

    /// Also the paths in this file, one a line; `-` is stdin
    #[arg(long, value_name = "FILE", help_heading = "Which files")]
    files_from: Option<Input>,

    /// The paths of --files-from end with a zero byte, as `find -print0` writes them
    #[arg(long, requires = "files_from", help_heading = "Which files")]
    null: bool,

    /// Stay on the file system of each PATH
    #[arg(long, help_heading = "Which files")]
    one_file_system: bool,

    /// Follow symbolic links below a PATH (those on the command line are always followed)
    #[arg(long, help_heading = "Which files")]
    follow: bool,

    /// Count a file once for each of its hard links
    #[arg(long, help_heading = "Which files")]
    every_link: bool,

    /// Threads at work [default: what suits the machine and the work]
    #[arg(long, value_name = "COUNT", help_heading = "Which files")]
    pub(super) threads: Option<std::num::NonZeroUsize>,
}

impl WalkArgs {
    /// How many threads are to work, where the work is best done by `suitable` ones.
    pub(super) fn threads(&self, suitable: usize) -> usize {
        Crew::of(self.threads.map_or(suitable, std::num::NonZeroUsize::get)).threads
    }
}

/// A size that is no share: there is nothing that it could be a share of.
fn size_in_bytes(text: &str) -> Result<u64, UnitError> {
    text.parse::<Size>()?.in_bytes()
}

/// A file that was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) file: CachedFile,
    /// Which of the paths on the command line led to it, counted from 0.
    pub(super) argument: usize,
    /// Whether another one led to it before.
    pub(super) again: bool,
    /// The part that is meant.
    pub(super) range: std::ops::Range<u64>,
}

/// What a path on the command line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    File,
    Directory,
    /// It could not be looked at; that was told.
    Nothing,
}

/// Work that is done for each file by one of several threads, and put together at the end.
pub(super) trait Worker: Send {
    /// Does it.
    ///
    /// # Errors
    /// What keeps this file, and no other, from being done.
    fn visit(&mut self, found: Found) -> Result<(), bifolio::map::Error>;

    /// Ends what the visits began and closes their files; the paths and errors of those that
    /// failed. It may be called between visits too.
    fn finish(&mut self) -> Vec<(PathBuf, bifolio::map::Error)> {
        Vec::new()
    }

    /// Takes over what another one has found. It is called as each directory ends, so that many
    /// directories need no more memory than one.
    fn absorb(&mut self, other: Self);
}

/// All that a command line names.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) roots: Vec<(PathBuf, Root)>,
    args: WalkArgs,
    threads: usize,
    links: Links,
    troubles: Troubles,
    /// Directories that could not be opened for want of a descriptor: their turn comes again.
    refused: Mutex<Vec<PathBuf>>,
    /// Naps that may still be taken until another thread has closed a file.
    naps: AtomicU32,
}

impl Walk {
    /// Looks at the paths of the command line themselves. `threads` is how many suit the work.
    pub(super) fn begin(args: &WalkArgs, threads: usize) -> Result<Self, CliError> {
        let troubles = Troubles::default();
        let mut paths = args.paths.clone();
        if let Some(list) = &args.files_from {
            paths.extend(read_list(list, args.null)?);
        }
        let roots: Vec<_> = paths
            .into_iter()
            .map(|path| {
                let root = troubles.root(&path);
                (path, root)
            })
            .collect();
        let overlap = Overlap::of(&roots);
        Ok(Self {
            roots,
            threads: args.threads(threads),
            links: Links::new(args.every_link, args.follow, overlap),
            args: args.clone(),
            troubles,
            refused: Mutex::default(),
            naps: AtomicU32::new(1000),
        })
    }

    /// Has every file visited, each thread by a worker of its own, and returns what they found
    /// together.
    pub(super) fn run<W: Worker>(&self, new_worker: impl Fn() -> W + Sync) -> Result<W, CliError> {
        let mut sum = new_worker();
        // The walk cannot do with fewer threads than it asks for; more than none is a luxury.
        let threads = if crew::can_have(self.threads) { self.threads } else { 1 };
        let filter = self.filter(Path::new("."))?;
        let mut at = 0;
        while at < self.roots.len() {
            interrupt::check()?;
            let workers = if self.roots[at].1 == Root::Directory {
                at += 1;
                self.run_directory(at - 1, threads, &new_worker)?
            } else {
                let start = at;
                let files = self.roots[at..].iter();
                at += files.take_while(|(_, root)| *root != Root::Directory).count();
                self.run_files(start..at, &filter, &new_worker)
            };
            workers.into_iter().for_each(|worker| sum.absorb(worker));
        }
        interrupt::check()?;
        Ok(sum)
    }

    /// Files that are named one by one, shared out among the threads.
    fn run_files<W: Worker>(
        &self,
        arguments: std::ops::Range<usize>,
        filter: &Override,
        new_worker: &(impl Fn() -> W + Sync),
    ) -> Vec<W> {
        let next = AtomicUsize::new(arguments.start);
        crew::together(self.threads.min(arguments.len()), || {
            let mut worker = new_worker();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= arguments.end || interrupt::is_requested() {
                    self.finish_worker(&mut worker);
                    return worker;
                }
                if let (path, Root::File) = &self.roots[at]
                    && !filter.matched(path, false).is_ignore()
                {
                    self.visit(&mut worker, path, at);
                }
            }
        })
    }

    fn run_directory<W: Worker>(
        &self,
        argument: usize,
        threads: usize,
        new_worker: &(impl Fn() -> W + Sync),
    ) -> Result<Vec<W>, CliError> {
        let root = &self.roots[argument].0;
        let filter = self.filter(root)?;
        let begin = |place: &Path| {
            let mut walk = WalkBuilder::new(place);
            walk.standard_filters(false)
                .same_file_system(self.args.one_file_system)
                .follow_links(self.args.follow)
                .overrides(filter.clone())
                .threads(threads);
            walk
        };
        let done = Mutex::new(Vec::new());
        let mut builder = Builder { walk: self, argument, new_worker, done: &done };
        if threads > 1 {
            begin(root).build_parallel().visit(&mut builder);
        } else {
            self.walk_alone(&begin(root), builder.build());
        }
        // What was refused for want of a descriptor, now that the files are closed again.
        for _ in 0..RETRIES {
            for place in std::mem::take(&mut *lock(&self.refused)) {
                self.walk_alone(&begin(&place), builder.build());
            }
        }
        for place in std::mem::take(&mut *lock(&self.refused)) {
            self.troubles.add(Trouble::Descriptors, &place, "");
        }
        Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn walk_alone(&self, walk: &WalkBuilder, mut visitor: Box<dyn ParallelVisitor + '_>) {
        for entry in walk.build() {
            if matches!(visitor.visit(entry), WalkState::Quit) {
                break;
            }
        }
    }

    fn filter(&self, root: &Path) -> Result<Override, CliError> {
        let bad = |error: ignore::Error| {
            CliError::new(Exit::Usage, error.to_string()).next("bifolio page stat --help")
        };
        let mut filter = OverrideBuilder::new(root);
        for glob in &self.args.include {
            filter.add(glob).map_err(bad)?;
        }
        for glob in &self.args.exclude {
            filter.add(&format!("!{glob}")).map_err(bad)?;
        }
        filter.build().map_err(bad)
    }

    fn visit<W: Worker>(&self, worker: &mut W, path: &Path, argument: usize) {
        let file = match self.open(worker, path) {
            Ok(file) => file,
            Err(error) => return self.troubles.file(path, &error),
        };
        let Some(again) = self.links.count(&file, argument) else { return };
        if let Some(max) = self.args.max_size
            && file.len() > max
        {
            return self.troubles.add(Trouble::TooLong, path, "");
        }
        let range = match self.args.range.map(|range| range.within(file.len())) {
            None => 0..file.len(),
            Some(Ok(range)) => range,
            // Who names the file means this range of it; below a directory it picks what has it.
            Some(Err(error)) if self.roots[argument].1 == Root::File => {
                return self.troubles.add(Trouble::BadRange, path, &error.to_string());
            }
            Some(Err(_)) => return self.troubles.add(Trouble::TooShort, path, ""),
        };
        if let Err(error) = worker.visit(Found { file, argument, again, range }) {
            self.troubles.file(path, &error);
        }
    }

    /// Opens a file; where no descriptor is left, the worker first closes those that it holds.
    fn open<W: Worker>(
        &self,
        worker: &mut W,
        path: &Path,
    ) -> Result<CachedFile, bifolio::map::Error> {
        loop {
            let opened = CachedFile::open(path);
            let refused =
                opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::LimitReached);
            if !refused || interrupt::is_requested() || !self.may_nap() {
                return opened;
            }
            self.finish_worker(worker);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn may_nap(&self) -> bool {
        let take = |naps: u32| naps.checked_sub(1);
        self.naps.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    fn visit_entry<W: Worker>(
        &self,
        worker: &mut W,
        entry: Result<DirEntry, ignore::Error>,
        argument: usize,
    ) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                if let Some(place) = self.troubles.walking(&error) {
                    self.finish_worker(worker);
                    lock(&self.refused).push(place);
                }
                return;
            }
        };
        match entry.file_type() {
            Some(kind) if kind.is_dir() => {}
            Some(kind) if kind.is_file() => self.visit(worker, entry.path(), argument),
            Some(kind) if kind.is_symlink() => self.troubles.add(Trouble::Link, entry.path(), ""),
            _ => self.troubles.add(Trouble::Special, entry.path(), ""),
        }
    }

    fn finish_worker<W: Worker>(&self, worker: &mut W) {
        for (path, error) in worker.finish() {
            self.troubles.file(&path, &error);
        }
    }

    /// Notes that a file could not be done after the walk.
    pub(super) fn failed(&self, path: &Path, error: &bifolio::map::Error) {
        self.troubles.file(path, error);
    }

    /// Whether something that was asked for could not be done so far.
    pub(super) fn has_failed(&self) -> bool {
        self.troubles.exit() != Exit::Ok
    }

    /// Whether files were left out because they are shorter than the range.
    pub(super) fn has_shorter_files(&self) -> bool {
        self.troubles.has(Trouble::TooShort)
    }

    /// Tells what was left out, on stderr; an error if anything failed.
    pub(super) fn finish(&self, context: &Context) -> Result<(), CliError> {
        self.troubles.tell(context)
    }
}

/// How often a directory is tried again for which there was no descriptor.
const RETRIES: u32 = 3;

pub(super) fn joined<T>(running: std::thread::ScopedJoinHandle<'_, T>) -> T {
    running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Makes the visitors of the walking threads.
struct Builder<'a, W, F> {
    walk: &'a Walk,
    argument: usize,
    new_worker: &'a F,
    done: &'a Mutex<Vec<W>>,
}

impl<'a, W: Worker + 'a, F: Fn() -> W + Sync> ParallelVisitorBuilder<'a> for Builder<'a, W, F> {
    fn build(&mut self) -> Box<dyn ParallelVisitor + 'a> {
        let (walk, argument, done) = (self.walk, self.argument, self.done);
        Box::new(Visitor { walk, argument, worker: Some((self.new_worker)()), done })
    }
}

struct Visitor<'a, W: Worker> {
    walk: &'a Walk,
    argument: usize,
    worker: Option<W>,
    done: &'a Mutex<Vec<W>>,
}

impl<W: Worker> ParallelVisitor for Visitor<'_, W> {
    fn visit(&mut self, entry: Result<DirEntry, ignore::Error>) -> WalkState {
        if interrupt::is_requested() {
            return WalkState::Quit;
        }
        if let Some(worker) = &mut self.worker {
            self.walk.visit_entry(worker, entry, self.argument);
        }
        WalkState::Continue
    }
}

impl<W: Worker> Drop for Visitor<'_, W> {
    fn drop(&mut self) {
        if let Some(worker) = &mut self.worker {
            self.walk.finish_worker(worker);
        }
        lock(self.done).extend(self.worker.take());
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The paths in a list.
fn read_list(list: &Input, null: bool) -> Result<Vec<PathBuf>, CliError> {
    let mut bytes = Vec::new();
    list.open()?.read_to_end(&mut bytes).at(list.to_string())?;
    let end = if null { b'\0' } else { b'\n' };
    bytes
        .split(|&byte| byte == end)
        .filter(|name| !name.is_empty())
        .map(|name| path_of(name).at(list.to_string()))
        .collect()
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere names are text")]
fn path_of(bytes: &[u8]) -> Result<PathBuf, CliError> {
    use std::os::unix::ffi::OsStrExt;
    Ok(std::ffi::OsStr::from_bytes(bytes).into())
}

#[cfg(not(unix))]
fn path_of(bytes: &[u8]) -> Result<PathBuf, CliError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| CliError::new(Exit::Usage, "the list of paths is not UTF-8"))?;
    Ok(text.trim_end_matches('\r').into())
}
