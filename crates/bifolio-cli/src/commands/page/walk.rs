//! The files that a command line names: paths and all that is below them, each file once, in
//! parallel; and what could not be looked at, counted and told.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bifolio::map::ErrorKind;
use bifolio::map::residency::{CachedFile, FileId};
use ignore::overrides::{Override, OverrideBuilder};
use ignore::{DirEntry, ParallelVisitor, ParallelVisitorBuilder, WalkBuilder, WalkState};

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{CliError, Locate};
use crate::input::Input;
use crate::interrupt;
use crate::output::printable;
use crate::units::{ByteRange, Size, group_digits};

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
    #[arg(long, value_name = "SIZE", help_heading = "Which files")]
    max_size: Option<Size>,

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

    /// Ends what the visits began; the paths and errors of those that failed.
    fn finish(&mut self) -> Vec<(PathBuf, bifolio::map::Error)> {
        Vec::new()
    }
}

/// All that a command line names.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) roots: Vec<(PathBuf, Root)>,
    args: WalkArgs,
    threads: usize,
    links: Links,
    troubles: Troubles,
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
            threads: args.threads.map_or(threads, std::num::NonZeroUsize::get),
            links: Links::new(args.every_link, overlap),
            args: args.clone(),
            troubles,
        })
    }

    /// Has every file visited, each thread by a worker of its own, and returns the workers.
    pub(super) fn run<W: Worker>(
        &self,
        new_worker: impl Fn() -> W + Sync,
    ) -> Result<Vec<W>, CliError> {
        let mut workers = Vec::new();
        let mut at = 0;
        while at < self.roots.len() {
            interrupt::check()?;
            if self.roots[at].1 == Root::Directory {
                workers.extend(self.run_directory(at, &new_worker)?);
                at += 1;
            } else {
                let end = self.roots[at..]
                    .iter()
                    .position(|(_, root)| *root == Root::Directory)
                    .map_or(self.roots.len(), |count| at + count);
                workers.extend(self.run_files(at..end, &new_worker));
                at = end;
            }
        }
        interrupt::check()?;
        Ok(workers)
    }

    /// Files that are named one by one, shared out among the threads.
    fn run_files<W: Worker>(
        &self,
        arguments: std::ops::Range<usize>,
        new_worker: &(impl Fn() -> W + Sync),
    ) -> Vec<W> {
        let next = AtomicUsize::new(arguments.start);
        let work = || {
            let mut worker = new_worker();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= arguments.end || interrupt::is_requested() {
                    self.finish_worker(&mut worker);
                    return worker;
                }
                if let (path, Root::File) = &self.roots[at] {
                    self.visit(&mut worker, path, at);
                }
            }
        };
        let threads = self.threads.min(arguments.len());
        if threads <= 1 {
            return vec![work()];
        }
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            running.into_iter().map(joined).collect()
        })
    }

    fn run_directory<W: Worker>(
        &self,
        argument: usize,
        new_worker: &(impl Fn() -> W + Sync),
    ) -> Result<Vec<W>, CliError> {
        let root = &self.roots[argument].0;
        let mut walk = WalkBuilder::new(root);
        walk.standard_filters(false)
            .same_file_system(self.args.one_file_system)
            .follow_links(self.args.follow)
            .overrides(self.filter(root)?)
            .threads(self.threads);
        let done = Mutex::new(Vec::new());
        walk.build_parallel().visit(&mut Builder { walk: self, argument, new_worker, done: &done });
        Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner))
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
        let file = match CachedFile::open(path) {
            Ok(file) => file,
            Err(error) => return self.troubles.file(path, &error),
        };
        let Some(again) = self.links.count(&file, argument) else { return };
        if let Some(max) = self.args.max_size
            && max.of(file.len()).is_ok_and(|max| file.len() > max)
        {
            return self.troubles.add(Trouble::TooLong, path, "");
        }
        let range = match self.args.range.map(|range| range.within(file.len())) {
            None => 0..file.len(),
            Some(Ok(range)) => range,
            Some(Err(_)) => return self.troubles.add(Trouble::TooShort, path, ""),
        };
        if let Err(error) = worker.visit(Found { file, argument, again, range }) {
            self.troubles.file(path, &error);
        }
    }

    fn visit_entry<W: Worker>(
        &self,
        worker: &mut W,
        entry: Result<DirEntry, ignore::Error>,
        argument: usize,
    ) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => return self.troubles.walking(&error),
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

    /// Tells what was left out, on stderr; an error if anything failed.
    pub(super) fn finish(&self, context: &Context) -> Result<(), CliError> {
        self.troubles.tell(context)
    }
}

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

/// Whether two of the paths may lead to the same file by the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overlap {
    Possible,
    None,
}

impl Overlap {
    fn of(roots: &[(PathBuf, Root)]) -> Self {
        let mut real: Vec<_> =
            roots.iter().filter_map(|(path, _)| fs::canonicalize(path).ok()).collect();
        real.sort();
        let overlap = real.windows(2).any(|pair| pair[1].starts_with(&pair[0]));
        if overlap { Self::Possible } else { Self::None }
    }
}

/// The files that were counted already.
#[derive(Debug)]
struct Links {
    every_link: bool,
    overlap: Overlap,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    anywhere: HashSet<FileId>,
    below: HashSet<(usize, FileId)>,
}

impl Links {
    fn new(every_link: bool, overlap: Overlap) -> Self {
        Self { every_link, overlap, seen: Mutex::default() }
    }

