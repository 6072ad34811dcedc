//! Reading pages in, by several threads, within a budget.
//!
//! Small files: a thread asks for the next ones to be read before it waits for the first, so that
//! the device always has many to do. Large ones: pieces of 4 MiB, shared out among the threads;
//! each asks for its next piece before it waits for the last one. What was asked for is then read
//! by calls: only that is sure, and only that reports what the device failed to do.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bifolio::map::residency::CachedFile;

use super::budget::Budget;
use super::bytes;
use super::walk::{Found, Worker, joined, lock};
use crate::failure::CliError;
use crate::interrupt;
use crate::progress::{Progress, Unit};

type Failure = (PathBuf, bifolio::map::Error);

/// Larger files are read in pieces of this size.
const PIECE: u64 = 4 << 20;
/// Files that a thread has asked for and not waited for yet.
const AHEAD: usize = 48;
/// Where bytes go by the way.
const SCRATCH: usize = 256 << 10;

/// Threads that suit the work: the processor has little to do, the device is to have much.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(4, |count| (count.get() * 2).clamp(4, 16))
}

/// What all threads of one command share.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) budget: Budget,
    /// Bytes of pages that were in memory already.
    already: AtomicU64,
    /// Bytes of pages that were read in.
    read: AtomicU64,
    /// Files of more than one piece, left for the second half.
    large: Mutex<VecDeque<(PathBuf, Vec<Range<u64>>)>>,
}

impl Reader {
    pub(super) fn new(budget: Budget) -> Self {
        Self {
            budget,
            already: AtomicU64::new(0),
            read: AtomicU64::new(0),
            large: Mutex::default(),
        }
    }

    pub(super) fn already(&self) -> u64 {
        self.already.load(Ordering::Relaxed)
    }

    pub(super) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// A hand for one thread.
    pub(super) fn hand(&self) -> Hand<'_> {
        Hand { reader: self, pending: VecDeque::new(), scratch: vec![0; SCRATCH], files: 0 }
    }

    /// What of a range is to be read: `None` if nothing is missing, or nothing may be read. A
    /// range that the budget ends in is cut.
    fn wanted(
        &self,
        file: &CachedFile,
        range: Range<u64>,
    ) -> Result<Option<Range<u64>>, bifolio::map::Error> {
        let found = file.residency(range.clone())?;
        // Where nobody knows what is there, all of it may have to be read.
        let resident = found.resident.unwrap_or(0);
        let missing = bytes(found.pages.saturating_sub(resident));
        self.already.fetch_add(bytes(resident), Ordering::Relaxed);
        if missing == 0 {
            return Ok(None);
        }
        let granted = self.budget.take(missing);
        if granted == missing {
            self.read.fetch_add(granted, Ordering::Relaxed);
            return Ok(Some(range));
        }
        // With pages here and there in memory this reads less than was granted, never more.
        let page = bytes(1);
        let end = (range.start / page * page).saturating_add(granted).min(range.end);
        if range.start >= end {
            return Ok(None);
        }
        let found = file.residency(range.start..end)?;
        let missing = found.pages.saturating_sub(found.resident.unwrap_or(0));
        self.read.fetch_add(bytes(missing), Ordering::Relaxed);
        Ok(Some(range.start..end))
    }

    /// Reads the large files, by so many threads.
    pub(super) fn read_large(&self, threads: usize) -> Vec<Failure> {
        let queue =
            Mutex::new(Queue { files: std::mem::take(&mut lock(&self.large)), current: None });
        let work = || self.read_pieces(&queue);
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            running.into_iter().flat_map(joined).collect()
        })
    }

    fn read_pieces(&self, queue: &Mutex<Queue>) -> Vec<Failure> {
        let mut failures = Vec::new();
        let mut scratch = vec![0; SCRATCH];
        let mut last: Option<Piece> = None;
        loop {
            let next =
                if interrupt::is_requested() { None } else { lock(queue).next(&mut failures) };
            let next = next.map(|piece| {
                let begun = self.wanted(&piece.file, piece.range.clone()).and_then(|wanted| {
                    if let Some(range) = &wanted {
                        piece.file.prefetch(range.clone())?;
                    }
                    Ok(wanted)
                });
                match begun {
                    Ok(wanted) => {
                        let range = wanted.unwrap_or(piece.range.start..piece.range.start);
                        Piece { range, ..piece }
                    }
                    Err(error) => {
                        failures.push((piece.file.path().to_path_buf(), error));
                        Piece { range: 0..0, ..piece }
                    }
                }
            });
            if let Some(piece) = last.take()
                && let Err(error) = piece.file.read_in(piece.range, &mut scratch)
            {
                failures.push((piece.file.path().to_path_buf(), error));
            }
            if next.is_none() {
                return failures;
            }
            last = next;
        }
    }
}

