//! Streams: a view as `Read`, `Write`, `Seek` and `BufRead`.

use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};

use super::access::{PIECE, index};
use super::bulk::Onward;
use super::{Mode, View, Writable};

/// A cursor over a view. Each has a position of its own; any number may be at work at once. It
/// ends exactly at the view's logical end.
///
/// `BufRead` shows a private copy of up to 16 KiB. What others write meanwhile into the bytes that
/// were copied and not yet consumed is seen after the next `seek`, wherever that leads, as with
/// [`std::io::BufReader`].
///
/// ```
/// use std::io::BufRead;
/// # use bifolio_map::{Read, ReadWrite, Section, View};
/// let section = Section::anonymous(13)?;
/// section.view::<ReadWrite>()?.write_at(0, b"111\r\n222\r\n333")?;
/// let lines: Vec<String> = section.view::<Read>()?.stream().lines().collect::<Result<_, _>>()?;
/// assert_eq!(lines, ["111", "222", "333"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Stream<M: Mode> {
    view: View<M>,
    position: u64,
    /// A private copy of bytes from `buffered_from` on, for `BufRead`.
    buffer: Vec<u8>,
    buffered_from: u64,
    /// What is known of the pages that are being written.
    onward: Onward,
}

impl<M: Mode> View<M> {
    /// A stream over the view, at its start.
    #[must_use]
    pub fn stream(&self) -> Stream<M> {
        Stream {
            view: self.clone(),
            position: 0,
            buffer: Vec::new(),
            buffered_from: 0,
            onward: Onward::default(),
        }
    }
}

impl<M: Mode> Stream<M> {
    /// The view.
    #[must_use]
    pub fn view(&self) -> &View<M> {
        &self.view
    }

    /// The position in bytes from the start of the view; it may lie past the end.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The bytes of the buffer from the position on.
    fn buffered(&self) -> &[u8] {
        let skipped = self.position.checked_sub(self.buffered_from);
        skipped
            .and_then(|skipped| self.buffer.get(usize::try_from(skipped).ok()?..))
            .unwrap_or_default()
    }
}

impl<M: Mode> Read for Stream<M> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let buffered = self.buffered();
        let size = if buffered.is_empty() {
            self.view.read_some_at(self.position, out)?
        } else {
            let size = buffered.len().min(out.len());
            out[..size].copy_from_slice(&buffered[..size]);
            size
        };
        self.position += size as u64;
        Ok(size)
    }

    fn read_to_end(&mut self, out: &mut Vec<u8>) -> io::Result<usize> {
        let from = self.position.min(self.view.len());
        let bytes = self.view.read_vec(from..)?;
        out.extend_from_slice(&bytes);
        self.position += bytes.len() as u64;
        Ok(bytes.len())
    }
}

impl<M: Mode> BufRead for Stream<M> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.buffered().is_empty() {
            self.buffer.resize(PIECE, 0);
            let size = self.view.read_some_at(self.position, &mut self.buffer);
            self.buffer.truncate(*size.as_ref().unwrap_or(&0));
            self.buffered_from = self.position;
            size?;
        }
        Ok(self.buffered())
    }

    fn consume(&mut self, amount: usize) {
        self.position += amount.min(self.buffered().len()) as u64;
    }
}

impl<M: Writable> Write for Stream<M> {
    /// Writes what fits before the end of the view; nothing at the end.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.view.len().saturating_sub(self.position);
        let size = if left >= bytes.len() as u64 { bytes.len() } else { index(left) };
        let at = self.position.min(self.view.len());
        self.view.write_onward(&mut self.onward, at, &bytes[..size])?;
        self.position += size as u64;
        self.buffer.clear();
        Ok(size)
    }

    /// Does nothing: written bytes are seen by everybody at once. Durable they are after
    /// [`View::flush`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<M: Mode> Seek for Stream<M> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => self.view.len().checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        self.position = position.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "seek to before the start of the view")
        })?;
        self.buffer.clear();
        Ok(self.position)
    }

    fn stream_position(&mut self) -> io::Result<u64> {
        Ok(self.position)
    }
}
