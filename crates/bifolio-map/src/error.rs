//! The one error type of this crate: what was being done, to what, where, and why it failed.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of misfortune an [`Error`] is: enough to decide what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The path, or an object under that name, does not exist.
    NotFound,
    /// The path exists already and the caller asked for a new one.
    AlreadyExists,
    /// The system denies the access that was asked for.
    PermissionDenied,
    /// The section cannot be mapped at all: a directory, a pipe, a socket, a `/proc` file.
    NotMappable,
    /// A range lies outside the view or section, or its end does not fit a `u64`.
    OutOfBounds,
    /// An atomic access to an address that is not a multiple of its size.
    Misaligned,
    /// An argument that no system could honour (an empty path, a zero capacity).
    InvalidInput,
    /// The mode of the view or handle does not allow this (a write to a read-only section).
    ModeMismatch,
    /// The bytes are no longer there: the file ends before them now.
    UnexpectedEof,
    /// No space left on the device, in the quota, or under the file size limit.
    StorageFull,
    /// The storage failed: an I/O error, a bad block, a page that the system could not supply.
    StorageFault,
    /// An earlier flush or store failed on this handle, so it no longer vouches for anything.
    Poisoned,
    /// No address space or memory left, or `RLIMIT_AS` reached.
    OutOfMemory,
    /// A limit of the process or system was reached: descriptors, locked memory, maps.
    LimitReached,
    /// Somebody else holds it: a lock, a mapped file that Windows keeps from change.
    Busy,
    /// The time given was not enough.
    TimedOut,
    /// This platform, file system or architecture cannot do it.
    NotSupported,
    /// Another library replaced Bifolio's fault handler.
    HandlerDisplaced,
    /// The bytes are not what they must be.
    Corrupt,
    /// Anything else that the system reported; see [`std::error::Error::source`].
    Io,
}

impl ErrorKind {
    /// The kind in a few words, as it appears in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not found",
            Self::AlreadyExists => "exists already",
            Self::PermissionDenied => "permission denied",
            Self::NotMappable => "cannot be mapped",
            Self::OutOfBounds => "out of bounds",
            Self::Misaligned => "misaligned",
            Self::InvalidInput => "invalid input",
            Self::ModeMismatch => "not allowed by the mode",
            Self::UnexpectedEof => "unexpected end of file",
            Self::StorageFull => "no space left",
            Self::StorageFault => "storage fault",
            Self::Poisoned => "an earlier failure is final for this handle",
            Self::OutOfMemory => "out of memory or address space",
            Self::LimitReached => "limit reached",
            Self::Busy => "busy",
            Self::TimedOut => "timed out",
            Self::NotSupported => "not supported here",
            Self::HandlerDisplaced => "the fault handler was displaced",
            Self::Corrupt => "corrupt",
            Self::Io => "input/output error",
        }
    }
}

/// What went wrong, with the operation, the path, the offset and the numbers.
///
/// ```
/// use bifolio_map::{ErrorKind, Section, View, Read};
/// let section = Section::anonymous(13)?;
/// let view: View<Read> = section.view()?;
/// let error = view.get::<u64>(8).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::OutOfBounds);
/// assert!(error.to_string().contains("offset 8"));
/// # Ok::<(), bifolio_map::Error>(())
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    doing: &'static str,
    path: Option<PathBuf>,
    offset: Option<u64>,
    detail: Option<Cow<'static, str>>,
    source: Option<io::Error>,
}

impl Error {
    /// A new error of this kind: `doing` is a verb phrase such as `"map"` or `"read"`.
    #[must_use]
    #[cold]
    pub fn new(kind: ErrorKind, doing: &'static str) -> Self {
        Self(Box::new(Inner { kind, doing, path: None, offset: None, detail: None, source: None }))
    }

    /// An error that the operating system reported; the kind follows from its code.
    #[must_use]
    #[cold]
    pub fn os(doing: &'static str, source: io::Error) -> Self {
        let mut error = Self::new(kind_of(&source), doing);
        error.0.source = Some(source);
        error
    }