#[derive(Debug)]
struct Piece {
    file: Arc<CachedFile>,
    range: Range<u64>,
}

/// Large files in order; only the one at work is open.
#[derive(Debug)]
struct Queue {
    files: VecDeque<(PathBuf, Vec<Range<u64>>)>,
    current: Option<(Arc<CachedFile>, VecDeque<Range<u64>>)>,
}

impl Queue {
    fn next(&mut self, failures: &mut Vec<Failure>) -> Option<Piece> {
        loop {
            if let Some((file, ranges)) = &mut self.current {
                // The file may have become shorter since it was planned.
                if let Some(range) = ranges.pop_front() {
                    let range = range.start..range.end.min(file.len());
                    if range.start >= range.end {
                        continue;
                    }
                    let end = (range.start / PIECE + 1).saturating_mul(PIECE).min(range.end);
                    if end < range.end {
                        ranges.push_front(end..range.end);
                    }
                    return Some(Piece { file: Arc::clone(file), range: range.start..end });
                }
            }
            let (path, ranges) = self.files.pop_front()?;
            match CachedFile::open(&path) {
                Ok(file) => self.current = Some((Arc::new(file), ranges.into())),
                Err(error) => failures.push((path, error)),
            }
        }
    }
}

/// One thread's work on small files.
#[derive(Debug)]
pub(super) struct Hand<'a> {
    reader: &'a Reader,
    /// Asked for and not waited for.
    pending: VecDeque<(CachedFile, Range<u64>)>,
    scratch: Vec<u8>,
    pub(super) files: u64,
}

impl Hand<'_> {
    /// Reads parts of a file in, now or later.
    pub(super) fn read(
        &mut self,
        file: CachedFile,
        ranges: Vec<Range<u64>>,
    ) -> Result<(), bifolio::map::Error> {
        self.files += 1;
        let size: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        if size > PIECE {
            lock(&self.reader.large).push_back((file.path().to_path_buf(), ranges));
            return Ok(());
        }
        let mut wanted = Vec::new();
        for range in ranges {
            if let Some(range) = self.reader.wanted(&file, range)? {
                file.prefetch(range.clone())?;
                wanted.push(range);
            }
        }
        match <[_; 1]>::try_from(wanted) {
            Ok([range]) => {
                self.pending.push_back((file, range));
                if self.pending.len() > AHEAD {
                    return self.wait_for_one();
                }
            }
            Err(wanted) => {
                for range in wanted {
                    file.read_in(range, &mut self.scratch)?;
                }
            }
        }
        Ok(())
    }

    fn wait_for_one(&mut self) -> Result<(), bifolio::map::Error> {
        let Some((file, range)) = self.pending.pop_front() else { return Ok(()) };
        file.read_in(range, &mut self.scratch).map(|_| ())
    }

    /// Waits for all that was asked for.
    pub(super) fn wait(&mut self) -> Vec<Failure> {
        let mut failures = Vec::new();
        while let Some((file, range)) = self.pending.pop_front() {
            if let Err(error) = file.read_in(range, &mut self.scratch) {
                failures.push((file.path().to_path_buf(), error));
            }
        }
        failures
    }
}

impl Worker for Hand<'_> {
    fn visit(&mut self, found: Found) -> Result<(), bifolio::map::Error> {
        if found.again {
            return Ok(());
        }
        let range = found.range;
        self.read(found.file, vec![range])
    }

    fn finish(&mut self) -> Vec<(PathBuf, bifolio::map::Error)> {
        self.wait()
    }
}

/// Does `work` on another thread and shows meanwhile how many bytes were read in.
pub(super) fn with_progress<T: Send>(
    reader: &Reader,
    title: &str,
    work: impl FnOnce() -> T + Send,
) -> Result<T, CliError> {
    let mut progress = Progress::open_ended(title, Unit::Bytes);
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        scope.spawn(move || sender.send(work()));
        let mut shown = 0;
        let done = loop {
            match receiver.recv_timeout(Duration::from_millis(100)) {
                Ok(done) => break done,
                Err(RecvTimeoutError::Timeout) => {
                    let read = reader.read();
                    // After Ctrl-C the threads end by themselves; then the error is told.
                    let _ = progress.advance(read - shown);
                    shown = read;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(CliError::new(
                        crate::exit::Exit::Failure,
                        "a thread that reads files in has panicked",
                    ));
                }
            }
        };
        interrupt::check()?;
        Ok(done)
    })
}
