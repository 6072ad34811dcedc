//! Standard output that tells a closed pipe from every other failure.

use std::error::Error;
use std::fmt;
use std::io::{self, BufWriter, Write};

/// Marks the `io::Error` that means "whoever read our output has gone".
///
/// A bare `BrokenPipe` does not: it may come from a child's stdin, and that is a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosedPipe;

impl ClosedPipe {
    /// Whether this error was made by [`Stdout`] because the reader had gone.
    #[must_use]
    pub fn caused(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

impl fmt::Display for ClosedPipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reader has closed the pipe")
    }
}

impl Error for ClosedPipe {}

/// Buffered standard output. Nothing may be lost in silence, so the end of the program flushes it
/// and looks at the result (a full disk shows there).
#[derive(Debug)]
pub struct Stdout<W: Write = io::Stdout> {
    inner: BufWriter<W>,
}

impl Stdout {
    /// The output of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self::new(io::stdout())
    }
}

impl<W: Write> Stdout<W> {
    /// Wraps any writer.
    #[must_use]
    pub fn new(inner: W) -> Self {
        Self { inner: BufWriter::with_capacity(64 * 1024, inner) }
    }
}

fn mark(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        io::Error::new(io::ErrorKind::BrokenPipe, ClosedPipe)
    } else {
        error
    }
}

impl<W: Write> Write for Stdout<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes).map_err(mark)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_all(bytes).map_err(mark)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush().map_err(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from(self.0))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_broken_pipe_is_marked_and_a_full_disk_is_not() {
        for (kind, closed) in
            [(io::ErrorKind::BrokenPipe, true), (io::ErrorKind::StorageFull, false)]
        {
            let mut out = Stdout::new(Broken(kind));
            out.write_all(b"buffered").expect("the buffer takes it");
            let error = out.flush().expect_err("the writer is broken");
            assert_eq!(ClosedPipe::caused(&error), closed, "{kind:?}");
        }
    }
}