    /// Whether another argument has led to the file before; `None` if this one has.
    fn count(&self, file: &CachedFile, argument: usize) -> Option<bool> {
        if self.every_link {
            return Some(false);
        }
        // A file of one name is met once, unless the arguments overlap.
        if file.links() <= 1 && self.overlap == Overlap::None {
            return Some(false);
        }
        let mut seen = lock(&self.seen);
        let first_below = seen.below.insert((argument, file.id()));
        let first_anywhere = seen.anywhere.insert(file.id());
        first_below.then_some(!first_anywhere)
    }
}

/// What can keep a path from being looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    Missing,
    Denied,
    Failed,
    Vanished,
    Loop,
    Special,
    Link,
    TooLong,
    TooShort,
}

impl Trouble {
    /// In a sentence after a number.
    fn words(self) -> &'static str {
        match self {
            Self::Missing => "not found",
            Self::Denied => "permission denied",
            Self::Failed => "failed",
            Self::Vanished => "gone before they could be opened",
            Self::Loop => "loops of links, not entered",
            Self::Special => "neither files nor directories, left out",
            Self::Link => "symbolic links, not followed",
            Self::TooLong => "longer than --max-size, left out",
            Self::TooShort => "shorter than --range, left out",
        }
    }

    /// Whether the command has failed to do what was asked for.
    fn exit(self) -> Exit {
        match self {
            Self::Missing => Exit::NotFound,
            Self::Denied | Self::Failed => Exit::Failure,
            _ => Exit::Ok,
        }
    }
}

/// Lines on stderr for single paths; the rest is counted.
const MOST_LINES: u64 = 10;

#[derive(Debug, Default)]
struct Troubles {
    counts: Mutex<BTreeMap<Trouble, u64>>,
    lines: Mutex<Vec<String>>,
    told: AtomicU64,
}

impl Troubles {
    fn add(&self, trouble: Trouble, path: &Path, why: &str) {
        *lock(&self.counts).entry(trouble).or_default() += 1;
        let worth_a_line = trouble.exit() != Exit::Ok || trouble == Trouble::Loop;
        if worth_a_line && self.told.fetch_add(1, Ordering::Relaxed) < MOST_LINES {
            let why = if why.is_empty() { trouble.words() } else { why };
            lock(&self.lines).push(format!("{}: {why}", printable(&path.display().to_string())));
        }
    }

    /// What a path of the command line is.
    fn root(&self, path: &Path) -> Root {
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => return Root::Directory,
            Ok(found) if found.is_file() || is_block_device(&found) => return Root::File,
            Ok(_) => self.add(Trouble::Failed, path, "neither a file nor a directory"),
            Err(error) => {
                let why = error.to_string();
                match error.kind() {
                    std::io::ErrorKind::NotFound => self.add(Trouble::Missing, path, ""),
                    std::io::ErrorKind::PermissionDenied => self.add(Trouble::Denied, path, ""),
                    _ => self.add(Trouble::Failed, path, &why),
                }
            }
        }
        Root::Nothing
    }

    fn file(&self, path: &Path, error: &bifolio::map::Error) {
        match error.kind() {
            ErrorKind::NotFound => self.add(Trouble::Vanished, path, ""),
            ErrorKind::NotMappable => self.add(Trouble::Special, path, ""),
            ErrorKind::PermissionDenied => {
                self.add(Trouble::Denied, path, error.detail().unwrap_or_default());
            }
            _ => self.add(Trouble::Failed, path, &error.to_string()),
        }
    }

    fn walking(&self, error: &ignore::Error) {
        let mut inner = error;
        let mut place = Path::new("");
        loop {
            match inner {
                ignore::Error::WithPath { path, err } => (place, inner) = (path, err),
                ignore::Error::WithDepth { err, .. }
                | ignore::Error::WithLineNumber { err, .. } => {
                    inner = err;
                }
                ignore::Error::Loop { child, .. } => return self.add(Trouble::Loop, child, ""),
                ignore::Error::Io(error) => {
                    return match error.kind() {
                        std::io::ErrorKind::NotFound => self.add(Trouble::Vanished, place, ""),
                        std::io::ErrorKind::PermissionDenied => {
                            self.add(Trouble::Denied, place, "");
                        }
                        _ => self.add(Trouble::Failed, place, &error.to_string()),
                    };
                }
                other => return self.add(Trouble::Failed, place, &other.to_string()),
            }
        }
    }

    fn tell(&self, context: &Context) -> Result<(), CliError> {
        let counts = lock(&self.counts);
        let (mut lines, told) = (lock(&self.lines), self.told.load(Ordering::Relaxed));
        lines.sort();
        for line in lines.iter() {
            context.message(line);
        }
        if told > MOST_LINES {
            context.message(&format!("… and {} more", group_digits(told - MOST_LINES)));
        }
        let list: Vec<_> = counts
            .iter()
            .map(|(trouble, count)| format!("{} {}", group_digits(*count), trouble.words()))
            .collect();
        let harmless = counts.keys().all(|trouble| trouble.exit() == Exit::Ok);
        match counts.keys().map(|trouble| trouble.exit()).find(|exit| *exit != Exit::Ok) {
            Some(exit) if !harmless => {
                Err(CliError::new(exit, format!("not everything: {}", list.join("; "))))
            }
            _ => {
                if !list.is_empty() {
                    context.message(&list.join("; "));
                }
                Ok(())
            }
        }
    }
}

#[cfg(unix)]
fn is_block_device(found: &fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    found.file_type().is_block_device()
}

#[cfg(not(unix))]
fn is_block_device(_found: &fs::Metadata) -> bool {
    false
}
