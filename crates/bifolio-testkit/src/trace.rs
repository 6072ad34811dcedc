//! What was done to a storage, in order: the input of [`replay`](crate::replay).

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bifolio_map::Flush;

/// One file of a [`Trace`], whatever names it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub(crate) usize);

/// How a sync ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It succeeded: what it covers is durable.
    Done,
    /// It failed: what it covers may be lost for ever, even if a later sync succeeds, since the
    /// cache counts it as clean.
    Failed,
    /// It reported success and did nothing ([`Fault::SyncLies`](crate::fault::Fault::SyncLies)).
    Lied,
}

/// One thing that was done, or a mark between them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named by the glossary: paths, files, offsets")]
pub enum Op {
    /// A new, empty file with this name.
    Create { path: PathBuf, file: FileId },
    /// A new directory.
    CreateDir { path: PathBuf },
    /// A file got another name instead of the one it had.
    Rename { from: PathBuf, to: PathBuf, file: FileId },
    /// A file got a second name.
    Link { path: PathBuf, file: FileId },
    /// A file lost this name.
    Unlink { path: PathBuf },
    /// Bytes written by a call.
    Write { file: FileId, offset: u64, bytes: Arc<[u8]> },
    /// Bytes stored through a map.
    Store { file: FileId, offset: u64, bytes: Arc<[u8]> },
    /// The size was set.
    SetLen { file: FileId, len: u64 },
    /// A file, or one range of it, was synced.
    Sync { file: FileId, range: Option<Range<u64>>, level: Flush, outcome: Outcome },
    /// The names of a directory were synced.
    SyncDir { path: PathBuf, outcome: Outcome },
    /// The work with this number was begun: from now on it may be found after a crash.
    Begun(u64),
    /// The work with this number was acknowledged: from now on it must be found after a crash.
    Acknowledged(u64),
}

/// What a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    File(FileId),
    Directory,
}

/// What was done to a storage, from a durable start.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// The names at the start.
    pub(crate) names: BTreeMap<PathBuf, Name>,
    /// The bytes of every file at the start; empty for those made later.
    pub(crate) files: Vec<Vec<u8>>,
    /// The first name of every file, for messages.
    pub(crate) titles: Vec<PathBuf>,
    pub(crate) ops: Vec<Op>,
}

impl Trace {
    /// What was done, in order.
    #[must_use]
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// The name by which messages call a file: the first that it had.
    #[must_use]
    pub fn title(&self, file: FileId) -> &Path {
        &self.titles[file.0]
    }

    /// The operation with this index in one line.
    #[must_use]
    pub fn describe(&self, index: usize) -> String {
        let title = |file: &FileId| self.title(*file).display();
        let text = match &self.ops[index] {
            Op::Create { path, .. } => format!("create {}", path.display()),
            Op::CreateDir { path } => format!("create directory {}", path.display()),
            Op::Rename { from, to, .. } => format!("rename {} to {}", from.display(), to.display()),
            Op::Link { path, file } => format!("link {} to {}", title(file), path.display()),
            Op::Unlink { path } => format!("unlink {}", path.display()),
            Op::Write { file, offset, bytes } => {
                format!("write {} {}", title(file), Extent(*offset, bytes.len()))
            }
            Op::Store { file, offset, bytes } => {
                format!("store {} {}", title(file), Extent(*offset, bytes.len()))
            }
            Op::SetLen { file, len } => format!("set length of {} to {len}", title(file)),
            Op::Sync { file, range: None, level, outcome } => {
                format!("sync {} ({level:?}): {outcome:?}", title(file))
            }
            Op::Sync { file, range: Some(range), level, outcome } => {
                let Range { start, end } = range;
                format!("flush {} {start}..{end} ({level:?}): {outcome:?}", title(file))
            }
            Op::SyncDir { path, outcome } => {
                format!("sync directory {:?}: {outcome:?}", path.display().to_string())
            }
            Op::Begun(id) => format!("begun {id}"),
            Op::Acknowledged(id) => format!("acknowledged {id}"),
        };
        format!("#{index} {text}")
    }
}

impl fmt::Display for Trace {
    /// One line for each operation.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..self.ops.len()).try_for_each(|index| writeln!(f, "{}", self.describe(index)))
    }
}

/// An offset and a size as a range.
struct Extent(u64, usize);

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.0, self.0 + self.1 as u64)
    }
}

/// The one spelling of a path under which the trace knows it.
pub(crate) fn normal(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

/// The directory that a name is in; the empty path is the one where relative paths begin.
pub(crate) fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_has_one_spelling() {
        assert_eq!(normal(Path::new("./a/./b")), Path::new("a/b"));
        assert_eq!(normal(Path::new(".")), Path::new(""));
        assert_eq!(directory_of(Path::new("a")), Path::new(""));
        assert_eq!(directory_of(Path::new("/a")), Path::new("/"));
    }
}
