//! What could not be looked at: counted, told, and what comes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bifolio::map::ErrorKind;

use super::walk::{Root, lock};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::CliError;
use crate::output::{path_text, printable};
use crate::units::group_digits;

/// What can keep a path from being looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    Missing,
    BadRange,
    Denied,
    Descriptors,
    Failed,
    Vanished,
    Loop,
    Special,
    Link,
    TooLong,
    TooShort,
}

impl Trouble {
    /// What is to be said of one path.
    fn words(self) -> &'static str {
        match self {
            Self::Missing => "not found",
            Self::BadRange => "shorter than --range",
            Self::Denied => "permission denied",
            Self::Descriptors => "not opened, too many files are open",
            Self::Failed => "failed",
            Self::Vanished => "gone before it could be opened",
            Self::Loop => "a loop of links, not entered",
            Self::Special => "neither file nor directory, left out",
            Self::Link => "symbolic link, not followed",
            Self::TooLong => "longer than --max-size, left out",
            Self::TooShort => "shorter than --range, left out",
        }
    }

    /// How many there were, in a sentence.
    fn counted(self, count: u64) -> String {
        let words = match self {
            Self::Loop if count == 1 => "loop of links, not entered",
            Self::Vanished if count > 1 => "gone before they could be opened",
            Self::Loop => "loops of links, not entered",
            Self::Special if count > 1 => "neither files nor directories, left out",
            Self::Link if count > 1 => "symbolic links, not followed",
            _ => self.words(),
        };
        format!("{} {words}", group_digits(count))
    }

    /// Whether the command has failed to do what was asked for.
    fn exit(self) -> Exit {
        match self {
            Self::Missing => Exit::NotFound,
            Self::BadRange => Exit::Usage,
            Self::Denied | Self::Descriptors | Self::Failed => Exit::Failure,
            _ => Exit::Ok,
        }
    }

    /// What to do about it.
    fn next(self) -> Option<&'static str> {
        match self {
            Self::Missing => Some("ls, for what is there"),
            Self::BadRange => Some("bifolio page map PATH, for its length"),
            Self::Denied => Some("the same command as the owner of the files, or as root"),
            Self::Descriptors => Some("ulimit -n, to see and raise the limit of open files"),
            _ => None,
        }
    }
}

/// Lines on stderr for single paths; the rest is counted.
const MOST_LINES: u64 = 10;

#[derive(Debug, Default)]
pub(super) struct Troubles {
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    counts: BTreeMap<Trouble, u64>,
    lines: Vec<String>,
    /// Paths that have a line, or would have one if there were fewer.
    worth_a_line: u64,
    /// What is to be said of several paths is said once.
    reasons: BTreeSet<String>,
    /// One path of each kind: the first in the order of names.
    places: BTreeMap<Trouble, PathBuf>,
}

impl Troubles {
    pub(super) fn add(&self, trouble: Trouble, path: &Path, why: &str) {
        let noted = &mut *lock(&self.noted);
        *noted.counts.entry(trouble).or_default() += 1;
        let place = noted.places.entry(trouble).or_insert_with(|| path.to_path_buf());
        if path < place.as_path() {
            *place = path.to_path_buf();
        }
        // Descriptors: one sentence says it all.
        let worth_a_line = trouble != Trouble::Descriptors
            && (trouble.exit() != Exit::Ok || trouble == Trouble::Loop);
        if worth_a_line {
            noted.worth_a_line += 1;
            if noted.worth_a_line <= MOST_LINES {
                let why = if why.is_empty() { trouble.words() } else { why };
                let path = printable(&path_text(path));
                noted.lines.push(format!("{path}: {why}"));
            }
        }
    }

    /// Whether there is such a trouble.
    pub(super) fn has(&self, trouble: Trouble) -> bool {
        lock(&self.noted).counts.contains_key(&trouble)
    }

    /// What comes of it.
    pub(super) fn exit(&self) -> Exit {
        let noted = lock(&self.noted);
        noted
            .counts
            .keys()
            .map(|kind| kind.exit())
            .find(|exit| *exit != Exit::Ok)
            .unwrap_or(Exit::Ok)
    }