    /// The same error, naming the path it is about.
    #[must_use]
    pub fn at_path(mut self, path: impl AsRef<Path>) -> Self {
        self.0.path = Some(path.as_ref().to_path_buf());
        self
    }

    /// The same error, naming the byte offset in the file or section it is about.
    #[must_use]
    pub fn at_offset(mut self, offset: u64) -> Self {
        self.0.offset = Some(offset);
        self
    }

    /// The same error with a sentence that says what was asked for and what was found.
    #[must_use]
    pub fn because(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// The same error under a more exact kind.
    #[must_use]
    pub fn of_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The same error with what the operating system said about it.
    #[must_use]
    pub(crate) fn caused_by(mut self, source: io::Error) -> Self {
        self.0.source = Some(source);
        self
    }

    /// What kind of misfortune this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The verb phrase of what was being done.
    #[must_use]
    pub fn doing(&self) -> &'static str {
        self.0.doing
    }

    /// The path of the file, if there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The byte offset in the file or section, if the error has one: never in a view, whose
    /// accesses count from its own start. (A view starts at [`View::offset`](crate::View::offset).)
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// The sentence that says what was asked for and what was found.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }
}

/// The kind that an operating-system error stands for.
pub(crate) fn kind_of(error: &io::Error) -> ErrorKind {
    use io::ErrorKind as K;
    match error.kind() {
        // A path that goes on below a file leads to nothing; Windows calls it that itself.
        K::NotFound | K::NotADirectory => ErrorKind::NotFound,
        K::AlreadyExists => ErrorKind::AlreadyExists,
        K::PermissionDenied | K::ReadOnlyFilesystem => ErrorKind::PermissionDenied,
        K::StorageFull | K::QuotaExceeded | K::FileTooLarge => ErrorKind::StorageFull,
        K::OutOfMemory => ErrorKind::OutOfMemory,
        K::UnexpectedEof => ErrorKind::UnexpectedEof,
        K::IsADirectory => ErrorKind::NotMappable,
        K::Unsupported => ErrorKind::NotSupported,
        K::TimedOut => ErrorKind::TimedOut,
        K::InvalidInput | K::InvalidFilename => ErrorKind::InvalidInput,
        K::InvalidData => ErrorKind::Corrupt,
        K::WouldBlock | K::ResourceBusy | K::ExecutableFileBusy => ErrorKind::Busy,
        _ => crate::sys::kind_of_code(error.raw_os_error()).unwrap_or(ErrorKind::Io),
    }
}

impl fmt::Display for Error {
    /// One line, `cannot read FILE at offset 8: out of bounds: ...`: operation, path, offset, kind,
    /// detail, source.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, doing, path, offset, detail, source } = &*self.0;
        write!(f, "cannot {doing}")?;
        if let Some(path) = path {
            write!(f, " {}", path.display())?;
        }
        if let Some(offset) = offset {
            write!(f, " at offset {offset}")?;
        }
        write!(f, ": {}", kind.as_str())?;
        if let Some(detail) = detail {
            write!(f, ": {detail}")?;
        }
        if let Some(source) = source {
            write!(f, " ({source})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source as _)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::NotFound => io::ErrorKind::NotFound,
            ErrorKind::AlreadyExists => io::ErrorKind::AlreadyExists,
            ErrorKind::PermissionDenied => io::ErrorKind::PermissionDenied,
            ErrorKind::OutOfBounds
            | ErrorKind::Misaligned
            | ErrorKind::InvalidInput
            | ErrorKind::ModeMismatch => io::ErrorKind::InvalidInput,
            ErrorKind::UnexpectedEof => io::ErrorKind::UnexpectedEof,
            ErrorKind::StorageFull => io::ErrorKind::StorageFull,
            ErrorKind::OutOfMemory => io::ErrorKind::OutOfMemory,
            ErrorKind::Busy => io::ErrorKind::ResourceBusy,
            ErrorKind::TimedOut => io::ErrorKind::TimedOut,
            ErrorKind::NotSupported => io::ErrorKind::Unsupported,
            ErrorKind::Corrupt => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}
