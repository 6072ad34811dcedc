//! Open files and maps of a recorder.

use std::fmt;
use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;

use bifolio_map::storage::{StorageFile, StoreMap};
use bifolio_map::view::{Read, View};
use bifolio_map::{Flush, Result, Space};

use super::Book;
use crate::trace::{FileId, Op};

/// A file that passes everything on and records it.
pub(super) struct RecordedFile {
    inner: Arc<dyn StorageFile>,
    file: FileId,
    book: Arc<Book>,
}

impl RecordedFile {
    pub(super) fn new(inner: Box<dyn StorageFile>, file: FileId, book: Arc<Book>) -> Self {
        Self { inner: inner.into(), file, book }
    }

    /// What a failed write left in the file, as far as it can be read.
    fn what_was_left(&self, offset: u64, mut wanted: Vec<u8>) -> Vec<u8> {
        let found = self.book.without_faults(|| self.inner.read_at(offset, &mut wanted));
        // If not even that can be read, all of it may have been written.
        if let Ok(count) = found {
            wanted.truncate(count);
        }
        wanted
    }
}

impl StorageFile for RecordedFile {
    fn len(&self) -> Result<u64> {
        self.inner.len()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<usize> {
        self.inner.read_at(offset, out)
    }

    fn write_vectored_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<()> {
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let mut pages = self.book.pages();
        let result = self.inner.write_vectored_at(offset, parts);
        if result.is_err() {
            bytes = self.what_was_left(offset, bytes);
        }
        if !bytes.is_empty() {
            pages.trace.ops.push(Op::Write { file: self.file, offset, bytes: bytes.into() });
        }
        result
    }

    fn set_len(&self, len: u64, space: Space) -> Result<()> {
        let mut pages = self.book.pages();
        let result = self.inner.set_len(len, space);
        let len = match result {
            Ok(()) => len,
            Err(_) => self.book.without_faults(|| self.inner.len()).unwrap_or(len),
        };
        pages.trace.ops.push(Op::SetLen { file: self.file, len });
        result
    }

    fn sync(&self, level: Flush) -> Result<()> {
        let mut pages = self.book.pages();
        let (result, outcome) = self.book.judge(|| self.inner.sync(level));
        pages.trace.ops.push(Op::Sync { file: self.file, range: None, level, outcome });
        result
    }

    fn view(&self, range: Range<u64>) -> Result<View<Read>> {
        self.inner.view(range)
    }

    fn store_map(&self, range: Range<u64>) -> Result<Box<dyn StoreMap>> {
        let start = range.start;
        let inner = self.inner.store_map(range)?;
        Ok(Box::new(RecordedMap { inner, start, file: self.file, book: Arc::clone(&self.book) }))
    }
}

/// A map that passes everything on and records it.
struct RecordedMap {
    inner: Box<dyn StoreMap>,
    /// Where the window begins in the file.
    start: u64,
    file: FileId,
    book: Arc<Book>,
}

impl RecordedMap {
    /// Stores by `store` and records what is there afterwards.
    fn record(
        &self,
        offset: u64,
        mut bytes: Vec<u8>,
        store: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let mut pages = self.book.pages();
        let result = store();
        if result.is_err() {
            let read = self.book.without_faults(|| self.inner.read_at(offset, &mut bytes));
            if read.is_err() {
                // Outside of the window, or a page that cannot be had: nothing was stored.
                return result;
            }
        }
        if !bytes.is_empty() {
            let offset = self.start + offset;
            pages.trace.ops.push(Op::Store { file: self.file, offset, bytes: bytes.into() });
        }
        result
    }
}

impl StoreMap for RecordedMap {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.inner.read_at(offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.record(offset, bytes.to_vec(), || self.inner.write_at(offset, bytes))
    }

    fn store_release_u64(&self, offset: u64, value: u64) -> Result<()> {
        let bytes = value.to_ne_bytes().to_vec();
        self.record(offset, bytes, || self.inner.store_release_u64(offset, value))
    }

    fn load_acquire_u64(&self, offset: u64) -> Result<u64> {
        self.inner.load_acquire_u64(offset)
    }

    fn flush(&self, range: Range<u64>, level: Flush) -> Result<()> {
        let mut pages = self.book.pages();
        let in_file = self.start.saturating_add(range.start)..self.start.saturating_add(range.end);
        let (result, outcome) = self.book.judge(|| self.inner.flush(range, level));
        let range = Some(in_file);
        pages.trace.ops.push(Op::Sync { file: self.file, range, level, outcome });
        result
    }
}

impl fmt::Debug for RecordedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedFile").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl fmt::Debug for RecordedMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedMap").field("inner", &self.inner).finish_non_exhaustive()
    }
}
