//! Handing a section to a child process: a file without a name, or memory without a file, cannot
//! be found by path, so the child inherits the handle and finds it by a token.

use std::fs::File;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Access, Calls, Section, SectionKind};
use crate::error::{Error, ErrorKind, Result};
use crate::sys::{self, FileKind, Identity};

/// A token's text form: `bifolio1:NUMBER:VOLUME:FILE:ACCESS:KIND:LENGTH`.
const VERSION: &str = "bifolio1";

/// A section that child processes inherit as long as this lives: those that start meanwhile, all of
/// them, whether they know the token or not.
///
/// It is a second handle on the section; the section's own is never inherited.
#[derive(Debug)]
#[must_use = "children inherit the section only as long as this lives"]
pub struct Inheritance {
    _handle: sys::Inheritable,
    number: u64,
    token: String,
}

/// The numbers of all [`Inheritance`]s of this process, which it may look for by token itself.
static LENT: Mutex<Vec<u64>> = Mutex::new(Vec::new());

fn lent() -> MutexGuard<'static, Vec<u64>> {
    LENT.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Inheritance {
    fn drop(&mut self) {
        // Before the handle is closed and its number given to another one.
        lent().retain(|&number| number != self.number);
    }
}

impl Inheritance {
    /// What the child finds the section by: pass it as an argument or in the environment.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }
}

impl Section {
    /// The open file that the section stands on, for passing it on by descriptor or handle or for
    /// calls that this crate has not: `as_file()` lends it as `AsFd` on Unix and `AsHandle` on
    /// Windows. Anonymous memory is such a file on Unix too. `None` on Windows for memory of the
    /// page file; [`inherit`](Self::inherit) hands that on.
    ///
    /// What is done through it is seen by everybody who uses the section, and goes past what this
    /// crate keeps account of: writes and syncs that fail there are not remembered here.
    ///
    /// On Unix a named section's file carries the lock (`flock`) that keeps its name alive, and a
    /// duplicate of its descriptor keeps it alive as well, in whatever process. `lock`,
    /// `try_lock`, `unlock` and so on of [`File`] change that lock, also through a duplicate: after
    /// an `unlock` the name may be removed while the section is in use. To lock something, use
    /// [`FileLock`](crate::FileLock), which is of another kind, or open the file anew.
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// # use bifolio_map::{Read, ReadWrite, Section, View};
    /// let memory = Section::anonymous(13)?;
    /// let descriptor = memory.as_file().unwrap().try_clone().unwrap(); // send it over a socket
    /// let received = Section::from_file(descriptor)?;
    /// memory.view::<ReadWrite>()?.put(5, &7u8)?;
    /// assert_eq!(received.view::<Read>()?.get::<u8>(5)?, 7);
    /// # }
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    #[must_use]
    pub fn as_file(&self) -> Option<&File> {
        if let Some(hold) = &self.inner.hold {
            hold.lend();
        }
        self.file()
    }

    /// The open file, for calls that leave its locks alone.
    fn file(&self) -> Option<&File> {
        sys::file_of(&self.inner.object)
    }

    /// What this section is in errors, its handle, and the locks that were taken through it.
    pub(crate) fn for_locking(&self) -> (std::path::PathBuf, Option<&File>, &crate::lock::Held) {
        let label = super::name_of(self.inner.path.as_deref(), self.inner.kind).to_path_buf();
        (label, self.file(), &self.inner.locks)
    }

    /// Lets child processes inherit this section: those that are started while the answer lives.
    ///
    /// ```
    /// # use bifolio_map::{Read, ReadWrite, Section, View};
    /// let memory = Section::anonymous(13)?;
    /// memory.view::<ReadWrite>()?.write_at(0, b"111\r\n222\r\n333")?;
    /// let inheritance = memory.inherit()?;
    /// // std::process::Command::new(...).arg(inheritance.token()).spawn(), and in the child:
    /// let view: View<Read> = Section::inherited(inheritance.token())?.view()?;
    /// assert_eq!(view.read_vec(..)?.len(), 13);
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    ///
    /// # Errors
    /// `NotSupported` for a named section: a child opens it by its name. `LimitReached` if the process
    /// has no descriptor left; otherwise what the system says.
    pub fn inherit(&self) -> Result<Inheritance> {
        let inner = &self.inner;
        if inner.kind == SectionKind::Named {
            return Err(self.fail(
                Error::new(ErrorKind::NotSupported, "inherit")
                    .because("it has a name, by which the child opens it"),
            ));
        }
        let Identity { volume, file } =
            sys::identity(&inner.object).map_err(|error| self.os("inherit", error))?;
        let (handle, number) =
            sys::inheritable(&inner.object).map_err(|error| self.os("inherit", error))?;
        let access = match inner.access {
            Access::Read => "r",
            Access::ReadWrite => "rw",
        };
        let kind = match inner.kind {
            SectionKind::Temporary => "t",
            SectionKind::Anonymous => "a",
            SectionKind::File | SectionKind::Device | SectionKind::Named => "f",
        };
        let len = sys::len(&inner.object).unwrap_or(0);
        let token = format!("{VERSION}:{number}:{volume:x}:{file:x}:{access}:{kind}:{len}");
        lent().push(number);
        Ok(Inheritance { _handle: handle, number, token })
    }

    /// Finds the section that the parent process let this one inherit. It is opened anew; the
    /// inherited handle itself stays open as long as the process lives (it is not ours to close),
    /// and is not passed on to its children.
    ///
    /// # Errors
    /// `InvalidInput` for a text that is no token; `NotFound` if this process did not inherit the
    /// handle, or if its number stands for another file by now.
    pub fn inherited(token: &str) -> Result<Self> {
        let no_token = || {
            Error::new(ErrorKind::InvalidInput, "find an inherited section")
                .because(format!("{token:?} is not a token of Section::inherit"))
        };
        let parts: Vec<&str> = token.split(':').collect();
        let [VERSION, number, volume, file, access, kind, len] = parts[..] else {
            return Err(no_token());
        };
        let number: u64 = number.parse().map_err(|_| no_token())?;
        let volume = u64::from_str_radix(volume, 16).map_err(|_| no_token())?;
        let file = u128::from_str_radix(file, 16).map_err(|_| no_token())?;
        let len: u64 = len.parse().map_err(|_| no_token())?;
        let access = match access {
            "r" => Access::Read,
            "rw" => Access::ReadWrite,
            _ => return Err(no_token()),
        };
        let kind = match kind {
            "t" => SectionKind::Temporary,
            "a" => SectionKind::Anonymous,
            "f" => SectionKind::File,
            _ => return Err(no_token()),
        };
        let missing = || {
            Error::new(ErrorKind::NotFound, "find an inherited section").because(
                "this process did not inherit it; call Section::inherit before starting the child",
            )
        };
        let object = sys::open_inherited(number, access, kind, len).map_err(|_| missing())?;
        if sys::identity(&object).map_err(|_| missing())? != (Identity { volume, file }) {
            return Err(missing());
        }
        if !lent().contains(&number) {
            sys::end_inheritance(number);
        }
        // The token says what it was meant to be; what the handle is counts.
        let kind = match sys::file_of(&object).map(sys::file_kind) {
            None => kind,
            Some(Ok(FileKind::Regular)) => kind,
            Some(Ok(FileKind::BlockDevice | FileKind::CharDevice)) => SectionKind::Device,
            Some(_) => return Err(missing()),
        };
        let path = sys::file_of(&object).and_then(sys::path_of);
        Ok(Self::of_object(object, access, kind, path, Calls::Plain))
    }
}
