//! The one error type of this crate.

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
    /// Nothing of that name is there.
    NotFound,
    /// It is there already and the caller asked for a new one.
    AlreadyExists,
    /// What is stored there was made for another type; the message says which field differs.
    LayoutMismatch,
    /// It was made by another version of the format, or by a machine of the other byte order.
    WrongVersion,
    /// The bytes are not what they must be.
    Corrupt,
    /// A value lies outside of the region, or a length does not fit.
    OutOfBounds,
    /// An argument that could never be honoured.
    InvalidInput,
    /// Somebody else holds it, and waiting was not asked for.
    Busy,
    /// The time given was not enough.
    TimedOut,
    /// This thread holds the lock itself, and would wait for itself.
    Deadlock,
    /// The value was left unrepaired by an owner that died or panicked.
    Poisoned,
    /// The process was forked since it joined; the child has to join anew.
    Forked,
    /// No place is left: in the region or the channel, on the device, in memory.
    Full,
    /// So many messages were written over before they were received; those that a sender gave back, or
    /// died with, are counted too.
    Lost(u64),
    /// Every slot for participants, or for readers, is taken by a living one.
    TooMany,
    /// This platform or file system cannot do it.
    NotSupported,
    /// The layer below failed: see [`std::error::Error::source`].
    Map(bifolio_map::ErrorKind),
}

impl ErrorKind {
    /// The kind in a few words, as it appears in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not found",
            Self::AlreadyExists => "exists already",
            Self::LayoutMismatch => "made for another type",
            Self::WrongVersion => "made by another version",
            Self::Corrupt => "corrupt",
            Self::OutOfBounds => "out of bounds",
            Self::InvalidInput => "invalid input",
            Self::Busy => "busy",
            Self::TimedOut => "timed out",
            Self::Deadlock => "this thread holds it already",
            Self::Poisoned => "left unrepaired by an owner that died or panicked",
            Self::Forked => "the process was forked since it joined",
            Self::Full => "full",
            Self::Lost(_) => "messages were lost",
            Self::TooMany => "every place is taken by a living participant",
            Self::NotSupported => "not supported here",
            Self::Map(kind) => kind.as_str(),
        }
    }
}

/// What went wrong, with the operation, the object, the offset and the numbers.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    doing: &'static str,
    what: Option<PathBuf>,
    offset: Option<u64>,
    detail: Option<Cow<'static, str>>,
    source: Option<bifolio_map::Error>,
}

impl Error {
    /// A new error of this kind: `doing` is a verb phrase such as `"lock"` or `"join"`.
    #[must_use]
    #[cold]
    pub fn new(kind: ErrorKind, doing: &'static str) -> Self {
        Self(Box::new(Inner { kind, doing, what: None, offset: None, detail: None, source: None }))
    }

    /// The same error, naming the region, object or path it is about.
    #[must_use]
    pub fn of(mut self, what: impl AsRef<Path>) -> Self {
        self.0.what = Some(what.as_ref().to_path_buf());
        self
    }

    /// The same error, naming the byte offset in the region.
    #[must_use]
    pub fn at_offset(mut self, offset: u64) -> Self {
        self.0.offset = Some(offset);
        self
    }

    /// The same error with a sentence that says what was expected and what was found.
    #[must_use]
    pub fn because(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = Some(detail.into());
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

    /// The region, object or path it is about, if there is one.
    #[must_use]
    pub fn what(&self) -> Option<&Path> {
        self.0.what.as_deref()
    }

    /// The byte offset in the region, if the error has one.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// The sentence that says what was expected and what was found.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }
}

/// For drops, which have nobody to tell: bytes that cannot be had are nobody's lock any more, and the
/// next access says so. The error goes out of line, so that the drop itself is inlined.
#[inline(always)]
pub(crate) fn untold(outcome: Result<()>) {
    #[cold]
    #[inline(never)]
    fn forget(_error: Error) {}
    if let Err(error) = outcome {
        forget(error);
    }
}

impl From<bifolio_map::Error> for Error {
    #[cold]
    fn from(source: bifolio_map::Error) -> Self {
        use bifolio_map::ErrorKind as K;
        let kind = match source.kind() {
            K::NotFound => ErrorKind::NotFound,
            K::AlreadyExists => ErrorKind::AlreadyExists,
            K::OutOfBounds => ErrorKind::OutOfBounds,
            K::Busy => ErrorKind::Busy,
            K::TimedOut => ErrorKind::TimedOut,
            K::StorageFull => ErrorKind::Full,
            K::InvalidInput => ErrorKind::InvalidInput,
            K::NotSupported => ErrorKind::NotSupported,
            K::Corrupt => ErrorKind::Corrupt,
            other => ErrorKind::Map(other),
        };
        let mut error = Self::new(kind, source.doing());
        error.0.source = Some(source);
        error
    }
}

impl fmt::Display for Error {
    /// One line: what the layer below said, or `cannot lock NAME at offset 8: busy: ...`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, doing, what, offset, detail, source } = &*self.0;
        if let (Some(source), None, None) = (source, what, detail) {
            return write!(f, "{source}");
        }
        write!(f, "cannot {doing}")?;
        if let Some(what) = what {
            write!(f, " {}", what.display())?;
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
            ErrorKind::OutOfBounds | ErrorKind::InvalidInput => io::ErrorKind::InvalidInput,
            ErrorKind::Busy => io::ErrorKind::ResourceBusy,
            ErrorKind::TimedOut => io::ErrorKind::TimedOut,
            ErrorKind::Deadlock => io::ErrorKind::Deadlock,
            ErrorKind::Full => io::ErrorKind::StorageFull,
            ErrorKind::NotSupported => io::ErrorKind::Unsupported,
            ErrorKind::LayoutMismatch | ErrorKind::WrongVersion | ErrorKind::Corrupt => {
                io::ErrorKind::InvalidData
            }
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}