    /// What a path of the command line is.
    pub(super) fn root(&self, path: &Path) -> Root {
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => return Root::Directory,
            Ok(found) if found.is_file() || is_block_device(&found) => return Root::File,
            Ok(_) => self.add(Trouble::Failed, path, "neither a file nor a directory"),
            Err(error) => self.io(path, &error, Trouble::Missing),
        }
        Root::Nothing
    }

    /// An error without a path of its own; `missing` is what it is not to be there.
    fn io(&self, path: &Path, error: &std::io::Error, missing: Trouble) {
        match error.kind() {
            std::io::ErrorKind::NotFound => self.add(missing, path, ""),
            std::io::ErrorKind::PermissionDenied => self.add(Trouble::Denied, path, ""),
            _ => self.add(Trouble::Failed, path, &error.to_string()),
        }
    }

    pub(super) fn file(&self, path: &Path, error: &bifolio::map::Error) {
        match error.kind() {
            ErrorKind::NotFound => self.add(Trouble::Vanished, path, ""),
            ErrorKind::NotMappable => self.add(Trouble::Special, path, ""),
            ErrorKind::PermissionDenied => {
                self.add(Trouble::Denied, path, "");
                lock(&self.noted).reasons.extend(error.detail().map(str::to_owned));
            }
            ErrorKind::LimitReached if error.doing() == "open" => {
                self.add(Trouble::Descriptors, path, "");
            }
            _ => self.add(Trouble::Failed, path, &error.to_string()),
        }
    }

    /// An error on the way to files. A directory that is worth another attempt is not counted but
    /// returned.
    pub(super) fn walking(&self, error: &ignore::Error) -> Option<PathBuf> {
        let (mut place, mut inner) = (Path::new(""), error);
        loop {
            (place, inner) = match inner {
                ignore::Error::WithPath { path, err } => (path.as_path(), &**err),
                ignore::Error::WithDepth { err, .. }
                | ignore::Error::WithLineNumber { err, .. } => (place, &**err),
                _ => break,
            };
        }
        match inner {
            ignore::Error::Loop { child, .. } => self.add(Trouble::Loop, child, ""),
            ignore::Error::Io(error) if is_limit(error) => return Some(place.to_path_buf()),
            ignore::Error::Io(error) => self.io(place, error, Trouble::Vanished),
            other => self.add(Trouble::Failed, place, &other.to_string()),
        }
        None
    }

    pub(super) fn tell(&self, context: &Context) -> Result<(), CliError> {
        let noted = &mut *lock(&self.noted);
        noted.lines.sort();
        for line in &noted.lines {
            context.message(line);
        }
        if noted.worth_a_line > MOST_LINES {
            let more = noted.worth_a_line - MOST_LINES;
            context.message(&format!("… and {} more", group_digits(more)));
        }
        for reason in &noted.reasons {
            context.message(reason);
        }
        let list = |failures: bool| {
            let kinds = noted.counts.iter();
            let kinds = kinds.filter(|(kind, _)| (kind.exit() != Exit::Ok) == failures);
            let words = kinds.map(|(kind, count)| kind.counted(*count));
            words.collect::<Vec<_>>().join("; ")
        };
        let harmless = list(false);
        if !harmless.is_empty() {
            context.message(&harmless);
        }
        let Some(&worst) = noted.counts.keys().find(|kind| kind.exit() != Exit::Ok) else {
            return Ok(());
        };
        let error = CliError::new(worst.exit(), format!("not everything: {}", list(true)))
            .at(printable(&path_text(&noted.places[&worst])));
        Err(match worst.next() {
            Some(next) => error.next(next),
            None => error,
        })
    }
}

/// Whether a call failed because this process or the system has too many files open.
fn is_limit(error: &std::io::Error) -> bool {
    let code = error.raw_os_error().map(std::io::Error::from_raw_os_error);
    code.is_some_and(|error| {
        bifolio::map::Error::os("open", error).kind() == ErrorKind::LimitReached
    })
}

#[cfg(unix)]
pub(super) fn is_block_device(found: &fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    found.file_type().is_block_device()
}

#[cfg(not(unix))]
pub(super) fn is_block_device(_found: &fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_told_in_the_singular() {
        assert_eq!(Trouble::Link.counted(1), "1 symbolic link, not followed");
        assert_eq!(Trouble::Link.counted(1234), "1,234 symbolic links, not followed");
        assert_eq!(Trouble::Loop.counted(1), "1 loop of links, not entered");
        assert_eq!(Trouble::Special.counted(1), "1 neither file nor directory, left out");
        assert_eq!(Trouble::Vanished.counted(1), "1 gone before it could be opened");
        assert_eq!(Trouble::Denied.counted(2), "2 permission denied");
    }
}
